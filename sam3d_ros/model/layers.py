"""Small layers used by several networks; norms and embeddings are computed in fp32 for any input dtype."""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Modules(nn.ModuleList, Generic[M]):
    """A ModuleList whose items have a known type."""

    if TYPE_CHECKING:

        def __getitem__(self, index: int) -> M: ...  # type: ignore[override]
        def __iter__(self) -> Iterator[M]: ...


class NamedModules(nn.ModuleDict, Generic[M]):
    """A ModuleDict whose values have a known type."""

    if TYPE_CHECKING:

        def __getitem__(self, key: str) -> M: ...


def layer_norm(x: Tensor, eps: float, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """LayerNorm over the last axis in fp32; `weight` and `bias` (C,) or None."""
    w = None if weight is None else weight.float()
    b = None if bias is None else bias.float()
    return F.layer_norm(x.float(), x.shape[-1:], w, b, eps).to(x.dtype)


class LayerNorm(nn.LayerNorm):
    """Affine LayerNorm over the last axis, computed in fp32."""

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C) -> (..., C)."""
        return layer_norm(x, self.eps, self.weight, self.bias)


class HeadNorm(nn.Module):
    """RMS norm of queries or keys with one gain per head and channel: x / |x|_2 * gain * sqrt(D)."""

    def __init__(self, heads: int, head_width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(heads, head_width))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, H, D) -> same shape."""
        unit = F.normalize(x.float(), dim=-1)
        return (unit * self.gain.float() * math.sqrt(x.shape[-1])).to(x.dtype)


class Mlp(nn.Module):
    """Linear, GELU, Linear.

    `approximate` is "none" (DINO, point encoder) or "tanh" (flow transformers, decoders).
    """

    def __init__(self, width: int, hidden: int, approximate: str) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C) -> (..., C)."""
        return self.fc2(F.gelu(self.fc1(x), approximate=self.approximate))


class SwiGlu(nn.Module):
    """w2(silu(w1 x) * w3 x) without biases (Shazeer 2020); projects condition tokens to the common width."""

    def __init__(self, width_in: int, hidden: int, width_out: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width_in, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width_out, bias=False)
        self.w3 = nn.Linear(width_in, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., width_in) -> (..., width_out)."""
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class ScalarEmbedding(nn.Module):
    """Flow time or step size in thousandths as a vector: 256 sinusoids and a two-layer MLP."""

    frequencies = 128
    max_period = 10_000.0

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(2 * self.frequencies, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        """t (B,) fp32 -> (B, width)."""
        k = torch.arange(self.frequencies, dtype=torch.float32, device=t.device)
        angles = t.float()[:, None] * torch.exp(-math.log(self.max_period) * k / self.frequencies)
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.fc2(F.silu(self.fc1(waves.to(self.fc1.weight.dtype))))


def grid_sinusoid(coords: Tensor, width: int) -> Tensor:
    """Sinusoids of integer grid coordinates.

    coords (N, 3) -> (N, width) fp32: for each axis [sin(p f), cos(p f)] with f_j = 10000^(-j/m) and
    m = width // 6; the axes are concatenated and the rest is zero.
    """
    m = width // 3 // 2
    j = torch.arange(m, dtype=torch.float32, device=coords.device)
    angles = coords.float()[:, :, None] * 10_000.0 ** (-j / m)
    waves = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)
    return F.pad(waves, (0, width - 6 * m))


def dense_grid(side: int, device: torch.device | None = None) -> Tensor:
    """All coordinates of a cube, (side^3, 3) int64, x slowest: row (x * side + y) * side + z."""
    axis = torch.arange(side, device=device)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
