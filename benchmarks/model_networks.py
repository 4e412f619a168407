"""Operations, parameters and time of every network at the published size.

    PYTHONPATH=. python benchmarks/model_networks.py --count           # operations and parameters, no weights
    PYTHONPATH=. python benchmarks/model_networks.py --run geometry    # one pass with random weights, timed

`--count` runs each network on torch's meta device under its operation counter (2 per multiply-add). `--run`
builds one network with random weights on `--device` in `--dtype`, runs it `--repeat` times, and prints the
least seconds (on a CPU those of the process, all threads together), operations per second and the peak memory of
the process. The voxels are the shell of a ball with
about `--voxels` of them.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from sam3d_ros.model import tables
from sam3d_ros.model.published import NETWORKS
from sam3d_ros.model.slat_trunk import WindowPair, window_pair
from sam3d_ros.model.texture import TextureTables, texture_tables
from sam3d_ros.model.voxels import prune_interior

CASES = (
    "geometry_condition",
    "geometry_prepare",
    "geometry",
    "geometry_unconditional",
    "geometry_layout",
    "occupancy_decoder",
    "texture_condition",
    "texture_prepare",
    "texture",
    "texture_unconditional",
    "mesh_decoder",
    "gaussian_decoder",
    "gaussian_decoder_4",
)


def shell(voxels: int) -> np.ndarray:
    """About this many voxels: the shell of a ball in the 64^3 grid, as rows [0, x, y, z]."""
    grid = np.stack(np.meshgrid(*[np.arange(64)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    distance = np.linalg.norm(grid - 31.5, axis=1)
    best = None
    for radius in np.arange(4, 50, 0.25):
        ball = grid[distance < radius]
        coords = prune_interior(np.column_stack([np.zeros(len(ball), int), ball]).astype(np.int32))
        if best is None or abs(len(coords) - voxels) < abs(len(best) - voxels):
            best = coords
        if len(coords) > 2 * voxels:
            break
    assert best is not None
    return best


def prepare_case(case: str, net: Any, coords: np.ndarray) -> Callable[[], Any]:
    """The call to measure, with inputs on the network's device."""
    p = next(net.parameters())

    def put(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(*shape, device=p.device).to(dtype)

    def move(t: tuple[torch.Tensor | None, ...]) -> list[torch.Tensor | None]:
        return [None if x is None else x.to(p.device) for x in t]

    t = torch.full((1,), 300.0, device=p.device)
    n = len(coords)
    xyz = torch.from_numpy(coords[:, 1:]).long().to(p.device)
    if case.endswith("_condition"):
        views = {v: put(1, 1 if "mask" in v else 3, 518, 518) for v in net.views}
        return lambda: net(views)
    if case == "occupancy_decoder":
        tokens = put(1, 4096, 8)
        return lambda: net.from_tokens(tokens)
    if case.startswith("geometry"):
        x = {name: put(1, net.config.tokens[name], c) for name, c in net.config.channels.items()}
        condition = put(1, 7528, 1024, dtype=p.dtype)
        if case == "geometry_prepare":
            return lambda: net.prepare(condition)
        if case == "geometry_unconditional":
            return lambda: net(x, t, t, None)
        if case == "geometry_layout":
            heads, width = net.config.heads, net.config.width
            kept = put(net.config.depth, 2, 1, heads, 4096, width // heads, dtype=p.dtype)
            return lambda: net.layout_velocity(x, t, t, condition, kept)
        context = net.prepare(condition)
        return lambda: net(x, t, t, context)
    if case.startswith("texture"):
        condition, feats = put(1, 5496, 1024, dtype=p.dtype), put(n, 8)
        index = TextureTables(*move(texture_tables(coords)))  # type: ignore[arg-type]
        if case == "texture_prepare":
            return lambda: net.prepare(condition)
        context = None if case.endswith("unconditional") else net.prepare(condition)
        return lambda: net(feats, t, index, context)
    feats = put(n, 8)
    windows = WindowPair(*move(window_pair(coords)))  # type: ignore[arg-type]
    if case == "mesh_decoder":
        near = torch.from_numpy(tables.neighbour_table(coords)).to(p.device)
        return lambda: net(feats, xyz, windows, near)
    return lambda: net(feats, xyz, windows)


def network_of(case: str) -> str:
    """The network a case belongs to."""
    return max((name for name in NETWORKS if case.startswith(name)), key=len)


def count(coords: np.ndarray) -> None:
    """Table of all cases on the meta device."""
    print(f"| case | parameters | operations ({len(coords)} voxels) |\n|---|---|---|")
    for case in CASES:
        with torch.device("meta"), torch.no_grad():
            net = NETWORKS[network_of(case)].build().eval().requires_grad_(False)
            run = prepare_case(case, net, coords)
            with FlopCounterMode(display=False) as counter:
                run()
        parameters = sum(p.numel() for p in net.parameters())
        print(f"| {case} | {parameters / 1e6:.1f} M | {counter.get_total_flops() / 1e12:.3f} T |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--run", choices=CASES)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--voxels", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    coords = shell(arguments.voxels)
    if arguments.count:
        count(coords)
    if not arguments.run:
        return
    case, dtype = arguments.run, getattr(torch, arguments.dtype)
    torch.set_default_dtype(dtype)
    with torch.device(arguments.device), torch.no_grad():
        net = NETWORKS[network_of(case)].build().to(dtype).eval().requires_grad_(False)
    torch.set_default_dtype(torch.float32)
    with torch.no_grad():
        run = prepare_case(case, net, coords)
        with torch.device("meta"):
            on_meta = prepare_case(case, NETWORKS[network_of(case)].build().requires_grad_(False), coords)
            with FlopCounterMode(display=False) as counter:
                on_meta()
        # On a shared CPU only the process's own time means something; a GPU's work is not in it.
        clock = time.perf_counter if arguments.device.startswith("cuda") else time.process_time
        seconds = []
        for _ in range(arguments.repeat):
            start = clock()
            run()
            if arguments.device.startswith("cuda"):
                torch.cuda.synchronize()
            seconds.append(clock() - start)
    best, operations = min(seconds), counter.get_total_flops()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if arguments.device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated() / 2**30
    print(
        f"{case} {arguments.dtype} on {arguments.device} with {torch.get_num_threads()} threads, "
        f"{len(coords)} voxels: {best:.2f} s, {operations / 1e12:.3f} TFLOP, "
        f"{operations / best / 1e9:.1f} GFLOP/s, peak {peak:.2f} GiB"
    )


if __name__ == "__main__":
    main()
