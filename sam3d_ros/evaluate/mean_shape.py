"""The baseline that knows what things look like on average and nothing about this one: the mean training
shape, at the centroid of the visible points, as large as they are."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sam3d_ros.data.held_out import SEEN_CATEGORIES
from sam3d_ros.data.objects import make_object
from sam3d_ros.mesh.occupancy import closed, occupancy
from sam3d_ros.mesh.surface import Grid, surface
from sam3d_ros.types import Float, Mesh

OBJECTS = 104
CELLS = 32
HALF = 0.55
"""Half the side of the grid, where the longest side of an object is 1."""


@lru_cache(maxsize=1)
def mean_shape() -> Mesh:
    """Mesh whose longest side is 1, around the origin, z up.

    Solids of OBJECTS training objects (seeds 0 and up), upright, turned at random about z, each scaled to
    the longest side 1, are averaged; the level is chosen so that the mean keeps their mean volume.
    """
    total = np.zeros((CELLS, CELLS, CELLS))
    for seed in range(OBJECTS):
        rng = np.random.default_rng(seed)
        model = make_object(SEEN_CATEGORIES[seed % len(SEEN_CATEGORIES)], rng)
        vertices, faces = closed(model.mesh)
        angle = rng.uniform(0, 2 * np.pi)
        c, s = np.cos(angle), np.sin(angle)
        vertices = vertices / model.size_m.max() @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]).T
        total += occupancy(vertices, faces, np.full(3, -HALF), 2 * HALF / CELLS, (CELLS, CELLS, CELLS))
    mean = total / OBJECTS
    kept = round(float(mean.sum()))
    level = float(np.sort(mean.ravel())[-kept])
    cell = 2 * HALF / CELLS
    grid = Grid(np.full(3, -HALF + cell / 2), np.full(3, cell), (CELLS, CELLS, CELLS))
    blob = surface((mean - level + 1e-6) * cell, grid)
    low, high = blob.vertices.min(axis=0), blob.vertices.max(axis=0)
    return Mesh((blob.vertices - (low + high) / 2) / (high - low).max(), blob.faces)


def mean_at_centroid(points_view: Float) -> Mesh:
    """The mean shape in the view frame, m. points_view: (N, 3) visible points in the view frame."""
    size = float(np.ptp(points_view, axis=0).max())
    middle = points_view.mean(axis=0)
    shape = mean_shape()
    return Mesh((shape.vertices * size + middle).astype(np.float32), shape.faces)
