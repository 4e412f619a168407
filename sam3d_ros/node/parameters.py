"""The reconstruction node's parameters. `config/reconstruction_node.yaml` holds the same values and is tested
against this."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter

from sam3d_ros.methods.settings import BACKENDS, METHODS, MODEL
from sam3d_ros.node import parameter_spec
from sam3d_ros.node.parameter_spec import parameter
from sam3d_ros.types import InputError


@dataclass(frozen=True)
class NodeParameters:
    """Values of one moment. Fields marked live may change while the node is active."""

    method: str = parameter(
        "auto", "method", "how the hidden side is completed; auto: compact where its bundle is found, else extrude",
        choices=("auto", *METHODS), live=True,
    )  # fmt: skip
    model: str = parameter(
        MODEL, "model", "bundle of the method compact: a name that `sam3d models` lists, or a folder"
    )
    backend: str = parameter(
        "auto",
        "backend",
        "what runs the model; auto: the fastest that works on this machine",
        choices=BACKENDS,
    )
    threads: int = parameter(0, "threads", "of the model on the CPU; 0: one per core", low=0, high=256)
    source: str = parameter(
        "image", "depth.source", "where the points come from: 'image' (topic depth/image) or 'points'"
        " (topic points, an organised PointCloud2)", choices=("image", "points"),
    )  # fmt: skip
    transport: str = parameter(
        "raw", "image_transport", "'raw', or 'compressed': rgb/image/compressed and depth/image/compressedDepth",
        choices=("raw", "compressed"),
    )  # fmt: skip
    rectified: bool = parameter(
        False,
        "image_rectified",
        "the images are rectified (topics *_rect*): use P of camera_info, no distortion",
    )
    slop_ms: float = parameter(
        20.0, "sync.slop_ms", "largest spread of the stamps of one frame, ms", low=0.0, high=1000.0
    )
    queue_size: int = parameter(
        10, "sync.queue_size", "messages kept per input until partners come", low=1, high=100
    )
    reliability: str = parameter(
        "auto", "qos.reliability", "of the subscriptions; 'auto' asks for what the publishers offer",
        choices=("auto", "reliable", "best_effort"),
    )  # fmt: skip
    qos_depth: int = parameter(5, "qos.depth", "history depth of the subscriptions", low=1, high=100)
    max_rate_hz: float = parameter(
        0.0, "max_rate_hz", "process at most so many frames per second; 0: as many as the machine can",
        low=0.0, high=1000.0, live=True,
    )  # fmt: skip
    min_depth: float = parameter(
        0.1, "limits.min_depth", "nearer points are ignored, m", low=0.0, high=100.0, live=True
    )
    max_depth: float = parameter(
        4.0, "limits.max_depth", "farther points are ignored, m", low=0.01, high=1000.0, live=True
    )
    min_mask_pixels: int = parameter(
        100, "limits.min_mask_pixels", "smaller masks are rejected", low=1, high=10_000_000, live=True
    )
    min_valid_depth: float = parameter(
        0.1,
        "limits.min_valid_depth",
        "share of a mask's pixels that must have depth",
        low=0.0,
        high=1.0,
        live=True,
    )
    max_objects: int = parameter(
        64,
        "limits.max_objects",
        "masks beyond so many in one frame are rejected",
        low=1,
        high=100_000,
        live=True,
    )
    max_size: float = parameter(
        1.5, "limits.max_size", "larger objects are rejected, m", low=0.01, high=100.0, live=True
    )
    min_confidence: float = parameter(
        0.2, "limits.min_confidence", "less certain objects are rejected", low=0.0, high=1.0, live=True
    )
    target_frame: str = parameter(
        "",
        "target_frame",
        "publish poses in this TF frame (at the image's stamp); empty: the camera's optical frame",
    )
    gravity_frame: str = parameter(
        "",
        "gravity_frame",
        "TF frame whose z axis points up (map, odom, base_link); also keeps ids while the camera moves."
        " Empty: up comes from the support plane",
    )
    tf_timeout: float = parameter(
        0.2, "tf_timeout", "how long to wait for a transform, s", low=0.0, high=10.0, live=True
    )
    publish_tf: bool = parameter(True, "publish.tf", "broadcast a TF frame per object", live=True)
    markers: str = parameter(
        "triangle_list", "publish.markers", "'triangle_list' shows anywhere, 'resource' refers to mesh files by file://"
        " (needs mesh_dir, RViz on this machine)", choices=("triangle_list", "resource", "both", "none"), live=True,
    )  # fmt: skip
    marker_triangles: int = parameter(
        500, "publish.marker_triangles", "triangles of one marker at most (nested messages are slow)",
        low=12, high=20_000, live=True,
    )  # fmt: skip
    vision_msgs: bool = parameter(
        False,
        "publish.vision_msgs",
        "also publish ~/detections (vision_msgs/Detection3DArray), where installed",
    )
    moveit: bool = parameter(
        False,
        "publish.moveit",
        "also publish ~/collision_objects (moveit_msgs/CollisionObject), where installed",
    )
    object_prefix: str = parameter(
        "object_", "object_prefix", "object ids and TF frames are this and a number"
    )
    mesh_dir: str = parameter(
        "", "mesh_dir", "write a GLB per object here and say so in mesh_uri; empty: no files"
    )
    mesh_keep: int = parameter(
        200, "mesh_keep", "mesh files kept in mesh_dir; the oldest go first", low=1, high=100_000, live=True
    )
    memory_s: float = parameter(
        2.0,
        "tracking.memory_s",
        "how long an object that is not seen keeps its id, s",
        low=0.0,
        high=3600.0,
    )
    goal_timeout: float = parameter(
        10.0,
        "goal_timeout",
        "for goals of ~/reconstruct without their own timeout, s",
        low=0.01,
        high=3600.0,
        live=True,
    )
    report_period: float = parameter(
        1.0, "diagnostics.period", "seconds between two /diagnostics messages", low=0.05, high=60.0
    )
    late_after: float = parameter(
        1.0, "diagnostics.late_after", "an input without messages for so long is reported as late, s",
        low=0.05, high=3600.0, live=True,
    )  # fmt: skip


def read(node: Node) -> NodeParameters:
    """The node's present values, checked. Raises InputError where they do not fit together."""
    parameters = parameter_spec.read(node, NodeParameters)
    check(parameters)
    return parameters


def changed(parameters: NodeParameters, changes: list[Parameter[Any]], active: bool) -> NodeParameters:
    """The values after `changes`. Raises InputError for a change that is not possible now or does not fit."""
    by_name = {f.metadata["name"]: f for f in dataclasses.fields(NodeParameters)}
    values: dict[str, Any] = {}
    for change in changes:
        if (f := by_name.get(change.name)) is None:
            continue  # use_sim_time and the like: not ours
        if active and not f.metadata["live"]:
            raise InputError(
                f"'{change.name}' cannot change while the node is active; deactivate and configure first"
            )
        values[f.name] = change.value
    after = dataclasses.replace(parameters, **values)
    check(after)
    return after


def check(parameters: NodeParameters) -> None:
    """Raises InputError for a value outside its choices or values that contradict each other."""
    parameter_spec.check_choices(parameters)
    if not parameters.model:
        raise InputError("model is empty: it is the name of a bundle, or its folder")
    if parameters.min_depth >= parameters.max_depth:
        raise InputError(
            f"limits.min_depth {parameters.min_depth} must be less than limits.max_depth {parameters.max_depth}"
        )
    if parameters.markers in ("resource", "both") and not parameters.mesh_dir:
        raise InputError(
            f"publish.markers '{parameters.markers}' needs mesh_dir, the folder for the mesh files"
        )
    if parameters.transport == "compressed" and parameters.source == "points":
        raise InputError("image_transport 'compressed' goes with depth.source 'image'")
