"""The boxes of second looks: as far off as they should be, and in every folder of scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sam3d_ros.compact.box import ObjectBox
from sam3d_ros.train.compact.examples import layout_of
from sam3d_ros.train.compact.second import ERRORS, believed
from sam3d_ros.train.compact.store import load

BOX = ObjectBox(np.array([0.0, 0.1, 0.0]), np.array([0.3, 0.2, 0.1]))


def test_errors_are_relative_to_the_object_and_of_all_sizes() -> None:
    low, high = np.array([0.1, 0.12, 0.0]), np.array([0.2, 0.28, 0.05])
    vertices = np.array([low, high])
    translation, scale = layout_of(vertices, BOX)
    rng = np.random.default_rng(0)
    drawn = [believed(vertices, BOX, rng) for _ in range(2000)]
    shifts = np.array([(t - translation) * BOX.size / (high - low) for t, _ in drawn])
    growths = np.array([s - scale for _, s in drawn])
    # Log-uniform standard deviations: the mean square is (b^2 - a^2) / (2 ln(b / a)).
    a, b = ERRORS
    expected = np.sqrt((b**2 - a**2) / (2 * np.log(b / a)))
    for errors in (shifts, growths):
        np.testing.assert_allclose(errors.std(axis=0), expected, rtol=0.15)
        np.testing.assert_allclose(errors.mean(axis=0), 0, atol=0.01)
        assert np.median(np.abs(errors)) < 0.6 * expected  # most are small


def test_a_folder_has_both_boxes_of_a_look(scene_folder: Path) -> None:
    scene, looks = (load(next((scene_folder / kind).glob("*.npz"))) for kind in ("scenes", "looks"))
    poses = [(n, *T.ravel()) for T, n in zip(looks["T_cam_view"], looks["thing"], strict=True)]
    pairs = [(i, i + 1) for i in range(len(poses) - 1) if poses[i] == poses[i + 1]]
    assert 2 * len(pairs) >= 0.8 * len(poses)
    for first, second in pairs:
        assert not np.allclose(looks["box"][first], looks["box"][second], rtol=1e-3)
        assert (scene["shape"][first] != scene["shape"][second]).any()
        # The same bounds, relative to either box.
        ends = []
        for i in (first, second):
            box = ObjectBox(*looks["box"][i])
            ends.append(box.low + box.size * (0.5 + scene["translation"][i]))
            ends.append(box.size * np.exp(scene["scale"][i]))
        np.testing.assert_allclose(ends[0], ends[2], atol=1e-5)
        np.testing.assert_allclose(ends[1], ends[3], rtol=1e-4)
