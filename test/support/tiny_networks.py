"""The published networks at a size that is exported in seconds, their graphs, and inputs that fit together."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from model_golden import TINY, randomised
from numpy.typing import NDArray

from sam3d_ros.model import published, tables
from sam3d_ros.runtime.networks import GraphPlan, Sizes, graph_plans

DINO = replace(TINY["geometry_condition"].dino, depth=1)
TRUNK = replace(TINY["mesh_decoder"].trunk, depth=2)  # one block of each kind of window
SIZES = Sizes(
    geometry_condition=replace(TINY["geometry_condition"], dino=DINO),
    geometry=replace(TINY["geometry"], depth=1),
    occupancy_decoder=replace(TINY["occupancy_decoder"], blocks_per_level=1, middle_blocks=1),
    texture_condition=replace(TINY["texture_condition"], dino=DINO),
    texture=replace(TINY["texture"], depth=1),
    mesh_decoder=replace(TINY["mesh_decoder"], trunk=TRUNK),
    gaussian_decoder=replace(TINY["gaussian_decoder"], trunk=TRUNK),
)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@cache
def network(name: str, precision: str = "fp32") -> torch.nn.Module:
    """A small randomised network by its published name."""
    return randomised(published.NETWORKS[name].module(getattr(SIZES, name))).to(DTYPES[precision])


def plans(precision: str = "fp32") -> dict[str, GraphPlan]:
    """Every graph at these sizes."""
    return graph_plans(SIZES, precision)


def inputs(plan: GraphPlan, coords: NDArray[np.int32], count: int, seed: int) -> dict[str, Any]:
    """Random inputs with true index tables. coords: voxels of one object; count: of objects, or of views."""
    rng = np.random.default_rng(seed)
    pool = tables.pooling_table(coords)
    straight, shifted = (tables.window_table(coords, 8, shift) for shift in (0, 4))
    known = {
        "neighbours": tables.neighbour_table(coords),
        "parent": pool.parent,
        "children": pool.children,
        "coarse_neighbours": tables.neighbour_table(pool.coords),
        "coarse_xyz": pool.coords[:, 1:].astype(np.int64),
        "xyz": coords[:, 1:].astype(np.int64),
        "slots": straight.slots,
        "rows": straight.rows,
        "shifted_slots": shifted.slots,
        "shifted_rows": shifted.rows,
        "place": np.arange(count) % 2,
    }
    sizes = {"objects": count, "views": count, "voxels": len(coords)}
    given = {}
    for tensor in plan.inputs:
        if tensor.name in known:
            given[tensor.name] = known[tensor.name]
            continue
        shape = [s if isinstance(s, int) else sizes[s] for s in tensor.shape]
        value = rng.normal(size=shape).astype(np.float32)
        if tensor.name in ("t", "d"):
            value = np.abs(value) * 300
        if tensor.name == "dt":
            value = np.full_like(value, 0.25)
        if tensor.name == "view" and shape[1] == 3 and plan.name.endswith("point"):
            value[:, :, :9, :7] = np.nan
        given[tensor.name] = value
    return given
