import json

import cv2
import numpy as np
import pytest
import trimesh

from sam3d_ros.data.artist_folder import list_objects, read_object
from sam3d_ros.data.digital_twin import TwinScene
from sam3d_ros.types import InputError

RGB = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
K = [[20.0, 0, 7.5], [0, 21.0, 5.5], [0, 0, 1]]


def write_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 and pixels.shape[2] == 3 else pixels)


@pytest.fixture
def artist(tmp_path):
    mask = np.zeros((12, 16, 4), np.uint8)
    mask[3:6, 4:9, 3] = 255
    for name in ("cup", "plain"):
        write_png(tmp_path / name / "image.png", RGB)
        cv2.imwrite(str(tmp_path / name / "mask.png"), mask)
        trimesh.creation.box((0.1, 0.3, 0.2)).export(tmp_path / name / "mesh.glb")
    T = np.eye(4)
    T[:3, 3] = 0.1, 0.2, 0.9
    (tmp_path / "cup" / "pose.json").write_text(json.dumps({"T_cam_obj": T.tolist(), "cam_K": K}))
    write_png(tmp_path / "cup" / "depth.png", np.full((12, 16), 900, np.uint16))
    (tmp_path / "not_an_object").mkdir()
    return tmp_path


def test_artist_folder(artist):
    assert list_objects(artist) == ["cup", "plain"]
    image, model = read_object(artist, "cup")
    np.testing.assert_array_equal(image.rgb, RGB)
    np.testing.assert_allclose(image.depth_m, 0.9)
    assert (image.camera.fx, image.camera.fy, image.camera.cx) == (20, 21, 7.5)
    assert image.masks[0].pixels.sum() == 15
    np.testing.assert_allclose(image.truths[0].T_cam_obj[:3, 3], (0.1, 0.2, 0.9))
    assert image.truths[0].mask_index == image.masks[0].index
    # glTF's y is up.
    np.testing.assert_allclose(np.ptp(model.mesh.vertices, axis=0), (0.1, 0.2, 0.3), atol=1e-6)
    plain, _ = read_object(artist, "plain")
    assert plain.truths == ()
    assert np.isnan(plain.depth_m).all()
    assert plain.camera.fx == pytest.approx(8 / np.tan(np.pi / 6))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("mask.png", b"x", "not a readable image"),
        ("image.png", b"x", "not a readable image"),
        ("mesh.glb", b"x", "not a readable glb"),
        ("depth.png", b"x", "16-bit"),
        ("pose.json", b"{", "cannot be read"),
        ("pose.json", b'{"T_cam_obj": [[1]]}', "cannot be read"),
        ("pose.json", json.dumps({"T_cam_obj": np.diag([2, 2, 2, 1]).tolist()}).encode(), "not a rigid"),
        ("pose.json", json.dumps({"T_cam_obj": np.eye(4).tolist(), "cam_K": np.zeros((3, 3)).tolist()}).encode(),
         "focal"),
    ],
)  # fmt: skip
def test_artist_folder_says_what_is_damaged(artist, file, content, message):
    (artist / "cup" / file).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_object(artist, "cup")


def test_artist_folder_stays_inside(artist):
    for name in ("../cup", "nothing", ".."):
        with pytest.raises(InputError, match="has no object"):
            read_object(artist / "plain" if name == "../cup" else artist, name)
    with pytest.raises(InputError, match="holds no folders"):
        list_objects(artist / "cup")


@pytest.fixture
def twin(tmp_path):
    """Two objects: 70 stands still, 30 moves; a camera turned by 180 degrees about y, 2 m away."""
    instances = {"70": {"instance_name": "mug_1", "prototype_name": "mug"},
                 "30": {"instance_name": "book", "prototype_name": "../x"}}  # fmt: skip
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "scene_objects.csv").write_text(
        "object_uid,timestamp[ns],t_wo_x[m],t_wo_y[m],t_wo_z[m],q_wo_w,q_wo_x,q_wo_y,q_wo_z\n"
        "70,-1,0.5,0,0,1,0,0,0\n30,100,0,0,1,1,0,0,0\n30,200,0,0,1.5,1,0,0,0\n"
    )
    (tmp_path / "cameras.csv").write_text(
        "timestamp[ns],fx,fy,cx,cy,t_wc_x[m],t_wc_y[m],t_wc_z[m],q_wc_w,q_wc_x,q_wc_y,q_wc_z\n"
        "190,20,21,7.5,5.5,0,0,2,0,0,1,0\n"
    )
    labels = np.zeros((12, 16), np.uint16)
    labels[2:5, 3:6], labels[7:9, 8:12] = 1, 2
    write_png(tmp_path / "rgb" / "190.png", RGB)
    write_png(tmp_path / "segmentation" / "190.png", labels)
    (tmp_path / "meshes").mkdir()
    trimesh.creation.box((0.1, 0.3, 0.2)).export(tmp_path / "meshes" / "mug.glb")
    return tmp_path


def test_digital_twin(twin):
    scene = TwinScene(twin)
    assert scene.images() == [190]
    assert scene.uids == (30, 70)
    image = scene.read_image(190)
    assert [(m.index, m.label, int(m.pixels.sum())) for m in image.masks] == [(1, "book", 9), (2, "mug_1", 8)]
    np.testing.assert_allclose(image.truths[0].T_cam_obj[:3, 3], (0, 0, 0.5), atol=1e-12)
    np.testing.assert_allclose(image.truths[1].T_cam_obj[:3, 3], (-0.5, 0, 2), atol=1e-12)
    np.testing.assert_allclose(np.ptp(scene.read_model(2).mesh.vertices, axis=0), (0.1, 0.2, 0.3), atol=1e-6)
    with pytest.raises(InputError, match="not a plain file name"):
        scene.read_model(1)
    with pytest.raises(InputError, match="objects 1 to 2"):
        scene.read_model(3)
    with pytest.raises(InputError, match="no time 7"):
        scene.read_image(7)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("instances.json", "[]", "cannot be read"),
        ("instances.json", '{"30": {}}', "value 2, but"),
        ("scene_objects.csv", "object_uid\n30\n", "is missing or not a number"),
        ("cameras.csv", "", "cannot be read as CSV"),
        ("cameras.csv", "timestamp[ns],fx\n190,nan\n", "not finite"),
        ("segmentation/190.png", "x", "must have one channel"),
    ],
)
def test_digital_twin_says_what_is_damaged(twin, file, content, message):
    (twin / file).write_text(content)
    with pytest.raises(InputError, match=message):
        TwinScene(twin).read_image(190)
