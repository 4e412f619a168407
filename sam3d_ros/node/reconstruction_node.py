"""The lifecycle node: topics in, objects out.

    ros2 run sam3d_ros reconstruction_node --ros-args --params-file config/reconstruction_node.yaml

configure: parameters, the model, publishers, services, the action; activate: subscriptions and the worker; deactivate
and cleanup take them down again. The executor's thread only receives; converting, reconstructing and publishing happen
on the worker's thread. A frame passes through inputs.py, worker.py, processing.py and outputs.py.
"""

from __future__ import annotations

import functools
import gc
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from sam3d_ros.node import diagnostics, parameter_spec, parameters
from sam3d_ros.node.ending import init
from sam3d_ros.node.goals import Goals
from sam3d_ros.node.inputs import FrameMessages, Inputs
from sam3d_ros.node.outputs import Outputs
from sam3d_ros.node.parameters import NodeParameters
from sam3d_ros.node.processing import Processor
from sam3d_ros.node.quiet_log import QuietLog
from sam3d_ros.node.services import Services
from sam3d_ros.node.tf import Tf, make_tf
from sam3d_ros.node.worker import Job, Worker
from sam3d_ros.types import InputError

Transition = Callable[["ReconstructionNode", LifecycleState], TransitionCallbackReturn]
SUCCESS = TransitionCallbackReturn.SUCCESS


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
        self._phase = "unconfigured"
        self._streaming = True
        self._last_taken = 0.0
        self._last_error = ""
        self._log = QuietLog(self.get_logger())
        self._tf: Tf | None = None
        self._outputs: Outputs | None = None
        self._processor: Processor | None = None
        self._goals: Goals | None = None
        self._offered: Services | None = None
        self._inputs: Inputs | None = None
        self._worker: Worker | None = None
        self._poll: Any = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._report_timer = self.create_timer(self.get_parameter("diagnostics.period").value, self._report)

    # ---- lifecycle -------------------------------------------------------------------------------------------------

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._settings = p = parameters.read(self)
            self._tf = make_tf(self)
            self._outputs = Outputs(self, p, self._tf)
            self._processor = Processor(p, self._tf, self._outputs, self.get_logger())
        except (InputError, OSError) as error:
            self.get_logger().error(f"cannot configure: {error}")
            self._close_configured()
            return TransitionCallbackReturn.FAILURE
        self._goals = Goals(
            self, self._processor, self._submit, self._latest, lambda: self._settings.goal_timeout
        )
        self._offered = Services(self, self._outputs, self._enable, self._clear)
        self.destroy_timer(self._report_timer)
        self._report_timer = self.create_timer(p.report_period, self._report)
        self._phase = "inactive"
        return SUCCESS

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        assert self._processor is not None
        self._streaming, self._last_error = True, ""
        self._worker = Worker(self.callback_failed)
        self._inputs = Inputs(self, self._settings, self._on_frame)
        self._processor.start(self._inputs.set_problem)
        self._poll = self.create_timer(0.1, self._inputs.poll)
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
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._close_active()
        self._close_configured()
        self._phase = "finalized"
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._close_active()
        self._close_configured()
        self._phase = "unconfigured"
        return SUCCESS

    def _close_active(self) -> None:
        if self._poll:
            self.destroy_timer(self._poll)
        if self._inputs:
            self._inputs.close()
        if self._worker and not self._worker.stop():
            self.get_logger().error("the running stage did not end within 10 s; its thread is left behind")
        self._poll = self._inputs = self._worker = None

    def _close_configured(self) -> None:
        for part in (self._goals, self._offered, self._outputs, self._tf):
            if part:
                part.close()
        self._goals = self._offered = self._processor = self._outputs = self._tf = None
        # Callbacks of rclpy's entities go round in circles; what they hold, the model's memory and threads, goes now.
        gc.collect()

    # ---- what the parts ask of the node ----------------------------------------------------------------------------

    def _on_frame(self, messages: FrameMessages) -> None:
        now, rate, processor = time.monotonic(), self._settings.max_rate_hz, self._processor
        if (
            not self._streaming
            or not self._worker
            or not processor
            or (rate > 0 and now - self._last_taken < 1 / rate)
        ):
            return
        self._last_taken = now
        self._worker.offer(Job(lambda job: processor.stream(messages, job)))

    def _submit(self, job: Job) -> bool:
        return self._worker is not None and self._worker.submit(job)

    def _latest(self) -> FrameMessages | str:
        inputs = self._inputs
        if inputs is None:
            return "the node is not active"
        return inputs.latest or inputs.problem() or "no frame is complete yet"

    def _enable(self, on: bool) -> None:
        self._streaming = on

    def _clear(self) -> None:
        if self._processor and self._outputs:
            self._processor.forget()
            self._outputs.clear()

    def callback_failed(self, error: BaseException) -> None:
        """An error nobody expected: on the diagnostics and, with its traceback, in the log."""
        self._last_error = f"{type(error).__name__}: {error}"
        text = "".join(traceback.format_exception(error))
        self.get_logger().error(f"failed: {text}", throttle_duration_sec=5.0)

    # ---- parameters and reports ------------------------------------------------------------------------------------

    def _on_parameters(self, changes: list[Parameter[Any]]) -> SetParametersResult:
        try:
            after = parameters.changed(self._settings, changes, self._phase == "active")
            if self._phase == "active" and self._processor and self._inputs:
                self._processor.use(after)
                self._settings = after
                self._inputs.use(after)
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _report(self) -> None:
        """Every diagnostics.period: tell how things are and why nothing is published; look after QoS and markers."""
        name = self.get_fully_qualified_name()
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        worker, inputs, processor = self._worker, self._inputs, self._processor
        if inputs:
            inputs.match_publishers()
            if problem := inputs.problem():
                self._log.warn(f"no frames: {problem}")
            message.status.append(diagnostics.input_status(name, inputs.states(), inputs.stats, problem))
        counters = processor.counters if processor else diagnostics.Counters()
        counters.last_error = self._last_error
        if worker:
            counters.replaced = worker.replaced
        phase = self._phase if self._streaming else f"{self._phase}, stream off"
        waiting = worker.waiting if worker else 0
        method, reason = (
            (processor.chosen.method, processor.chosen.reason) if processor else (self._settings.method, "")
        )
        message.status.append(diagnostics.work_status(name, phase, counters, waiting, method, reason))
        self._diagnostics.publish(message)
        if self._outputs and self._phase == "active":
            self._outputs.revive_markers(self._settings)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node. With the parameter `autostart` (default true) it configures and activates itself; a launch file
    with a lifecycle manager sets it to false."""
    stop = init(args)
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
