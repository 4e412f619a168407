"""Meshes as artists leave them: read from a file, with their materials and images boiled down to coloured
points."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import trimesh
from trimesh.resolvers import Resolver

from sam3d_ros.data.sources.source import Unusable
from sam3d_ros.types import Float, Int, UInt8

SAMPLES = 300_000
"""Points on the surface: four per cell that an average surface crosses in a grid of 128^3."""
MAX_FACES = 2_000_000


@dataclass(frozen=True)
class Raw:
    """Any set of triangles. vertices: (V, 3) float64 m, z up. faces: (F, 3). points: (N, 3) spread evenly over
    the surface; face_of: (N,) the face each lies on; colors: (N, 3) uint8 sRGB."""

    vertices: Float
    faces: Int
    points: Float
    face_of: Int
    colors: UInt8

    def moved(self, A: Float, shift: Float | float = 0.0) -> Raw:
        """Every point p becomes A p + shift; A: (3, 3)."""
        return replace(self, vertices=self.vertices @ A.T + shift, points=self.points @ A.T + shift)


class Within(Resolver):  # type: ignore[misc]
    """What trimesh asks for the files that a mesh names (materials, images): only names that stay in the
    folder are answered, with `read(name)`."""

    def __init__(self, read: Callable[[str], bytes], folder: str = "") -> None:
        self._read, self._folder = read, folder

    def get(self, name: str) -> bytes:
        path = PurePosixPath(self._folder, name.strip().replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise FileNotFoundError(f"{name!r} leads out of the folder")
        return self._read(str(path))

    def keys(self) -> list[str]:
        """trimesh looks here for materials that the file does not name: there are none."""
        return []

    def write(self, name: str, data: bytes) -> None:
        raise PermissionError("only for reading")

    def namespaced(self, namespace: str) -> Within:
        return Within(self._read, str(PurePosixPath(self._folder, namespace)))


def in_folder(folder: Path) -> Within:
    """Files beside a mesh; links that lead elsewhere are refused."""
    root = folder.resolve()

    def read(name: str) -> bytes:
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise FileNotFoundError(name)
        return path.read_bytes()

    return Within(read)


def read_raw(data: bytes, file_type: str, resolver: Within) -> Raw:
    """A mesh file of any kind trimesh reads, axes and units as they are. Raises Unusable where it is damaged,
    empty or has more than MAX_FACES faces."""
    try:
        scene = trimesh.load_scene(io.BytesIO(data), file_type=file_type, resolver=resolver, process=False)
        parts = [p for p in scene.dump() if isinstance(p, trimesh.Trimesh) and len(p.faces)]
    except Exception as error:  # trimesh raises many kinds for damaged files
        raise Unusable(f"not a readable {file_type} file: {type(error).__name__}: {error}") from None
    return raw_of(parts)


def raw_of(parts: Sequence[trimesh.Trimesh]) -> Raw:
    """Meshes as one set of triangles. Raises Unusable where there is no surface, or more than MAX_FACES faces."""
    if not parts:
        raise Unusable("no faces")
    if sum(len(p.faces) for p in parts) > MAX_FACES:
        raise Unusable(f"{sum(len(p.faces) for p in parts)} faces, {MAX_FACES} at most")
    if not all(np.isfinite(p.vertices).all() for p in parts):
        raise Unusable("vertices that are not finite")
    offsets = np.cumsum([0, *(len(p.vertices) for p in parts)])
    vertices = np.concatenate([np.asarray(p.vertices, np.float64) for p in parts])
    faces = np.concatenate(
        [np.asarray(p.faces, np.int64) + o for p, o in zip(parts, offsets[:-1], strict=True)]
    )
    areas = np.array([float(p.area) for p in parts])
    if not areas.sum() > 0:
        raise Unusable("no surface")
    rng = np.random.default_rng(0)
    counts = np.ceil(SAMPLES * areas / areas.sum()).astype(int)
    samples = [_sample(p, int(n), rng) for p, n in zip(parts, counts, strict=True)]
    firsts = np.cumsum([0, *(len(p.faces) for p in parts)])
    return Raw(
        vertices,
        faces,
        np.concatenate([points for points, _, _ in samples]),
        np.concatenate([face + first for (_, face, _), first in zip(samples, firsts[:-1], strict=True)]),
        np.concatenate([colors for _, _, colors in samples]),
    )


def _sample(part: trimesh.Trimesh, count: int, rng: np.random.Generator) -> tuple[Float, Int, UInt8]:
    """`count` points (N, 3) on a part, their faces (N,) and colours (N, 3)."""
    corners = np.asarray(part.triangles, np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    # Evenly spaced numbers along the summed area: every face gets its share, no more than one off.
    along = (np.arange(count) + rng.random()) / count * area.sum()
    face = np.minimum(np.searchsorted(np.cumsum(area), along), len(area) - 1)
    u, v = rng.random((2, count))
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    weights = np.stack([1 - u - v, u, v], axis=1)[:, :, None]
    return (corners[face] * weights).sum(axis=1), face, _colors(part, face, weights)


def _colors(part: trimesh.Trimesh, face: Int, weights: Float) -> UInt8:
    """(N, 3) what the part's image, material or vertex colours say at points of its faces."""
    visual: Any = part.visual
    gray = np.full((len(face), 3), 180, np.uint8)
    try:
        if isinstance(visual, trimesh.visual.TextureVisuals):
            image = getattr(visual.material, "image", None) or getattr(
                visual.material, "baseColorTexture", None
            )
            if visual.uv is None or image is None or len(visual.uv) != len(part.vertices):
                return np.broadcast_to(
                    np.asarray(visual.material.main_color, np.uint8)[:3], gray.shape
                ).copy()
            uv = (np.asarray(visual.uv, np.float64)[part.faces[face]] * weights).sum(axis=1)
            shades: UInt8 = np.asarray(visual.material.to_color(uv), np.uint8)  # type: ignore[no-untyped-call]
            return shades[:, :3]
        if visual.kind == "face":
            painted: UInt8 = np.asarray(visual.face_colors, np.uint8)
            return painted[face, :3]
        if visual.kind == "vertex":
            values = np.asarray(visual.vertex_colors, np.float64)[part.faces[face], :3]
            mixed: UInt8 = np.rint((values * weights).sum(axis=1)).astype(np.uint8)
            return mixed
    except (ValueError, AttributeError, OSError, IndexError):
        # A material that cannot be read costs the colour, not the shape.
        return gray
    return gray
