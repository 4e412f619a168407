"""What each exact saving saves: its time against the plain form in the same run, and the largest difference.

    PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/model_savings.py

One block at the published width (1024, 16 heads) and at published token counts, random weights, fp32. Every
pair is timed in turn, in CPU seconds, and the smallest of `--repeat` times is taken.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sam3d_ros.model import config as cfg
from sam3d_ros.model import sparse, tables
from sam3d_ros.model.attention import attend, attend_windows
from sam3d_ros.model.block import Modulation, TwoStreamBlock

CONDITION_TOKENS = 7528


def compare(name: str, plain: Callable[[], Tensor], fast: Callable[[], Tensor], repeat: int) -> None:
    """One row of the table."""
    times: dict[str, list[float]] = {"plain": [], "fast": []}
    results = {}
    for _ in range(repeat):
        for which, run in (("plain", plain), ("fast", fast)):
            start = time.process_time()
            results[which] = run()
            times[which].append(time.process_time() - start)
    a, b = min(times["plain"]), min(times["fast"])
    error = ((results["plain"] - results["fast"]).abs().max() / results["plain"].abs().max()).item()
    print(f"| {name} | {a:.3f} | {b:.3f} | {a / b:.1f} | {error:.1e} |", flush=True)


def savings_of_the_condition(block: TwoStreamBlock, repeat: int) -> None:
    """Keys and values kept, no condition as a constant, weight absorption, layout alone."""
    cross, width = block.shape.cross, block.shape.qkv.in_features
    condition = torch.randn(1, CONDITION_TOKENS, width)
    x = torch.randn(1, 4096, width)
    kept = cross.keys_values(condition)
    compare(
        "cross-attention of 4096 shape tokens, K/V kept",
        lambda: cross(x, cross.keys_values(condition)),
        lambda: cross(x, kept),
        repeat,
    )
    zeros = torch.zeros_like(condition)
    compare(
        "guidance without condition as a constant",
        lambda: cross(x, cross.keys_values(zeros)),
        lambda: cross.unconditional().expand_as(x),
        repeat,
    )
    layout, few = block.layout.cross, torch.randn(1, 4, width)
    compare(
        "cross-attention of 4 layout tokens by weight absorption",
        lambda: layout(few, layout.keys_values(condition)),
        lambda: layout(few, condition),
        repeat,
    )
    m = Modulation.of(block.modulation, torch.randn(1, width))
    _, shape_kv = block.shape_step(x, m, kept)

    def both_streams() -> Tensor:
        _, fresh = block.shape_step(x, m, kept)
        return block.layout_step(few, m, condition, fresh)

    compare(
        "layout alone from kept shape K/V (one block)",
        both_streams,
        lambda: block.layout_step(few, m, condition, shape_kv),
        repeat,
    )


def savings_of_the_voxels(coords: np.ndarray, repeat: int) -> None:
    """Parity convolution, windowed attention."""
    x = torch.randn(len(coords), 768)
    conv = sparse.SubmanifoldConv(768, 192)
    near = torch.from_numpy(tables.neighbour_table(coords))
    finer = sparse.child_neighbours(near)
    compare(
        f"subdivide and convolve 768 to 192 by parity, {len(coords)} voxels",
        lambda: conv(sparse.subdivide(x), finer),
        lambda: sparse.parity_conv(x, near, conv.weight, conv.bias),
        repeat,
    )
    windows = tables.window_table(coords, 8)
    slots, rows = torch.from_numpy(windows.slots), torch.from_numpy(windows.rows)
    group = rows // slots.shape[1]
    q, k, v = torch.randn(3, len(coords), 12, 64)

    def masked() -> Tensor:
        mask = group[:, None] == group[None]
        return attend(*(t.transpose(0, 1)[None] for t in (q, k, v)), mask)[0].transpose(0, 1)  # type: ignore[arg-type]

    compare(
        f"windowed attention without an N x N mask, {len(coords)} voxels in {len(slots)} windows",
        masked,
        lambda: attend_windows(q, k, v, slots, rows),
        repeat,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=2)
    repeat = parser.parse_args().repeat
    torch.manual_seed(0)
    print("| saving | plain s | fast s | ratio | largest relative difference |\n|---|---|---|---|---|")
    c = cfg.GeometryConfig()
    ball = np.stack(np.meshgrid(*[np.arange(36)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    shell = ball[np.abs(np.linalg.norm(ball - 17.5, axis=1) - 14) < 0.9]
    coords = np.column_stack([np.zeros(len(shell), int), shell])
    with torch.no_grad():
        savings_of_the_condition(
            TwoStreamBlock(c.width, c.heads, c.mlp_ratio, c.condition_width).eval(), repeat
        )
        savings_of_the_voxels(coords, repeat)


if __name__ == "__main__":
    main()
