"""From cube values to triangles: FlexiCubes (Shen et al. 2023) on active cubes only.

A grid vertex without an active cube counts as outside (signed distance +1), so the only inactive cubes that
carry surface are those touching an active vertex inside the object. Cubes and vertices are found through flat
lookup grids; nothing but these is dense. All sums are gathers in a fixed order, so the result is
deterministic on every device, and it is differentiable with respect to the cube values.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .dual_marching_tables import CORNERS, EDGES, tables


class SurfaceMesh(NamedTuple):
    """A triangle mesh.

    vertices (V, 3) in the object's cube [-0.5, 0.5]^3, faces (F, 3) int64 counter-clockwise from outside.
    attributes (V, 6) in (0, 1): colour rgb, then a normal as the decoder encodes it.
    """

    vertices: Tensor
    faces: Tensor
    attributes: Tensor


class CubeValues(NamedTuple):
    """The 101 channels of every cube: sdf (M, 8), deform (M, 8, 3), weights (M, 21), attributes (M, 8, 6)."""

    sdf: Tensor
    deform: Tensor
    weights: Tensor
    attributes: Tensor

    @classmethod
    def of(cls, channels: Tensor, resolution: int) -> CubeValues:
        """From the mesh decoder's output (M, 101); the distance is biased by -1/resolution towards inside."""
        sdf, deform, weights, attributes = channels.float().split([8, 24, 21, 48], dim=1)
        return cls(
            sdf - 1 / resolution, deform.unflatten(1, (8, 3)), weights, attributes.unflatten(1, (8, 6))
        )


def extract(channels: Tensor, coords: Tensor, resolution: int = 256) -> SurfaceMesh:
    """Surface of one object.

    channels (M, 101) from the mesh decoder, coords (M, 3) int64 of the active cubes in [0, resolution).
    """
    values = CubeValues.of(channels, resolution)
    corners = torch.as_tensor(CORNERS, device=coords.device)
    coords = coords.long()
    cube_at = _lookup(_flat(coords, resolution), resolution**3)

    vertices = _active_vertices(coords, corners, resolution)
    sdf, deform, attributes = _vertex_means(values, vertices, cube_at, corners, resolution)
    vertex_at = _lookup(_flat(vertices, resolution + 1), (resolution + 1) ** 3)

    cubes = _candidate_cubes(coords, vertices[sdf[:, 0] < 0], corners, resolution)
    ids = vertex_at[_flat(cubes[:, None] + corners, resolution + 1)]  # (C, 8), -1 where not active
    cube_sdf = torch.where(ids < 0, 1.0, sdf[:, 0][ids])
    inside = cube_sdf < 0
    surface = inside.any(dim=1) & ~inside.all(dim=1)
    cubes, ids, cube_sdf, inside = cubes[surface], ids[surface], cube_sdf[surface], inside[surface]

    surface_at = _lookup(_flat(cubes, resolution), resolution**3)
    case = _resolve((inside.long() << torch.arange(8, device=coords.device)).sum(dim=1), cubes, surface_at)
    alpha, beta, gamma = _cube_weights(values.weights, cube_at[_flat(cubes, resolution)])

    missing = (ids < 0)[..., None]
    shift = torch.where(missing, 0.0, torch.tanh(deform[ids])) * ((1 - 1e-8) / (2 * resolution))
    position = (cubes[:, None] + corners) / resolution - 0.5 + shift
    carried = torch.cat([position, torch.sigmoid(torch.where(missing, 0.0, attributes[ids]))], dim=-1)

    table = tables()
    group = torch.as_tensor(table.group, device=coords.device)[case]  # (S, 12)
    count = torch.as_tensor(table.count, device=coords.device)[case]
    first = count.cumsum(0) - count
    dual = _dual_vertices(carried, cube_sdf * alpha, beta, group, count)
    faces = _faces(cubes, surface_at, group, first, gamma, inside[:, 0], resolution)
    return SurfaceMesh(dual[:, :3], faces, dual[:, 3:])


def _flat(coords: Tensor, side: int) -> Tensor:
    """Grid coordinates (..., 3) -> number of the cell, x slowest."""
    return (coords[..., 0] * side + coords[..., 1]) * side + coords[..., 2]


def _lookup(cells: Tensor, size: int) -> Tensor:
    """Row of each cell of a flat grid, int32, -1 where there is none."""
    table = torch.full((size,), -1, dtype=torch.int32, device=cells.device)
    table[cells] = torch.arange(len(cells), dtype=torch.int32, device=cells.device)
    return table


def _unflatten(mark: Tensor, side: int) -> Tensor:
    """Coordinates of the marked cells of a flat grid, (N, 3), in raster order."""
    flat = mark.nonzero()[:, 0]
    return torch.stack([flat // side**2, flat // side % side, flat % side], dim=1)


def _active_vertices(coords: Tensor, corners: Tensor, resolution: int) -> Tensor:
    """Grid vertices that belong to an active cube, (V, 3), raster order."""
    side = resolution + 1
    mark = torch.zeros(side**3, dtype=torch.bool, device=coords.device)
    for corner in corners:
        mark[_flat(coords + corner, side)] = True
    return _unflatten(mark, side)


def _vertex_means(
    values: CubeValues, vertices: Tensor, cube_at: Tensor, corners: Tensor, resolution: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Corner values averaged over the active cubes at a vertex: (V, 1), (V, 3), (V, 6)."""
    stacked = torch.cat([values.sdf[..., None], values.deform, values.attributes], dim=-1)  # (M, 8, 10)
    total = stacked.new_zeros(len(vertices), 10)
    number = stacked.new_zeros(len(vertices), 1)
    for k, corner in enumerate(corners):
        cube = vertices - corner
        valid = ((cube >= 0) & (cube < resolution)).all(dim=1)
        row = cube_at[_flat(cube.clamp(0, resolution - 1), resolution)].long()
        valid = valid & (row >= 0)
        total = total + torch.where(valid[:, None], stacked[:, k][row.clamp(min=0)], 0.0)
        number = number + valid[:, None]
    mean = total / number
    return mean[:, :1], mean[:, 1:4], mean[:, 4:]


def _candidate_cubes(coords: Tensor, inside: Tensor, corners: Tensor, resolution: int) -> Tensor:
    """Active cubes and all cubes that touch an inside vertex, (C, 3), raster order."""
    mark = torch.zeros(resolution**3, dtype=torch.bool, device=coords.device)
    mark[_flat(coords, resolution)] = True
    for corner in corners:
        cube = inside - corner
        valid = ((cube >= 0) & (cube < resolution)).all(dim=1)
        mark[_flat(cube[valid], resolution)] = True
    return _unflatten(mark, resolution)


def _resolve(case: Tensor, cubes: Tensor, surface_at: Tensor) -> Tensor:
    """Invert the case of two cubes that would cross their common ambiguous face with one loop each."""
    resolution = round(len(surface_at) ** (1 / 3))
    step = torch.as_tensor(tables().ambiguous, device=case.device)
    problem = (step != 0).any(dim=1)
    rows = problem[case].nonzero()[:, 0]
    beyond = cubes[rows] + step[case[rows]]
    valid = ((beyond >= 0) & (beyond < resolution)).all(dim=1)
    rows, beyond = rows[valid], beyond[valid]
    neighbour = surface_at[_flat(beyond, resolution)].long()
    both = (neighbour >= 0) & problem[case[neighbour]]
    out = case.clone()
    out[rows[both]] = 255 - case[rows[both]]
    return out


def _cube_weights(weights: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """alpha (S, 8) per corner, beta (S, 12) per edge, gamma (S,); raw weights are 0 where row is -1."""
    raw = torch.where((row < 0)[:, None], 0.0, weights[row.long().clamp(min=0)])
    alpha = 0.99 * torch.tanh(raw[:, 12:20]) + 1
    beta = 0.99 * torch.tanh(raw[:, :12]) + 1
    gamma = 0.99 * torch.sigmoid(raw[:, 20]) + 0.005
    return alpha, beta, gamma


def _dual_vertices(carried: Tensor, level: Tensor, beta: Tensor, group: Tensor, count: Tensor) -> Tensor:
    """Weighted means of edge crossings, (sum of count, K); cubes in order, then their loops.

    carried (S, 8, K) values at corners, level (S, 8) weighted distances, beta and group (S, 12), count (S,).
    """
    total = carried.new_zeros(len(carried), 4, carried.shape[-1] + 1)
    loops = torch.arange(4, device=group.device)
    for e, (a, b) in enumerate(EDGES):
        crossed = group[:, e] >= 0
        gap = torch.where(crossed, level[:, b] - level[:, a], 1.0)
        share = torch.where(crossed, -level[:, a] / gap, 0.0)[:, None]
        crossing = carried[:, a] * (1 - share) + carried[:, b] * share
        weight = torch.where(group[:, e : e + 1] == loops, beta[:, e : e + 1], 0.0)[..., None]
        total = total + weight * torch.nn.functional.pad(crossing, (0, 1), value=1.0)[:, None]
    kept = total[loops < count[:, None]]
    return kept[:, :-1] / kept[:, -1:]


def _faces(
    cubes: Tensor,
    surface_at: Tensor,
    group: Tensor,
    first: Tensor,
    gamma: Tensor,
    inside: Tensor,
    resolution: int,
) -> Tensor:
    """Two triangles for every crossed grid edge that four cubes share.

    An edge is looked at from the cube whose corner 0 it starts at; `inside` (S,) is the sign of that corner.
    The quad is split along the diagonal with the larger product of gamma.
    """
    parts = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        rows = ((group[:, _edge(0, axis)] >= 0) & (cubes[:, u] > 0) & (cubes[:, v] > 0)).nonzero()[:, 0]
        corner = []
        for du, dv in ((0, 0), (1, 0), (1, 1), (0, 1)):  # the four cubes around the edge, counter-clockwise
            back = np.zeros(3, int)
            back[u], back[v] = 1 - du, 1 - dv
            at = _flat(cubes[rows] - torch.as_tensor(back, device=cubes.device), resolution)
            cube = surface_at[at].long()
            start = int(np.flatnonzero((back == CORNERS).all(axis=1))[0])
            corner.append((first[cube] + group[cube, _edge(start, axis)], gamma[cube]))
        quad = torch.stack([c[0] for c in corner], dim=1)
        g = torch.stack([c[1] for c in corner], dim=1)
        flip = ~inside[rows]
        quad = torch.where(flip[:, None], quad.flip(1), quad)
        # Equal products (inactive cubes) are decided by the sign of the edge's first corner in EDGES, which
        # turns the quad's starting point in the published extraction.
        near, far = g[:, 0] * g[:, 2], g[:, 1] * g[:, 3]
        prefer_near = inside[rows] if EDGES[_edge(0, axis)][0] == 0 else ~inside[rows]
        split = torch.where(prefer_near, near >= far, near > far) ^ flip
        even, odd = quad[:, [0, 1, 2, 0, 2, 3]], quad[:, [0, 1, 3, 3, 1, 2]]
        parts.append(torch.where(split[:, None], even, odd).reshape(-1, 3))
    return torch.cat(parts)


def _edge(start: int, axis: int) -> int:
    """Number of the edge that leaves corner `start` along an axis."""
    end = start + (1, 2, 4)[axis]
    return next(e for e, pair in enumerate(EDGES.tolist()) if set(pair) == {start, end})
