"""Layout latents <-> pose in the pointmap's units (paper section 3, layout). numpy alone.

Conventions of the published model, which no other file needs to know:
* Points are row vectors: p_cam = (p_obj * scale) @ R(rotation) + translation. As an active rotation of column
  vectors that is R(rotation)^T, i.e. the conjugate quaternion.
* Object frame: the cube [-0.5, 0.5]^3, z up. Camera frame: x left, y up, z forward.
* Quaternions here are wxyz. Frame conversions to ROS live in `perception.frames`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

ROTATION_MEAN = np.array(
    [-0.06366084883674913, 0.008438224692279752, 0.00017084786438302483,
     0.0007126610473540038, -0.0030916726538816417, 0.5166093753457688]
)  # fmt: skip
ROTATION_STD = np.array(
    [0.6656971967514863, 0.6787012271867754, 0.30345010594844524,
     0.4394504420678794, 0.39817973931717104, 0.6176286868761914]
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Pose of one object in the frame and units of the pointmap.

    rotation (4,) wxyz and translation (3,) for row vectors, see the module's conventions; scale > 0, uniform.
    """

    rotation: Array
    translation: Array
    scale: float

    def transform(self, points_obj: Array) -> Array:
        """Object points (N, 3) -> points in the camera frame x left, y up, z forward (N, 3)."""
        return points_obj * self.scale @ matrix_from_quaternion(self.rotation) + self.translation

    def rescaled(self, factor: float) -> Layout:
        """The same pose with another object scale (the voxel down-sampling's factor)."""
        return Layout(self.rotation, self.translation, self.scale * factor)


def decode(latents: dict[str, Array], scene_scale: Array, scene_shift: Array) -> Layout:
    """Layout latents of one object -> Layout.

    latents: rotation (6,), translation (3,), scale (3,) (any further axes of length 1); translation_scale is
    not used by this convention. scene_scale (3,), equal on the axes, and scene_shift (3,): the pointmap
    normalisation.
    """
    r, t, s = (np.asarray(latents[n], np.float64).reshape(-1) for n in ("rotation", "translation", "scale"))
    scene_scale, scene_shift = np.asarray(scene_scale, np.float64), np.asarray(scene_shift, np.float64)
    rotation = quaternion_from_matrix(matrix_from_6d(r * ROTATION_STD + ROTATION_MEAN))
    scale = float(np.mean(np.exp(s) * scene_scale))
    return Layout(rotation, t * scene_scale + scene_shift, scale)


def encode(layout: Layout, scene_scale: Array, scene_shift: Array) -> dict[str, Array]:
    """Layout -> training targets: rotation (6,), translation (3,), scale (3,), translation_scale (1,) = 0."""
    scene_scale, scene_shift = np.asarray(scene_scale, np.float64), np.asarray(scene_shift, np.float64)
    matrix = matrix_from_quaternion(layout.rotation)
    six = np.concatenate([matrix[:, 0], matrix[:, 1]])
    return {
        "rotation": (six - ROTATION_MEAN) / ROTATION_STD,
        "translation": (np.asarray(layout.translation) - scene_shift) / scene_scale,
        "scale": np.log(layout.scale / scene_scale),
        "translation_scale": np.zeros(1),
    }


def matrix_from_6d(six: Array) -> Array:
    """Two 3-vectors (6,) -> rotation matrix whose columns are their Gram-Schmidt basis (Zhou et al. 2019)."""
    b1 = six[:3] / np.linalg.norm(six[:3])
    b2 = six[3:] - (b1 @ six[3:]) * b1
    b2 = b2 / np.linalg.norm(b2)
    return np.column_stack([b1, b2, np.cross(b1, b2)])


def matrix_from_quaternion(q: Array) -> Array:
    """wxyz, any norm > 0 -> (3, 3)."""
    w, x, y, z = np.asarray(q, np.float64) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_matrix(m: Array) -> Array:
    """(3, 3) -> unit wxyz.

    Of the four equivalent formulae the one with the largest divisor is used; the sign is such that w >= 0.
    """
    diagonal = np.diag(m)
    squares = np.array([1 + diagonal.sum(), *(1 + 2 * diagonal - diagonal.sum())])
    size = np.sqrt(np.maximum(squares, 0))
    wx, wy, wz = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    xy, xz, yz = m[1, 0] + m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    candidates = np.array(
        [
            [squares[0], wx, wy, wz],
            [wx, squares[1], xy, xz],
            [wy, xy, squares[2], yz],
            [wz, xz, yz, squares[3]],
        ]
    )
    best = int(np.argmax(size))
    q = candidates[best] / (2 * size[best])
    return np.asarray(np.copysign(1.0, q[0]) * q / np.linalg.norm(q))
