import numpy as np
import pytest

from sam3d_ros.cli import dispatch
from sam3d_ros.data.held_out import (
    HELD_OUT_SEED,
    LOOKALIKES,
    SEEN_CATEGORIES,
    TRAINING_CATEGORIES,
    UNSEEN_CATEGORIES,
    training_objects,
    training_part,
)
from sam3d_ros.data.objects import CATEGORIES
from sam3d_ros.data.sources.object_sim import object_sim
from sam3d_ros.data.sources.pack import Packed, write_pack
from sam3d_ros.data.sources.random_urdfs import random_urdfs
from sam3d_ros.data.sources.source import Procedural
from sam3d_ros.data.sources.ycb_sim import ycb_sim
from sam3d_ros.types import InputError


def test_training_never_sees_the_unseen():
    left_out = {*UNSEEN_CATEGORIES, *LOOKALIKES}
    assert left_out.isdisjoint(TRAINING_CATEGORIES)
    assert left_out | set(TRAINING_CATEGORIES) == set(CATEGORIES)
    assert set(SEEN_CATEGORIES) < set(TRAINING_CATEGORIES)
    source = training_objects(HELD_OUT_SEED - 1, 2 * len(CATEGORIES))
    assert {name.split("-")[0] for name in source.names} == set(TRAINING_CATEGORIES)
    for seed in (HELD_OUT_SEED, -1):
        with pytest.raises(InputError, match="training seeds are 0 to 999999"):
            training_objects(seed, 3)


def test_random_urdfs_without_the_held_out_ones(tmp_path):
    part = training_part(random_urdfs(tmp_path / "any.whl"))
    assert part.name == "random_urdfs"
    assert list(part.names) == [f"{i:03d}" for i in range(900)]
    with pytest.raises(InputError, match="objects 0 to 899, not 900"):
        part.load(900)


@pytest.mark.parametrize("source", [object_sim, ycb_sim])
def test_some_sources_are_for_evaluation_alone(tmp_path, source):
    name = source(tmp_path / "any.whl").name
    with pytest.raises(InputError, match=f"{name} is for evaluation"):
        training_part(source(tmp_path / "any.whl"))
    path = tmp_path / f"{name}.safetensors"
    write_pack(path, [Procedural(count=1, categories=("can",)).load(0)])
    with pytest.raises(InputError, match=f"{name} is for evaluation"):
        training_part(Packed(path))


def test_a_pack_is_known_by_the_names_in_it(tmp_path):
    """Objects that were left out shift the numbers of a pack, not its names."""
    path = tmp_path / "random_urdfs.safetensors"
    made = Procedural(count=4, categories=("can",))
    names = ("898", "950", "899", "900")
    write_pack(path, (_renamed(made.load(i), name) for i, name in enumerate(names)))
    part = training_part(Packed(path))
    assert list(part.names) == ["898", "899"]
    assert np.array_equal(part.load(1).mesh.vertices, made.load(2).mesh.vertices)
    other = Packed(path.rename(tmp_path / "mine.safetensors"))
    assert training_part(other) is other


def test_shards_are_not_made_from_held_out_seeds(tmp_path, capsys):
    assert dispatch(["data", "shards", "tabletop", "--out", str(tmp_path), "--seed", "1000000"]) == 1
    assert "training seeds" in capsys.readouterr().out


def _renamed(model, name):
    return type(model)(model.category, model.mesh, model.symmetry, model.gloss, name)
