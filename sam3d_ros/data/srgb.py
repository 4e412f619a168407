"""Between 8-bit sRGB and linear light (IEC 61966-2-1), by table."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sam3d_ros.types import Float, UInt8

STEPS = 4096
"""Of linear light; the steepest part of the curve then still advances by less than one 8-bit step."""


def linear_from_srgb(srgb: UInt8) -> Float:
    """Any shape of uint8 to float32 in 0..1."""
    linear: Float = _to_linear()[srgb]
    return linear


def srgb_from_linear(linear: Float) -> UInt8:
    """Any shape of float, clipped to 0..1, to uint8."""
    index = (np.clip(linear, 0, 1) * np.float32(STEPS - 1) + np.float32(0.5)).astype(np.int32)
    srgb: UInt8 = _to_srgb()[index]
    return srgb


@lru_cache(maxsize=1)
def _to_linear() -> Float:
    s = np.arange(256) / 255
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4).astype(np.float32)


@lru_cache(maxsize=1)
def _to_srgb() -> UInt8:
    x = np.arange(STEPS) / (STEPS - 1)
    s = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    table: UInt8 = np.rint(s * 255).astype(np.uint8)
    return table
