"""Objects, pictures and training views per second of one core, and how well the two renderers agree.

    OMP_NUM_THREADS=1 python benchmarks/data.py [--packs objects/*.safetensors] [--views 512]

Times are CPU seconds of this process: a shared machine stretches wall time far more than these. Sets are measured as a
long stream makes them: the pool's window is full, and each group of samples makes one new object.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from sam3d_ros.data.commands import make_set
from sam3d_ros.data.objects import CATEGORIES, make_object
from sam3d_ros.data.render import SceneRenderer
from sam3d_ros.data.render_gl import GlSceneRenderer, why_unavailable
from sam3d_ros.data.scene import any_lamp, any_viewpoint, make_tabletop, orbit
from sam3d_ros.data.sets import occlusion, tabletop
from sam3d_ros.data.sets.alone import Alone, any_rotation, in_view
from sam3d_ros.data.sets.iso import VIEWS
from sam3d_ros.data.sets.pool import Pool
from sam3d_ros.data.sets.sample import SampleSet
from sam3d_ros.data.sets.shards import encode
from sam3d_ros.data.sources.pack import Packed
from sam3d_ros.data.sources.source import ObjectSource, Procedural
from sam3d_ros.types import Camera

GROUPS = {
    "tabletop": tabletop.PER_GROUP,
    "object-swap": tabletop.PER_GROUP,
    "flying-occlusions": occlusion.PER_GROUP,
}
"""Samples per new object of the sets that draw from a window of objects."""


def rate(work: Callable[[int], object], count: int) -> float:
    """Calls per CPU second."""
    start = time.process_time()
    for i in range(count):
        work(i)
    return count / (time.process_time() - start)


def objects(packs: list[Path]) -> None:
    rng = np.random.default_rng(0)
    made = rate(lambda i: make_object(CATEGORIES[i % len(CATEGORIES)], rng), 2 * len(CATEGORIES))
    print(f"procedural objects   {made:8.1f} /s")
    for path in packs:
        pack = Packed(path)
        print(
            f"{path.stem:20s} {rate(lambda i, p=pack: p.load(i % len(p)), 100):8.1f} /s loaded, {len(pack)} objects"
        )  # type: ignore[misc]


def renderers(scenes: int = 8) -> None:
    reason = why_unavailable()
    for width, height in ((256, 256), (640, 480)):
        camera = Camera(width, height, 0.95 * width, 0.95 * width, (width - 1) / 2, (height - 1) / 2)
        agree: dict[str, list[float]] = {"depth": [], "labels": [], "lit": [], "rgb": []}
        speed: dict[str, list[float]] = {"rays": [], "gl": []}
        for seed in range(scenes):
            scene, T = make_tabletop(seed, 5, lying=0.4), orbit(scenes)[seed]
            rays = SceneRenderer(scene)
            a = rays.render(camera, T, antialias=False)
            speed["rays"].append(rate(lambda i: rays.render(camera, T, antialias=False), 3))  # noqa: B023
            if reason is not None:
                continue
            gl = GlSceneRenderer(scene)
            b = gl.render(camera, T, antialias=False)
            start = time.perf_counter()
            for _ in range(3):
                gl.render(camera, T, antialias=False)
            speed["gl"].append(3 / (time.perf_counter() - start))
            gl.release()
            agree["depth"].append(float((np.abs(a.depth_m - b.depth_m) < 1e-4).mean()))
            agree["labels"].append(float((a.labels == b.labels).mean()))
            agree["lit"].append(float((a.lit == b.lit).mean()))
            agree["rgb"].append(float((np.abs(a.rgb.astype(int) - b.rgb).max(axis=-1) <= 4).mean()))
        print(f"\n{width}x{height}: rays {np.median(speed['rays']):.1f} pictures per CPU second", end="")
        if reason is not None:
            print(f"; OpenGL not measured: {reason}")
            continue
        print(f", OpenGL {np.median(speed['gl']):.1f} per second of wall time (llvmpipe uses every core)")
        least = {name: f"{100 * min(values):.3f} %" for name, values in agree.items()}
        print(f"  least agreement over {scenes} scenes (depth within 0.1 mm, rgb within 4): {least}")


def sets(packs: list[Path], views: int) -> None:
    print()
    sources: list[ObjectSource] = [Packed(path) for path in packs] or [Procedural()]
    for name in ("tabletop", "iso-3do", "flying-occlusions", "object-swap"):
        pool = Pool(sources)
        samples = make_set(name, pool)  # type: ignore[arg-type]
        if name in GROUPS:
            for place in range(pool.window):
                _ = pool.at(place).renderer
        first = 2 * GROUPS.get(name, VIEWS)
        for i in range(first - 24, first):
            samples(i)

        def make(i: int, name: str = name, pool: Pool = pool, samples: SampleSet = samples) -> None:
            if name in GROUPS and i % GROUPS[name] == 0:
                _ = pool.at((pool.window + i // GROUPS[name]) % len(pool)).renderer
            samples(first + i)  # noqa: B023

        made = rate(make, views if name == "tabletop" else views // 2)
        one = samples(first)
        written = rate(lambda i, s=one: encode(s), 50)  # type: ignore[misc]
        size = sum(map(len, encode(one).values())) / 1e3
        print(f"{name:20s} {made:8.1f} views/s; encoding {written:.0f} /s, {size:.0f} kB")


def parts() -> None:
    """What views are put together from, ms: of a table, then of objects whose sphere fills 0.8 of the view."""
    pool = Pool([Procedural()])
    tables = tabletop.TabletopSet(pool)
    table, rng, view = tables.table(0), np.random.default_rng(0), tabletop.VIEW
    T = any_viewpoint(rng)
    picture = table.renderer.render(view, T, antialias=False)
    drawn, light = [pool.at(i) for i in range(20)], any_lamp(rng)
    alone = [Alone(d, in_view(d.model, any_rotation(rng), 0.8, np.zeros(2)), light) for d in drawn]
    outlines = [one.outlines(view) for one in alone]
    works: dict[str, Callable[[int], object]] = {
        "picture of a table": lambda _: table.renderer.render(view, T, antialias=False),
        "its outlines": lambda _: table.renderer.outlines(view, T),
        "silhouettes": lambda _: table.renderer.silhouettes(view, T),
        "sensor noise": lambda _: tabletop.noisy_depth(picture, view, view, tables.sensor, rng),
        "ray tree of a table": lambda _: SceneRenderer(table.scene),
        "outlines of an object": lambda i: alone[i].outlines(view),
        "its colours": lambda i: alone[i].coloured(outlines[i]),
        "an object": lambda i: pool.at(100 + i),
        "its renderer": lambda i: pool.at(100 + i).renderer,
    }
    print()
    for name, work in works.items():
        print(f"{name:22s} {1e3 / rate(work, 20):6.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--packs", type=Path, nargs="*", default=[])
    parser.add_argument("--views", type=int, default=512)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    objects(arguments.packs)
    renderers()
    parts()
    sets(arguments.packs, arguments.views)


if __name__ == "__main__":
    main()
