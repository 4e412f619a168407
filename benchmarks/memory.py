"""Ten thousand frames through the node, and what its memory does.

    .venv/bin/python benchmarks/memory.py [--frames 10000]

Frames of 160x120 with two boxes, as fast as the node takes them (the next is sent when the last was answered).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import rclpy
from rclpy.node import Node
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "test" / "support"))
from sam3d_ros.msg import FrameTiming
from scenes import box_scene

from sam3d_ros.node.camera_topics import CameraTopics
from sam3d_ros.node.share import shared_memory_environment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=10_000)
    args = parser.parse_args()
    os.environ |= {"ROS_DOMAIN_ID": str(1 + os.getpid() % 100), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    os.environ |= shared_memory_environment()
    rclpy.init()
    node = Node("benchmark_camera")
    topics = CameraTopics(node, "optical")
    timings: list[FrameTiming] = []
    node.create_subscription(FrameTiming, "/sam3d/timing", timings.append, 100)
    scene = box_scene(160, 120, ((0.0, 0.0, 0.08, 0.06, 0.10), (0.05, 0.14, 0.06, 0.06, 0.08)))
    table = Table(title="memory of the node")
    for heading in ("frames", "RSS MB", "threads", "open files", "objects", "ms per frame"):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        command = [
            sys.executable,
            "-m",
            "sam3d_ros.node.reconstruction_node",
            "--ros-args",
            "-p",
            "method:=hull",
        ]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        measured = psutil.Process(process.pid)
        try:
            while not topics.rgb.get_subscription_count():
                rclpy.spin_once(node, timeout_sec=0.1)
            done, objects, begin = 0, 0, time.monotonic()
            for step in range(11):
                while done < step * args.frames // 10 + (100 if step == 0 else 0):
                    topics.publish(scene.rgb, scene.depth_m, scene.labels, scene.camera, time.time_ns())
                    until = time.monotonic() + 0.5
                    while not timings and time.monotonic() < until:
                        rclpy.spin_once(node, timeout_sec=0.05)
                    done, objects = done + len(timings), objects + sum(t.objects for t in timings)
                    timings.clear()
                ms = 1e3 * (time.monotonic() - begin) / max(done, 1)
                row = (measured.memory_info().rss / 1e6, measured.num_threads(), measured.num_fds())
                table.add_row(str(done), f"{row[0]:.1f}", str(row[1]), str(row[2]), str(objects), f"{ms:.1f}")
        finally:
            process.send_signal(2)
            process.wait(15)
    Console().print(table)
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
