"""Colours, judged from views that were held back: four cameras around the object, at the corners of a
tetrahedron, so that most of what they see was hidden from the one that took the picture.

Both meshes are drawn with their vertex colours alone, no light, where they are posed: a wrong place costs as
a wrong colour does. LPIPS is not computed: the weights of its network are on no package index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.metrics import structural_similarity

from sam3d_ros.mesh.raster import fragments, pixels_of
from sam3d_ros.perception.frames import apply, inverse, transform
from sam3d_ros.types import Bool, Camera, Float, Mesh

LPIPS_UNAVAILABLE = "LPIPS is not available: the weights of its network are on no package index"
PIXELS = 128
BACKGROUND = 0.5
DIRECTIONS = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3)
DISTANCE = 4.0  # radii of the ball around the object
BEST_PSNR = 20 * np.log10(255 * np.sqrt(12))
"""58.9 dB: the error of rounding to 8 bit, which no comparison of 8-bit colours can get below."""


@dataclass(frozen=True)
class TextureMetrics:
    """Over the pixels that either object covers, mean of the views. psnr: dB, at most 58.9. ssim: -1..1,
    11-pixel Gaussian window (Wang 2004). NaN where the prediction or the truth has no colours."""

    psnr: float
    ssim: float


NO_COLOURS = TextureMetrics(float("nan"), float("nan"))


def texture_metrics(prediction: Mesh, T_cam_pred: Float, truth: Mesh, T_cam_truth: Float) -> TextureMetrics:
    """Poses are (4, 4) object to optical frame, m. The views are fixed in the truth's object frame.

    Expects finite meshes with at least one face each.
    """
    if prediction.colors is None or truth.colors is None:
        return NO_COLOURS
    T_truth_pred = inverse(T_cam_truth) @ T_cam_pred
    psnr, ssim = [], []
    for camera, T_view_truth in held_views(truth):
        shown, covered = draw(prediction, T_view_truth @ T_truth_pred, camera)
        expected, covered_truth = draw(truth, T_view_truth, camera)
        covered |= covered_truth
        if not covered.any():
            continue
        error = float(np.mean((shown - expected)[covered] ** 2))
        psnr.append(min(-10 * np.log10(max(error, 1e-12)), BEST_PSNR))
        _, similarity = structural_similarity(  # type: ignore[no-untyped-call]
            shown, expected, channel_axis=2, data_range=1.0, full=True,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )  # fmt: skip
        ssim.append(float(similarity[covered].mean()))
    return TextureMetrics(float(np.mean(psnr)), float(np.mean(ssim))) if psnr else NO_COLOURS


def held_views(truth: Mesh) -> list[tuple[Camera, Float]]:
    """Four cameras and their T_view_truth (4, 4), each with the whole truth in its picture and a margin."""
    low, high = truth.vertices.min(axis=0).astype(np.float64), truth.vertices.max(axis=0).astype(np.float64)
    middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    focal = 0.45 * PIXELS * DISTANCE
    half = (PIXELS - 1) / 2
    camera = Camera(PIXELS, PIXELS, focal, focal, half, half)
    views = []
    for direction in DIRECTIONS:
        z = -direction
        x = np.cross(z, [0.0, 0.0, 1.0])
        x /= np.linalg.norm(x)
        R = np.stack([x, np.cross(z, x), z], axis=1)
        views.append((camera, inverse(transform(R, middle + DISTANCE * radius * direction))))
    return views


def draw(mesh: Mesh, T_view_mesh: Float, camera: Camera) -> tuple[Float, Bool]:
    """(H, W, 3) float32 sRGB 0..1 of the vertex colours on grey, and (H, W) the pixels covered.

    Perspective-correct. Triangles with a vertex behind the camera are left out. The mesh has colours.
    """
    assert mesh.colors is not None
    points = apply(T_view_mesh, mesh.vertices.astype(np.float64))
    uv = pixels_of(points, camera)
    with np.errstate(divide="ignore"):
        nearness = (1 / points[:, 2]).astype(np.float32)
    pixel, near, color = [], [], []
    for part in fragments(uv[mesh.faces], camera.height, camera.width):
        corners = mesh.faces[part.face]
        weights = part.weights * nearness[corners]
        total = weights.sum(axis=1)
        pixel.append(part.row * camera.width + part.column)
        near.append(total)
        color.append(
            np.einsum("nk,nkc->nc", weights / total[:, None], mesh.colors[corners] / np.float32(255))
        )
    picture = np.full((camera.height * camera.width, 3), BACKGROUND, np.float32)
    covered = np.zeros(len(picture), bool)
    if pixel:
        where = np.concatenate(pixel)
        # Far ones first, so that the nearest is what stays.
        order = np.argsort(np.concatenate(near), kind="stable")
        picture[where[order]] = np.concatenate(color)[order]
        covered[where] = True
    return picture.reshape(camera.height, camera.width, 3), covered.reshape(camera.height, camera.width)
