"""Tables with objects, looked at through the robot's own pipeline: what the model is trained on is what the node sees.

Support plane, clean points and evidence come from the same functions as at run time, with their errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3d_ros.data.render import SceneRenderer
from sam3d_ros.data.room import room
from sam3d_ros.data.scene import Scene, any_lamp, any_viewpoint, place
from sam3d_ros.data.sensor import DepthSensor, jitter, sense
from sam3d_ros.perception.frames import inverse
from sam3d_ros.perception.masks import MaskLimits, check_mask
from sam3d_ros.perception.pointmap import points_from_depth
from sam3d_ros.perception.support import find_support
from sam3d_ros.perception.view import object_view
from sam3d_ros.train.compact.objects import ObjectStream, TrainingObject
from sam3d_ros.types import Bool, Camera, Float, Frame, Mask, ObjectView, Rejected

Image = TypeVar("Image", bound=NDArray[np.generic])
CROWDS = (((1, 3), 0.15, 0.25), ((3, 6), 0.2, 0.35), ((6, 10), 0.16, 0.4))
"""Objects on a table (least, most), radius in m within which they stand, share of the scenes."""
NEW_OBJECTS = 4
"""Objects that are new with every scene; the others of its window were in the scenes before."""
WINDOW = 40
VIEWPOINTS = 12
WIDTHS = ((640, 0.2), (480, 0.3), (320, 0.5))
"""Widths of the pictures and their shares; all are 4:3 with the focal length of an ordinary depth camera."""
FOCAL = (0.85, 1.1)
LEAST_VISIBLE = 0.1
ROUGH_MASK = 0.4
"""Share of the masks that are a pixel or two too large, too small or ragged, as a segmentation makes them."""
STRUCTURED_LIGHT = 0.35
"""Share of the pictures whose depth comes from a window of pixels, with rounded edges and wide gaps around things."""
UNREGISTERED = 0.15
"""Share of the pictures whose colours, and with them all masks, lie beside the depth: the two cameras of such a sensor
are known to each other only so well."""
BESIDE_PX = (1.0, 10.0)
"""How far, in a picture of 640, in one direction for the whole picture."""


@dataclass(frozen=True)
class Look:
    """One object in one picture. T_cam_obj: (4, 4) its true pose. visible: seen share of its silhouette."""

    scene: int
    thing: TrainingObject
    frame: Frame
    view: ObjectView
    T_cam_obj: Float
    visible: float


def looks(stream: ObjectStream, scene: int, seed: int) -> Iterator[Look]:
    """Every usable look at every object of scene number `scene`: a pure function of its arguments."""
    rng = np.random.default_rng([seed, scene, 1])
    (least, most), radius, _ = CROWDS[rng.choice(len(CROWDS), p=[share for _, _, share in CROWDS])]
    numbers = scene * NEW_OBJECTS + rng.choice(WINDOW, int(rng.integers(least, most + 1)), replace=False)
    things = [stream[int(number)] for number in numbers]
    placed = place([thing.model for thing in things], rng, radius, lying=0.25)
    light, registration = any_lamp(rng), np.random.default_rng([seed, scene, 3])
    renderer = SceneRenderer(Scene(placed, room(rng, 192), light))
    for _ in range(VIEWPOINTS):
        camera, T_world_cam = _camera(rng), any_viewpoint(rng)
        picture = renderer.render(camera, T_world_cam, antialias=False)
        units = sense(picture, camera, rng, _sensor(camera, rng))
        depth_m = np.where(units > 0, units * np.float32(1e-3), np.float32(np.nan)).astype(np.float32)
        right, down = _beside(camera, registration)
        rgb, labels = _moved(picture.rgb, right, down), _moved(picture.labels, right, down)
        frame = Frame(rgb, points_from_depth(depth_m, camera), camera)
        scout = _quarter(camera)
        whole = renderer.silhouettes(scout, T_world_cam)
        masks = [_rough(labels == p.label, rng) for p in placed]
        occupied = np.logical_or.reduce(masks)
        support = find_support(frame.points_cam, occupied, None)
        for position, pixels in enumerate(masks):
            label = placed[position].label
            seen, total = int((labels == label).sum()), 16 * int(whole[label].sum())
            mask = Mask(label, pixels)
            if seen < LEAST_VISIBLE * total or check_mask(mask, frame, MaskLimits()) is not None:
                continue
            view = object_view(frame, mask, support, MaskLimits(), occupied)
            if isinstance(view, Rejected):
                continue
            T_cam_obj = inverse(T_world_cam) @ placed[position].T_world_obj
            yield Look(scene, things[position], frame, view, T_cam_obj, min(1.0, seen / max(total, 1)))


def _camera(rng: np.random.Generator) -> Camera:
    width = int(rng.choice([w for w, _ in WIDTHS], p=[share for _, share in WIDTHS]))
    focal = width * float(rng.uniform(*FOCAL))
    return Camera(width, 3 * width // 4, focal, focal, (width - 1) / 2, (3 * width // 4 - 1) / 2)


def _quarter(camera: Camera) -> Camera:
    """The same view in a picture of a quarter of the size, to see how much of a thing is hidden."""
    fx, fy, cx, cy = (value / 4 for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    return Camera(camera.width // 4, camera.height // 4, fx, fy, cx, cy)


def _sensor(camera: Camera, rng: np.random.Generator) -> DepthSensor:
    """A depth camera of 640 pixels whose picture was made smaller: its errors in pixels shrink with it."""
    zoom = camera.width / WIDTHS[0][0]
    windowed = rng.random() < STRUCTURED_LIGHT
    return DepthSensor(
        subpixel=zoom * float(rng.uniform(0.05, 0.12)),
        lateral_px=0.8 * zoom,
        correlation_px=max((3.0 if windowed else 1.2) * zoom, 0.4),
        window_px=zoom * float(rng.uniform(1.5, 5.0)) if windowed else 0.0,
        parallax_shadow=not windowed or rng.random() < 0.5,
    )


def _beside(camera: Camera, rng: np.random.Generator) -> tuple[int, int]:
    """By how many pixels colours lie right of the depth and below it."""
    if rng.random() >= UNREGISTERED:
        return 0, 0
    length, angle = rng.uniform(*BESIDE_PX) * camera.width / WIDTHS[0][0], rng.uniform(0, 2 * np.pi)
    return round(length * np.cos(angle)), round(length * np.sin(angle))


def _moved(image: Image, right: int, down: int) -> Image:
    """image (H, W, ...) shifted; what comes in at the border repeats the border."""
    if right == 0 == down:
        return image
    rows, columns = (np.arange(n) for n in image.shape[:2])
    there = np.ix_(np.clip(rows - down, 0, rows[-1]), np.clip(columns - right, 0, columns[-1]))
    moved: Image = image[there]
    return moved


def _rough(pixels: Bool, rng: np.random.Generator) -> Bool:
    """The mask as a segmentation makes it: now and then too large, too small, or ragged."""
    if rng.random() >= ROUGH_MASK:
        return pixels
    if rng.random() < 0.4:
        return _ragged(pixels, rng)
    kernel = np.ones((3, 3), np.uint8)
    change = cv2.dilate if rng.random() < 0.6 else cv2.erode
    return np.asarray(change(pixels.astype(np.uint8), kernel, iterations=int(rng.integers(1, 3)))) > 0


def _ragged(pixels: Bool, rng: np.random.Generator) -> Bool:
    """Its edge displaced by half a pixel to one and a half (standard deviation, in a picture of 320), and the whole by
    three quarters of that."""
    strength = float(rng.uniform(0.47, 1.41)) * pixels.shape[1] / 320
    columns, rows = jitter(pixels.shape, strength, rng, correlation_px=3.0)
    right, down = 0.75 * strength * rng.normal(size=2).astype(np.float32)
    moved = cv2.remap(pixels.astype(np.uint8), columns + right, rows + down, cv2.INTER_NEAREST)
    return np.asarray(moved) > 0
