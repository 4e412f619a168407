"""`sam3d convert`: the command line around `convert`, with a progress bar per network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .convert import Dtype


def run(checkpoints: Path, out: Path, dtype: Dtype) -> int:
    """Convert and report; returns the exit code (1: unfit checkpoint, 130: interrupted)."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from .convert import convert
    from .published_names import CheckpointError

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns) as bars:
        tasks = {}

        def progress(network: str, done: int, total: int) -> None:
            if network not in tasks:
                tasks[network] = bars.add_task(network, total=total)
            bars.update(tasks[network], completed=done)

        try:
            manifest = convert(checkpoints, out, dtype, progress)
        except CheckpointError as error:
            bars.stop()
            print(f"sam3d convert: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            bars.stop()
            print("sam3d convert: stopped; run it again to go on", file=sys.stderr)
            return 130
    print(f"wrote {manifest}")
    return 0
