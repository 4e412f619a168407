"""One frame from messages to messages, on the worker's thread: assemble.py, pipeline.py, ids, outputs.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from operator import attrgetter

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger

from sam3d_ros.methods.choose import Chosen, choose
from sam3d_ros.methods.settings import Settings
from sam3d_ros.node.assemble import InputProblem, assemble, select
from sam3d_ros.node.convert import stamp_ns
from sam3d_ros.node.diagnostics import Counters
from sam3d_ros.node.inputs import FrameMessages
from sam3d_ros.node.outputs import Outputs, Published
from sam3d_ros.node.parameters import NodeParameters
from sam3d_ros.node.quiet_log import QuietLog
from sam3d_ros.node.tf import Tf
from sam3d_ros.node.tf_buffer import TransformUnavailable
from sam3d_ros.node.worker import Job
from sam3d_ros.perception.masks import MaskLimits
from sam3d_ros.pipeline import Reconstructor
from sam3d_ros.track.identity import Tracker, TrackSettings, sighting
from sam3d_ros.types import Cancelled, Float, Frame, InputError, Reconstruction, Rejected

Progress = Callable[[str, int, float], None]
"""stage, mask (0: the whole frame), done fraction 0..1"""
CHOICE = attrgetter("method", "model", "backend", "threads")
"""Of the parameters those that the loaded model depends on."""


def pipeline_settings(p: NodeParameters) -> Settings:
    """The pipeline's part of the node's parameters."""
    limits = MaskLimits(
        min_pixels=p.min_mask_pixels,
        min_valid_depth=p.min_valid_depth,
        min_depth=p.min_depth,
        max_depth=p.max_depth,
        max_size=p.max_size,
    )
    return Settings(
        method=p.method,  # type: ignore[arg-type]  # checked against the choices
        model=p.model,
        backend=p.backend,  # type: ignore[arg-type]  # checked against the choices
        threads=p.threads,
        limits=limits,
        max_objects=p.max_objects,
        min_confidence=p.min_confidence,
    )


class Processor:
    """`stream` and `frame` run on the worker's thread, the others on the executor's."""

    def __init__(self, settings: NodeParameters, tf: Tf, outputs: Outputs, logger: RcutilsLogger) -> None:
        """Loads the model. Raises InputError where the method cannot be had."""
        self.counters = Counters()
        self._tf = tf
        self._outputs = outputs
        self._logger, self._log = logger, QuietLog(logger)
        self._tracker_lock = threading.Lock()
        self._input_problem: Callable[[str, str], None] = lambda role, problem: None
        self._settings, self._reconstructor = settings, self._made(settings, None)
        self.forget()

    def use(self, settings: NodeParameters) -> None:
        """Work with these parameters from the next frame on. Raises InputError where the method cannot be had, and
        goes on as before."""
        self._settings, self._reconstructor = settings, self._made(settings, self._settings)

    @property
    def chosen(self) -> Chosen:
        """The method that runs, and why."""
        return self._reconstructor.chosen

    def _made(self, settings: NodeParameters, before: NodeParameters | None) -> Reconstructor:
        """With the model that is loaded already, where the parameters ask for the same."""
        wanted = pipeline_settings(settings)
        if before and CHOICE(settings) == CHOICE(before):
            return Reconstructor(wanted, self.chosen)
        chosen = choose(wanted)
        self._logger.info(f"method {chosen.method}: {chosen.reason}")
        return Reconstructor(wanted, chosen)

    def start(self, input_problem: Callable[[str, str], None]) -> None:
        """Count anew; `input_problem(role, text)` is told what is wrong with an input, ("", "") when all is well."""
        self.counters = Counters()
        self._input_problem = input_problem

    def forget(self) -> None:
        """Start with new ids. Images in goals have ids of their own: they may be of another time and place."""
        p = self._settings
        with self._tracker_lock:
            self._trackers = {
                given: Tracker(
                    TrackSettings(memory_s=p.memory_s, prefix=f"{'goal_' if given else ''}{p.object_prefix}")
                )
                for given in (False, True)
            }

    def stream(self, messages: FrameMessages, job: Job) -> None:
        """A frame of the camera: what cannot be used is logged and counted."""
        try:
            self.frame(messages, job, lambda stage, mask, share: None)
        except Cancelled:
            pass
        except (InputError, TransformUnavailable) as error:
            self._log.warn(f"frame not used: {error}")

    def frame(
        self,
        messages: FrameMessages,
        job: Job,
        progress: Progress,
        labels: Sequence[int] = (),
        label: str = "",
        given: bool = False,
    ) -> Published:
        """Reconstruct and publish. `labels`: only these masks; `label`: a name for them; `given`: images of a goal.

        Raises InputError, TransformUnavailable or Cancelled; each is counted for the diagnostics first.
        """
        try:
            published = self._frame(messages, job, progress, labels, label, given)
        except InputProblem as error:
            self.counters.failed += 1
            if not given:
                self._input_problem(error.role, str(error))
            raise
        except TransformUnavailable as error:
            self.counters.failed += 1
            self.counters.last_tf_problem = str(error)
            raise
        self._count(published)
        return published

    def _frame(
        self,
        messages: FrameMessages,
        job: Job,
        progress: Progress,
        labels: Sequence[int],
        label: str,
        given: bool,
    ) -> Published:
        p = self._settings
        begin = time.perf_counter()
        progress("convert", 0, 0.0)
        stamp, camera_frame = stamp_ns(messages.rgb.header.stamp), messages.rgb.header.frame_id
        frame_id = p.target_frame or camera_frame
        T_frame_cam = self._transform(frame_id, camera_frame, stamp)
        T_gravity_cam = self._gravity_from(camera_frame, stamp)
        up_cam = None if T_gravity_cam is None else T_gravity_cam[2, :3]
        frame, masks = assemble(messages, p.rectified, up_cam)
        masks = select(masks, labels, (frame.camera.height, frame.camera.width), label)
        if not given:
            self._input_problem("", "")
        stages = {"convert": time.perf_counter() - begin}
        reconstructor = self._reconstructor
        located = reconstructor.locate(frame, masks, cancel=job.should_stop, progress=progress)
        # Ids are kept in a frame that stands still while the camera moves, where one is known.
        fixed = T_frame_cam if p.target_frame or T_gravity_cam is None else T_gravity_cam
        ids = self._identify(frame, located.results, fixed, given)
        if job.should_stop():
            raise Cancelled
        # Poses first: who acts on them should not wait for meshes.
        first = self._outputs.poses(frame, located.results, ids, frame_id, T_frame_cam, p)
        results = reconstructor.finish(located)
        spent = time.perf_counter() - begin - stages["convert"] - first.seconds
        stages |= stage_seconds(results, spent)
        return self._outputs.meshes(first, results, stages, reconstructor.chosen.method, p)

    def _transform(self, target: str, source: str, stamp: int) -> Float:
        if target == source:
            return np.eye(4)
        T = self._tf.lookup(target, source, stamp, self._settings.tf_timeout)
        self.counters.last_tf_problem = ""
        return T

    def _gravity_from(self, camera_frame: str, stamp: int) -> Float | None:
        """`T_gravity_cam`; None where no gravity_frame is set or TF does not know it now."""
        if not self._settings.gravity_frame:
            return None
        try:
            return self._transform(self._settings.gravity_frame, camera_frame, stamp)
        except TransformUnavailable as error:
            # The support plane still tells what is up: worth a warning, not worth the frame.
            self.counters.last_tf_problem = f"gravity_frame: {error}"
            return None

    def _identify(
        self, frame: Frame, results: Sequence[Reconstruction | Rejected], T_fixed_cam: Float, given: bool
    ) -> list[str]:
        sightings = [sighting(r, T_fixed_cam) for r in results if isinstance(r, Reconstruction)]
        with self._tracker_lock:
            return self._trackers[given].update(frame.stamp_ns, sightings)

    def _count(self, published: Published) -> None:
        counters, timing = self.counters, published.timing
        counters.frames += 1
        counters.objects += len(published.objects.objects)
        counters.rejected += len(published.objects.rejected)
        counters.last_total_ms, counters.last_age_ms = timing.total_ms, timing.age_ms
        counters.stages_ms = {s.name: s.milliseconds for s in timing.stages}
        counters.memory_mb = timing.memory_mb
        if published.notes:
            counters.noted += len(published.notes)
            counters.last_note = published.notes[-1]
            self._log.warn(f"{len(published.notes)} objects with a note, e.g. {counters.last_note}")
        if published.objects.rejected:
            last = published.objects.rejected[-1]
            counters.last_rejection = f"mask {last.mask}: {last.reason}"
            self._log.warn(
                f"{len(published.objects.rejected)} masks rejected, e.g. {counters.last_rejection}"
            )


def stage_seconds(results: Sequence[Reconstruction | Rejected], total: float) -> dict[str, float]:
    """Seconds per stage summed over the objects; what they do not cover (rejected masks, checks) is 'frame'."""
    stages: dict[str, float] = {}
    for r in results:
        if isinstance(r, Reconstruction):
            for stage, seconds in r.seconds.items():
                # The support plane is found once and stands in every object's account.
                stages[stage] = seconds if stage == "support" else stages.get(stage, 0.0) + seconds
    return {"frame": max(0.0, total - sum(stages.values()))} | stages
