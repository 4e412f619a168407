"""Profiles: which one a call takes, and that those of the published networks hold what they must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sam3d_ros.model import tables
from sam3d_ros.model.config import MAX_VOXELS
from sam3d_ros.model.voxels import prune_interior
from sam3d_ros.runtime.bundle import Bundle
from sam3d_ros.runtime.networks import Sizes, graph_plans
from sam3d_ros.runtime.tensorrt_backend import profile_of
from sam3d_ros.types import InputError


def test_the_narrowest_that_fits(tiny_bundle: Bundle) -> None:
    spec = tiny_bundle.graphs["scale"]  # 1 to 64, 64 to 256
    assert [profile_of(spec, {"rows": n}) for n in (1, 63, 64, 65, 256)] == [0, 0, 0, 1, 1]
    for rows in (0, 257):
        with pytest.raises(InputError, match=f"no profile for rows = {rows}"):
            profile_of(spec, {"rows": rows})
    turned = replace(spec, profiles=spec.profiles[::-1])
    assert profile_of(turned, {"rows": 64}) == 1
    assert profile_of(replace(spec, inputs=(), profiles=()), {}) == 0


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_graph_of_the_published_sizes_has_profiles(precision: str) -> None:
    plans = graph_plans(Sizes(), precision)
    assert len(plans) == 15
    for plan in plans.values():
        named = {s for t in plan.inputs for s in t.shape if isinstance(s, str)}
        assert named
        for profile in plan.profiles:
            assert set(profile) == named, plan.name
            assert all(0 < low <= usual <= high for low, usual, high in profile.values()), plan.name


def test_nothing_that_crosses_a_border_reaches_two_to_the_31() -> None:
    for plan in graph_plans(Sizes(), "bf16").values():
        largest = {n: max(p[n][2] for p in plan.profiles) for n in plan.profiles[0]}
        largest["64*voxels"] = 64 * largest.get("voxels", 0)
        for tensor in (*plan.inputs, *plan.outputs):
            sizes = [s if isinstance(s, int) else largest[s] for s in tensor.shape]
            assert np.prod(sizes, dtype=np.float64) < 2**31, (plan.name, tensor)


@pytest.mark.parametrize("radius", [8.0, 20.0, 31.9])
def test_real_tables_fit_their_profiles(radius: float) -> None:
    """The shell of a ball, from a small object to one that fills the grid."""
    grid = np.stack(np.meshgrid(*[np.arange(64)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    ball = grid[np.linalg.norm(grid - 31.5, axis=1) < radius]
    coords = prune_interior(np.column_stack([np.zeros(len(ball), int), ball]).astype(np.int32))
    assert len(coords) <= MAX_VOXELS
    straight, shifted = (tables.window_table(coords, 8, shift) for shift in (0, 4))
    sizes = {
        "voxels": len(coords),
        "coarse": len(tables.pooling_table(coords).coords),
        "windows": straight.slots.shape[0],
        "longest": straight.slots.shape[1],
        "shifted_windows": shifted.slots.shape[0],
        "shifted_longest": shifted.slots.shape[1],
    }
    plans = graph_plans(Sizes(), "bf16")
    for name in ("texture_step", "mesh_trunk", "mesh_heads", "gaussians"):
        fitting = [
            p for p in plans[name].profiles if all(low <= sizes[n] <= high for n, (low, _, high) in p.items())
        ]
        assert fitting, (name, sizes)
