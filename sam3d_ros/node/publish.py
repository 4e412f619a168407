"""Reconstructions as ROS messages. Plain functions; large arrays travel flat (a list of points costs a thousand times
as much, docs/performance.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseArray
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from sam3d_ros.mesh.simplify import simplify
from sam3d_ros.msg import (
    FrameTiming,
    ObjectMesh,
    ReconstructedObject,
    RejectedMask,
    StageTiming,
)
from sam3d_ros.node.convert import flat
from sam3d_ros.perception import frames
from sam3d_ros.types import Float, Mesh, Reconstruction, Rejected, UpSource

_UP = {
    UpSource.SUPPORT_PLANE: ReconstructedObject.UP_SUPPORT_PLANE,
    UpSource.GRAVITY: ReconstructedObject.UP_GRAVITY,
    UpSource.CAMERA: ReconstructedObject.UP_CAMERA,
}


def pose_message(T: Float) -> Pose:
    """geometry_msgs/Pose of a (4, 4) transform, quaternion xyzw."""
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = (float(v) for v in T[:3, 3])
    q = frames.quaternion_from_matrix(T[:3, :3])
    pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w = (float(v) for v in q)
    return pose


def object_message(
    r: Reconstruction, header: Header, T_frame_cam: Float, object_id: str, mesh_uri: str
) -> ReconstructedObject:
    """One object with its pose in `header.frame_id`; `T_frame_cam` takes optical coordinates there."""
    msg = ReconstructedObject(header=header, id=object_id, label=r.mask.label, mask=r.mask.index)
    msg.child_frame_id = object_id
    msg.method, msg.note = r.method, r.note
    msg.confidence = float(r.confidence)
    msg.pose.pose = pose_message(T_frame_cam @ r.T_cam_obj)
    msg.size.x, msg.size.y, msg.size.z = (float(v) for v in r.size_m)
    msg.metric = r.metric
    msg.scale_source = ReconstructedObject.SCALE_DEPTH if r.metric else ReconstructedObject.SCALE_NONE
    msg.up_source = _UP[r.up_source]
    msg.depth_rmse = float(r.fit.depth_rmse)
    msg.inlier_ratio = float(r.fit.inlier_ratio)
    msg.mask_iou = float(r.fit.mask_iou)
    msg.roi = RegionOfInterest(
        x_offset=r.roi.x, y_offset=r.roi.y, width=r.roi.width, height=r.roi.height, do_rectify=False
    )
    msg.mesh_uri = mesh_uri
    return msg


def rejected_message(r: Rejected) -> RejectedMask:
    return RejectedMask(mask=r.mask_index, label=r.label, code=int(r.code), reason=r.reason)


def mesh_message(mesh: Mesh, header: Header, object_id: str, watertight: bool, uri: str) -> ObjectMesh:
    """The mesh as flat arrays; `header.frame_id` is the object's TF frame."""
    msg = ObjectMesh(
        header=header, id=object_id, format=ObjectMesh.FORMAT_ARRAYS, watertight=watertight, uri=uri
    )
    msg.vertices = flat(mesh.vertices, "f4")
    msg.triangles = flat(mesh.faces, "u4")
    if mesh.colors is not None:
        opaque = np.full((len(mesh.colors), 4), 255, np.uint8)
        opaque[:, :3] = mesh.colors
        msg.colors = flat(opaque, "u1")
    return msg


def mesh_arrays(msg: ObjectMesh) -> Mesh:
    """The other way: the arrays of an ObjectMesh. Raises ValueError for a file format or sizes that do not fit."""
    if msg.format != ObjectMesh.FORMAT_ARRAYS:
        raise ValueError(f"format {msg.format} is a file, not arrays")
    vertices = np.frombuffer(msg.vertices, np.float32).reshape(-1, 3)
    faces = np.frombuffer(msg.triangles, np.uint32).astype(np.int32).reshape(-1, 3)
    colors = np.frombuffer(msg.colors, np.uint8).reshape(-1, 4)[:, :3] if len(msg.colors) else None
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise ValueError("a triangle names a vertex that is not there")
    if colors is not None and len(colors) != len(vertices):
        raise ValueError(f"{len(colors)} colours for {len(vertices)} vertices")
    return Mesh(vertices, faces, colors)


def pose_array(header: Header, objects: Sequence[ReconstructedObject]) -> PoseArray:
    return PoseArray(header=header, poses=[o.pose.pose for o in objects])


def marker_array(
    objects: Sequence[ReconstructedObject],
    meshes: Mapping[str, Mesh],
    mode: str,
    max_triangles: int,
    namespace: str,
) -> MarkerArray:
    """Mesh, box and text per object for RViz; the markers of the frame before are deleted first.

    mode: "triangle_list" embeds a decimated mesh with colours, "resource" refers to the file of mesh_uri, "both".
    """
    markers = [Marker(action=Marker.DELETEALL, ns=namespace)]
    for number, o in enumerate(objects):
        if mode in ("triangle_list", "both"):
            markers.append(
                _triangles(o, simplify(meshes[o.id], max_triangles)[0], f"{namespace}/mesh", number)
            )
        if mode in ("resource", "both") and o.mesh_uri:
            marker = _marker(o, f"{namespace}/file", number, Marker.MESH_RESOURCE, (1.0, 1.0, 1.0))
            marker.mesh_resource = o.mesh_uri
            # All zero: RViz takes the colours of the file.
            marker.mesh_use_embedded_materials, marker.color = True, ColorRGBA()
            markers.append(marker)
        markers.append(_text(o, f"{namespace}/text", number))
    return MarkerArray(markers=markers)


def _marker(
    o: ReconstructedObject, namespace: str, number: int, kind: int, scale: tuple[float, ...]
) -> Marker:
    marker = Marker(header=o.header, ns=namespace, id=number, type=kind, action=Marker.ADD, pose=o.pose.pose)
    marker.scale.x, marker.scale.y, marker.scale.z = scale
    marker.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
    return marker


def _triangles(o: ReconstructedObject, mesh: Mesh, namespace: str, number: int) -> Marker:
    marker = _marker(o, namespace, number, Marker.TRIANGLE_LIST, (1.0, 1.0, 1.0))
    # One Point per vertex, shared by its triangles: building them is what costs.
    points = [Point(x=x, y=y, z=z) for x, y, z in mesh.vertices.astype(float).tolist()]
    corners = mesh.faces.reshape(-1).tolist()
    marker.points = [points[i] for i in corners]
    if mesh.colors is not None:
        colors = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in (mesh.colors / 255.0).tolist()]
        marker.colors = [colors[i] for i in corners]
    return marker


def _text(o: ReconstructedObject, namespace: str, number: int) -> Marker:
    marker = _marker(o, namespace, number, Marker.TEXT_VIEW_FACING, (0.0, 0.0, 0.02))
    R = frames.matrix_from_quaternion(
        np.array([o.pose.pose.orientation.x, o.pose.pose.orientation.y, o.pose.pose.orientation.z,
                  o.pose.pose.orientation.w])
    )  # fmt: skip
    above = R[:, 2] * (o.size.z / 2 + 0.02)
    p = o.pose.pose.position
    marker.pose = Pose(position=Point(x=p.x + above[0], y=p.y + above[1], z=p.z + above[2]))
    size = " x ".join(f"{100 * v:.1f}" for v in (o.size.x, o.size.y, o.size.z))
    marker.text = f"{o.label or o.id}  {size} cm  {o.confidence:.2f}"
    return marker


def timing_message(
    header: Header, stages: Mapping[str, float], age_ms: float, objects: int, rejected: int, method: str
) -> FrameTiming:
    """`stages`: seconds per stage, in order. The memory is that of this process now."""
    msg = FrameTiming(header=header, objects=objects, rejected=rejected, method=method, age_ms=age_ms)
    msg.memory_mb = resident_mb()
    msg.stages = [StageTiming(name=name, milliseconds=1e3 * s) for name, s in stages.items()]
    msg.total_ms = 1e3 * sum(stages.values())
    return msg


def resident_mb() -> float:
    """Resident memory of this process, MB; 0 where /proc does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def detections(header: Header, objects: Sequence[ReconstructedObject]) -> Any:
    """vision_msgs/Detection3DArray; raises ImportError where vision_msgs is not installed."""
    from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

    out = Detection3DArray(header=header)
    for o in objects:
        hypothesis = ObjectHypothesisWithPose(pose=o.pose)
        hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = o.label or o.id, float(o.confidence)
        detection = Detection3D(header=o.header, id=o.id, results=[hypothesis])
        detection.bbox.center, detection.bbox.size = o.pose.pose, o.size
        out.detections.append(detection)
    return out


def collision_object(o: ReconstructedObject, mesh: Mesh, max_triangles: int) -> Any:
    """moveit_msgs/CollisionObject with a decimated mesh; raises ImportError where moveit_msgs is not installed."""
    from moveit_msgs.msg import CollisionObject
    from shape_msgs.msg import Mesh as ShapeMesh
    from shape_msgs.msg import MeshTriangle

    small, _ = simplify(mesh, max_triangles)
    shape = ShapeMesh()
    shape.vertices = [Point(x=x, y=y, z=z) for x, y, z in small.vertices.astype(float).tolist()]
    shape.triangles = [MeshTriangle(vertex_indices=f) for f in small.faces.astype(np.uint32)]
    out = CollisionObject(header=o.header, id=o.id, pose=o.pose.pose, operation=CollisionObject.ADD)
    out.meshes, out.mesh_poses = [shape], [Pose()]
    return out
