"""From the messages of one frame to the pipeline's Frame and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, PointCloud2

from sam3d_ros.node import convert
from sam3d_ros.node.inputs import FrameMessages
from sam3d_ros.perception.masks import masks_from_labels
from sam3d_ros.perception.pointmap import check_registered, points_from_depth
from sam3d_ros.types import Float, Frame, InputError, Int, Mask


class InputProblem(InputError):
    """An InputError that knows which input it is about: rgb, geometry, mask or camera_info."""

    def __init__(self, role: str, text: str) -> None:
        super().__init__(text)
        self.role = role


def assemble(messages: FrameMessages, rectified: bool, up_cam: Float | None) -> tuple[Frame, list[Mask]]:
    """Convert and check one set of messages. Raises InputProblem naming the input and what would be right.

    Everything is in the frame of the colour image: depth must be registered to it and masks have its size.
    """
    role = "rgb"
    try:
        rgb = convert.rgb_array(_raw(messages.rgb))
        height, width = rgb.shape[:2]
        role = "camera_info"
        camera = convert.camera_model(messages.camera_info, width, height, rectified)
        role = "mask"
        labels = convert.label_array(_raw(messages.mask))
        if labels.shape != (height, width):
            raise InputError(
                f"mask is {labels.shape[1]}x{labels.shape[0]}, the colour image {width}x{height}; they must be equal"
            )
        role = "geometry"
        frame_id = messages.rgb.header.frame_id
        if isinstance(messages.geometry, PointCloud2):
            points = convert.cloud_points(messages.geometry)
            check_registered(points.shape[:2], messages.geometry.header.frame_id, (height, width), frame_id)
        else:
            depth = convert.depth_array(_raw(messages.geometry))
            check_registered(depth.shape, messages.geometry.header.frame_id, (height, width), frame_id)
            points = points_from_depth(depth, camera)
    except InputError as error:
        raise InputProblem(role, str(error)) from error
    stamp = convert.stamp_ns(messages.rgb.header.stamp)
    return Frame(rgb, points, camera, stamp, frame_id, up_cam), split_masks(labels)


def split_masks(labels: Int) -> list[Mask]:
    """One mask per label; an image that holds only 0 and 255 is one binary mask and gets index 1."""
    masks = masks_from_labels(labels)
    if len(masks) == 1 and masks[0].index == 255:
        return [Mask(1, masks[0].pixels, masks[0].label)]
    return masks


def select(masks: list[Mask], wanted: Sequence[int], shape: tuple[int, int], label: str = "") -> list[Mask]:
    """The masks with these labels, in the order asked for; an absent one as an empty mask of `shape` (H, W), so that it
    is rejected with a reason. All masks where `wanted` is empty. `label` names them."""
    if len(wanted):
        by_index = {mask.index: mask for mask in masks}
        masks = [by_index.get(int(i), Mask(int(i), np.zeros(shape, np.bool_))) for i in wanted]
    return [replace(mask, label=label) for mask in masks] if label else masks


def _raw(message: Any) -> Any:
    return convert.decompress(message) if isinstance(message, CompressedImage) else message
