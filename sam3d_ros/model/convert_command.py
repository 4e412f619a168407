"""`sam3d convert`: the command line around `convert`, with a progress bar. Starts without torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal


def convert(checkpoints: Path, out: Path, dtype: Literal["fp32", "bf16", "fp16"] = "bf16") -> int:
    """Convert downloaded SAM 3D checkpoints to safetensors with a manifest; run again to go on after a stop.

    Args:
        checkpoints: the download's folder with ss_generator.ckpt, slat_generator.ckpt and the decoders.
        out: folder for one safetensors file per network and manifest.json; made where it is missing.
        dtype: number format of the weights; bf16 halves the size, fp32 keeps every bit.

    Returns the exit code: 0 done, 1 a checkpoint is not as it should be or torch is missing, 130 interrupted.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from .published_names import CheckpointError

    try:
        from . import convert as conversion
    except ModuleNotFoundError as error:
        print(f"sam3d convert needs {error.name}: pip install torch safetensors", file=sys.stderr)
        return 1

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns) as bars:
        tasks = {}

        def progress(network: str, done: int, total: int) -> None:
            if network not in tasks:
                tasks[network] = bars.add_task(network, total=total)
            bars.update(tasks[network], completed=done)

        try:
            manifest = conversion.convert(checkpoints, out, dtype, progress)
        except (CheckpointError, OSError) as error:
            bars.stop()
            print(f"sam3d convert: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            bars.stop()
            print("sam3d convert: stopped; run it again to go on", file=sys.stderr)
            return 130
    print(f"wrote {manifest}")
    return 0
