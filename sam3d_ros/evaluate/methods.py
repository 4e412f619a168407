"""What is judged: each method turns a shot into one answer per target, a mesh with a pose or the reason why
there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np

from sam3d_ros.evaluate.mean_shape import mean_at_centroid
from sam3d_ros.evaluate.nearest import nearest_shape
from sam3d_ros.evaluate.predictions import Predictions
from sam3d_ros.evaluate.source import Shot, Target
from sam3d_ros.evaluate.variants import Variant, is_variant
from sam3d_ros.mesh.check import box
from sam3d_ros.mesh.colour import colour
from sam3d_ros.methods.settings import CLASSICAL, Settings
from sam3d_ros.perception.frames import apply, inverse, transform
from sam3d_ros.perception.masks import MaskLimits, check_mask
from sam3d_ros.perception.pointmap import points_from_depth
from sam3d_ros.perception.support import find_support
from sam3d_ros.perception.view import object_view
from sam3d_ros.pipeline import Reconstructor
from sam3d_ros.types import Bool, Float, Frame, InputError, Mask, Mesh, Reconstruction, Rejected, Support

FROM_MEMORY: Mapping[str, Callable[[Float], Mesh]] = {"mean": mean_at_centroid, "nearest": nearest_shape}
"""What training shapes alone are worth: visible points (N, 3) in the view frame to a mesh there, m."""
METHODS = (*CLASSICAL, *FROM_MEMORY)
"""Those that need no model; `compact` and its variants come on top (variants.py)."""


@dataclass(frozen=True)
class Prediction:
    """mesh: object frame, m; None where nothing was found, and `reason` says why. T_cam_obj: (4, 4).
    seconds: what it took, 0 where somebody else made it."""

    mesh: Mesh | None
    T_cam_obj: Float
    seconds: float = 0.0
    reason: str = ""


Predict: TypeAlias = Callable[[Shot], list[Prediction]]


def method_by_name(name: str, predictions: Path | None = None) -> Predict:
    """`predictions` (then the folder is needed), one of METHODS, or a variant of `compact`. Raises InputError for
    another name, or where the bundle cannot be used."""
    if name == "predictions":
        if predictions is None:
            raise InputError("the method `predictions` needs a folder")
        files = Predictions(predictions)
        return lambda shot: [_from_files(files, shot, target) for target in shot.targets]
    if name in CLASSICAL:
        settings = Settings(method=name, min_confidence=0.0)
        return lambda shot: _reconstruct(Reconstructor(settings), shot, rgb=True)
    if is_variant(name):
        variant = Variant.parse(name)
        reconstructor = _loaded(variant)
        return lambda shot: _reconstruct(reconstructor, shot, variant.rgb)
    if name in FROM_MEMORY:
        return lambda shot: _remember(FROM_MEMORY[name], shot)
    raise InputError(f"there is no method {name!r}, but compact, {', '.join(METHODS)}")


@lru_cache(maxsize=16)
def _loaded(variant: Variant) -> Reconstructor:
    """A process judges many views with one model."""
    return variant.reconstructor()


def frame_of(shot: Shot) -> Frame:
    """What the pipeline takes."""
    picture = shot.picture
    return Frame(picture.rgb, points_from_depth(picture.depth_m, picture.camera), picture.camera)


def missing(reason: str) -> Prediction:
    """No answer."""
    return Prediction(None, np.eye(4), reason=reason)


def _masks(shot: Shot) -> tuple[list[Mask], list[Mask]]:
    """The masks of the targets in their order, and those of everything else."""
    by_index = {mask.index: mask for mask in shot.picture.masks}
    wanted = [by_index[target.mask_index] for target in shot.targets]
    return wanted, [m for m in shot.picture.masks if all(m is not w for w in wanted)]


def _reconstruct(reconstructor: Reconstructor, shot: Shot, rgb: bool) -> list[Prediction]:
    """The pipeline with every mask, so that it sees the scene as on a robot, but only targets completed."""
    wanted, others = _masks(shot)
    frame = frame_of(shot) if rgb else replace(frame_of(shot), rgb=None)
    # Targets come first, and the limit on objects turns the rest away.
    limited = replace(reconstructor.settings, max_objects=max(len(wanted), 1))
    results = Reconstructor(limited, reconstructor.chosen).reconstruct(frame, wanted + others)
    return [_answer(result) for result in results[: len(wanted)]]


def _answer(result: Reconstruction | Rejected) -> Prediction:
    if isinstance(result, Rejected):
        return missing(result.reason)
    return Prediction(result.mesh, result.T_cam_obj, sum(result.seconds.values()))


def _remember(shape_for: Callable[[Float], Mesh], shot: Shot) -> list[Prediction]:
    frame = frame_of(shot)
    wanted, others = _masks(shot)
    occupied = np.logical_or.reduce([mask.pixels for mask in (*wanted, *others)])
    support = find_support(frame.points_cam, occupied, frame.up_cam)
    return [_remember_one(shape_for, frame, mask, support, occupied) for mask in wanted]


def _remember_one(
    shape_for: Callable[[Float], Mesh], frame: Frame, mask: Mask, support: Support, occupied: Bool
) -> Prediction:
    start = time.perf_counter()
    limits = MaskLimits()
    view = check_mask(mask, frame, limits) or object_view(frame, mask, support, limits, occupied)
    if isinstance(view, Rejected):
        return missing(view.reason)
    shape = shape_for(apply(inverse(view.T_cam_view), view.points_cam.astype(np.float64)))
    low, high = box(shape)
    T_cam_obj = view.T_cam_view @ transform(np.eye(3), (low + high) / 2)
    mesh = Mesh((shape.vertices - (low + high) / 2).astype(np.float32), shape.faces)
    mesh = colour(mesh, T_cam_obj, frame.rgb, mask, view.roi, frame.camera)
    return Prediction(mesh, T_cam_obj, time.perf_counter() - start)


def _from_files(files: Predictions, shot: Shot, target: Target) -> Prediction:
    try:
        mesh, T_cam_obj = files.find(shot, target.mask_index)
    except InputError as error:
        return missing(str(error))
    return Prediction(mesh, T_cam_obj)
