"""Time of what happens around the networks on the CPU: inputs, index tables, voxel lists, surface extraction.

    PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/model_around.py [--voxels 20000]

The voxels are the shell of a ball, the picture is 640x480 with a pointmap; the least of `--repeat` CPU times is
printed. The last row is the share of the dense 257^3 grid that the extraction would otherwise evaluate.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from model_networks import shell

from sam3d_ros.model import tables
from sam3d_ros.model.decode_mesh import cube_coords
from sam3d_ros.model.dual_marching_tables import CORNERS
from sam3d_ros.model.flexicubes import extract
from sam3d_ros.model.preprocess import geometry_inputs
from sam3d_ros.model.slat_trunk import window_pair
from sam3d_ros.model.texture import texture_tables
from sam3d_ros.model.voxels import prune_interior


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voxels", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    coords = shell(arguments.voxels)
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    mask = np.zeros((480, 640), bool)
    mask[150:350, 200:420] = True
    points = rng.normal(size=(480, 640, 3)).astype(np.float32) + np.float32([0, 0, 2])
    points[:40] = np.nan
    ball = np.argwhere(np.linalg.norm(np.indices((64, 64, 64)) - 31.5, axis=0) < 25)
    solid = np.column_stack([np.zeros(len(ball), int), ball]).astype(np.int32)

    cubes = cube_coords(torch.from_numpy(coords[:, 1:]).long())
    corners = (cubes[:, None] + torch.as_tensor(CORNERS)) / 256 - 0.5
    radius = float(np.linalg.norm((coords[:, 1:] + 0.5) / 64 - 0.5, axis=1).mean())
    channels = torch.zeros(len(cubes), 101)
    channels[:, :8] = corners.norm(dim=-1) - radius

    cases: list[tuple[str, Callable[[], Any]]] = [
        ("geometry inputs of one object, 640x480", lambda: geometry_inputs(rgb, mask, points)),
        (f"prune the interior of {len(solid)} voxels", lambda: prune_interior(solid)),
        (f"neighbour table of {len(coords)} voxels", lambda: tables.neighbour_table(coords)),
        ("all tables of the texture flow", lambda: texture_tables(coords)),
        ("both window tables of the decoders", lambda: window_pair(coords)),
        (f"surface from {len(cubes)} active cubes", lambda: extract(channels, cubes, 256)),
    ]
    print("| step | ms |\n|---|---|")
    for name, run in cases:
        seconds = []
        for _ in range(arguments.repeat):
            start = time.process_time()
            run()
            seconds.append(time.process_time() - start)
        print(f"| {name} | {1000 * min(seconds):.0f} |")
    mesh = extract(channels, cubes, 256)
    print(f"| (faces of that surface) | {len(mesh.faces)} |")
    print(f"| (active cubes, share of the dense grid) | {100 * len(cubes) / 256**3:.1f} % |")


if __name__ == "__main__":
    main()
