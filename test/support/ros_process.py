"""Real ROS for the tests: nodes in processes of their own, and a probe that publishes and listens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy


class NodeProcess:
    """`python -m sam3d_ros.node.<module>` with ROS arguments, its output in a file."""

    def __init__(self, module: str, folder: Path, *ros_args: str, env: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log_path = folder / f"{module}_{time.monotonic_ns()}.log"
        arguments = ["--ros-args", *ros_args] if ros_args else []
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"sam3d_ros.node.{module}", *arguments],
                stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=os.environ | (env or {}),
            )  # fmt: skip

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stopped whatever happened, and it must end well."""
        code = self.stop()
        assert kind is not None or code == 0, self.log()[-3000:]

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """As the kernel would: no goodbye."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, timeout: float = 15.0) -> int:
        """Ctrl-C; returns the exit code. Fails the test where the process does not end."""
        if self.alive():
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"did not end after SIGINT; its output:\n{self.log()[-3000:]}") from None


class Probe:
    """A node of the test's own process, spun by a thread: collects what it hears, and publishes."""

    def __init__(self, name: str = "probe", **arguments: Any) -> None:
        self.node = Node(name, **arguments)
        self.heard: dict[str, list[Any]] = {}
        self._subscriptions: list[Any] = []
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(5)
        self.node.destroy_node()

    def listen(self, kind: type, topic: str, qos: QoSProfile | int = 10) -> list[Any]:
        """Subscribe; returns the growing list of messages."""
        messages = self.heard.setdefault(topic, [])
        self._subscriptions.append(self.node.create_subscription(kind, topic, messages.append, qos))
        return messages

    def listen_diagnostics(self) -> list[Any]:
        return self.listen(DiagnosticArray, "/diagnostics")

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = 40.0) -> Any:
        """The first true value of `condition`; fails the test after `timeout` s."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if value := condition():
                return value
            time.sleep(0.01)
        raise AssertionError(f"{what}: not within {timeout:g} s")

    def call(self, kind: type, name: str, request: Any, timeout: float = 10.0) -> Any:
        client = self.node.create_client(kind, name)
        try:
            assert client.wait_for_service(timeout), f"no service {name}"
            future = client.call_async(request)
            self.wait(future.done, f"answer of {name}", timeout)
            return future.result()
        finally:
            self.node.destroy_client(client)

    def wait_for_subscriber(self, publisher: Any, timeout: float = 40.0) -> None:
        self.wait(
            lambda: publisher.get_subscription_count() > 0, f"subscriber of {publisher.topic_name}", timeout
        )


class Goal:
    """One goal of an action and everything that comes back."""

    def __init__(self, probe: Probe, kind: type, name: str, goal: Any) -> None:
        self.feedback: list[Any] = []
        self._probe = probe
        self._client = ActionClient(probe.node, kind, name)
        assert self._client.wait_for_server(10.0), f"no action {name}"
        sent = self._client.send_goal_async(
            goal, feedback_callback=lambda m: self.feedback.append(m.feedback)
        )
        probe.wait(sent.done, "goal answer")
        self.handle = sent.result()
        assert self.handle.accepted
        self._result = self.handle.get_result_async()

    def cancel(self) -> bool:
        """True where the server agreed to cancel."""
        future = self.handle.cancel_goal_async()
        self._probe.wait(future.done, "cancel answer")
        return len(future.result().goals_canceling) == 1

    def result(self, timeout: float = 30.0) -> tuple[int, Any]:
        """(GoalStatus, result)"""
        self._probe.wait(self._result.done, "goal result", timeout)
        answer = self._result.result()
        self._client.destroy()
        return answer.status, answer.result


STATUS = GoalStatus


def reliable(depth: int = 10) -> QoSProfile:
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)


def best_effort(depth: int = 10) -> QoSProfile:
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)


def start_ros() -> bool:
    """A domain of this test run's own, on this machine only. Returns whether ROS was not running yet: who starts it
    ends it."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if rclpy.ok():
        return False
    rclpy.init()
    return True
