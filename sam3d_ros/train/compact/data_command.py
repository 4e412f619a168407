"""`sam3d train-data`: training scenes of the compact model, made on any number of machines. No torch needed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sam3d_ros.types import InputError

if TYPE_CHECKING:
    from sam3d_ros.data.sources.source import ObjectSource

WEIGHTS = {"procedural": 0.35, "forms": 0.35, "random_urdfs": 0.2}
OTHER = 0.1
"""Weight of the objects of every other pack."""
OBJECTS = 900_000
ABOUT = "about.json"
LEAST_FREE = 4_000_000_000
"""Bytes that stay free on the disk: who trains beside it must still be able to write weights. A scene takes 60 MB, with
what the second stage learns 130 MB."""


@dataclass(frozen=True)
class Filling:
    """What a folder is filled with. packs: objects beside the procedural ones; scenes first, first + step, ... below
    stop; seed: of everything random; fine: what the texture stages learn too."""

    out: Path
    packs: tuple[Path, ...]
    first: int
    step: int
    stop: int
    seed: int
    fine: bool

    @property
    def scenes(self) -> range:
        """Their numbers. Raises InputError where there are none."""
        if self.first < 0 or self.step < 1 or self.stop <= self.first:
            raise InputError(f"scenes {self.first}, {self.first + self.step}, ... below {self.stop} are none")
        return range(self.first, self.stop, self.step)


def run(filling: Filling) -> int:
    """Fill the folder; returns the exit code: 0 done, 1 something is not as it should be, 130 stopped."""
    try:
        fill_folder(filling)
    except ModuleNotFoundError as error:
        print(
            f"sam3d train-data: no module {error.name}: pip install -r requirements/data.txt", file=sys.stderr
        )
        return 1
    except InputError as error:
        print(f"sam3d train-data: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def fill_folder(filling: Filling) -> None:
    """The scenes, then what the second stage learns from them.

    Raises InputError for numbers that make no range, for a folder that was filled from something else, and where the
    disk is nearly full.
    """
    from sam3d_ros.model.compact.config import NANO, NANO_TEXTURE
    from sam3d_ros.train.compact import fine as fine_examples
    from sam3d_ros.train.compact.generate import generate
    from sam3d_ros.train.compact.objects import ObjectStream

    out, seed, numbers = filling.out, filling.seed, filling.scenes
    sources = training_sources(filling.packs)
    sign(out, {"seed": seed, "objects": {s.name: len(s) for s in sources}})
    stream = ObjectStream([(s, WEIGHTS.get(s.name, OTHER)) for s in sources], seed)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[examples]} examples")) as bar:

        def made(scene: int, count: int) -> None:
            task = bar.tasks[-1]
            examples = task.fields["examples"] + count
            bar.update(task.id, completed=numbers.index(scene) + 1, examples=examples)
            check_room(out)

        scenes = bar.add_task("scenes", total=len(numbers), examples=0)
        generate(stream, out, NANO.grid, numbers, seed, made, NANO.picture.pixels)
        bar.update(scenes, completed=len(numbers))
        if filling.fine:
            filled = bar.add_task("fine", total=len(numbers), examples=0)
            fine_examples.fill(out, NANO_TEXTURE.fine, numbers, made)
            bar.update(filled, completed=len(numbers))


def check_room(folder: Path) -> None:
    """Raises InputError where the disk of `folder` is nearly full."""
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        raise InputError(
            f"stopped: the disk of {folder} has {free / 1e9:.1f} GB left, {LEAST_FREE / 1e9:.0f} GB stay free; "
            "with more room the same command goes on from here"
        )


def training_sources(packs: tuple[Path, ...]) -> list[ObjectSource]:
    """Procedural objects, those of a tabletop twice as often as others; forms; and the training part of every pack."""
    from sam3d_ros.data.held_out import SEEN_CATEGORIES, TRAINING_CATEGORIES, training_part
    from sam3d_ros.data.objects import FORMS
    from sam3d_ros.data.sources.pack import Packed
    from sam3d_ros.data.sources.source import Procedural

    forms = Procedural(0, OBJECTS, FORMS, "forms")
    procedural = Procedural(0, OBJECTS, TRAINING_CATEGORIES + SEEN_CATEGORIES)
    return [procedural, forms, *(training_part(Packed(path)) for path in packs)]


def sign(folder: Path, about: dict[str, object]) -> None:
    """Write down what a folder is filled from. Raises InputError where it was filled from something else: its files
    are named by number alone."""
    path = folder / ABOUT
    if path.exists():
        before = json.loads(path.read_text())
        if before != about:
            raise InputError(f"{folder} was filled from {before}, not {about}: take another folder")
        return
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(about, indent=2) + "\n")
    partial.replace(path)  # others that fill the same folder see it whole or not at all
