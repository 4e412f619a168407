"""Make the descriptors of the baseline `nearest` again, and say how far they are from those in the package.

python benchmarks/nearest_index.py [OUT.npz]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from sam3d_ros.evaluate.nearest import INDEX, LEVELS, make_index, read_index, write_index


def main() -> None:
    start = time.process_time()
    index = make_index()
    print(f"{len(index.grids)} training views in {time.process_time() - start:.0f} s of CPU")
    if INDEX.is_file():
        there = read_index()
        apart = np.abs(index.grids.astype(int) - there.grids).max(initial=0)
        sizes = np.abs(index.sizes_m / there.sizes_m - 1).max(initial=0)
        print(f"largest difference to {INDEX.name}: {apart} of {LEVELS}, sizes {sizes:.1e}")
    if len(sys.argv) > 1:
        write_index(Path(sys.argv[1]), index)


if __name__ == "__main__":
    main()
