import hashlib

import numpy as np
import pytest
from crashing_source import CrashingSource

from sam3d_ros.data.sources.pack import Packed, write_pack
from sam3d_ros.data.sources.prepare import prepare
from sam3d_ros.data.sources.source import Procedural
from sam3d_ros.types import InputError


def same(a, b):
    return all(
        np.array_equal(getattr(a.mesh, p), getattr(b.mesh, p)) for p in ("vertices", "faces", "colors")
    )


def test_crashes_hangs_and_refusals_cost_one_object_each(tmp_path):
    source = CrashingSource(tmp_path / "log")
    seen = []
    pack = prepare(
        source, tmp_path / "x.safetensors", 1, progress=lambda d, t: seen.append((d, t)), patience_s=4
    )
    assert list(pack.names) == ["thing-0", "thing-2", "thing-3", "thing-6"]
    assert set(pack.rejected) == {"thing-1", "thing-4", "thing-5"}
    assert "code -6, 2 times" in pack.rejected["thing-1"]
    assert "more than 4 s, 2 times" in pack.rejected["thing-4"]
    assert pack.rejected["thing-5"] == "not today"
    assert seen[-1] == (7, 7)
    log = (tmp_path / "log").read_text().split()
    assert {i: log.count(str(i)) for i in range(7)} == {0: 1, 1: 2, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1}
    again = prepare(source, tmp_path / "x.safetensors", 1)
    assert len(again) == 4
    assert (tmp_path / "log").read_text().split() == log
    assert not (tmp_path / "x.safetensors.parts").exists()


def test_goes_on_where_it_was_stopped(tmp_path):
    source, out = Procedural(count=6, categories=("can",)), tmp_path / "p.safetensors"

    def stop(done, total):
        if done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, out, progress=stop)
    assert not out.exists()
    kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "p.safetensors.parts").glob("*.safetensors")}
    assert len(kept) >= 2

    def watch(done, total):
        now = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "p.safetensors.parts").glob("*.safetensors")}
        assert now.items() >= kept.items()

    pack = prepare(source, out, progress=watch)
    assert len(pack) == 6
    assert all(same(pack.load(i), source.load(i)) for i in range(6))


def test_pack_gives_back_what_was_packed_and_notices_damage(tmp_path):
    source, path = Procedural(count=5), tmp_path / "a.safetensors"
    total = write_pack(path, (source.load(i) for i in range(5)), {"b": "too flat"})
    assert (tmp_path / "a.safetensors.sha256").read_text() == f"{total}  a.safetensors\n"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == total
    pack = Packed(path)
    assert pack.name == "a"
    assert pack.rejected == {"b": "too flat"}
    for i in range(5):
        a, b = source.load(i), pack.load(i)
        assert same(a, b)
        assert (a.category, a.name, a.licence, a.gloss) == (b.category, b.name, b.licence, b.gloss)
        assert a.symmetry.about_z == b.symmetry.about_z
        np.testing.assert_array_equal(a.symmetry.rotations, b.symmetry.rotations)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    broken = Packed(path)
    with pytest.raises(InputError, match="does not match its checksum"):
        [broken.load(i) for i in range(5)]
    with pytest.raises(InputError, match="objects 0 to 4, not 5"):
        Packed(path).load(5)


@pytest.mark.parametrize("content", [b"", b"not a pack", b"\x08\0\0\0\0\0\0\0{}      "])
def test_what_is_no_pack_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a pack"):
        len(Packed(path))


def test_procedural_source_is_the_same_at_any_count():
    short, long = Procedural(3, 5), Procedural(3, 50)
    assert same(short.load(4), long.load(4))
    assert long.names[33 + 7].startswith(long.load(40).category)
    assert not same(Procedural(4, 5).load(0), short.load(0))
    with pytest.raises(InputError, match="not -1"):
        short.load(-1)
