"""For pip; colcon and apt's ROS use package.xml and CMakeLists.txt instead.

    pip install .                        # without ROS: everything but the node, for training and evaluation
    pip install --no-build-isolation .   # with ROS (wheels, or sourced): messages and node too

What is there decides: where rosidl is found, CMakeLists.txt runs into a staging folder, and its Python modules,
libraries and share/ become part of the wheel.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What the package imports. Versions that were tested together are pinned in requirements/.
REQUIRES = [
    "numpy>=1.24", "scipy", "opencv-python-headless", "scikit-image", "trimesh", "manifold3d", "embreex",
    "fast_simplification", "pillow", "rosbags", "PyYAML", "rich", "tyro", "onnxruntime", "safetensors",
]  # fmt: skip


def pinned(name: str) -> list[str]:
    """The lines of requirements/<name>.txt."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def package_xml(tag: str) -> str:
    """The text of one element of package.xml, which is the one place for version and description."""
    found = re.search(rf"<{tag}>(.*?)</{tag}>", (ROOT / "package.xml").read_text())
    assert found is not None
    return found[1]


def ros_prefixes() -> list[Path]:
    """Folders with ROS packages: what was sourced, and the environment of the wheels. Empty without rosidl."""
    sourced = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    prefixes = [*sourced, Path(sys.prefix)]
    has_rosidl = any((p / "share" / "rosidl_default_generators").is_dir() for p in prefixes)
    return prefixes if has_rosidl else []


class BuildWithInterfaces(build_py):
    """build_py, and where ROS is found the generated msg/, srv/, action/ with their libraries."""

    def run(self) -> None:
        super().run()
        prefixes = ros_prefixes()
        if not prefixes:
            self.warn("no ROS found: installing without messages and node (README, 'Without ROS')")
        elif self.editable_mode:
            self.warn("editable: messages are not built; to work on the code use scripts/bootstrap.py")
        else:
            self._build_interfaces(prefixes)

    def _build_interfaces(self, prefixes: list[Path]) -> None:
        build = Path(self.get_finalized_command("build").build_temp).absolute()
        staging = build / "staging"
        shutil.rmtree(staging, ignore_errors=True)
        if not any((p / "share" / "tf2_msgs").is_dir() for p in prefixes):
            self._cmake(ROOT / "overlay" / "tf2_msgs", build / "tf2_msgs", staging, prefixes)
        self._cmake(ROOT, build / "sam3d_ros", staging, prefixes)
        # site-packages or dist-packages, depending on whose Python this is.
        for generated in staging.glob("l*/**/msg/__init__.py"):
            package = generated.parents[1]
            rest = shutil.ignore_patterns("__pycache__", "*.c")
            shutil.copytree(package, Path(self.build_lib) / package.name, ignore=rest, dirs_exist_ok=True)
        self.distribution.data_files = data_files(staging)

    def _cmake(self, source: Path, build: Path, staging: Path, prefixes: list[Path]) -> None:
        env = dict(os.environ)
        env["AMENT_PREFIX_PATH"] = os.pathsep.join(str(p) for p in prefixes)
        for name, found in (
            ("CMAKE_PREFIX_PATH", prefixes),
            ("LD_LIBRARY_PATH", [p / "lib" for p in prefixes]),
        ):
            env[name] = os.pathsep.join([*map(str, found), *filter(None, [env.get(name)])])
        # pip's isolation hides the generators' own Python packages (em, lark, catkin_pkg) through PYTHONPATH.
        kept = [p for p in env.pop("PYTHONPATH", "").split(os.pathsep) if p and "pip-build-env" not in p]
        if kept:
            env["PYTHONPATH"] = os.pathsep.join(kept)
        own = Path(sys.prefix) / "bin" / "cmake"
        cmake = str(own) if own.exists() else "cmake"
        configure = [
            cmake, "-S", str(source), "-B", str(build), f"-DCMAKE_INSTALL_PREFIX={staging}",
            "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={sys.executable}", "-Wno-dev",
        ]  # fmt: skip
        subprocess.run(configure, check=True, env=env)
        install = [cmake, "--build", str(build), "-j", str(os.cpu_count() or 1), "--target", "install"]
        subprocess.run(install, check=True, env=env)


def data_files(staging: Path) -> list[tuple[str, list[str]]]:
    """Libraries, node programs and share/, each folder with its files, relative to the environment's prefix."""
    folders: dict[str, list[str]] = {}
    for path in sorted(p for p in staging.rglob("*") if p.is_file()):
        inside = path.relative_to(staging)
        python = any(part in ("site-packages", "dist-packages") for part in inside.parts)
        if inside.parts[0] in ("lib", "share") and not python:
            folders.setdefault(str(inside.parent), []).append(str(path))
    return list(folders.items())


def bundles() -> list[tuple[str, list[str]]]:
    """The files of engines/ as share/sam3d_ros/engines/, where sam3d_ros.runtime.find looks; for installs without
    ROS (with it, CMakeLists.txt puts them there)."""
    folders: dict[str, list[str]] = {}
    for path in sorted(p for p in (ROOT / "engines").rglob("*") if p.is_file()):
        inside = path.relative_to(ROOT)
        folders.setdefault(f"share/sam3d_ros/{inside.parent}", []).append(str(inside))
    return list(folders.items())


class MaybeBinary(Distribution):
    """A wheel for this platform where it holds libraries, else for any."""

    def has_ext_modules(self) -> bool:
        return bool(ros_prefixes())


setup(
    name=package_xml("name"),
    version=package_xml("version"),
    description=package_xml("description"),
    license=package_xml("license"),
    python_requires=">=3.10",
    packages=find_packages(include=["sam3d_ros", "sam3d_ros.*"]),
    data_files=bundles(),
    package_data={"sam3d_ros": ["**/*.js", "**/*.css", "**/*.html", "**/*.LICENSE", "**/*.npz"]},
    install_requires=REQUIRES,
    extras_require={name: pinned(name) for name in ("data", "model", "train", "engines", "test", "lint")},
    entry_points={"console_scripts": ["sam3d = sam3d_ros.cli:main"]},
    cmdclass={"build_py": BuildWithInterfaces},
    distclass=MaybeBinary,
)
