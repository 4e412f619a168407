"""The node's publishers, and what goes out for one frame."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from sam3d_ros.mesh.export import write_mesh
from sam3d_ros.msg import (
    FrameTiming,
    ObjectMesh,
    ObjectMeshArray,
    ReconstructedObject,
    ReconstructedObjectArray,
)
from sam3d_ros.node import publish, qos
from sam3d_ros.node.convert import time_of
from sam3d_ros.node.parameters import NodeParameters
from sam3d_ros.node.tf import Tf
from sam3d_ros.types import Float, Frame, Mesh, Reconstruction, Rejected

REMEMBERED = 256  # meshes that ~/get_mesh can still give


@dataclass(frozen=True)
class Published:
    """What went out for one frame; a goal's result is made of it."""

    objects: ReconstructedObjectArray
    meshes: Sequence[ObjectMesh]
    timing: FrameTiming


class MeshFiles:
    """GLB files in one folder, the oldest removed beyond `keep`."""

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder.expanduser().resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._written: list[Path] = sorted(self._folder.glob("*.glb"), key=lambda p: p.stat().st_mtime)
        self.keep = keep

    def write(self, object_id: str, stamp_ns: int, mesh: Mesh) -> str:
        """Writes and returns the file:// URI."""
        path = write_mesh(mesh, self._folder, f"{object_id}_{stamp_ns}", "glb")
        self._written.append(path)
        while len(self._written) > self.keep:
            self._written.pop(0).unlink(missing_ok=True)
        return path.as_uri()


class Outputs:
    """All publishers; `frame` is called on the worker's thread, `revive_markers` on the executor's."""

    def __init__(self, node: Node, parameters: NodeParameters, tf: Tf) -> None:
        self._node = node
        self._tf = tf
        self._files = (
            MeshFiles(Path(parameters.mesh_dir), parameters.mesh_keep) if parameters.mesh_dir else None
        )
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[Mesh, ObjectMesh]] = OrderedDict()
        self._last: tuple[Sequence[ReconstructedObject], Mapping[str, Mesh]] | None = None
        self._markers_sent = True
        latched, plain = qos.latched_profile(), qos.output_profile()
        self._objects = node.create_publisher(ReconstructedObjectArray, "~/objects", plain)
        self._meshes = node.create_publisher(ObjectMeshArray, "~/meshes", latched)
        self._markers = node.create_publisher(MarkerArray, "~/markers", plain)
        self._poses = node.create_publisher(PoseArray, "~/poses", plain)
        self._timing = node.create_publisher(FrameTiming, "~/timing", plain)
        self._publishers = [self._objects, self._meshes, self._markers, self._poses, self._timing]
        self._detections = self._optional(
            parameters.vision_msgs, "vision_msgs", "Detection3DArray", "~/detections"
        )
        self._collision = self._optional(
            parameters.moveit, "moveit_msgs", "CollisionObject", "~/collision_objects"
        )

    def close(self) -> None:
        for publisher in self._publishers:
            self._node.destroy_publisher(publisher)
        self._publishers.clear()

    def mesh(self, object_id: str) -> tuple[Mesh, ObjectMesh] | None:
        """The last mesh of an object and its message, for ~/get_mesh."""
        with self._lock:
            return self._known.get(object_id)

    def known_ids(self) -> list[str]:
        with self._lock:
            return list(self._known)

    def clear(self) -> None:
        """Forget all objects; latched meshes and markers are emptied."""
        with self._lock:
            self._known.clear()
            self._last = None
        self._meshes.publish(ObjectMeshArray())
        self._markers.publish(MarkerArray(markers=publish.marker_array([], {}, "none", 0, "objects").markers))

    def frame(
        self,
        frame: Frame,
        results: Sequence[Reconstruction | Rejected],
        ids: Sequence[str],
        frame_id: str,
        T_frame_cam: Float,
        stages: dict[str, float],
        parameters: NodeParameters,
    ) -> Published:
        """Publish everything of one frame. `ids`: one per Reconstruction, in order; poses are sent in `frame_id`,
        `T_frame_cam` takes optical coordinates there; `stages` (seconds) gets the time of publishing added."""
        begin = time.perf_counter()
        header = Header(stamp=time_of(frame.stamp_ns), frame_id=frame_id)
        found = [r for r in results if isinstance(r, Reconstruction)]
        refused = [r for r in results if isinstance(r, Rejected)]
        if self._files:
            self._files.keep = parameters.mesh_keep
        objects, meshes = [], []
        for r, object_id in zip(found, ids, strict=True):
            uri = self._files.write(object_id, frame.stamp_ns, r.mesh) if self._files else ""
            objects.append(publish.object_message(r, header, T_frame_cam, object_id, uri))
            mesh_header = Header(stamp=header.stamp, frame_id=object_id)
            meshes.append(publish.mesh_message(r.mesh, mesh_header, object_id, r.watertight, uri))
        message = ReconstructedObjectArray(header=header, objects=objects)
        message.rejected = [publish.rejected_message(r) for r in refused]
        # Poses first: who acts on them should not wait for meshes.
        self._objects.publish(message)
        if parameters.publish_tf and objects:
            poses = {i: T_frame_cam @ r.T_cam_obj for i, r in zip(ids, found, strict=True)}
            self._tf.send(frame_id, frame.stamp_ns, poses)
        self._poses.publish(publish.pose_array(header, objects))
        self._meshes.publish(ObjectMeshArray(header=header, meshes=meshes))
        with self._lock:
            for r, mesh_message in zip(found, meshes, strict=True):
                self._known[mesh_message.id] = (r.mesh, mesh_message)
                self._known.move_to_end(mesh_message.id)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            self._last = (objects, {i: r.mesh for i, r in zip(ids, found, strict=True)})
            self._markers_sent = False
        self.revive_markers(parameters)
        self._publish_optional(
            header, objects, {i: r.mesh for i, r in zip(ids, found, strict=True)}, parameters
        )
        stages["publish"] = time.perf_counter() - begin
        age_ms = (self._node.get_clock().now().nanoseconds - frame.stamp_ns) / 1e6
        timing = publish.timing_message(header, stages, age_ms, len(found), len(refused), parameters.method)
        self._timing.publish(timing)
        return Published(message, meshes, timing)

    def revive_markers(self, parameters: NodeParameters) -> None:
        """Send the last frame's markers if somebody listens and did not get them yet: they are too dear to send to
        nobody, and RViz often comes late."""
        if parameters.markers == "none" or not self._markers.get_subscription_count():
            return
        with self._lock:
            last, due = self._last, not self._markers_sent
            self._markers_sent = True
        if due and last:
            self._markers.publish(
                publish.marker_array(*last, parameters.markers, parameters.marker_triangles, "objects")
            )

    def _optional(self, wanted: bool, package: str, kind: str, topic: str) -> Any:
        if not wanted:
            return None
        try:
            module = __import__(f"{package}.msg", fromlist=[kind])
        except ImportError:
            self._node.get_logger().warning(f"{package} is not installed: {topic} is not published")
            return None
        publisher = self._node.create_publisher(getattr(module, kind), topic, qos.output_profile())
        self._publishers.append(publisher)
        return publisher

    def _publish_optional(
        self,
        header: Header,
        objects: Sequence[ReconstructedObject],
        meshes: Mapping[str, Mesh],
        parameters: NodeParameters,
    ) -> None:
        if self._detections:
            self._detections.publish(publish.detections(header, objects))
        if self._collision:
            for o in objects:
                self._collision.publish(
                    publish.collision_object(o, meshes[o.id], parameters.marker_triangles)
                )
