"""Examples on the device: the same arrays as from the disk, a pool that follows growing folders, kinds by weight."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from small_compact import batch, examples, write

from sam3d_ros.compact.mirror import mirrored
from sam3d_ros.train.compact.batches import SceneBatches
from sam3d_ros.train.compact.resident import Pool, ResidentBatches, mirrored_where
from sam3d_ros.train.compact.store import save
from sam3d_ros.types import InputError

CPU = torch.device("cpu")


def names(batches: list[dict[str, torch.Tensor]]) -> set[tuple[float, ...]]:
    """The globals name an example: they are random and no mirror changes them."""
    return {tuple(row.tolist()) for b in batches for row in b["globals"]}


@pytest.mark.parametrize("fine", [False, True])
def test_the_examples_are_those_of_the_disk(tmp_path: Path, fine: bool) -> None:
    folder = write(tmp_path, scenes=3, each=6, fine=fine)
    resident = list(islice(ResidentBatches((folder,), 6, 0, 100, CPU, fine)(), 60))
    disk = list(islice(SceneBatches((folder,), 6, 0, fine)(), 6))
    assert names(resident) == names(disk)
    assert {n: (a.shape, a.dtype) for n, a in resident[0].items()} == {
        n: (a.shape, a.dtype) for n, a in disk[0].items()
    }
    assert shapes(disk) <= shapes(resident), "each as it is or mirrored, to the byte"


def shapes(batches: list[dict[str, torch.Tensor]]) -> set[bytes]:
    return {shape.numpy().tobytes() for b in batches for shape in b["shape"]}


def test_mirrored_where_is_the_mirror_of_the_runtime() -> None:
    arrays = batch(examples(4, fine=True))
    flips = torch.tensor([True, False, False, True])
    ours, theirs = mirrored_where(arrays, flips), mirrored({n: a.numpy() for n, a in arrays.items()})
    for name, array in arrays.items():
        assert torch.equal(ours[name][flips], torch.from_numpy(np.ascontiguousarray(theirs[name]))[flips]), (
            name
        )
        assert torch.equal(ours[name][~flips], array[~flips]), name


def test_new_scenes_join(tmp_path: Path) -> None:
    folder = write(tmp_path, scenes=1, each=8)
    batches = ResidentBatches((folder,), 8, 0, 30, CPU)()
    assert len(names(list(islice(batches, 20)))) == 8
    write(folder, scenes=2, each=8, first=1)
    until = time.monotonic() + 20
    while len(names(list(islice(batches, 20)))) < 24 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(names(list(islice(batches, 40)))) == 24


def test_the_newest_take_the_place_of_the_oldest(tmp_path: Path) -> None:
    pool = Pool(ResidentBatches((tmp_path,), 1, 0, 5, CPU))
    for first in (0, 3, 6):
        pool.put({"has_rotation": np.arange(first, first + 3, dtype=np.float32)}, np.ones(3))
    assert drawn(pool) == {4, 5, 6, 7, 8}
    pool.put({"has_rotation": np.arange(20, 27, dtype=np.float32)}, np.ones(7))
    assert drawn(pool) == {22, 23, 24, 25, 26}, "more at once than there is room for"


def drawn(pool: Pool) -> set[float]:
    return set(pool.draw(200, np.random.default_rng(0))["has_rotation"].tolist())


def test_a_folder_larger_than_the_pool_is_read_again(tmp_path: Path) -> None:
    folder = write(tmp_path, scenes=4, each=5)
    batches, seen = ResidentBatches((folder,), 5, 0, 10, CPU)(), set()
    until = time.monotonic() + 20
    while len(seen) < 20 and time.monotonic() < until:
        seen |= names([next(batches)])
    assert len(seen) == 20


def test_kinds_are_drawn_by_weight(tmp_path: Path) -> None:
    """A scene of ten examples: half of them of an artist's thing, half of a random shape."""
    folder = write(tmp_path, scenes=1, each=10)
    save(folder / "objects" / "000000.npz", {"category": np.array("japanese_lantern")})
    save(folder / "objects" / "000001.npz", {"category": np.array("random_urdf")})
    save(folder / "looks" / "000000.npz", {"thing": np.arange(10) % 2})

    def share(mix: dict[str, float]) -> float:
        """Of the examples drawn, those of the random shape: rotations are known for odd ones."""
        drawn = islice(ResidentBatches((folder,), 4, 0, 10, CPU, mix=mix)(), 200)
        return float(np.mean([b["has_rotation"].mean() for b in drawn]))

    assert share({"artist": 1.0}) == 0
    assert share({"random_urdfs": 0.3}) == 1
    assert 0.15 < share({"artist": 1.0, "random_urdfs": 0.25, "procedural": 0.5}) < 0.25


def test_what_cannot_be_learned_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        ResidentBatches((tmp_path,), 4, 0, 10, CPU)()
    folder = write(tmp_path, scenes=1, each=3)
    with pytest.raises(InputError, match="batch of 4"):
        next(ResidentBatches((folder,), 4, 0, 10, CPU)())
    (folder / "scenes" / "000001.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=str(folder)):
        list(islice(ResidentBatches((folder,), 3, 0, 10, CPU)(), 1000))


def test_a_program_may_end_with_its_batches_open(tmp_path: Path) -> None:
    folder = write(tmp_path, scenes=4, each=5)
    program = (
        "import torch; from pathlib import Path; from sam3d_ros.train.compact.resident import ResidentBatches;"
        f"b = ResidentBatches((Path({str(folder)!r}),), 5, 0, 10, torch.device('cpu'))(); next(b)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
