"""Packages as the ordinary clients fetch them, by name, into a cache folder; nothing is installed or run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sam3d_ros.types import InputError

PYBULLET = "pybullet==3.2.7"
MYOSUITE = "MyoSuite==2.1.0"
"""Of the versions on PyPI, 2.1 is the last that carries its objects; later ones fetch them elsewhere."""
ROBOHIVE = "robohive==0.3.0"
"""Of the versions on PyPI that carry its scans, 0.3 to 0.5, the smallest."""
# One file for every machine: only data are taken out of it.
WHEEL = ("--platform", "manylinux2014_x86_64", "--python-version", "3.11", "--only-binary=:all:", "--no-deps")
WHEELS = "wheels"
FURNITURE = "sweethome3d-furniture"


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/sam3d_ros, usually ~/.cache/sam3d_ros."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sam3d_ros"


def wheel(package: str, cache: Path) -> Path:
    """The wheel of a package (PYBULLET, 103 MB; MYOSUITE, 84 MB; ROBOHIVE, 63 MB) in the cache, fetched with pip where
    it is not there yet. Raises InputError where that fails."""
    if found := cached_wheel(package, cache):
        return found
    command = [sys.executable, "-m", "pip", "download", "--quiet", *WHEEL, package]
    _fetch(command, cache / WHEELS)
    if found := cached_wheel(package, cache):
        return found
    raise InputError(f"{' '.join(command)} wrote no wheel of {package}")


def cached_wheel(package: str, cache: Path) -> Path | None:
    """The wheel where an earlier `wheel` left it."""
    found = sorted((cache / WHEELS).glob(f"{package.replace('==', '-')}-*.whl"))
    return found[0] if found else None


def furniture_folder(cache: Path) -> Path:
    """The folder of the .sh3f libraries, fetched with apt-get (120 MB, Debian and Ubuntu) and unpacked where
    it is not there yet. Raises InputError where that fails."""
    unpacked = cache / FURNITURE
    libraries = unpacked / "usr" / "share" / "sweethome3d" / "furniture"
    if libraries.is_dir():
        return libraries
    installed = Path("/usr/share/sweethome3d/furniture")
    if installed.is_dir():
        return installed
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise InputError(
            f"Debian's package {FURNITURE} is fetched with apt-get, which this system does not have"
        )
    folder = cache / "debs"
    if not (found := sorted(folder.glob(f"{FURNITURE}_*.deb"))):
        _fetch(["apt-get", "-qq", "download", FURNITURE], folder)
        found = sorted(folder.glob(f"{FURNITURE}_*.deb"))
    partial = unpacked.with_name(f"{FURNITURE}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    subprocess.run(["dpkg-deb", "-x", str(found[0]), str(partial)], check=True)
    partial.rename(unpacked)
    return libraries


def _fetch(command: list[str], folder: Path) -> None:
    """Run a client that writes into its working folder; what it leaves half done never counts."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="partial-", dir=folder) as partial:
        done = subprocess.run(command, cwd=partial, capture_output=True, text=True)
        files = [p for p in Path(partial).iterdir() if p.is_file()]
        if done.returncode or not files:
            raise InputError(
                f"{' '.join(command)} failed: {done.stderr.strip()[-400:] or 'it wrote no file'}"
            )
        for path in files:
            path.rename(folder / path.name)
