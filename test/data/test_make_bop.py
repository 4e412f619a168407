import numpy as np
import pytest
from scipy.spatial import cKDTree

from sam3d_ros.data.bop import list_images, read_image, read_model
from sam3d_ros.data.make_bop import write_tabletop_bop
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.types import Camera

CAMERA = Camera(320, 240, 305.0, 305.0, 159.5, 119.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tabletop")
    write_tabletop_bop(folder, seed=3, scenes=2, images=2, objects=4, camera=CAMERA)
    return folder


def test_depth_masks_and_poses_tell_the_same_story(folder):
    """Every masked depth pixel lies on the posed model of its object, within the sensor's error."""
    checked = 0
    for scene in (1, 2):
        assert list_images(folder, scene) == [0, 1]
        for number in list_images(folder, scene):
            image = read_image(folder, scene, number)
            assert [t.mask_index for t in image.truths] == [m.index for m in image.masks] == [1, 2, 3, 4]
            v, u = np.indices(image.depth_m.shape)
            rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)], -1)
            points = rays * image.depth_m[..., None]
            for mask, truth in zip(image.masks, image.truths, strict=True):
                model = read_model(folder, truth.obj_id)
                assert model.name == mask.label
                seen = points[mask.pixels & np.isfinite(image.depth_m)]
                if len(seen) < 100:
                    continue
                in_object = apply(inverse(truth.T_cam_obj), seen)
                distance, _ = cKDTree(model.mesh.vertices).query(in_object)
                assert np.median(distance) < 0.008
                size = np.ptp(model.mesh.vertices, axis=0)
                np.testing.assert_allclose(image.nominal_sizes_m[mask.index], size, atol=1e-4)
                assert 0 < truth.visible <= 1
                assert truth.pixels_all >= mask.pixels.sum()
                checked += 1
    assert checked >= 12


def test_same_seed_same_files_and_a_longer_run_begins_alike(folder, tmp_path):
    write_tabletop_bop(tmp_path, seed=4, scenes=1, images=2, objects=4, camera=CAMERA)
    a, b = read_image(folder, 2, 1), read_image(tmp_path, 1, 1)
    np.testing.assert_array_equal(a.rgb, b.rgb)
    np.testing.assert_array_equal(a.depth_m, b.depth_m)


def test_progress_and_interruption(tmp_path):
    calls = []

    def stop_after_two(done, total):
        calls.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tabletop_bop(tmp_path, images=5, objects=1, camera=CAMERA, progress=stop_after_two)
    assert calls == [(1, 5), (2, 5)]
    assert list_images(tmp_path, 1) == [0, 1]
    assert len(read_image(tmp_path, 1, 1).masks) == 1
