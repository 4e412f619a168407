"""Parts of a flow transformer block: one token stream's weights, its cross-attention, its modulation.

A block is: modulated self-attention, cross-attention to the condition, modulated MLP (Peebles & Xie 2023,
adaLN-zero). The geometry flow runs two streams per block, the texture flow one; both use the same `Stream`.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import attend
from .layers import HeadNorm, LayerNorm, Mlp, layer_norm

EPS = 1e-6


class Modulation(NamedTuple):
    """Shift, scale and gate of both branches, each (B, 1, C), in the order of the linear layer's output."""

    shift_attn: Tensor
    scale_attn: Tensor
    gate_attn: Tensor
    shift_mlp: Tensor
    scale_mlp: Tensor
    gate_mlp: Tensor

    @classmethod
    def of(cls, linear: nn.Linear, e: Tensor) -> Modulation:
        """From the time embedding e (B, C)."""
        return cls(*linear(F.silu(e))[:, None].chunk(6, dim=-1))


def modulated_norm(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """LayerNorm without gain, then x * (1 + scale) + shift. x (B, L, C), shift and scale (B, 1, C)."""
    return layer_norm(x, EPS) * (1 + scale) + shift


Context: TypeAlias = Tensor | tuple[Tensor, Tensor] | None
"""What a stream's cross-attention reads:

* (k, v), each (B, H, T, D): projected once per object and kept for all steps (`CrossAttention.keys_values`);
* a tensor (B, T, C_cond): raw condition tokens, read by weight absorption, cheaper for a few queries;
* None: no condition. The published model then sees all-zero tokens, and the result is a constant.
"""


class CrossAttention(nn.Module):
    """Attention from a stream to the condition tokens, with three exact ways to compute it."""

    def __init__(self, width: int, heads: int, condition_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(condition_width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """x (B, L, C) -> (B, L, C), or (C,) without a condition."""
        if context is None:
            return self.unconditional()
        if isinstance(context, Tensor):
            return self.absorbed(x, context)
        q = self._split(self.q(x))
        return self.out(attend(q, *context).transpose(1, 2).flatten(2))

    def keys_values(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """condition (B, T, C_cond) -> keys and values, each (B, H, T, D)."""
        k, v = self.kv(condition).chunk(2, dim=-1)
        return self._split(k), self._split(v)

    def unconditional(self) -> Tensor:
        """Cross-attention to all-zero tokens: every key equals the bias, so every value is the bias. (C,)."""
        return self.out(self.kv.bias[self.q.out_features :])

    def absorbed(self, x: Tensor, condition: Tensor) -> Tensor:
        """The same attention with the key and value matrices moved to the query's side.

        q (W_k c + b_k) = (q W_k) c + q b_k, and q b_k cancels in the softmax; the softmax's weights sum to
        one, so the value bias is added once. The cost grows with queries * T instead of T * C: for 4 layout
        tokens and 7528 condition tokens 0.05 instead of 0.76 TFLOP over the 24 blocks.
        """
        b, n, c = x.shape
        h = self.heads
        w_k, w_v = self.kv.weight.chunk(2, dim=0)
        q = self._split(self.q(x))
        probes = (q @ w_k.reshape(h, c // h, -1)).reshape(b, 1, h * n, -1)
        # One head of width C_cond with h * n queries, too wide for fused kernels and small enough without; its softmax
        # scale stays that of the real head width. Logits in fp32, as fused kernels keep them.
        cond = condition[:, None]
        wide = torch.promote_types(cond.dtype, torch.float32)
        logits = (c // h) ** -0.5 * probes.to(wide) @ cond.to(wide).transpose(-1, -2)
        mixed = (logits.softmax(dim=-1).to(cond.dtype) @ cond).reshape(b, h, n, -1)
        values = mixed @ w_v.reshape(h, c // h, -1).transpose(1, 2)
        return self.out(values.transpose(1, 2).flatten(2) + self.kv.bias[c:])

    def _split(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, H, L, D)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Stream(nn.Module):
    """The weights of one token stream in one block."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, condition_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = HeadNorm(heads, width // heads)
        self.k_norm = HeadNorm(heads, width // heads)
        self.out = nn.Linear(width, width)
        self.norm_cross = LayerNorm(width, eps=EPS)
        self.cross = CrossAttention(width, heads, condition_width)
        self.mlp = Mlp(width, int(width * mlp_ratio), approximate="tanh")

    def queries_keys_values(self, x: Tensor, m: Modulation) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, L, C) -> q, k, v of the modulated self-attention, each (B, H, L, D)."""
        h = self.qkv(modulated_norm(x, m.shift_attn, m.scale_attn))
        q, k, v = h.unflatten(-1, (3, self.heads, -1)).unbind(2)
        return self.q_norm(q).transpose(1, 2), self.k_norm(k).transpose(1, 2), v.transpose(1, 2)

    def update(self, x: Tensor, attended: Tensor, m: Modulation, context: Context) -> Tensor:
        """The rest of the block after self-attention: x (B, L, C), attended (B, H, L, D) -> (B, L, C)."""
        x = x + m.gate_attn * self.out(attended.transpose(1, 2).flatten(2))
        x = x + self.cross(self.norm_cross(x), context)
        return x + m.gate_mlp * self.mlp(modulated_norm(x, m.shift_mlp, m.scale_mlp))


class FlowBlock(nn.Module):
    """A block with a single stream (texture flow)."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, condition_width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(width, 6 * width)
        self.stream = Stream(width, heads, mlp_ratio, condition_width)

    def forward(self, x: Tensor, e: Tensor, context: Context, bias: Tensor | None = None) -> Tensor:
        """x (B, L, C), time embedding e (B, C), bias of padded keys (B, 1, 1, L) or None -> (B, L, C)."""
        m = Modulation.of(self.modulation, e)
        attended = attend(*self.stream.queries_keys_values(x, m), bias)
        return self.stream.update(x, attended, m, context)


class TwoStreamBlock(nn.Module):
    """A block of the mixture of transformers: own weights per stream, shared modulation, one-way attention.

    Shape tokens attend to shape tokens only; layout tokens attend to layout and shape tokens. Hence the shape
    never depends on the layout, and a shape trajectory can be reused for other layouts.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float, condition_width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(width, 6 * width)
        self.shape = Stream(width, heads, mlp_ratio, condition_width)
        self.layout = Stream(width, heads, mlp_ratio, condition_width)

    def shape_step(self, x: Tensor, m: Modulation, context: Context) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x (B, N, C) -> x after the block, and the keys and values (B, H, N, D) for the layout stream."""
        q, k, v = self.shape.queries_keys_values(x, m)
        return self.shape.update(x, attend(q, k, v), m, context), (k, v)

    def layout_step(
        self, x: Tensor, m: Modulation, context: Context, shape_kv: tuple[Tensor, Tensor]
    ) -> Tensor:
        """x (B, 4, C), shape keys and values of this block -> x after the block."""
        q, k, v = self.layout.queries_keys_values(x, m)
        k = torch.cat([k, shape_kv[0]], dim=2)
        v = torch.cat([v, shape_kv[1]], dim=2)
        return self.layout.update(x, attend(q, k, v), m, context)
