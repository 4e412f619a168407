"""Which backend is taken, and what is said where one cannot be."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from sam3d_ros import doctor
from sam3d_ros.runtime import find, select
from sam3d_ros.runtime.backend import arrays
from sam3d_ros.runtime.bundle import Bundle
from sam3d_ros.runtime.gpu import Gpu, find_gpu
from sam3d_ros.runtime.onnxruntime_backend import OnnxRuntimeBackend
from sam3d_ros.types import InputError

without_gpu = pytest.mark.skipif(isinstance(find_gpu(), Gpu), reason="there is a GPU")


@without_gpu
def test_auto_takes_what_works_and_says_why(tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        backend = select.make_backend(tiny_bundle, threads=1)
    assert isinstance(backend, OnnxRuntimeBackend)
    assert (backend.device, backend.threads) == ("cpu", 1)
    (line,) = caplog.messages
    assert line.startswith("tiny runs with onnxruntime, ")
    assert "tensorrt: " in line
    scale = backend.load(tiny_bundle.graphs["scale"])
    assert np.isfinite(arrays(scale({"x": np.ones((2, 3), np.float32)}))["y"]).all()


@without_gpu
@pytest.mark.parametrize("choice", ["tensorrt", "onnxruntime-cuda"])
def test_what_is_asked_for_and_not_there_is_refused(tiny_bundle: Bundle, choice: str) -> None:
    reason = find_gpu()
    with pytest.raises(InputError, match=f"tiny cannot run here: {choice}: ") as error:
        select.make_backend(tiny_bundle, choice)
    assert str(reason) in str(error.value)


def test_unknown_backends(tiny_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="'openvino' is not one of auto, tensorrt"):
        select.choose(tiny_bundle, "openvino")


def test_bf16_does_not_run_on_a_cpu(tiny_bundle: Bundle) -> None:
    half = {n: replace(g, precision="bf16") for n, g in tiny_bundle.graphs.items()}
    with pytest.raises(InputError, match="scale, total in bf16"):
        select.choose(replace(tiny_bundle, graphs=half), "onnxruntime")


def test_doctor_says_which_backend_each_bundle_gets(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(find.VARIABLE, str(tiny_bundle.folder.parent))
    lines = {f.name: f for f in doctor.findings()}
    assert lines["onnxruntime"].ok
    assert lines["tiny"].ok
    assert lines["tiny"].text.startswith("runs with ")
    (tiny_bundle.folder / "manifest.json").write_text("{}")
    broken = {f.name: f for f in doctor.findings()}["tiny"]
    assert broken.ok is None
    assert "not a manifest" in broken.text
