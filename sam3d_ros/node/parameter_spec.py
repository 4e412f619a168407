"""ROS parameters from a frozen dataclass: a field is a parameter, with description, range and choices.

@dataclass(frozen=True)
class Settings:
    rate: float = parameter(5.0, "rate", "images per second, Hz", low=0.1, high=100.0)

declare(node, Settings); settings = read(node, Settings)
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, ParameterType
from rclpy.node import Node

from sam3d_ros.types import InputError

T = TypeVar("T")

_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
}


def parameter(
    default: Any,
    name: str,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """A dataclass field that is the ROS parameter `name`. live: it may change while the node works."""
    metadata = {
        "name": name, "description": description, "low": low, "high": high, "choices": choices, "live": live,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


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


def declare(node: Node, cls: type) -> None:
    """Declare every field of the dataclass on the node."""
    for f in dataclasses.fields(cls):
        node.declare_parameter(f.metadata["name"], f.default, descriptor(f))


def read(node: Node, cls: type[T]) -> T:
    """The node's present values. Raises InputError for one that is not among its choices."""
    names = {f.name: f.metadata["name"] for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = cls(**{field: node.get_parameter(name).value for field, name in names.items()})
    check_choices(values)
    return values


def check_choices(values: Any) -> None:
    """Raises InputError for a value outside its choices."""
    for f in dataclasses.fields(values):
        value, choices = getattr(values, f.name), f.metadata["choices"]
        if choices and value not in choices:
            raise InputError(f"'{f.metadata['name']}' is '{value}', must be one of {', '.join(choices)}")
