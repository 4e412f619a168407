"""The backends behind one protocol: same inputs, same outputs, same refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle as tiny
import torch

from sam3d_ros.runtime.backend import Backend, Handle, arrays
from sam3d_ros.runtime.bundle import Bundle, read_bundle
from sam3d_ros.runtime.onnxruntime_backend import OnnxRuntimeBackend
from sam3d_ros.runtime.spec import DTYPES, TensorSpec
from sam3d_ros.runtime.torch_backend import TorchBackend
from sam3d_ros.types import InputError

MODULES = {
    "scale": lambda x: x * torch.from_numpy(tiny.WEIGHTS),
    "total": lambda y, n: (y.sum(0), n + 1),
}
X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


@pytest.fixture(params=["onnxruntime", "torch"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return OnnxRuntimeBackend(threads=1) if request.param == "onnxruntime" else TorchBackend(MODULES)


@pytest.mark.parametrize("rows", [1, 5, 64])
def test_outputs(backend: Backend, tiny_bundle: Bundle, rows: int) -> None:
    scale = backend.load(tiny_bundle.graphs["scale"])
    x = np.arange(3 * rows, dtype=np.float32).reshape(rows, 3)
    y = scale({"x": x})
    assert isinstance(y["y"], np.ndarray)
    np.testing.assert_allclose(y["y"], x * tiny.WEIGHTS, rtol=1e-6)


def test_what_is_kept_goes_into_the_next_graph(backend: Backend, tiny_bundle: Bundle) -> None:
    scale, total = (backend.load(tiny_bundle.graphs[n]) for n in ("scale", "total"))
    y = scale({"x": X}, keep=("y",))["y"]
    assert isinstance(y, Handle)
    assert (y.shape, y.dtype) == ((5, 3), "float32")
    np.testing.assert_allclose(y.numpy(), X * tiny.WEIGHTS, rtol=1e-6)
    out = total({"y": y, "n": np.array(6, np.int64)}, keep=("s",))
    np.testing.assert_allclose(arrays(out)["s"], (X * tiny.WEIGHTS).sum(0), rtol=1e-5)
    assert out["next"] == 7


def test_arrays_of_any_layout(backend: Backend, tiny_bundle: Bundle) -> None:
    scale = backend.load(tiny_bundle.graphs["scale"])
    wide = np.arange(60, dtype=np.float32).reshape(10, 6)
    y = arrays(scale({"x": wide[::2, ::2]}))["y"]
    np.testing.assert_allclose(y, wide[::2, ::2] * tiny.WEIGHTS)
    np.testing.assert_allclose(arrays(scale({"x": np.asfortranarray(X)}))["y"], X * tiny.WEIGHTS, rtol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "missing y, n"),
        ({"y": X, "n": np.array(1, np.int64), "z": X}, "unknown z"),
        ({"y": X.astype(np.float64), "n": np.array(1, np.int64)}, "given as float64"),
        ({"y": X[:, :2], "n": np.array(1, np.int64)}, r"given as \[5, 2\]"),
        ({"y": X[0], "n": np.array(1, np.int64)}, r"given as \[3\]"),
        ({"y": X, "n": np.array(1, np.int32)}, "n: int64"),
    ],
)
def test_inputs_that_do_not_fit(backend: Backend, tiny_bundle: Bundle, inputs, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        backend.load(tiny_bundle.graphs["total"])(inputs)


def test_equal_names_must_be_equal_sizes(tiny_bundle: Bundle) -> None:
    spec = replace(
        tiny_bundle.graphs["scale"],
        inputs=(TensorSpec("a", "float32", ("rows", 3)), TensorSpec("b", "float32", (2, "rows"))),
    )
    assert spec.bind({"a": X, "b": np.zeros((2, 5), np.float32)}) == {"rows": 5}
    with pytest.raises(InputError, match="with rows = 5"):
        spec.bind({"a": X, "b": np.zeros((2, 4), np.float32)})


def test_keeping_what_is_no_output(backend: Backend, tiny_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="no output z"):
        backend.load(tiny_bundle.graphs["scale"])({"x": X}, keep=("z",))


def test_handles_do_not_change_backends(tiny_bundle: Bundle) -> None:
    ours, theirs = OnnxRuntimeBackend(threads=1), TorchBackend(MODULES)
    for a, b in ((ours, theirs), (theirs, ours)):
        y = a.load(tiny_bundle.graphs["scale"])({"x": X}, keep=("y",))["y"]
        with pytest.raises(InputError, match="another backend"):
            b.load(tiny_bundle.graphs["total"])({"y": y, "n": np.array(1, np.int64)})


def test_onnxruntime_refuses_files_that_are_not_what_the_manifest_says(tiny_bundle: Bundle) -> None:
    backend, spec = OnnxRuntimeBackend(threads=1), tiny_bundle.graphs["scale"]
    wrong = replace(spec, inputs=(TensorSpec("x", "float16", ("rows", 3)),))
    with pytest.raises(InputError, match="the manifest says inputs"):
        backend.load(wrong)
    with pytest.raises(InputError, match="the manifest says outputs"):
        backend.load(replace(spec, outputs=(TensorSpec("z", "float32", ("rows", 3)),)))
    spec.path.write_bytes(tiny_bundle.graphs["total"].path.read_bytes())
    with pytest.raises(InputError, match=r"scale\.onnx"):
        backend.load(spec)


def test_onnxruntime_says_why_it_cannot_load_a_graph(tiny_bundle: Bundle) -> None:
    """The hash is right, the operator is unknown."""
    path = tiny_bundle.folder / "odd.onnx"
    node = tiny.helper.make_node("Nonsense", ["x"], ["y"])
    tensor = (tiny.TensorProto.FLOAT, ["rows"])
    tiny.save(path, [node], {"x": tensor}, {"y": tensor}, [])
    tiny.write_bundle(tiny_bundle.folder, tiny.ABOUT, {"odd": "odd.onnx"})
    with pytest.raises(InputError, match=r"ONNX Runtime cannot load it.*Nonsense"):
        OnnxRuntimeBackend().load(read_bundle(tiny_bundle.folder).graphs["odd"])


@pytest.mark.parametrize("wrong", [{"threads": -1}, {"device": "tpu"}, {"device": "cuda"}])
def test_onnxruntime_settings(wrong) -> None:
    import onnxruntime

    if wrong == {"device": "cuda"} and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(InputError):
        OnnxRuntimeBackend(**wrong)


def test_torch_without_the_module(tiny_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="only scale"):
        TorchBackend({"scale": MODULES["scale"]}).load(tiny_bundle.graphs["total"])


def test_iterating_feeds_results_back(tmp_path: Path) -> None:
    """x_next = x * w + dt, four times, against the same by hand; the state never leaves the backend in between."""
    folder = tmp_path / "loop"
    folder.mkdir()
    weights = tiny.numpy_helper.from_array(tiny.WEIGHTS, "w")
    nodes = [
        tiny.helper.make_node("Mul", ["x", "w"], ["xw"]),
        tiny.helper.make_node("Add", ["xw", "dt"], ["x_next"]),
    ]
    F = tiny.TensorProto.FLOAT
    inputs = {"x": (F, ["rows", 3]), "dt": (F, [1])}
    tiny.save(folder / "loop.onnx", nodes, inputs, {"x_next": (F, ["rows", 3])}, [weights])
    spec = tiny.write_bundle(folder, tiny.ABOUT, {"loop": "loop.onnx"}).graphs["loop"]
    modules = {"loop": lambda x, dt: x * torch.from_numpy(tiny.WEIGHTS) + dt}
    dt = np.array([[0.5], [0.25], [0.125], [1.0]], np.float32)
    want = X
    for gap in dt:
        want = want * tiny.WEIGHTS + gap
    for backend in (OnnxRuntimeBackend(threads=1), TorchBackend(modules)):
        got = backend.load(spec).iterate({"x": X}, {"dt": dt}, {})
        np.testing.assert_allclose(got["x"], want, rtol=1e-6)
        with pytest.raises(InputError, match="equal numbers of steps"):
            backend.load(spec).iterate({"x": X}, {"dt": dt, "t": dt[:2]}, {})


def test_zeros_of_every_type(tiny_bundle: Bundle) -> None:
    for backend in (OnnxRuntimeBackend(threads=1), TorchBackend(MODULES)):
        for dtype in DTYPES:
            zeros = backend.zeros((2, 3), dtype)
            assert (zeros.shape, zeros.dtype) == ((2, 3), dtype)
            if dtype == "bfloat16":
                with pytest.raises(InputError, match="numpy does not have it"):
                    zeros.numpy()
            else:
                assert not zeros.numpy().any()
