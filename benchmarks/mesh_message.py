"""A mesh from one process to another: flat arrays (ObjectMesh) against a list of points (shape_msgs/Mesh).

    .venv/bin/python benchmarks/mesh_message.py [--vertices 50000]

The time runs from before the message is built to after it is a numpy array again in the other process.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time

import numpy as np
import rclpy
import trimesh
from geometry_msgs.msg import Point
from rclpy.node import Node
from rich.console import Console
from rich.table import Table
from sam3d_ros.msg import ObjectMesh
from shape_msgs.msg import Mesh as ShapeMesh
from shape_msgs.msg import MeshTriangle
from std_msgs.msg import Float64, Header

from sam3d_ros.node import qos
from sam3d_ros.node.publish import mesh_arrays, mesh_message
from sam3d_ros.node.share import shared_memory_environment
from sam3d_ros.types import Float, Mesh


def sphere(vertices: int) -> Mesh:
    """About so many vertices on a sphere, coloured."""
    side = int(np.sqrt(vertices) / 2)
    ball = trimesh.creation.uv_sphere(radius=0.1, count=[side, 2 * side])
    colors = np.full((len(ball.vertices), 3), 128, np.uint8)
    return Mesh(ball.vertices.astype(np.float32), ball.faces.astype(np.int32), colors)


def nested(mesh: Mesh) -> ShapeMesh:
    out = ShapeMesh()
    out.vertices = [Point(x=x, y=y, z=z) for x, y, z in mesh.vertices.astype(float).tolist()]
    out.triangles = [MeshTriangle(vertex_indices=f) for f in mesh.faces.astype(np.uint32)]
    return out


def nested_arrays(msg: ShapeMesh) -> tuple[Float, Float]:
    vertices = np.array([(p.x, p.y, p.z) for p in msg.vertices], np.float32)
    return vertices, np.array([t.vertex_indices for t in msg.triangles])


def listen() -> None:
    """The other process: turn what comes into arrays and say when that was done."""
    rclpy.init()
    node = Node("listener")
    done = node.create_publisher(Float64, "done", 10)

    def finish() -> None:
        done.publish(Float64(data=time.monotonic_ns() / 1e6))

    node.create_subscription(ObjectMesh, "flat", lambda m: (mesh_arrays(m), finish()), qos.output_profile())
    node.create_subscription(
        ShapeMesh, "nested", lambda m: (nested_arrays(m), finish()), qos.output_profile()
    )
    with contextlib.suppress(KeyboardInterrupt):
        rclpy.spin(node)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--vertices", type=int, default=50_000)
    parser.add_argument("--listen", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.listen:
        return listen()
    os.environ |= {"ROS_DOMAIN_ID": str(1 + os.getpid() % 100), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    os.environ |= shared_memory_environment()
    mesh = sphere(args.vertices)
    process = subprocess.Popen([sys.executable, __file__, "--listen"])
    rclpy.init()
    node = Node("talker")
    done: list[float] = []
    node.create_subscription(Float64, "done", lambda m: done.append(m.data), 10)
    builders = {
        "flat": lambda: mesh_message(mesh, Header(), "ball", True, ""),
        "nested": lambda: nested(mesh),
    }
    publishers = {
        "flat": node.create_publisher(ObjectMesh, "flat", qos.output_profile()),
        "nested": node.create_publisher(ShapeMesh, "nested", qos.output_profile()),
    }
    while not all(p.get_subscription_count() for p in publishers.values()):
        rclpy.spin_once(node, timeout_sec=0.1)
    times: dict[str, list[float]] = {}
    for name, rounds in (("flat", 30), ("nested", 2)):
        for _ in range(rounds):
            done.clear()
            begin = time.monotonic_ns() / 1e6
            publishers[name].publish(builders[name]())
            while not done:
                rclpy.spin_once(node, timeout_sec=0.001)
            times.setdefault(name, []).append(done[0] - begin)
            time.sleep(0.02)
    process.send_signal(2)
    process.wait(10)
    table = Table(title=f"{len(mesh.vertices)} vertices, {len(mesh.faces)} triangles, process to process")
    for heading in ("message", "median ms", "worst ms", "ratio"):
        table.add_column(heading, justify="right")
    reference = float(np.median(times["nested"]))
    for name, label in (("nested", "shape_msgs/Mesh"), ("flat", "sam3d_ros/ObjectMesh")):
        median = float(np.median(times[name]))
        table.add_row(label, f"{median:.1f}", f"{max(times[name]):.1f}", f"{reference / median:.0f}x")
    Console().print(table)
    node.destroy_node()
    rclpy.shutdown()
    return None


if __name__ == "__main__":
    main()
