"""Where the prediction is, in the camera frame: rotation left over and overlap in the image (training and
evaluation page, section 7.2). Boxes and ADD-S are in `posed.py`."""

from __future__ import annotations

import numpy as np

from sam3d_ros.evaluate.icp import angle_deg, cloud_of, icp
from sam3d_ros.mesh.raster import Picture, depth_picture, pixels_of
from sam3d_ros.types import Camera, Float, Int, Mesh, Roi

ICP_POINTS = 1500
ITERATIONS = 80
SILHOUETTE = 160
"""Pixels along the longer side of the compared silhouettes."""


def icp_rotation_deg(p_vertices: Float, p_faces: Int, t_vertices: Float, t_faces: Int) -> float:
    """The angle, degrees, by which ICP still turns the posed prediction to bring it onto the posed truth.

    vertices: (V, 3) m, both in the optical frame; faces (F, 3), at least one each. ICP starts where the
    prediction is, so the nearest of the poses that look alike is found: a can turned about its axis has no
    error. The turn is about the middle of the truth.
    """
    middle = (t_vertices.min(axis=0) + t_vertices.max(axis=0)) / 2
    moving = cloud_of(p_vertices - middle, p_faces, ICP_POINTS, seed=8)
    fixed = cloud_of(t_vertices - middle, t_faces, ICP_POINTS, seed=9)
    T, _ = icp(moving, fixed, np.eye(4)[None], ITERATIONS)
    return angle_deg(T[0, :3, :3])


def mask_iou(p_vertices: Float, p_faces: Int, t_vertices: Float, t_faces: Int, camera: Camera) -> float:
    """Overlap of the whole silhouettes of both in the image, 0..1: what hides them does not count.

    vertices: (V, 3) m, optical frame. 0 where no pixel is covered by either.
    """
    uv = pixels_of(np.concatenate([p_vertices, t_vertices]), camera)
    uv = uv[np.isfinite(uv).all(axis=1)]
    if not len(uv):
        return 0.0
    size = (camera.width, camera.height)
    low = np.clip(np.floor(uv.min(axis=0)), 0, size).astype(int)
    high = np.clip(np.ceil(uv.max(axis=0)) + 1, 0, size).astype(int)
    if (high <= low).any():
        return 0.0
    roi = Roi(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))
    picture = Picture(roi, max(1, -(-max(roi.width, roi.height) // SILHOUETTE)))
    p, t = (
        np.isfinite(depth_picture(Mesh(vertices, faces), camera, picture))
        for vertices, faces in ((p_vertices, p_faces), (t_vertices, t_faces))
    )
    union = int((p | t).sum())
    return float((p & t).sum()) / union if union else 0.0
