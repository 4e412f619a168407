"""Sizes of every network as frozen dataclasses. The defaults are the published sizes; no torch needed here.

Source: the released configuration (docs/model.md lists where each number is used).
"""

from __future__ import annotations

from dataclasses import dataclass, field

LAYOUT_LATENTS = {"rotation": 6, "translation": 3, "scale": 3, "translation_scale": 1}
"""Layout latents and their channels, in the order in which they form the tokens of the layout stream."""

SLAT_MEAN = (
    0.12211431, 0.37204156, -1.26521907, -2.05276058, -3.10432536, -0.11294304, -0.85146744, 0.45506954,
)  # fmt: skip
SLAT_STD = (
    2.37326008, 2.13174402, 2.2413953, 2.30589401, 2.1191894, 1.8969511, 2.41684989, 2.08374642,
)  # fmt: skip
"""The texture flow works on (latent - SLAT_MEAN) / SLAT_STD; the decoders take the latent itself."""

MAX_VOXELS = 42_000
"""Above this many active voxels the occupancy grid is halved before the texture stage."""


@dataclass(frozen=True)
class DinoConfig:
    """DINOv2 vision transformer with registers; the default is ViT-L/14-reg."""

    image_size: int = 518
    patch_size: int = 14
    width: int = 1024
    depth: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0
    registers: int = 4

    @property
    def grid(self) -> int:
        """Patches along one side of the training image."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class PointPatchConfig:
    """Encoder of a pointmap: windows of pixels summarised by one attention block."""

    image_size: int = 256
    patch_size: int = 8
    width: int = 512
    heads: int = 16
    mlp_ratio: float = 2.0

    @property
    def grid(self) -> int:
        """Windows along one side."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class ConditionConfig:
    """Condition embedder of one stage: what the picture says, as tokens.

    `point` is None in the texture stage, which sees no pointmap. `prenorm` takes DINO's tokens before its
    final norm, registers included (texture stage); otherwise the normed class and patch tokens (geometry
    stage).
    """

    dino: DinoConfig = field(default_factory=DinoConfig)
    point: PointPatchConfig | None = field(default_factory=PointPatchConfig)
    prenorm: bool = False
    width: int = 1024
    hidden: int = 2816
    positions: int = 3

    @property
    def image_tokens(self) -> int:
        """Tokens of one image or mask view."""
        return 1 + self.dino.grid**2 + (self.dino.registers if self.prenorm else 0)

    @property
    def tokens(self) -> int:
        """Tokens of all views together: 7528 in the geometry stage, 5496 in the texture stage."""
        return 4 * self.image_tokens + (2 * self.point.grid**2 if self.point else 0)


@dataclass(frozen=True)
class GeometryConfig:
    """Mixture-of-transformers flow over shape and layout (paper section 3, figure 2)."""

    width: int = 1024
    depth: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0
    condition_width: int = 1024
    grid: int = 16
    shape_channels: int = 8

    @property
    def channels(self) -> dict[str, int]:
        """Channels of every latent, by name."""
        return {"shape": self.shape_channels, **LAYOUT_LATENTS}

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens of every latent, by name."""
        return {name: self.grid**3 if name == "shape" else 1 for name in self.channels}


@dataclass(frozen=True)
class OccupancyConfig:
    """Autoencoder between the 64^3 occupancy grid and the 16^3 x 8 shape latent."""

    latent_channels: int = 8
    channels: tuple[int, ...] = (512, 128, 32)
    blocks_per_level: int = 2
    middle_blocks: int = 2


@dataclass(frozen=True)
class TextureConfig:
    """Sparse latent flow of the texture & refinement model."""

    channels: int = 8
    io_channels: int = 128
    width: int = 1024
    depth: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0
    condition_width: int = 1024
    blocks_per_level: int = 2


@dataclass(frozen=True)
class SlatTrunkConfig:
    """Transformer over active voxels with shifted windows, shared in form by the decoders and the encoder."""

    in_channels: int = 8
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    window: int = 8
    grid: int = 64


@dataclass(frozen=True)
class MeshDecoderConfig:
    """Structured latent to signed distances and colours on a grid four times finer."""

    trunk: SlatTrunkConfig = field(default_factory=SlatTrunkConfig)
    channels: tuple[int, ...] = (192, 96)
    out_channels: int = 101
    norm_groups: int = 32


@dataclass(frozen=True)
class GaussianDecoderConfig:
    """Structured latent to `per_voxel` Gaussians per voxel (32 in the full decoder, 4 in the light one)."""

    trunk: SlatTrunkConfig = field(default_factory=SlatTrunkConfig)
    per_voxel: int = 32
    spread: float = 1.5
    scale_bias: float = 0.004
    opacity_bias: float = 0.1
    min_kernel: float = 0.0009
    rotation_gain: float = 0.1


@dataclass(frozen=True)
class SlatEncoderConfig:
    """Voxel features (DINOv2, 1024 channels) to the structured latent; used in training."""

    trunk: SlatTrunkConfig = field(default_factory=lambda: SlatTrunkConfig(in_channels=1024))
    latent_channels: int = 8
