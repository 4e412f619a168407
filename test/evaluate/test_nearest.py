import numpy as np

from sam3d_ros.data.held_out import TRAINING_CATEGORIES
from sam3d_ros.evaluate.nearest import (
    INDEX,
    LEVELS,
    OBJECTS,
    VIEWS,
    descriptor,
    longest_side,
    make_index,
    nearest_shape,
    read_index,
    training_view,
)
from sam3d_ros.mesh.check import is_watertight


def test_the_file_is_what_the_seeds_give():
    index = read_index()
    assert index.grids.shape == (OBJECTS * VIEWS, 512)
    assert INDEX.stat().st_size < 500_000
    numbers = range(1640, 1648)
    made = make_index(numbers)
    # A rounding may fall the other way on another machine.
    assert np.abs(made.grids.astype(int) - index.grids[numbers]).max() <= 1
    np.testing.assert_allclose(made.sizes_m, index.sizes_m[numbers], rtol=1e-4)


def test_training_views_stand_on_the_support_and_cover_all_categories():
    assert OBJECTS % len(TRAINING_CATEGORIES) == 0
    for number in (0, 9):
        view = training_view(number)
        assert is_watertight(view.mesh)
        assert abs(float(view.mesh.vertices[:, 2].min())) < 1e-4
        low, high = view.mesh.vertices.min(axis=0), view.mesh.vertices.max(axis=0)
        assert (view.points > low - 1e-3).all()
        assert (view.points < high + 1e-3).all()
        # The camera is on the side of negative x, so the nearer half is what it sees.
        assert view.points[:, 0].mean() < view.mesh.vertices[:, 0].mean()


def test_a_training_view_finds_itself_at_any_size():
    view = training_view(333)
    for scale in (1.0, 1.05):
        found = nearest_shape(view.points * scale)
        np.testing.assert_allclose(found.vertices, scale * view.mesh.vertices, atol=1e-5)
    assert longest_side(2 * view.points) == 2 * longest_side(view.points)


def test_descriptors_tell_shapes_apart_and_not_sizes():
    flat = np.stack(np.meshgrid(*[np.linspace(-0.1, 0.1, 30)] * 2, [0.01]), axis=-1).reshape(-1, 3)
    tall = flat[:, [2, 1, 0]] + np.array([0, 0, 0.1])
    assert np.isclose(np.linalg.norm(descriptor(flat)), 1)
    np.testing.assert_allclose(descriptor(3 * flat), descriptor(flat), atol=1e-9)
    assert np.linalg.norm(descriptor(flat) - descriptor(tall)) > 0.5
    assert np.rint(LEVELS * descriptor(flat)).max() > 5
