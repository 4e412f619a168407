"""Vertex colours from the image: what was seen keeps its colour, what was hidden has that of the model, or takes that
of the nearest seen one."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from sam3d_ros.mesh.raster import Picture, depth_picture, pixels_of
from sam3d_ros.perception.frames import apply
from sam3d_ros.types import Bool, Camera, Float, Mask, Mesh, Roi, UInt8

FINEST = 160  # pixels along the longer side of the visibility test
SEEN = 4e-3  # m behind the drawn surface up to which a vertex counts as seen
GREY = 128


def visible(mesh_cam: Mesh, mask: Mask, roi: Roi, camera: Camera) -> tuple[Bool, Float]:
    """(V,) bool, which vertices the camera sees, and (V, 2) their pixels.

    Seen is what projects into the mask, one pixel inside its border, and is not behind the mesh's own
    front. What covers the object from outside is not in the mask.
    """
    picture = Picture.around(roi, camera, 0.1, FINEST)
    depth = depth_picture(mesh_cam, camera, picture)
    uv = pixels_of(mesh_cam.vertices, camera)
    finite = np.isfinite(uv).all(1)
    uv = np.where(np.asarray(finite)[:, None], uv, -1)
    rows, columns = picture.shape
    c = np.clip(np.rint((uv[:, 0] - picture.roi.x) / picture.step), 0, columns - 1).astype(np.int64)
    r = np.clip(np.rint((uv[:, 1] - picture.roi.y) / picture.step), 0, rows - 1).astype(np.int64)
    # On a slanted face the pixel's centre is nearer than the vertex: compare with the farthest pixel around
    # it.
    front = cv2.dilate(np.where(np.isfinite(depth), depth, 0).astype(np.float32), np.ones((3, 3), np.uint8))
    inner = np.asarray(cv2.erode(mask.pixels.astype(np.uint8), np.ones((3, 3), np.uint8)))
    mask_at: Bool = np.asarray(inner > 0) if inner.any() else mask.pixels
    x, y = np.rint(uv).astype(np.int64).T
    within: Bool = np.asarray(finite & (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height))
    within[within] = mask_at[y[within], x[within]]
    seen: Bool = within & (mesh_cam.vertices[:, 2] <= front[r, c] + SEEN)
    return seen, uv


def colour(mesh: Mesh, T_cam_mesh: Float, rgb: UInt8 | None, mask: Mask, roi: Roi, camera: Camera) -> Mesh:
    """The mesh with (V, 3) uint8 sRGB vertex colours: those of the image where it is seen. Hidden vertices keep the
    colours the mesh has; where it has none they take that of the nearest seen one, grey where the camera sees none of
    it. Unchanged without an image.

    rgb: (H, W, 3) uint8 of the camera's size.
    """
    if rgb is None:
        return mesh
    seen, uv = visible(Mesh(apply(T_cam_mesh, mesh.vertices), mesh.faces), mask, roi, camera)
    known = mesh.colors
    colors = np.full((len(mesh.vertices), 3), GREY, np.uint8) if known is None else known.copy()
    if seen.any():
        at = uv[seen].astype(np.float32)
        colors[seen] = cv2.remap(
            rgb, at[:, :1], at[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )[:, 0]
        if known is None and not seen.all():
            _, nearest = cKDTree(mesh.vertices[seen]).query(mesh.vertices[~seen])
            colors[~seen] = colors[seen][nearest]
    return Mesh(mesh.vertices, mesh.faces, colors)
