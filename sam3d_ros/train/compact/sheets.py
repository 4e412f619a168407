"""Pictures of what the compact networks answer: a row per example, shaded surfaces from the front and from behind."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from sam3d_ros.model.compact.geometry import COLUMN, CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.train.compact.geometry_loss import geometry_task
from sam3d_ros.train.compact.task import sampled
from sam3d_ros.train.compact.texture_loss import first_answer, texture_task
from sam3d_ros.train.compact.validation import STEPS, Held, seeded, told
from sam3d_ros.train.stages import Stage
from sam3d_ros.types import Float, UInt8

ROWS = 8
TILE = 96
BACKGROUND = 24


def geometry_sheet(stage: Stage, held: Held, network: CompactGeometry) -> UInt8:
    """Columns: crop; then, from the front and from behind, truth, classical completion, one step, STEPS steps."""
    generator, rows = seeded(network), []
    for batch in held.batches(generator.device):
        task = geometry_task(stage.weights, network, batch)
        grids = [batch["shape"], batch["grid"][:, COLUMN]]
        for steps, step in ((1, 0.0), (STEPS, told(stage, STEPS))):
            grids.append(sampled(task, steps, step, generator)["shape"][:, 0])
        rows.append(_rows(batch["picture"], [(grid, None) for grid in grids]))
    return np.concatenate(rows)


def texture_sheet(stage: Stage, held: Held, network: CompactTexture, geometry: CompactGeometry) -> UInt8:
    """Columns: crop; then, from the front and from behind, truth, what the network begins with, STEPS steps."""
    generator, rows = seeded(network), []
    gain = network.config.gain
    for batch in held.batches(generator.device):
        coarse = first_answer(geometry.to(generator.device), batch, generator)
        task = texture_task(stage.weights, network, batch, coarse)
        answer = sampled(task, STEPS, told(stage, STEPS), generator)
        pairs: list[tuple[Tensor, Tensor | None]] = [
            (batch["fine"], batch["colour"]),
            (network.fine(coarse)[:, 0], batch["seen"][:, :3]),
            (answer["distance"][:, 0], answer["colour"] / gain),
        ]
        rows.append(_rows(batch["picture"], pairs))
    return np.concatenate(rows)


def _rows(pictures: Tensor, answers: list[tuple[Tensor, Tensor | None]]) -> UInt8:
    rows = []
    for i, picture in enumerate(pictures.cpu().numpy()):
        rgb = np.rint(255 * np.clip((picture[:3].transpose(1, 2, 0) + 1) / 2, 0, 1)).astype(np.uint8)
        tiles = [_enlarged(rgb)]
        for grid, colour in answers:
            distance = grid[i].float().cpu().numpy()
            paint = None if colour is None else colour[i].float().cpu().numpy()
            tiles += [_enlarged(shaded(distance, paint, behind)) for behind in (False, True)]
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows)


def shaded(distance: Float, colour: Float | None = None, behind: bool = False) -> UInt8:
    """(Z, Y, 3) the surface of a distance grid (X, Y, Z), positive inside, seen along x (away from the camera) or from
    behind, up is up; lit from the viewer, in the colours (3, x, y, z) of -1 .. 1 or grey."""
    if behind:  # half a turn about z
        distance = distance[::-1, ::-1]
        colour = None if colour is None else colour[:, ::-1, ::-1]
    inside = distance > 0
    first = inside.argmax(axis=0)
    normal = np.stack(np.gradient(-distance))
    y, z = np.indices(first.shape)
    normal = normal[:, first, y, z]
    # A wall of one cell has a gradient of either sign.
    light = np.abs(normal[0]) / np.maximum(np.linalg.norm(normal, axis=0), 1e-6)
    paint = np.full((3, *first.shape), 200.0)
    if colour is not None:
        ratio = np.array(colour.shape[1:]) / distance.shape
        at = tuple((index * r).astype(int) for index, r in zip((first, y, z), ratio, strict=True))
        paint = 127.5 * (np.clip(colour, -1, 1) + 1)[(slice(None), *at)]
    picture = np.where(inside.any(axis=0), paint * (0.35 + 0.65 * light), BACKGROUND)
    # y points left: its axis runs from the right of the picture to the left, z from bottom to top.
    shown: UInt8 = np.rint(picture.transpose(2, 1, 0)[::-1, ::-1]).astype(np.uint8)
    return shown


def _enlarged(picture: UInt8) -> UInt8:
    return np.asarray(cv2.resize(picture, (TILE, TILE), interpolation=cv2.INTER_NEAREST), np.uint8)
