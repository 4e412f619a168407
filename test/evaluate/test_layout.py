import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from sam3d_ros.data.objects import make_object
from sam3d_ros.evaluate.layout import icp_rotation_deg, mask_iou
from sam3d_ros.types import Camera

HERE = np.array([0.05, -0.1, 0.7])
CAMERA = Camera(320, 240, 300.0, 300.0, 159.5, 119.5)


def posed(mesh, axis, degrees):
    R = Rotation.from_rotvec(np.deg2rad(degrees) * np.array(axis, float)).as_matrix()
    return mesh.vertices.astype(np.float64) @ R.T + HERE, mesh.faces


@pytest.mark.parametrize("category", ["hammer", "pan", "car", "mug"])
@pytest.mark.parametrize("degrees", [0, 8, 20])
def test_a_known_turn_is_found(category, degrees):
    mesh = make_object(category, np.random.default_rng(1)).mesh
    found = icp_rotation_deg(*posed(mesh, (0, 0, 1), degrees), *posed(mesh, (0, 0, 1), 0))
    assert found == pytest.approx(degrees, abs=0.15 * degrees + 0.5)


def test_poses_that_look_alike_have_no_error():
    can = make_object("can", np.random.default_rng(1)).mesh
    assert icp_rotation_deg(*posed(can, (0, 0, 1), 57), *posed(can, (0, 0, 1), 0)) < 1
    box = trimesh.creation.box((0.1, 0.06, 0.04))
    assert icp_rotation_deg(*posed(box, (0, 0, 1), 180), *posed(box, (0, 0, 1), 0)) < 2
    assert icp_rotation_deg(*posed(box, (0, 0, 1), 170), *posed(box, (0, 0, 1), 0)) == pytest.approx(
        10, abs=2
    )


def test_a_shift_is_no_turn():
    mesh = make_object("mug", np.random.default_rng(1)).mesh
    vertices, faces = posed(mesh, (0, 0, 1), 0)
    assert icp_rotation_deg(vertices + np.array([0.01, 0.02, 0.05]), faces, vertices, faces) < 1


def square(x, y, side=0.2, z=1.0):
    low, high = -side / 2, side / 2
    corners = np.array([[low, low, 0], [high, low, 0], [high, high, 0], [low, high, 0]])
    corners = corners + np.array([x, y, z])
    return corners, np.array([[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.25])
def test_overlap_of_squares(shift):
    share = max(0.2 - shift, 0)
    found = mask_iou(*square(shift, 0), *square(0, 0), CAMERA)
    assert found == pytest.approx(share / (0.4 - share), abs=0.04)


def test_depth_does_not_matter_but_the_picture_does():
    near, far = square(0, 0, 0.1, 0.5), square(0, 0, 0.4, 2.0)
    assert mask_iou(*near, *far, CAMERA) > 0.97
    # Out of the picture, or behind the camera, there is nothing to overlap with.
    assert mask_iou(*square(5, 0), *square(0, 0), CAMERA) == 0
    assert mask_iou(*square(5, 0), *square(5, 0), CAMERA) == 0
    assert mask_iou(*square(0, 0, z=-1.0), *square(0, 0), CAMERA) == 0
    assert mask_iou(*square(0, 0, z=-1.0), *square(0, 0, z=-1.0), CAMERA) == 0
