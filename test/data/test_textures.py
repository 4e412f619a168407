import numpy as np

from sam3d_ros.data import textures as tx


def test_noise_has_mean_zero_and_variance_one():
    points = np.random.default_rng(0).uniform(-1, 1, (20_000, 3))
    values = tx.noise(np.random.default_rng(1), 0.05, waves=24)(points)
    assert abs(values.mean()) < 0.05
    assert 0.9 < values.std() < 1.1


def test_noise_is_smooth_at_a_tenth_of_its_wavelength():
    points = np.random.default_rng(0).uniform(-1, 1, (1000, 3))
    field = tx.noise(np.random.default_rng(1), 0.1)
    assert np.abs(field(points) - field(points + np.array([0.001, 0, 0]))).max() < 0.5


def test_bands_and_where_choose_by_place():
    red, blue = tx.plain(np.array([1.0, 0, 0])), tx.plain(np.array([0, 0, 1.0]))
    points = np.array([[0.0, 0, -1], [0, 0, 0.5], [0, 0, 2]])
    np.testing.assert_array_equal(tx.bands(2, [0.0, 1.0], [red, blue, red])(points)[:, 0], [1, 0, 1])
    np.testing.assert_array_equal(tx.where(lambda p: p[:, 2] > 0, red, blue)(points)[:, 2], [1, 0, 0])


def test_textures_stay_in_range_and_are_functions():
    rng = np.random.default_rng(2)
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (500, 3))
    c, d = tx.color(rng), tx.color(rng)
    box = np.full(3, 0.1)
    for texture in (
        tx.mottled(rng, c),
        tx.speckled(rng, c, d),
        tx.marble(rng, c, d),
        tx.wood(rng, c),
        tx.stripes(c, d, np.array([0, 0, 1.0]), 0.01),
        tx.checker(c, d, 0.01),
        tx.around(tx.poster(rng, c), -0.1, 0.1),
        tx.on_sides([tx.poster(rng, c) for _ in range(3)], -box, box),
    ):
        colors = texture(points)
        assert colors.shape == (500, 3)
        assert colors.min() >= 0
        assert colors.max() <= 1
        np.testing.assert_array_equal(colors, texture(points))
