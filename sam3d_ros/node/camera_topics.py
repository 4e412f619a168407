"""The topics of an RGB-D camera with instance masks, as the reconstruction node subscribes to them. Used by the
synthetic camera and by the replay."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from sam3d_ros.node import tf
from sam3d_ros.node.convert import image_message, time_of
from sam3d_ros.types import Camera, Float, InputError, Int, UInt8


def camera_info(camera: Camera, header: Header) -> CameraInfo:
    """sensor_msgs/CameraInfo of a Camera, without binning or ROI."""
    info = CameraInfo(header=header, width=camera.width, height=camera.height)
    info.distortion_model = camera.distortion_model or "plumb_bob"
    info.d = list(camera.distortion) or [0.0] * 5
    info.k = camera.K.reshape(-1).tolist()
    info.r = np.eye(3).reshape(-1).tolist()
    info.p = np.hstack([camera.K, np.zeros((3, 1))]).reshape(-1).tolist()
    return info


def depth_pixels(depth_m: Float, encoding: str) -> UInt8 | Float | Int:
    """(H, W) of the encoding: 16UC1 millimetres with 0 where there is nothing, or 32FC1 metres with NaN (REP 118).

    Raises InputError for another encoding.
    """
    if encoding == "32FC1":
        return depth_m.astype(np.float32)
    if encoding == "16UC1":
        millimetres = np.nan_to_num(depth_m * 1000.0, nan=0.0, posinf=0.0, neginf=0.0)
        return np.clip(np.rint(millimetres), 0, 65535).astype(np.uint16)
    raise InputError(f"depth encoding '{encoding}' is not 16UC1 or 32FC1")


def label_pixels(labels: Int) -> tuple[Int, str]:
    """Labels as the smallest of mono8 and 16UC1 that holds them, and the encoding."""
    return (
        (labels.astype(np.uint8), "mono8")
        if labels.max(initial=0) < 256
        else (labels.astype(np.uint16), "16UC1")
    )


class CameraTopics:
    """Publishers for rgb/image, rgb/camera_info, depth/image, mask/image, /tf and /tf_static."""

    def __init__(self, node: Node, frame_id: str, reliable: bool = True) -> None:
        self._frame_id = frame_id
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        profile = QoSProfile(depth=5, reliability=reliability)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.rgb = node.create_publisher(Image, "rgb/image", profile)
        self.depth = node.create_publisher(Image, "depth/image", profile)
        self.mask = node.create_publisher(Image, "mask/image", profile)
        self.info = node.create_publisher(CameraInfo, "rgb/camera_info", profile)
        self._tf = node.create_publisher(TFMessage, "/tf", 100)
        self._tf_static = node.create_publisher(TFMessage, "/tf_static", latched)

    def publish(
        self,
        rgb: UInt8,
        depth_m: Float,
        labels: Int,
        camera: Camera,
        stamp_ns: int,
        depth_encoding: str = "16UC1",
    ) -> None:
        """One frame with one stamp. rgb (H, W, 3) uint8, depth_m (H, W) metres with NaN, labels (H, W) integers."""
        header = Header(stamp=time_of(stamp_ns), frame_id=self._frame_id)
        pixels, mask_encoding = label_pixels(labels)
        self.info.publish(camera_info(camera, header))
        self.rgb.publish(image_message(rgb, "rgb8", header))
        self.depth.publish(image_message(depth_pixels(depth_m, depth_encoding), depth_encoding, header))
        self.mask.publish(image_message(pixels, mask_encoding, header))

    def move(self, parent: str, stamp_ns: int, children: Mapping[str, Float]) -> None:
        """Broadcast `T_parent_child` (4, 4) of moving frames."""
        self._tf.publish(
            TFMessage(transforms=[tf.message(parent, c, stamp_ns, T) for c, T in children.items()])
        )

    def fix(self, parent: str, children: Mapping[str, Float]) -> None:
        """Latch `T_parent_child` (4, 4) of frames that do not move."""
        self._tf_static.publish(
            TFMessage(transforms=[tf.message(parent, c, 0, T) for c, T in children.items()])
        )
