"""Left and right exchanged: a scene seen in a mirror is as good a scene, so the model learns from both and may be asked
both ways. y of the view frame points left, as does y of the box."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

GRIDS = ("grid", "shape", "fine", "seen", "colour")
"""Arrays over (..., X, Y, Z)."""
# Of a rotation M R M with M = diag(1, -1, 1), its first two columns.
SIGNS = {
    "translation": np.array([1, -1, 1], np.float32),
    "rotation": np.array([1, -1, 1, -1, 1, -1], np.float32),
}
"""Of arrays over (..., channels), what they are multiplied with."""
POINT_Y = 5
"""Channel of a picture that holds y of its pixels' points."""


def mirrored(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Inputs and answers of the model, by name and with any batch dimensions in front, as the mirror image of the scene
    has them: grids (..., X, Y, Z), picture (..., 8, P, P), translation (..., 3), rotation (..., 6: two columns of R).
    Everything else is the same on both sides, and so are the arrays handed back for it. Twice is the identity."""
    out = dict(arrays)
    for name in GRIDS:
        if name in out:
            out[name] = out[name][..., ::-1, :]
    if "picture" in out:
        out["picture"] = out["picture"][..., ::-1].copy()
        out["picture"][..., POINT_Y, :, :] *= -1
    for name, sign in SIGNS.items():
        if name in out:
            out[name] = out[name] * sign
    return out
