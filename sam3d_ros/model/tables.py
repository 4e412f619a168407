"""Index tables of sparse voxel operations, from coordinates alone: once per object, in numpy.

Coordinates are (N, 4) int, rows [batch, x, y, z], each row unique, any order. In every table the number N
(one past the last row) means "nothing there"; networks append one zero row to their features and gather.

A network never searches: finding neighbours, parents and windows is done here, so that the exported graphs
hold gathers and matrix products only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

OFFSETS = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(27, 3)
"""Kernel offsets of a 3x3x3 convolution, x slowest: offset (i, j, k) has index 9 (i+1) + 3 (j+1) + (k+1)."""

CHILDREN = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), axis=-1).reshape(8, 3)
"""Places of a voxel's children, x slowest: child c of voxel p is row 8 p + c at 2 p + CHILDREN[c]."""


def _check(coords: NDArray[np.integer]) -> NDArray[np.int64]:
    """Coordinates as int64, or ValueError."""
    if coords.ndim != 2 or coords.shape[1] != 4:
        raise ValueError(f"coordinates must be (N, 4) rows [batch, x, y, z], not {coords.shape}")
    if coords.size and coords.min() < 0:
        raise ValueError("coordinates must not be negative")
    return coords.astype(np.int64)


def _keys(coords: Int, side: int) -> Int:
    """One number per voxel, ordered like the rows [batch, x, y, z]."""
    b, x, y, z = coords.T
    return np.asarray(((b * side + x) * side + y) * side + z)


def neighbour_table(coords: NDArray[np.integer]) -> Int:
    """Rows of the 27 neighbours of each voxel, (N, 27), N where there is none; column 13 is itself."""
    c = _check(coords)
    n = len(c)
    if n == 0:
        return np.zeros((0, 27), np.int64)
    # A margin of one voxel on every side keeps neighbours of different rows, columns and batches apart.
    side = int(c[:, 1:].max()) + 3
    inner = c + np.array([0, 1, 1, 1])
    keys = _keys(inner, side)
    steps = OFFSETS @ np.array([side * side, side, 1])
    wanted = keys[:, None] + steps
    cells = (int(c[:, 0].max()) + 1) * side**3
    if cells <= 1 << 25:  # a dense lookup of at most 128 MB; larger grids are searched
        lookup = np.full(cells, n, np.int32)
        lookup[keys] = np.arange(n, dtype=np.int32)
        return np.asarray(lookup[wanted], np.int64)
    order = np.argsort(keys)
    ranked = keys[order]
    place = np.minimum(np.searchsorted(ranked, wanted), n - 1)
    return np.where(ranked[place] == wanted, order[place], n)


@dataclass(frozen=True)
class Pooling:
    """The half-resolution voxels of a list.

    coords (M, 4): parents in lexicographic order. parent (N,): each voxel's parent. children (M, 8): each
    parent's voxels by place, N where there is none.
    """

    coords: NDArray[np.int32]
    parent: Int
    children: Int


def pooling_table(coords: NDArray[np.integer]) -> Pooling:
    """Parents (coordinate // 2) of a voxel list and who belongs to whom."""
    c = _check(coords)
    half = c // np.array([1, 2, 2, 2])
    side = int(half[:, 1:].max(initial=0)) + 1
    _, first, parent = np.unique(_keys(half, side), return_index=True, return_inverse=True)
    children = np.full((len(first), 8), len(c), np.int64)
    children[parent, (c[:, 1:] % 2) @ [4, 2, 1]] = np.arange(len(c))
    return Pooling(half[first].astype(np.int32), parent.astype(np.int64), children)


@dataclass(frozen=True)
class Windows:
    """Groups of voxels that attend to each other.

    slots (W, L): the voxel in each slot, N where empty. rows (N,): each voxel's flat slot, so that
    `padded.reshape(W * L, C)[rows]` undoes `features[slots]`.
    """

    slots: Int
    rows: Int

    @property
    def lengths(self) -> Int:
        """Voxels per window, (W,)."""
        return np.asarray((self.slots < len(self.rows)).sum(axis=1))


def group_table(group: NDArray[np.integer]) -> Windows:
    """Windows from a group number per voxel, (N,); groups ascending, the voxels of a group in row order."""
    n = len(group)
    _, index, counts = np.unique(group, return_inverse=True, return_counts=True)
    order = np.argsort(index, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    length = int(counts.max(initial=1))
    place = np.arange(n) - starts[index[order]]
    rows = np.empty(n, np.int64)
    rows[order] = index[order] * length + place
    slots = np.full(len(counts) * length, n, np.int64)
    slots[rows] = np.arange(n)
    return Windows(slots.reshape(len(counts), length), rows)


def window_table(coords: NDArray[np.integer], size: int, shift: int = 0) -> Windows:
    """Windows of size^3 voxels: window of a voxel = (coordinate + shift) // size per axis, per object."""
    c = _check(coords)
    cell = (c + np.array([0, shift, shift, shift])) // np.array([1, size, size, size])
    side = int(cell[:, 1:].max(initial=0)) + 1
    return group_table(_keys(cell, side))


def batch_table(coords: NDArray[np.integer]) -> Windows:
    """One window per object: the batch column decides."""
    return group_table(_check(coords)[:, 0])


def subdivide(coords: NDArray[np.integer]) -> NDArray[np.int32]:
    """The eight children of every voxel, (8 N, 4), row 8 p + c."""
    c = _check(coords)
    children = np.repeat(c * [1, 2, 2, 2], 8, axis=0)
    children[:, 1:] += np.tile(CHILDREN, (len(c), 1))
    return children.astype(np.int32)


def _parity_tables() -> tuple[Int, Int]:
    """For child c and kernel offset o: which neighbour of the parent, which of its children."""
    reach = CHILDREN[:, None] + OFFSETS  # (8, 27, 3), each in -1 .. 2
    parent = (reach // 2 + 1) @ [9, 3, 1]
    child = (reach % 2) @ [4, 2, 1]
    return parent, child


CHILD_PARENT, CHILD_PLACE = _parity_tables()
"""Each (8, 27): where the neighbours of a child lie, in terms of its parent's neighbour table."""

CHILD_REACH = np.stack([np.unique(row) for row in CHILD_PARENT])
"""(8, 8): the eight parents in which the neighbours of a child lie."""

CHILD_MEMBER = (CHILD_PARENT[:, None] == CHILD_REACH[:, :, None]).astype(np.float32)
"""(8, 8, 27): one where a neighbour of a child lies in that parent, else zero."""


def child_neighbour_table(parents: Int) -> Int:
    """Neighbour table (8 N, 27) of the subdivided list from the parents' (N, 27), without any search."""
    n = len(parents)
    rows = parents[:, CHILD_PARENT]  # (N, 8, 27)
    return np.where(rows < n, 8 * rows + CHILD_PLACE, 8 * n).reshape(8 * n, 27)
