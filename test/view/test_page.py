"""The written page as text: what it holds, what it must never hold, and what is refused."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html.parser
import json
import re
import zlib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3d_ros.perception import frames
from sam3d_ros.types import Camera, InputError, Mesh, RejectCode, Rejected
from sam3d_ros.view.page import PageFrame, render_page, write_page

NASTY = (
    """</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">'"`&<!--\u2028{{data}}"""
)


class Elements(html.parser.HTMLParser):
    """Every element of a page with its attributes, and the text of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[tuple[str, dict[str, str | None], str]] = []
        self.title = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.found[-1] if self.found else ("", {})
        if tag in ("script", "style") and data.strip():
            self.inline.append((tag, attributes, data))
        if tag == "title" and not self.title:
            self.title = data

    def frames(self) -> list[dict]:
        return [json.loads(text) for _, attributes, text in self.inline if attributes.get("class") == "frame"]


def unpack(packed: dict) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.dtype(packed["type"]))


def unpack_points(packed: dict) -> np.ndarray:
    return unpack(packed["steps"]).reshape(-1, 3) * np.array(packed["step"]) + np.array(packed["low"])


def payload(frame: PageFrame, **options: int) -> dict:
    return Elements(render_page("t", [frame], **options)).frames()[0]


def test_nothing_is_loaded_from_anywhere(table: PageFrame) -> None:
    page = Elements(render_page("t", [table]))
    for tag, attributes in page.found:
        for name in ("src", "href", "action", "data", "poster", "srcset", "style", "onload", "onclick"):
            value = attributes.get(name)
            assert value is None or value == "data:,", f"<{tag} {name}={value}>"
    policy = next(a["content"] for t, a in page.found if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    named = set(re.findall(r"'sha256-([^']+)'", policy))
    runs = {text for tag, a, text in page.inline if a.get("type") != "application/json"}
    assert named == {base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in runs}


def test_sources_hold_no_address_and_cannot_end_their_element() -> None:
    for file in resources.files("sam3d_ros.view").iterdir():
        if file.name.endswith((".js", ".css", ".html")):
            text = file.read_text(encoding="utf-8")
            assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {"http://www.w3.org/1999/xhtml"}, (
                file.name
            )
            assert "\r" not in text, "the policy's hash is of text with plain line ends"
            if not file.name.endswith(".html"):
                assert not re.search(r"</(script|style)|<!--", text, re.IGNORECASE), file.name


def test_the_library_is_small_and_carries_its_licence() -> None:
    view = resources.files("sam3d_ros.view")
    bundle = (view / "three.bundle.min.js").read_text(encoding="utf-8")
    assert len(bundle.encode()) < 800_000
    assert (view / "three.LICENSE").read_text(encoding="utf-8").strip() in bundle


def test_meshes_and_poses_survive(table: PageFrame) -> None:
    data = payload(table)
    assert [o["label"] for o in data["objects"]] == ["red cube", "green can", "blue ball", "yellow book"]
    assert data["columns"] == ["Pose error", "F1", "Latency"]
    T_cam_first = table.objects[0].reconstruction.T_cam_obj
    T_view_first = np.array(data["objects"][0]["pose"])
    for given_object, sent in zip(table.objects, data["objects"], strict=True):
        r = given_object.reconstruction
        vertices = unpack_points(sent["mesh"]["vertices"])
        assert np.allclose(vertices, r.mesh.vertices, atol=2e-6)
        assert np.array_equal(unpack(sent["mesh"]["faces"]).reshape(-1, 3), r.mesh.faces)
        assert np.array_equal(unpack(sent["mesh"]["colors"]).reshape(-1, 3), r.mesh.colors)
        # The same relative to another object, whatever the view frame is.
        ours = frames.inverse(T_cam_first) @ r.T_cam_obj
        assert np.allclose(np.linalg.inv(T_view_first) @ np.array(sent["pose"]), ours, atol=1e-9)
        assert sent["outline"].startswith("M")
        truth = frames.inverse(T_cam_first) @ given_object.truth.T_cam_obj
        assert np.allclose(np.linalg.inv(T_view_first) @ np.array(sent["truth"]["pose"]), truth, atol=1e-9)


def test_the_view_is_upright_and_away_from_the_camera(table: PageFrame) -> None:
    data = payload(table)
    for o in data["objects"]:
        assert np.allclose(np.array(o["pose"])[:3, 2], (0, 0, 1), atol=1e-9)
    camera = data["camera"]
    assert camera["position"][2] > 0.3
    assert camera["position"][0] < 0
    assert abs(camera["position"][1]) < 1e-9
    assert camera["forward"][0] > 0
    assert camera["forward"][2] < 0
    assert np.isclose(np.dot(camera["forward"], camera["up"]), 0)
    # The first corner is the image's top left: y is to the left, z up.
    top_left, _, bottom_right, _ = np.array(camera["corners"])
    assert top_left[1] > bottom_right[1]
    assert top_left[2] > bottom_right[2]
    assert np.isclose(
        data["floor"], min(np.array(o["pose"])[2, 3] - o["size"][2] / 2 for o in data["objects"])
    )


def test_up_may_be_given(table: PageFrame) -> None:
    data = payload(dataclasses.replace(table, up_cam=np.array([1.0, 0.0, 0.0])))
    z_of_first = np.array(data["objects"][0]["pose"])[:3, 2]
    assert np.isclose(z_of_first[2], table.objects[0].reconstruction.T_cam_obj[0, 2])


def test_points_are_split_by_the_masks_and_nan_is_left_out(table: PageFrame) -> None:
    points = payload(table)["points"]
    valid = np.isfinite(table.points_cam).all(-1)
    owned = np.any([o.reconstruction.mask.pixels for o in table.objects], axis=0)
    for name, chosen in (("scene", valid & ~owned), ("objects", valid & owned)):
        sent = unpack_points(points[name]["positions"])
        assert len(sent) == chosen.sum()
        assert np.array_equal(unpack(points[name]["colors"]).reshape(-1, 3), table.rgb[chosen])
        # Distances to the sensor do not depend on the frame.
        distance = np.linalg.norm(sent - points["sensor"], axis=1)
        assert np.allclose(distance, np.linalg.norm(table.points_cam[chosen], axis=1), atol=1e-4)


def test_large_pointmaps_are_thinned(table: PageFrame) -> None:
    points = payload(table, max_points=10_000)["points"]
    count = sum(len(unpack(points[name]["colors"])) // 3 for name in ("scene", "objects"))
    assert 4_000 < count <= 10_000
    assert np.isclose(points["spacing"], 3 / table.camera.fx)


def test_text_from_data_stays_text(table: PageFrame, tmp_path: Path) -> None:
    first = table.objects[0]
    r = dataclasses.replace(first.reconstruction, method=NASTY, seconds={NASTY: 0.1})
    bad = dataclasses.replace(first, label=NASTY, id=NASTY, reconstruction=r, columns={NASTY: NASTY})
    frame = dataclasses.replace(
        table, name=NASTY, objects=[bad], rejected=[Rejected(1, RejectCode.FAILED, NASTY, NASTY)]
    )
    plain = Elements(render_page("t", [table]))
    page = Elements(render_page(NASTY, [frame], note=NASTY))
    assert [tag for tag, _ in page.found] == [tag for tag, _ in plain.found]
    (data,) = page.frames()
    assert (
        data["name"] == data["objects"][0]["label"] == data["columns"][0] == data["rejected"][0][3] == NASTY
    )
    assert page.title == NASTY


@settings(max_examples=30, deadline=None)
@given(st.text())
def test_any_label_round_trips(label: str) -> None:
    data = payload(PageFrame(label, rejected=[Rejected(3, RejectCode.TINY_MASK, label)]))
    assert data["name"] == label
    assert data["rejected"] == [["3", "", "tiny mask", label]]


def test_nothing_to_show(table: PageFrame) -> None:
    data = payload(PageFrame("empty"))
    assert data["objects"] == []
    assert data["picture"] is data["points"] is data["camera"] is data["floor"] is None
    nan = payload(PageFrame("nan", points_cam=np.full((4, 6, 3), np.nan, np.float32)))
    assert nan["points"] is None
    assert nan["picture"]["size"] == [6, 4]
    assert Elements(render_page("t", [])).frames() == []
    no_objects = payload(dataclasses.replace(table, objects=[]))
    assert "objects" not in no_objects["points"]


def test_depth_stands_in_for_a_missing_image(table: PageFrame) -> None:
    data = payload(dataclasses.replace(table, rgb=None))
    colors = unpack(data["points"]["scene"]["colors"]).reshape(-1, 3).astype(int)
    distance = np.linalg.norm(
        unpack_points(data["points"]["scene"]["positions"]) - data["points"]["sensor"], axis=1
    )
    near, far = colors[np.argsort(distance)[:200]], colors[np.argsort(distance)[-200:]]
    assert (near[:, 0] > near[:, 2]).all()
    assert (far[:, 2] > far[:, 0]).all()
    assert "Depth" in data["picture"]["caption"]


def test_unknown_numbers_say_so(table: PageFrame) -> None:
    o = table.objects[0]
    fit = dataclasses.replace(o.reconstruction.fit, depth_rmse=float("nan"))
    r = dataclasses.replace(
        o.reconstruction, fit=fit, confidence=float("nan"), size_m=np.array([np.nan, 0.1, np.inf])
    )
    (sent,) = payload(dataclasses.replace(table, objects=[dataclasses.replace(o, reconstruction=r)]))[
        "objects"
    ]
    assert sent["cells"][:2] == ["unknown × 100 × unknown mm", "unknown"]
    assert ["Depth error (RMS)", "unknown"] in sent["details"]


def test_faces_with_vertices_that_are_not_finite_are_left_out(table: PageFrame) -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [np.nan, 0, 0]], np.float32)
    mesh = Mesh(vertices, np.array([[0, 1, 2], [1, 2, 3]], np.int32))
    (sent,) = payload(_with_mesh(table, mesh))["objects"]
    assert unpack(sent["mesh"]["faces"]).tolist() == [0, 1, 2]
    assert len(unpack_points(sent["mesh"]["vertices"])) == 3
    (none,) = payload(_with_mesh(table, Mesh(vertices[3:], np.zeros((1, 3), np.int32))))["objects"]
    assert none["mesh"] is None
    (empty,) = payload(_with_mesh(table, Mesh(vertices[:0], np.zeros((0, 3), np.int32))))["objects"]
    assert empty["mesh"] is None


def _with_mesh(frame: PageFrame, mesh: Mesh) -> PageFrame:
    o = frame.objects[0]
    return dataclasses.replace(
        frame,
        objects=[dataclasses.replace(o, reconstruction=dataclasses.replace(o.reconstruction, mesh=mesh))],
    )


def test_parts_that_do_not_fit_are_refused(table: PageFrame, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, "before", [table])
    before = path.read_text(encoding="utf-8")
    first = table.objects[0]
    nan_pose = dataclasses.replace(first.reconstruction, T_cam_obj=np.full((4, 4), np.nan))
    triangle = Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 3]], np.int32))
    cases = {
        "heights and widths": dataclasses.replace(table, camera=Camera(64, 48, 50, 50, 32, 24)),
        "not 0": PageFrame("f", rgb=np.zeros((0, 4, 3), np.uint8)),
        "same id": dataclasses.replace(table, objects=[first, first]),
        "no finite 4x4": dataclasses.replace(
            table, objects=[dataclasses.replace(first, reconstruction=nan_pose)]
        ),
        "names vertex 3": _with_mesh(table, triangle),
    }
    for text, frame in cases.items():
        with pytest.raises(InputError, match=text):
            write_page(path, "after", [frame])
    assert path.read_text(encoding="utf-8") == before
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_folders_are_made_and_half_a_character_does_no_harm(tmp_path: Path) -> None:
    path = write_page(tmp_path / "a" / "b.html", "half \ud800", [PageFrame("half \ud800")])
    assert "half ?" in path.read_text(encoding="utf-8")
