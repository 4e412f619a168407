"""3-D Gaussians as plain tensors with their physical values, and their exports."""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SH_DC = 0.28209479177387814
"""The constant spherical harmonic: rgb = 0.5 + SH_DC * colour."""


@dataclass(frozen=True)
class Gaussians:
    """N Gaussians in one frame. Everything is activated: nothing has to be squashed before use.

    position (N, 3): in the object's cube [-0.5, 0.5]^3 (z up), or in metres after placing.
    colour (N, 3): coefficients of the constant spherical harmonic.
    scale (N, 3): standard deviations, in the units of position.
    rotation (N, 4): quaternions wxyz, not normalised; they turn the Gaussian's axes (column vectors).
    opacity (N, 1): in [0, 1].
    min_kernel: the smallest standard deviation, part of every scale.
    """

    position: Tensor
    colour: Tensor
    scale: Tensor
    rotation: Tensor
    opacity: Tensor
    min_kernel: float

    def __len__(self) -> int:
        return self.position.shape[0]

    @property
    def rgb(self) -> Tensor:
        """Colours, (N, 3), nominally in [0, 1] but not clipped."""
        return 0.5 + SH_DC * self.colour

    @property
    def unit_rotation(self) -> Tensor:
        """Unit quaternions wxyz, (N, 4)."""
        return torch.nn.functional.normalize(self.rotation, dim=-1)

    def cpu(self) -> Gaussians:
        """The same on the CPU, detached."""
        values: dict[str, Any] = dict(vars(self))
        for name, value in values.items():
            values[name] = value.detach().cpu() if isinstance(value, Tensor) else value
        return Gaussians(**values)


def concatenate(parts: list[Gaussians]) -> Gaussians:
    """All Gaussians of several sets that share a frame.

    A scale is made of a learned part and the set's smallest kernel, added as variances; the joined set has
    one smallest kernel, so each scale exchanges its own for the common one.
    """
    if not parts:
        raise ValueError("nothing to concatenate")
    min_kernel = min(p.min_kernel for p in parts)
    names = ("position", "colour", "rotation", "opacity")
    joined = {name: torch.cat([getattr(p, name) for p in parts]) for name in names}
    scale = torch.cat([torch.sqrt(p.scale**2 - p.min_kernel**2 + min_kernel**2) for p in parts])
    return Gaussians(**joined, scale=scale, min_kernel=min_kernel)


def to_points(gaussians: Gaussians, min_opacity: float = 0.0) -> NDArray[Any]:
    """Coloured points as a structured array.

    Fields x, y, z (float32) and rgb (float32 that holds packed 0x00RRGGBB). This is the memory
    layout of a sensor_msgs/PointCloud2 with point_step 16. Gaussians below `min_opacity` are left out.
    """
    g = gaussians.cpu()
    keep = (g.opacity[:, 0] >= min_opacity).numpy()
    rgb = (g.rgb.clamp(0, 1) * 255).round().numpy().astype(np.uint32)[keep]
    points = np.empty(int(keep.sum()), dtype=[(n, "<f4") for n in ("x", "y", "z", "rgb")])
    for i, name in enumerate("xyz"):
        points[name] = g.position[:, i].numpy()[keep]
    points["rgb"] = (rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]).view(np.float32)
    return points


PLY_FIELDS = (
    "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
    "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
)  # fmt: skip


def ply_table(gaussians: Gaussians) -> NDArray[np.float32]:
    """Rows of the usual Gaussian-splat PLY, (N, 17): normals zero, opacity as logit, scale as logarithm."""
    g = gaussians.cpu()
    opacity = torch.logit(g.opacity, eps=1e-7)  # a saturated opacity stays finite
    columns = [g.position, torch.zeros_like(g.position), g.colour, opacity, g.scale.log(), g.rotation]
    return torch.cat(columns, dim=1).float().numpy()


def write_ply(gaussians: Gaussians, path: Path) -> None:
    """Binary little-endian PLY that Gaussian-splat viewers read."""
    table = ply_table(gaussians)
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    lines += [f"property float {name}" for name in PLY_FIELDS]
    path.write_bytes(("\n".join([*lines, "end_header"]) + "\n").encode() + table.astype("<f4").tobytes())
