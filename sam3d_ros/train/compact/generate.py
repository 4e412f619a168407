"""Fill a folder with training scenes; stop it at any time, start it again, run it on many machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from sam3d_ros.compact.ask import ask, ask_in
from sam3d_ros.compact.picture import PIXELS
from sam3d_ros.train.compact.examples import example
from sam3d_ros.train.compact.objects import ObjectStream
from sam3d_ros.train.compact.scenes import looks
from sam3d_ros.train.compact.second import believed_box
from sam3d_ros.train.compact.store import pack, pack_looks, pack_object, quantised, save
from sam3d_ros.types import InputError


def generate(
    stream: ObjectStream,
    folder: Path,
    side: int,
    scenes: Iterable[int],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    pixels: int = PIXELS,
) -> None:
    """The scenes of these numbers, each a pure function of its own; those that exist are skipped.

    Every look gives an example in the box of the first question, and one in a box as the answer to it may give.
    side: samples per side of the grids; pixels: of the pictures. progress(scene, examples in it) is called after each;
    what it raises stops the work.
    """
    for scene in scenes:
        path = folder / "scenes" / f"{scene:06d}.npz"
        if path.exists():
            continue
        examples, kept = [], []
        rng = np.random.default_rng([seed, scene, 2])
        for look in looks(stream, scene, seed):
            try:
                asked = ask(look.view, look.frame, side, pixels)
            except InputError:
                continue  # fewer points than a solid needs, or no support
            again = ask_in(believed_box(look, asked, rng), asked.seen, side, pixels)
            for question in (asked, again):
                if (made := example(look, question)) is not None:
                    examples.append(quantised(made))
                    kept.append((look, question))
        for thing in {look.thing.number: look.thing for look, _ in kept}.values():
            target = folder / "objects" / f"{thing.number:06d}.npz"
            if not target.exists():
                save(target, pack_object(thing))
        if examples:
            save(folder / "looks" / f"{scene:06d}.npz", pack_looks(kept))
            save(path, pack(examples))
        if progress is not None:
            progress(scene, len(examples))
