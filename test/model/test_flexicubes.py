"""FlexiCubes on analytic shapes, its tables, and its edge cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from sam3d_ros.model.dual_marching_tables import CORNERS, EDGES, tables
from sam3d_ros.model.flexicubes import extract


def cubes_around(field, resolution, band=1.5):
    """Active cubes inside and near the zero level of a field of (..., 3) points, with the decoder's channels
    for it.
    """
    grid = torch.stack(torch.meshgrid(*[torch.arange(resolution)] * 3, indexing="ij"), -1).reshape(-1, 3)
    corners = (grid[:, None] + torch.as_tensor(CORNERS)) / resolution - 0.5
    sdf = field(corners)
    near = sdf.amin(dim=1) < band / resolution
    channels = torch.zeros(int(near.sum()), 101)
    channels[:, :8] = sdf[near] + 1 / resolution
    return channels, grid[near]


def as_trimesh(mesh):
    return trimesh.Trimesh(mesh.vertices.detach().numpy(), mesh.faces.numpy(), process=False)


@pytest.mark.parametrize("resolution", [16, 48])
def test_sphere(resolution):
    mesh = as_trimesh(extract(*cubes_around(lambda p: p.norm(dim=-1) - 0.3, resolution), resolution))
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.euler_number == 2
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=20 / resolution**2)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 0.3, atol=0.5 / resolution)


def test_torus_has_one_hole():
    def torus(p):
        return ((p[..., :2].norm(dim=-1) - 0.25) ** 2 + p[..., 2] ** 2).sqrt() - 0.1

    mesh = as_trimesh(extract(*cubes_around(torus, 40), 40))
    assert mesh.is_watertight
    assert mesh.euler_number == 0


def test_random_signs_give_a_closed_oriented_surface():
    """Every ambiguous case occurs; each directed edge is used as often as its reverse, and no edge by more
    than two.
    """
    g = torch.Generator().manual_seed(0)
    r = 12
    field = torch.full((r + 1,) * 3, 1.0)
    field[2:-2, 2:-2, 2:-2] = torch.randn(r - 3, r - 3, r - 3, generator=g)
    grid = torch.stack(torch.meshgrid(*[torch.arange(r)] * 3, indexing="ij"), -1).reshape(-1, 3)
    at = grid[:, None] + torch.as_tensor(CORNERS)
    channels = torch.zeros(len(grid), 101)
    channels[:, :8] = field[at[..., 0], at[..., 1], at[..., 2]] + 1 / r
    faces = extract(channels, grid, r).faces.numpy()
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    directed, counts = np.unique(edges, axis=0, return_counts=True)
    assert {tuple(e) for e in directed} == {tuple(e[::-1]) for e in directed}
    assert counts.max() == 1


def test_only_the_neighbourhood_of_active_cubes_is_touched():
    """A solid block of active cubes with negative distance everywhere: the surface lies in the inactive ring
    around it.
    """
    r = 16
    block = torch.stack(torch.meshgrid(*[torch.arange(5, 9)] * 3, indexing="ij"), -1).reshape(-1, 3)
    channels = torch.full((64, 101), 0.0)
    channels[:, :8] = -1.0
    mesh = as_trimesh(extract(channels, block, r))
    assert mesh.is_watertight
    assert (mesh.bounds[0] >= 4 / r - 0.5 - 1e-6).all()
    assert (mesh.bounds[1] <= 10 / r - 0.5 + 1e-6).all()


def test_nothing_to_extract():
    mesh = extract(torch.ones(4, 101), torch.arange(12).reshape(4, 3), 16)
    assert mesh.vertices.shape == (0, 3)
    assert mesh.faces.shape == (0, 3)
    assert extract(torch.zeros(0, 101), torch.zeros(0, 3, dtype=torch.long), 16).faces.shape == (0, 3)


def test_surface_at_the_border_is_open_but_valid():
    """Edges on the grid's border have fewer than four cubes and give no faces."""
    r = 8
    grid = torch.stack(torch.meshgrid(*[torch.arange(r)] * 3, indexing="ij"), -1).reshape(-1, 3)
    channels = torch.zeros(len(grid), 101)
    channels[:, :8] = (grid[:, None, 2] + torch.as_tensor(CORNERS)[:, 2] - 3.4) / r + 1 / r
    mesh = extract(channels, grid, r)
    assert len(mesh.faces) == 2 * (r - 1) ** 2
    assert int(mesh.faces.max()) < len(mesh.vertices)
    normals = as_trimesh(mesh).face_normals
    np.testing.assert_allclose(normals, np.tile([0, 0, 1.0], (len(normals), 1)), atol=1e-5)


def test_order_of_cubes_does_not_matter():
    channels, coords = cubes_around(lambda p: p.norm(dim=-1) - 0.3, 20)
    channels = channels + 0.01 * torch.randn(channels.shape, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(len(coords), generator=torch.Generator().manual_seed(1))
    a, b = extract(channels, coords, 20), extract(channels[order], coords[order], 20)
    assert torch.equal(a.faces, b.faces)
    torch.testing.assert_close(a.vertices, b.vertices, rtol=0, atol=1e-6)


def test_gradient_reaches_all_used_channels():
    channels, coords = cubes_around(lambda p: p.norm(dim=-1) - 0.3, 16)
    noise = 0.05 * torch.randn(channels.shape, generator=torch.Generator().manual_seed(0))
    channels = (channels + noise).requires_grad_()
    mesh = extract(channels, coords, 16)
    (mesh.vertices.square().sum() + mesh.attributes.sum()).backward()
    used = channels.grad.abs().sum(dim=0) > 0
    assert used[:52].all()  # distance, deformation, alpha and beta; gamma only chooses diagonals
    assert used[53:].all()
    assert channels.grad.isfinite().all()


# Tables.


def test_tables_are_complete():
    t = tables()
    for case in range(256):
        inside = case >> np.arange(8) & 1
        crossed = inside[EDGES[:, 0]] != inside[EDGES[:, 1]]
        assert ((t.group[case] >= 0) == crossed).all()
        for loop in range(t.count[case]):
            assert (t.group[case] == loop).sum() in (3, 4, 5, 6, 7)
    assert t.count.max() == 4
    assert t.count[0] == t.count[255] == 0


def test_tables_follow_the_symmetry_of_the_cube():
    """Turning a case turns its loops: each of the 24 rotations maps groups to groups."""
    t = tables()
    rotations = [
        np.array([[s if j == p[i] else 0 for j in range(3)] for i, s in enumerate(signs)])
        for p in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])
        for signs in np.ndindex(2, 2, 2)
        for signs in [[1 - 2 * s for s in signs]]
    ]
    rotations = [r for r in rotations if round(np.linalg.det(r)) == 1]
    assert len(rotations) == 24
    pairs = [frozenset(e) for e in EDGES.tolist()]
    for r in rotations:
        turned = ((2 * CORNERS - 1) @ r.T + 1) // 2
        corner_to = (turned @ [1, 2, 4]).tolist()
        edge_to = [pairs.index(frozenset(corner_to[c] for c in e)) for e in EDGES.tolist()]
        for case in range(0, 256, 5):
            image = sum(1 << corner_to[k] for k in range(8) if case >> k & 1)
            groups = {
                frozenset(edge_to[e] for e in np.flatnonzero(t.group[case] == g))
                for g in range(t.count[case])
            }
            assert groups == {frozenset(np.flatnonzero(t.group[image] == g)) for g in range(t.count[image])}
