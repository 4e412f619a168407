"""Which cells of a grid lie inside a closed mesh: exact, without a ray tracer, in numpy.

Every column of the grid is a line along z. Where it crosses a triangle the winding number changes by one,
up or down with the triangle's orientation; a cell is inside where the sum below it is not zero. Overlapping
and nested bodies are thereby right. A line through an edge shared by two triangles must count for exactly
one of them: the side of an edge is decided by one formula on its two end points in the order of their
numbers, so both triangles see the same bits.
"""

from __future__ import annotations

import numpy as np

from sam3d_ros.types import Bool, Float, InputError, Int, Mesh


def clean(mesh: Mesh, what: str = "mesh") -> tuple[Float, Int]:
    """(V, 3) float64 vertices and (F, 3) faces with equal vertices merged and collapsed triangles gone.

    Raises InputError where vertices are not finite or faces name missing vertices.
    """
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    if not np.isfinite(vertices).all():
        bad = int((~np.isfinite(vertices)).any(axis=1).sum())
        raise InputError(f"{what}: {bad} of {len(vertices)} vertices are not finite")
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise InputError(f"{what}: a face names a vertex that does not exist")
    vertices, same = np.unique(vertices, axis=0, return_inverse=True)
    faces = same.reshape(-1)[faces].reshape(-1, 3)
    a, b, c = faces.T
    return vertices, faces[(a != b) & (b != c) & (c != a)]


def is_closed(faces: Int) -> bool:
    """Whether faces (F, 3) without double vertices enclose something: every edge is walked as often in one
    direction as in the other."""
    return bool(len(faces)) and _free_edges(faces) == 0


def closed(mesh: Mesh, what: str = "mesh") -> tuple[Float, Int]:
    """As `clean`. Raises InputError also where the surface is not closed."""
    vertices, faces = clean(mesh, what)
    if len(faces) and (free := _free_edges(faces)):
        raise InputError(f"{what} is not closed: {free} edges have a free side")
    return vertices, faces


def _free_edges(faces: Int) -> int:
    start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    low, high = np.minimum(start, end), np.maximum(start, end)
    _, edge = np.unique(low * (faces.max() + 1) + high, return_inverse=True)
    balance = np.bincount(edge.reshape(-1), weights=np.where(start < end, 1, -1))
    return int((balance != 0).sum())


def occupancy(
    vertices: Float, faces: Int, origin: Float, cell: float | Float, shape: tuple[int, int, int]
) -> Bool:
    """(shape) whether the centre of each cell is inside a closed mesh of vertices (V, 3) and faces (F, 3).

    The centre of cell (i, j, k) is `origin + cell * (i + 0.5, j + 0.5, k + 0.5)`; cell: one side or (3,).
    """
    crossings = np.zeros((shape[0], shape[1], shape[2] + 1), np.int32)
    if not len(faces):
        return np.zeros(shape, bool)
    grid = (vertices - origin) / cell - 0.5
    xy = grid[faces][:, :, :2]
    low = np.maximum(np.ceil(xy.min(axis=1)), 0).astype(np.int64)
    high = np.minimum(np.floor(xy.max(axis=1)), np.array(shape[:2]) - 1).astype(np.int64)
    spans = np.maximum(high - low + 1, 0)
    counts = spans[:, 0] * spans[:, 1]
    # Every triangle with every column within its box; in parts, since a large triangle covers many.
    total = np.cumsum(counts)
    for first in range(0, int(total[-1]), 2_000_000):
        pair = np.arange(first, min(first + 2_000_000, int(total[-1])))
        triangle = np.searchsorted(total, pair, side="right")
        within = pair - (total[triangle] - counts[triangle])
        i = low[triangle, 0] + within // spans[triangle, 1]
        j = low[triangle, 1] + within % spans[triangle, 1]
        _add_crossings(crossings, grid, faces[triangle], i, j)
    inside: Bool = np.cumsum(crossings, axis=2)[:, :, :-1] != 0
    return inside


def _add_crossings(crossings: Int, grid: Float, faces: Int, i: Int, j: Int) -> None:
    """Add the winding of triangles (N, 3) to the columns (i, j) they really cross, at the first cell
    above."""
    sides = np.stack([_left_of(grid, faces[:, k], faces[:, (k + 1) % 3], i, j) for k in range(3)])
    upward = np.all(sides, axis=0)
    hit = np.flatnonzero(upward == np.any(sides, axis=0))
    a, b, c = (grid[faces[hit, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    # Three edges with the column on the same side enclose an area; zero only where rounding says otherwise, and
    # then the clip below keeps z within the triangle.
    steep = np.where(normal[:, 2] != 0, normal[:, 2], np.inf)
    slope_x, slope_y = -normal[:, 0] / steep, -normal[:, 1] / steep
    z = a[:, 2] + slope_x * (i[hit] - a[:, 0]) + slope_y * (j[hit] - a[:, 1])
    z = np.clip(z, np.minimum(np.minimum(a, b), c)[:, 2], np.maximum(np.maximum(a, b), c)[:, 2])
    above = np.clip(np.ceil(z), 0, crossings.shape[2] - 1).astype(np.int64)
    np.add.at(crossings, (i[hit], j[hit], above), np.where(upward[hit], 1, -1))


def _left_of(grid: Float, start: Int, end: Int, i: Int, j: Int) -> Bool:
    """Whether the columns lie left of the edges seen from above; the reversed edge gives exactly the
    opposite."""
    p, q = grid[np.minimum(start, end)], grid[np.maximum(start, end)]
    area = (q[:, 0] - p[:, 0]) * (j - p[:, 1]) - (q[:, 1] - p[:, 1]) * (i - p[:, 0])
    left: Bool = (area > 0) == (start < end)
    return left
