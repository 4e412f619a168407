"""Real ROS for the tests: nodes in processes of their own, and a probe that publishes and listens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

T = TypeVar("T")
PATIENCE = 40.0
"""Seconds until a test gives up waiting: a node alone takes ten to come up where two cores have much else to do."""
ASK_AGAIN = 1.0
"""Seconds after which a question that may be repeated is repeated."""


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

    def ends(self, timeout: float = PATIENCE) -> int:
        """Wait for it to end by itself; the exit code. Fails the test where it goes on."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"still running after {timeout:g} s; its output:\n{self.log()[-3000:]}"
            ) from None

    def stop(self, timeout: float = PATIENCE) -> int:
        """Ctrl-C; returns the exit code. Fails the test where the process does not end."""
        if self.alive():
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"did not end after SIGINT; its output:\n{self.log()[-3000:]}") from None


class Probe:
    """A node of the test's own process, spun by a thread: collects what it hears, publishes and asks."""

    def __init__(self, name: str = "probe", **arguments: Any) -> None:
        self.node = Node(name, **arguments)
        self.heard: dict[str, list[Any]] = {}
        self._subscriptions: list[Any] = []
        self._clients: dict[str, Any] = {}
        self._action_clients: dict[str, ActionClient] = {}
        self._failure: BaseException | None = None
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass
        except BaseException as error:
            self._failure = error
            raise

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(5)
        for client in self._action_clients.values():
            client.destroy()
        self.node.destroy_node()

    def on_its_thread(self, action: Callable[[], T]) -> T:
        """What `action` returns, run between two callbacks by the thread that spins.

        rclpy's action client does not stand a second thread: an answer that comes while the request is still being
        noted down goes to a future nobody has, and a client that is destroyed meanwhile ends the spinning.
        """
        task = self._executor.create_task(action)
        self.wait(task.done, "the probe's thread")
        return task.result()

    def listen(self, kind: type, topic: str, qos: QoSProfile | int = 10) -> list[Any]:
        """Subscribe; returns the growing list of messages."""
        messages = self.heard.setdefault(topic, [])
        self._subscriptions.append(self.node.create_subscription(kind, topic, messages.append, qos))
        return messages

    def listen_diagnostics(self) -> list[Any]:
        return self.listen(DiagnosticArray, "/diagnostics")

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
        """The first true value of `condition`; fails the test after `timeout` s."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if value := condition():
                return value
            if self._failure:
                raise AssertionError(f"{what}: the probe's thread has ended") from self._failure
            time.sleep(0.01)
        raise AssertionError(f"{what}: not within {timeout:g} s")

    def meet(self, node: str) -> None:
        """Wait until `node` (its full name) has found all that this probe has made so far.

        That a client sees its service, or a publisher its subscriber, says nothing of the other direction: what a node
        sends to those it has not found yet is lost, and so is the answer to a client that it does not find within
        100 ms. Discovery tells of readers in the order in which they were made, and of writers, too: an answer to the
        newest client means that all older ones are known.
        """
        name = f"{node}/get_parameters"
        client = self.on_its_thread(lambda: self.node.create_client(GetParameters, name))
        self.wait(client.service_is_ready, f"service {name}")
        answers: list[Any] = []
        due = 0.0

        def answered() -> bool:
            nonlocal due
            if time.monotonic() > due:
                answers.append(self.on_its_thread(lambda: client.call_async(GetParameters.Request())))
                due = time.monotonic() + ASK_AGAIN
            return any(answer.done() for answer in answers)

        self.wait(answered, f"answer of {name}")
        self.on_its_thread(lambda: self.node.destroy_client(client))

    def call(self, kind: type, name: str, request: Any) -> Any:
        """Ask a service of a node, <node>/<service>, once; its answer."""
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self.on_its_thread(lambda: self.node.create_client(kind, name))
            self.meet(name.rpartition("/")[0])
        self.wait(client.service_is_ready, f"service {name}")
        future = self.on_its_thread(lambda: client.call_async(request))
        self.wait(future.done, f"answer of {name}")
        return future.result()

    def action_client(self, kind: type, name: str) -> ActionClient:
        """For an action of a node, <node>/<action>, ready to be used with `on_its_thread`."""
        client = self._action_clients.get(name)
        if client is None:
            # Room for the feedback of a whole goal, for a test that does not get to run meanwhile.
            feedback = QoSProfile(depth=1000)
            client = self._action_clients[name] = self.on_its_thread(
                lambda: ActionClient(self.node, kind, name, feedback_sub_qos_profile=feedback)
            )
            self.meet(name.rpartition("/")[0])
        self.wait(client.server_is_ready, f"action {name}")
        return client

    def wait_for_subscriber(self, publisher: Any) -> None:
        self.wait(lambda: publisher.get_subscription_count() > 0, f"subscriber of {publisher.topic_name}")


class Goal:
    """One goal of an action and everything that comes back."""

    def __init__(self, probe: Probe, kind: type, name: str, goal: Any) -> None:
        self.feedback: list[Any] = []
        self._probe = probe
        client = probe.action_client(kind, name)
        sent = probe.on_its_thread(
            lambda: client.send_goal_async(goal, feedback_callback=lambda m: self.feedback.append(m.feedback))
        )
        probe.wait(sent.done, "goal answer")
        self.handle = sent.result()
        assert self.handle.accepted
        self._result = probe.on_its_thread(self.handle.get_result_async)

    def cancel(self) -> bool:
        """True where the server agreed to cancel."""
        future = self._probe.on_its_thread(self.handle.cancel_goal_async)
        self._probe.wait(future.done, "cancel answer")
        return len(future.result().goals_canceling) == 1

    def result(self) -> tuple[int, Any]:
        """(GoalStatus, result)"""
        self._probe.wait(self._result.done, "goal result")
        answer = self._result.result()
        return answer.status, answer.result

    def wait_for_stage(self, stage: str) -> None:
        """Until the feedback has told of it; the result may overtake the feedback."""
        self._probe.wait(lambda: any(f.stage == stage for f in self.feedback), f"stage {stage}")


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
