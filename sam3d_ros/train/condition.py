"""Condition tokens in training: groups of views that a sample keeps or drops."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sam3d_ros.model.condition import ConditionEmbedder
from sam3d_ros.train.objective import Keep

GROUPS = {
    "image": "crop",
    "mask": "crop",
    "rgb_image": "full",
    "rgb_image_mask": "full",
    "pointmap": "pointmap",
    "rgb_pointmap": "pointmap",
}
"""Which group of `Stage.conditions` a view of the condition embedder belongs to."""


def tokens(condition: ConditionEmbedder, views: Mapping[str, Tensor], keep: Keep, count: int) -> Tensor:
    """Tokens of all views (B, T, C), those of dropped ones zero, as without guidance's condition.

    views need only hold those of the groups in `keep`; encoders of the others do not run.
    """
    found = {}
    for name in condition.views:
        group = GROUPS[name]
        if group in keep:
            found[name] = condition.embed(name, views[name]) * keep[group][:, None, None]
        else:
            config = condition.config
            length = config.point.grid**2 if group == "pointmap" and config.point else config.image_tokens
            found[name] = torch.zeros(count, length, config.width, device=condition.positions.device)
    return condition.join(found)
