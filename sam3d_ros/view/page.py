"""One self-contained HTML page with an interactive 3-D view of frames and reconstructed objects.

    write_page(path, "My scene", [PageFrame("first look", rgb, points_cam, camera, objects)])

The page opens from disk, needs no network and may not use one: a content security policy forbids every
request and every script but its own. Text from data reaches the page only as JSON whose `<`, `>` and `&` are
escaped, and the document only as text.

`page.html` is the template and `page.css` the style; `data.js` reads arrays, `shapes.js` and `stage.js` draw
in 3-D, `panels.js` fills tables, `page.js` joins them. `three.bundle.min.js` (MIT, three.LICENSE) is made by
scripts/vendor_three.sh.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from sam3d_ros.view.arrays import Json
from sam3d_ros.view.content import PageFrame, PageObject, PosedMesh
from sam3d_ros.view.payload import frame_payload

__all__ = ["PageFrame", "PageObject", "PosedMesh", "render_page", "write_page"]

SCRIPTS = ("three.bundle.min.js", "data.js", "shapes.js", "stage.js", "panels.js", "page.js")


def write_page(
    path: Path | str, title: str, frames: Sequence[PageFrame], *, note: str = "", max_points: int = 320_000
) -> Path:
    """Write the page and return its path; folders are made, and the file appears only when it is whole.

    `note` is a line under the title. A pointmap with more than `max_points` pixels is thinned evenly.
    Raises InputError where the parts of a frame do not fit together.
    """
    path = Path(path)
    text = render_page(title, frames, note=note, max_points=max_points)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="replace")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def render_page(title: str, frames: Sequence[PageFrame], *, note: str = "", max_points: int = 320_000) -> str:
    """The page as text; `write_page` says the rest."""
    style = _read("page.css")
    scripts = [_read(name) for name in SCRIPTS]
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash(style)}; script-src {' '.join(map(_hash, scripts))}"
    )
    parts = {
        "policy": policy,
        "title": html.escape(title),
        "note": html.escape(note),
        "style": style,
        "data": "\n".join(_json_element(frame_payload(frame, max_points)) for frame in frames),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    # One pass over the template: what was filled in is never searched again.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("page.html"))


def _read(name: str) -> str:
    return (resources.files("sam3d_ros.view") / name).read_text(encoding="utf-8")


def _hash(inline: str) -> str:
    """The policy's name for an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


def _json_element(payload: Json) -> str:
    """JSON in a script element that no text inside can end."""
    text = json.dumps(payload, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" class="frame">{text}</script>'
