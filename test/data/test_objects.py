import manifold3d
import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from sam3d_ros.data.blobs import ball, limb, melted, mirrored
from sam3d_ros.data.objects import CATEGORIES, DESIGNS, FORMS, TABLETOP, make_object
from sam3d_ros.types import InputError

# Longest side in metres that a household object of the category can have.
LONGEST = {
    "mug": (0.08, 0.14), "bowl": (0.1, 0.21), "plate": (0.15, 0.27), "bottle": (0.16, 0.28),
    "can": (0.05, 0.18), "jar": (0.06, 0.14), "box": (0.08, 0.27), "carton": (0.15, 0.25),
    "banana": (0.12, 0.23), "apple": (0.05, 0.1), "hammer": (0.2, 0.35), "pan": (0.2, 0.4),
    "spoon": (0.16, 0.3), "blocks": (0.05, 0.15), "car": (0.07, 0.15), "brush": (0.1, 0.2),
    "fork": (0.16, 0.22), "knife": (0.18, 0.31), "teapot": (0.15, 0.26), "pot": (0.18, 0.3),
    "screw_jar": (0.07, 0.15), "goblet": (0.08, 0.21), "shoe": (0.21, 0.3), "book": (0.14, 0.27),
    "remote": (0.12, 0.22), "scissors": (0.14, 0.24), "basket": (0.12, 0.24), "bolt": (0.04, 0.12),
    "phone_stand": (0.07, 0.15), "animal": (0.06, 0.18), "stacker": (0.07, 0.2), "stone": (0.05, 0.16),
    "pepper": (0.06, 0.15),
    "turned_form": (0.04, 0.3), "prism": (0.03, 0.26), "assembly": (0.03, 0.4), "tray": (0.07, 0.36),
    "ring": (0.03, 0.17), "fruit": (0.04, 0.26), "pouch": (0.07, 0.26), "squeeze_tube": (0.08, 0.21),
    "pack": (0.05, 0.45), "power_tool": (0.12, 0.28), "hand_tool": (0.11, 0.42), "device": (0.05, 0.32),
    "doll": (0.06, 0.28), "plant": (0.08, 0.36), "carrier": (0.09, 0.32),
    "creature": (0.06, 0.33), "flyer": (0.08, 0.33), "bent_bar": (0.03, 0.27), "headset": (0.1, 0.27),
    "brick": (0.015, 0.3), "footwear": (0.1, 0.38), "cushion": (0.08, 0.36),
    "pourer": (0.06, 0.32), "sprayer": (0.09, 0.33), "lattice": (0.05, 0.36), "broad_head": (0.06, 0.34),
    "wedge": (0.04, 0.27),
}  # fmt: skip


@pytest.mark.parametrize("category", DESIGNS)
def test_every_design_is_one_closed_body_of_real_size(category):
    for seed in range(2):
        model = make_object(category, np.random.default_rng(seed))
        mesh = trimesh.Trimesh(model.mesh.vertices, model.mesh.faces, process=False)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.volume > 5e-6
        assert mesh.body_count == 1
        assert 2000 < len(mesh.faces) < 8000
        assert LONGEST[category][0] < model.size_m.max() < LONGEST[category][1]
        np.testing.assert_allclose(mesh.bounds.mean(axis=0), 0, atol=1e-6)
        assert model.mesh.vertices.dtype == np.float32
        assert model.mesh.faces.dtype == np.int32
        assert model.mesh.colors.shape == model.mesh.vertices.shape
        assert model.mesh.colors.dtype == np.uint8


@pytest.mark.parametrize("category", DESIGNS)
def test_same_rng_same_object_other_rng_other_object(category):
    first, again, other = (make_object(category, np.random.default_rng(s)).mesh for s in (3, 3, 4))
    assert np.array_equal(first.vertices, again.vertices)
    assert np.array_equal(first.faces, again.faces)
    assert np.array_equal(first.colors, again.colors)
    assert first.vertices.shape != other.vertices.shape or not np.allclose(first.vertices, other.vertices)


OF_MANY_KINDS = ("brick", "headset", "lattice")
SEEDS = [
    *((c, 1) for c in DESIGNS),
    *(("turned_form", seed) for seed in range(2, 14)),
    *((c, seed) for c in OF_MANY_KINDS for seed in range(2, 8)),
]
"""Forms have none, one or two handles, and are round or oval; bricks are square or not, headsets with a microphone
or not, lattices round or not."""


@pytest.mark.parametrize(("category", "seed"), SEEDS)
def test_symmetries_leave_the_shape_as_it_is(category, seed):
    model = make_object(category, np.random.default_rng(seed))
    mesh = trimesh.Trimesh(model.mesh.vertices, model.mesh.faces, process=False)
    points, _ = trimesh.sample.sample_surface(mesh, 20_000, seed=0)
    tree = cKDTree(points)
    rotations = list(model.symmetry.rotations)
    if model.symmetry.about_z:
        c, s = np.cos(0.7), np.sin(0.7)
        rotations.append(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))
    for R in rotations:
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(R) == pytest.approx(1)
        distance, _ = tree.query(points[:2000] @ R.T)
        assert np.quantile(distance, 0.99) < 0.006


def test_a_mug_can_be_filled_and_gripped():
    """The handle leaves a hole, and the cavity is open: the genus says both."""
    raw = make_object("mug", np.random.default_rng(5)).mesh
    solid = manifold3d.Manifold(manifold3d.Mesh(raw.vertices, raw.faces.astype(np.uint32)))
    assert solid.genus() == 1
    assert solid.volume() < 0.5 * solid.hull().volume()


def genus(category, seed):
    raw = make_object(category, np.random.default_rng(seed)).mesh
    return manifold3d.Manifold(manifold3d.Mesh(raw.vertices, raw.faces.astype(np.uint32))).genus()


def test_holes_are_where_the_thing_has_them():
    """Two finger rings; two handles of a pot; between the wires of a basket; none through a bolt or a stone."""
    assert [genus(c, 2) for c in ("scissors", "bolt", "stone", "book")] == [2, 0, 0, 0]
    assert {genus("pot", s) for s in range(6)} == {2}
    assert genus("basket", 0) > 10


def test_forms_have_the_holes_that_make_them():
    """Through a lattice's walls; in a soft animal only where two limbs meet by chance."""
    assert min(genus("lattice", s) for s in range(6)) > 5
    assert [genus("creature", s) for s in range(6)].count(0) >= 4


@pytest.mark.parametrize("softness", [0.002, 0.006])
def test_blobs_melt_into_one_body_larger_than_they_were(softness):
    """Two balls that overlap: the volume of their union, and what the softness adds around the seam."""
    a, b = np.array([0.0, 0.0, 0.0]), np.array([0.03, 0.0, 0.0])
    solid = melted([ball(a, [0.02, 0.02, 0.02]), ball(b, [0.02, 0.02, 0.02])], softness)
    union = manifold3d.Manifold.sphere(0.02, 64) + manifold3d.Manifold.sphere(0.02, 64).translate(tuple(b))
    assert len(solid.decompose()) == 1
    assert solid.genus() == 0
    assert union.volume() < solid.volume() < (1.05 + 50 * softness) * union.volume()
    # Away from the seam the surface stays where the ball's was.
    assert solid.bounding_box()[0] == pytest.approx(-0.02, abs=0.0005)


def test_mirrored_blobs_are_the_other_side():
    way = np.array([[0.0, 0.01, 0.0], [0.02, 0.03, 0.01]])
    (blob,) = limb(way, [0.004, 0.006])
    (other,) = mirrored([blob])
    np.testing.assert_allclose(other.end, [0.02, -0.03, 0.01])
    np.testing.assert_allclose(blob.box()[0], [-0.006, 0.004, -0.006])
    assert other.radii == blob.radii


def test_scenes_keep_their_objects_as_categories_are_added():
    assert len(CATEGORIES) >= 20
    assert CATEGORIES[:16] == TABLETOP
    assert TABLETOP[0] == "mug"
    assert TABLETOP[-1] == "brush"
    assert CATEGORIES[-1] == "pepper"
    assert set(CATEGORIES).isdisjoint(FORMS)
    assert set(CATEGORIES) | set(FORMS) == set(DESIGNS)


def test_unknown_category():
    with pytest.raises(InputError, match="no category 'unicorn'"):
        make_object("unicorn", np.random.default_rng(0))


def test_a_sliver_that_rounding_cuts_off_is_left_out() -> None:
    """This brush came in two parts, of 188 and 0.01 cubic centimetres."""
    rng = np.random.default_rng([7_000_000, 23])
    rng.integers(2, 5), rng.choice(list(TABLETOP))
    mesh = make_object("brush", rng).mesh
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert solid.is_watertight
    assert solid.body_count == 1
    assert solid.volume == pytest.approx(188e-6, rel=0.01)
