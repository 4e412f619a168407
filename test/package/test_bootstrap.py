"""The environment that scripts/bootstrap.py makes: a second run changes nothing, and nothing lies about."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PREFIX = Path(sys.prefix)


@pytest.mark.ros
@pytest.mark.skipif(
    not (PREFIX / "bootstrap.log").is_file(), reason="not an environment made by bootstrap.py"
)
def test_a_second_run_leaves_only_the_environment_and_build(clean_env: dict[str, str]) -> None:
    before = {p.name for p in ROOT.iterdir()}
    distro = "jazzy" if "jazzy" in PREFIX.name else "kilted"
    command = [str(Path(sys.base_prefix) / "bin" / "python3"), "scripts/bootstrap.py"]
    done = subprocess.run(
        [*command, "--distro", distro, "--venv", str(PREFIX), "--extra", "test"],
        cwd=ROOT, env=clean_env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    new = {p.name for p in ROOT.iterdir()} - before
    assert new <= {PREFIX.name}
    assert "installing" not in done.stdout, "requirements were installed again"


def test_other_pythons_are_refused_with_a_sentence(clean_env: dict[str, str]) -> None:
    program = (
        "import sys, runpy; sys.version_info = (3, 9, 0, 'final', 0); sys.argv = ['bootstrap.py'];"
        "runpy.run_path('scripts/bootstrap.py', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean_env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "3.10 to 3.13" in done.stderr
