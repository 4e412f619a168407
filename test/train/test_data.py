"""What a training reads: mixtures, shards, folders of latents, worker processes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from squares import Squares

from sam3d_ros.data.sets.iso import IsoSet
from sam3d_ros.data.sets.pool import Pool
from sam3d_ros.data.sets.shards import read_shard, write_shards
from sam3d_ros.data.sources.source import Procedural
from sam3d_ros.train.latent_folder import latent_batches, together
from sam3d_ros.train.mixture import Mixture, ShardSet
from sam3d_ros.train.published_stages import STAGES
from sam3d_ros.train.reader import Reader
from sam3d_ros.train.toy_data import ToyBatches, geometry_batch
from sam3d_ros.types import InputError


def test_a_mixture_keeps_its_weights_and_every_sets_order() -> None:
    sets = {"a": lambda i: ("a", i), "b": lambda i: ("b", i), "c": lambda i: ("c", i)}
    mixed: Mixture[tuple[str, int]] = Mixture(sets, {"a": 6.0, "b": 3.0, "c": 1.0})
    drawn = [mixed(n) for n in range(3000)]
    for name in sets:
        assert [i for s, i in drawn if s == name] == list(range(sum(s == name for s, _ in drawn)))
    # Any stretch is mixed, not only the whole.
    for start in (0, 777, 1500):
        counts = Counter(name for name, _ in drawn[start : start + 100])
        assert all(abs(counts[n] - share) <= 2 for n, share in (("a", 60), ("b", 30), ("c", 10)))
    with pytest.raises(InputError, match="wants the sets d"):
        Mixture(sets, {"a": 1.0, "d": 1.0})


def test_shards_are_read_at_any_place_and_shuffled_anew_each_time(tmp_path: Path) -> None:
    made = IsoSet(Pool([Procedural(5, 2, ("can", "box"))]))
    paths = write_shards(made, tmp_path, count=5, per_shard=3)
    shards = ShardSet(paths)
    first, second = ([shards(turn * 5 + i) for i in range(5)] for turn in (0, 1))
    assert sorted(s.index for s in first) == sorted(s.index for s in second) == list(range(5))
    stored = {s.index: s for path in paths for s in read_shard(path)}
    for got in first:
        assert np.array_equal(got.rgb, stored[got.index].rgb)
        assert np.array_equal(got.T_cam_obj, stored[got.index].T_cam_obj)
    assert shards(3).index == first[3].index
    with pytest.raises(InputError, match="no shards"):
        ShardSet([])
    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(paths[0].read_bytes()[:100])
    with pytest.raises(InputError, match="not a shard"):
        ShardSet([damaged])(0)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_keep_the_order_from_any_place(workers: int) -> None:
    batches = Reader(Squares(), workers)(7, 3)
    assert [int(next(batches)) for _ in range(6)] == [49, 100, 169, 256, 361, 484]


def test_what_goes_wrong_in_a_worker_arrives() -> None:
    batches = Reader(Squares(), workers=1)(39, 1)
    next(batches)
    with pytest.raises(InputError, match="40 cannot be made"):
        next(batches)


def folder_of_latents(folder: Path) -> Any:
    stage = STAGES["geometry-pre"]
    toy = geometry_batch([0, 1])
    (folder / "iso-3do").mkdir(parents=True)
    for i in range(2):
        views = {f"view.{n}": v[i].contiguous() for n, v in toy.inputs.items()}
        # The second one has no pose.
        names = ["shape", "rotation"] if i == 0 else ["shape"]
        latents = {f"latent.{n}": toy.latents[n][i].contiguous() for n in names}
        save_file({**views, **latents}, folder / "iso-3do" / f"{i}.safetensors")
    shapes = {n: tuple(v.shape[1:]) for n, v in toy.latents.items()}
    return stage, shapes, toy


def test_a_folder_of_latents_becomes_batches(tmp_path: Path) -> None:
    stage, shapes, toy = folder_of_latents(tmp_path)
    batch = latent_batches(tmp_path, stage, 2, shapes)(0)
    order = [
        int(batch.labels["rotation"].tolist().index(True)),
        int(batch.labels["rotation"].tolist().index(False)),
    ]
    assert torch.equal(batch.latents["shape"][order], toy.latents["shape"])
    assert torch.equal(batch.inputs["image"][order], toy.inputs["image"])
    assert batch.labels["shape"].tolist() == [True, True]
    assert batch.labels["scale"].tolist() == [False, False]
    assert batch.loser is None
    with pytest.raises(InputError, match="reads rp-3do-fo"):
        latent_batches(tmp_path, STAGES["geometry-occlusion"], 2, shapes)
    (tmp_path / "iso-3do" / "0.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="no sample"):
        latent_batches(tmp_path, stage, 2, shapes)(0)


def test_voxels_and_pairs_of_a_folder() -> None:
    made = ToyBatches(texture=True, pairs=True, size=2)(0)
    assert made.owner is not None
    assert made.loser is not None
    samples = []
    for i in range(2):
        mine = made.owner == i
        samples.append(
            {
                "coords": torch.arange(int(mine.sum()))[:, None].expand(-1, 3).int(),
                "latent.slat": made.latents["slat"][mine],
                "loser.slat": made.loser["slat"][mine],
                "view.image": made.inputs["image"][i],
            }
        )
    batch = together(samples, {})
    assert torch.equal(batch.latents["slat"], made.latents["slat"])
    assert batch.loser is not None
    assert torch.equal(batch.loser["slat"], made.loser["slat"])
    assert torch.equal(batch.owner, made.owner)  # type: ignore[arg-type]
    assert batch.size == 2
    assert batch.beside.batch.tolist() == made.owner.tolist()
