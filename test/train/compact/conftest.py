"""What the tests of the compact model's training share: one real scene, and the tiny networks as a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_compact import GEOMETRY, TEXTURE, shaken

from sam3d_ros.cli import dispatch
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.runtime.bundle import Bundle
from sam3d_ros.train.compact.bundle import write_compact_bundle

SCENE = 34
"""A table with a single thing on it: twelve looks in two seconds."""


@pytest.fixture(scope="session")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `sam3d train-data` filled with scene SCENE; nothing may write into it."""
    folder = tmp_path_factory.mktemp("scenes") / "nano"
    assert dispatch(["train-data", str(folder), "--first", str(SCENE), "--stop", str(SCENE + 1)]) == 0
    return folder


def geometry() -> CompactGeometry:
    torch.manual_seed(0)
    return shaken(CompactGeometry(GEOMETRY)).eval()


def texture() -> CompactTexture:
    torch.manual_seed(1)
    return shaken(CompactTexture(TEXTURE), 1).eval()


@pytest.fixture(scope="session")
def networks() -> tuple[CompactGeometry, CompactTexture]:
    """Both stages with random weights."""
    return geometry(), texture()


@pytest.fixture(scope="session")
def bundle(
    tmp_path_factory: pytest.TempPathFactory, networks: tuple[CompactGeometry, CompactTexture]
) -> Bundle:
    """Both stages as a bundle."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny-both"
    sampling = {"steps": 2, "candidates": 2, "seed": 0}
    return write_compact_bundle(folder, *networks, "0.0.1", sampling, {"data": "none", "steps": 0})
