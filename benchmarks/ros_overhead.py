"""What ROS costs per frame, and how many frames arrive: with and without the shared-memory profile.

    .venv/bin/python benchmarks/ros_overhead.py [--seconds 20]

This process is the camera: 640x480 rgb8 + 16UC1 + mono8 + CameraInfo at 30 Hz. The node is a process of its own. Its
masks are empty, so the time is that of receiving, synchronising, converting and publishing alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import rclpy
from rclpy.node import Node
from rich.console import Console
from rich.table import Table
from sam3d_ros.msg import FrameTiming

from sam3d_ros.node.camera_topics import CameraTopics
from sam3d_ros.node.share import shared_memory_environment
from sam3d_ros.types import Camera

RATE = 30.0


def measure(reliable: bool, seconds: float) -> dict[str, float]:
    """One configuration, in this process and a node process; the transport profile comes from the environment."""
    rclpy.init()
    camera = Node("benchmark_camera")
    topics = CameraTopics(camera, "optical", reliable)
    timings: list[FrameTiming] = []
    camera.create_subscription(FrameTiming, "/sam3d/timing", timings.append, 100)
    with tempfile.TemporaryDirectory() as folder:
        log = (Path(folder) / "node.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "sam3d_ros.node.reconstruction_node"], cwd=folder, stdout=log, stderr=log
        )
        try:
            until = time.monotonic() + 20
            while topics.rgb.get_subscription_count() == 0 and time.monotonic() < until:
                rclpy.spin_once(camera, timeout_sec=0.1)
            rng = np.random.default_rng(0)
            rgb = rng.integers(0, 255, (480, 640, 3), np.uint8)
            depth = rng.uniform(0.4, 2.0, (480, 640)).astype(np.float32)
            labels = np.zeros((480, 640), np.uint8)
            model = Camera(640, 480, 600, 600, 319.5, 239.5)
            _publish(camera, topics, (rgb, depth, labels, model), 3.0)  # discovery, QoS, caches
            timings.clear()
            measured = psutil.Process(process.pid)
            cpu = measured.cpu_times()
            sent = _publish(camera, topics, (rgb, depth, labels, model), seconds)
            spent = measured.cpu_times()
            rss = measured.memory_info().rss
        finally:
            process.send_signal(2)
            process.wait(15)
            log.close()
    stages = {
        name: [s.milliseconds for t in timings for s in t.stages if s.name == name]
        for name in ("convert", "publish")
    }
    totals, ages = [t.total_ms for t in timings], [t.age_ms for t in timings]
    camera.destroy_node()
    rclpy.shutdown()
    return {
        "sent": sent,
        "processed": len(timings),
        "convert ms": float(np.median(stages["convert"] or [np.nan])),
        "publish ms": float(np.median(stages["publish"] or [np.nan])),
        "total ms": float(np.median(totals or [np.nan])),
        "age ms": float(np.median(ages or [np.nan])),
        "age p95 ms": float(np.percentile(ages or [np.nan], 95)),
        "cpu %": 100 * (spent.user + spent.system - cpu.user - cpu.system) / seconds,
        "rss MB": rss / 1e6,
    }


def _publish(node: Node, topics: CameraTopics, frame: tuple, seconds: float) -> int:
    """Publish at RATE for so long; returns how many frames."""
    begin, sent = time.monotonic(), 0
    while (now := time.monotonic()) - begin < seconds:
        if now - begin >= sent / RATE:
            topics.publish(*frame, time.time_ns())
            sent += 1
        rclpy.spin_once(node, timeout_sec=0.002)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        rclpy.spin_once(node, timeout_sec=0.05)
    return sent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--one", choices=("reliable", "best_effort"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one == "reliable", args.seconds)))
        return
    table = Table(title=f"640x480 rgb + depth + mask at {RATE:g} Hz, {args.seconds:g} s each")
    base = os.environ | {
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    for profile in ("default", "shared memory"):
        for qos in ("best_effort", "reliable"):
            env = base | (shared_memory_environment() if profile == "shared memory" else {})
            command = [sys.executable, __file__, "--one", qos, "--seconds", str(args.seconds)]
            out = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
            row = json.loads(out.splitlines()[-1])
            if not table.columns:
                for heading in ("transport", "QoS", *row):
                    table.add_column(heading, justify="right", no_wrap=True)
            table.add_row(
                profile, qos, *(f"{v:.0f}" if float(v).is_integer() else f"{v:.2f}" for v in row.values())
            )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
