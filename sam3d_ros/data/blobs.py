"""Smooth unions: soft bodies that flow into each other without an edge, as stuffed and moulded things do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from manifold3d import Manifold, Mesh  # type: ignore[import-not-found]
from skimage.measure import marching_cubes

from sam3d_ros.types import Float, Int

CELLS = 38
"""Along the longest side: 4 mm in a thing of 15 cm, between which the surface is interpolated."""


@dataclass(frozen=True)
class Blob:
    """A limb from `start` to `end` (3,) in m with the radii there, `squash` times as wide along x, y, z."""

    start: Float
    end: Float
    radii: tuple[float, float]
    squash: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def box(self) -> tuple[Float, Float]:
        """Corners of a box around it."""
        reach = max(self.radii) * np.asarray(self.squash)
        return np.minimum(self.start, self.end) - reach, np.maximum(self.start, self.end) + reach


def ball(at: Float, half: Sequence[float] | Float) -> Blob:
    """An ellipsoid around `at` with half axes (3,)."""
    smallest = float(min(half))
    a, b, c = (float(h) / smallest for h in half)
    return Blob(at, at, (smallest, smallest), (a, b, c))


def limb(
    points: Float, radii: Sequence[float] | Float, squash: tuple[float, float, float] = (1, 1, 1)
) -> list[Blob]:
    """A chain of blobs along points (N, 3) with radii (N,)."""
    ends = list(zip(points, (float(r) for r in radii), strict=True))
    return [Blob(a, b, (r, s), squash) for (a, r), (b, s) in pairwise(ends)]


def mirrored(blobs: Sequence[Blob]) -> list[Blob]:
    """The same on the other side of the plane y = 0."""
    flip = np.array([1.0, -1.0, 1.0])
    return [Blob(b.start * flip, b.end * flip, b.radii, b.squash) for b in blobs]


def melted(blobs: Sequence[Blob], softness: float) -> Manifold:
    """All blobs as one closed surface; what is nearer than about `softness` m flows together.

    A blob counts for exp(-distance / softness), and the surface lies where the sum is 1.
    """
    boxes = [blob.box() for blob in blobs]
    low = np.min([low for low, _ in boxes], axis=0) - 2 * softness
    high = np.max([high for _, high in boxes], axis=0) + 2 * softness
    cell = float((high - low).max()) / CELLS
    count = np.ceil((high - low) / cell).astype(int) + 1
    total = np.full(count, 1e-6, np.float32)
    for blob, (near, far) in zip(blobs, boxes, strict=True):
        # Beyond five times the softness a blob adds less than a hundredth.
        first = np.clip(np.floor((near - low - 5 * softness) / cell).astype(int), 0, count)
        last = np.clip(np.ceil((far - low + 5 * softness) / cell).astype(int) + 1, 0, count)
        axes = [(low[i] + cell * np.arange(first[i], last[i])).astype(np.float32) for i in range(3)]
        part = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        total[part] += np.exp(np.clip(-_distance(blob, axes) / softness, -14, 14))
    depth = np.log(total)
    # No vertex on a grid point: triangles without an area would open the mesh.
    depth[np.abs(depth) < 1e-4] = 1e-4
    vertices, faces, _, _ = marching_cubes(depth, 0.0)  # type: ignore[no-untyped-call]
    return _outside_out(low + cell * vertices, faces).simplify(0.12 * cell)


def _distance(blob: Blob, axes: Sequence[Float]) -> Float:
    """About the distance in m from a blob's surface, negative inside, at the grid points of three axes in m."""
    squash = np.asarray(blob.squash, np.float32)
    way = ((blob.end - blob.start) / squash).astype(np.float32)
    from_start = [(axis - s) / q for axis, s, q in zip(axes, blob.start, squash, strict=True)]
    x, y, z = np.meshgrid(*from_start, indexing="ij", sparse=True, copy=False)
    length2 = float(way @ way)
    t = np.clip((x * way[0] + y * way[1] + z * way[2]) / length2, 0, 1) if length2 > 0 else np.float32(0)
    distance = np.sqrt((x - t * way[0]) ** 2 + (y - t * way[1]) ** 2 + (z - t * way[2]) ** 2)
    distance -= blob.radii[0] + t * (blob.radii[1] - blob.radii[0])
    # In the squashed space the distance is too short along wide axes: the mean makes up for half of it.
    scaled: Float = distance * float(squash.mean())
    return scaled


def _outside_out(vertices: Float, faces: Int) -> Manifold:
    """The solid of a closed mesh, vertices (V, 3) in m and faces (F, 3), whichever way its faces are wound."""
    solid = Manifold()
    for wound in (faces, faces[:, ::-1]):
        mesh = Mesh(vertices.astype(np.float32), np.ascontiguousarray(wound, np.uint32))
        mesh.merge()
        solid = Manifold(mesh)
        if solid.volume() >= 0:
            break
    return solid
