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
from sam3d_ros.node.worker import Job

Result = Reconstruct.Result
Handle: TypeAlias = "ServerGoalHandle[Any, Any, Any]"


class GoalError(Exception):
    """Ends a goal with an error code of the action."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Goals:
    """The action server. `submit(job)` queues work (False: refused), `run(goal, job, feedback)` does it and returns
    the Result or raises GoalError, `timeout()` gives the default timeout in seconds."""

    def __init__(
        self,
        node: Node,
        submit: Callable[[Job], bool],
        run: Callable[[Any, Job, Callable[[str, int, float], None]], Any],
        timeout: Callable[[], float],
    ) -> None:
        self._submit = submit
        self._run = run
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
            self._finish(
                handle,
                Result(error_code=Result.NOT_ACTIVE, error_msg="the node is not active or its queue is full"),
            )

    def _cancel(self, handle: Handle) -> CancelResponse:
        with self._lock:
            job = self._jobs.get(bytes(handle.goal_id.uuid))
        if job is None:
            return CancelResponse.REJECT
        job.cancelled.set()
        return CancelResponse.ACCEPT

    def _work(self, handle: Handle, job: Job, began: float) -> None:
        try:
            result = self._run(
                handle.request,
                job,
                lambda stage, mask, share: self._feedback(handle, began, stage, mask, share),
            )
        except GoalError as error:
            result = Result(error_code=error.code, error_msg=str(error))
        except Exception as error:
            result = Result(error_code=Result.FAILED, error_msg=f"{type(error).__name__}: {error}")
        self._finish(handle, result)

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
