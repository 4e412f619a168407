"""The straight line from a frame and its masks to objects: support, points, shape, fit, colour. Free of ROS.

frame = Frame(rgb, points_from_depth(depth_m, camera), camera)
for result in Reconstructor().reconstruct(frame, masks_from_labels(label_image)):
    ...  # a Reconstruction or a Rejected, in the order of the masks

Two phases: `locate` gives pose, size and shape of all objects of the frame, `finish` their final meshes with colours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

import numpy as np

from sam3d_ros.mesh.check import MeshError, is_watertight
from sam3d_ros.mesh.colour import colour
from sam3d_ros.methods.answer import Answer, Asked
from sam3d_ros.methods.choose import Chosen, choose
from sam3d_ros.methods.complete import complete
from sam3d_ros.methods.learned import ask_model
from sam3d_ros.methods.refined import Second, finer, refine_all
from sam3d_ros.methods.settings import Settings
from sam3d_ros.methods.steps import Cancel, Progress, Steps, in_batches, timed
from sam3d_ros.perception.masks import check_mask
from sam3d_ros.perception.support import find_support
from sam3d_ros.perception.view import object_view
from sam3d_ros.types import (
    Cancelled,
    Frame,
    InputError,
    Mask,
    ObjectView,
    Reconstruction,
    RejectCode,
    Rejected,
)

STAGES = ("support", "points", "shape", "fit", "refine", "colour")
T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True)
class Found:
    """An object after the first phase. first: its result so far, the mesh without colours. answer: where that comes
    from. seconds: per stage; grows."""

    view: ObjectView
    answer: Answer
    first: Reconstruction
    seconds: dict[str, float]


@dataclass(frozen=True)
class Located:
    """The first phase of a frame: one entry per mask, in the same order."""

    frame: Frame
    entries: Sequence[Found | Rejected]
    steps: Steps

    @property
    def results(self) -> list[Reconstruction | Rejected]:
        """Pose, size, fit and shape of every object; ids and poses may go out, `finish` keeps them."""
        return [entry.first if isinstance(entry, Found) else entry for entry in self.entries]


class Reconstructor:
    """Holds the settings and the model; keeps nothing between frames, so one instance may serve several threads."""

    def __init__(self, settings: Settings | None = None, chosen: Chosen | None = None) -> None:
        """chosen: the method, where it is known already; else it is chosen here, and its model loaded. Raises
        InputError as `choose` does."""
        self.settings = settings or Settings()
        self.chosen = chosen or choose(self.settings)

    def reconstruct(
        self,
        frame: Frame,
        masks: Sequence[Mask],
        *,
        cancel: Cancel | None = None,
        progress: Progress | None = None,
    ) -> list[Reconstruction | Rejected]:
        """Both phases: one entry per mask, in the same order. Arguments and errors as those of `locate`."""
        return self.finish(self.locate(frame, masks, cancel=cancel, progress=progress))

    def locate(
        self,
        frame: Frame,
        masks: Sequence[Mask],
        *,
        cancel: Cancel | None = None,
        progress: Progress | None = None,
    ) -> Located:
        """The first phase: pose, size and shape of every object.

        cancel: asked before every stage and between the steps of the model. progress: called before every stage with
        its name, the mask's index (0 for the shared support; the first one of a batch) and the done fraction 0..1 of
        both phases. Raises Cancelled after cancel() said True, InputError where frame and masks do not fit each other.
        Whatever goes wrong with one object is that object's Rejected.
        """
        check_input(frame, masks)
        steps = Steps(cancel, progress, total=1 + len(masks) * (len(STAGES) - 1))
        if not masks:
            return Located(frame, [], steps)
        shared: dict[str, float] = {}
        steps.begin("support", 0)
        with timed(shared, "support"):
            occupied = np.logical_or.reduce([mask.pixels for mask in masks])
            support = find_support(frame.points_cam, occupied, frame.up_cam)
        seconds = [dict(shared) for _ in masks]

        entries: dict[int, Found | Rejected] = self._refused(frame, masks)
        views: dict[int, ObjectView] = {}
        for i in [i for i in range(len(masks)) if i not in entries]:
            steps.begin("points", masks[i].index)
            with timed(seconds[i], "points"):
                seen = self._guarded(
                    masks[i], object_view, frame, masks[i], support, self.settings.limits, occupied
                )
            if isinstance(seen, Rejected):
                entries[i] = seen
            else:
                views[i] = seen

        asked = self._ask(frame, views, seconds, steps)
        for i, view in views.items():
            if i not in asked:
                steps.begin("shape", view.mask.index)
            steps.begin("fit", view.mask.index)
            entries[i] = self._guarded(view.mask, self._place, frame, view, asked.get(i), seconds[i])
        return Located(frame, [entries[i] for i in range(len(masks))], steps)

    def finish(self, located: Located) -> list[Reconstruction | Rejected]:
        """The second phase: the model's finer meshes where it has a second stage, and colours, in the frames that
        `locate` gave. Where that fails for an object, its first result stays, with a note. Raises Cancelled."""
        refined = self._refine(located)
        results: list[Reconstruction | Rejected] = []
        for i, entry in enumerate(located.entries):
            if isinstance(entry, Rejected):
                results.append(entry)
                continue
            located.steps.begin("colour", entry.view.mask.index)
            results.append(self._coloured(located.frame, entry, refined.get(i)))
        return results

    def _refine(self, located: Located) -> dict[int, Second]:
        """The second stage's answers by position, in batches; none for objects of a classical method."""
        model = self.chosen.model
        if model is None or not model.refines:
            return {}
        found = {i: e for i, e in enumerate(located.entries) if isinstance(e, Found)}
        asked = {i: e.answer.asked for i, e in found.items() if e.answer.asked is not None}

        def answer(batch: list[int]) -> list[Second]:
            return refine_all(model, self.chosen.sampling, [asked[i] for i in batch], located.steps.cancel)

        marks = {i: found[i].view.mask.index for i in asked}
        return in_batches(located.steps, "refine", marks, {i: e.seconds for i, e in found.items()}, answer)

    def _refused(self, frame: Frame, masks: Sequence[Mask]) -> dict[int, Found | Rejected]:
        """Masks that are not worth trying, by position."""
        refused: dict[int, Found | Rejected] = {}
        for i, mask in enumerate(masks):
            if (reason := check_mask(mask, frame, self.settings.limits)) is not None:
                refused[i] = reason
            elif i - len(refused) >= self.settings.max_objects:
                text = f"more than {self.settings.max_objects} usable masks in one frame (max_objects)"
                refused[i] = Rejected(mask.index, RejectCode.TOO_MANY, text, mask.label)
        return refused

    def _guarded(self, mask: Mask, stage: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Rejected:
        """What goes wrong with one object is its own affair."""
        try:
            return stage(*args, **kwargs)
        except Cancelled:
            raise
        except (InputError, MeshError) as error:
            return Rejected(mask.index, RejectCode.DEGENERATE, str(error), mask.label)
        except Exception as error:
            reason = f"{self.chosen.method}: {type(error).__name__}: {error}"
            return Rejected(mask.index, RejectCode.FAILED, reason, mask.label)

    def _ask(
        self,
        frame: Frame,
        views: Mapping[int, ObjectView],
        seconds: Sequence[dict[str, float]],
        steps: Steps,
    ) -> dict[int, Asked | str]:
        """What the model says about each object, or why it says nothing, by position, in batches; nothing at all where
        the method is a classical one."""
        model = self.chosen.model
        if model is None:
            return {}

        def answer(batch: list[int]) -> list[Asked | str]:
            return ask_model(model, self.chosen.sampling, [views[i] for i in batch], frame, steps.cancel)

        marks = {i: view.mask.index for i, view in views.items()}
        return in_batches(steps, "shape", marks, dict(enumerate(seconds)), answer)

    def _place(
        self, frame: Frame, view: ObjectView, asked: Asked | str | None, seconds: dict[str, float]
    ) -> Found | Rejected:
        mask, settings = view.mask, self.settings
        found = complete(self.chosen, settings, frame, view, asked, seconds)
        longest, fit = found.size_m.max(), found.fit
        if longest > settings.limits.max_size:
            reason = f"{longest:.2f} m long, {settings.limits.max_size:g} m are allowed"
            return Rejected(mask.index, RejectCode.TOO_LARGE, reason, mask.label)
        if found.confidence < settings.min_confidence:
            reason = (
                f"confidence {found.confidence:.2f} is below {settings.min_confidence:g}: silhouette overlap "
                f"{fit.mask_iou:.2f}, {100 * fit.inlier_ratio:.0f} % of the points within 10 mm"
            )
            return Rejected(mask.index, RejectCode.LOW_CONFIDENCE, reason, mask.label)
        first = Reconstruction(
            mask=mask,
            mesh=found.mesh,
            T_cam_obj=found.T_cam_obj,
            size_m=found.size_m,
            confidence=found.confidence,
            fit=fit,
            method=found.method,
            metric=True,
            up_source=view.support.source,
            roi=view.roi,
            watertight=is_watertight(found.mesh),
            seconds=dict(seconds),
            note=found.note,
        )
        return Found(view, found, first, seconds)

    def _coloured(self, frame: Frame, found: Found, second: Second | None) -> Reconstruction:
        view, first, seconds = found.view, found.first, found.seconds
        if second is not None:
            try:
                with timed(seconds, "refine"):
                    level, most = self.chosen.sampling.fine_level, self.settings.max_faces
                    better = finer(second, level, found.answer, view, frame, most)
                first = replace(
                    first,
                    mesh=better.mesh,
                    size_m=np.ptp(better.mesh.vertices.astype(np.float64), axis=0),
                    fit=better.fit,
                    confidence=better.confidence,
                    watertight=is_watertight(better.mesh),
                )
            except (InputError, MeshError) as error:
                first = replace(first, note=f"first mesh only: {error}")
            except Exception as error:  # its pose is out already: the first mesh stands
                first = replace(first, note=f"first mesh only: {type(error).__name__}: {error}")
        with timed(seconds, "colour"):
            mesh = self._guarded(
                view.mask, colour, first.mesh, first.T_cam_obj, frame.rgb, view.mask, view.roi, frame.camera
            )
        if isinstance(mesh, Rejected):
            return replace(first, note=f"without colours: {mesh.reason}")
        return replace(first, mesh=mesh, seconds=dict(seconds))


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
