import trimesh

from sam3d_ros.cli import dispatch
from sam3d_ros.data.sets.shards import read_shard
from sam3d_ros.data.sources.pack import Packed


def test_a_folder_becomes_a_pack_and_the_pack_becomes_shards(tmp_path, capsys):
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    trimesh.creation.capsule(0.05, 0.03).export(meshes / "a.glb")
    (meshes / "b.ply").write_bytes(b"nonsense")
    out = tmp_path / "objects"
    assert (
        dispatch(["data", "prepare", "folder", "--folder", str(meshes), "--out", str(out), "--workers", "1"])
        == 0
    )
    said = capsys.readouterr().out
    assert "1 objects" in said
    assert "b.ply: not a readable ply" in said
    pack = out / "meshes.safetensors"
    assert list(Packed(pack).names) == ["a.glb"]
    shards = [
        "data",
        "shards",
        "tabletop",
        "--out",
        str(tmp_path / "s"),
        "--packs",
        str(pack),
        "--procedural",
        "3",
    ]
    assert dispatch([*shards, "--count", "3", "--per-shard", "2"]) == 0
    samples = [s for p in sorted((tmp_path / "s").glob("*.tar")) for s in read_shard(p)]
    assert [s.index for s in samples] == [0, 1, 2]
    assert {s.source for s in samples} <= {"meshes", "procedural"}


def test_mistakes_are_said_and_end_with_1(tmp_path, capsys):
    assert dispatch(["data", "prepare", "folder"]) == 1
    assert "needs --folder" in capsys.readouterr().out
    assert dispatch(["data", "prepare", "folder", "--folder", str(tmp_path)]) == 1
    assert "holds no" in capsys.readouterr().out
    none = ["data", "shards", "tabletop", "--out", str(tmp_path), "--procedural", "0"]
    assert dispatch(none) == 1
    assert "at least one object" in capsys.readouterr().out
