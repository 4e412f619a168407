"""How well a posed mesh explains what the camera saw, and what that is worth."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from sam3d_ros.mesh.raster import Picture, depth_picture
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.types import Fit, Float, Frame, Mesh, ObjectView, UpSource

INLIER = 0.010  # m
POINTS = 1000  # observed points that are measured
SILHOUETTE = 96  # pixels along the longer side of the silhouette
NEARER = 0.015  # m that the scene must be in front of the mesh to hide it
UP_TRUST = {UpSource.SUPPORT_PLANE: 1.0, UpSource.GRAVITY: 0.9, UpSource.CAMERA: 0.7}


def fit_of(mesh: Mesh, T_cam_obj: Float, view: ObjectView, frame: Frame) -> Fit:
    """Compare with the observed points and with the mask. mesh: in the object frame, m."""
    observed = view.points_cam
    chosen = observed[np.linspace(0, len(observed) - 1, min(POINTS, len(observed))).astype(int)]
    distance = distances(apply(inverse(T_cam_obj), chosen), mesh)
    return Fit(
        depth_rmse=float(np.sqrt(np.mean(distance**2))),
        inlier_ratio=float((distance < INLIER).mean()),
        mask_iou=silhouette_iou(Mesh(apply(T_cam_obj, mesh.vertices), mesh.faces), view, frame),
    )


def silhouette_iou(mesh_cam: Mesh, view: ObjectView, frame: Frame) -> float:
    """Overlap of the mask and the mesh's silhouette, 0..1.

    Pixels outside the mask where the scene is at least 15 mm nearer than the mesh belong to what covers the
    object and do not count. mesh_cam: in the optical frame, m.
    """
    picture = Picture.around(view.roi, frame.camera, 0.25, SILHOUETTE)
    drawn = depth_picture(mesh_cam, frame.camera, picture)
    mask = picture.sample(view.mask.pixels)
    scene = picture.sample(frame.points_cam[..., 2])
    with np.errstate(invalid="ignore"):
        covered = ~mask & (scene < drawn - NEARER)
    silhouette = np.isfinite(drawn) & ~covered
    union = int((mask | silhouette).sum())
    return float((mask & silhouette).sum()) / union if union else 0.0


def distances(points: Float, mesh: Mesh, candidates: int = 6) -> Float:
    """(N,) float64 m from points (N, 3) to the nearest surface.

    The nearest of evenly spread surface samples name candidate triangles, to which the distance is exact;
    it can only be overestimated, by less than the distance between samples.
    """
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    per_face = np.ceil(4000 * area / max(float(area.sum()), 1e-30)).astype(np.int64).clip(1, 4000)
    face = np.repeat(np.arange(len(corners)), per_face)
    local = np.arange(len(face)) - np.repeat(np.cumsum(per_face) - per_face, per_face)
    # Additive recurrence with the plastic number: even and the same every time (Roberts 2018); first the
    # centroid.
    a = (0.5 + local * 0.7548776662466927) % 1
    b = (0.5 + local * 0.5698402909980532) % 1
    flip = a + b > 1
    a, b = np.where(flip, 1 - a, a), np.where(flip, 1 - b, b)
    a, b = np.where(local == 0, 1 / 3, a), np.where(local == 0, 1 / 3, b)
    t = corners[face]
    samples = t[:, 0] + a[:, None] * (t[:, 1] - t[:, 0]) + b[:, None] * (t[:, 2] - t[:, 0])
    _, near = cKDTree(samples).query(points, k=min(candidates, len(samples)))
    near = np.reshape(near, (len(points), -1))
    repeated = np.repeat(np.asarray(points, np.float64), near.shape[1], axis=0)
    exact = point_triangle(repeated, corners[face[near.ravel()]])
    result: Float = exact.reshape(near.shape).min(1)
    return result


def point_triangle(points: Float, triangles: Float) -> Float:
    """(N,) distance of points (N, 3) to triangles (N, 3, 3), pairwise.

    Inside the prism over the triangle it is the distance to the plane, elsewhere that to the nearest edge.
    """
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    normal = np.cross(b - a, c - a)
    size = np.linalg.norm(normal, axis=1)
    unit = normal / np.where(size > 0, size, 1)[:, None]
    height = np.einsum("ij,ij->i", points - a, unit)
    inside = size > 0
    nearest = np.full(len(points), np.inf)
    for start, end in ((a, b), (b, c), (c, a)):
        edge = end - start
        offset = points - start
        inside &= np.einsum("ij,ij->i", np.cross(edge, offset), unit) >= 0
        length = np.einsum("ij,ij->i", edge, edge)
        along = np.clip(np.einsum("ij,ij->i", offset, edge) / np.where(length > 0, length, 1), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(offset - along[:, None] * edge, axis=1))
    result: Float = np.where(inside, np.abs(height), nearest)
    return result


def confidence(fit: Fit, view: ObjectView) -> float:
    """How far to trust a reconstruction, 0..1: a product of parts, each growing with the evidence. No
    probability.

    sqrt(inlier_ratio * mask_iou): the mesh explains depth and mask. n / (n + 100) for n observed points. 1,
    0.9 or 0.7 for an up direction from a support plane, from gravity, from the camera. 1 minus half the
    share of the mask's outline box that lies on the border of the image, where the object is cut off.
    """
    points = len(view.points_cam) / (len(view.points_cam) + 100)
    explained = float(np.sqrt(fit.inlier_ratio * fit.mask_iou))
    return explained * points * UP_TRUST[view.support.source] * (1 - 0.5 * border_share(view))


def border_share(view: ObjectView) -> float:
    """Share of the four sides of the mask's rectangle that mask pixels touch at the border of the image,
    0..1."""
    pixels = view.mask.pixels
    roi = view.roi
    touching = sum(int(side.sum()) for side in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    return min(1.0, touching / max(2 * (roi.width + roi.height), 1))
