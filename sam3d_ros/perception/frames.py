"""Every change of coordinates in this package. Nothing else negates an axis or reorders a quaternion.

Frames (all right-handed unless said otherwise, metres):

| name  | axes                               | who uses it                                               |
|-------|------------------------------------|-----------------------------------------------------------|
| cam   | x right, y down, z forward         | images, depth, `*_optical_frame` (REP 103), OpenCV        |
| body  | x forward, y left, z up            | `camera_link`, robots (REP 103)                           |
| p3d   | x left, y up, z forward            | the published model's camera (PyTorch3D; model page)      |
| obj   | z up, x away from the camera       | our object frame, URDF, RViz, MoveIt                      |
| canon | z up, cube of side 1 at the origin | the published model's voxels, Gaussians and decoded mesh  |
| gltf  | y up, z towards the viewer         | GLB files (glTF 2.0, section 3.4), also the published ones |

A rotation `R_a_b` (3, 3) takes coordinates in b to coordinates in a; `T_a_b` (4, 4) likewise.
Points are rows.
"""

from __future__ import annotations

import numpy as np

from sam3d_ros.types import Float

R_CAM_BODY: Float = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], np.float64)
"""body to optical: what is left of the robot is -x in the image, what is up is -y, what is ahead is z."""

R_CAM_P3D: Float = np.diag([-1.0, -1.0, 1.0])
"""The published model's camera to optical; its own inverse."""

R_OBJ_GLTF: Float = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float64)
"""glTF (y up) to object or canon (both z up): x stays, glTF's -z is our y."""


def transform(rotation: Float, translation: Float) -> Float:
    """(4, 4) float64 from a (3, 3) rotation and a (3,) translation."""
    T = np.eye(4)
    T[:3, :3] = rotation
    T[:3, 3] = translation
    return T


def inverse(T: Float) -> Float:
    """(4, 4) inverse of a rigid transform, exactly rigid again."""
    R = T[:3, :3].T
    return transform(R, -R @ T[:3, 3])


def apply(T: Float, points: Float) -> Float:
    """Points (..., 3) through T (4, 4); the dtype of the points stays."""
    moved: Float = (points @ T[:3, :3].T + T[:3, 3]).astype(points.dtype, copy=False)
    return moved


def _rotate(R: Float, points: Float) -> Float:
    """Points (..., 3) through R (3, 3); the dtype of the points stays."""
    return (points @ R.T).astype(points.dtype, copy=False)


def cam_from_body(points_body: Float) -> Float:
    """(..., 3) camera_link axes to optical axes."""
    return _rotate(R_CAM_BODY, points_body)


def body_from_cam(points_cam: Float) -> Float:
    """(..., 3) optical axes to camera_link axes."""
    return _rotate(R_CAM_BODY.T, points_cam)


def cam_from_p3d(points_p3d: Float) -> Float:
    """(..., 3) the published model's camera axes to optical axes."""
    return _rotate(R_CAM_P3D, points_p3d)


def p3d_from_cam(points_cam: Float) -> Float:
    """(..., 3) optical axes to the published model's camera axes."""
    return _rotate(R_CAM_P3D.T, points_cam)


def obj_from_gltf(points_gltf: Float) -> Float:
    """(..., 3) y-up (glTF) to z-up axes (obj, canon)."""
    return _rotate(R_OBJ_GLTF, points_gltf)


def gltf_from_obj(points_obj: Float) -> Float:
    """(..., 3) z-up axes (obj, canon) to y-up (glTF)."""
    return _rotate(R_OBJ_GLTF.T, points_obj)


def up_cam_from_world(R_cam_world: Float) -> Float:
    """(3,) unit vector against gravity in the optical frame, from the (3, 3) rotation of a z-up frame."""
    return np.asarray(R_cam_world, np.float64)[:3, 2].copy()


def up_cam_from_pitch(down: float) -> Float:
    """(3,) unit vector against gravity in the optical frame of an upright camera that looks `down` rad below level."""
    return np.array([0.0, -np.cos(down), -np.sin(down)])


def rotation_p3d_canon(q_wxyz: Float) -> Float:
    """(3, 3) `R_p3d_canon` of the published model's pose quaternion (4,), w x y z of any norm but zero.

    That model multiplies row vectors, points_p3d = points_canon @ R(q) + t, so on columns the transpose acts.
    """
    return matrix_from_quaternion(xyzw_from_wxyz(q_wxyz)).T


def quaternion_from_matrix(R: Float) -> Float:
    """(4,) float64 unit quaternion x y z w (ROS order, w >= 0) of a (3, 3) rotation.

    The largest component is taken from the diagonal, so nothing small is divided by (Shepperd 1978).
    """
    m = np.asarray(R, np.float64)
    # Four times the outer product of the quaternion (w, x, y, z) with itself.
    products = np.array(
        [
            [1 + m[0, 0] + m[1, 1] + m[2, 2], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], 1 + m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
            [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], 1 - m[0, 0] + m[1, 1] - m[2, 2], m[1, 2] + m[2, 1]],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], 1 - m[0, 0] - m[1, 1] + m[2, 2]],
        ]
    )
    w, x, y, z = products[int(np.argmax(np.diag(products)))]
    q = np.array([x, y, z, w])
    norm = float(np.linalg.norm(q))
    return q / (norm if w >= 0 else -norm)


def matrix_from_quaternion(q: Float) -> Float:
    """(3, 3) float64 rotation of a quaternion x y z w of any norm but zero.

    Raises ValueError for the zero quaternion, which messages carry when nobody filled them in.
    """
    norm = float(np.linalg.norm(q))
    if not np.isfinite(norm) or norm < 1e-9:
        raise ValueError(f"quaternion {np.asarray(q).tolist()} has no direction")
    x, y, z, w = np.asarray(q, np.float64) / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def wxyz_from_xyzw(q: Float) -> Float:
    """(..., 4) ROS quaternion order to the published model's (PyTorch3D, Gaussians) order."""
    return np.roll(q, 1, axis=-1)


def xyzw_from_wxyz(q: Float) -> Float:
    """(..., 4) the published model's quaternion order to ROS order."""
    return np.roll(q, -1, axis=-1)


def sixd_from_matrix(R: Float) -> Float:
    """(..., 6) rotation code: the first two COLUMNS of R, one after the other (Zhou et al. 2019)."""
    return np.concatenate([R[..., :, 0], R[..., :, 1]], axis=-1)


def matrix_from_sixd(d: Float) -> Float:
    """(..., 3, 3) rotation from a 6-D code by Gram-Schmidt on two column vectors.

    Raises ValueError where the two vectors are zero or parallel.
    """
    a, b = d[..., :3], d[..., 3:]
    norm_a = np.linalg.norm(a, axis=-1, keepdims=True)
    x = a / np.where(norm_a < 1e-9, 1, norm_a)
    b = b - (x * b).sum(-1, keepdims=True) * x
    norm_b = np.linalg.norm(b, axis=-1, keepdims=True)
    if np.any(norm_a < 1e-9) or np.any(norm_b < 1e-9):
        raise ValueError("6-D rotation with zero or parallel vectors")
    y = b / norm_b
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def view_frame(up_cam: Float, origin_cam: Float) -> Float:
    """(4, 4) float64 `T_cam_view`: z along `up_cam` (3,), x horizontal and away from the camera, y left.

    "Away" is the horizontal part of the ray from the camera to `origin_cam`; straight above the object, where
    that vanishes, it is the direction of the top of the image. Raises ValueError for an up without direction.
    """
    z = np.asarray(up_cam, np.float64)
    norm = float(np.linalg.norm(z))
    if not 1e-9 < norm < np.inf:
        raise ValueError(f"up vector {z.tolist()} has no direction")
    z = z / norm
    for away in (np.asarray(origin_cam, np.float64), np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])):
        x = away - (away @ z) * z
        length = float(np.linalg.norm(x))
        if length > 0.05 * float(np.linalg.norm(away)):
            x = x / length
            break
    return transform(np.stack([x, np.cross(z, x), z], axis=1), origin_cam)
