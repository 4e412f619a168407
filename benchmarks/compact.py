"""The compact model on this CPU: two objects at once or one after the other, threads, torch, and in the node.

    .venv/bin/python benchmarks/compact.py [--model NAME|DIR] [--rounds 20] [--threads 1 2] [--no-node]

A noisy synthetic table at 640x480 with two objects. Everything that is compared is measured in turns within one run, so
that a busy machine is busy for all; ratios of CPU time hold, milliseconds are those of this moment. The time of torch
needs the bundle's weights and torch itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from sam3d_ros.compact.ask import Question, ask
from sam3d_ros.compact.model import CompactModel
from sam3d_ros.data.render import SceneRenderer
from sam3d_ros.data.scene import make_tabletop, orbit
from sam3d_ros.data.sensor import sense
from sam3d_ros.methods.settings import MODEL, Settings
from sam3d_ros.perception.masks import MaskLimits, masks_from_labels
from sam3d_ros.perception.pointmap import depth_to_metres, points_from_depth
from sam3d_ros.perception.support import find_support
from sam3d_ros.perception.view import object_view
from sam3d_ros.pipeline import STAGES, Reconstructor
from sam3d_ros.runtime.bundle import Bundle
from sam3d_ros.runtime.find import find_bundle
from sam3d_ros.runtime.onnxruntime_backend import OnnxRuntimeBackend
from sam3d_ros.types import Camera, Float, Frame, Mask, ObjectView, Reconstruction

CAMERA = Camera(640, 480, 600.0, 600.0, 319.5, 239.5)


def look() -> tuple[Frame, list[Mask], Float]:
    """A table with two objects: the frame, its masks, and the depth image, m."""
    for seed in range(100):
        scene = make_tabletop(20_000 + seed, 2)
        rendered = SceneRenderer(scene).render(CAMERA, orbit(1, down_deg=(35.0, 45.0))[0], antialias=False)
        masks = masks_from_labels(rendered.labels)
        if len(masks) == 2 and min(int(mask.pixels.sum()) for mask in masks) > 2000:
            depth = depth_to_metres(sense(rendered, CAMERA, np.random.default_rng(seed)), "16UC1")
            return Frame(rendered.rgb, points_from_depth(depth, CAMERA), CAMERA), masks, depth
    raise SystemExit("no scene with two objects in sight")


def questions_of(frame: Frame, masks: list[Mask], model: CompactModel) -> list[Question]:
    occupied = np.logical_or.reduce([mask.pixels for mask in masks])
    support = find_support(frame.points_cam, occupied, frame.up_cam)
    views = [object_view(frame, mask, support, MaskLimits(), occupied) for mask in masks]
    return [ask(view, frame, model.side, model.pixels) for view in views if isinstance(view, ObjectView)]


def in_turns(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, Float]:
    """Median wall and CPU seconds (2,) of each job; one round runs every job once, and the first one does not count."""
    seconds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(rounds + 1):
        for name, job in jobs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            job()
            seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: np.median(values[1:], axis=0) for name, values in seconds.items()}


def torch_model(bundle: Bundle, threads: int) -> CompactModel | None:
    """The same first stage run by torch, None without torch."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    from sam3d_ros.model.compact.geometry import CompactGeometry
    from sam3d_ros.runtime.torch_backend import TorchBackend
    from sam3d_ros.train.compact.bundle import CONFIGS
    from sam3d_ros.train.compact.export import PrepareGraph, StepGraph

    torch.set_num_threads(threads)
    network = CompactGeometry(CONFIGS[str(bundle.about.training["config"])][0])
    network.load_state_dict({k: torch.from_numpy(v) for k, v in bundle.tensors("geometry").items()})
    network.eval()
    graphs = {"geometry_prepare": PrepareGraph(network), "geometry_step": StepGraph(network)}
    return CompactModel(replace(bundle, graphs={n: bundle.graphs[n] for n in graphs}), TorchBackend(graphs))


def networks(
    console: Console, bundle: Bundle, frame: Frame, masks: list[Mask], rounds: int, counts: list[int]
) -> None:
    """The networks alone, without the arrays around them."""
    table = Table(title="first stage of one frame, networks alone, ms of wall / CPU; ratios of CPU")
    headings = (
        "threads", "one object", "twice one", "two at once", "torch, two", "twice one / two", "torch / ours",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    for threads in counts:
        model = CompactModel(bundle, OnnxRuntimeBackend(threads))
        both = questions_of(frame, masks, model)
        jobs: dict[str, Callable[[], object]] = {
            "one": lambda model=model, both=both: model.shapes(both[:1]),  # type: ignore[misc]
            "twice": lambda model=model, both=both: [model.shapes([q]) for q in both],  # type: ignore[misc]
            "both": lambda model=model, both=both: model.shapes(both),  # type: ignore[misc]
        }
        if eager := torch_model(bundle, threads):
            jobs["torch"] = lambda eager=eager, both=both: eager.shapes(both)  # type: ignore[misc]
        t = in_turns(jobs, rounds)
        names = ("one", "twice", "both", *(("torch",) if "torch" in t else ()))
        cells = [f"{1e3 * t[name][0]:.0f} / {1e3 * t[name][1]:.0f}" for name in names]
        beside = f"{t['torch'][1] / t['both'][1]:.2f}" if "torch" in t else "-"
        ratios = [f"{t['twice'][1] / t['both'][1]:.2f}", beside]
        table.add_row(str(threads), *cells, *([] if "torch" in t else ["-"]), *ratios)
    console.print(table)


def stages(
    console: Console, model: str, frame: Frame, masks: list[Mask], rounds: int, counts: list[int]
) -> None:
    """The whole pipeline per object, by stage, beside the classical method."""
    runs = {
        **{f"compact, {n} threads": Settings(method="compact", model=model, threads=n) for n in counts},
        "extrude": Settings(method="extrude"),
    }
    made = {name: Reconstructor(settings) for name, settings in runs.items()}
    spent: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in runs}
    phases: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for _ in range(rounds + 1):
        for name, reconstructor in made.items():
            start = time.perf_counter()
            located = reconstructor.locate(frame, masks)
            middle = time.perf_counter()
            results = reconstructor.finish(located)
            end = time.perf_counter()
            reconstructor.reconstruct(frame, masks[:1])
            alone = time.perf_counter() - end
            phases[name].append((middle - start, end - middle, 2 * alone / (end - start)))
            for r in results:
                if isinstance(r, Reconstruction):
                    for stage, seconds in r.seconds.items():
                        spent[name][stage].append(seconds)
    table = Table(title="pipeline, ms per object (support: per frame); phases: per frame of two objects")
    for heading in ("method", *STAGES, "first phase", "second phase", "twice a frame of one / two"):
        table.add_column(heading, justify="right")
    for name in runs:
        per_stage = [f"{1e3 * np.median(v):.0f}" if (v := spent[name][stage]) else "-" for stage in STAGES]
        first, second, ratio = np.median(phases[name][1:], axis=0)
        table.add_row(name, *per_stage, f"{1e3 * first:.0f}", f"{1e3 * second:.0f}", f"{ratio:.2f}")
    console.print(table)


def node(console: Console, model: str, frame: Frame, masks: list[Mask], depth: Float, rounds: int) -> None:
    """From the start of the process to the first object, then frame after frame; memory at the end."""
    import rclpy
    from rclpy.node import Node
    from sam3d_ros.msg import FrameTiming, ReconstructedObjectArray

    from sam3d_ros.node.camera_topics import CameraTopics
    from sam3d_ros.node.share import shared_memory_environment

    os.environ |= {"ROS_DOMAIN_ID": str(1 + os.getpid() % 100), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    os.environ |= shared_memory_environment()
    rclpy.init()
    camera = Node("benchmark_camera")
    topics = CameraTopics(camera, "optical")
    objects: list[ReconstructedObjectArray] = []
    timings: list[FrameTiming] = []
    camera.create_subscription(ReconstructedObjectArray, "/sam3d/objects", objects.append, 10)
    camera.create_subscription(FrameTiming, "/sam3d/timing", timings.append, 10)
    labels = np.zeros(depth.shape, np.uint16)
    for mask in masks:
        labels[mask.pixels] = mask.index
    path = str(Path(model).resolve()) if os.sep in model else model
    arguments = ["--ros-args", "-p", "method:=compact", "-p", f"model:={path}"]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        begin = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "sam3d_ros.node.reconstruction_node", *arguments],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
        try:
            until = begin + 60

            def spin(seconds: float, enough: Callable[[], bool]) -> None:
                """Hear the node for so long, or until it is enough."""
                wait = time.monotonic() + seconds
                while not enough() and time.monotonic() < min(wait, until):
                    rclpy.spin_once(camera, timeout_sec=0.02)

            while not objects and time.monotonic() < until:
                topics.publish(frame.rgb, depth, labels, CAMERA, time.time_ns())
                spin(0.2, lambda: bool(objects))
            first = time.monotonic() - begin
            # What was published while the node started has an answer then: no frame below waits for another.
            spin(3.0, lambda: False)
            timings.clear()
            while len(timings) < rounds and time.monotonic() < until:
                seen = len(timings)
                topics.publish(frame.rgb, depth, labels, CAMERA, time.time_ns())
                spin(10.0, lambda: len(timings) > seen)  # noqa: B023
            rss = psutil.Process(process.pid).memory_info().rss / 1e6
        finally:
            process.send_signal(2)
            process.wait(15)
    camera.destroy_node()
    rclpy.shutdown()
    if not timings:
        raise SystemExit("the node gave no objects")
    age, total = (np.median([getattr(t, name) for t in timings]) for name in ("age_ms", "total_ms"))
    console.print(
        f"node: first object {first:.1f} s after the start of the process; objects {age:.0f} ms after the "
        f"image (median of {len(timings)} frames), {total:.0f} ms with meshes; {rss:.0f} MB resident"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--no-node", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    console = Console(width=120)
    bundle = find_bundle(args.model)
    frame, masks, depth = look()
    console.print(
        f"{bundle.about.name} {bundle.about.version}, {bundle.bytes / 1e6:.1f} MB; {os.cpu_count()} cores"
    )
    networks(console, bundle, frame, masks, args.rounds, args.threads)
    stages(console, args.model, frame, masks, args.rounds, args.threads)
    if not args.no_node:
        node(console, args.model, frame, masks, depth, args.rounds)


if __name__ == "__main__":
    main()
