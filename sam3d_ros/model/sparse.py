"""Sparse voxel operations on features and index tables (see `tables`): gathers and matrix products only.

Features are (N, C); a table entry of N gathers the zero row that is appended here.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tables import CHILD_MEMBER, CHILD_PARENT, CHILD_PLACE, CHILD_REACH


class SubmanifoldConv(nn.Module):
    """3x3x3 convolution on active voxels only, or 1x1x1 with `kernel=1`.

    weight (out, k, k, k, in), kernel axes in the order x, y, z; the sum runs over existing neighbours.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels_out, kernel, kernel, kernel, channels_in))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        nn.init.kaiming_uniform_(self.weight.view(channels_out, -1), a=5**0.5)

    def forward(self, x: Tensor, neighbours: Tensor | None = None) -> Tensor:
        """x (N, C_in), neighbours (N, 27) int64 (None for a 1x1x1 kernel) -> (N, C_out)."""
        if neighbours is None:
            return F.linear(x, self.weight.flatten(1), self.bias)
        return submanifold_conv(x, neighbours, self.weight, self.bias)


def append_zero(x: Tensor) -> Tensor:
    """x (N, C) -> (N + 1, C) whose last row is zero: what a table's "nothing there" gathers."""
    return F.pad(x, (0, 0, 0, 1))


def submanifold_conv(x: Tensor, neighbours: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """out[p] = bias + sum over the 27 offsets of weight[:, o] x[p + o].

    The gathered neighbourhoods (N, 27, C) of all voxels would pass 2^31 elements at the mesh decoder's finest level:
    they are made and multiplied a part of the voxels at a time. An exported graph knows no number of voxels; it takes
    a part of the offsets at a time. With at most MAX_VOXELS voxels no tensor of the published networks reaches 2^31.
    """
    padded = append_zero(x)
    if torch.compiler.is_exporting():
        kernel = weight.flatten(1, 3)
        # Few channels mean the mesh decoder's 64 N cubes, many mean N or 8 N voxels.
        step = 9 if x.shape[1] >= 128 else 3
        out = bias
        for o in range(0, 27, step):
            near = padded[neighbours[:, o : o + step]].flatten(1)
            out = out + F.linear(near, kernel[:, o : o + step].flatten(1))
        return out
    kernel = weight.flatten(1)
    return _in_parts(lambda rows: F.linear(_gather(padded, rows).flatten(1), kernel, bias), neighbours, x)


def _in_parts(apply: Callable[[Tensor], Tensor], neighbours: Tensor, x: Tensor) -> Tensor:
    """apply(neighbour table) -> features, a part of the table at a time.

    A part's gathered features fit the CPU's cache, or are large enough for a GPU. Without gradients the parts are
    written to one tensor: thousands of kept pieces would shred the allocator's memory.
    """
    elements = 1 << 20 if x.is_cpu else 1 << 27
    parts = neighbours.split(max(1, elements // (27 * x.shape[1])))
    if torch.is_grad_enabled() or len(parts) == 1:
        return torch.cat([apply(rows) for rows in parts])
    first = apply(parts[0])
    per_row = first.shape[0] // parts[0].shape[0]
    out = first.new_empty(neighbours.shape[0] * per_row, first.shape[1])
    start = 0
    for i, rows in enumerate(parts):
        stop = start + rows.shape[0] * per_row
        out[start:stop] = apply(rows) if i else first
        start = stop
    return out


def _gather(padded: Tensor, rows: Tensor) -> Tensor:
    """Features (N + 1, C) at a table of rows (M, K) -> (M, K, C)."""
    return padded.index_select(0, rows.reshape(-1)).unflatten(0, rows.shape)


def pool_mean(x: Tensor, children: Tensor) -> Tensor:
    """Mean over the voxels of each parent, x (N, C), children (M, 8) -> (M, C).

    The sum is divided by count + 1: the published model counts the zero it starts from, and was trained so.
    """
    total = append_zero(x)[children].sum(dim=1)
    count = (children < x.shape[0]).sum(dim=1, keepdim=True)
    return total / (count + 1).to(x.dtype)


def unpool(x: Tensor, parent: Tensor) -> Tensor:
    """Copy each parent's features to its voxels, x (M, C), parent (N,) -> (N, C)."""
    return x[parent]


def subdivide(x: Tensor) -> Tensor:
    """Copy each voxel's features to its eight children, (N, C) -> (8 N, C), row 8 p + c."""
    return x.repeat_interleave(8, dim=0)


def parity_conv(x: Tensor, neighbours: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Subdivide, then convolve: what submanifold_conv(subdivide(x), ...) gives, at 8/27 of the products.

    All children of a voxel carry the same features, and a child's 27 neighbours lie in only eight parents, so
    for each of the eight child places the kernel collapses to 2x2x2 summed weights.
    x (N, C_in), neighbours of the parents (N, 27) -> (8 N, C_out), row 8 p + c.
    """
    padded = append_zero(x)
    # (8, 8, 27): which offsets of a child fall into which of its eight parents.
    member = torch.from_numpy(CHILD_MEMBER).to(weight)
    kernels = torch.einsum("cpo,doi->cdpi", member, weight.flatten(1, 3)).flatten(2)

    def children(rows: Tensor) -> Tensor:
        places = [
            F.linear(_gather(padded, rows[:, at]).flatten(1), kernel, bias)
            for at, kernel in zip(CHILD_REACH.tolist(), kernels, strict=True)
        ]
        return torch.stack(places, dim=1).flatten(0, 1)

    if torch.compiler.is_exporting():
        return children(neighbours)
    return _in_parts(children, neighbours, x)


def child_neighbours(parents: Tensor) -> Tensor:
    """Neighbour table of the subdivided list, (N, 27) -> (8 N, 27), as tables.child_neighbour_table."""
    n = parents.shape[0]
    which = torch.as_tensor(CHILD_PARENT, device=parents.device)
    place = torch.as_tensor(CHILD_PLACE, device=parents.device)
    rows = parents[:, which]
    return torch.where(rows < n, 8 * rows + place, 8 * n).flatten(0, 1)


def group_norm(
    x: Tensor, groups: int, weight: Tensor, bias: Tensor, batch: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """GroupNorm in fp32 with statistics over (channels of a group x all voxels of an object).

    x (N, C); batch (N,) int64 object numbers, or None where all voxels belong to one object.
    """
    grouped = x.float().unflatten(1, (groups, -1))
    if batch is None:
        var, mean = torch.var_mean(grouped, dim=(0, 2), keepdim=True, correction=0)
    else:
        mean, var = _grouped_moments(grouped, batch)
    y = ((grouped - mean) * torch.rsqrt(var + eps)).flatten(1)
    return (y * weight.float() + bias.float()).to(x.dtype)


def _grouped_moments(x: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance per object and group, spread back to the voxels: x (N, G, K) -> each (N, G, 1)."""
    objects = int(batch.max()) + 1
    size = torch.zeros(objects, device=x.device).index_add(0, batch, torch.ones_like(x[:, 0, 0])) * x.shape[2]
    zero = x.new_zeros(objects, x.shape[1])
    mean = (zero.index_add(0, batch, x.sum(2)) / size[:, None])[batch][..., None]
    var = (zero.index_add(0, batch, ((x - mean) ** 2).sum(2)) / size[:, None])[batch][..., None]
    return mean, var


class GroupNorm(nn.Module):
    """Affine group_norm on voxel features."""

    def __init__(self, groups: int, channels: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, batch: Tensor | None = None) -> Tensor:
        """x (N, C) -> (N, C)."""
        return group_norm(x, self.groups, self.weight, self.bias, batch)
