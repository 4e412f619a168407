import dataclasses
import math

import numpy as np
import pytest
import trimesh

from sam3d_ros.data.objects import make_object
from sam3d_ros.evaluate.texture import BACKGROUND, BEST_PSNR, draw, held_views, texture_metrics
from sam3d_ros.perception.frames import apply
from sam3d_ros.types import Camera, Mesh

HERE = np.eye(4)
HERE[:3, 3] = 0, 0, 0.7


def coloured(value):
    raw = trimesh.creation.icosphere(3, 0.05)
    colors = np.full((len(raw.vertices), 3), value, np.uint8)
    return Mesh(raw.vertices.astype(np.float32), raw.faces.astype(np.int32), colors)


def test_identity_is_the_best_there_is():
    mug = make_object("mug", np.random.default_rng(0)).mesh
    found = texture_metrics(mug, HERE, mug, HERE)
    assert found.psnr == BEST_PSNR
    assert found.ssim == pytest.approx(1)


@pytest.mark.parametrize(("a", "b"), [(100, 110), (0, 255), (51, 102)])
def test_two_plain_balls(a, b):
    found = texture_metrics(coloured(a), HERE, coloured(b), HERE)
    assert found.psnr == pytest.approx(-20 * np.log10(abs(a - b) / 255), abs=0.01)


def test_a_wrong_place_and_a_wrong_half_cost():
    mug = make_object("mug", np.random.default_rng(0)).mesh
    away = HERE.copy()
    away[0, 3] = 0.03
    assert texture_metrics(mug, away, mug, HERE).psnr < 25
    painted = mug.colors.copy()
    painted[mug.vertices[:, 0] > 0] = (255, 0, 255)
    wrong = texture_metrics(dataclasses.replace(mug, colors=painted), HERE, mug, HERE)
    assert wrong.psnr < 20
    assert wrong.ssim < 0.95


def test_without_colours_there_is_nothing_to_say():
    plain = dataclasses.replace(coloured(3), colors=None)
    for a, b in ((plain, coloured(3)), (coloured(3), plain)):
        found = texture_metrics(a, HERE, b, HERE)
        assert math.isnan(found.psnr)
        assert math.isnan(found.ssim)


def test_the_views_hold_the_whole_object():
    for name in ("hammer", "box", "pan"):
        mesh = make_object(name, np.random.default_rng(0)).mesh
        views = held_views(mesh)
        assert len(views) == 4
        for camera, T in views:
            points = apply(T, mesh.vertices.astype(np.float64))
            uv = points[:, :2] / points[:, 2:] * camera.fx + camera.cx
            assert uv.min() > 0
            assert uv.max() < camera.width - 1


def test_drawing_against_one_ray_per_pixel():
    mug = make_object("mug", np.random.default_rng(0)).mesh
    raw = trimesh.Trimesh(mug.vertices, mug.faces, process=False)
    _, T = held_views(mug)[1]
    camera = Camera(24, 24, 43.0, 43.0, 11.5, 11.5)
    picture, covered = draw(mug, T, camera)
    corners = apply(T, mug.vertices.astype(np.float64))[raw.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    expected = np.full((24, 24, 3), BACKGROUND)
    seen = np.zeros((24, 24), bool)
    for row in range(24):
        for column in range(24):
            ray = np.array([(column - 11.5) / 43, (row - 11.5) / 43, 1])
            with np.errstate(divide="ignore", invalid="ignore"):
                reach = np.einsum("ij,ij->i", normals, corners[:, 0]) / (normals @ ray)
            points = reach[:, None] * ray
            with np.errstate(invalid="ignore"):
                weights = trimesh.triangles.points_to_barycentric(corners, np.nan_to_num(points))
            hits = np.flatnonzero((weights > 0).all(axis=1) & (reach > 0))
            if len(hits):
                first = hits[np.argmin(reach[hits])]
                seen[row, column] = True
                expected[row, column] = weights[first] @ mug.colors[raw.faces[first]] / 255
    # The two may differ in who owns a pixel exactly on an edge.
    assert (seen != covered).mean() < 0.01
    both = seen & covered
    assert both.sum() > 50
    assert (np.abs(picture - expected)[both].max(axis=1) < 0.02).mean() > 0.97
