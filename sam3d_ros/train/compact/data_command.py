"""`sam3d train-data`: training scenes of the compact model, made on any number of machines. No torch needed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sam3d_ros.types import InputError

if TYPE_CHECKING:
    from sam3d_ros.data.sources.source import ObjectSource

WEIGHTS = {"procedural": 0.6, "random_urdfs": 0.25}
OTHER = 0.15
"""Weight of the objects of every other pack."""
OBJECTS = 900_000
ABOUT = "about.json"


def run(
    out: Path,
    packs: tuple[Path, ...],
    config: Literal["nano", "compact"],
    first: int,
    step: int,
    stop: int,
    seed: int,
    fine: bool,
) -> int:
    """Fill the folder; returns the exit code: 0 done, 1 something is not as it should be, 130 stopped."""
    try:
        fill_folder(out, packs, config, first, step, stop, seed, fine)
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


def fill_folder(
    out: Path,
    packs: tuple[Path, ...],
    config: Literal["nano", "compact"],
    first: int,
    step: int,
    stop: int,
    seed: int,
    fine: bool,
) -> None:
    """Scenes first, first + step, ... below stop, then what the second stage learns from them.

    Raises InputError for numbers that make no range, and for a folder that was filled from something else.
    """
    from sam3d_ros.model.compact.config import COMPACT, COMPACT_TEXTURE, NANO, NANO_TEXTURE
    from sam3d_ros.train.compact import fine as fine_examples
    from sam3d_ros.train.compact.generate import generate
    from sam3d_ros.train.compact.objects import ObjectStream

    if first < 0 or step < 1 or stop <= first:
        raise InputError(f"scenes {first}, {first + step}, ... below {stop} are none")
    geometry, texture = (NANO, NANO_TEXTURE) if config == "nano" else (COMPACT, COMPACT_TEXTURE)
    sources = training_sources(packs)
    sign(out, {"config": config, "seed": seed, "objects": {s.name: len(s) for s in sources}})
    stream = ObjectStream([(s, WEIGHTS.get(s.name, OTHER), (0, len(s))) for s in sources], seed)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[examples]} examples")) as bar:
        total = len(range(first, stop, step))
        scenes = bar.add_task("scenes", total=total, examples=0)

        def made(scene: int, count: int) -> None:
            examples = bar.tasks[scenes].fields["examples"] + count
            bar.update(scenes, completed=(scene - first) // step + 1, examples=examples)

        generate(stream, out, geometry.grid, first, step, stop, seed, made, geometry.picture.pixels)
        bar.update(scenes, completed=total)
        if fine:
            filled = bar.add_task("fine", total=total, examples=0)

            def coloured(name: str, count: int) -> None:
                examples = bar.tasks[filled].fields["examples"] + count
                bar.update(filled, completed=(int(Path(name).stem) - first) // step + 1, examples=examples)

            fine_examples.fill(out, texture.fine, coloured, first, step)
            bar.update(filled, completed=total)


def training_sources(packs: tuple[Path, ...]) -> list[ObjectSource]:
    """Procedural objects, those of a tabletop twice as often as others, and the training part of every pack."""
    from sam3d_ros.data.held_out import SEEN_CATEGORIES, TRAINING_CATEGORIES, training_part
    from sam3d_ros.data.sources.pack import Packed
    from sam3d_ros.data.sources.source import Procedural

    procedural = Procedural(0, OBJECTS, TRAINING_CATEGORIES + SEEN_CATEGORIES)
    return [procedural, *(training_part(Packed(path)) for path in packs)]


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
    path.write_text(json.dumps(about, indent=2) + "\n")
