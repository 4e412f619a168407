import numpy as np
import pytest
import trimesh

from sam3d_ros.data import ply
from sam3d_ros.data.objects import make_object
from sam3d_ros.types import InputError, Mesh


def test_round_trip_keeps_every_bit(tmp_path):
    mesh = make_object("can", np.random.default_rng(0)).mesh
    ply.write(tmp_path / "can.ply", mesh)
    back = ply.read(tmp_path / "can.ply")
    for name in ("vertices", "faces", "colors"):
        np.testing.assert_array_equal(getattr(back, name), getattr(mesh, name))
        assert getattr(back, name).dtype == getattr(mesh, name).dtype


def test_without_colours_and_as_text(tmp_path):
    sphere = trimesh.creation.icosphere(1)
    mesh = Mesh(sphere.vertices.astype(np.float32), sphere.faces.astype(np.int32))
    ply.write(tmp_path / "a.ply", mesh)
    assert ply.read(tmp_path / "a.ply").colors is None
    (tmp_path / "b.ply").write_bytes(trimesh.exchange.ply.export_ply(sphere, encoding="ascii"))
    np.testing.assert_allclose(ply.read(tmp_path / "b.ply").vertices, mesh.vertices, atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"ply\n", b"solid x\n", b"\x00" * 100])
def test_damaged(tmp_path, content):
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.ply"):
        ply.read(tmp_path / "a.ply")


def test_cut_off(tmp_path):
    ply.write(tmp_path / "a.ply", make_object("can", np.random.default_rng(0)).mesh)
    whole = (tmp_path / "a.ply").read_bytes()
    (tmp_path / "a.ply").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.ply"):
        ply.read(tmp_path / "a.ply")


def test_missing_and_not_finite(tmp_path):
    with pytest.raises(InputError, match="missing"):
        ply.read(tmp_path / "none.ply")
    bad = np.array([[0, 0, 0], [1, 0, 0], [np.nan, 1, 0]], np.float32)
    ply.write(tmp_path / "a.ply", Mesh(bad, np.array([[0, 1, 2]], np.int32)))
    with pytest.raises(InputError, match="not finite"):
        ply.read(tmp_path / "a.ply")
    ply.write(tmp_path / "a.ply", Mesh(np.nan_to_num(bad), np.array([[0, 1, 7]], np.int32)))
    with pytest.raises(InputError, match=r"a\.ply"):
        ply.read(tmp_path / "a.ply")
