"""The straight line from a frame and its masks to objects: support, points, shape, colour, fit. Free of ROS.

frame = Frame(rgb, points_from_depth(depth_m, camera), camera)
for result in Reconstructor().reconstruct(frame, masks_from_labels(label_image)):
    ...  # a Reconstruction or a Rejected, in the order of the masks
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np

from sam3d_ros.baselines.extrude import extrude
from sam3d_ros.baselines.hull import hull
from sam3d_ros.baselines.mirror import mirror
from sam3d_ros.mesh.check import MeshError, box, check, is_watertight
from sam3d_ros.mesh.colour import colour
from sam3d_ros.mesh.simplify import simplify
from sam3d_ros.perception.frames import transform
from sam3d_ros.perception.masks import MaskLimits, check_mask
from sam3d_ros.perception.support import find_support
from sam3d_ros.perception.view import object_view
from sam3d_ros.refine.fit import confidence, fit_of
from sam3d_ros.types import (
    Cancelled,
    Frame,
    InputError,
    Mask,
    Mesh,
    ObjectView,
    Reconstruction,
    RejectCode,
    Rejected,
    Support,
)

Method: TypeAlias = Literal["extrude", "hull", "mirror"]
METHODS: tuple[str, ...] = get_args(Method)
STAGES = ("support", "points", "shape", "colour", "fit")
Cancel: TypeAlias = Callable[[], bool]
Progress: TypeAlias = Callable[[str, int, float], None]


@dataclass(frozen=True)
class Settings:
    """method: how the hidden side is completed. limits: what a mask must have, and the largest size (m) of
    an object. max_objects: usable masks beyond this many, in the order given, are rejected. min_confidence:
    below it a result is rejected. max_faces: meshes with more are simplified where they stay closed."""

    method: Method = "extrude"
    limits: MaskLimits = field(default_factory=MaskLimits)
    max_objects: int = 32
    min_confidence: float = 0.1
    max_faces: int = 20_000

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method {self.method!r} is not one of {', '.join(METHODS)}")
        if self.max_objects < 1 or self.max_faces < 4 or not 0 <= self.min_confidence <= 1:
            raise InputError(
                "max_objects is at least 1, max_faces at least 4, min_confidence between 0 and 1"
            )


class Reconstructor:
    """Holds the settings; keeps nothing between frames, so one instance may serve several threads."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()

    def reconstruct(
        self,
        frame: Frame,
        masks: Sequence[Mask],
        *,
        cancel: Cancel | None = None,
        progress: Progress | None = None,
    ) -> list[Reconstruction | Rejected]:
        """One entry per mask, in the same order.

        cancel: asked before every stage. progress: called before every stage with its name, the mask's
        index (0 for the shared support) and the done fraction 0..1. Raises Cancelled after cancel() said
        True, InputError where frame and masks do not fit each other. Whatever goes wrong with one object is
        that object's Rejected.
        """
        check_input(frame, masks)
        done = Done(cancel, progress, total=1 + len(masks) * (len(STAGES) - 1))
        if not masks:
            return []
        shared: dict[str, float] = {}
        done.step("support", 0)
        with timed(shared, "support"):
            occupied = np.logical_or.reduce([mask.pixels for mask in masks])
            support = find_support(frame.points_cam, occupied, frame.up_cam)
        results: list[Reconstruction | Rejected] = []
        tried = 0
        for position, mask in enumerate(masks):
            done.count = 1 + position * (len(STAGES) - 1)
            if (refused := check_mask(mask, frame, self.settings.limits)) is not None:
                results.append(refused)
                continue
            tried += 1
            if tried > self.settings.max_objects:
                reason = f"more than {self.settings.max_objects} usable masks in one frame (max_objects)"
                results.append(Rejected(mask.index, RejectCode.TOO_MANY, reason, mask.label))
                continue
            results.append(self._guarded(frame, mask, support, dict(shared), done))
        return results

    def _guarded(
        self, frame: Frame, mask: Mask, support: Support, seconds: dict[str, float], done: Done
    ) -> Reconstruction | Rejected:
        try:
            return self._object(frame, mask, support, seconds, done)
        except Cancelled:
            raise
        except (InputError, MeshError) as error:
            return Rejected(mask.index, RejectCode.DEGENERATE, str(error), mask.label)
        except Exception as error:
            reason = f"{self.settings.method}: {type(error).__name__}: {error}"
            return Rejected(mask.index, RejectCode.FAILED, reason, mask.label)

    def _object(
        self, frame: Frame, mask: Mask, support: Support, seconds: dict[str, float], done: Done
    ) -> Reconstruction | Rejected:
        settings = self.settings
        done.step("points", mask.index)
        with timed(seconds, "points"):
            view = object_view(frame, mask, support, settings.limits)
        if isinstance(view, Rejected):
            return view

        done.step("shape", mask.index)
        with timed(seconds, "shape"):
            mesh_view = check(shape(settings.method, view, frame))
            mesh_view, _ = simplify(mesh_view, settings.max_faces)
            low, high = box(mesh_view)
            T_cam_obj = view.T_cam_view @ transform(np.eye(3), (low + high) / 2)
            vertices = (mesh_view.vertices - (low + high) / 2).astype(np.float32)
            mesh = Mesh(vertices, mesh_view.faces)
        if (high - low).max() > settings.limits.max_size:
            reason = f"{(high - low).max():.2f} m long, {settings.limits.max_size:g} m are allowed"
            return Rejected(mask.index, RejectCode.TOO_LARGE, reason, mask.label)

        done.step("colour", mask.index)
        with timed(seconds, "colour"):
            mesh = colour(mesh, T_cam_obj, frame.rgb, mask, view.roi, frame.camera)

        done.step("fit", mask.index)
        with timed(seconds, "fit"):
            fit = fit_of(mesh, T_cam_obj, view, frame)
            trust = confidence(fit, view)
        if trust < settings.min_confidence:
            reason = (
                f"confidence {trust:.2f} is below {settings.min_confidence:g}: silhouette overlap "
                f"{fit.mask_iou:.2f}, {100 * fit.inlier_ratio:.0f} % of the points within 10 mm"
            )
            return Rejected(mask.index, RejectCode.LOW_CONFIDENCE, reason, mask.label)
        return Reconstruction(
            mask=mask,
            mesh=mesh,
            T_cam_obj=T_cam_obj,
            size_m=high - low,
            confidence=trust,
            fit=fit,
            method=settings.method,
            metric=True,
            up_source=view.support.source,
            roi=view.roi,
            watertight=is_watertight(mesh),
            seconds=seconds,
        )


def shape(method: Method, view: ObjectView, frame: Frame) -> Mesh:
    """The completed mesh in the view frame, m. Raises InputError or MeshError where the points span no
    solid."""
    match method:
        case "extrude":
            return extrude(view, frame)
        case "mirror":
            return mirror(view, frame)
        case "hull":
            return hull(view, frame)


def check_input(frame: Frame, masks: Sequence[Mask]) -> None:
    """Raises InputError where points, image, camera and masks do not have one size."""
    size = (frame.camera.height, frame.camera.width)
    for name, shape_found in (
        ("points", frame.points_cam.shape[:2]),
        ("image", size if frame.rgb is None else frame.rgb.shape[:2]),
        *((f"mask {mask.index}", mask.pixels.shape) for mask in masks),
    ):
        if shape_found != size:
            raise InputError(
                f"the {name} is {shape_found[1]}x{shape_found[0]}, the camera {size[1]}x{size[0]}"
            )


class Done:
    """Counts stages, asks whether to stop, and tells how far it is."""

    def __init__(self, cancel: Cancel | None, progress: Progress | None, total: int) -> None:
        self.cancel, self.progress, self.total = cancel, progress, total
        self.count = 0

    def step(self, stage: str, mask_index: int) -> None:
        """Before a stage. Raises Cancelled."""
        if self.cancel is not None and self.cancel():
            raise Cancelled(f"stopped before {stage} of mask {mask_index}")
        if self.progress is not None:
            self.progress(stage, mask_index, self.count / self.total)
        self.count += 1


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Adds the wall time of the block to `seconds[stage]`."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
