"""Natural pictures behind pasted objects: a folder of photographs, or those that come with scikit-image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from sam3d_ros.types import Camera, InputError, UInt8

SIDE = 512
SKIMAGE = ("astronaut", "coffee", "chelsea", "rocket", "brick", "grass", "gravel")
"""Photographs and textures inside the wheel: CC0 or public domain."""


@dataclass(frozen=True)
class Backgrounds:
    """folder: of JPEG or PNG photographs; None for the few of scikit-image."""

    folder: Path | None = None

    def draw(self, rng: np.random.Generator) -> UInt8:
        """(SIDE, SIDE, 3) uint8: a random square of a random picture, turned left to right half of the time and
        varied in brightness. Raises InputError where the folder has no picture that can be read."""
        pictures = _pictures(self.folder)
        picture = pictures[int(rng.integers(len(pictures)))]
        side = int(min(picture.shape[:2]) * rng.uniform(0.5, 1.0))
        top = int(rng.integers(picture.shape[0] - side + 1))
        left = int(rng.integers(picture.shape[1] - side + 1))
        square = cv2.resize(
            picture[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA
        )
        if rng.random() < 0.5:
            square = cv2.flip(square, 1)
        return np.asarray(cv2.convertScaleAbs(square, alpha=rng.uniform(0.6, 1.2)), np.uint8)


def seen_by(background: UInt8, view_camera: Camera, camera: Camera) -> UInt8:
    """(H, W, 3) what a crop camera sees of a background that fills the view of `view_camera`."""
    scale = background.shape[1] / view_camera.width
    u = (np.arange(camera.width) - camera.cx) / camera.fx * view_camera.fx + view_camera.cx
    v = (np.arange(camera.height) - camera.cy) / camera.fy * view_camera.fy + view_camera.cy
    columns, rows = np.meshgrid((u + 0.5) * scale - 0.5, (v + 0.5) * scale - 0.5)
    seen: UInt8 = np.asarray(
        cv2.remap(background, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR,
                  borderMode=cv2.BORDER_REFLECT), np.uint8)  # fmt: skip
    return seen


@lru_cache(maxsize=2)
def _pictures(folder: Path | None) -> list[UInt8]:
    """At most 1024 pixels on the longer side."""
    if folder is None:
        import skimage.data

        paths = [p for name in SKIMAGE for p in Path(skimage.data.__file__).parent.glob(f"{name}.*")]
    else:
        paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    found = []
    for path in paths:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is not None and min(picture.shape[:2]) >= 64:
            factor = min(1.0, 1024 / max(picture.shape[:2]))
            small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            found.append(np.ascontiguousarray(small[..., ::-1]).astype(np.uint8))
    if not found:
        raise InputError(f"{folder or 'scikit-image'} holds no pictures of at least 64 pixels")
    return found
