import itertools

import numpy as np
import pytest

from sam3d_ros.evaluate.splits import (
    HELD_OUT_SEED,
    RULES,
    SEEN_CATEGORIES,
    STRIDE,
    UNSEEN_CATEGORIES,
    VIEWS,
    SplitSource,
    make_view,
)
from sam3d_ros.types import InputError


@pytest.mark.parametrize("split", RULES)
def test_views_are_as_the_split_says(split):
    rule = RULES[split]
    for index in (0, 7):
        shot = make_view(split, index)
        (target,) = shot.targets
        assert shot.key == f"{split}/{index:06d}"
        assert rule.visible[0] <= target.visible <= rule.visible[1]
        assert rule.objects[0] <= len(shot.picture.masks) <= rule.objects[1]
        assert {mask.label for mask in shot.picture.masks} <= set(rule.categories)
        mask = next(m for m in shot.picture.masks if m.index == target.mask_index)
        assert mask.label == target.label
        # The pose is that of the object in this picture: its middle projects near the mask.
        uvw = shot.picture.camera.K @ target.T_cam_obj[:3, 3]
        rows, columns = np.nonzero(mask.pixels)
        assert abs(uvw[0] / uvw[2] - columns.mean()) < 120
        assert abs(uvw[1] / uvw[2] - rows.mean()) < 120


def test_the_same_again_and_another_elsewhere():
    a, b, c = (make_view("procedural-heldout", i) for i in (3, 3, 4))
    assert np.array_equal(a.picture.rgb, b.picture.rgb)
    assert np.array_equal(a.picture.depth_m, b.picture.depth_m, equal_nan=True)
    assert np.array_equal(a.targets[0].mesh.vertices, b.targets[0].mesh.vertices)
    assert a.targets[0].object_key == b.targets[0].object_key
    assert not np.array_equal(a.picture.rgb, c.picture.rgb)


def test_what_training_may_not_use():
    assert set(UNSEEN_CATEGORIES).isdisjoint(SEEN_CATEGORIES)
    assert len(UNSEEN_CATEGORIES) == 3
    assert set(RULES["procedural-unseen-classes"].categories) == set(UNSEEN_CATEGORIES)
    assert set(RULES["tabletop-clutter"].categories) == set(SEEN_CATEGORIES)
    spans = sorted((r.first_seed, r.first_seed + VIEWS * STRIDE) for r in RULES.values())
    assert spans[0][0] >= HELD_OUT_SEED
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_sources_and_wrong_names():
    assert len(SplitSource("tabletop-clutter").keys()) == 200
    assert SplitSource("tabletop-clutter", 3).keys()[2] == "tabletop-clutter/000002"
    with pytest.raises(InputError, match="no reader"):
        SplitSource("random-urdfs-heldout")
    with pytest.raises(InputError, match="there is no split 'x'"):
        SplitSource("x")
    for views in (0, 1001):
        with pytest.raises(InputError, match="at least 1 and at most 1000"):
            SplitSource("tabletop-clutter", views)
