"""An object source that fells its process, hangs or refuses, to try the preparation with."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sam3d_ros.data.objects import ObjectModel, make_object
from sam3d_ros.data.sources.source import Unusable


@dataclass(frozen=True)
class CrashingSource:
    """Object 1 aborts always, 3 only the first time, 4 hangs, 5 is refused; every load leaves a line in `log`."""

    log: Path
    name: str = "crashing"
    count: int = 7

    @property
    def names(self) -> list[str]:
        return [f"thing-{i}" for i in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> ObjectModel:
        with self.log.open("a") as file:
            file.write(f"{index}\n")
        if index == 1 or (index == 3 and self.log.read_text().splitlines().count("3") == 1):
            os.abort()
        if index == 4:
            time.sleep(600)
        if index == 5:
            raise Unusable("not today")
        return replace(make_object("can", np.random.default_rng(index)), name=self.names[index])
