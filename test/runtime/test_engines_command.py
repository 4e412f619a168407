"""`sam3d engines`: exit codes and what is said; the exports themselves are in test_networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from sam3d_ros.cli import dispatch
from sam3d_ros.runtime.bundle import Bundle
from sam3d_ros.runtime.cache import PlanCache, PlanKey
from sam3d_ros.runtime.gpu import Gpu, find_gpu


def test_check_and_bench_run_every_graph(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["check"], ["bench", "--repeat", "2"]):
        args = [
            *command[:1],
            str(tiny_bundle.folder),
            "--backend",
            "onnxruntime",
            "--threads",
            "1",
            *command[1:],
        ]
        assert dispatch(["engines", *args]) == 0
        said = capsys.readouterr().out
        assert "tiny with onnxruntime on cpu" in said
        assert [line.split()[0] for line in said.splitlines()[1:]] == ["scale", "total"]


def test_a_damaged_graph_fails_by_name(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny_bundle.folder / "scale.data").write_bytes(b"0" * 12)
    assert dispatch(["engines", "check", str(tiny_bundle.folder), "--backend", "onnxruntime"]) == 1
    said = capsys.readouterr().out
    assert "scale                    FAILED: " in said
    assert "total                    ok" in said


@pytest.mark.skipif(isinstance(find_gpu(), Gpu), reason="there is a GPU")
def test_building_without_a_gpu_is_one_sentence(
    tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["engines", "build", str(tiny_bundle.folder)]) == 2
    assert capsys.readouterr().err.startswith("sam3d engines: TensorRT needs a CUDA GPU: ")


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["check", "nobody"], "no bundle 'nobody'"),
        (["bench", "nobody", "--backend", "cray"], "no bundle 'nobody'"),
        (["export", "--opset", "23", "--precision", "fp32"], "opset 20 for fp32"),
        (["export", "--graphs", "geometry_leap"], "no graph geometry_leap; there are geometry_image"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    args: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["engines", *args]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert reason in line


def test_list_and_prune(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    key = PlanKey.of(tiny_bundle.graphs["scale"], "tensorrt 11.4.0", "NVIDIA Thor 11.0")
    PlanCache().get(key, lambda: bytes(2_000_000))
    assert dispatch(["engines", "list"]) == 0
    said = capsys.readouterr().out
    assert "2.0 MB  tensorrt 11.4.0 on NVIDIA Thor 11.0, fp32" in said
    assert "1 plans, 0.00 of 21 GB" in said
    assert dispatch(["engines", "prune"]) == 0
    assert "removed 0 plans" in capsys.readouterr().out
    assert dispatch(["engines", "prune", "--all"]) == 0
    assert "removed 1 plans" in capsys.readouterr().out
    assert not list(PlanCache().folder.glob("*.plan"))
