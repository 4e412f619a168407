"""The model's second stage in the pipeline: finer meshes in the frames of the first ones, and what happens without."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from looks import ASIDE, frame_of
from scenes import box_scene

from sam3d_ros.methods.refined import refine_all
from sam3d_ros.methods.settings import Settings
from sam3d_ros.perception.masks import masks_from_labels
from sam3d_ros.pipeline import STAGES, Found, Reconstructor
from sam3d_ros.types import Cancelled, Frame, InputError, Mask, Reconstruction


@pytest.fixture(scope="module")
def both(tiny_both: Path) -> Reconstructor:
    return Reconstructor(Settings(method="compact", model=str(tiny_both), threads=1))


@pytest.fixture(scope="module")
def look() -> tuple[Frame, list[Mask]]:
    scene = box_scene(boxes=ASIDE)
    return frame_of(scene), masks_from_labels(scene.labels)


def test_meshes_get_finer_where_they_are(both: Reconstructor, look: tuple[Frame, list[Mask]]) -> None:
    frame, masks = look
    located = both.locate(frame, masks)
    for first, last in zip(located.results, both.finish(located), strict=True):
        assert isinstance(first, Reconstruction)
        assert isinstance(last, Reconstruction)
        assert (last.method, last.note) == ("compact", "")
        np.testing.assert_array_equal(first.T_cam_obj, last.T_cam_obj)
        assert len(last.mesh.faces) > 1.3 * len(first.mesh.faces)
        assert last.watertight
        assert last.mesh.colors is not None
        np.testing.assert_allclose(np.ptp(last.mesh.vertices, axis=0), last.size_m, atol=1e-5)
        np.testing.assert_allclose(last.size_m, first.size_m, atol=0.02)
        assert set(last.seconds) == set(STAGES)
        assert "refine" not in first.seconds


def test_a_batch_refines_like_single_objects(both: Reconstructor, look: tuple[Frame, list[Mask]]) -> None:
    network, sampling = both.chosen.model, both.chosen.sampling
    assert network is not None
    asked = [e.answer.asked for e in both.locate(*look).entries if isinstance(e, Found) and e.answer.asked]
    assert len(asked) == 2
    together = refine_all(network, sampling, asked)
    for a, one in zip(together, asked, strict=True):
        (b,) = refine_all(network, sampling, [one])
        assert not isinstance(a, str)
        assert not isinstance(b, str)
        np.testing.assert_allclose(a.distance, b.distance, atol=1e-5)
        np.testing.assert_allclose(a.colour, b.colour, atol=1e-5)


def test_the_second_stage_can_be_stopped(both: Reconstructor, look: tuple[Frame, list[Mask]]) -> None:
    stage = [""]
    located = both.locate(
        *look, cancel=lambda: stage[0] == "refine", progress=lambda name, *_: stage.__setitem__(0, name)
    )
    with pytest.raises(Cancelled, match="of 2 steps"):
        both.finish(located)


def test_where_it_fails_the_first_mesh_stays(
    tiny_both: Path, tmp_path: Path, look: tuple[Frame, list[Mask]]
) -> None:
    """The manifest says another fine grid than the graphs take."""
    folder = tmp_path / "both"
    shutil.copytree(tiny_both, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["settings"]["fine"] = 20
    (folder / "manifest.json").write_text(json.dumps(manifest))
    odd = Reconstructor(Settings(method="compact", model=str(folder)))
    located = odd.locate(*look)
    for first, last in zip(located.results, odd.finish(located), strict=True):
        assert isinstance(first, Reconstruction)
        assert isinstance(last, Reconstruction)
        assert "the second stage failed: InputError" in last.note
        np.testing.assert_array_equal(first.mesh.vertices, last.mesh.vertices)
        assert last.mesh.colors is not None
    del manifest["settings"]["fine"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="not a compact model"):
        Reconstructor(odd.settings)


def test_objects_of_the_classical_method_are_left_alone(
    both: Reconstructor, look: tuple[Frame, list[Mask]]
) -> None:
    empty = replace(both.chosen, sampling=replace(both.chosen.sampling, level=-9.0))
    for result in Reconstructor(both.settings, empty).reconstruct(*look):
        assert isinstance(result, Reconstruction)
        assert result.method == "extrude"
        assert "refine" not in result.seconds
