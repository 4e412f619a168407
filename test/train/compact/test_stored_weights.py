"""A graph reads its weights out of the safetensors file beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_bundle as tiny
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sam3d_ros.runtime.bundle import write_bundle
from sam3d_ros.runtime.onnxruntime_backend import OnnxRuntimeBackend
from sam3d_ros.train.compact.export import write_graph
from sam3d_ros.train.compact.stored_weights import stored_weights


class Graph(nn.Module):
    """Of a linear layer, as `write_graph` wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(48, 32)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 48) -> (B, T, 32)."""
        return self.network(x)


def save(network: nn.Module, path: Path) -> None:
    save_file({name: value.detach().half() for name, value in network.state_dict().items()}, path)


def test_the_file_is_weights_and_data_and_counts_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph, x = Graph(), torch.randn(3, 5, 48)
    save(graph.network, tmp_path / "w.safetensors")
    weights = stored_weights(tmp_path / "w.safetensors")
    write_graph(graph, (torch.zeros(2, 5, 48),), tmp_path / "g.onnx", ["x"], ["y"], weights)
    bundle = write_bundle(tmp_path, tiny.ABOUT, {"g": "g.onnx"}, {"w": "w.safetensors"})
    assert bundle.graphs["g"].data == (bundle.weights["w"],)
    assert bundle.bytes == sum((tmp_path / name).stat().st_size for name in ("g.onnx", "w.safetensors"))
    # Not transposed, which is how the graph uses it.
    large = [t for t in onnx.load(tmp_path / "g.onnx").graph.initializer if np.prod(t.dims) > 100]
    assert [(t.name, tuple(t.dims)) for t in large] == [("weight_half", (32, 48))]
    answer = OnnxRuntimeBackend(threads=1).load(bundle.graphs["g"])({"x": x.numpy()})
    with torch.no_grad():
        graph.network.weight.copy_(graph.network.weight.half())
        np.testing.assert_allclose(answer["y"], graph(x).numpy(), rtol=1e-4, atol=1e-5)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save(nn.Linear(48, 32), tmp_path / "w.safetensors")
    weights = stored_weights(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="weight is not the network's"):
        write_graph(Graph(), (torch.zeros(2, 5, 48),), tmp_path / "g.onnx", ["x"], ["y"], weights)


def test_only_half_precision_is_read(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(3)}, tmp_path / "w.safetensors", {"note": "no tensor"})
    weights = stored_weights(tmp_path / "w.safetensors")
    assert list(weights.places) == ["w"]
    with pytest.raises(ValueError, match="w is F32, not F16"):
        weights.tensor("w")
