"""Convolutions in space written as convolutions of pictures, for which ONNX Runtime has fast kernels on a CPU and none
for the other.

Volumes stay (B, C, D, H, W) outside; inside, the depth slices of a volume are the rows of one picture, D H high and W
wide, which costs nothing. Equal arithmetic in another order: equal results up to rounding.

A twin holds weight and bias of the plain form as they are, under their names, and makes its own of them whenever it is
called: a graph of it can read the plain network's weights, and runtimes fold what depends on nothing else.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def flat(network: M) -> M:
    """A copy of the network in which every convolution of a form below is its flat twin; others stay."""
    made = copy.deepcopy(network)
    for parent in list(made.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv3d | nn.ConvTranspose3d):
                setattr(parent, name, _twin(child))
    return made


def _twin(plain: nn.Conv3d | nn.ConvTranspose3d) -> nn.Module:
    """By what tells the forms apart."""
    form = (plain.kernel_size, plain.stride, plain.padding, plain.dilation, plain.groups)
    one, two, three, none = (1, 1, 1), (2, 2, 2), (3, 3, 3), (0, 0, 0)
    if isinstance(plain, nn.ConvTranspose3d):
        whole = plain.output_padding == none
        return Grow(plain) if form == (two, two, none, one, 1) and whole else plain
    if plain.padding_mode != "zeros":
        return plain
    if form == (one, one, none, one, 1):
        return Point(plain)
    if form == (two, two, none, one, 1):
        return Shrink(plain)
    return Around(plain) if form == (three, one, one, one, 1) else plain


class Point(nn.Module):
    """Kernel 1: each cell for itself."""

    def __init__(self, plain: nn.Conv3d) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, O, D, H, W)."""
        return F.conv2d(x.flatten(2, 3), self.weight.flatten(3), self.bias).unflatten(2, x.shape[2:4])


class Around(nn.Module):
    """Kernel 3, padding 1, of an even number of rows.

    Two rows at a time of the result from four of the input by four products instead of six: Winograd's F(2, 3) along
    the rows (Lavin & Gray 2016), a third of the multiplications less. The four are groups of one convolution over depth
    and columns, in which a step of depth is a step of H / 2 rows of the picture.
    """

    def __init__(self, plain: nn.Conv3d) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, O, D, H, W)."""
        depth, rows = x.shape[2:4]
        padded, half = F.pad(x, (0, 0, 1, 1)), rows // 2
        a, b, c, d = (padded[:, :, :, i : i + rows - 1 : 2] for i in range(4))
        near = torch.cat([a - c, b + c, c - b, b - d], dim=1).flatten(2, 3)
        weight, bias = self.products()
        y = F.conv2d(near, weight, bias, padding=(half, 1), dilation=(half, 1), groups=4)
        p, q, r, s = y.unflatten(2, (depth, half)).chunk(4, dim=1)
        return torch.cat([p + q + r, q - r - s], dim=4).unflatten(4, (2, -1)).flatten(3, 4)

    def products(self) -> tuple[Tensor, Tensor | None]:
        """Weight (4 O, C, 3 depth, 3 column) and bias (4 O) of the four products."""
        above, here, below = (self.weight[:, :, :, i] for i in range(3))
        even, odd = (above + below) / 2, here / 2
        weight = torch.cat([above, even + odd, even - odd, below])
        if self.bias is None:
            return weight, None
        none = torch.zeros_like(self.bias)
        return weight, torch.cat([none, self.bias, none, none])  # the second product is part of both rows


class Shrink(nn.Module):
    """Kernel 2, stride 2, of even sides. The two slices of a pair come as channels."""

    def __init__(self, plain: nn.Conv3d) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, O, D / 2, H / 2, W / 2)."""
        depth, rows = x.shape[2] // 2, x.shape[3] // 2
        pairs = x.unflatten(2, (depth, 2)).transpose(2, 3).flatten(1, 2).flatten(2, 3)
        return F.conv2d(pairs, self.weight.flatten(1, 2), self.bias, stride=2).unflatten(2, (depth, rows))


class Grow(nn.Module):
    """Transposed, kernel 2, stride 2: each cell gives eight."""

    def __init__(self, plain: nn.ConvTranspose3d) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, O, 2 D, 2 H, 2 W)."""
        d, h, w = x.shape[2:]
        weight = self.weight.flatten(1).T[:, :, None, None]  # (C, O, 2, 2, 2) -> (O * 8, C, 1, 1)
        bias = None if self.bias is None else self.bias[:, None].expand(-1, 8).flatten()
        cells = F.conv2d(x.flatten(2, 3), weight, bias).reshape(-1, self.weight.shape[1], 2, 2, 2, d, h, w)
        return cells.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(-1, self.weight.shape[1], 2 * d, 2 * h, 2 * w)
