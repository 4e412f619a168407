"""Two processes on the CPU (gloo) compute what one does: DDP, and FSDP with a stop in between."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import small_training
import torch
from safetensors.torch import load_file
from small_training import SHARED, shared

from sam3d_ros.train.journal import read_lines


@pytest.mark.timeout(900)
def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Stages of the toy with their real losses: the same losses and weights, every process starting elsewhere."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [*launch, small_training.__file__, str(tmp_path / "two")],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in SHARED:
        shared(name, tmp_path / "one", accumulate=2, sharded=False)
        one, two = (tmp_path / kind / name for kind in ("one", "two"))
        lines = [read_lines(folder / "log.jsonl") for folder in (one, two)]
        assert [line["step"] for line in lines[1]] == [1, 2, 3, 4]
        for mine, its in zip(*lines, strict=True):
            for key in mine.keys() - {"seconds"}:
                assert its[key] == pytest.approx(mine[key], rel=1e-4), (name, mine["step"], key)
        weights, others = (load_file(folder / "weights.safetensors") for folder in (one, two))
        assert weights.keys() == others.keys()
        for n in weights:
            assert torch.allclose(weights[n], others[n], rtol=1e-3, atol=1e-5), (name, n)
