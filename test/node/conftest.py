"""Fixtures of the node's tests: one DDS domain per run, processes that never outlive their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rclpy
from ros_process import NodeProcess, Probe, start_ros


@pytest.fixture(scope="session", autouse=True)
def ros() -> Iterator[None]:
    started = start_ros()
    yield
    if started:
        rclpy.try_shutdown()


@pytest.fixture(scope="module")
def probe() -> Iterator[Probe]:
    made = Probe()
    yield made
    made.close()


Start = Callable[..., NodeProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start("reconstruction_node", "-p", "name:=value", ...): a process that is stopped at the end of the test."""
    running: list[NodeProcess] = []

    def starter(module: str, *ros_args: str, env: dict[str, str] | None = None) -> NodeProcess:
        running.append(NodeProcess(module, tmp_path, *ros_args, env=env))
        return running[-1]

    yield starter
    for process in running:
        if process.alive():
            process.stop()
