"""What launch files need of `launch` and `launch_ros`, which come with apt's ROS and not from PyPI.

A stub that runs a launch file and records the processes that would start; it starts none. It takes only
arguments that the real classes have from Humble on, resolves substitutions, applies defaults as `launch` does
(what an including file has set keeps its value), and refuses what the real one refuses.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class LaunchConfiguration:
    def __init__(self, variable_name: str, *, default: Any = None) -> None:
        self.name, self.default = variable_name, default

    def perform(self, context: LaunchContext) -> str:
        if self.name in context.launch_configurations:
            return context.launch_configurations[self.name]
        if self.default is None:
            raise RuntimeError(f"launch configuration '{self.name}' does not exist")
        return text(self.default, context)


class LaunchContext:
    def __init__(self) -> None:
        self.launch_configurations: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self.declared: list[DeclareLaunchArgument] = []
        self.nodes: list[StartedNode] = []


def text(value: Any, context: LaunchContext) -> str:
    """A string, a substitution, or a list of them. Anything else is refused, as by the real launch."""
    if isinstance(value, str):
        return value
    if isinstance(value, LaunchConfiguration):
        return value.perform(context)
    if isinstance(value, Iterable):
        return "".join(text(v, context) for v in value)
    raise TypeError(f"{value!r} is neither text nor a substitution")


@dataclass(frozen=True)
class StartedNode:
    """One process, everything resolved. parameters: file names and dictionaries, the last one wins."""

    package: str
    executable: str
    name: str
    namespace: str
    parameters: list[str | dict[str, Any]]
    remappings: dict[str, str]
    arguments: list[str]
    lifecycle: bool
    environment: dict[str, str]


@dataclass
class LaunchDescription:
    entities: list[Any] = field(default_factory=list)


class DeclareLaunchArgument:
    def __init__(
        self, name: str, *, default_value: Any = None, description: str = "", choices: Any = None
    ) -> None:
        self.name, self.default_value, self.description = name, default_value, description

    def visit(self, context: LaunchContext) -> list[Any]:
        context.declared.append(self)
        if self.name not in context.launch_configurations:
            if self.default_value is None:
                raise RuntimeError(f"argument '{self.name}' has no default and was not given")
            context.launch_configurations[self.name] = text(self.default_value, context)
        return []


class OpaqueFunction:
    def __init__(self, *, function: Callable[..., Any], args: Any = (), kwargs: Any = None) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs or {}

    def visit(self, context: LaunchContext) -> list[Any]:
        return self.function(context, *self.args, **self.kwargs) or []


class SetEnvironmentVariable:
    def __init__(self, name: Any, value: Any) -> None:
        self.name, self.value = name, value

    def visit(self, context: LaunchContext) -> list[Any]:
        context.environment[text(self.name, context)] = text(self.value, context)
        return []


class PythonLaunchDescriptionSource:
    def __init__(self, launch_file_path: Any) -> None:
        self.path = launch_file_path


class IncludeLaunchDescription:
    def __init__(self, launch_description_source: Any, *, launch_arguments: Any = None) -> None:
        self.source = launch_description_source
        self.arguments = list(launch_arguments or [])

    def visit(self, context: LaunchContext) -> list[Any]:
        # Like the real one: what is set here stays set for the includes that follow.
        for name, value in self.arguments:
            context.launch_configurations[name] = text(value, context)
        description = load(Path(text(self.source.path, context)))
        known = {e.name for e in description.entities if isinstance(e, DeclareLaunchArgument)}
        if unknown := {name for name, _ in self.arguments} - known:
            raise RuntimeError(f"{self.source.path} has no arguments {sorted(unknown)}")
        return description.entities


class ParameterValue:
    def __init__(self, value: Any, *, value_type: type | None = None) -> None:
        self.value, self.value_type = value, value_type

    def evaluate(self, context: LaunchContext) -> Any:
        plain = text(self.value, context)
        return self.value_type(plain) if self.value_type else plain


class Node:
    def __init__(
        self,
        *,
        executable: Any,
        package: Any,
        name: Any = "",
        namespace: Any = "",
        parameters: Any = (),
        remappings: Any = (),
        arguments: Any = (),
        ros_arguments: Any = (),
        output: str = "log",
    ) -> None:
        self.given = (package, executable, name, namespace)
        self.parameters, self.remappings = parameters, remappings
        self.arguments, self.ros_arguments = arguments, ros_arguments
        if output not in ("log", "screen", "both", "own_log", "full"):
            raise ValueError(f"output '{output}'")

    def visit(self, context: LaunchContext) -> list[Any]:
        package, executable, name, namespace = (text(g, context) for g in self.given)
        parameters: list[str | dict[str, Any]] = []
        for p in self.parameters:
            if isinstance(p, Mapping):
                parameters.append(
                    {k: v.evaluate(context) if isinstance(v, ParameterValue) else v for k, v in p.items()}
                )
            else:
                parameters.append(text(p, context))
        ros = [text(a, context) for a in self.ros_arguments]
        context.nodes.append(
            StartedNode(
                package, executable, name, namespace, parameters,
                {text(a, context): text(b, context) for a, b in self.remappings},
                [text(a, context) for a in self.arguments] + (["--ros-args", *ros] if ros else []),
                isinstance(self, LifecycleNode), dict(context.environment),
            )
        )  # fmt: skip
        return []


class LifecycleNode(Node):
    def __init__(self, *, name: Any, namespace: Any, **arguments: Any) -> None:
        super().__init__(name=name, namespace=namespace, **arguments)


MODULES: dict[str, dict[str, Any]] = {
    "launch": {"LaunchDescription": LaunchDescription, "LaunchContext": LaunchContext},
    "launch.actions": {
        "DeclareLaunchArgument": DeclareLaunchArgument,
        "IncludeLaunchDescription": IncludeLaunchDescription,
        "OpaqueFunction": OpaqueFunction,
        "SetEnvironmentVariable": SetEnvironmentVariable,
    },
    "launch.launch_description_sources": {"PythonLaunchDescriptionSource": PythonLaunchDescriptionSource},
    "launch.substitutions": {"LaunchConfiguration": LaunchConfiguration},
    "launch_ros": {},
    "launch_ros.actions": {"LifecycleNode": LifecycleNode, "Node": Node},
    "launch_ros.parameter_descriptions": {"ParameterValue": ParameterValue},
}


@contextmanager
def installed() -> Iterator[None]:
    """The stub under the real names, for as long as the block lasts."""
    before = {name: sys.modules.get(name) for name in MODULES}
    try:
        for name, contents in MODULES.items():
            module = types.ModuleType(name)
            module.__dict__.update(contents)
            sys.modules[name] = module
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


def load(path: Path) -> Any:
    """The LaunchDescription of a launch file."""
    spec = importlib.util.spec_from_file_location(f"launch_file_{path.stem.replace('.', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def run(path: Path, **arguments: str) -> LaunchContext:
    """Run a launch file as `ros2 launch FILE name:=value ...` would; the context lists the nodes."""
    with installed():
        context = LaunchContext()
        context.launch_configurations.update(arguments)
        description = load(path)
        declared = {e.name for e in description.entities if isinstance(e, DeclareLaunchArgument)}
        if unknown := arguments.keys() - declared:
            raise RuntimeError(f"{path.name} has no arguments {sorted(unknown)}")
        waiting = list(description.entities)
        while waiting:
            waiting = [*waiting.pop(0).visit(context), *waiting]
        return context
