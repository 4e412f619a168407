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
    """What went out for one frame; a goal's result is made of it. notes: of objects that another method
    made, or whose level is a guess."""

    objects: ReconstructedObjectArray
    meshes: Sequence[ObjectMesh]
    timing: FrameTiming
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Announced:
    """What went out when the first phase ended. age_ms: of the image at that moment; seconds: spent publishing."""

    objects: ReconstructedObjectArray
    stamp_ns: int
    age_ms: float
    seconds: float


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
        if path in self._written:  # the first phase's file, replaced
            self._written.remove(path)
        self._written.append(path)
        while len(self._written) > self.keep:
            self._written.pop(0).unlink(missing_ok=True)
        return path.as_uri()


class Outputs:
    """All publishers; `poses` and then `meshes` are called for every frame on the worker's thread, `revive_markers` on
    the executor's."""

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

    def poses(
        self,
        frame: Frame,
        results: Sequence[Reconstruction | Rejected],
        ids: Sequence[str],
        frame_id: str,
        T_frame_cam: Float,
        parameters: NodeParameters,
    ) -> Announced:
        """Publish where the objects are: everything that needs no final mesh. `ids`: one per Reconstruction, in
        order; poses are sent in `frame_id`, `T_frame_cam` takes optical coordinates there."""
        begin = time.perf_counter()
        header = Header(stamp=time_of(frame.stamp_ns), frame_id=frame_id)
        found = [r for r in results if isinstance(r, Reconstruction)]
        uris = self._write(found, ids, frame.stamp_ns, parameters)
        objects = [
            publish.object_message(r, header, T_frame_cam, object_id, uri)
            for r, object_id, uri in zip(found, ids, uris, strict=True)
        ]
        message = ReconstructedObjectArray(header=header, objects=objects)
        message.rejected = [publish.rejected_message(r) for r in results if isinstance(r, Rejected)]
        # First, so that ~/get_mesh knows every id by the time that somebody has heard of it.
        self._remember(self._mesh_messages(message, found), found)
        self._objects.publish(message)
        if parameters.publish_tf and objects:
            poses = {i: T_frame_cam @ r.T_cam_obj for i, r in zip(ids, found, strict=True)}
            self._tf.send(frame_id, frame.stamp_ns, poses)
        self._poses.publish(publish.pose_array(header, objects))
        if self._detections:
            self._detections.publish(publish.detections(header, objects))
        age_ms = (self._node.get_clock().now().nanoseconds - frame.stamp_ns) / 1e6
        return Announced(message, frame.stamp_ns, age_ms, time.perf_counter() - begin)

    def meshes(
        self,
        announced: Announced,
        results: Sequence[Reconstruction | Rejected],
        stages: dict[str, float],
        method: str,
        parameters: NodeParameters,
    ) -> Published:
        """Publish the final meshes of the objects that `poses` announced, markers, and the time that the frame took.
        `results`: in the same order; `stages` (seconds) gets the time of publishing added."""
        begin = time.perf_counter()
        message = announced.objects
        found = [r for r in results if isinstance(r, Reconstruction)]
        ids = [o.id for o in message.objects]
        self._write(found, ids, announced.stamp_ns, parameters)
        meshes = self._mesh_messages(message, found)
        self._meshes.publish(ObjectMeshArray(header=message.header, meshes=meshes))
        self._remember(meshes, found)
        by_id = {i: r.mesh for i, r in zip(ids, found, strict=True)}
        with self._lock:
            self._last, self._markers_sent = (message.objects, by_id), False
        self.revive_markers(parameters)
        if self._collision:
            for o in message.objects:
                self._collision.publish(publish.collision_object(o, by_id[o.id], parameters.marker_triangles))
        stages["publish"] = announced.seconds + time.perf_counter() - begin
        timing = publish.timing_message(
            message.header, stages, announced.age_ms, len(found), len(message.rejected), method
        )
        self._timing.publish(timing)
        return Published(message, meshes, timing, [f"mask {r.mask.index}: {r.note}" for r in found if r.note])

    def _write(
        self,
        found: Sequence[Reconstruction],
        ids: Sequence[str],
        stamp_ns: int,
        parameters: NodeParameters,
    ) -> list[str]:
        """The meshes as files, over those of the first phase; their URIs, or empty where no files are wanted."""
        if self._files is None:
            return [""] * len(found)
        self._files.keep = parameters.mesh_keep
        return [self._files.write(i, stamp_ns, r.mesh) for r, i in zip(found, ids, strict=True)]

    def _mesh_messages(
        self, message: ReconstructedObjectArray, found: Sequence[Reconstruction]
    ) -> list[ObjectMesh]:
        return [
            publish.mesh_message(
                r.mesh, Header(stamp=message.header.stamp, frame_id=o.id), o.id, r.watertight, o.mesh_uri
            )
            for o, r in zip(message.objects, found, strict=True)
        ]

    def _remember(self, meshes: Sequence[ObjectMesh], found: Sequence[Reconstruction]) -> None:
        """For ~/get_mesh."""
        with self._lock:
            for r, mesh_message in zip(found, meshes, strict=True):
                self._known[mesh_message.id] = (r.mesh, mesh_message)
                self._known.move_to_end(mesh_message.id)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

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
