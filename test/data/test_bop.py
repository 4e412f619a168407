import dataclasses
import json
import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3d_ros.data.bop import BopImage, BopModel, Truth, list_images, read_image, read_model
from sam3d_ros.data.bop_write import diameter, write_image, write_models
from sam3d_ros.data.make_bop import bop_model
from sam3d_ros.data.objects import make_object
from sam3d_ros.types import Camera, InputError, Mask

CAMERA = Camera(32, 24, 30.5, 31.25, 15.5, 11.75)


def picture(image=4, objects=2):
    rng = np.random.default_rng(image)
    depth = rng.integers(300, 900, (24, 32)).astype(np.float32) / 1000
    depth[:3] = np.nan
    masks, truths = [], []
    for index in range(1, objects + 1):
        pixels = np.zeros((24, 32), bool)
        pixels[2 : 2 + 3 * index, 5 * index : 5 * index + 4] = True
        masks.append(Mask(index, pixels, f"thing {index}"))
        T = np.eye(4)
        T[:3, :3] = cv2.Rodrigues(rng.normal(size=3))[0]
        T[:3, 3] = rng.normal(size=3)
        truths.append(Truth(10 + index, T, index, 0.5, 2 * int(pixels.sum())))
    rgb = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return BopImage(image, rgb, depth, CAMERA, tuple(masks), tuple(truths), {1: np.array([0.01, 0.02, 0.03])})


@pytest.fixture
def folder(tmp_path):
    write_image(tmp_path, "000001", picture(4))
    write_image(tmp_path, "000001", picture(12, objects=1))
    return tmp_path


def edit(path, change):
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


@pytest.mark.parametrize("depth_scale", [1.0, 0.1])
def test_round_trip(tmp_path, depth_scale):
    written = picture()
    write_image(tmp_path, 1, written, depth_scale)
    back = read_image(tmp_path, "000001", 4)
    assert back.camera == CAMERA
    np.testing.assert_array_equal(back.rgb, written.rgb)
    assert back.depth_m.dtype == np.float32
    np.testing.assert_allclose(back.depth_m, written.depth_m, atol=1e-6)
    np.testing.assert_array_equal(np.isnan(back.depth_m), np.isnan(written.depth_m))
    assert [(m.index, m.label) for m in back.masks] == [(1, "thing 1"), (2, "thing 2")]
    for a, b in zip(back.masks, written.masks, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
    for a, b in zip(back.truths, written.truths, strict=True):
        assert (a.obj_id, a.mask_index, a.visible, a.pixels_all) == (
            b.obj_id,
            b.mask_index,
            0.5,
            b.pixels_all,
        )
        np.testing.assert_allclose(a.T_cam_obj, b.T_cam_obj, atol=1e-12)
    np.testing.assert_allclose(back.nominal_sizes_m[1], [0.01, 0.02, 0.03])


def test_units_and_boxes_in_the_files_are_those_of_the_format(folder):
    truth = picture().truths[0]
    gt = json.loads((folder / "000001/scene_gt.json").read_text())["4"][0]
    np.testing.assert_allclose(gt["cam_t_m2c"], truth.T_cam_obj[:3, 3] * 1000)
    np.testing.assert_allclose(np.reshape(gt["cam_R_m2c"], (3, 3)), truth.T_cam_obj[:3, :3])
    info = json.loads((folder / "000001/scene_gt_info.json").read_text())["4"][0]
    assert info["bbox_visib"] == [5, 2, 4, 3]
    assert info["px_count_visib"] == 12
    assert info["px_count_valid"] == 8  # the upper row of the mask has no depth
    depth = cv2.imread(str(folder / "000001/depth/000004.png"), cv2.IMREAD_UNCHANGED)
    assert depth[5, 5] == round(float(picture().depth_m[5, 5]) * 1000)
    assert depth[0, 0] == 0


def test_list_and_replace(folder):
    assert list_images(folder, "000001") == list_images(folder, 1) == list_images(folder, "1") == [4, 12]
    write_image(folder, 1, picture(4, objects=1))
    assert list_images(folder, 1) == [4, 12]
    assert len(read_image(folder, 1, 4).masks) == 1
    assert not list((folder / "000001").glob("*.partial"))


def test_an_unseen_object_keeps_its_place(tmp_path):
    image = picture()
    hidden = dataclasses.replace(image.masks[0], pixels=np.zeros((24, 32), bool))
    write_image(tmp_path, 1, dataclasses.replace(image, masks=(hidden, image.masks[1])))
    back = read_image(tmp_path, 1, 4)
    assert not back.masks[0].pixels.any()
    info = json.loads((tmp_path / "000001/scene_gt_info.json").read_text())["4"][0]
    assert info["bbox_visib"] == [-1, -1, -1, -1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_label_image_where_mask_visib_has_nothing(folder, dtype):
    for path in (folder / "000001/mask_visib").glob("000004_*"):
        path.unlink()
    labels = np.zeros((24, 32), dtype)
    labels[3:6, 3:6], labels[10:12, 10:12] = 2, 7
    (folder / "000001/mask").mkdir()
    cv2.imwrite(str(folder / "000001/mask/000004.png"), labels)
    masks = read_image(folder, 1, 4).masks
    assert [(m.index, m.label, int(m.pixels.sum())) for m in masks] == [(2, "thing 2", 9), (7, "", 4)]
    assert len(read_image(folder, 1, 12).masks) == 1


def test_jpg_and_only_what_must_be_there(folder):
    root = folder / "000001"
    for name in ("scene_gt.json", "scene_gt_info.json", "scene_objects.json"):
        (root / name).unlink()
    for path in (root / "mask_visib").iterdir():
        path.unlink()
    cv2.imwrite(str(root / "rgb/000004.jpg"), np.full((24, 32, 3), (10, 100, 200), np.uint8))
    (root / "rgb/000004.png").unlink()
    back = read_image(folder, 1, 4)
    assert back.masks == back.truths == ()
    np.testing.assert_allclose(back.rgb.mean(axis=(0, 1)), [200, 100, 10], atol=3)


@pytest.mark.parametrize(
    "scene", ["../000001", "..", ".", "/etc", "a/b", "", "000001/../000001", "x\0y", "²"]
)
def test_scene_names_never_leave_the_folder(folder, scene):
    for call in (lambda: list_images(folder / "000001", scene), lambda: read_image(folder, scene, 4)):
        with pytest.raises(InputError, match="scene"):
            call()
    with pytest.raises(InputError, match="scene"):
        write_image(folder, scene, picture())


def test_missing_parts_are_named(folder):
    with pytest.raises(InputError, match="no scene '000002'"):
        list_images(folder, 2)
    with pytest.raises(InputError, match="no image 5"):
        read_image(folder, 1, 5)
    for name in ("depth/000004.png", "rgb/000004.png", "scene_camera.json"):
        (folder / "000001" / name).unlink()
        with pytest.raises(InputError, match=re.escape(f"{name} is missing")):
            read_image(folder, 1, 4)


@pytest.mark.parametrize("name", ["rgb/000004.png", "depth/000004.png", "mask_visib/000004_000001.png"])
def test_damaged_images_and_wrong_sizes(folder, name):
    path = folder / "000001" / name
    whole = path.read_bytes()
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match="not a readable image"):
        read_image(folder, 1, 4)
    path.write_bytes(whole)
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(path), pixels[:, :-1])
    with pytest.raises(InputError, match=r"is 3[12]x24, the image is 3[12]x24"):
        read_image(folder, 1, 4)


def test_depth_of_the_wrong_kind(folder):
    path = str(folder / "000001/depth/000004.png")
    for wrong in (np.zeros((24, 32), np.uint8), np.zeros((24, 32, 3), np.uint16)):
        cv2.imwrite(path, wrong)
        with pytest.raises(InputError, match="one channel of uint16"):
            read_image(folder, 1, 4)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"cam_K": [1] * 8}, "list of 9"),
        ({"cam_K": "no"}, "list of 9"),
        ({}, "list of 9"),
        ({"cam_K": [float("nan"), 0, 1, 0, 1, 1, 0, 0, 1]}, "finite"),
        ({"cam_K": [True, 0, 1, 0, 1, 1, 0, 0, 1]}, "finite"),
        ({"cam_K": [0, 0, 1, 0, 1, 1, 0, 0, 1]}, "positive"),
        ({"cam_K": [9, 2, 1, 0, 9, 1, 0, 0, 1]}, "skew"),
        ({"cam_K": [9, 0, 1, 0, 9, 1, 0, 0, 1], "depth_scale": 0}, "positive"),
        ({"cam_K": [9, 0, 1, 0, 9, 1, 0, 0, 1], "depth_scale": None}, "finite"),
        ([], "must be a JSON object"),
    ],
)
def test_bad_cameras(folder, entry, reason):
    edit(folder / "000001/scene_camera.json", lambda table: table.update({"4": entry}))
    with pytest.raises(InputError, match=reason):
        read_image(folder, 1, 4)


@pytest.mark.parametrize("change", [
    {"obj_id": "x"}, {"obj_id": None}, {"cam_R_m2c": [1, 0, 0]}, {"cam_t_m2c": [0, 0, "z"]},
    {"cam_R_m2c": [1, 0, 0, 0, 1, 0, 0, 0, -1]}, {"cam_R_m2c": [2, 0, 0, 0, 2, 0, 0, 0, 2]},
])  # fmt: skip
def test_bad_poses(folder, change):
    edit(folder / "000001/scene_gt.json", lambda table: table["4"][1].update(change))
    with pytest.raises(InputError, match=r"scene_gt\.json"):
        read_image(folder, 1, 4)


@settings(max_examples=60, deadline=None)
@given(text=st.one_of(st.text(), st.binary().map(lambda b: b.decode("latin-1")), st.just("[" * 100_000)))
def test_any_text_as_json_is_read_or_refused(tmp_path_factory, text):
    root = tmp_path_factory.mktemp("bop") / "000001"
    root.mkdir()
    (root / "scene_camera.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match=r"scene_camera\.json"):
        read_image(root.parent, 1, 4)


@pytest.mark.parametrize("file", ["scene_gt.json", "scene_gt_info.json", "scene_objects.json"])
@pytest.mark.parametrize("text", ["{", '{"4": 3}', '{"x": []}', "[]", '{"4": [1, 2]}'])
def test_malformed_side_files(folder, file, text):
    (folder / "000001" / file).write_text(text)
    if file == "scene_gt_info.json" and text == '{"4": [1, 2]}':
        assert np.isnan(read_image(folder, 1, 4).truths[0].visible)  # said nothing useful, harmless
        return
    with pytest.raises(InputError, match=file):
        read_image(folder, 1, 4)


def test_what_cannot_be_written_is_refused(tmp_path):
    good = picture()
    far = good.depth_m.copy()
    far[5, 5] = 70
    distorted = dataclasses.replace(CAMERA, distortion_model="plumb_bob", distortion=(0.1, 0.0))
    for bad, reason in (
        (dataclasses.replace(good, depth_m=far), "16 bit"),
        (dataclasses.replace(good, rgb=good.rgb[1:]), "rgb"),
        (dataclasses.replace(good, depth_m=good.depth_m[:, 1:]), "depth_m"),
        (dataclasses.replace(good, masks=(Mask(1, np.zeros((3, 3), bool)),)), "mask 1"),
        (dataclasses.replace(good, masks=(Mask(0, np.zeros((24, 32), bool)),)), "1 or more"),
        (dataclasses.replace(good, truths=good.truths[::-1]), "order"),
        (dataclasses.replace(good, camera=distorted), "rectified"),
    ):
        with pytest.raises(InputError, match=reason):
            write_image(tmp_path, 1, bad)
    with pytest.raises(InputError, match="positive"):
        write_image(tmp_path, 1, good, depth_scale=0)
    assert not list(tmp_path.iterdir())


def test_infinite_depth_is_written_as_nothing(tmp_path):
    image = picture()
    depth = image.depth_m.copy()
    depth[5, 5], depth[6, 6] = np.inf, -np.inf
    write_image(tmp_path, 1, dataclasses.replace(image, depth_m=depth))
    assert np.isnan(read_image(tmp_path, 1, 4).depth_m[[5, 6], [5, 6]]).all()


def test_models(tmp_path):
    can, box, mug = (make_object(c, np.random.default_rng(0)) for c in ("can", "box", "mug"))
    write_models(tmp_path, {1: bop_model(can), 2: bop_model(box)})
    write_models(tmp_path, {7: bop_model(mug)})
    for obj_id, model in ((1, can), (2, box), (7, mug)):
        back = read_model(tmp_path, obj_id)
        assert back.name == model.category
        np.testing.assert_allclose(back.mesh.vertices, model.mesh.vertices, atol=1e-7)
        np.testing.assert_array_equal(back.mesh.colors, model.mesh.colors)
        assert len(back.rotations) == len(model.symmetry.rotations)
        for a, b in zip(back.rotations, model.symmetry.rotations, strict=True):
            np.testing.assert_allclose(a, b)
        assert (back.axis is not None) == model.symmetry.about_z
    info = json.loads((tmp_path / "models/models_info.json").read_text())["2"]
    np.testing.assert_allclose([info[f"size_{a}"] for a in "xyz"], box.size_m * 1000, rtol=1e-5)
    assert info["diameter"] == pytest.approx(np.linalg.norm(box.size_m) * 1000, rel=0.03)
    with pytest.raises(InputError, match="obj_000003"):
        read_model(tmp_path, 3)
    (tmp_path / "models/models_info.json").unlink()
    assert isinstance(read_model(tmp_path, 1), BopModel)


def test_diameter_against_all_pairs():
    points = np.random.default_rng(0).normal(size=(80, 3))
    expected = max(np.linalg.norm(a - b) for a in points for b in points)
    assert diameter(points) == pytest.approx(expected)
    flat = points * [1, 1, 0]
    assert diameter(flat) == pytest.approx(max(np.linalg.norm(a - b) for a in flat for b in flat))
    assert diameter(points[:1]) == 0
