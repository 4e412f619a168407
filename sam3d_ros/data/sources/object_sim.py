"""Household objects of MyoSuite's object_sim: 34 things of daily use in real sizes, modelled after real ones.

They are read out of the wheel, which is never installed nor imported. Evaluation shows them, training does not
(`held_out.py`). What the collection has besides, cubes to tori, doubles, a hand, a person and a table top, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.solids import UNKNOWN
from sam3d_ros.data.sources.raw import Within, read_raw
from sam3d_ros.data.sources.solidify import clean
from sam3d_ros.data.sources.source import check_index
from sam3d_ros.data.sources.wheel import read

NAME = "object_sim"
FOLDER = f"myosuite/simhive/{NAME}"
LICENCE = "Apache-2.0, from object_sim in MyoSuite"
NAMES = (
    "airplane", "alarmclock", "apple", "banana", "binoculars", "bowl", "camera", "coffeemug", "cup", "doorknob",
    "elephant", "eyeglasses", "flashlight", "flute", "fryingpan", "gamecontroller", "hammer", "headphones", "knife",
    "lightbulb", "mouse", "phone", "piggybank", "rubberduck", "scissors", "stanfordbunny", "stapler", "teapot",
    "toothbrush", "toothpaste", "train", "waterbottle", "wineglass", "wristwatch",
)  # fmt: skip


@dataclass(frozen=True)
class ObjectSim:
    """wheel: one of MyoSuite that has the objects (a zip file). Metres, z up as in the files, grey."""

    wheel: Path
    name: str = NAME

    @property
    def names(self) -> Sequence[str]:
        return NAMES

    def __len__(self) -> int:
        return len(NAMES)

    def load(self, index: int) -> ObjectModel:
        check_index(index, len(self), self.name)
        name = NAMES[index]
        # A file of this kind names no others.
        raw = read_raw(read(self.wheel, f"{FOLDER}/{name}/{name}.stl"), "stl", Within(_nothing))
        mesh, _ = clean(raw)
        return ObjectModel(name, mesh, UNKNOWN, 0.2, name, LICENCE)


def _nothing(name: str) -> bytes:
    raise FileNotFoundError(name)
