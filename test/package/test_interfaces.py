"""msg/, srv/ and action/ against CMakeLists.txt, package.xml and the types they mirror."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from sam3d_ros.types import RejectCode

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(p for folder in ("msg", "srv", "action") for p in (ROOT / folder).iterdir())
CMAKE = (ROOT / "CMakeLists.txt").read_text()
# Packages that are not in every ROS installation: interfaces of ours must build without them.
NOT_EVERYWHERE = {"vision_msgs", "moveit_msgs", "shape_msgs"}


def definitions(path: Path) -> list[str]:
    """The lines that define something, without comments."""
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line and line != "---"]


def packages() -> set[str]:
    """Packages whose messages ours contain."""
    used = {m[1] for p in FILES for line in definitions(p) if (m := re.match(r"(\w+)/\w+", line))}
    return used - {"sam3d_ros"}


def test_every_file_is_built() -> None:
    listed = re.findall(r'"((?:msg|srv|action)/\w+\.\w+)"', CMAKE)
    assert sorted(listed) == [str(p.relative_to(ROOT)) for p in FILES]


def test_dependencies_are_those_that_the_fields_name() -> None:
    listed = re.search(r"DEPENDENCIES ([\w ]+)", CMAKE)
    assert listed is not None
    assert set(listed[1].split()) == packages()
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    assert packages() <= {e.text for e in root.findall("depend")}
    assert not packages() & NOT_EVERYWHERE


def test_numbers_travel_flat() -> None:
    """Lists of messages are slow; they are only of what a frame has few of."""
    few = {
        "ReconstructedObject", "RejectedMask", "ObjectMesh", "StageTiming", "sam3d_ros/ObjectMesh",
    }  # fmt: skip
    for path in FILES:
        for line in definitions(path):
            if (m := re.match(r"([A-Z]\w*|\w+/\w+)\[\]", line)) is not None:
                assert m[1] in few, f"{path.name}: {line}"


def test_reject_codes_are_those_of_the_pipeline() -> None:
    lines = (re.match(r"uint8 (\w+)=(\d+)", line) for line in definitions(ROOT / "msg" / "RejectedMask.msg"))
    assert {m[1]: int(m[2]) for m in lines if m} == {code.name: code.value for code in RejectCode}


def test_every_file_begins_with_what_it_is() -> None:
    for path in FILES:
        assert re.match(r"# [A-Z].{20,}", path.read_text()), path.name
