"""The exported graphs and the bundle answer as the torch networks do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from looks import ASIDE, frame_of, views_of
from safetensors.torch import load_file
from scenes import box_scene
from small_compact import GEOMETRY, TEXTURE, batch, examples
from torch import nn

from sam3d_ros.compact.ask import Question, ask, stacked
from sam3d_ros.compact.mirror import mirrored
from sam3d_ros.compact.model import ORDER, TEXTURE_ORDER, CompactModel, noise_of
from sam3d_ros.model.compact.config import LAYOUT
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.runtime.bundle import Bundle, read_bundle
from sam3d_ros.runtime.onnxruntime_backend import OnnxRuntimeBackend
from sam3d_ros.runtime.tensorrt_build import build_plan
from sam3d_ros.train.compact import bundle as module
from sam3d_ros.train.compact.bundle import renew
from sam3d_ros.train.compact.export import LARGE
from sam3d_ros.types import InputError

# The exporter takes its time for four graphs, once.
pytestmark = pytest.mark.timeout(600)
Networks = tuple[CompactGeometry, CompactTexture]
Arrays = dict[str, np.ndarray]
GRAPHS = ("geometry_prepare", "geometry_step", "texture_prepare", "texture_step")
SIZES: dict[str, tuple[int, ...]] = {"shape": (1, 16, 16, 16), **{name: (1, n) for name, n in LAYOUT.items()}}


def run(bundle: Bundle, name: str, inputs: Arrays) -> Arrays:
    session = onnxruntime.InferenceSession(
        str(bundle.folder / f"{name}.onnx"), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def close(graph: Arrays, torch_answer: dict[str, torch.Tensor]) -> None:
    for name, value in torch_answer.items():
        np.testing.assert_allclose(graph[f"v_{name}"], value.numpy(), rtol=2e-3, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("size", [1, 3])
def test_both_stages_equal_torch(bundle: Bundle, networks: Networks, size: int) -> None:
    geometry, texture = networks
    one = batch(examples(size, seed=size, fine=True))
    generator = torch.Generator().manual_seed(size)
    t, d = torch.rand(size, generator=generator) * 900, torch.full((size,), 250.0)
    shape = torch.randn(size, 1, 16, 16, 16, generator=generator)
    x = {"shape": shape, **{n: torch.randn(size, 1, c, generator=generator) for n, c in LAYOUT.items()}}
    inputs = {"grid": one["grid"], "picture": one["picture"], "numbers": one["globals"]}
    numpy_inputs = {n: v.numpy() for n, v in inputs.items()}
    times = {"t": t.numpy(), "d": d.numpy()}
    with torch.no_grad():
        context = run(bundle, "geometry_prepare", numpy_inputs)
        answer = run(bundle, "geometry_step", {n: v.numpy() for n, v in x.items()} | times | context)
        close(answer, geometry(x, t, d, geometry.prepare(*inputs.values())))
        coarse = one["shape"][:, None]
        y = {
            "distance": torch.randn(size, 1, 24, 24, 24, generator=generator),
            "colour": torch.randn(size, 3, 16, 16, 16, generator=generator),
        }
        more = {"coarse": coarse.numpy(), "seen": one["seen"].numpy()}
        context = run(bundle, "texture_prepare", numpy_inputs | more)
        answer = run(bundle, "texture_step", {n: v.numpy() for n, v in y.items()} | times | context)
        ready = texture.prepare(coarse, one["grid"], one["seen"], one["globals"], one["picture"])
        close(answer, texture(y, t, d, ready))


def test_weights_lie_in_the_bundle_once(bundle: Bundle) -> None:
    """In half precision in the safetensors, where the graphs read them; what they compute with is fp32."""
    for name, spec in bundle.graphs.items():
        stage = name.split("_")[0]
        stored = load_file(bundle.weights[stage].verify(bundle.folder))
        assert (spec.precision, spec.data) == ("fp32", (bundle.weights[stage],))
        inline = onnx.load(spec.path, load_external_data=False).graph.initializer
        outside = {w.name for w in inline if w.data_location == onnx.TensorProto.EXTERNAL}
        assert all(np.prod(w.dims) < LARGE for w in inline if w.name not in outside | {"network.position"})
        graph = onnx.load(spec.path).graph
        cast = {node.input[0] for node in graph.node if node.op_type == "Cast"}
        found = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer if w.name in outside}
        assert found.keys() <= cast
        for key, value in found.items():
            np.testing.assert_array_equal(value, stored[key.removesuffix("_half")].numpy())
    read = {n for s in bundle.graphs.values() for n in halves(onnx.load(s.path))}
    large = {n for w in bundle.weights for n, v in bundle.tensors(w).items() if v.size >= LARGE}
    assert {f"{n}_half" for n in large} <= read


def halves(model: onnx.ModelProto) -> set[str]:
    """Names of the weights in half precision."""
    return {w.name for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_runtime_makes_of_the_weights_what_it_needs_when_it_loads_them(
    bundle: Bundle, name: str, tmp_path: Path
) -> None:
    """Nothing of that is left for a pass."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(bundle.graphs[name].path, options, providers=["CPUExecutionProvider"])
    made = onnx.load(tmp_path / "optimised.onnx")
    assert halves(onnx.load(bundle.graphs[name].path))
    assert not halves(made)
    weights = {w.name for w in made.graph.initializer}
    assert not [n.name for n in made.graph.node if n.op_type == "Conv" and n.input[1] not in weights]
    assert not [n.name for n in made.graph.node if n.input and weights.issuperset(n.input)]


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    scene = box_scene(boxes=ASIDE)
    frame = frame_of(scene)
    return [ask(view, frame, 16, 24) for view in views_of(frame, scene)]


def test_a_bundle_answers_as_the_networks_it_was_made_of(
    bundle: Bundle, networks: Networks, questions: list[Question]
) -> None:
    """Two even steps of Euler in torch, from the noise that the model draws."""
    again = read_bundle(bundle.folder)
    again.verify()
    model = CompactModel(again, OnnxRuntimeBackend(device="cpu", threads=1))
    shapes = model.shapes(questions)
    geometry, _ = networks
    asked = stacked(questions)
    with torch.no_grad():
        # Every second candidate looks into a mirror.
        for candidate, inputs in enumerate((asked, mirrored(asked))):
            context = geometry.prepare(*(torch.from_numpy(np.ascontiguousarray(v)) for v in inputs.values()))
            noise = noise_of(SIZES, ORDER, 0, candidate)
            x = {n: torch.from_numpy(np.stack([noise[n]] * len(questions))) for n in ORDER}
            for t in (0.0, 500.0):
                v = geometry(x, torch.full((2,), t), torch.zeros(2), context)
                x = {n: x[n] + 0.5 * v[n] for n in ORDER}
            for i, made in enumerate(shapes):
                expected = x["shape"][i, 0].numpy() / GEOMETRY.shape_gain
                expected = expected[:, ::-1] if candidate else expected
                np.testing.assert_allclose(made.distance[candidate], expected, rtol=2e-3, atol=1e-3)
                mean, std = (np.array(s["scale"]) for s in (GEOMETRY.layout_mean, GEOMETRY.layout_std))
                scale = x["scale"][i, 0].numpy() * std + mean
                np.testing.assert_allclose(made.layout["scale"][candidate], scale, rtol=2e-3, atol=1e-3)
    refined = model.refine(questions, shapes)
    assert [r.distance.shape for r in refined] == [(24, 24, 24)] * 2
    assert [r.colour.shape for r in refined] == [(3, 16, 16, 16)] * 2
    assert set(TEXTURE_ORDER) == {"distance", "colour"}


def test_the_weights_of_a_bundle_are_those_of_the_networks(bundle: Bundle, networks: Networks) -> None:
    """In half precision, for whoever trains on."""
    for name, network in zip(("geometry", "texture"), networks, strict=True):
        stored = load_file(bundle.folder / f"{name}.safetensors")
        own = network.state_dict()
        assert stored.keys() == own.keys()
        for key, value in stored.items():
            assert torch.allclose(value.float(), own[key], rtol=1e-3, atol=1e-6), key


@pytest.mark.parametrize("name", GRAPHS)
def test_tensorrt_compiles_it(bundle: Bundle, name: str) -> None:
    trt = pytest.importorskip(
        "tensorrt_rtx_bindings", reason="requirements/engines.txt", exc_type=ImportError
    )
    assert len(build_plan(bundle.graphs[name], trt)) > 10_000


def test_a_size_is_known_by_its_name(
    bundle: Bundle, networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `renew` would write the graphs of; writing them takes its time and is what made the bundle."""
    folder = tmp_path / bundle.folder.name
    shutil.copytree(bundle.folder, folder)
    with pytest.raises(InputError, match=r"training\.config of its manifest is None, not nano or compact"):
        renew(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["training"]["config"] = "tiny"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setitem(module.CONFIGS, "tiny", (GEOMETRY, TEXTURE))
    asked: list[nn.Module] = []
    monkeypatch.setattr(module, "_write_graphs", lambda _, __, *found: asked.extend(found[:2]) or bundle)
    renew(folder)
    for found, own in zip(asked, networks, strict=True):
        assert found.config == own.config
        for name, value in own.state_dict().items():
            torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-3, atol=1e-6)
