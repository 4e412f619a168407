"""The nodes' parameters: config/reconstruction_node.yaml and the tables in docs/interfaces.md.

    .venv/bin/python test/docs/parameter_pages.py     # writes both; the tests only compare

Both are made from the dataclasses that the nodes declare.
"""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path
from typing import Any

import yaml

from sam3d_ros.node.parameters import NodeParameters
from sam3d_ros.node.replay import ReplayParameters
from sam3d_ros.node.synthetic_camera import CameraParameters

ROOT = Path(__file__).resolve().parents[2]
YAML = ROOT / "config" / "reconstruction_node.yaml"
PAGE = ROOT / "docs" / "interfaces.md"
TABLES = {"node": NodeParameters, "camera": CameraParameters, "replay": ReplayParameters}
HEAD = """\
# Every parameter of the reconstruction node, with its default. Copy the lines you change into your own file:
#   ros2 run sam3d_ros reconstruction_node --ros-args --params-file own.yaml
# "live" parameters change while the node is active (ros2 param set), the others at the next configure.
# /** is any node name in any namespace.
/**:
  ros__parameters:
    # The node configures and activates itself; false: a lifecycle manager does.
    autostart: true
"""


def parameter_range(f: dataclasses.Field[Any]) -> str:
    """ "0.0 .. 1.0", "a | b", or empty."""
    m = f.metadata
    if m["choices"]:
        return " | ".join(m["choices"])
    kind: Any = type(f.default)
    return "" if m["low"] is None else f"{kind(m['low'])} .. {kind(m['high'])}"


def yaml_text() -> str:
    """The whole of config/reconstruction_node.yaml."""
    lines = [HEAD]
    for f in dataclasses.fields(NodeParameters):
        notes = "; ".join(note for note in (parameter_range(f), "live" if f.metadata["live"] else "") if note)
        comment = f.metadata["description"] + (f" ({notes})" if notes else "")
        wrapped = textwrap.wrap(comment, 100, break_on_hyphens=False)
        value = yaml.safe_dump(f.default, default_flow_style=True).partition("\n")[0]
        lines += [f"    # {line}\n" for line in wrapped] + [f"    {f.metadata['name']}: {value}\n"]
    return "".join(lines)


def markdown_table(cls: type) -> str:
    """One row per field; a column for "live" where a parameter is."""
    fields = dataclasses.fields(cls)
    live = any(f.metadata["live"] for f in fields)
    head = ["parameter", "default", "range", *(["live"] if live else []), ""]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for f in fields:
        default = f'"{f.default}"' if isinstance(f.default, str) else str(f.default).lower()
        cells = [
            f"`{f.metadata['name']}`",
            f"`{default}`",
            parameter_range(f).replace("|", "\\|"),
            *(["yes" if f.metadata["live"] else ""] if live else []),
            f.metadata["description"].replace("|", "\\|").replace("*", "\\*"),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def page_with_tables(page: str) -> str:
    """The page with fresh tables. Raises ValueError where the marks are missing."""
    for name, cls in TABLES.items():
        begin, end = f"<!-- {name} parameters: begin -->", f"<!-- {name} parameters: end -->"
        before, found, rest = page.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found or not found_end:
            raise ValueError(f"{PAGE.name} has no {begin} ... {end}")
        page = f"{before}{begin}\n{markdown_table(cls)}\n{end}{after}"
    return page


if __name__ == "__main__":
    YAML.write_text(yaml_text())
    PAGE.write_text(page_with_tables(PAGE.read_text()))
