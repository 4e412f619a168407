"""Bundles: what was written is read, and whatever is not as it was written is refused with a reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle as tiny
from hypothesis import given
from hypothesis import strategies as st

from sam3d_ros.runtime.bundle import Bundle, read_bundle, write_bundle
from sam3d_ros.runtime.external_data import external_files
from sam3d_ros.runtime.spec import TensorSpec
from sam3d_ros.types import InputError


def test_a_reader_sees_what_was_written(tiny_bundle: Bundle) -> None:
    bundle = read_bundle(tiny_bundle.folder)
    assert bundle.about == tiny.ABOUT
    scale, total = bundle.graphs["scale"], bundle.graphs["total"]
    assert scale.inputs == (TensorSpec("x", "float32", ("rows", 3)),)
    assert scale.outputs == (TensorSpec("y", "float32", ("rows", 3)),)
    assert [f.name for f in scale.files] == ["scale.onnx", "scale.data"]
    assert scale.profiles == ({"rows": (1, 16, 64)}, {"rows": (64, 128, 256)})
    assert (scale.opset, scale.precision) == (20, "fp32")
    assert total.inputs == (TensorSpec("y", "float32", ("rows", 3)), TensorSpec("n", "int64", ()))
    assert total.data == total.profiles == ()
    np.testing.assert_array_equal(bundle.tensors("tiny")["w"], tiny.WEIGHTS)
    assert bundle.bytes == sum(p.stat().st_size for p in bundle.folder.iterdir() if p.name != "manifest.json")
    bundle.verify()


def test_links_to_the_files_are_a_bundle_too(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """colcon's symlink installs link every file."""
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in tiny_bundle.folder.iterdir():
        (linked / path.name).symlink_to(path)
    assert read_bundle(linked).graphs["scale"].verify() == tiny_bundle.folder / "scale.onnx"


def test_the_data_beside_a_linked_graph_are_those_that_count(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """A runtime reads them, not the ones beside the link."""
    linked = tmp_path / "linked"
    shutil.copytree(tiny_bundle.folder, linked)
    (linked / "scale.onnx").unlink()
    (linked / "scale.onnx").symlink_to(tiny_bundle.folder / "scale.onnx")
    data = tiny_bundle.folder / "scale.data"
    data.write_bytes(bytes(len(data.read_bytes())))
    with pytest.raises(InputError, match=f"{data}: damaged or foreign"):
        read_bundle(linked).graphs["scale"].verify()


EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "format": (lambda m: m.update(format=2), "format 1"),
    "no licence": (lambda m: m.pop("licence"), "licence is missing"),
    "licence": (lambda m: m.update(licence=None), "licence must be str"),
    "name": (lambda m: m.update(name="../x"), "no plain name"),
    "settings": (lambda m: m.update(settings=[]), "settings must be dict"),
    "no graph": (lambda m: m["graphs"].update(scale=None), "graphs.scale.file is missing"),
    "outside": (lambda m: m["graphs"]["scale"].update(file="../tiny/scale.onnx"), "no plain file name"),
    "absolute": (lambda m: m["weights"]["tiny"].update(file="/etc/passwd"), "no plain file name"),
    "dots": (lambda m: m["graphs"]["scale"]["data"][0].update(file=".."), "no plain file name"),
    "size": (lambda m: m["graphs"]["scale"].update(bytes=True), "bytes must be int"),
    "negative": (lambda m: m["graphs"]["scale"].update(bytes=-1), "no size or no hash"),
    "hash": (lambda m: m["graphs"]["scale"].update(sha256="abc"), "no size or no hash"),
    "dtype": (lambda m: m["graphs"]["scale"]["inputs"][0].update(dtype="complex64"), "complex64"),
    "shape": (lambda m: m["graphs"]["scale"]["inputs"][0].update(shape=["rows", -3]), "sizes and names"),
    "twice": (lambda m: m["graphs"]["total"]["inputs"][0].update(name="n"), "each name once"),
    "no outputs": (lambda m: m["graphs"]["total"].update(outputs=[]), "at least one name"),
    "precision": (lambda m: m["graphs"]["total"].update(precision="int4"), "int4"),
    "profile": (lambda m: m["graphs"]["scale"].update(profiles=[{"columns": [1, 2, 3]}]), "expected rows"),
    "two ways": (
        lambda m: m["weights"]["tiny"].update(m["graphs"]["scale"]["data"][0], sha256="0" * 64),
        r"scale\.data with two sizes or hashes",
    ),
    "order": (lambda m: m["graphs"]["scale"].update(profiles=[{"rows": [3, 2, 3]}]), "smallest, usual"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_odd_manifest_is_refused_with_the_entry_that_is_odd(tiny_bundle: Bundle, edit: str) -> None:
    path = tiny_bundle.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change, reason = EDITS[edit]
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=reason) as error:
        read_bundle(tiny_bundle.folder)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": 1}', b"[" * 100_000]
)
def test_no_manifest_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="no bundle"):
        read_bundle(tmp_path)
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("name", ["scale.onnx", "scale.data", "tiny.safetensors"])
def test_damaged_files_are_named(tiny_bundle: Bundle, name: str) -> None:
    path = tiny_bundle.folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match=f"{name}: damaged or foreign"):
        read_bundle(tiny_bundle.folder).verify()
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match=f"{name}: {len(content) - 1} bytes, expected {len(content)}"):
        read_bundle(tiny_bundle.folder)
    path.unlink()
    with pytest.raises(InputError, match=f"{name}: missing"):
        read_bundle(tiny_bundle.folder)


def test_a_graph_that_reads_other_files_is_refused(tmp_path: Path) -> None:
    """Some runtimes follow such a path, so nobody is given the file."""
    (tmp_path / "secret").write_bytes(tiny.WEIGHTS.tobytes())
    for where in ("../secret", str(tmp_path / "secret"), "secret"):
        folder = tmp_path / "foreign"
        folder.mkdir()
        tiny.save_scale(folder / "scale.onnx", "scale.data")
        (folder / "scale.data").write_bytes(tiny.WEIGHTS.tobytes())
        write_bundle(folder, tiny.ABOUT, {"scale": "scale.onnx"})
        tiny.save_scale(folder / "scale.onnx", where)
        manifest = json.loads((folder / "manifest.json").read_text())
        honest = tiny.write_bundle(folder, tiny.ABOUT, {}, {"scale": "scale.onnx"}).weights["scale"]
        manifest["graphs"]["scale"].update(bytes=honest.bytes, sha256=honest.sha256)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(InputError, match="does not list"):
            read_bundle(folder).graphs["scale"].verify()
        shutil.rmtree(folder)


def named_or_refused(path: Path) -> list[str] | str:
    """The external files, or "refused"; any other error goes through."""
    try:
        return external_files(path)
    except InputError:
        return "refused"


@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(content)
    assert named_or_refused(path) is not None


def test_every_cut_of_a_graph_is_refused_or_complete(tiny_bundle: Bundle) -> None:
    path = tiny_bundle.folder / "scale.onnx"
    assert external_files(path) == ["scale.data"]
    content = path.read_bytes()
    for length in range(1, len(content)):
        path.write_bytes(content[:length])
        assert named_or_refused(path) in (["scale.data"], [], "refused")


def test_writing_refuses_what_could_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.onnx: missing"):
        write_bundle(tmp_path, tiny.ABOUT, {"a": "a.onnx"})
    with pytest.raises(InputError, match="no plain file name"):
        write_bundle(tmp_path, tiny.ABOUT, {"a": "../a.onnx"})
    (tmp_path / "a.onnx").write_bytes(b"no model at all")
    with pytest.raises(InputError, match=r"a\.onnx"):
        write_bundle(tmp_path, tiny.ABOUT, {"a": "a.onnx"})
    tiny.save_scale(tmp_path / "b.onnx")
    with pytest.raises(InputError, match="expected rows"):
        write_bundle(tmp_path, tiny.ABOUT, {"b": "b.onnx"}, profiles={"b": [{"x": (1, 2, 3)}]})
    assert not (tmp_path / "manifest.json").exists()


def test_unknown_names_say_what_there_is(tiny_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="only scale, total"):
        tiny_bundle.graph("decode")
    with pytest.raises(InputError, match="only tiny"):
        tiny_bundle.tensors("large")
