"""Means of weights, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sam3d_ros.train.average import averaged, main
from sam3d_ros.types import InputError


def written(folder: Path, name: str, **weights: list[float]) -> Path:
    path = folder / f"{name}.safetensors"
    save_file({n: torch.tensor(v, dtype=torch.float16) for n, v in weights.items()}, path)
    return path


def test_means_even_and_by_shares(tmp_path: Path) -> None:
    a, b = written(tmp_path, "a", w=[1.0, 2.0], v=[0.0]), written(tmp_path, "b", w=[3.0, 6.0], v=[4.0])
    even, mostly = averaged([a, b]), averaged([a, b], [3, 1])
    assert even["w"].tolist() == [2, 4]
    assert mostly["w"].tolist() == [1.5, 3]
    assert mostly["v"].tolist() == [1]
    assert even["w"].dtype is torch.float32
    assert main(tmp_path / "out.safetensors", (a, b), (1, 0)) == 0
    assert load_file(tmp_path / "out.safetensors")["w"].tolist() == [1, 2]


def test_what_does_not_fit_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = written(tmp_path, "a", w=[1.0, 2.0])
    with pytest.raises(InputError, match="of another network"):
        averaged([a, written(tmp_path, "b", w=[1.0])])
    for shares in ([1.0], [1.0, -1.0], [0.0, 0.0]):
        with pytest.raises(InputError, match="2 weights need as many shares"):
            averaged([a, a], shares)
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    assert main(tmp_path / "out.safetensors", (a, tmp_path / "broken.safetensors")) == 1
    assert "holds no weights" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()
