"""TF for the node: tf2_ros where it is installed, else our own buffer on the same topics. One interface for both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import Transform, TransformStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time

from sam3d_ros.node.convert import stamp_ns, time_of
from sam3d_ros.node.tf_buffer import TransformBuffer, TransformUnavailable
from sam3d_ros.perception import frames
from sam3d_ros.types import Float


class Tf(Protocol):
    """What the node needs of TF."""

    def lookup(self, target: str, source: str, stamp_ns: int, timeout: float) -> Float:
        """(4, 4) `T_target_source` at the stamp; waits at most `timeout` s. Raises TransformUnavailable."""

    def send(self, parent: str, stamp_ns: int, children: Mapping[str, Float]) -> None:
        """Broadcast `T_parent_child` (4, 4) per child frame."""

    def close(self) -> None:
        """Destroy the subscriptions and publishers."""


def matrix(t: Transform) -> Float:
    """(4, 4) of a geometry_msgs/Transform. Raises ValueError for a zero quaternion."""
    q, p = t.rotation, t.translation
    return frames.transform(
        frames.matrix_from_quaternion(np.array([q.x, q.y, q.z, q.w])), np.array([p.x, p.y, p.z])
    )


def message(parent: str, child: str, stamp: int, T_parent_child: Float) -> TransformStamped:
    """A TransformStamped of a (4, 4) transform."""
    out = TransformStamped()
    out.header.stamp, out.header.frame_id, out.child_frame_id = time_of(stamp), parent, child
    t, r = out.transform.translation, out.transform.rotation
    t.x, t.y, t.z = (float(v) for v in T_parent_child[:3, 3])
    r.x, r.y, r.z, r.w = (float(v) for v in frames.quaternion_from_matrix(T_parent_child[:3, :3]))
    return out


class OwnTf:
    """/tf and /tf_static through our own buffer."""

    def __init__(self, node: Node) -> None:
        from tf2_msgs.msg import TFMessage

        self._node = node
        self._message = TFMessage
        self._buffer = TransformBuffer()
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._publisher = node.create_publisher(TFMessage, "/tf", 100)
        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", lambda m: self._take(m, False), 100),
            node.create_subscription(TFMessage, "/tf_static", lambda m: self._take(m, True), latched),
        ]

    def _take(self, msg: Any, static: bool) -> None:
        for t in msg.transforms:
            try:
                T = matrix(t.transform)
            except ValueError:
                continue  # an unfilled quaternion from somebody else's node
            parent, child = t.header.frame_id.lstrip("/"), t.child_frame_id.lstrip("/")
            self._buffer.set(parent, child, stamp_ns(t.header.stamp), T, static)

    def lookup(self, target: str, source: str, stamp_ns: int, timeout: float) -> Float:
        return self._buffer.lookup(target, source, stamp_ns, timeout)

    def send(self, parent: str, stamp_ns: int, children: Mapping[str, Float]) -> None:
        self._publisher.publish(
            self._message(transforms=[message(parent, child, stamp_ns, T) for child, T in children.items()])
        )

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._node.destroy_publisher(self._publisher)


class Tf2:
    """tf2_ros, where apt installed it."""

    def __init__(self, node: Node) -> None:
        import tf2_ros

        self._tf2 = tf2_ros
        self._buffer = tf2_ros.Buffer(node=node)
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._broadcaster = tf2_ros.TransformBroadcaster(node)

    def lookup(self, target: str, source: str, stamp_ns: int, timeout: float) -> Float:
        try:
            found = self._buffer.lookup_transform(
                target, source, Time(nanoseconds=stamp_ns), Duration(nanoseconds=int(timeout * 1e9))
            )
        except self._tf2.TransformException as error:
            raise TransformUnavailable(str(error)) from error
        return matrix(found.transform)

    def send(self, parent: str, stamp_ns: int, children: Mapping[str, Float]) -> None:
        self._broadcaster.sendTransform(
            [message(parent, child, stamp_ns, T) for child, T in children.items()]
        )

    def close(self) -> None:
        self._listener.unregister()


def make_tf(node: Node) -> Tf:
    """TF for this node: tf2_ros if it can be imported, else our own."""
    try:
        import tf2_ros  # noqa: F401
    except ImportError:
        return OwnTf(node)
    return Tf2(node)
