"""The bundle in the repository: whole, small, and as good as docs/evaluation.md says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sam3d_ros.evaluate.methods import method_by_name
from sam3d_ros.evaluate.posed import posed_metrics
from sam3d_ros.evaluate.splits import SplitSource
from sam3d_ros.runtime.bundle import read_bundle

FOLDER = Path(__file__).resolve().parents[2] / "engines" / "compact"
EXPECTED = (0.980, 0.997, 0.0021)
"""vIoU, F1 at 5 % and ADD-S of the first three views of procedural-heldout, means."""


def test_every_file_is_as_it_was_written_and_all_are_small() -> None:
    bundle = read_bundle(FOLDER)
    bundle.verify()
    assert set(bundle.graphs) == {"geometry_prepare", "geometry_step", "texture_prepare", "texture_step"}
    assert bundle.bytes < 40e6
    assert bundle.about.licence == "Apache-2.0"
    assert bundle.about.training["record"] == "docs/training.md"


def test_weights_fit_the_networks() -> None:
    torch = pytest.importorskip("torch")
    from sam3d_ros.model.compact.geometry import CompactGeometry
    from sam3d_ros.model.compact.texture import CompactTexture
    from sam3d_ros.train.compact.bundle import CONFIGS

    bundle = read_bundle(FOLDER)
    first, second = CONFIGS[bundle.about.training["config"]]
    for name, network in (("geometry", CompactGeometry(first)), ("texture", CompactTexture(second))):
        network.load_state_dict({k: torch.from_numpy(v) for k, v in bundle.tensors(name).items()})


def test_golden_reconstructions() -> None:
    """The first three views of a split that training never saw (docs/evaluation.md)."""
    source, predict = (
        SplitSource("procedural-heldout", 3),
        method_by_name(f"compact:model={FOLDER}:fallback=no"),
    )
    found = []
    for shot in map(source.load, source.keys()):
        for target, answer in zip(shot.targets, predict(shot), strict=True):
            assert answer.mesh is not None, answer.reason
            assert answer.mesh.colors is not None
            m = posed_metrics(answer.mesh, answer.T_cam_obj, target.mesh, target.T_cam_obj)
            found.append((m.viou, m.f1, m.add_s))
    off = np.abs(np.mean(found, axis=0) - EXPECTED)
    assert (off < (0.02, 0.02, 0.001)).all(), off
