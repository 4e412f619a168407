"""From cube values to triangles: FlexiCubes (Shen et al. 2023) on active cubes only.

A grid vertex without an active cube counts as outside (signed distance +1), so the only inactive cubes that
carry surface are those touching an active vertex inside the object. Cubes and vertices are found through flat
lookup grids; nothing but these is dense. No sum adds to one place twice in one operation, so the result is
deterministic on every device; it is differentiable with respect to the cube values.

Cubes and vertices are numbered in one grid with a margin of a cell on every side: cube c has its corner vertex v
at the same number, and a step along an axis adds the same to every number. The margin answers "outside".
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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
    """The 101 channels of every cube: sdf (M, 8, 1), deform (M, 8, 3), weights (M, 21), attributes (M, 8, 6)."""

    sdf: Tensor
    deform: Tensor
    weights: Tensor
    attributes: Tensor

    @classmethod
    def of(cls, channels: Tensor, resolution: int) -> CubeValues:
        """From the mesh decoder's output (M, 101); the distance is biased by -1/resolution towards inside."""
        sdf, deform, weights, attributes = channels.float().split([8, 24, 21, 48], dim=1)
        sdf = (sdf - 1 / resolution)[..., None]
        return cls(sdf, deform.unflatten(1, (8, 3)), weights, attributes.unflatten(1, (8, 6)))


@dataclass(frozen=True)
class Grid:
    """The numbering of cubes and vertices, with its margin."""

    resolution: int
    device: torch.device

    @property
    def side(self) -> int:
        """Cells along an axis."""
        return self.resolution + 2

    @property
    def strides(self) -> Tensor:
        """What a step along x, y, z adds to a number."""
        return torch.tensor([self.side**2, self.side, 1], device=self.device)

    @property
    def corners(self) -> Tensor:
        """What leads from a cube to its eight vertices, (8,)."""
        return (torch.as_tensor(CORNERS, device=self.device) * self.strides).sum(dim=1)

    def number(self, coords: Tensor) -> Tensor:
        """Coordinates (N, 3) -> numbers (N,)."""
        return ((coords + 1) * self.strides).sum(dim=1)

    def coords(self, number: Tensor) -> Tensor:
        """Numbers (N,) -> coordinates (N, 3)."""
        side = self.side
        return torch.stack([number // side**2, number // side % side, number % side], dim=1) - 1

    def mark(self, *numbers: Tensor) -> Tensor:
        """A flat grid that is True at these numbers."""
        marked = torch.zeros(self.side**3, dtype=torch.bool, device=self.device)
        for n in numbers:
            marked[n] = True
        return marked

    def rows(self, numbers: Tensor) -> Tensor:
        """A flat grid that holds the place of each number in the list, int32, -1 elsewhere."""
        table = torch.full((self.side**3,), -1, dtype=torch.int32, device=self.device)
        table[numbers] = torch.arange(len(numbers), dtype=torch.int32, device=self.device)
        return table

    def vertices_of(self, cubes: Tensor) -> Tensor:
        """Numbers of all vertices of these cubes, each once, ascending."""
        return self.mark(*(cubes + c for c in self.corners)).nonzero()[:, 0]

    def cubes_around(self, vertices: Tensor, cubes: Tensor) -> Tensor:
        """Numbers of these cubes and of all cubes of the grid that touch these vertices, ascending."""
        marked = self.mark(cubes, *(vertices - c for c in self.corners)).view(*[self.side] * 3)
        for axis in range(3):  # cubes in the margin do not exist
            marked.select(axis, 0).fill_(False)
            marked.select(axis, self.side - 1).fill_(False)
        return marked.reshape(-1).nonzero()[:, 0]


def extract(channels: Tensor, coords: Tensor, resolution: int = 256) -> SurfaceMesh:
    """Surface of one object.

    channels (M, 101) from the mesh decoder, coords (M, 3) int of the active cubes in [0, resolution).
    """
    values = CubeValues.of(channels, resolution)
    grid = Grid(resolution, coords.device)
    active = grid.number(coords.long())
    active_at = grid.rows(active)

    # Signs first: they tell which cubes carry surface, and only the vertices of those are looked at further.
    vertices = grid.vertices_of(active)
    sdf, _ = _vertex_means([values.sdf], vertices, active_at, grid)
    negative = vertices[sdf[:, 0] < 0]
    cubes = grid.cubes_around(negative, active)
    inside = grid.mark(negative)[cubes[:, None] + grid.corners]  # (C, 8)
    surface = inside.any(dim=1) & ~inside.all(dim=1)
    cubes, inside = cubes[surface], inside[surface]

    vertices = grid.vertices_of(cubes)
    carried = _carried(values, vertices, active_at, grid)
    at_corner = grid.rows(vertices)[cubes[:, None] + grid.corners].long()
    alpha, beta, gamma = _cube_weights(values.weights, active_at[cubes])

    surface_at = grid.rows(cubes)
    case = _resolve(
        (inside.long() << torch.arange(8, device=grid.device)).sum(dim=1), cubes, surface_at, grid
    )
    group = torch.as_tensor(tables().group, device=grid.device)[case]  # (S, 12)
    count = torch.as_tensor(tables().count, device=grid.device)[case]
    first = count.cumsum(0) - count
    dual = _dual_vertices(carried, at_corner, alpha, beta, group, count, first)
    faces = _faces(cubes, surface_at, group, first, gamma, inside[:, 0], grid)
    return SurfaceMesh(dual[:, :3], faces, dual[:, 3:])


def _vertex_means(
    values: list[Tensor], vertices: Tensor, active_at: Tensor, grid: Grid
) -> tuple[Tensor, Tensor]:
    """Corner values, each (M, 8, K), averaged over the active cubes at each vertex, (V, sum of K).

    Also the number of these cubes, (V, 1); where it is 0, the mean is 0.
    """
    total = values[0].new_zeros(len(vertices), sum(v.shape[2] for v in values))
    number = values[0].new_zeros(len(vertices), 1)
    for k, step in enumerate(grid.corners):
        row = active_at[vertices - step].long()
        known = (row >= 0).nonzero()[:, 0]
        row = row[known]
        total = total.index_add(0, known, torch.cat([v[:, k][row] for v in values], dim=1))
        number[known] += 1
    return total / number.clamp(min=1), number


def _carried(values: CubeValues, vertices: Tensor, active_at: Tensor, grid: Grid) -> Tensor:
    """What vertices hold: signed distance, deformed position, attributes in (0, 1), together (V, 10)."""
    parts = [values.sdf, values.deform, values.attributes]
    mean, number = _vertex_means(parts, vertices, active_at, grid)
    sdf = torch.where(number > 0, mean[:, :1], 1.0)
    shift = torch.tanh(mean[:, 1:4]) * ((1 - 1e-8) / (2 * grid.resolution))
    position = grid.coords(vertices) / grid.resolution - 0.5 + shift
    return torch.cat([sdf, position, torch.sigmoid(mean[:, 4:])], dim=1)


def _cube_weights(weights: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """alpha (S, 8) per corner, beta (S, 12) per edge, gamma (S,); raw weights are 0 where row is -1."""
    known = (row >= 0).nonzero()[:, 0]
    raw = weights.new_zeros(len(row), weights.shape[1]).index_add(0, known, weights[row[known].long()])
    alpha = 0.99 * torch.tanh(raw[:, 12:20]) + 1
    beta = 0.99 * torch.tanh(raw[:, :12]) + 1
    gamma = 0.99 * torch.sigmoid(raw[:, 20]) + 0.005
    return alpha, beta, gamma


def _resolve(case: Tensor, cubes: Tensor, surface_at: Tensor, grid: Grid) -> Tensor:
    """Invert the case of two cubes that would cross their common ambiguous face with one loop each."""
    step = (torch.as_tensor(tables().ambiguous, device=grid.device) * grid.strides).sum(dim=1)
    rows = (step != 0)[case].nonzero()[:, 0]
    neighbour = surface_at[cubes[rows] + step[case[rows]]].long()
    both = (neighbour >= 0) & (step[case[neighbour.clamp(min=0)]] != 0)
    out = case.clone()
    out[rows[both]] = 255 - case[rows[both]]
    return out


def _dual_vertices(
    carried: Tensor,
    at_corner: Tensor,
    alpha: Tensor,
    beta: Tensor,
    group: Tensor,
    count: Tensor,
    first: Tensor,
) -> Tensor:
    """Weighted means of edge crossings, (sum of count, 9): cubes in order, then their loops.

    carried (V, 10), at_corner (S, 8) its rows, alpha (S, 8), beta and group (S, 12), count and first (S,).
    """
    means, rows = [], []
    for loop in range(4):
        own = (count > loop).nonzero()[:, 0]
        total = carried.new_zeros(len(own), carried.shape[1])
        weights = carried.new_zeros(len(own), 1)
        for e, (a, b) in enumerate(EDGES):
            here = (group[own, e] == loop).nonzero()[:, 0]
            cube = own[here]
            from_a, from_b = carried[at_corner[cube, a]], carried[at_corner[cube, b]]
            level_a, level_b = from_a[:, 0] * alpha[cube, a], from_b[:, 0] * alpha[cube, b]
            share = (level_a / (level_a - level_b))[:, None]
            weight = beta[cube, e : e + 1]
            total = total.index_add(0, here, weight * torch.lerp(from_a, from_b, share))
            weights = weights.index_add(0, here, weight)
        means.append((total / weights)[:, 1:])
        rows.append(first[own] + loop)
    return torch.cat(means)[torch.argsort(torch.cat(rows))]


def _faces(
    cubes: Tensor,
    surface_at: Tensor,
    group: Tensor,
    first: Tensor,
    gamma: Tensor,
    inside: Tensor,
    grid: Grid,
) -> Tensor:
    """Two triangles for every crossed grid edge that four cubes share.

    An edge is looked at from the cube whose corner 0 it starts at; `inside` (S,) is the sign of that corner.
    The quad is split along the diagonal with the larger product of gamma.
    """
    parts = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        rows = (group[:, _edge(0, axis)] >= 0).nonzero()[:, 0]
        # The four cubes around the edge, counter-clockwise, and the corner of each at which the edge starts.
        starts = (1 << u | 1 << v, 1 << v, 0, 1 << u)
        around = torch.stack([surface_at[cubes[rows] - grid.corners[s]] for s in starts], dim=1).long()
        whole = (around >= 0).all(dim=1)
        rows, around = rows[whole], around[whole]
        edges = torch.tensor([_edge(s, axis) for s in starts], device=grid.device)
        quad = first[around] + group[around, edges]
        g = gamma[around]
        # Equal products (inactive cubes) are decided by the sign of the edge's first corner in EDGES, which
        # turns the quad's starting point in the published extraction.
        near, far = g[:, 0] * g[:, 2], g[:, 1] * g[:, 3]
        prefer_near = inside[rows] if EDGES[_edge(0, axis)][0] == 0 else ~inside[rows]
        split = torch.where(prefer_near, near >= far, near > far)
        quad = torch.where(split[:, None], quad, quad.roll(-1, dims=1))  # the diagonal is now 0-2
        quad = torch.where(inside[rows, None], quad, quad[:, [0, 3, 2, 1]])
        parts.append(quad[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3))
    return torch.cat(parts)


def _edge(start: int, axis: int) -> int:
    """Number of the edge that leaves corner `start` along an axis."""
    ends = {start, start | 1 << axis}
    return next(e for e, pair in enumerate(EDGES.tolist()) if set(pair) == ends)
