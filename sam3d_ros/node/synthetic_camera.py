"""A camera that does not exist: a table with objects seen by a moving RGB-D camera, with masks and ground truth.

    sam3d camera --ros-args -p seed:=3 -p objects:=6

Publishes what a real driver would (rgb/image, rgb/camera_info, depth/image, mask/image, /tf) and beside it what only a
simulation knows: ~/ground_truth/objects with every image's stamp, and ~/ground_truth/meshes, latched. The views of one
way around the table are rendered once at the start (embreex, no graphics driver) and then played in a loop, so that
publishing costs little even at 30 Hz.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Header

from sam3d_ros.data.render import SceneRenderer
from sam3d_ros.data.scene import Scene, make_tabletop, orbit
from sam3d_ros.data.sensor import sense
from sam3d_ros.msg import ObjectMeshArray, ReconstructedObject, ReconstructedObjectArray
from sam3d_ros.node import parameter_spec, publish, qos
from sam3d_ros.node.camera_topics import CameraTopics
from sam3d_ros.node.convert import time_of
from sam3d_ros.node.ending import init
from sam3d_ros.node.parameter_spec import parameter
from sam3d_ros.perception import frames
from sam3d_ros.perception.pointmap import depth_to_metres
from sam3d_ros.types import Camera, Float, Int, UInt8

MIN_VISIBLE_PIXELS = 50  # truth of objects that the image hardly shows is not published


@dataclass(frozen=True)
class View:
    """One rendered look: what the sensor gives, and where the camera is."""

    rgb: UInt8
    depth_m: Float
    labels: Int
    T_world_cam: Float


@dataclass(frozen=True)
class CameraParameters:
    """The camera's ROS parameters."""

    seed: int = parameter(0, "seed", "of the scene, the textures and the noise", low=0, high=2**31 - 1)
    objects: int = parameter(5, "objects", "on the table", low=0, high=60)
    width: int = parameter(640, "width", "pixels", low=16, high=4096)
    height: int = parameter(480, "height", "pixels", low=16, high=4096)
    focal: float = parameter(600.0, "focal", "focal length, pixels", low=10.0, high=10_000.0)
    rate: float = parameter(10.0, "rate", "images per second, Hz", low=0.01, high=200.0)
    views: int = parameter(24, "views", "looks rendered at the start and then looped", low=1, high=1000)
    turn: float = parameter(
        1.0, "turn", "how far the camera goes around the table, 1: all the way", low=0.0, high=1.0
    )
    noise: bool = parameter(True, "noise", "holes, noise and quantisation of a real depth sensor")
    depth_encoding: str = parameter(
        "16UC1", "depth_encoding", "of depth/image: millimetres or metres", choices=("16UC1", "32FC1")
    )
    frame_id: str = parameter("camera_color_optical_frame", "frame_id", "of all images")
    reliable: bool = parameter(True, "reliable", "publish RELIABLE, else BEST_EFFORT")


def render_views(scene: Scene, camera: Camera, p: CameraParameters) -> list[View]:
    """The looks of one way around the table."""
    renderer, rng = SceneRenderer(scene), np.random.default_rng(p.seed)
    views = []
    for T_world_cam in orbit(p.views, turns=p.turn, start=float(rng.uniform(0, 2 * math.pi))):
        picture = renderer.render(camera, T_world_cam)
        depth = depth_to_metres(sense(picture, camera, rng), "16UC1") if p.noise else picture.depth_m
        views.append(View(picture.rgb, depth, picture.labels, T_world_cam))
    return views


def truth_message(scene: Scene, view: View, header: Header) -> ReconstructedObjectArray:
    """The objects that the view shows, posed in the optical frame; ids are truth_<label>."""
    pixels = np.bincount(view.labels.ravel(), minlength=max((o.label for o in scene.objects), default=0) + 1)
    message = ReconstructedObjectArray(header=header)
    T_cam_world = frames.inverse(view.T_world_cam)
    for placed in scene.objects:
        if pixels[placed.label] < MIN_VISIBLE_PIXELS:
            continue
        extent = np.ptp(placed.model.mesh.vertices, axis=0)
        truth = ReconstructedObject(header=header, id=f"truth_{placed.label}", label=placed.model.category)
        truth.mask, truth.method, truth.confidence, truth.metric = placed.label, "ground truth", 1.0, True
        truth.child_frame_id = truth.id
        truth.pose.pose = publish.pose_message(T_cam_world @ placed.T_world_obj)
        truth.size.x, truth.size.y, truth.size.z = (float(v) for v in extent)
        message.objects.append(truth)
    return message


class SyntheticCamera(Node):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("synthetic_camera")
        parameter_spec.declare(self, CameraParameters)
        p = self._p = parameter_spec.read(self, CameraParameters)
        self._link = "camera_link"
        self._camera = Camera(p.width, p.height, p.focal, p.focal, (p.width - 1) / 2, (p.height - 1) / 2)
        self._scene = make_tabletop(p.seed, p.objects)
        self.get_logger().info(f"rendering {p.views} views of {p.objects} objects ...")
        self._views = render_views(self._scene, self._camera, p)
        self._topics = CameraTopics(self, p.frame_id, p.reliable)
        self._truth = self.create_publisher(
            ReconstructedObjectArray, "~/ground_truth/objects", qos.output_profile()
        )
        self._truth_meshes = self.create_publisher(
            ObjectMeshArray, "~/ground_truth/meshes", qos.latched_profile()
        )
        self._topics.fix(self._link, {p.frame_id: frames.transform(frames.R_CAM_BODY.T, np.zeros(3))})
        self._publish_truth_meshes()
        self._next = 0
        self.create_timer(1.0 / p.rate, self._tick)
        self.get_logger().info(f"publishing {p.width}x{p.height} at {p.rate:g} Hz")

    def _publish_truth_meshes(self) -> None:
        message = ObjectMeshArray()
        for placed in self._scene.objects:
            name = f"truth_{placed.label}"
            message.meshes.append(
                publish.mesh_message(placed.model.mesh, Header(frame_id=name), name, watertight=True, uri="")
            )
        self._truth_meshes.publish(message)

    def _tick(self) -> None:
        view = self._views[self._next % len(self._views)]
        self._next += 1
        stamp = self.get_clock().now().nanoseconds
        T_world_link = view.T_world_cam @ frames.transform(frames.R_CAM_BODY, np.zeros(3))
        # TF first: who looks it up for an image should not have to wait.
        self._topics.move("map", stamp, {self._link: T_world_link})
        self._topics.publish(view.rgb, view.depth_m, view.labels, self._camera, stamp, self._p.depth_encoding)
        header = Header(stamp=time_of(stamp), frame_id=self._p.frame_id)
        self._truth.publish(truth_message(self._scene, view, header))


def main(args: Sequence[str] | None = None) -> None:
    """Run the camera until it is interrupted."""
    stop = init(args)
    node = None
    try:
        node = SyntheticCamera()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.2)
        executor.shutdown()
    finally:
        if node:
            node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
