"""One object of a scene as the pipeline sees it, and the same scene in a mirror."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scenes import BoxScene, box_scene

from sam3d_ros.perception.masks import MaskLimits, masks_from_labels
from sam3d_ros.perception.pointmap import points_from_depth
from sam3d_ros.perception.support import find_support
from sam3d_ros.perception.view import object_view
from sam3d_ros.types import Frame, ObjectView, Support

ASIDE = ((0.02, 0.03, 0.08, 0.06, 0.10), (-0.09, -0.01, 0.03, 0.05, 0.12))
"""Two boxes; the second one stands before a part of the first."""


def frame_of(scene: BoxScene, up: bool = True) -> Frame:
    """The scene's frame; `up`: gravity is known."""
    points = points_from_depth(scene.depth_m, scene.camera)
    return Frame(scene.rgb, points, scene.camera, up_cam=scene.up_cam if up else None)


def views_of(frame: Frame, scene: BoxScene) -> list[ObjectView]:
    """Every object of the scene on the plane that is found."""
    masks = masks_from_labels(scene.labels)
    occupied = np.logical_or.reduce([mask.pixels for mask in masks])
    support = find_support(frame.points_cam, occupied, frame.up_cam)
    views = [object_view(frame, mask, support, MaskLimits(), occupied) for mask in masks]
    assert all(isinstance(view, ObjectView) for view in views)
    return views  # type: ignore[return-value]


def look(**arguments: object) -> tuple[ObjectView, Frame, BoxScene]:
    """The first object of a box scene."""
    scene = box_scene(**arguments)  # type: ignore[arg-type]
    frame = frame_of(scene)
    return views_of(frame, scene)[0], frame, scene


def mirrored(scene: BoxScene) -> BoxScene:
    """Left and right swapped; the camera's middle is that of the image."""
    return replace(
        scene,
        rgb=np.ascontiguousarray(scene.rgb[:, ::-1]),
        depth_m=np.ascontiguousarray(scene.depth_m[:, ::-1]),
        labels=np.ascontiguousarray(scene.labels[:, ::-1]),
    )


def without_support(view: ObjectView) -> ObjectView:
    """The view with nothing under it but a direction."""
    return replace(view, support=Support(view.support.up_cam, None, view.support.source))
