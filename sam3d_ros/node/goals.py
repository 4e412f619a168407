"""The action ~/reconstruct: objects of the latest frame or of the images in the goal.

The work runs on the worker's thread and the goal is finished from there. An `async` or blocking execute callback would
keep rclpy's executor spinning or stuck for as long as a goal lasts; so a goal is answered at once, and `execute` is
called with the finished result.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from builtin_interfaces.msg import Duration
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node

from sam3d_ros.action import Reconstruct
from sam3d_ros.node.inputs import FrameMessages
from sam3d_ros.node.processing import Processor, Progress
from sam3d_ros.node.tf_buffer import TransformUnavailable
from sam3d_ros.node.worker import Job
from sam3d_ros.types import Cancelled, InputError

Result = Reconstruct.Result
Handle: TypeAlias = "ServerGoalHandle[Any, Any, Any]"


def failure(code: int, text: str) -> Any:
    """A result without objects."""
    return Result(error_code=code, error_msg=text)


class Goals:
    """The action server. `submit(job)` queues work (False: refused), `latest()` gives the last complete frame or the
    reason why there is none, `timeout()` the default in seconds."""

    def __init__(
        self,
        node: Node,
        processor: Processor,
        submit: Callable[[Job], bool],
        latest: Callable[[], FrameMessages | str],
        timeout: Callable[[], float],
    ) -> None:
        self._processor = processor
        self._submit = submit
        self._latest = latest
        self._timeout = timeout
        self._lock = threading.Lock()
        self._jobs: dict[bytes, Job] = {}
        self._server = ActionServer(
            node,
            Reconstruct,
            "~/reconstruct",
            execute_callback=lambda handle: Result(),  # replaced when the goal is finished, see _finish
            goal_callback=lambda goal: GoalResponse.ACCEPT,
            handle_accepted_callback=self._accepted,
            cancel_callback=self._cancel,
        )

    def close(self) -> None:
        self._server.destroy()

    def _accepted(self, handle: Handle) -> None:
        timeout = handle.request.timeout
        seconds = timeout.sec + timeout.nanosec * 1e-9
        began = time.monotonic()
        job = Job(
            lambda job: self._work(handle, job, began), began + (seconds if seconds > 0 else self._timeout())
        )
        with self._lock:
            self._jobs[bytes(handle.goal_id.uuid)] = job
        self._feedback(handle, began, "queued", 0, 0.0)
        if not self._submit(job):
            self._finish(handle, failure(Result.NOT_ACTIVE, "the node is not active or its queue is full"))

    def _cancel(self, handle: Handle) -> CancelResponse:
        with self._lock:
            job = self._jobs.get(bytes(handle.goal_id.uuid))
        if job is None:
            return CancelResponse.REJECT
        job.cancelled.set()
        return CancelResponse.ACCEPT

    def _work(self, handle: Handle, job: Job, began: float) -> None:
        """On the worker's thread."""
        try:
            result = self._reconstruct(
                handle.request,
                job,
                lambda stage, mask, share: self._feedback(handle, began, stage, mask, share),
            )
        except Cancelled:
            late = job.timed_out() and not job.cancelled.is_set()
            result = failure(Result.TIMEOUT, "out of time") if late else failure(Result.CANCELED, "cancelled")
        except TransformUnavailable as error:
            result = failure(Result.TF_ERROR, str(error))
        except InputError as error:
            result = failure(Result.INVALID_INPUT, str(error))
        except Exception as error:
            result = failure(Result.FAILED, f"{type(error).__name__}: {error}")
        self._finish(handle, result)

    def _reconstruct(self, goal: Any, job: Job, progress: Progress) -> Any:
        given = [bool(m.data) for m in (goal.rgb, goal.depth, goal.mask)]
        if any(given) and not all(given):
            raise InputError("give rgb, depth and mask together, or none of them for the latest frame")
        ours = FrameMessages(goal.rgb, goal.depth, goal.mask, goal.camera_info)
        messages = ours if all(given) else self._latest()
        if isinstance(messages, str):
            return failure(Result.NO_FRAME, messages)
        published = self._processor.frame(messages, job, progress, tuple(goal.labels), goal.label, all(given))
        result = Result(objects=published.objects, timing=published.timing)
        if goal.return_meshes:
            result.meshes = list(published.meshes)
        if not published.objects.objects:
            reasons = "; ".join(f"mask {r.mask}: {r.reason}" for r in published.objects.rejected[:5])
            result.error_code, result.error_msg = Result.NO_OBJECT, reasons or "the mask image has no labels"
        return result

    def _finish(self, handle: Handle, result: Any) -> None:
        def close(handle: Handle) -> Any:
            if result.error_code == Result.CANCELED and handle.is_cancel_requested:
                handle.canceled()
            elif result.error_code == Result.NONE:
                handle.succeed()
            else:
                handle.abort()
            return result

        with self._lock:
            self._jobs.pop(bytes(handle.goal_id.uuid), None)
        if handle.is_active:
            handle.execute(close)

    def _feedback(self, handle: Handle, began: float, stage: str, mask: int, share: float) -> None:
        elapsed = time.monotonic() - began
        message = Reconstruct.Feedback(stage=stage, mask=mask, progress=float(share))
        message.elapsed = Duration(sec=int(elapsed), nanosec=int(elapsed % 1 * 1e9))
        if handle.is_active:
            handle.publish_feedback(message)
