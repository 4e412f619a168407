"""The page in a real browser: opened from disk, drawn in software, driven by mouse and keyboard."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from chromium import Browser, chromium
from test_page import NASTY

from sam3d_ros.types import Mesh, RejectCode, Rejected
from sam3d_ros.view.page import PageFrame, PageObject, write_page

CANVAS = "document.getElementById('canvas').getBoundingClientRect()"


@pytest.fixture(scope="module")
def page(table: PageFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    empty = PageFrame("nothing", table.rgb, np.full_like(table.points_cam, np.nan), table.camera)
    again = dataclasses.replace(table, name="again", objects=table.objects[1:3])
    return write_page(folder / "page.html", "A table", [table, empty, again, PageFrame("bare")])


def pixels(browser: Browser) -> np.ndarray:
    """(H, W, 3) uint8 RGB of the 3-D view as it is on the screen."""
    png = np.frombuffer(browser.screenshot(), np.uint8)
    window = cv2.imdecode(png, cv2.IMREAD_COLOR)[..., ::-1]
    left, top, width, height = browser.evaluate(f"(r => [r.left, r.top, r.width, r.height])({CANVAS})")
    return window[round(top) : round(top + height), round(left) : round(left + width)]


def on_canvas(browser: Browser, frame: PageFrame, points_cam: np.ndarray) -> np.ndarray:
    """(N, 2) where optical points are on the canvas while looking through the camera, CSS pixels."""
    width, height = browser.evaluate(f"(r => [r.width, r.height])({CANVAS})")
    c = frame.camera
    scale = min(width / c.width, height / c.height)
    u = c.fx * points_cam[:, 0] / points_cam[:, 2] + c.cx
    v = c.fy * points_cam[:, 1] / points_cam[:, 2] + c.cy
    middle = np.array([c.width, c.height]) / 2 - 0.5
    return (np.stack([u, v], 1) - middle) * scale + np.array([width, height]) / 2


def only(browser: Browser, *layers: str) -> None:
    """Switch on these layers and no others."""
    for item in browser.evaluate("SWITCHES.map(s => [s.layer, s.on])"):
        if item[1] != (item[0] in layers):
            browser.evaluate(f"flip(SWITCHES.find(s => s.layer === '{item[0]}'))")


def show(browser: Browser, index: int) -> None:
    browser.evaluate(f"showFrame({index})")


def is_red(image: np.ndarray) -> np.ndarray:
    r, g, b = np.moveaxis(image.astype(int), -1, 0)
    return (r > 100) & (g < 60) & (b < 60)


def test_opens_from_disk_without_error_or_request(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.errors == []
    assert browser.requests[0] == page.as_uri()
    assert all(address.startswith("data:") for address in browser.requests[1:])
    assert browser.evaluate("fetch('data:,x').then(() => 'open', () => 'refused')") == "refused"
    assert browser.evaluate("document.querySelectorAll('#objects tbody tr').length") == 4
    assert "3 of 812 pixels have depth" in browser.evaluate("document.getElementById('rejected').textContent")


def test_through_the_camera_the_points_lie_on_the_image(
    browser: Browser, page: Path, table: PageFrame
) -> None:
    browser.open(page)
    only(browser, "points", "objectPoints")
    browser.press("v")
    drawn = pixels(browser)
    rng = np.random.default_rng(1)
    valid = np.isfinite(table.points_cam).all(-1)
    # Pixels whose neighbours are much like them, so that half a pixel does not matter.
    smooth = cv2.morphologyEx(table.rgb, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)).max(-1) < 12
    rows, cols = np.nonzero(valid & smooth)
    some = rng.choice(len(rows), 400, replace=False)
    rows, cols = rows[some], cols[some]
    places = on_canvas(browser, table, table.points_cam[rows, cols])
    inside = (places[:, 1] > 60) & (places[:, 1] < drawn.shape[0] - 60)  # not under the buttons
    x, y = places[inside].round().astype(int).T
    difference = np.abs(drawn[y, x].astype(int) - table.rgb[rows[inside], cols[inside]]).max(-1)
    assert (difference <= 12).mean() > 0.99
    assert np.median(difference) <= 1


def test_through_the_camera_the_meshes_lie_on_their_masks(
    browser: Browser, page: Path, table: PageFrame
) -> None:
    browser.open(page)
    only(browser, "meshes")
    browser.evaluate("stage.lookThroughCamera()")
    drawn = pixels(browser)
    red = is_red(drawn)
    mask = table.objects[0].reconstruction.mask.pixels
    rows, cols = np.nonzero(mask)
    rays = np.stack(
        [(cols - table.camera.cx) / table.camera.fx, (rows - table.camera.cy) / table.camera.fy], 1
    )
    places = on_canvas(browser, table, np.column_stack([rays, np.ones(len(rays))]))
    expected = np.zeros(red.shape, np.uint8)
    x, y = places.round().astype(int).T
    expected[y, x] = 1
    expected = cv2.morphologyEx(expected, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)) > 0
    assert np.nonzero(red)[1].mean() < drawn.shape[1] / 2, "the cube is in the left half"
    assert (red & expected).sum() / (red | expected).sum() > 0.95


def test_objects_stand_upright_and_left_is_left(browser: Browser, page: Path) -> None:
    browser.open(page)
    x = browser.evaluate("Object.fromEntries(frame.objects.map(o => [o.label, stage.labelPosition(o.id)]))")
    assert x["red cube"][0] < x["green can"][0] < x["blue ball"][0]
    top, bottom = browser.evaluate(
        "[0.06, -0.06].map(z => new THREE.Vector3(0, 0, z)"
        ".applyMatrix4(stage.objects.get('1').pose).project(stage.camera).y)"
    )
    assert top > bottom


def test_a_row_highlights_its_object(browser: Browser, page: Path) -> None:
    browser.open(page)
    only(browser, "meshes")
    before = pixels(browser)
    x, y = browser.evaluate(
        "(r => [r.left + r.width / 2, r.top + r.height / 2])"
        "(document.querySelectorAll('#objects tbody tr')[2].getBoundingClientRect())"
    )
    browser.click(x, y)
    assert browser.evaluate(
        "[...document.querySelectorAll('tr[aria-current=true]')].map(r => r.dataset.id)"
    ) == ["2"]
    details = browser.evaluate("document.getElementById('details').textContent")
    for text in ("blue ball", "20.0 mm", "0.170, ", "extrude", "support plane", "237 ms", "2.1 mm"):
        assert text in details
    changed = np.abs(pixels(browser).astype(int) - before).max(-1) > 40
    changed[:60] = changed[-60:] = False  # the buttons: one of them is no longer grey
    accent = np.array([0x23, 0x55, 0xD3])
    near_accent = np.abs(pixels(browser)[changed].astype(int) - accent).max(-1) < 30
    assert changed.sum() > 200
    assert near_accent.mean() > 0.6, "a rim in the accent colour"
    cols = np.nonzero(changed)[1]
    place = browser.evaluate("stage.labelPosition('2')")
    assert abs(cols.mean() - place[0]) < 15, "around the ball"
    browser.press("Escape")
    assert browser.evaluate("selected") is None
    left_over = np.abs(pixels(browser).astype(int) - before).max(-1) > 3
    assert not left_over.any()


def test_a_click_into_the_view_selects(browser: Browser, page: Path) -> None:
    browser.open(page)
    left, top = browser.evaluate(f"(r => [r.left, r.top])({CANVAS})")
    for key in ("0", "2", "3"):
        x, y = browser.evaluate(
            f"(p => [(p.x + 1) / 2 * stage.canvas.clientWidth, (1 - p.y) / 2 * stage.canvas.clientHeight])"
            f"(new THREE.Vector3().setFromMatrixPosition(stage.objects.get('{key}').pose)"
            f".project(stage.camera))"
        )
        browser.click(left + x, top + y)
        assert browser.evaluate("selected") == key
    browser.click(left + 30, top + 120)
    assert browser.evaluate("selected") is None


def test_a_click_into_the_picture_selects(browser: Browser, page: Path, table: PageFrame) -> None:
    browser.open(page)
    left, top, width = browser.evaluate(
        "(r => [r.left, r.top, r.width])(document.getElementById('image').getBoundingClientRect())"
    )
    for o in table.objects:
        rows, cols = np.nonzero(o.reconstruction.mask.pixels)
        scale = width / table.camera.width
        browser.click(left + (cols.mean() + 0.5) * scale, top + (rows.mean() + 0.5) * scale)
        assert browser.evaluate("selected") == o.id


@pytest.mark.parametrize(
    "layer", ["meshes", "points", "objectPoints", "truth", "boxes", "axes", "camera", "grid"]
)
def test_every_switch_shows_its_layer(browser: Browser, page: Path, layer: str) -> None:
    browser.open(page)
    only(browser)
    nothing = pixels(browser)
    browser.press(browser.evaluate(f"SWITCHES.find(s => s.layer === '{layer}').key"))
    assert (np.abs(pixels(browser).astype(int) - nothing).max(-1) > 20).sum() > 300
    assert browser.evaluate(f"document.querySelector('[data-layer={layer}]').ariaPressed") == "true"


def test_drag_turns_and_reset_returns(browser: Browser, page: Path) -> None:
    browser.open(page)

    def mouse(kind: str, x: float) -> None:
        params = {
            "type": kind,
            "x": left + x,
            "y": top + 120,
            "button": "left",
            "buttons": 1,
            "clickCount": 1,
        }
        browser.call("Input.dispatchMouseEvent", **params)

    start = browser.evaluate("stage.camera.position.toArray()")
    left, top = browser.evaluate(f"(r => [r.left, r.top])({CANVAS})")
    for kind, x in (("mousePressed", 300), ("mouseMoved", 380), ("mouseReleased", 380)):
        mouse(kind, x)
    turned = browser.evaluate("stage.camera.position.toArray()")
    assert np.linalg.norm(np.subtract(turned, start)) > 0.05
    browser.press("v")
    assert np.allclose(
        browser.evaluate("stage.camera.position.toArray()"), browser.evaluate("frame.camera.position")
    )
    assert not browser.evaluate("document.getElementById('fade').hidden")
    browser.press("r")
    assert np.allclose(browser.evaluate("stage.camera.position.toArray()"), start)
    assert browser.evaluate("document.getElementById('fade').hidden")


def test_frames_can_be_chosen(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate("select('1')")
    browser.press("v")
    for index in (1, 2, 3, 0, 2):
        show(browser, index)
        assert browser.evaluate("document.documentElement.dataset.ready") == "yes"
    assert browser.evaluate("document.querySelectorAll('#objects tbody tr').length") == 2
    show(browser, 1)
    assert browser.evaluate("!document.getElementById('none').hidden")
    assert browser.evaluate("document.querySelector('[data-layer=meshes]').disabled")
    browser.press(",")
    browser.wait("frameIndex === 0 && document.documentElement.dataset.ready === 'yes'")
    assert browser.errors == []


def test_nasty_text_is_only_text(browser: Browser, table: PageFrame, tmp_path: Path) -> None:
    o = table.objects[0]
    r = dataclasses.replace(o.reconstruction, method=NASTY, seconds={NASTY: 0.1})
    bad = PageObject(NASTY, NASTY, r, None, {NASTY: NASTY})
    frame = dataclasses.replace(
        table, name=NASTY, objects=[bad], rejected=[Rejected(1, RejectCode.FAILED, NASTY, NASTY)]
    )
    browser.open(write_page(tmp_path / "nasty.html", NASTY, [frame, frame], note=NASTY))
    browser.evaluate("select(frame.objects[0].id)")
    assert browser.evaluate("typeof window.hacked") == "undefined"
    assert browser.evaluate("document.querySelector('.name').textContent") == NASTY
    assert browser.evaluate("document.title").replace("\u2028", "") == NASTY.replace("\u2028", "")
    assert NASTY in browser.evaluate("document.getElementById('details').textContent")
    assert browser.errors == []


def test_a_large_mesh_without_colours(browser: Browser, table: PageFrame, tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(7, 0.06)
    assert len(ball.vertices) > 65536
    mesh = Mesh(np.asarray(ball.vertices, np.float32), np.asarray(ball.faces, np.int32))
    r = dataclasses.replace(table.objects[2].reconstruction, mesh=mesh)
    frame = PageFrame("large", objects=[PageObject("1", "", r)])
    browser.open(write_page(tmp_path / "large.html", "Large", [frame]))
    only(browser, "meshes")
    drawn = pixels(browser)
    assert (np.abs(drawn.astype(int) - drawn[80, 5]).max(-1) > 60).sum() > 5000
    assert browser.errors == []


def test_a_page_without_frames(browser: Browser, tmp_path: Path) -> None:
    browser.open(write_page(tmp_path / "none.html", "None", []))
    assert browser.evaluate("!document.getElementById('none').hidden")
    assert browser.errors == []


def test_without_webgl_the_rest_is_there(page: Path, browser: Browser) -> None:
    with chromium("--disable-3d-apis") as poor:
        poor.open(page)
        assert poor.evaluate("document.documentElement.dataset.webgl") == "missing"
        assert "WebGL" in poor.evaluate("document.querySelector('[role=alert]:not([hidden])').textContent")
        assert poor.evaluate("document.getElementById('image').naturalWidth") == 320
        assert poor.evaluate("document.querySelectorAll('#objects tbody tr').length") == 4
        poor.evaluate("document.querySelector('#objects tbody tr').click()")
        assert "red cube" in poor.evaluate("document.getElementById('details').textContent")
        assert (
            poor.evaluate("showFrame(2).then(() => document.querySelectorAll('#objects tbody tr').length)")
            == 2
        )


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast(browser: Browser, page: Path, dark: bool) -> None:
    """WCAG 2, level AA: 4.5 to 1 for text."""
    browser.open(page, dark=dark)
    names = ("text", "muted", "panel", "ground", "accent", "on-accent", "hover")
    style = "getComputedStyle(document.documentElement)"
    colors = {n: browser.evaluate(f"{style}.getPropertyValue('--{n}').trim()") for n in names}

    def luminance(name: str) -> float:
        c = np.array([int(colors[name][i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    for front, back in (
        ("text", "panel"),
        ("text", "hover"),
        ("muted", "panel"),
        ("muted", "ground"),
        ("on-accent", "accent"),
    ):
        high, low = sorted((luminance(front), luminance(back)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (front, back)


def test_a_narrow_window_needs_no_sideways_scrolling(browser: Browser, page: Path) -> None:
    browser.open(page, width=380, height=780, mobile=True)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 380
    assert browser.evaluate("document.getElementById('canvas').clientHeight") > 300


def test_every_control_has_a_name(browser: Browser, page: Path) -> None:
    browser.open(page)
    nameless = browser.evaluate(
        "[...document.querySelectorAll('button, input')]"
        ".filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length"
    )
    assert nameless == 0
    browser.press("?")
    assert browser.evaluate("document.getElementById('keys').open")
    assert "Look through the camera" in browser.evaluate("document.getElementById('keys').textContent")
