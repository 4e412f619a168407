"""setup.py: what `pip install .` gives with ROS and without."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Used where they are installed, never needed to start. shape_msgs comes with moveit_msgs.
OPTIONAL = {"torch", "xformers", "open3d", "onnxruntime", "tensorrt", "cuda", "ray"}
OPTIONAL |= {"ament_index_python", "tf2_ros", "vision_msgs", "moveit_msgs", "shape_msgs"}
Checkout = Callable[[Path], Path]


def import_names() -> set[str]:
    """Top-level names of everything the package imports, anywhere."""
    names: set[str] = set()
    for path in (ROOT / "sam3d_ros").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names


def ros_packages(names: set[str]) -> set[str]:
    """Those of the names that are ROS packages here."""
    return {name for name in names if (Path(sys.prefix) / "share" / name / "package.xml").is_file()}


def required() -> set[str]:
    """REQUIRES of setup.py, names only."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REQUIRES":
            return {re.split("[<>=~!]", name)[0] for name in ast.literal_eval(node.value)}
    raise AssertionError("setup.py has no REQUIRES")


def normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def pinned(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return {normal(k): v for k, _, v in (line.partition("==") for line in lines) if v}


def test_what_the_package_imports_is_required() -> None:
    by_module = metadata.packages_distributions()

    def distributions(names: set[str]) -> set[str]:
        return {normal(d) for name in names - ros_packages(names) for d in by_module.get(name, [name])}

    requires = {normal(name) for name in required()}
    names = import_names() - sys.stdlib_module_names
    extras = pinned("data").keys() | pinned("model").keys() | pinned("train").keys()
    assert distributions(names - OPTIONAL) <= requires | extras, "imported, but not in setup.py"
    unused = requires - distributions(names)
    assert unused <= {"pyyaml"}, "in setup.py, but not imported (PyYAML: by the launch files)"


@pytest.mark.ros
def test_ros_packages_that_are_imported_are_in_package_xml() -> None:
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    declared = {e.text for tag in ("depend", "exec_depend") for e in root.findall(tag)}
    assert ros_packages(import_names()) - OPTIONAL - {"sam3d_ros"} <= declared


def test_every_requirement_is_pinned() -> None:
    assert {normal(name) for name in required()} <= pinned("runtime").keys()


def test_version_comes_from_package_xml() -> None:
    said = subprocess.run(
        [sys.executable, "setup.py", "--version"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    assert said == ElementTree.parse(ROOT / "package.xml").getroot().findtext("version")


def test_without_ros_a_wheel_for_any_machine(
    tmp_path: Path, checkout: Checkout, clean_env: dict[str, str]
) -> None:
    source = checkout(tmp_path / "source")
    # The Python behind the virtual environment has no ROS under its prefix; setuptools is lent to it.
    env = clean_env | {"PYTHONPATH": sysconfig.get_paths()["purelib"], "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1"}
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    done = subprocess.run(
        [str(python), "setup.py", "bdist_wheel", "--dist-dir", str(tmp_path)],
        cwd=source, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "no ROS found" in done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "sam3d_ros/pipeline.py" in names
    assert "sam3d_ros/view/page.html" in names
    assert "sam3d_ros/evaluate/nearest.npz" in names
    assert [n for n in names if n.endswith(".data/data/share/sam3d_ros/engines/README.md")], names
    assert not [n for n in names if n.startswith(("sam3d_ros/msg/", "test/")) or n.endswith(".so")]
    (entry,) = [n for n in names if n.endswith("entry_points.txt")]
    assert "sam3d = sam3d_ros.cli:main" in zipfile.ZipFile(wheel).read(entry).decode()


@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.timeout(400)
def test_with_ros_a_wheel_with_messages_and_node(
    tmp_path: Path, checkout: Checkout, clean_env: dict[str, str]
) -> None:
    source = checkout(tmp_path / "source")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-build-isolation", "--no-deps", "-w", str(tmp_path), str(source)]
    # What is tested is what lies where, not how fast it runs.
    done = subprocess.run(
        build, env=clean_env | {"CFLAGS": "-O0", "CXXFLAGS": "-O0"}, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    (wheel,) = tmp_path.glob("*.whl")
    prefix = tmp_path / "prefix"
    install = [*pip, "install", "-q", "--no-deps", "--ignore-installed", "--prefix", str(prefix), str(wheel)]
    subprocess.run(install, check=True, env=clean_env)
    assert (prefix / "share" / "sam3d_ros" / "launch" / "reconstruction.launch.py").is_file()
    assert (prefix / "share" / "sam3d_ros" / "engines" / "README.md").is_file()
    assert (prefix / "share" / "ament_index" / "resource_index" / "packages" / "sam3d_ros").is_file()
    assert (prefix / "lib" / "sam3d_ros" / "reconstruction_node").is_file()
    assert not list(prefix.rglob("*.c"))
    program = (
        "import sam3d_ros.msg, sam3d_ros.action\n"
        "from rclpy.serialization import deserialize_message, serialize_message\n"
        "message = sam3d_ros.msg.ObjectMesh(id='a', vertices=[0.5] * 3)\n"
        "again = deserialize_message(serialize_message(message), sam3d_ros.msg.ObjectMesh)\n"
        "print(again == message, sam3d_ros.msg.__file__)"
    )
    site = Path(sysconfig.get_path("purelib", vars={"base": str(prefix)}))
    env = clean_env | {"PYTHONPATH": str(site), "LD_LIBRARY_PATH": str(prefix / "lib")}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    same, where = ran.stdout.split()
    assert same == "True"
    assert Path(where).is_relative_to(site)
