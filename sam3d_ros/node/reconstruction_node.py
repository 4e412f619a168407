"""The lifecycle node: topics in, objects out.

    ros2 run sam3d_ros reconstruction_node --ros-args --params-file config/reconstruction_node.yaml

configure: parameters, publishers, services, the action; activate: subscriptions, TF and the worker; deactivate and
cleanup take them down again. The executor's thread only receives; converting, reconstructing and publishing happen on
the worker (worker.py). A frame passes through inputs.py -> assemble.py -> pipeline.py -> outputs.py.
"""

from __future__ import annotations

import functools
import math
import re
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import SetBool, Trigger

from sam3d_ros.action import Reconstruct
from sam3d_ros.mesh.export import encode
from sam3d_ros.mesh.simplify import simplify
from sam3d_ros.msg import ObjectMesh
from sam3d_ros.node import diagnostics, parameter_spec, parameters, publish
from sam3d_ros.node.assemble import InputProblem, assemble, select
from sam3d_ros.node.convert import flat, stamp_ns
from sam3d_ros.node.goals import GoalError, Goals
from sam3d_ros.node.inputs import FrameMessages, Inputs
from sam3d_ros.node.outputs import Outputs, Published
from sam3d_ros.node.parameters import NodeParameters
from sam3d_ros.node.tf import Tf, make_tf
from sam3d_ros.node.tf_buffer import TransformUnavailable
from sam3d_ros.node.worker import Job, Worker
from sam3d_ros.perception.masks import MaskLimits
from sam3d_ros.pipeline import Reconstructor, Settings
from sam3d_ros.srv import GetMesh
from sam3d_ros.track.identity import Tracker, TrackSettings, sighting
from sam3d_ros.types import Cancelled, Float, Frame, InputError, Reconstruction, Rejected

Result = Reconstruct.Result
Progress = Callable[[str, int, float], None]
FILE_FORMATS = {
    ObjectMesh.FORMAT_GLB: "glb",
    ObjectMesh.FORMAT_PLY: "ply",
    ObjectMesh.FORMAT_OBJ: "obj",
    ObjectMesh.FORMAT_STL: "stl",
}


def reconstructor(p: NodeParameters) -> Reconstructor:
    """The pipeline with the node's settings."""
    limits = MaskLimits(
        min_pixels=p.min_mask_pixels,
        min_valid_depth=p.min_valid_depth,
        min_depth=p.min_depth,
        max_depth=p.max_depth,
        max_size=p.max_size,
    )
    return Reconstructor(
        Settings(
            method=p.method,  # type: ignore[arg-type]  # checked against the choices
            limits=limits,
            max_objects=p.max_objects,
            min_confidence=p.min_confidence,
        )
    )


Transition = Callable[["ReconstructionNode", LifecycleState], TransitionCallbackReturn]


def logged(transition: Transition) -> Transition:
    """rclpy turns an exception in a transition into a silent error state; here its traceback reaches the log."""

    @functools.wraps(transition)
    def wrapped(node: ReconstructionNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception:
            node.get_logger().error(f"{transition.__name__}: {traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR

    return wrapped


class ReconstructionNode(LifecycleNode):
    """See the module. Parameters: parameters.py; topics: README."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("sam3d", **node_arguments)
        parameter_spec.declare(self, NodeParameters)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._settings = NodeParameters()
        self._reconstructor = reconstructor(self._settings)
        self._counters = diagnostics.Counters()
        self._streaming = True
        self._phase = "unconfigured"
        self._last_taken = 0.0
        self._warned: dict[str, float] = {}
        self._inputs: Inputs | None = None
        self._outputs: Outputs | None = None
        self._goals: Goals | None = None
        self._worker: Worker | None = None
        self._tf: Tf | None = None
        self._trackers: dict[bool, Tracker] = {}
        self._tracker_lock = threading.Lock()
        self._offered_services: list[Any] = []
        self._active_timers: list[Any] = []
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._housekeeping = self.create_timer(self.get_parameter("diagnostics.period").value, self._report)

    # ---- lifecycle -------------------------------------------------------------------------------------------------

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._settings = parameters.read(self)
            self._reconstructor = reconstructor(self._settings)
            self._tf = make_tf(self)
            self._outputs = Outputs(self, self._settings, self._tf)
        except (InputError, OSError) as error:
            self.get_logger().error(f"cannot configure: {error}")
            self._close_configured()
            return TransitionCallbackReturn.FAILURE
        self._new_trackers()
        self._goals = Goals(self, self._submit, self._run_goal, lambda: self._settings.goal_timeout)
        self._offered_services = [
            self.create_service(GetMesh, "~/get_mesh", self._get_mesh),
            self.create_service(SetBool, "~/enable", self._enable),
            self.create_service(Trigger, "~/clear", self._clear),
        ]
        self._phase = "inactive"
        return TransitionCallbackReturn.SUCCESS

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._counters = diagnostics.Counters()
        self._streaming = True
        self._worker = Worker(self.callback_failed)
        self._inputs = Inputs(self, self._settings, self._on_frame)
        self._active_timers = [self.create_timer(0.1, self._inputs.poll)]
        self._phase = "active"
        return super().on_activate(state)

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._close_active()
        self._phase = "inactive"
        return super().on_deactivate(state)

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._close_configured()
        self._phase = "unconfigured"
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._close_active()
        self._close_configured()
        self._phase = "finalized"
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._close_active()
        self._close_configured()
        self._phase = "unconfigured"
        return TransitionCallbackReturn.SUCCESS

    def _close_active(self) -> None:
        if self._inputs:
            self._inputs.close()
            self._inputs = None
        for timer in self._active_timers:
            self.destroy_timer(timer)
        self._active_timers = []
        if self._worker:
            if not self._worker.stop():
                self.get_logger().error(
                    "the running stage did not end within 10 s; its thread is left behind"
                )
            self._worker = None

    def _close_configured(self) -> None:
        if self._goals:
            self._goals.close()
            self._goals = None
        for service in self._offered_services:
            self.destroy_service(service)
        self._offered_services = []
        if self._outputs:
            self._outputs.close()
            self._outputs = None
        if self._tf:
            self._tf.close()
            self._tf = None

    # ---- the stream ------------------------------------------------------------------------------------------------

    def _on_frame(self, messages: FrameMessages) -> None:
        now = time.monotonic()
        rate = self._settings.max_rate_hz
        if not self._streaming or self._worker is None or (rate > 0 and now - self._last_taken < 1 / rate):
            return
        self._last_taken = now
        self._worker.offer(Job(lambda job: self._stream_frame(messages, job)))

    def _stream_frame(self, messages: FrameMessages, job: Job) -> None:
        try:
            self._process(messages, job, lambda stage, mask, share: None)
        except Cancelled:
            pass
        except (InputError, TransformUnavailable) as error:
            self._warn(f"frame not used: {error}")

    def _process(
        self,
        messages: FrameMessages,
        job: Job,
        progress: Progress,
        labels: Sequence[int] = (),
        label: str = "",
        given: bool = False,
    ) -> Published:
        """One frame from messages to messages, on the worker's thread. `given`: the images came with a goal.

        Raises InputError, TransformUnavailable or Cancelled; each is counted for the diagnostics first.
        """
        p, outputs = self._settings, self._outputs
        assert outputs is not None
        begin = time.perf_counter()
        progress("convert", 0, 0.0)
        try:
            stamp, camera_frame = stamp_ns(messages.rgb.header.stamp), messages.rgb.header.frame_id
            frame_id = p.target_frame or camera_frame
            T_frame_cam = self._transform(frame_id, camera_frame, stamp)
            T_gravity_cam = self._gravity_from(camera_frame, stamp)
            up_cam = None if T_gravity_cam is None else T_gravity_cam[2, :3]
            frame, masks = assemble(messages, p.rectified, up_cam)
            masks = select(masks, labels, (frame.camera.height, frame.camera.width), label)
            self._input_problem("", "")
            stages = {"convert": time.perf_counter() - begin}
            results = self._reconstructor.reconstruct(frame, masks, cancel=job.should_stop, progress=progress)
            stages |= stage_seconds(results, time.perf_counter() - begin - stages["convert"])
            # Ids are kept in a frame that stands still while the camera moves, where one is known.
            fixed = T_frame_cam if p.target_frame or T_gravity_cam is None else T_gravity_cam
            ids = self._identify(frame, results, fixed, given)
            if job.should_stop():
                raise Cancelled
            published = outputs.frame(frame, results, ids, frame_id, T_frame_cam, stages, p)
        except InputProblem as error:
            self._counters.failed += 1
            self._input_problem(error.role, str(error))
            raise
        except TransformUnavailable as error:
            self._counters.failed += 1
            self._counters.last_tf_problem = str(error)
            raise
        self._count(published, stages)
        return published

    def _transform(self, target: str, source: str, stamp: int) -> Float:
        if target == source:
            return np.eye(4)
        assert self._tf is not None
        T = self._tf.lookup(target, source, stamp, self._settings.tf_timeout)
        self._counters.last_tf_problem = ""
        return T

    def _gravity_from(self, camera_frame: str, stamp: int) -> Float | None:
        """`T_gravity_cam`; None where no gravity_frame is set or TF does not know it now."""
        if not self._settings.gravity_frame:
            return None
        try:
            return self._transform(self._settings.gravity_frame, camera_frame, stamp)
        except TransformUnavailable as error:
            # The support plane still tells what is up: worth a warning, not worth the frame.
            self._counters.last_tf_problem = f"gravity_frame: {error}"
            return None

    def _identify(
        self, frame: Frame, results: Sequence[Reconstruction | Rejected], T_fixed_cam: Float, given: bool
    ) -> list[str]:
        sightings = [sighting(r, T_fixed_cam) for r in results if isinstance(r, Reconstruction)]
        with self._tracker_lock:
            return self._trackers[given].update(frame.stamp_ns, sightings)

    def _count(self, published: Published, stages: dict[str, float]) -> None:
        counters = self._counters
        counters.frames += 1
        counters.objects += len(published.objects.objects)
        counters.rejected += len(published.objects.rejected)
        counters.last_error = ""
        counters.last_total_ms = published.timing.total_ms
        counters.last_age_ms = published.timing.age_ms
        counters.stages_ms = {name: 1e3 * seconds for name, seconds in stages.items()}
        if published.objects.rejected:
            last = published.objects.rejected[-1]
            counters.last_rejection = f"mask {last.mask}: {last.reason}"
            self._warn(f"{len(published.objects.rejected)} masks rejected, e.g. {counters.last_rejection}")

    def _input_problem(self, role: str, problem: str) -> None:
        if inputs := self._inputs:
            for each in ("rgb", "geometry", "mask", "camera_info"):
                inputs.set_problem(each, problem if each == role else "")

    def _warn(self, text: str) -> None:
        """Log a warning; one that differs only in numbers is repeated every five seconds at most."""
        kind, now = re.sub(r"[\d.]+", "#", text), time.monotonic()
        if now - self._warned.get(kind, -math.inf) > 5.0:
            self._warned = {k: t for k, t in self._warned.items() if now - t < 60} | {kind: now}
            self.get_logger().warning(text)

    def callback_failed(self, error: BaseException) -> None:
        """An error nobody expected: on the diagnostics and, with its traceback, in the log."""
        self._counters.failed += 1
        self._counters.last_error = f"{type(error).__name__}: {error}"
        text = "".join(traceback.format_exception(error))
        self.get_logger().error(f"failed: {text}", throttle_duration_sec=5.0)

    # ---- goals and services ----------------------------------------------------------------------------------------

    def _submit(self, job: Job) -> bool:
        return self._worker is not None and self._worker.submit(job)

    def _run_goal(self, goal: Any, job: Job, progress: Progress) -> Any:
        try:
            messages, given = self._goal_messages(goal)
            published = self._process(messages, job, progress, tuple(goal.labels), goal.label, given)
        except Cancelled:
            late = job.timed_out() and not job.cancelled.is_set()
            raise GoalError(
                Result.TIMEOUT if late else Result.CANCELED, "out of time" if late else "cancelled"
            ) from None
        except TransformUnavailable as error:
            raise GoalError(Result.TF_ERROR, str(error)) from error
        except InputError as error:
            raise GoalError(Result.INVALID_INPUT, str(error)) from error
        result = Result(objects=published.objects, timing=published.timing)
        if goal.return_meshes:
            result.meshes = list(published.meshes)
        if not published.objects.objects:
            reasons = "; ".join(f"mask {r.mask}: {r.reason}" for r in published.objects.rejected[:5])
            result.error_code, result.error_msg = Result.NO_OBJECT, reasons or "the mask image has no labels"
        return result

    def _goal_messages(self, goal: Any) -> tuple[FrameMessages, bool]:
        """The images to work on, and whether they came with the goal. Raises GoalError."""
        given = [bool(m.data) for m in (goal.rgb, goal.depth, goal.mask)]
        if all(given):
            return FrameMessages(goal.rgb, goal.depth, goal.mask, goal.camera_info), True
        if any(given):
            raise GoalError(
                Result.INVALID_INPUT,
                "give rgb, depth and mask together, or none of them for the latest frame",
            )
        inputs = self._inputs
        if inputs is None or inputs.latest is None:
            why = inputs.problem() if inputs else "the node is not active"
            raise GoalError(Result.NO_FRAME, why or "no frame is complete yet")
        return inputs.latest, False

    def _get_mesh(self, request: Any, response: Any) -> Any:
        known = self._outputs.mesh(request.id) if self._outputs else None
        if known is None:
            ids = ", ".join(self._outputs.known_ids()[-10:]) if self._outputs else ""
            response.message = f"no object '{request.id}'; known: {ids or 'none'}"
            return response
        mesh, message = known
        if request.max_triangles:
            mesh, _ = simplify(mesh, request.max_triangles)
        response.mesh = publish.mesh_message(
            mesh, message.header, message.id, message.watertight, message.uri
        )
        if request.format in FILE_FORMATS:
            data = np.frombuffer(encode(mesh, FILE_FORMATS[request.format]), np.uint8)
            response.mesh.vertices, response.mesh.triangles, response.mesh.colors = [], [], []
            response.mesh.format, response.mesh.data = request.format, flat(data, "u1")
        elif request.format != ObjectMesh.FORMAT_ARRAYS:
            response.message = f"format {request.format} is unknown; see ObjectMesh.FORMAT_*"
            response.mesh = ObjectMesh()
            return response
        response.success = True
        return response

    def _enable(self, request: Any, response: Any) -> Any:
        self._streaming = request.data
        response.success, response.message = (
            True,
            "stream on" if request.data else "stream off; goals still work",
        )
        return response

    def _clear(self, request: Any, response: Any) -> Any:
        self._new_trackers()
        if self._outputs:
            self._outputs.clear()
        response.success, response.message = True, "all objects forgotten"
        return response

    def _new_trackers(self) -> None:
        """One for the camera, one for images in goals: those may be of another time and place."""
        p = self._settings
        with self._tracker_lock:
            self._trackers = {
                given: Tracker(
                    TrackSettings(memory_s=p.memory_s, prefix=f"{'goal_' if given else ''}{p.object_prefix}")
                )
                for given in (False, True)
            }

    # ---- parameters and reports ------------------------------------------------------------------------------------

    def _on_parameters(self, changes: list[Parameter[Any]]) -> SetParametersResult:
        try:
            after = parameters.changed(self._settings, changes, self._phase == "active")
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if self._phase == "active":
            self._settings = after
            self._reconstructor = reconstructor(after)
            if self._inputs:
                self._inputs.use(after)
        return SetParametersResult(successful=True)

    def _report(self) -> None:
        """Every diagnostics.period: tell how things are and why nothing is published; look after QoS and markers."""
        name = self.get_fully_qualified_name()
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        worker, inputs = self._worker, self._inputs
        if inputs:
            inputs.match_publishers()
            problem = inputs.problem()
            if problem:
                self._warn(f"no frames: {problem}")
            message.status.append(diagnostics.input_status(name, inputs.states(), inputs.stats, problem))
        if worker:
            self._counters.replaced = worker.replaced
        state = self._phase if self._streaming else f"{self._phase}, stream off"
        waiting = worker.waiting if worker else 0
        message.status.append(
            diagnostics.work_status(name, state, self._counters, waiting, self._settings.method)
        )
        self._diagnostics.publish(message)
        if self._outputs and self._phase == "active":
            self._outputs.revive_markers(self._settings)


def stage_seconds(results: Sequence[Reconstruction | Rejected], total: float) -> dict[str, float]:
    """Seconds per stage summed over the objects; what they do not cover (rejected masks, checks) is 'frame'."""
    stages: dict[str, float] = {}
    for r in results:
        if isinstance(r, Reconstruction):
            for stage, seconds in r.seconds.items():
                # The support plane is found once and stands in every object's account.
                stages[stage] = seconds if stage == "support" else stages.get(stage, 0.0) + seconds
    return {"frame": max(0.0, total - sum(stages.values()))} | stages


def main(args: Sequence[str] | None = None) -> None:
    """Run the node. With the parameter `autostart` (default true) it configures and activates itself; a launch file
    with a lifecycle manager sets it to false."""
    # rclpy's own handlers would invalidate the context while the worker still publishes.
    rclpy.init(args=list(args) if args is not None else None, signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    node = ReconstructionNode()
    node.declare_parameter("autostart", True)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    if node.get_parameter("autostart").value:
        node.trigger_configure()
        node.trigger_activate()
    while not stop.is_set():
        try:
            executor.spin_once(timeout_sec=0.2)
        except Exception as error:
            # A robot would rather have the next frame, and the reason, than a node that is gone.
            node.callback_failed(error)
    node.on_shutdown(None)  # type: ignore[arg-type]  # the state is not looked at
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
