import io
import itertools
import zipfile

import numpy as np
import pytest
import trimesh
from PIL import Image

from sam3d_ros.data.held_out import HELD_OUT_SEED, SEEN_CATEGORIES, UNSEEN_CATEGORIES
from sam3d_ros.data.sources.downloads import PYBULLET, cache_folder, cached_wheel
from sam3d_ros.evaluate.splits import RULES, STRIDE, VIEWS, SplitSource, make_view
from sam3d_ros.types import InputError

PROCEDURAL = [name for name, rule in RULES.items() if rule.fetched is None]
BODY = """<robot name="b"><link name="b"><visual><geometry><mesh filename="b.obj" scale="1 1 1"/></geometry>
<material name="m"><color rgba="0.2 0.4 0.6 1"/></material></visual></link></robot>"""


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A cache with a wheel of a hundred boxes where pybullet has objects 900 to 999, and one of another name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "sam3d_ros" / "wheels" / "pybullet-3.2.7-any.whl"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(890, 1000):
            # 0.5 m long where nobody may look.
            size = (0.5, 0.1, 0.1) if number < 900 else (0.06, 0.08, 0.04 + 0.0005 * (number - 900))
            corners = itertools.product(*((-side / 2, side / 2) for side in size))
            lines = ["o body", *(f"v {x} {y} {z}" for x, y, z in corners)]
            folder = f"pybullet_data/random_urdfs/{number}"
            archive.writestr(f"{folder}/{number}.urdf", BODY)
            if number != 950:
                archive.writestr(f"{folder}/{number}.obj", "\n".join(lines))
    return path


@pytest.mark.parametrize("split", PROCEDURAL)
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
    with pytest.raises(InputError, match="there is no split 'x'"):
        SplitSource("x")
    for views in (0, 1001):
        with pytest.raises(InputError, match="at least 1 and at most 1000"):
            SplitSource("tabletop-clutter", views)


def test_held_out_urdfs_come_from_the_wheel(wheel):
    names = set()
    for index in range(3):
        shot = make_view("random-urdfs-heldout", index)
        (target,) = shot.targets
        assert {mask.label for mask in shot.picture.masks} == {"random_urdf"}
        assert 1 <= len(shot.picture.masks) <= 3
        assert np.ptp(target.mesh.vertices, axis=0).max() < 0.1
        name = target.object_key.removeprefix("random-urdfs-heldout/")
        assert 900 <= int(name) < 1000
        assert np.ptp(target.mesh.vertices[:, 2]) == pytest.approx(
            0.04 + 0.0005 * (int(name) - 900), rel=0.006
        )
        names.add(name)
    assert len(names) > 1
    again = make_view("random-urdfs-heldout", 2)
    assert np.array_equal(again.picture.rgb, shot.picture.rgb)
    assert SplitSource("random-urdfs-heldout").load("random-urdfs-heldout/000002").key == shot.key


def test_household_things_come_from_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "sam3d_ros" / "wheels" / "MyoSuite-2.1.0-any.whl"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("mouse", "phone"):  # the others are missing: they are passed over
            box = trimesh.creation.box((0.06, 0.08, 0.05))
            archive.writestr(f"myosuite/simhive/object_sim/{name}/{name}.stl", box.export(file_type="stl"))
    for index in range(2):
        shot = make_view("household", index)
        (target,) = shot.targets
        assert {mask.label for mask in shot.picture.masks} <= {"mouse", "phone"}
        assert target.object_key in ("household/mouse", "household/phone")
        assert np.ptp(target.mesh.vertices, axis=0) == pytest.approx((0.06, 0.08, 0.05), rel=1e-4)
        assert len(np.unique(target.mesh.colors, axis=0)) > 1


def test_scans_come_from_the_wheel_unpainted(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "sam3d_ros" / "wheels" / "robohive-0.3.0-any.whl"
    path.parent.mkdir(parents=True)
    box = trimesh.creation.box((0.06, 0.08, 0.05))
    counts = np.array([len(box.vertices), 0, len(box.vertices), len(box.faces)], "<i4")
    parts = (counts, box.vertices.astype("<f4"), np.full((8, 2), 0.5, "<f4"), box.faces.astype("<i4"))
    picture = io.BytesIO()
    Image.new("RGB", (4, 4), (210, 140, 20)).save(picture, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        folder = "mj_envs/sims/YCB_sim"
        archive.writestr(f"{folder}/meshes/035_power_drill.msh", b"".join(part.tobytes() for part in parts))
        archive.writestr(f"{folder}/textures/035_power_drill.png", picture.getvalue())
    shot = make_view("ycb-scans", 0)
    assert 3 <= len(shot.picture.masks) <= 6
    (target,) = shot.targets
    assert target.object_key == "ycb-scans/035_power_drill"
    assert (target.mesh.colors == (210, 140, 20)).all()


def test_a_wheel_without_the_objects_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "sam3d_ros" / "wheels" / "MyoSuite-2.1.0-any.whl"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("nothing", "")
    with pytest.raises(InputError, match="has none of the objects of MyoSuite"):
        make_view("household", 0)


@pytest.mark.parametrize(
    ("split", "command"),
    [
        ("random-urdfs-heldout", "random-urdfs"),
        ("household", "object-sim"),
        ("ycb-scans", "ycb-sim"),
    ],
)
def test_without_the_wheel_the_command_is_named(tmp_path, monkeypatch, split, command):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match=f"`sam3d data prepare {command}` fetches it"):
        SplitSource(split)


def test_the_real_wheel_where_it_is():
    if cached_wheel(PYBULLET, cache_folder()) is None:
        pytest.skip("random_urdfs was not fetched: sam3d data prepare random-urdfs")
    shot = make_view("random-urdfs-heldout", 0)
    assert shot.targets[0].object_key.startswith("random-urdfs-heldout/9")
