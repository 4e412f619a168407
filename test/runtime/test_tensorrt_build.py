"""A real compile without a GPU: TensorRT for RTX has TensorRT 11's parser, builder and names, and builds on the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_bundle as tiny

from sam3d_ros.runtime.bundle import Bundle
from sam3d_ros.runtime.cache import PlanCache, PlanKey
from sam3d_ros.runtime.tensorrt_build import build_plan
from sam3d_ros.types import Cancelled, InputError

trt: Any = pytest.importorskip(
    "tensorrt_rtx_bindings",
    reason="no TensorRT for RTX: pip install -r requirements/engines.txt",
    exc_type=ImportError,
)


def test_a_plan_is_built_with_progress_and_kept(tiny_bundle: Bundle, tmp_path: Path) -> None:
    spec, seen = tiny_bundle.graphs["scale"], []
    cache = PlanCache(tmp_path / "plans")
    key = PlanKey.of(spec, f"tensorrt_rtx {trt.__version__}", "any RTX")

    def build() -> memoryview:
        return build_plan(spec, trt, progress=lambda *step: seen.append(step))

    plan = cache.get(key, build).read_bytes()
    assert len(plan) > 10_000
    assert all(0 < done <= total for _, done, total in seen)
    assert {"Building engine", "Optimizing graph"} <= {phase for phase, _, _ in seen}


def test_a_stop_is_obeyed(tiny_bundle: Bundle) -> None:
    with pytest.raises(Cancelled, match="stopped building scale"):
        build_plan(tiny_bundle.graphs["scale"], trt, should_stop=lambda: True)


@pytest.mark.parametrize(
    ("profiles", "reason"),
    [
        ((), "needs a profile with the sizes of rows"),
        (({"rows": (1, 2, 3)}, {"rows": (5, 2, 3)}), r"refuses profile 1 .*MIN<=OPT<=MAX"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(tiny_bundle: Bundle, profiles, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        build_plan(replace(tiny_bundle.graphs["scale"], profiles=profiles), trt)


def test_an_operator_that_tensorrt_lacks_is_named(tiny_bundle: Bundle) -> None:
    """Scatter with a sum, which is why index tables are made outside of the graphs."""
    path = tiny_bundle.folder / "sum.onnx"
    node = tiny.helper.make_node("ScatterND", ["x", "i", "u"], ["y"], reduction="add")
    F, I = tiny.TensorProto.FLOAT, tiny.TensorProto.INT64  # noqa: E741
    inputs = {"x": (F, ["rows", 3]), "i": (I, ["rows", 1]), "u": (F, ["rows", 3])}
    tiny.save(path, [node], inputs, {"y": (F, ["rows", 3])}, [])
    sizes = {"sum": [{"rows": (1, 2, 4)}]}
    bundle = tiny.write_bundle(tiny_bundle.folder, tiny.ABOUT, {"sum": "sum.onnx"}, profiles=sizes)
    with pytest.raises(InputError, match=r"TensorRT cannot read it: .*ScatterND"):
        build_plan(bundle.graphs["sum"], trt)


def test_files_are_checked_first(tiny_bundle: Bundle) -> None:
    spec = tiny_bundle.graphs["scale"]
    (tiny_bundle.folder / "scale.data").write_bytes(b"0" * 12)
    with pytest.raises(InputError, match=r"scale\.data: damaged or foreign"):
        build_plan(spec, trt)
