"""The texture & refinement model as something to train: condition and flow together (`model.texture`)."""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sam3d_ros.model.condition import ConditionEmbedder
from sam3d_ros.model.config import ConditionConfig, TextureConfig
from sam3d_ros.model.texture import TextureFlow, TextureTables
from sam3d_ros.train import condition
from sam3d_ros.train.losses import Predict
from sam3d_ros.train.objective import Keep
from sam3d_ros.train.terms import Latents


class TextureNetwork(nn.Module):
    """Satisfies `objective.Conditioned`. inputs: views by name; beside: the voxels' `TextureTables`.

    The only latent is "slat" (N, channels), rows of all objects one after the other. The step size is not used: the
    published texture model is not distilled.
    """

    def __init__(self, condition_config: ConditionConfig, config: TextureConfig) -> None:
        super().__init__()
        self.condition = ConditionEmbedder(condition_config)
        self.flow = TextureFlow(config)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """torch.compile of the flow; there is no forward."""
        self.flow.compile(*args, **kwargs)

    def tokens(self, inputs: Mapping[str, Tensor], keep: Keep, count: int) -> Tensor:
        """(B, T, C) condition tokens, zeros for what is dropped."""
        return condition.tokens(self.condition, inputs, keep, count)

    def predict(self, tokens: Tensor | None, beside: TextureTables) -> Predict:
        """Velocity of the voxels' latents."""
        context = None if tokens is None else self.flow.prepare(tokens)

        def velocity(x: Latents, t: Tensor, d: Tensor) -> dict[str, Tensor]:
            return {"slat": self.flow(x["slat"], t, beside, context)}

        return velocity
