"""The plan cache: each key built once, nothing wrong ever loaded, bounded in size."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sam3d_ros.runtime.bundle import Bundle
from sam3d_ros.runtime.cache import PlanCache, PlanKey
from sam3d_ros.types import InputError

ROOT = Path(__file__).parents[2]
PLAN = bytes(range(256)) * 40


@pytest.fixture
def key(tiny_bundle: Bundle) -> PlanKey:
    return PlanKey.of(tiny_bundle.graphs["scale"], "tensorrt 11.4.0", "NVIDIA Thor 11.0", {"level": "3"})


@pytest.fixture
def cache(tmp_path: Path) -> PlanCache:
    return PlanCache(tmp_path / "plans", limit=3 * len(PLAN))


def test_built_once_then_loaded(cache: PlanCache, key: PlanKey) -> None:
    path = cache.get(key, lambda: PLAN)
    assert path.read_bytes() == PLAN
    assert cache.get(key, lambda: pytest.fail("built twice")) == path
    assert PlanCache(cache.folder).load(key) == path
    (entry,) = cache.entries()
    assert (entry.bytes, entry.problem, entry.about["key"]["gpu"]) == (len(PLAN), "", "NVIDIA Thor 11.0")


def test_anything_else_is_another_plan(cache: PlanCache, key: PlanKey, tiny_bundle: Bundle) -> None:
    scale = tiny_bundle.graphs["scale"]
    other_weights = replace(scale.data[0], sha256="0" * 64)
    cache.get(key, lambda: PLAN)
    others = [
        replace(key, builder="tensorrt 11.4.1"),
        replace(key, gpu="NVIDIA Thor 11.1"),
        replace(key, graph="0" * 64),
        replace(key, precision="bf16"),
        replace(key, profiles=key.profiles[:1]),
        replace(key, options=(("level", "5"),)),
        PlanKey.of(replace(scale, data=()), key.builder, key.gpu, {"level": "3"}),
        PlanKey.of(replace(scale, data=(other_weights,)), key.builder, key.gpu, {"level": "3"}),
    ]
    assert len({k.digest for k in (key, *others)}) == 1 + len(others)
    for other in others:
        with pytest.raises(InputError, match="no plan"):
            cache.load(other)
    assert PlanKey.of(scale, key.builder, key.gpu, {"level": "3"}) == key


@pytest.mark.parametrize(
    "fault", ["truncated", "changed", "foreign", "no json", "odd json", "other json", "gone"]
)
def test_a_wrong_plan_is_refused_and_built_anew(cache: PlanCache, key: PlanKey, fault: str) -> None:
    path = cache.get(key, lambda: PLAN)
    about = path.with_suffix(".json")
    if fault == "truncated":
        path.write_bytes(PLAN[:-1])
    elif fault == "changed":
        path.write_bytes(PLAN[:-1] + b"x")
    elif fault == "foreign":  # somebody copied another machine's files over ours
        said = json.loads(about.read_text())
        said["key"]["gpu"] = "NVIDIA H100 9.0"
        about.write_text(json.dumps(said))
    elif fault == "no json":
        about.unlink()
    elif fault == "odd json":
        about.write_text("[]")
    elif fault == "other json":
        about.write_text('{"key": {}}')
    else:
        path.unlink()
    with pytest.raises(InputError, match=key.stem):
        cache.load(key)
    assert cache.get(key, lambda: PLAN[::-1]).read_bytes() == PLAN[::-1]
    assert cache.load(key) == path


def test_of_two_builders_one_builds(cache: PlanCache, key: PlanKey, tmp_path: Path) -> None:
    """The other process says that it builds, and goes on when we say that we wait for it."""
    code = (
        "import pickle, sys\n"
        "from pathlib import Path\n"
        "from sam3d_ros.runtime.cache import PlanCache\n"
        "def build():\n    print('building', flush=True)\n    return sys.stdin.readline().encode() * 2560\n"
        "PlanCache(Path(sys.argv[1])).get(pickle.loads(bytes.fromhex(sys.argv[2])), build)"
    )
    command = [sys.executable, "-c", code, str(cache.folder), pickle.dumps(key).hex()]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as other:
        try:
            assert other.stdin is not None
            assert other.stdout is not None
            assert other.stdout.readline() == "building\n"
            go = other.stdin

            def waiting() -> None:
                go.write("abc\n")
                go.flush()

            path = cache.get(key, lambda: pytest.fail("built twice"), waiting)
            assert path.read_bytes() == b"abc\n" * 2560
            assert other.wait(60) == 0
        finally:
            other.kill()


def test_a_builder_that_dies_blocks_nobody(cache: PlanCache, key: PlanKey) -> None:
    code = (
        "import fcntl, os, sys\n"
        "file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); os.kill(os.getpid(), 9)"
    )
    cache.folder.mkdir()
    subprocess.run([sys.executable, "-c", code, str(cache.folder / f"{key.stem}.lock")], check=False)
    assert cache.get(key, lambda: PLAN).is_file()


def test_a_build_that_fails_leaves_nothing(cache: PlanCache, key: PlanKey) -> None:
    def fail() -> bytes:
        raise InputError("TensorRT refuses it")

    with pytest.raises(InputError, match="refuses"):
        cache.get(key, fail)
    assert cache.entries() == []
    assert cache.get(key, lambda: PLAN).is_file()


def test_no_space_left_is_said_and_leaves_nothing(cache: PlanCache, key: PlanKey) -> None:
    """A limit on the size of this process's files stands for a full disk; the kernel's answer is a write error too."""
    code = (
        "import pickle, resource, signal, sys\n"
        "from pathlib import Path\n"
        "from sam3d_ros.runtime.cache import PlanCache\n"
        "from sam3d_ros.types import InputError\n"
        "key = pickle.loads(bytes.fromhex(sys.argv[2]))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try:\n    PlanCache(Path(sys.argv[1])).get(key, lambda: bytes(10240))\n"
        "except InputError as error:\n    print(error)"
    )
    command = [sys.executable, "-c", code, str(cache.folder), pickle.dumps(key).hex()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert "no space for a plan of 0 MB" in done.stdout, done.stderr
    assert "sam3d engines prune" in done.stdout
    assert [p.suffix for p in cache.folder.iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_made(tmp_path: Path, key: PlanKey) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        PlanCache(tmp_path / "file" / "plans").get(key, lambda: PLAN)


def test_the_plans_used_longest_ago_go_first(cache: PlanCache, key: PlanKey) -> None:
    keys = [replace(key, name=f"g{i}") for i in range(4)]
    for i, one in enumerate(keys[:3]):
        os.utime(cache.get(one, lambda: PLAN), (i, i))
    cache.load(keys[0])  # used now
    cache.get(keys[3], lambda: PLAN)
    assert {e.about["key"]["name"] for e in cache.entries()} == {"g0", "g2", "g3"}


def test_prune(cache: PlanCache, key: PlanKey) -> None:
    cache.get(key, lambda: PLAN)
    (cache.folder / "left.plan").write_bytes(b"nobody knows")
    assert [e.problem for e in cache.entries() if e.stem == "left"] == ["nothing says what it is"]
    assert [e.stem for e in cache.prune()] == ["left"]
    assert [e.stem for e in cache.prune(0)] == [key.stem]
    assert not list(cache.folder.glob("*.plan"))
    assert PlanCache(cache.folder / "nowhere").prune() == []
