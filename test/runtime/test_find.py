"""Where bundles are found: the user's folders, the source tree, and what was installed; and `sam3d models`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import tiny_bundle as tiny

from sam3d_ros.cli import dispatch
from sam3d_ros.runtime import find
from sam3d_ros.runtime.bundle import Bundle
from sam3d_ros.types import InputError

MODULE = "site-packages/sam3d_ros/runtime/find.py"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither this user's bundles nor a variable of this shell count."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv(find.VARIABLE, raising=False)


@pytest.mark.parametrize(
    "library", ["lib/python3.11", "local/lib/python3.12", "lib/python3/dist-packages/.."]
)
def test_installed_beside_the_prefix(tmp_path: Path, library: str) -> None:
    """A virtual environment, pip --user, apt's layout, a colcon install folder."""
    prefix = tmp_path / "install"
    engines = prefix / "share" / "sam3d_ros" / "engines"
    engines.mkdir(parents=True)
    assert find.folders(prefix / library / MODULE) == [engines]


def test_the_source_tree_is_found_from_itself_and_through_links(tmp_path: Path) -> None:
    root = Path(find.__file__).resolve().parents[2]
    assert find.folders(root / "sam3d_ros" / "runtime" / "find.py") == [root / "engines"]
    link = tmp_path / MODULE
    link.parent.mkdir(parents=True)
    link.symlink_to(root / "sam3d_ros" / "runtime" / "find.py")
    assert find.folders(link) == [root / "engines"]


def test_the_variable_comes_first_and_hides_equal_names(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.make(find.user_folder() / "tiny")
    tiny.make(find.user_folder() / "other")
    assert find.find_bundle("tiny").folder == find.user_folder() / "tiny"
    monkeypatch.setenv(find.VARIABLE, f"{tmp_path / 'nowhere'}{os.pathsep}{tiny_bundle.folder.parent}")
    assert find.folders()[0] == tmp_path
    assert find.find_bundle("tiny").folder == tiny_bundle.folder
    assert [b.folder.name for b in find.bundles() if b.folder.name in ("tiny", "other")] == ["tiny", "other"]


def test_by_path_and_unknown(tiny_bundle: Bundle) -> None:
    assert find.find_bundle(str(tiny_bundle.folder)).about == tiny.ABOUT
    with pytest.raises(InputError, match="no bundle 'giant'; there are"):
        find.find_bundle("giant")
    with pytest.raises(InputError, match="no such file"):
        find.find_bundle("./giant")


def test_models_lists_what_each_is(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(find.VARIABLE, str(tiny_bundle.folder.parent))
    assert dispatch(["models", "--verify"]) == 0
    said = capsys.readouterr().out
    for part in (
        "tiny 0.1.0: multiplies and adds",
        "scale (fp32), total (fp32)",
        "Apache-2.0",
        str(tiny_bundle.folder),
    ):
        assert part in said


def test_models_says_what_is_damaged(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(find.VARIABLE, str(tiny_bundle.folder.parent))
    broken = tiny_bundle.folder.parent / "broken"
    shutil.copytree(tiny_bundle.folder, broken)
    (broken / "scale.data").write_bytes(bytes(12))
    assert dispatch(["models"]) == 0
    assert dispatch(["models", "--verify"]) == 1
    assert "broken/scale.data: damaged or foreign" in capsys.readouterr().out
    (broken / "manifest.json").write_text(json.dumps({"format": 3}))
    assert dispatch(["models"]) == 1
    assert "not a manifest of format 1" in capsys.readouterr().out
