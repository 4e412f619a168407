"""The geometry model as something to train: condition and flow together (paper section 3; `model.geometry`)."""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sam3d_ros.model.condition import ConditionEmbedder
from sam3d_ros.model.config import ConditionConfig, GeometryConfig
from sam3d_ros.model.geometry import GeometryFlow
from sam3d_ros.train import condition
from sam3d_ros.train.losses import Predict
from sam3d_ros.train.objective import Keep
from sam3d_ros.train.terms import Latents


class GeometryNetwork(nn.Module):
    """Satisfies `objective.Conditioned`. inputs: views by name (see `model.condition.VIEWS`)."""

    def __init__(self, condition_config: ConditionConfig, config: GeometryConfig) -> None:
        super().__init__()
        self.condition = ConditionEmbedder(condition_config)
        self.flow = GeometryFlow(config)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """torch.compile of the two passes that a step spends its time in; there is no forward."""
        for name in ("shape_velocity", "layout_velocity"):
            setattr(self.flow, name, torch.compile(getattr(self.flow, name), *args, **kwargs))

    def tokens(self, inputs: Mapping[str, Tensor], keep: Keep, count: int) -> Tensor:
        """(B, T, C) condition tokens, zeros for what is dropped."""
        return condition.tokens(self.condition, inputs, keep, count)

    def predict(self, tokens: Tensor | None, beside: None = None) -> Predict:
        """Velocity of all latents. Gradients of the layout stop at the shape stream's keys and values.

        So layout never bends the shape, and data without poses trains the shape alone.
        """
        context = None if tokens is None else self.flow.prepare(tokens)

        def velocity(x: Latents, t: Tensor, d: Tensor) -> dict[str, Tensor]:
            shape, kv = self.flow.shape_velocity(x["shape"], t, d, context)
            layout = self.flow.layout_velocity(x, t, d, tokens, kv.detach())
            return {"shape": shape, **layout}

        return velocity
