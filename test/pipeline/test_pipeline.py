"""From rendered frames to objects: accuracy, order, isolation of failures, cancelling, limits."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from sam3d_ros import pipeline
from sam3d_ros.data.render import render
from sam3d_ros.data.scene import Scene, make_tabletop, orbit
from sam3d_ros.data.sensor import sense
from sam3d_ros.evaluate.posed import posed_metrics
from sam3d_ros.mesh.check import box, check, is_watertight
from sam3d_ros.methods import classical
from sam3d_ros.methods.settings import CLASSICAL, Settings
from sam3d_ros.perception.frames import inverse
from sam3d_ros.perception.masks import MaskLimits, masks_from_labels
from sam3d_ros.perception.pointmap import depth_to_metres, points_from_depth
from sam3d_ros.pipeline import Reconstructor
from sam3d_ros.types import (
    Camera,
    Cancelled,
    Float,
    Frame,
    InputError,
    Mask,
    Reconstruction,
    RejectCode,
    Rejected,
    UpSource,
)

CAMERA = Camera(320, 240, 300.0, 300.0, 159.5, 119.5)
EXTRUDE = Reconstructor(Settings(method="extrude"))


@lru_cache(maxsize=8)
def look(seed: int, count: int = 3) -> tuple[Scene, Frame, tuple[Mask, ...], Float]:
    """A noisy frame of a synthetic table, its masks and T_world_cam."""
    scene = make_tabletop(seed, count)
    T_world_cam = orbit(1, start=float(seed))[0]
    rendered = render(scene, CAMERA, T_world_cam, antialias=False)
    depth = depth_to_metres(sense(rendered, CAMERA, np.random.default_rng(seed)), "16UC1")
    frame = Frame(rendered.rgb, points_from_depth(depth, CAMERA), CAMERA)
    return scene, frame, tuple(masks_from_labels(rendered.labels)), T_world_cam


@pytest.mark.parametrize("method", CLASSICAL)
def test_objects_are_where_they_are(method: str) -> None:
    overlaps, errors = [], []
    for seed in range(4):
        scene, frame, masks, T_world_cam = look(seed)
        results = Reconstructor(Settings(method=method)).reconstruct(frame, masks)  # type: ignore[arg-type]
        assert len(results) == len(masks)
        for mask, result in zip(masks, results, strict=True):
            if isinstance(result, Rejected):
                assert result.mask_index == mask.index
                continue
            assert result.mask is mask
            truth = next(o for o in scene.objects if o.label == mask.index)
            T_cam_truth = inverse(T_world_cam) @ truth.T_world_obj
            metrics = posed_metrics(result.mesh, result.T_cam_obj, truth.model.mesh, T_cam_truth)
            overlaps.append(metrics.viou)
            errors.append(metrics.centre_error_m)
    assert len(overlaps) >= 9
    # benchmarks/pipeline.py has the figures; this is the floor under them.
    assert np.median(errors) < 0.02
    assert np.mean(overlaps) > {"extrude": 0.45, "mirror": 0.45, "hull": 0.25}[method]


def test_the_result_is_whole() -> None:
    _, frame, masks, _ = look(0)
    for result in EXTRUDE.reconstruct(frame, masks):
        assert isinstance(result, Reconstruction)
        check(result.mesh)
        assert result.watertight
        assert is_watertight(result.mesh)
        low, high = box(result.mesh)
        np.testing.assert_allclose(low, -high, atol=1e-6)  # the box is centred on the object's origin
        np.testing.assert_allclose(high - low, result.size_m, atol=1e-5)
        np.testing.assert_allclose(
            result.T_cam_obj[:3, :3] @ result.T_cam_obj[:3, :3].T, np.eye(3), atol=1e-9
        )
        assert result.mesh.colors is not None
        assert result.up_source is UpSource.SUPPORT_PLANE
        assert result.metric
        assert 0 < result.confidence <= 1
        assert set(result.seconds) == set(pipeline.STAGES) - {"refine"}


def test_same_input_same_output() -> None:
    _, frame, masks, _ = look(0)
    first, second = (EXTRUDE.reconstruct(frame, masks) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert isinstance(a, Reconstruction)
        assert isinstance(b, Reconstruction)
        np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)
        np.testing.assert_array_equal(a.T_cam_obj, b.T_cam_obj)


def test_one_failure_does_not_cost_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    _, frame, masks, _ = look(0)
    real = classical.extrude

    def fragile(view, frame):  # type: ignore[no-untyped-def]
        if view.mask.index == masks[1].index:
            raise ZeroDivisionError("boom")
        return real(view, frame)

    monkeypatch.setattr(classical, "extrude", fragile)
    results = EXTRUDE.reconstruct(frame, masks)
    assert [type(r) for r in results] == [Reconstruction, Rejected, Reconstruction]
    assert isinstance(results[1], Rejected)
    assert results[1].code is RejectCode.FAILED
    assert "ZeroDivisionError: boom" in results[1].reason


def test_bad_masks_are_named_in_their_place() -> None:
    _, frame, masks, _ = look(0)
    empty = Mask(40, np.zeros((240, 320), bool))
    tiny = Mask(41, np.zeros((240, 320), bool))
    tiny.pixels[100:103, 100:103] = True
    points = frame.points_cam.copy()
    points[masks[0].pixels] = np.nan
    results = EXTRUDE.reconstruct(replace(frame, points_cam=points), [empty, masks[0], tiny, masks[1]])
    codes = [r.code if isinstance(r, Rejected) else None for r in results]
    assert codes == [RejectCode.EMPTY_MASK, RejectCode.NO_DEPTH, RejectCode.TINY_MASK, None]


def test_limits() -> None:
    _, frame, masks, _ = look(0)

    def codes(settings: Settings) -> list[RejectCode | None]:
        results = Reconstructor(settings).reconstruct(frame, masks)
        return [r.code if isinstance(r, Rejected) else None for r in results]

    assert codes(Settings(method="extrude", max_objects=2)) == [None, None, RejectCode.TOO_MANY]
    assert codes(Settings(method="extrude", min_confidence=1.0)) == [RejectCode.LOW_CONFIDENCE] * 3
    assert codes(Settings(method="extrude", limits=MaskLimits(max_size=0.01))) == [RejectCode.TOO_LARGE] * 3
    few = Reconstructor(Settings(method="extrude", max_faces=3000)).reconstruct(frame, masks)
    assert all(isinstance(r, Reconstruction) and len(r.mesh.faces) <= 3000 and r.watertight for r in few)
    for wrong in (
        {"method": "magic"},
        {"max_objects": 0},
        {"min_confidence": 2.0},
        {"doubt": 2.0},
        {"threads": -1},
        {"backend": "openvino"},
        {"model": ""},
    ):
        with pytest.raises(InputError):
            Settings(**wrong)  # type: ignore[arg-type]


def test_cancel_and_progress() -> None:
    _, frame, masks, _ = look(0)
    told: list[tuple[str, int, float]] = []
    EXTRUDE.reconstruct(frame, masks, progress=lambda *step: told.append(step))
    assert [stage for stage, *_ in told] == [
        "support",
        *["points"] * 3,
        *["shape", "fit"] * 3,
        *["colour"] * 3,
    ]
    fractions = [fraction for *_, fraction in told]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] < 1
    for after in range(len(told)):
        asked = iter([False] * after + [True] * 50)
        with pytest.raises(Cancelled):
            EXTRUDE.reconstruct(frame, masks, cancel=lambda asked=asked: next(asked))


def test_input_that_does_not_fit_together() -> None:
    _, frame, masks, _ = look(0)
    with pytest.raises(InputError, match="mask 7"):
        EXTRUDE.reconstruct(frame, [Mask(7, np.ones((10, 10), bool))])
    with pytest.raises(InputError, match="image"):
        EXTRUDE.reconstruct(replace(frame, rgb=np.zeros((10, 10, 3), np.uint8)), masks)
    assert EXTRUDE.reconstruct(frame, []) == []


def test_without_colour_and_without_a_plane() -> None:
    _, frame, masks, _ = look(0)
    points = frame.points_cam.copy()
    points[~np.logical_or.reduce([m.pixels for m in masks])] = np.nan
    up = np.array([0.0, -0.8, -0.6])
    results = Reconstructor(Settings(method="extrude", min_confidence=0)).reconstruct(
        replace(frame, rgb=None, points_cam=points, up_cam=up), masks
    )
    for result in results:
        assert isinstance(result, Reconstruction)
        assert result.mesh.colors is None
        assert result.up_source is UpSource.GRAVITY


def test_damaged_depth_never_raises() -> None:
    _, frame, masks, _ = look(1)
    rng = np.random.default_rng(0)
    start = time.monotonic()
    for trial in range(30):
        points = frame.points_cam.copy()
        hit = rng.random(points.shape[:2]) < rng.random()
        points[hit] = rng.choice([np.nan, np.inf, -1.0, 0.0, 50.0])
        if trial % 3 == 0:
            points += rng.normal(size=points.shape).astype(np.float32) * 0.05
        assert len(EXTRUDE.reconstruct(replace(frame, points_cam=points), masks)) == len(masks)
    assert time.monotonic() - start < 60  # no pathological growth
