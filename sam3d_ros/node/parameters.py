"""The node's parameters: one frozen dataclass, each field with its ROS name, description, range and whether it may
change while the node is active. `config/reconstruction_node.yaml` holds the same values and is tested against this."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, ParameterType
from rclpy.node import Node
from rclpy.parameter import Parameter

from sam3d_ros.types import InputError

_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
}


def _p(
    default: Any,
    name: str,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    metadata = {
        "name": name, "description": description, "low": low, "high": high, "choices": choices, "live": live,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class NodeParameters:
    """Values of one moment. Fields marked live may change while the node is active."""

    method: str = _p(
        "extrude", "method", "reconstruction method", choices=("extrude", "hull", "mirror"), live=True
    )
    source: str = _p(
        "image", "depth.source", "where the points come from: 'image' (topic depth/image) or 'points'"
        " (topic points, an organised PointCloud2)", choices=("image", "points"),
    )  # fmt: skip
    transport: str = _p(
        "raw", "image_transport", "'raw', or 'compressed': rgb/image/compressed and depth/image/compressedDepth",
        choices=("raw", "compressed"),
    )  # fmt: skip
    rectified: bool = _p(
        False, "image_rectified", "the images are rectified (topics *_rect*): use P of camera_info, no distortion"
    )
    slop_ms: float = _p(
        20.0, "sync.slop_ms", "largest spread of the stamps of one frame, ms", low=0.0, high=1000.0
    )
    queue_size: int = _p(10, "sync.queue_size", "messages kept per input until partners come", low=1, high=100)
    reliability: str = _p(
        "auto", "qos.reliability", "of the subscriptions; 'auto' asks for what the publishers offer",
        choices=("auto", "reliable", "best_effort"),
    )  # fmt: skip
    qos_depth: int = _p(5, "qos.depth", "history depth of the subscriptions", low=1, high=100)
    max_rate_hz: float = _p(
        0.0, "max_rate_hz", "process at most so many frames per second; 0: as many as the machine can",
        low=0.0, high=1000.0, live=True,
    )  # fmt: skip
    min_depth: float = _p(0.1, "limits.min_depth", "nearer points are ignored, m", low=0.0, high=100.0, live=True)
    max_depth: float = _p(4.0, "limits.max_depth", "farther points are ignored, m", low=0.01, high=1000.0, live=True)
    min_mask_pixels: int = _p(
        100, "limits.min_mask_pixels", "smaller masks are rejected", low=1, high=10_000_000, live=True
    )
    min_valid_depth: float = _p(
        0.1, "limits.min_valid_depth", "share of a mask's pixels that must have depth", low=0.0, high=1.0, live=True
    )
    max_objects: int = _p(
        64, "limits.max_objects", "masks beyond so many in one frame are rejected", low=1, high=100_000, live=True
    )
    max_size: float = _p(1.5, "limits.max_size", "larger objects are rejected, m", low=0.01, high=100.0, live=True)
    min_confidence: float = _p(
        0.2, "limits.min_confidence", "less certain objects are rejected", low=0.0, high=1.0, live=True
    )
    target_frame: str = _p(
        "", "target_frame", "publish poses in this TF frame (at the image's stamp); empty: the camera's optical frame"
    )
    gravity_frame: str = _p(
        "", "gravity_frame", "TF frame whose z axis points up (base_link, map); empty: up comes from the support plane"
    )
    tf_timeout: float = _p(
        0.2, "tf_timeout", "how long to wait for a transform, s", low=0.0, high=10.0, live=True
    )
    publish_tf: bool = _p(True, "publish.tf", "broadcast a TF frame per object", live=True)
    markers: str = _p(
        "triangle_list", "publish.markers", "'triangle_list' shows anywhere, 'resource' refers to mesh files by file://"
        " (needs mesh_dir, RViz on this machine)", choices=("triangle_list", "resource", "both", "none"), live=True,
    )  # fmt: skip
    marker_triangles: int = _p(
        2000, "publish.marker_triangles", "triangles of one marker at most (nested messages are slow)",
        low=12, high=20_000, live=True,
    )  # fmt: skip
    vision_msgs: bool = _p(
        False, "publish.vision_msgs", "also publish ~/detections (vision_msgs/Detection3DArray), where installed"
    )
    moveit: bool = _p(
        False, "publish.moveit", "also publish ~/collision_objects (moveit_msgs/CollisionObject), where installed"
    )
    object_prefix: str = _p("object_", "object_prefix", "object ids and TF frames are this and a number", live=True)
    mesh_dir: str = _p("", "mesh_dir", "write a GLB per object here and say so in mesh_uri; empty: no files")
    mesh_keep: int = _p(
        200, "mesh_keep", "mesh files kept in mesh_dir; the oldest go first", low=1, high=100_000, live=True
    )
    memory_s: float = _p(
        2.0, "tracking.memory_s", "how long an object that is not seen keeps its id, s", low=0.0, high=3600.0, live=True
    )
    goal_timeout: float = _p(
        10.0, "goal_timeout", "for goals of ~/reconstruct without their own timeout, s", low=0.01, high=3600.0, live=True
    )
    late_after: float = _p(
        1.0, "diagnostics.late_after", "an input without messages for so long is reported as late, s",
        low=0.05, high=3600.0, live=True,
    )  # fmt: skip


def descriptor(f: dataclasses.Field[Any]) -> ParameterDescriptor:
    """The ROS descriptor of one field: type, range, description with the choices."""
    m = f.metadata
    text = m["description"] + (f" [{', '.join(m['choices'])}]" if m["choices"] else "")
    d = ParameterDescriptor(name=m["name"], type=_TYPES[type(f.default)], description=text)
    if not m["live"]:
        d.additional_constraints = "changes take effect at the next configure"
    if m["low"] is not None and isinstance(f.default, float):
        d.floating_point_range = [FloatingPointRange(from_value=float(m["low"]), to_value=float(m["high"]))]
    elif m["low"] is not None:
        d.integer_range = [IntegerRange(from_value=int(m["low"]), to_value=int(m["high"]))]
    return d


def declare(node: Node) -> None:
    """Declare every parameter on the node."""
    for f in dataclasses.fields(NodeParameters):
        node.declare_parameter(f.metadata["name"], f.default, descriptor(f))


def read(node: Node) -> NodeParameters:
    """The node's present values, checked. Raises InputError where they do not fit together."""
    values = {
        f.name: node.get_parameter(f.metadata["name"]).value for f in dataclasses.fields(NodeParameters)
    }
    parameters = NodeParameters(**values)
    check(parameters)
    return parameters


def changed(parameters: NodeParameters, changes: list[Parameter], active: bool) -> NodeParameters:
    """The values after `changes`. Raises InputError for a change that is not possible now or does not fit."""
    by_name = {f.metadata["name"]: f for f in dataclasses.fields(NodeParameters)}
    values: dict[str, Any] = {}
    for change in changes:
        if (f := by_name.get(change.name)) is None:
            continue  # use_sim_time and the like: not ours
        if active and not f.metadata["live"]:
            raise InputError(f"'{change.name}' cannot change while the node is active; deactivate and configure first")
        values[f.name] = change.value
    after = dataclasses.replace(parameters, **values)
    check(after)
    return after


def check(parameters: NodeParameters) -> None:
    """Raises InputError for a value outside its choices or values that contradict each other."""
    for f in dataclasses.fields(parameters):
        value, choices = getattr(parameters, f.name), f.metadata["choices"]
        if choices and value not in choices:
            raise InputError(f"'{f.metadata['name']}' is '{value}', must be one of {', '.join(choices)}")
    if parameters.min_depth >= parameters.max_depth:
        raise InputError(
            f"limits.min_depth {parameters.min_depth} must be less than limits.max_depth {parameters.max_depth}"
        )
    if parameters.markers in ("resource", "both") and not parameters.mesh_dir:
        raise InputError(f"publish.markers '{parameters.markers}' needs mesh_dir, the folder for the mesh files")
    if parameters.transport == "compressed" and parameters.source == "points":
        raise InputError("image_transport 'compressed' goes with depth.source 'image'")
