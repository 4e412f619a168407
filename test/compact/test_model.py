"""The model at run time: ONNX Runtime against torch, candidates, seeds, and bundles that are something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from looks import ASIDE, frame_of, views_of
from scenes import box_scene

from sam3d_ros.compact.ask import Question, ask
from sam3d_ros.compact.model import CompactModel, Sampling
from sam3d_ros.mesh.check import MeshError, is_watertight
from sam3d_ros.runtime.bundle import Bundle, read_bundle
from sam3d_ros.runtime.onnxruntime_backend import OnnxRuntimeBackend
from sam3d_ros.types import InputError


@pytest.fixture(scope="module")
def bundle(tiny_compact: Path) -> Bundle:
    return read_bundle(tiny_compact)


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> CompactModel:
    return CompactModel(bundle, OnnxRuntimeBackend(1))


@pytest.fixture(scope="module")
def questions(model: CompactModel) -> list[Question]:
    scene = box_scene(boxes=ASIDE)
    frame = frame_of(scene)
    return [ask(view, frame, model.side, model.pixels) for view in views_of(frame, scene)]


def test_shapes_are_those_of_torch(bundle: Bundle, model: CompactModel, questions: list[Question]) -> None:
    """The same weights, the same noise, another backend."""
    torch = pytest.importorskip("torch")
    from tiny_compact import CONFIG

    from sam3d_ros.model.compact.geometry import CompactGeometry
    from sam3d_ros.runtime.torch_backend import TorchBackend
    from sam3d_ros.train.compact.export import PrepareGraph, StepGraph

    network = CompactGeometry(CONFIG)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in bundle.tensors("geometry").items()})
    graphs = {"geometry_prepare": PrepareGraph(network.eval()), "geometry_step": StepGraph(network)}
    for sampling in (Sampling(steps=3, candidates=2), Sampling(steps=1, shortcut=True, seed=5)):
        ours = model.shapes(questions, sampling)
        theirs = CompactModel(bundle, TorchBackend(graphs)).shapes(questions, sampling)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.distance, b.distance, atol=1e-4)
            for name in a.layout:
                np.testing.assert_allclose(a.layout[name], b.layout[name], atol=1e-4)


def test_a_shape_lies_in_its_box(model: CompactModel, questions: list[Question]) -> None:
    for question, shape in zip(questions, model.shapes(questions), strict=True):
        assert shape.distance.shape == (2, 16, 16, 16)
        mesh = shape.mesh(0.0)
        assert is_watertight(mesh)
        assert (np.abs(question.box.unit(mesh.vertices.astype(np.float64))) < 1.2).all()
        with pytest.raises(MeshError, match="no inside"):
            shape.mesh(-9.0)


def test_candidates_are_seeds_of_their_own(model: CompactModel, questions: list[Question]) -> None:
    many = model.shapes(questions, Sampling(steps=2, candidates=3, seed=4))
    few = model.shapes(questions, Sampling(steps=2, candidates=1, seed=4))
    for a, b in zip(many, few, strict=True):
        np.testing.assert_allclose(a.candidate(0).distance, b.distance, atol=1e-5)
        np.testing.assert_allclose(a.candidate(0).layout["scale"], b.layout["scale"], atol=1e-5)
        assert np.abs(a.distance[0] - a.distance[1]).max() > 1e-3
    other = model.shapes(questions, Sampling(steps=2, candidates=1, seed=5))
    assert np.abs(other[0].distance - few[0].distance).max() > 1e-3
    assert model.shapes([]) == []


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"candidates": 0}, {"pick": "worst"}])
def test_a_sampling_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Sampling(**wrong)  # type: ignore[arg-type]


def test_a_bundle_of_another_kind(bundle: Bundle) -> None:
    def with_settings(**changes: object) -> Bundle:
        about = replace(bundle.about, settings={**bundle.about.settings, **changes})
        return replace(bundle, about=about)

    for changes in ({"grid": "large"}, {"layout": {"scale": {}}}, {"sampling": {"speed": 1}}, {"layout": 3}):
        with pytest.raises(InputError, match="not a compact model"):
            CompactModel(with_settings(**changes), OnnxRuntimeBackend(1))
    with pytest.raises(InputError, match="geometry_step"):
        CompactModel(
            replace(bundle, graphs={"geometry_prepare": bundle.graphs["geometry_prepare"]}),
            OnnxRuntimeBackend(1),
        )
