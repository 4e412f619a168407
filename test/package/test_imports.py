"""Who may know whom. The table is the plan of the house; a room that is missing here must be added with its reasons.

Two kinds of edges: what a module imports when it is loaded, and what it imports later, inside a function. Rooms are
held to both; heavy libraries only at load time, because who asks for the torch backend may load torch.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "sam3d_ros"

# room: the rooms it may import. A name with a dot is one module of a room; every room may import itself.
KNOWS: dict[str, set[str]] = {
    "types": set(),
    "perception": {"types"},
    # Frames and the pinhole camera are geometry that both sides share; perception does not know mesh.
    "mesh": {"types", "perception.frames", "perception.camera"},
    "model": {"types"},
    "baselines": {"types", "perception", "mesh"},
    "refine": {"types", "perception", "mesh"},
    "track": {"types", "perception"},
    "runtime": {"types", "model"},
    # The model's inputs and answers in numpy: training makes its examples with them, the robot its questions.
    "compact": {"types", "perception", "baselines", "mesh", "runtime", "model.flow"},
    "methods": {"types", "perception", "baselines", "mesh", "refine", "runtime", "compact"},
    "pipeline": {"types", "perception", "mesh", "methods"},
    "data": {"types", "perception", "mesh"},
    "view": {"types", "mesh", "perception.frames"},
    "train": {"types", "model", "data", "mesh", "perception", "baselines", "compact", "runtime"},
    "data_engine": {"types", "model", "data", "mesh", "view"},
    "evaluate": {
        "types", "model", "data", "mesh", "perception", "pipeline", "methods", "compact", "refine", "runtime",
        "baselines", "view",
    },
    # The camera that does not exist renders scenes of data; the demo measures and shows what came over DDS.
    "node": {"types", "pipeline", "methods", "perception", "mesh", "track", "data", "evaluate", "view"},
    "reconstruct_folder": {"types", "pipeline", "methods", "perception", "mesh", "data"},
    "doctor": {"types", "runtime", "methods"},
    "cli": {
        "types", "pipeline", "methods", "runtime", "model", "data", "train", "data_engine", "evaluate", "node",
        "reconstruct_folder", "doctor",
    },
}  # fmt: skip
# Generated from msg/, srv/ and action/; they and every ROS package belong to the node alone.
GENERATED = {"msg", "srv", "action"}
ROS = {
    "rclpy", "builtin_interfaces", "std_msgs", "std_srvs", "sensor_msgs", "geometry_msgs", "shape_msgs",
    "visualization_msgs", "diagnostic_msgs", "lifecycle_msgs", "rcl_interfaces", "rosgraph_msgs", "action_msgs",
    "unique_identifier_msgs", "tf2_msgs", "tf2_ros", "vision_msgs", "moveit_msgs", "cv_bridge", "sensor_msgs_py",
    "message_filters", "ament_index_python", "launch", "launch_ros",
}  # fmt: skip
# Loaded at the top of a file only in the rooms that are nothing without them.
HEAVY: dict[str, set[str]] = {
    "torch": {"model", "train", "data_engine"},
    "torchvision": {"train"},
    "xformers": set(),
    "open3d": set(),
    "tensorrt": set(),
    "onnx": set(),
    "onnxruntime": set(),
    "accelerate": {"train"},
    "embreex": {"data"},
}
# trimesh loads it where it is installed; our own rooms load it only to render.
BY_TRIMESH = {"embreex"}


@dataclass(frozen=True)
class Import:
    """One import statement: where, of what, and whether it runs when the module is loaded."""

    path: Path
    line: int
    module: str
    on_load: bool

    @property
    def room(self) -> str:
        return room_of(self.path)

    @property
    def where(self) -> str:
        return f"{self.path.relative_to(PACKAGE.parent)}:{self.line}"


def room_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imports_of(path: Path) -> Iterator[Import]:
    """Every import, relative ones resolved. `if TYPE_CHECKING:` counts for the rooms, it runs never."""

    def walk(node: ast.AST, on_load: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(path, child.lineno, alias.name, on_load)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    package = ["sam3d_ros", *path.relative_to(PACKAGE).parts[: -child.level]]
                    base = ".".join([*package, base]).rstrip(".")
                for alias in child.names:
                    yield Import(path, child.lineno, f"{base}.{alias.name}", on_load)
            else:
                inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
                yield from walk(child, on_load and not inside and not typing_only)

    yield from walk(ast.parse(path.read_text()), True)


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")
IMPORTS = [i for path in FILES for i in imports_of(path)]


def allowed(room: str, target: str) -> bool:
    """`target` is a dotted name below sam3d_ros, e.g. perception.frames.transform."""
    if target.split(".")[0] in {room, *GENERATED}:
        return target.split(".")[0] == room or room == "node"
    return any(f"{target}.".startswith(f"{known}.") for known in KNOWS[room])


def test_the_reader_finds_what_there_is_to_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every form of import, also those that hide in a function, a try or a relative name."""
    folder = tmp_path / "sam3d_ros" / "mesh"
    folder.mkdir(parents=True)
    file = folder / "a.py"
    file.write_text(
        "import torch\nfrom sam3d_ros.node import qos\nfrom ..perception import masks\nfrom . import b\n"
        "try:\n    import open3d\nexcept ImportError:\n    pass\n"
        "def f():\n    import rclpy\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "sam3d_ros")
    found = [(i.module, i.on_load) for i in imports_of(file)]
    assert found == [
        ("torch", True),
        ("sam3d_ros.node.qos", True),
        ("sam3d_ros.perception.masks", True),
        ("sam3d_ros.mesh.b", True),
        ("open3d", True),
        ("rclpy", False),
    ]
    assert room_of(file) == "mesh"
    assert not allowed("mesh", "node.qos")
    assert not allowed("mesh", "perception.masks")
    assert allowed("mesh", "perception.frames.apply")
    assert allowed("node", "msg.ObjectMesh")
    assert not allowed("pipeline", "msg.ObjectMesh")


def test_every_room_is_in_the_table() -> None:
    assert {room_of(p) for p in FILES} <= KNOWS.keys()


def test_rooms_know_only_whom_they_may_know() -> None:
    wrong = [
        f"{i.where}: {i.room} imports {i.module}"
        for i in IMPORTS
        if i.module.startswith("sam3d_ros.") and not allowed(i.room, i.module.removeprefix("sam3d_ros."))
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_node_knows_ros() -> None:
    wrong = [
        f"{i.where}: {i.room} imports {i.module}"
        for i in IMPORTS
        # doctor says what is installed, and for that it has to look.
        if i.module.partition(".")[0] in ROS and i.room not in ("node", "doctor")
    ]
    assert not wrong, "\n".join(wrong)


def test_heavy_libraries_load_only_where_they_belong() -> None:
    wrong = [
        f"{i.where}: {i.room} loads {i.module}"
        for i in IMPORTS
        if i.on_load and i.room not in HEAVY.get(i.module.partition(".")[0], {i.room})
    ]
    assert not wrong, "\n".join(wrong)


def test_packages_are_empty_inside() -> None:
    """rosidl writes sam3d_ros/__init__.py as well; rooms have no side effects of being entered."""
    for path in PACKAGE.rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert all(isinstance(node, ast.Expr) for node in body), path


def loaded_after(program: str) -> set[str]:
    """Top-level names in sys.modules of a fresh interpreter after the program."""
    program += "\nimport sys; print('|'.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PACKAGE.anchor)
    assert done.returncode == 0, done.stderr[-2000:]
    return set(done.stdout.strip().split("|"))


@pytest.mark.ros  # the installed package
def test_pipeline_and_command_start_without_the_heavy_libraries() -> None:
    loaded = loaded_after("import sam3d_ros.cli, sam3d_ros.pipeline")
    assert sorted(loaded & (HEAVY.keys() | ROS) - BY_TRIMESH) == []


@pytest.mark.ros
def test_the_node_starts_without_torch() -> None:
    loaded = loaded_after("import sam3d_ros.node.reconstruction_node")
    assert sorted(loaded & HEAVY.keys() - BY_TRIMESH) == []
    assert "rclpy" in loaded
