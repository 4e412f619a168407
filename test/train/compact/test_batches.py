"""Batches of the compact model: the same from any place, mirrored, mixed by kind."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from small_compact import write
from torch import Tensor

from sam3d_ros.train.compact.batches import SceneBatches
from sam3d_ros.train.compact.store import save
from sam3d_ros.types import InputError

Batch = dict[str, Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five scenes of seven examples; what the second stage learns from the first two."""
    made = write(tmp_path_factory.mktemp("data"), scenes=3, each=7, first=2)
    return write(made, scenes=2, each=7, fine=True)


def read(batches: SceneBatches, count: int, first: int = 0, step: int = 1) -> list[Batch]:
    return list(islice(batches(first, step), count))


def equal(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        x.keys() == y.keys() and all(torch.equal(x[n], y[n]) for n in x) for x, y in zip(a, b, strict=True)
    )


def test_batches_are_the_same_from_any_place(folder: Path) -> None:
    """35 examples are eight batches of four a round; three rounds, the second and third in another order."""
    all_of_them = read(SceneBatches((folder,), 4, seed=1), 24)
    for first in (1, 7, 8, 13, 20):
        assert equal(read(SceneBatches((folder,), 4, seed=1), 3, first), all_of_them[first : first + 3])
    assert equal(read(SceneBatches((folder,), 4, seed=1), 5, first=3, step=4), all_of_them[3:20:4])
    assert not equal(all_of_them[:8], all_of_them[8:16])
    assert not equal(read(SceneBatches((folder,), 4, seed=2), 8), all_of_them[:8])


def test_workers_read_the_same_batches(folder: Path) -> None:
    alone = read(SceneBatches((folder,), 4, seed=1), 4, first=2, step=3)
    assert equal(read(SceneBatches((folder,), 4, seed=1, workers=2), 4, first=2, step=3), alone)


def test_a_round_shows_every_example_once_and_half_of_them_mirrored(folder: Path) -> None:
    """The globals name an example: they are random and no mirror changes them."""
    one = read(SceneBatches((folder,), 7, seed=3), 5)
    numbers = torch.cat([b["globals"] for b in one])
    assert len({tuple(row.tolist()) for row in numbers}) == 35
    again = {
        tuple(row.tolist()): y for b in read(SceneBatches((folder,), 7, seed=4), 5) for row, y in places(b)
    }
    kept = [again[tuple(row.tolist())] == y for b in one for row, y in places(b)]
    assert 8 <= sum(kept) <= 27


def places(batch: Batch) -> list[tuple[Tensor, float]]:
    return list(zip(batch["globals"], batch["translation"][:, 1].tolist(), strict=True))


def test_the_second_stage_reads_scenes_that_have_its_examples(folder: Path) -> None:
    one = read(SceneBatches((folder,), 7, seed=0, fine=True), 2)
    assert len({tuple(row.tolist()) for b in one for row in b["globals"]}) == 14
    assert one[0]["fine"].shape == (7, 24, 24, 24)
    assert one[0]["colour"].shape == (7, 3, 16, 16, 16)


def test_the_mix_lets_kinds_pass_by_weight(tmp_path: Path) -> None:
    """Twenty scenes of ten examples: half of them of an artist's thing, half of a random shape."""
    folder = write(tmp_path, scenes=20, each=10)
    save(folder / "objects" / "000000.npz", {"category": np.array("japanese_lantern")})
    save(folder / "objects" / "000001.npz", {"category": np.array("random_urdf")})
    for path in (folder / "scenes").iterdir():
        save(folder / "looks" / path.name, {"thing": np.arange(10) % 2})

    def seen(mix: dict[str, float], count: int) -> list[bool]:
        """Of the first examples, which are of the random shape: rotations are known for odd ones."""
        batches = SceneBatches((folder,), 2, seed=0, mix=mix)
        return [bool(x) for b in read(batches, count) for x in b["has_rotation"]]

    assert not any(seen({"artist": 1.0}, 40))
    assert all(seen({"random_urdfs": 0.3}, 40))
    share = np.mean(seen({"artist": 1.0, "random_urdfs": 0.25, "procedural": 0.5}, 62))
    assert 0.1 < share < 0.3


@pytest.mark.parametrize("fine", [False, True])
def test_a_folder_without_scenes_is_named(tmp_path: Path, fine: bool) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        SceneBatches((tmp_path,), 4, seed=0, fine=fine)()


def test_too_few_examples_for_a_batch_are_said(folder: Path) -> None:
    with pytest.raises(InputError, match="batch of 100"):
        next(SceneBatches((folder,), 100, seed=0)())
