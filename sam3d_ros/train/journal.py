"""What a run leaves behind to look at: log.jsonl, TensorBoard's curves, sheets of pictures, a bar on the terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch.utils.tensorboard import SummaryWriter

from sam3d_ros.mesh.export import write_atomic
from sam3d_ros.types import UInt8


class Journal:
    """A context around a run's steps. Only the main process has one.

    folder: log.jsonl (one line of numbers per entry), tensorboard/, sheets/. start: the step that the run goes on from;
    what was logged after it, in a run that was killed, is removed.
    """

    def __init__(self, folder: Path, name: str, start: int, steps: int) -> None:
        self.folder, self.path = folder, folder / "log.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_lines(self.path) if line["step"] <= start]
        write_atomic(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)
        self._console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}"),
        )
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(name, total=steps, completed=start, facts="")
        self._name, self._steps, self._began = name, steps, time.monotonic()

    def __enter__(self) -> Journal:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._board.close()

    def step(self, step: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=step)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """One line of numbers; names become TensorBoard's curves."""
        line = {"step": step, "seconds": round(time.monotonic() - self._began, 3), **numbers}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        for name, value in numbers.items():
            self._board.add_scalar(name, value, step)
        facts = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        self._bar.update(self._task, completed=step, facts=facts)
        if not self._console.is_terminal:  # a file has no bar
            self.say(f"{self._name} {step}/{self._steps}  {facts}")

    def sheet(self, step: int, picture: UInt8) -> None:
        """A picture (H, W, 3) uint8 as sheets/step-NNNNNNNN.png and in TensorBoard."""
        done, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
        assert done, "OpenCV writes every uint8 picture"
        write_atomic(self.folder / "sheets" / f"step-{step:08d}.png", data.tobytes())
        self._board.add_image("sheet", picture, step, dataformats="HWC")

    def say(self, text: str) -> None:
        """A sentence above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def read_lines(path: Path) -> list[dict[str, float]]:
    """The lines of a log.jsonl; a last one cut off by a kill is left out."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines
