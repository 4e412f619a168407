"""Weights to begin with: those of diffusion transformers (Peebles & Xie 2023), every block the identity."""

from __future__ import annotations

import torch
from torch import nn

from sam3d_ros.model.block import FlowBlock, TwoStreamBlock
from sam3d_ros.model.geometry import GeometryFlow, Latent
from sam3d_ros.model.layers import ScalarEmbedding
from sam3d_ros.model.texture import SparseResBlock, TextureFlow


@torch.no_grad()
def initialise(network: nn.Module) -> None:
    """Linear layers of the flows (Xavier), their embeddings (N(0, 0.02)), and zero for what makes blocks and velocities
    begin as nothing: modulations, last convolutions, readouts, and the embedder of step sizes.

    Condition encoders keep what they have.
    """
    for flow in network.modules():
        if not isinstance(flow, GeometryFlow | TextureFlow):
            continue
        for module in flow.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for module in flow.modules():
            if isinstance(module, ScalarEmbedding):
                nn.init.normal_(module.fc1.weight, std=0.02)
                nn.init.normal_(module.fc2.weight, std=0.02)
            elif isinstance(module, FlowBlock | TwoStreamBlock | SparseResBlock):
                _zero(module.modulation)
            if isinstance(module, SparseResBlock):
                _zero(module.conv2)
            if isinstance(module, Latent):
                _zero(module.readout_layer)
                if isinstance(module.position, nn.Parameter):
                    nn.init.normal_(module.position, std=0.02)
        if isinstance(flow, TextureFlow):
            _zero(flow.out_layer)
        else:
            zero_step_embedder(flow)


@torch.no_grad()
def zero_step_embedder(flow: GeometryFlow) -> None:
    """Make the step size say nothing yet (paper, distillation: the embedder's last layer begins at zero)."""
    _zero(flow.step_embed.fc2)


def _zero(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
