import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3d_ros.data.objects import TABLETOP, make_object
from sam3d_ros.mesh.occupancy import closed, occupancy
from sam3d_ros.types import InputError, Mesh


def as_mesh(mesh):
    return Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))


def winding_numbers(points, vertices, faces):
    """(N,) by summing the solid angle of every triangle (Van Oosterom and Strackee), the plain reference."""
    total = np.zeros(len(points))
    for a, b, c in vertices[faces]:
        a, b, c = a - points, b - points, c - points
        la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
        numerator = np.einsum("ij,ij->i", a, np.cross(b, c))
        dots = [np.einsum("ij,ij->i", x, y) for x, y in ((a, b), (b, c), (c, a))]
        total += 2 * np.arctan2(numerator, la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb)
    return total / (4 * np.pi)


def compare(vertices, faces, resolution=10):
    low, size = vertices.min(axis=0), np.ptp(vertices, axis=0)
    cell = size.max() / resolution
    shape = tuple(int(n) for n in np.ceil(size / cell) + 2)
    origin = low - cell * np.array([0.93, 1.02, 0.98])
    fast = occupancy(vertices, faces, origin, cell, shape)
    centres = origin + cell * (np.stack(np.indices(shape), -1).reshape(-1, 3) + 0.5)
    slow = np.abs(winding_numbers(centres, vertices, faces)).reshape(shape) > 0.5
    np.testing.assert_array_equal(fast, slow)
    assert fast.any()
    return fast


@pytest.mark.parametrize("category", ["mug", "pan", "hammer"])
def test_against_winding_numbers(category):
    vertices, faces = closed(make_object(category, np.random.default_rng(0)).mesh)
    compare(vertices, faces, resolution=14)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_turned_shapes_against_winding_numbers(seed):
    rng = np.random.default_rng(seed)
    shape = [
        trimesh.creation.box((1, 2, 3)),
        trimesh.creation.torus(1, 0.4, 12, 8),
        trimesh.creation.icosphere(1),
    ]
    mesh = shape[rng.integers(3)]
    mesh.apply_transform(trimesh.transformations.random_rotation_matrix(rng.random(3)))
    compare(*closed(as_mesh(mesh)))


@pytest.mark.parametrize("category", TABLETOP)  # walls thinner than a cell are not what this grid is for
def test_volume_is_that_of_the_solid(category):
    mesh = make_object(category, np.random.default_rng(2)).mesh
    vertices, faces = closed(mesh)
    low, size = vertices.min(axis=0), np.ptp(vertices, axis=0)
    cell = float(size.max()) / 160
    shape = tuple(int(n) + 1 for n in np.ceil(size / cell))
    inside = occupancy(vertices, faces, low - 0.3 * cell, cell, shape)
    volume = trimesh.Trimesh(vertices, faces).volume
    assert inside.sum() * cell**3 == pytest.approx(volume, rel=0.03)


def test_columns_through_edges_and_corners_do_not_leak():
    """Every column passes exactly through edges and corners of the mesh."""
    raw = trimesh.creation.box((4, 4, 4)).subdivide().subdivide()
    vertices, faces = closed(as_mesh(raw))
    inside = occupancy(vertices, faces, np.full(3, -4.5), 1.0, (9, 9, 9))
    assert inside[3:6, 3:6, 3:6].all()  # centres at -1, 0, 1
    assert not inside[[0, 1, -2, -1]].any()
    assert not inside[:, [0, 1, -2, -1]].any()
    assert not inside[:, :, [0, 1, -2, -1]].any()


def test_inside_out_nested_and_overlapping_bodies():
    box, shifted = trimesh.creation.box((2, 2, 2)), trimesh.creation.box((2, 2, 2))
    shifted.apply_translation([1, 0, 0])
    both = trimesh.util.concatenate([box, shifted])
    assert compare(*closed(as_mesh(both))).sum() > 0
    inverted = box.copy()
    inverted.invert()
    np.testing.assert_array_equal(compare(*closed(as_mesh(box))), compare(*closed(as_mesh(inverted))))


def test_split_vertices_are_joined_and_collapsed_faces_dropped():
    box = trimesh.creation.box((1, 1, 1))
    soup = Mesh(
        box.vertices[box.faces].reshape(-1, 3).astype(np.float32),
        np.arange(36, dtype=np.int32).reshape(-1, 3),
    )
    vertices, faces = closed(soup)
    assert vertices.shape == (8, 3)
    needle = Mesh(soup.vertices, np.concatenate([soup.faces, [[0, 0, 1]]]).astype(np.int32))
    assert len(closed(needle)[1]) == len(faces) == 12


def test_bad_meshes_are_refused():
    box = as_mesh(trimesh.creation.box((1, 1, 1)))
    with pytest.raises(InputError, match="guess is not closed: 3 edges"):
        closed(Mesh(box.vertices, box.faces[1:]), "guess")
    for value in (np.nan, np.inf):
        vertices = box.vertices.copy()
        vertices[3, 1] = value
        with pytest.raises(InputError, match="1 of 8 vertices are not finite"):
            closed(Mesh(vertices, box.faces))
    with pytest.raises(InputError, match="does not exist"):
        closed(Mesh(box.vertices, box.faces + 1))


def test_corners_on_the_grid_points_of_a_lattice():
    """Polyhedra with integer corners, cells with integer centres: columns meet corners and edges all the time."""
    shape = (11, 11, 11)
    centres = np.stack(np.indices(shape), -1).reshape(-1, 3) - 5.0
    for seed in range(40):
        corners = np.random.default_rng(seed).integers(-4, 5, (12, 3)).astype(float)
        hull = trimesh.convex.convex_hull(corners)
        vertices, faces = closed(as_mesh(hull))
        inside = occupancy(vertices, faces, np.full(3, -5.5), 1.0, shape).reshape(-1)
        height = (centres @ hull.face_normals.T - (hull.triangles[:, 0] * hull.face_normals).sum(axis=1)).max(
            axis=1
        )
        assert inside[height < -1e-6].all()
        assert not inside[height > 1e-6].any()
