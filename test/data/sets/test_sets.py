import pickle

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sam3d_ros.data.scene import resting
from sam3d_ros.data.sets.iso import VIEWS, IsoSet
from sam3d_ros.data.sets.occlusion import FlyingOcclusions
from sam3d_ros.data.sets.pool import Pool
from sam3d_ros.data.sets.sample import CROP, POINTS, stream
from sam3d_ros.data.sets.shards import decode, encode, ray_dataset, read_shard, write_shards
from sam3d_ros.data.sets.swap import LEAST_VISIBLE, ObjectSwap
from sam3d_ros.data.sets.tabletop import TabletopSet
from sam3d_ros.data.sources.source import Procedural
from sam3d_ros.perception.frames import apply
from sam3d_ros.types import InputError

SOURCE = Procedural(5, 12, ("mug", "can", "box", "stone", "spoon", "remote"))


def pool():
    return Pool([SOURCE], seed=1, window=6)


SETS = {
    "iso": lambda: IsoSet(pool()),
    "fo": lambda: FlyingOcclusions(pool()),
    "tabletop": lambda: TabletopSet(pool(), objects=(3, 5)),
    "swap": lambda: ObjectSwap(TabletopSet(pool(), objects=(3, 5))),
}


@pytest.fixture(scope="module")
def made():
    return {name: [*map(make(), (0, 1, 2, 67, 131))] for name, make in SETS.items()}


def equal(a, b):
    for name, value in vars(a).items():
        other = getattr(b, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other, err_msg=name)
        else:
            assert value == other, name


@pytest.mark.parametrize("name", SETS)
def test_samples_are_whole(made, name):
    for sample in made[name]:
        assert sample.rgb.shape == sample.target.shape == sample.view.shape == (CROP, CROP, 3)
        assert sample.mask.shape == sample.view_mask.shape == (CROP, CROP)
        assert sample.depth_m.shape == (POINTS, POINTS)
        assert sample.points_cam().shape == (POINTS, POINTS, 3)
        assert {a.dtype for a in (sample.rgb, sample.target, sample.view)} == {np.dtype(np.uint8)}
        assert sample.depth_m.dtype == np.float32
        assert sample.mask.any()
        assert sample.view_mask.any()
        assert 0 < sample.visible <= 1
        R = sample.T_cam_obj[:3, :3]
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
        # The mask's box is what the crop was cut around: it fills its middle.
        rows, columns = np.nonzero(sample.mask)
        assert max(np.ptp(rows), np.ptp(columns)) > 0.7 * CROP / 1.2


@pytest.mark.parametrize("name", ["iso", "tabletop", "swap"])
def test_points_in_the_mask_lie_on_the_posed_mesh(made, name):
    """The label says where the object is: the pointmap in the mask agrees with it."""
    for sample in made[name]:
        model = SOURCE.load(sample.object_index)
        assert sample.source == SOURCE.name
        step = CROP // POINTS
        points = sample.points_cam()[sample.mask[::step, ::step]].astype(np.float64)
        points = points[np.isfinite(points).all(axis=1)]
        vertices = apply(sample.T_cam_obj, model.mesh.vertices.astype(np.float64) * sample.scale)
        distance = cKDTree(vertices).query(points)[0]
        assert np.median(distance) < 0.006 * max(1, sample.scale)


def test_labels_are_those_of_the_paper(made):
    assert {s.labels for s in made["fo"]} == {("shape", "R")}
    assert np.isnan(made["fo"][0].depth_m).all()
    assert {s.labels for s in made["swap"]} == {("shape", "R", "t", "s")}
    assert all(s.visible >= LEAST_VISIBLE for s in made["swap"])
    assert all(0.1 <= s.visible <= 0.9 or s.visible == 1 for s in made["fo"])


def test_meshes_take_turns_in_one_place(made):
    """Around both meshes the view stays as it is; in another place it does not."""
    a, b, elsewhere = (made["swap"][i] for i in (0, 1, 3))
    assert not np.array_equal(a.view_mask, b.view_mask)
    around = ~(a.view_mask | b.view_mask)
    np.testing.assert_array_equal(a.view[around], b.view[around])
    assert (a.view[around] != elsewhere.view[around]).any()


def test_a_third_of_the_targets_is_the_occluder():
    samples = [s.visible == 1 for s in stream(FlyingOcclusions(pool()), stop=32)]
    assert 0.15 < np.mean(samples) < 0.55


@pytest.mark.parametrize("name", SETS)
def test_any_index_can_be_made_anywhere(made, name):
    """Out of order, in another process' copy, after others."""
    copy = pickle.loads(pickle.dumps(SETS[name]()))
    equal(copy(67), made[name][3])
    equal(copy(1), made[name][1])


def test_iso_goes_around_the_object(made):
    directions = np.array([IsoSet(pool())(i).T_cam_obj[2, :3] for i in range(0, VIEWS, 3)])
    assert np.abs(directions.mean(axis=0)).max() < 0.35
    assert (made["iso"][0].rgb[~made["iso"][0].mask] == 255).all()


def test_workers_share_a_stream():
    samples = IsoSet(pool())
    whole = [s.index for s in stream(samples, stop=5)]
    parts = [s.index for start in range(2) for s in stream(samples, start, 2, 5)]
    assert sorted(parts) == whole == [0, 1, 2, 3, 4]


def test_pool_moves_on_by_one_object_per_group():
    p = pool()
    rng = np.random.default_rng
    seen = [{d.key for s in range(30) for d in p.draw(g, 6, rng(s))} for g in (0, 1)]
    assert [len(s) for s in seen] == [6, 6]
    assert len(seen[0] & seen[1]) == 5
    assert {p.at(i).key[1] for i in range(12)} == set(range(12))
    with pytest.raises(InputError, match="at least one"):
        Pool([])


def test_things_rest_where_they_do_not_fall_over():
    can = SOURCE.load(1)
    along = {float(np.round(np.abs(resting(can, np.random.default_rng(s))[2, 2]), 2)) for s in range(30)}
    assert along == {0.0, 1.0}
    for seed in range(6):
        R = resting(SOURCE.load(5), np.random.default_rng(seed))
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(R) == pytest.approx(1)
        # A remote control does not stand on its end.
        assert np.ptp(SOURCE.load(5).mesh.vertices @ R.T, axis=0)[2] < 0.06


def test_shards_give_back_the_samples(made, tmp_path):
    samples = IsoSet(pool())
    seen = []
    paths = write_shards(samples, tmp_path, 5, per_shard=2, progress=lambda d, t: seen.append((d, t)))
    assert [p.name for p in paths] == [f"iso-3do-{i:06d}.tar" for i in range(3)]
    assert seen[-1] == (5, 5)
    back = [s for p in paths for s in read_shard(p)]
    for a, b in zip((samples(i) for i in range(5)), back, strict=True):
        np.testing.assert_allclose(a.depth_m, b.depth_m, atol=6e-5)
        equal(a.__class__(**{**vars(a), "depth_m": b.depth_m}), b)
    before = [p.read_bytes() for p in paths]
    paths[1].unlink()
    times = {p: p.stat().st_mtime_ns for p in paths if p.exists()}
    for worker in range(2):
        write_shards(samples, tmp_path, 5, per_shard=2, worker=worker, workers=2)
    assert [p.read_bytes() for p in paths] == before
    assert {p: p.stat().st_mtime_ns for p in times} == times
    (tmp_path / "x.tar").write_bytes(b"no tar")
    with pytest.raises(InputError, match="not a shard"):
        list(read_shard(tmp_path / "x.tar"))
    with pytest.raises(InputError, match="KeyError"):
        decode({"json": b"{}"})


def test_webdataset_reads_the_shards(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    path = write_shards(IsoSet(pool()), tmp_path, 2)[0]
    rows = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [row["__key__"] for row in rows] == ["iso-3do-000000000", "iso-3do-000000001"]
    equal(decode(rows[1]), list(read_shard(path))[1])


@pytest.mark.slow
def test_ray_makes_the_same_samples():
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data", reason="ray is there without what ray.data needs")
    samples = IsoSet(pool())
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        rows = {row["index"]: row for row in ray_dataset(samples, 3).iter_rows()}
    finally:
        ray.shutdown()
    assert sorted(rows) == [0, 1, 2]
    expected = encode(samples(2))
    assert {k: v for k, v in rows[2].items() if k != "index"} == expected
