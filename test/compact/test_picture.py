"""The object's crop: pixel by pixel, at the border of the image, without colour, in a mirror."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from looks import ASIDE, frame_of, look, mirrored, views_of
from scenes import box_scene

from sam3d_ros.baselines.evidence import evidence
from sam3d_ros.compact.box import ObjectBox, box_of
from sam3d_ros.compact.picture import CHANNELS, MARGIN, picture
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.types import Frame, Mask, ObjectView, Roi

PIXELS = 48


def boxed(view: ObjectView, frame: Frame) -> ObjectBox:
    return box_of(evidence(view, frame).points)


def named(view: ObjectView, frame: Frame) -> dict[str, np.ndarray]:
    return dict(zip(CHANNELS, picture(view, frame, boxed(view, frame), PIXELS), strict=True))


def test_every_pixel_shows_what_lies_under_it() -> None:
    view, frame, _ = look(boxes=ASIDE)
    found, roi = named(view, frame), view.roi
    box = boxed(view, frame)
    side = MARGIN * max(roi.width, roi.height)
    checked = 0
    for row in range(PIXELS):
        for column in range(PIXELS):
            u = roi.x + roi.width / 2 - side / 2 + (column + 0.5) * side / PIXELS - 0.5
            v = roi.y + roi.height / 2 - side / 2 + (row + 0.5) * side / PIXELS - 0.5
            near = [
                (round(v) + i, round(u) + j)
                for i in (-1, 0, 1)
                for j in (-1, 0, 1)
                if 0 <= round(v) + i < frame.camera.height and 0 <= round(u) + j < frame.camera.width
            ]
            points = np.array([frame.points_cam[at] for at in near], np.float64)
            if len(near) < 9 or not np.isfinite(points).all():
                continue
            unit = np.clip(box.unit(apply(inverse(view.T_cam_view), points)), -2, 2) / 2
            here = np.array([found[name][row, column] for name in "xyz"])
            assert np.abs(unit - here).max(axis=1).min() < 1e-4
            assert found["measured"][row, column] == 1
            colours = np.array([frame.rgb[at] for at in near]) / 127.5 - 1
            shown = np.array([found[name][row, column] for name in ("red", "green", "blue")])
            assert (colours.min(0) - 1e-3 <= shown).all()
            assert (shown <= colours.max(0) + 1e-3).all()
            inside = np.array([view.mask.pixels[at] for at in near])
            if inside.all() or not inside.any():
                assert found["mask"][row, column] == (1 if inside.all() else -1)
            checked += 1
    assert checked > PIXELS**2 / 2


def test_outside_of_the_image_nothing_is_measured() -> None:
    """A mask in the corner: three quarters of nothing would be middle grey."""
    view, frame, _ = look()
    pixels = np.zeros_like(view.mask.pixels)
    pixels[:20, :20] = True
    corner = replace(view, mask=Mask(1, pixels), roi=Roi(0, 0, 20, 20))
    found = dict(zip(CHANNELS, picture(corner, frame, boxed(view, frame), PIXELS), strict=True))
    assert np.isfinite(np.stack(list(found.values()))).all()
    for name in ("red", "green", "blue", "x", "y", "z"):
        assert (found[name][0] == 0).all(), name
    assert (found["measured"][0] == -1).all()
    assert (found["mask"][0] == -1).all()


def test_holes_and_missing_colour() -> None:
    view, frame, _ = look()
    holes = frame.points_cam.copy()
    holes[view.mask.pixels] = np.nan
    found = dict(
        zip(
            CHANNELS,
            picture(view, replace(frame, points_cam=holes, rgb=None), boxed(view, frame), PIXELS),
            strict=True,
        )
    )
    inside = found["mask"] == 1
    assert inside.any()
    assert (found["measured"][inside] == -1).all()
    for name in ("x", "y", "z"):
        assert (found[name][inside] == 0).all()
    for name in ("red", "green", "blue"):
        assert (found[name] == 0).all()


def test_in_a_mirror_left_is_right() -> None:
    scene = box_scene(boxes=ASIDE)
    one, other = (named(views_of(frame_of(s), s)[0], frame_of(s)) for s in (scene, mirrored(scene)))
    for name in CHANNELS:
        sign = -1 if name == "y" else 1
        different = np.abs(sign * other[name][:, ::-1] - one[name]) > 0.05
        assert different.mean() < 0.06, name
    assert np.abs(one["y"] - other["y"][:, ::-1]).mean() > 0.2


@pytest.mark.parametrize("pixels", [1, 7, 96])
def test_any_size(pixels: int) -> None:
    view, frame, _ = look()
    found = picture(view, frame, boxed(view, frame), pixels)
    assert found.shape == (len(CHANNELS), pixels, pixels)
    assert found.dtype == np.float32
    assert np.abs(found).max() <= 1
