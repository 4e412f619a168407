"""Index tables and sparse operations against plain references with dictionaries and dense grids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sam3d_ros.model import sparse, tables, voxels


def voxel_lists(side=6, batch=2):
    """Random unique voxels in any order."""
    cells = st.lists(
        st.tuples(st.integers(0, batch - 1), *[st.integers(0, side - 1)] * 3),
        min_size=1,
        max_size=60,
        unique=True,
    )
    return cells.map(lambda rows: np.array(rows, np.int32))


def rows_of(coords):
    return {tuple(c): i for i, c in enumerate(coords.tolist())}


@given(voxel_lists())
def test_neighbours_against_a_dictionary(coords):
    at = rows_of(coords)
    got = tables.neighbour_table(coords)
    for i, (b, x, y, z) in enumerate(coords.tolist()):
        for o, (dx, dy, dz) in enumerate(tables.OFFSETS.tolist()):
            assert got[i, o] == at.get((b, x + dx, y + dy, z + dz), len(coords))


def test_neighbours_of_a_huge_grid():
    """Beyond the dense lookup the search gives the same."""
    rng = np.random.default_rng(0)
    xyz = np.unique(rng.integers(0, 40, (3000, 3)), axis=0)
    small = np.column_stack([np.zeros(len(xyz), int), xyz])
    large = small + np.array([0, 3000, 3000, 3000])
    np.testing.assert_array_equal(tables.neighbour_table(small), tables.neighbour_table(large))


@given(voxel_lists())
def test_pooling_against_a_dictionary(coords):
    pool = tables.pooling_table(coords)
    halves = coords // [1, 2, 2, 2]
    assert pool.coords.tolist() == sorted(
        {tuple(c) for c in halves.tolist()} and map(list, {tuple(c) for c in halves.tolist()})
    )
    np.testing.assert_array_equal(pool.coords[pool.parent], halves)
    for m, children in enumerate(pool.children):
        own = children[children < len(coords)]
        assert sorted(own) == np.flatnonzero(pool.parent == m).tolist()


@given(voxel_lists(side=20), st.sampled_from([2, 4, 8]), st.booleans())
def test_windows_partition_the_voxels(coords, size, shifted):
    shift = size // 2 if shifted else 0
    windows = tables.window_table(coords, size, shift)
    n = len(coords)
    cell = (coords + np.array([0, shift, shift, shift])) // [1, size, size, size]
    flat = windows.slots.reshape(-1)
    np.testing.assert_array_equal(flat[windows.rows], np.arange(n))
    assert sorted(flat[flat < n]) == list(range(n))
    for slots in windows.slots:
        own = slots[slots < n]
        assert len(own) > 0
        assert len({tuple(c) for c in cell[own].tolist()}) == 1
    assert len(windows.slots) == len({tuple(c) for c in cell.tolist()})


@given(voxel_lists())
def test_child_neighbours_without_search(coords):
    derived = tables.child_neighbour_table(tables.neighbour_table(coords))
    children = tables.subdivide(coords)
    np.testing.assert_array_equal(derived, tables.neighbour_table(children))
    again = sparse.child_neighbours(torch.from_numpy(tables.neighbour_table(coords)))
    np.testing.assert_array_equal(again.numpy(), derived)


@pytest.mark.parametrize("bad", [np.zeros((4, 3), int), np.array([[0, -1, 2, 3]])])
def test_bad_coordinates_are_refused(bad):
    with pytest.raises(ValueError, match="coordinates"):
        tables.neighbour_table(bad)


def test_empty_lists():
    empty = np.zeros((0, 4), np.int32)
    assert tables.neighbour_table(empty).shape == (0, 27)
    assert tables.pooling_table(empty).children.shape == (0, 8)
    assert voxels.prune_interior(empty).shape == (0, 4)


def test_ops_agree_with_golden(golden, close):
    g = golden("sparse_ops")
    coords, x = g.inputs["coords"].numpy(), g.inputs["feats"]
    near = torch.from_numpy(tables.neighbour_table(coords))
    weight, bias = g.weights["conv.conv.weight"], g.weights["conv.conv.bias"]
    close(sparse.submanifold_conv(x, near, weight, bias), g.out["subm"])
    pool = tables.pooling_table(coords)
    assert torch.equal(torch.from_numpy(pool.coords), g.out["down.coords"])
    down = sparse.pool_mean(x, torch.from_numpy(pool.children))
    close(down, g.out["down.feats"])
    close(sparse.unpool(down, torch.from_numpy(pool.parent)), g.out["up.feats"])
    assert torch.equal(torch.from_numpy(tables.subdivide(coords)), g.out["subdiv.coords"])
    close(sparse.subdivide(x), g.out["subdiv.feats"])
    normed = sparse.group_norm(
        x, 1, g.weights["gn.weight"], g.weights["gn.bias"], g.inputs["coords"][:, 0].long()
    )
    close(normed, g.out["groupnorm1"])
    for shift in (0, 4):
        windows = tables.window_table(coords, 8, shift)
        tag = f"win8_shift{shift}"
        assert windows.lengths.tolist() == g.out[f"{tag}.seq_lens"].tolist()
        window = windows.rows // windows.slots.shape[1]
        assert window.tolist() == g.out[f"{tag}.window_id"].tolist()


def dense(coords, x, side):
    """Features on a dense grid, one object, (1, C, side, side, side)."""
    grid = torch.zeros(1, x.shape[1], side, side, side, dtype=x.dtype)
    c = torch.from_numpy(coords).long()
    grid[0, :, c[:, 1], c[:, 2], c[:, 3]] = x.T
    return grid


@settings(max_examples=25, deadline=None)
@given(voxel_lists(batch=1), st.integers(0, 99))
def test_convolution_equals_dense(coords, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(len(coords), 3, generator=g, dtype=torch.float64)
    conv = sparse.SubmanifoldConv(3, 5).double()
    got = conv(x, torch.from_numpy(tables.neighbour_table(coords)))
    full = F.conv3d(dense(coords, x, 6), conv.weight.permute(0, 4, 1, 2, 3), conv.bias, padding=1)
    c = torch.from_numpy(coords).long()
    torch.testing.assert_close(got, full[0, :, c[:, 1], c[:, 2], c[:, 3]].T, rtol=0, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(voxel_lists(batch=1), st.integers(0, 99))
def test_parity_convolution_equals_subdivide_then_convolve(coords, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(len(coords), 3, generator=g, dtype=torch.float64)
    conv = sparse.SubmanifoldConv(3, 5).double()
    near = torch.from_numpy(tables.neighbour_table(coords))
    plain = conv(sparse.subdivide(x), torch.from_numpy(tables.neighbour_table(tables.subdivide(coords))))
    fast = sparse.parity_conv(x, near, conv.weight, conv.bias)
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-12)


def test_long_lists_are_convolved_in_parts(shell):
    """More voxels than one part holds, with and without gradients, against the dense form."""
    coords = shell(side=16)
    x = torch.randn(len(coords), 512)
    conv = sparse.SubmanifoldConv(512, 4)
    near = torch.from_numpy(tables.neighbour_table(coords))
    assert len(coords) * 27 * 512 > 2 * (1 << 20)
    full = F.conv3d(dense(coords, x, 16), conv.weight.permute(0, 4, 1, 2, 3), conv.bias, padding=1)
    c = torch.from_numpy(coords).long()
    want = full[0, :, c[:, 1], c[:, 2], c[:, 3]].T
    torch.testing.assert_close(conv(x, near), want, rtol=1e-4, atol=1e-4)
    by_parity = sparse.parity_conv(x, near, conv.weight, conv.bias)
    with torch.no_grad():
        torch.testing.assert_close(conv(x, near), want, rtol=1e-4, atol=1e-4)
        assert torch.equal(sparse.parity_conv(x, near, conv.weight, conv.bias), by_parity)


def test_group_norm_equals_torch(shell):
    """One object: torch's GroupNorm on (1, C, N). Two objects: each normalised alone."""
    coords = shell(batch=2)
    batch = torch.from_numpy(coords[:, 0]).long()
    x = torch.randn(len(coords), 12)
    weight, bias = torch.randn(12), torch.randn(12)
    got = sparse.group_norm(x, 4, weight, bias, batch)
    for b in (0, 1):
        own = x[batch == b]
        want = F.group_norm(own.T[None], 4, weight, bias)[0].T
        torch.testing.assert_close(got[batch == b], want, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(sparse.group_norm(own, 4, weight, bias), want, rtol=1e-5, atol=1e-5)


# Voxel lists between the stages.


def test_voxel_lists_agree_with_golden(golden):
    g = golden("voxel_ops")
    for name in ("blob", "solid"):
        got = voxels.prune_interior(g.inputs[name].numpy())
        np.testing.assert_array_equal(got, g.out[f"{name}_pruned"].numpy())
    got, factor = voxels.downsample(g.inputs["blob"].numpy(), 1000)
    np.testing.assert_array_equal(got, g.out["blob_downsampled_max1000"].numpy())
    assert factor == g.out["blob_factor"].item()
    low, high = g.inputs["cube40_range"].tolist()
    axis = np.arange(low, high)
    xyz = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    cube = np.column_stack([np.zeros(len(xyz), int), xyz]).astype(np.int32)
    got, factor = voxels.downsample(cube)
    np.testing.assert_array_equal(got, g.out["cube40_downsampled"].numpy())
    assert factor == g.out["cube40_factor"].item()


@given(arrays(bool, (5, 5, 5)))
def test_prune_against_counting(occupied):
    coords = np.column_stack([np.zeros(occupied.sum(), int), np.argwhere(occupied)]).astype(np.int32)
    padded = np.pad(occupied, 1)
    full = [padded[x : x + 3, y : y + 3, z : z + 3].all() for _, x, y, z in coords]
    np.testing.assert_array_equal(voxels.prune_interior(coords), coords[~np.array(full, bool)])


def test_downsample_keeps_short_lists_and_caps_long_ones(shell):
    coords = shell(side=14)
    same, factor = voxels.downsample(coords)
    assert same is coords
    assert factor == 1
    few, factor = voxels.downsample(coords, 50, np.random.default_rng(3))
    assert factor == 2
    assert len(few) == 50
    assert len(np.unique(few, axis=0)) == 50
    assert few.min() >= 0


def test_downsample_halves_a_bar():
    """A bar of 8 voxels, offset 4: size 8, target 4, first 6; unit steps of 3/7 round to 6 6 7 7 8 8 9 9."""
    bar = np.array([[0, 4 + i, 10, 10] for i in range(8)], np.int32)
    half, factor = voxels.downsample(bar, 7)
    assert factor == 2
    assert sorted(set(half[:, 1].tolist())) == [6, 7, 8, 9]
