"""Attention through one door: scaled_dot_product_attention, or xformers where it works (CUDA)."""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Softmax attention, logits times 1/sqrt(D).

    q (B, H, Lq, D), k and v (B, H, Lk, D), bias broadcastable to (B, H, Lq, Lk) -> (B, H, Lq, D).
    """
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def key_bias(valid: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive bias that hides padded keys: valid (W, L) bool -> (W, 1, 1, L).

    The value is finite (half of the dtype's range): -inf would need the NaN guards that exporters add for
    rows without any key, and a difference of this size already is an exact zero after the softmax.
    """
    low = torch.finfo(dtype).min / 2
    bias = torch.zeros(valid.shape, dtype=dtype, device=valid.device).masked_fill(~valid, low)
    return bias[:, None, None, :]


def attend_windows(q: Tensor, k: Tensor, v: Tensor, slots: Tensor, rows: Tensor) -> Tensor:
    """Full attention inside each window, nothing between windows; no N x N mask is ever built.

    q, k, v (N, H, D). slots (W, L) int64: which row sits in each slot of each window, N where the slot is
    empty. rows (N,) int64: the flat slot of each row. Returns (N, H, D).
    With a working xformers the same is computed without padding by its block-diagonal kernel.
    """
    n = q.shape[0]
    if q.is_cuda and not torch.compiler.is_compiling() and xformers_works():
        return _attend_windows_xformers(q, k, v, slots)
    q, k, v = (F.pad(x, (0, 0, 0, 0, 0, 1))[slots].transpose(1, 2) for x in (q, k, v))
    out = attend(q, k, v, key_bias(slots < n, q.dtype))
    return out.transpose(1, 2).flatten(0, 1)[rows]


def _attend_windows_xformers(q: Tensor, k: Tensor, v: Tensor, slots: Tensor) -> Tensor:
    """The same as attend_windows for CUDA tensors, without padding."""
    ops: Any = __import__("xformers.ops", fromlist=["ops"])
    n = q.shape[0]
    valid = slots < n
    order = slots[valid]
    mask = ops.fmha.BlockDiagonalMask.from_seqlens(valid.sum(1).tolist())
    packed = [x[order][None].contiguous() for x in (q, k, v)]
    out = ops.memory_efficient_attention(*packed, attn_bias=mask)[0]
    return torch.empty_like(out).index_copy_(0, order, out)


@lru_cache(maxsize=1)
def xformers_works() -> bool:
    """True if xformers' block-diagonal attention runs on this machine; probed once per process."""
    if not torch.cuda.is_available():
        return False
    try:
        x = torch.randn(3, 1, 32, device="cuda", dtype=torch.float16)
        slots = torch.tensor([[0, 1], [2, 3]], device="cuda")
        got = _attend_windows_xformers(x, x, x, slots)
        return bool(torch.isfinite(got).all())
    except Exception:  # any failure of an optional kernel means: use the default
        return False
