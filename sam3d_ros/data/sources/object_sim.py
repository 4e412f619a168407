"""Household objects of MyoSuite's object_sim: 34 things of daily use in real sizes, modelled after real ones.

Evaluation shows them, training does not (`held_out.py`). What the collection has besides, cubes to tori, doubles, a
hand, a person and a table top, is left out.
"""

from __future__ import annotations

from pathlib import Path

from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.solids import UNKNOWN
from sam3d_ros.data.sources.raw import Within, read_raw
from sam3d_ros.data.sources.solidify import clean
from sam3d_ros.data.sources.wheel import WheelSource, read

NAME = "object_sim"
FOLDER = f"myosuite/simhive/{NAME}"
LICENCE = "Apache-2.0, from object_sim in MyoSuite"
NAMES = (
    "airplane", "alarmclock", "apple", "banana", "binoculars", "bowl", "camera", "coffeemug", "cup", "doorknob",
    "elephant", "eyeglasses", "flashlight", "flute", "fryingpan", "gamecontroller", "hammer", "headphones", "knife",
    "lightbulb", "mouse", "phone", "piggybank", "rubberduck", "scissors", "stanfordbunny", "stapler", "teapot",
    "toothbrush", "toothpaste", "train", "waterbottle", "wineglass", "wristwatch",
)  # fmt: skip


def object_sim(wheel: Path) -> WheelSource:
    """wheel: one of MyoSuite that has the objects. Metres, z up as in the files, grey."""
    return WheelSource(wheel, NAME, NAMES, _load)


def _load(wheel: Path, name: str) -> ObjectModel:
    # A file of this kind names no others.
    raw = read_raw(read(wheel, f"{FOLDER}/{name}/{name}.stl"), "stl", Within(_nothing))
    mesh, _ = clean(raw)
    return ObjectModel(name, mesh, UNKNOWN, 0.2, name, LICENCE)


def _nothing(name: str) -> bytes:
    raise FileNotFoundError(name)
