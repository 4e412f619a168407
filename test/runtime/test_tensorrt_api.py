"""Every name of TensorRT and CUDA that we call exists in all releases that we say we run with.

The record of TensorRT's names (test/golden/tensorrt_api.json) is made by scripts/tensorrt_api.py from the real bindings
of TensorRT 10.3, 10.16 and 11.4.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "sam3d_ros" / "runtime"
RECORD: dict[str, dict[str, list[str]]] = json.loads((ROOT / "test/golden/tensorrt_api.json").read_text())
MODULE = {"trt", "self._trt", "tensorrt"}
# What our files call an object -> its class.
OBJECTS = {
    "builder": "Builder",
    "parser": "OnnxParser",
    "parser.get_error(i)": "ParserError",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "timing_cache": "ITimingCache",
    "self._runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "self._context": "IExecutionContext",
}


def chains(path: Path) -> Iterator[tuple[str, str]]:
    """Every `owner.name` of a file, the owner as it is written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node.value), node.attr


USED = {chain for name in ("tensorrt_build", "tensorrt_backend") for chain in chains(RUNTIME / f"{name}.py")}


def problems(classes: dict[str, list[str]], used: set[tuple[str, str]]) -> list[str]:
    """Names of `used` that a release lacks."""
    found = []
    for owner, name in sorted(used):
        module, _, inner = owner.rpartition(".")
        if owner in MODULE and name not in classes and name != "__version__":
            found.append(f"trt.{name}")
        elif module in MODULE and name not in classes.get(inner, ()) and name != "__init__":
            found.append(f"trt.{inner}.{name}")
        elif owner in OBJECTS and name not in classes.get(OBJECTS[owner], ()):
            found.append(f"{OBJECTS[owner]}.{name}")
    return found


@pytest.mark.parametrize("version", RECORD)
def test_every_name_exists(version: str) -> None:
    assert problems(RECORD[version], USED) == []


def test_the_check_sees_what_is_used_and_what_is_gone() -> None:
    owners = {owner for owner, _ in USED}
    assert set(OBJECTS) <= owners
    assert {"trt", "self._trt", "trt.NetworkDefinitionCreationFlag"} <= owners
    gone = {("trt.BuilderFlag", "FP16"), ("engine", "device_memory_size"), ("trt", "IInt8Calibrator")}
    assert problems(RECORD["11.4.0.106"], gone) == [
        "ICudaEngine.device_memory_size",
        "trt.IInt8Calibrator",
        "trt.BuilderFlag.FP16",
    ]
    assert list(RECORD) == ["10.3.0", "10.16.1.11", "11.4.0.106"]


def test_every_name_of_cuda_exists() -> None:
    runtime = pytest.importorskip(
        "cuda.bindings.runtime", reason="no cuda-bindings: requirements/engines.txt"
    )
    used = {name for owner, name in chains(RUNTIME / "cuda.py") if owner == "self._rt" or owner == "runtime"}
    assert len(used) > 10
    assert [name for name in sorted(used) if not hasattr(runtime, name)] == []
    inner = {
        (o.rpartition(".")[2], n) for o, n in chains(RUNTIME / "cuda.py") if o.startswith("self._rt.cuda")
    }
    assert inner
    assert [f"{o}.{n}" for o, n in sorted(inner) if not hasattr(getattr(runtime, o), n)] == []


def test_without_a_gpu_the_backend_says_so_and_touches_nothing() -> None:
    """In a process of its own: nothing of TensorRT may be loaded before the GPU was found."""
    code = (
        "import sys\n"
        "from sam3d_ros.runtime.gpu import find_gpu\n"
        "from sam3d_ros.runtime.tensorrt_backend import TensorRtBackend\n"
        "from sam3d_ros.types import InputError\n"
        "if not isinstance(find_gpu(), str):\n    sys.exit('there is a GPU')\n"
        "try:\n    TensorRtBackend()\n"
        "except InputError as error:\n    print(error, 'tensorrt' in sys.modules, 'cuda' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    if "there is a GPU" in done.stderr:
        pytest.skip("there is a GPU")
    assert done.stdout.startswith("TensorRT needs a CUDA GPU: "), done.stderr
    assert done.stdout.endswith("False False\n")
