"""docs/frames.md and its drawings: the numbers come out, and the arrows point where frames.py says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from sam3d_ros.perception import frames
from sam3d_ros.types import Float

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "frames.md").read_text()
SVG = "{http://www.w3.org/2000/svg}"
# How the drawing shows right, down and ahead of the camera: the columns of a 2x3 matrix, in SVG units.
DRAWN = np.array([[56, 0, 50], [26, 66, -36]])
R_CAM_OBJ = frames.view_frame(np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0]))[:3, :3]
AXES: dict[str, Float] = {
    "cam": np.eye(3),
    "body": frames.R_CAM_BODY,
    "p3d": frames.R_CAM_P3D,
    "obj": R_CAM_OBJ,
    "gltf": R_CAM_OBJ @ frames.R_OBJ_GLTF,
}


def test_the_example_gives_the_printed_numbers() -> None:
    blocks = re.findall(r"```pycon\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 1
    test = doctest.DocTestParser().get_doctest(blocks[0], {}, "frames.md", "frames.md", 0)
    assert len(test.examples) > 10
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert result.failed == 0


@pytest.mark.parametrize("name", AXES)
def test_the_drawn_axes_are_the_columns_of_the_rotation(name: str) -> None:
    root = ElementTree.parse(DOCS / "drawings" / "axes.svg").getroot()
    (group,) = [g for g in root.iter(f"{SVG}g") if g.get("id") == name]
    arrows = {p.get("class", "").split()[-1]: p.get("d", "") for p in group.iter(f"{SVG}path")}
    for axis, column in zip("xyz", AXES[name].T, strict=True):
        start, end = re.findall(r"(-?\d+) (-?\d+)", arrows[axis])
        assert start == ("0", "0")
        np.testing.assert_allclose([int(v) for v in end], DRAWN @ column, atol=1e-9)


def test_the_table_of_rotations() -> None:
    rows = re.findall(r"^\| (\w+) \| .*? \| `(\w+)` \| `x, y, z -> (.*?)` \|$", PAGE, re.MULTILINE)
    assert [name for _, name, _ in rows] == ["R_CAM_BODY", "R_CAM_P3D", "R_OBJ_GLTF"]
    point = {"x": 2.0, "y": 3.0, "z": 5.0}
    for _, name, written in rows:
        expected = [-point[t[1]] if t[0] == "-" else point[t] for t in written.split(", ")]
        np.testing.assert_allclose(getattr(frames, name) @ list(point.values()), expected)


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", sorted((DOCS / "drawings").glob("*.svg")), ids=lambda p: p.name)
def test_drawings_read_in_light_and_dark_and_need_nothing(path: Path) -> None:
    text = path.read_text()
    assert "prefers-color-scheme: dark" in text
    assert "<title" in text
    assert not re.findall(r"(?:href|src|url)\s*[=(]", text), "loads something"
