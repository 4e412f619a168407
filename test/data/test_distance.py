"""Distance volumes against the exact distance of a box and plain references for a mug."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from sam3d_ros.data.distance import DistanceVolume, distance_volume, surface_samples
from sam3d_ros.data.objects import make_object
from sam3d_ros.types import Float, Mesh

HALF = np.array([0.04, 0.02, 0.06])


@pytest.fixture(scope="module")
def box() -> DistanceVolume:
    solid = trimesh.creation.box(2 * HALF)
    return distance_volume(Mesh(solid.vertices.astype(np.float32), solid.faces.astype(np.int32), None))


def box_distance(points: Float) -> Float:
    """Exact, positive inside."""
    beyond = np.abs(points) - HALF
    outside: Float = np.linalg.norm(np.maximum(beyond, 0), axis=1)
    return -outside - np.minimum(beyond.max(axis=1), 0)


def test_a_box_has_its_exact_distances(box: DistanceVolume) -> None:
    """To a fifth of a cell near the surface, to a cell elsewhere; beyond the grid to first order."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.04, 1.04, (4000, 3)) * HALF
    exact, cell = box_distance(points), box.grid.spacing.max()
    off = np.abs(box.at(points) - exact)
    assert off.max() < cell
    assert np.quantile(off[np.abs(exact) < cell], 0.99) < 0.2 * cell
    far = rng.normal(size=(500, 3))
    far *= 0.3 / np.linalg.norm(far, axis=1, keepdims=True)
    assert np.abs(box.at(far) - box_distance(far)).max() < 0.1 * 0.3


def test_the_sign_is_exact_at_every_sample(box: DistanceVolume) -> None:
    points = box.grid.points().astype(np.float64)
    exact = box_distance(points)
    clear = np.abs(exact) > 1e-6
    assert ((box.values.ravel() > 0) == (exact > 0))[clear].all()


def test_a_mug_agrees_with_plain_references() -> None:
    """Nearest point of every triangle, and the solid angle under which all triangles appear."""
    mesh = make_object("mug", np.random.default_rng(3)).mesh
    volume = distance_volume(mesh)
    rng = np.random.default_rng(1)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    points = rng.uniform(low, high, (60, 3))
    near, _, _ = surface_samples(mesh, 40, rng)
    points = np.concatenate([points, near + rng.normal(scale=1e-3, size=near.shape)])
    exact = np.where(winding(mesh, points) > 0.5, 1, -1) * nearest(mesh, points)
    off, cell = np.abs(volume.at(points) - exact), volume.grid.spacing.max()
    assert off.max() < cell
    assert np.quantile(off[60:], 0.9) < 0.3 * cell


def nearest(mesh: Mesh, points: Float) -> Float:
    """(N,) distances to the surface, by looking at every triangle."""
    triangles = mesh.vertices[mesh.faces].astype(np.float64)
    return np.array(
        [
            np.linalg.norm(
                trimesh.triangles.closest_point(triangles, np.broadcast_to(p, (len(triangles), 3))) - p,
                axis=1,
            ).min()
            for p in points
        ]
    )


def winding(mesh: Mesh, points: Float) -> Float:
    """(N,) 1 inside and 0 outside: the solid angle of all triangles over 4 pi (Van Oosterom and Strackee, 1983)."""
    out = []
    for p in points:
        a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) - p for k in range(3))
        la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
        volume = np.einsum("ij,ij->i", a, np.cross(b, c))
        scale = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
        out.append(2 * np.arctan2(volume, scale).sum() / (4 * np.pi))
    return np.array(out)


def test_samples_lie_evenly_on_the_surface() -> None:
    """Shares of the faces of a box by area; normals point out of the face they lie on."""
    solid = trimesh.creation.box(2 * HALF)
    mesh = Mesh(solid.vertices.astype(np.float32), solid.faces.astype(np.int32), None)
    points, normals, apart = surface_samples(mesh, 20_000, np.random.default_rng(0))
    axis = np.abs(normals).argmax(axis=1)
    areas = np.array([HALF[1] * HALF[2], HALF[0] * HALF[2], HALF[0] * HALF[1]])
    np.testing.assert_allclose(np.bincount(axis) / 20_000, areas / areas.sum(), atol=0.02)
    rows = np.arange(len(points))
    np.testing.assert_allclose(points[rows, axis], normals[rows, axis] * HALF[axis], atol=1e-6)
    assert apart == pytest.approx(np.sqrt(8 * areas.sum() / 20_000))
