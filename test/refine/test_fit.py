"""Distances against a plain reference, silhouettes with known overlap, and a confidence that is monotone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from sam3d_ros.mesh.raster import Picture, depth_picture
from sam3d_ros.perception import frames
from sam3d_ros.perception.camera import rays
from sam3d_ros.refine.fit import confidence, distances, fit_of, point_triangle
from sam3d_ros.types import Camera, Fit, Frame, Mask, Mesh, ObjectView, Roi, Support, UpSource

CAMERA = Camera(160, 120, 150.0, 150.0, 79.5, 59.5)
T_CAM_OBJ = frames.transform(np.eye(3), np.array([0.01, 0, 0.5]))
WHOLE = Picture(Roi(0, 0, 160, 120), 1)


def ball(radius: float = 0.06) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    return Mesh(shape.vertices.astype(np.float32), shape.faces.astype(np.int32))


def seen_ball() -> tuple[ObjectView, Frame]:
    posed = Mesh(frames.apply(T_CAM_OBJ, ball().vertices), ball().faces)
    depth = depth_picture(posed, CAMERA, WHOLE)
    mask = np.isfinite(depth)
    points = (rays(CAMERA) * np.where(mask, depth, 1.5)[..., None]).astype(np.float32)
    rows, columns = np.nonzero(mask)
    roi = Roi(int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
    support = Support(np.array([0.0, -1, 0]), None, UpSource.SUPPORT_PLANE)
    view = ObjectView(
        Mask(1, mask), roi, points[mask], np.zeros((len(rows), 3), np.uint8), support, np.eye(4), mask
    )
    return view, Frame(None, points, CAMERA)


def test_the_true_mesh_fits() -> None:
    view, frame = seen_ball()
    fit = fit_of(ball(), T_CAM_OBJ, view, frame)
    assert fit.depth_rmse < 5e-4
    assert fit.inlier_ratio == 1
    assert fit.mask_iou > 0.97


def test_a_shift_is_measured() -> None:
    view, frame = seen_ball()
    back = T_CAM_OBJ @ frames.transform(np.eye(3), np.array([0, 0, 0.05]))
    fit = fit_of(ball(), back, view, frame)
    assert 0.02 < fit.depth_rmse < 0.05
    aside = T_CAM_OBJ @ frames.transform(np.eye(3), np.array([0.06, 0, 0]))
    overlap = (
        2 / 3 - np.sqrt(3) / 2 / np.pi
    )  # two discs, centres a radius apart: (2 pi / 3 - sqrt(3) / 2) / pi
    assert fit_of(ball(), aside, view, frame).mask_iou == pytest.approx(overlap / (2 - overlap), abs=0.04)


def test_what_something_nearer_covers_does_not_count() -> None:
    view, frame = seen_ball()
    mask = view.mask.pixels.copy()
    points = frame.points_cam.copy()
    mask[:, 85:] = False
    covered = replace(view, mask=Mask(1, mask))
    open_iou = fit_of(ball(), T_CAM_OBJ, covered, frame).mask_iou
    points[:, 85:, 2] = 0.3
    assert open_iou < 0.75
    assert fit_of(ball(), T_CAM_OBJ, covered, replace(frame, points_cam=points)).mask_iou > 0.95


def test_distances_are_those_to_the_nearest_of_all_triangles() -> None:
    rng = np.random.default_rng(1)
    shape = trimesh.creation.box([0.3, 0.2, 0.1])
    for mesh in (ball(), Mesh(shape.vertices.astype(np.float32), shape.faces.astype(np.int32))):
        points = rng.uniform(-0.2, 0.2, (60, 3))
        corners = mesh.vertices.astype(float)[mesh.faces]
        every = np.array([point_triangle(np.repeat(p[None], len(corners), 0), corners).min() for p in points])
        got = distances(points, mesh)
        assert (got >= every - 1e-9).all()
        np.testing.assert_allclose(got, every, atol=1e-3)


def test_distance_to_a_triangle_against_dense_samples() -> None:
    rng = np.random.default_rng(2)
    a, b = np.meshgrid(np.linspace(0, 1, 200), np.linspace(0, 1, 200))
    inside = a + b <= 1
    weights = np.stack([a[inside], b[inside], 1 - a[inside] - b[inside]], 1)
    for _ in range(20):
        triangle, point = rng.normal(size=(3, 3)), rng.normal(size=3) * 2
        reference = np.linalg.norm(weights @ triangle - point, axis=1).min()
        assert point_triangle(point[None], triangle[None])[0] == pytest.approx(reference, abs=0.02)
    flat = np.array([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]])
    assert point_triangle(np.array([[1.0, 3, 0]]), flat)[0] == pytest.approx(3)


def test_confidence_grows_with_every_part() -> None:
    view, _ = seen_ball()
    good = Fit(0.001, 0.9, 0.9)
    base = confidence(good, view)
    assert 0 < base < 1
    assert confidence(replace(good, inlier_ratio=0.5), view) < base
    assert confidence(replace(good, mask_iou=0.5), view) < base
    assert confidence(good, replace(view, points_cam=view.points_cam[:50])) < base
    for source in (UpSource.GRAVITY, UpSource.CAMERA):
        assert confidence(good, replace(view, support=replace(view.support, source=source))) < base
    cut = view.mask.pixels.copy()
    cut[0, 20:120] = True
    assert confidence(good, replace(view, mask=Mask(1, cut))) < base
    assert confidence(Fit(1.0, 0.0, 0.0), view) == 0
