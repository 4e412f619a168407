"""Sizes of the compact model: `nano` for training on a CPU, `compact` for one GPU. Both see the same grids and
pictures, so they learn from the same folders (sam3d train-data)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LAYOUT = {"rotation": 6, "translation": 3, "scale": 3}
"""Layout latents and their channels, in the order of the layout stream's tokens."""


@dataclass(frozen=True)
class PictureConfig:
    """Vision transformer over the object's crop (sam3d_ros/compact/picture.py)."""

    pixels: int = 96
    patch: int = 12
    channels: int = 8
    width: int = 128
    depth: int = 2
    heads: int = 4

    @property
    def tokens(self) -> int:
        """Patches of one picture."""
        return (self.pixels // self.patch) ** 2


@dataclass(frozen=True)
class CompactGeometryConfig:
    """grid: samples per side of the answer. widths: channels at 1/2, 1/4, 1/8 of it; the last is the transformer's.
    blocks: residual blocks on the way down at 1/2 and 1/4. condition, condition_globals: channels of the lifted
    evidence and its numbers. shape_gain: the distance grid times this is the flow's shape latent: below 1, the noise
    drowns the coarse shape for longer and the steps are spent where it is decided.
    layout_mean, layout_std: by latent, of the training set; the flow works on normalised layouts."""

    grid: int = 32
    widths: tuple[int, int, int] = (24, 48, 128)
    blocks: tuple[int, int] = (1, 6)
    depth: int = 8
    heads: int = 4
    mlp_ratio: float = 3.0
    condition: int = 6
    condition_globals: int = 6
    shape_gain: float = 0.5
    picture: PictureConfig = field(default_factory=PictureConfig)
    layout_mean: Mapping[str, tuple[float, ...]] = field(
        default_factory=lambda: {
            "rotation": (0.2, 0.0, 0.0, 0.0, 0.2, 0.03),
            "translation": (0.03, 0.0, -0.1),
            "scale": (-0.24, -0.23, -0.43),
        }
    )
    layout_std: Mapping[str, tuple[float, ...]] = field(
        default_factory=lambda: {
            "rotation": (0.67, 0.70, 0.15, 0.69, 0.66, 0.22),
            "translation": (0.087, 0.069, 0.089),
            "scale": (0.22, 0.16, 0.37),
        }
    )

    @property
    def trunk(self) -> int:
        """Samples per side at which the transformer works."""
        return self.grid // 8


@dataclass(frozen=True)
class CompactTextureConfig:
    """coarse: side of the geometry model's grid, also that of the colours; fine: of the refined distances. trunk: side
    at which the first convolutions work; it divides both. gain: the latents are this times their values in -1 .. 1."""

    coarse: int = 32
    fine: int = 64
    trunk: int = 16
    widths: tuple[int, int, int] = (48, 64, 128)
    depth: int = 2
    heads: int = 4
    mlp_ratio: float = 3.0
    condition: int = 6
    condition_globals: int = 6
    picture: PictureConfig = field(default_factory=PictureConfig)
    gain: float = 0.5


NANO = CompactGeometryConfig()
NANO_TEXTURE = CompactTextureConfig()
COMPACT = CompactGeometryConfig(widths=(32, 96, 192), blocks=(2, 8), depth=6, heads=6)
COMPACT_TEXTURE = NANO_TEXTURE
