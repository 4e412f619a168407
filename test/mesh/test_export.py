"""Files as other programs read them."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from sam3d_ros.mesh.export import FORMATS, Posed, encode, glb, linear, safe_name, write_atomic, write_mesh
from sam3d_ros.perception import frames
from sam3d_ros.types import Mesh


def block() -> Mesh:
    shape = trimesh.creation.box([0.1, 0.2, 0.3])
    colors = np.arange(24, dtype=np.uint8).reshape(8, 3) * 10
    return Mesh(shape.vertices.astype(np.float32), shape.faces.astype(np.int32), colors)


def load(data: bytes, kind: str) -> trimesh.Trimesh:
    loaded = trimesh.load(io.BytesIO(data), file_type=kind, process=False)
    return loaded.to_geometry() if isinstance(loaded, trimesh.Scene) else loaded


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_back(kind: str) -> None:
    loaded = load(encode(block(), kind), kind)
    extents = [0.1, 0.3, 0.2] if kind == "glb" else [0.1, 0.2, 0.3]
    np.testing.assert_allclose(loaded.extents, extents, atol=1e-5)
    assert loaded.is_volume or kind == "stl"
    assert loaded.volume == pytest.approx(0.006, rel=1e-4)
    if kind == "ply":
        np.testing.assert_array_equal(loaded.visual.vertex_colors[:, :3], block().colors)


def test_unknown_format() -> None:
    with pytest.raises(ValueError, match="fbx"):
        encode(block(), "fbx")


def test_glb_turns_up_into_y_and_poses_follow() -> None:
    T_world_obj = frames.transform(np.eye(3), np.array([1.0, 2.0, 3.0]))
    scene = trimesh.load(io.BytesIO(glb({"s": [Posed("a", block(), T_world_obj)]})), file_type="glb")
    np.testing.assert_allclose(
        scene.bounds.mean(0), frames.gltf_from_obj(np.array([1.0, 2.0, 3.0])), atol=1e-6
    )


def test_glb_structure() -> None:
    data = glb(
        {"one": [Posed("a", block(), np.eye(4)), Posed("b", block(), np.eye(4))], "two": [], "three": []}
    )
    magic, version, length = struct.unpack("<III", data[:12])
    assert (magic, version, length) == (0x46546C67, 2, len(data))
    size = struct.unpack("<I", data[12:16])[0]
    document = json.loads(data[20 : 20 + size])
    assert [s["name"] for s in document["scenes"]] == ["one", "two", "three"]
    assert document["scenes"][0]["nodes"] == [0, 1]
    assert all(view["byteOffset"] % 4 == 0 for view in document["bufferViews"])
    assert glb({"empty": []})[:4] == b"glTF"


def test_colours_are_linear() -> None:
    values = linear(np.array([[0, 128, 255]], np.uint8))[0] / 65535
    np.testing.assert_allclose(values, [0, 0.21586, 1, 1], atol=1e-4)


@given(st.text())
def test_names_stay_in_their_folder(text: str) -> None:
    name = safe_name(text)
    assert name
    assert Path(name).name == name
    assert not name.startswith(".")
    assert len(name) <= 80


def test_a_name_with_slashes_stays_in_its_folder(tmp_path: Path) -> None:
    path = write_mesh(block(), tmp_path / "meshes", "../../etc/passwd", "ply")
    assert path.parent == tmp_path / "meshes"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write_atomic(target, b"old")
    with pytest.raises(TypeError):
        write_atomic(target, "no bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
