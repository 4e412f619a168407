"""What judging costs: seconds per object and metric on one core, with predictions that cost nothing.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/evaluate.py [--views 20]

The prediction is the truth of another view at the same place, so meshes have their usual size and ICP has its
usual work. Prints the median of each part and its share, the time to make a view, what 200 views take on two
cores, and surface distances relative to the plain way, 100,000 sample points of each surface.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from scipy.spatial import cKDTree

from sam3d_ros.evaluate.layout import icp_rotation_deg, mask_iou
from sam3d_ros.evaluate.metrics import score
from sam3d_ros.evaluate.posed import posed_metrics
from sam3d_ros.evaluate.shape import shape_metrics
from sam3d_ros.evaluate.splits import make_view
from sam3d_ros.evaluate.surface import sample_surface, surface_distances
from sam3d_ros.evaluate.texture import texture_metrics
from sam3d_ros.mesh.occupancy import clean
from sam3d_ros.perception.frames import apply, inverse

PARTS = ("make the view", "posed", "shape", "ICP-Rot", "mask IoU", "texture", "all metrics")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--views", type=int, default=20)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[part].append(time.perf_counter() - start)

    before = make_view("procedural-heldout", 0).targets[0]
    for index in range(1, arguments.views + 1):
        with timed("make the view"):
            shot = make_view("procedural-heldout", index)
        truth, camera = shot.targets[0], shot.picture.camera
        T = truth.T_cam_obj
        p, t = clean(before.mesh), clean(truth.mesh)
        p_cam, t_cam = (apply(T, p[0]), p[1]), (apply(T, t[0]), t[1])
        with timed("posed"):
            posed_metrics(before.mesh, T, truth.mesh, T)
        with timed("shape"):
            shape_metrics(apply(inverse(T), p_cam[0]), p[1], *t)
        with timed("ICP-Rot"):
            icp_rotation_deg(*p_cam, *t_cam)
        with timed("mask IoU"):
            mask_iou(*p_cam, *t_cam, camera)
        with timed("texture"):
            texture_metrics(before.mesh, T, truth.mesh, T)
        with timed("all metrics"):
            score(before.mesh, T, truth.mesh, T, camera)
        before = truth
    whole = float(np.median(seconds["all metrics"]))
    for part in PARTS:
        median, most = np.median(seconds[part]), np.percentile(seconds[part], 95)
        print(
            f"{part:14s} {1e3 * median:8.0f} ms  p95 {1e3 * most:6.0f} ms  {median / whole:6.2f} of all metrics"
        )
    each = float(np.mean(seconds["make the view"]) + np.mean(seconds["all metrics"]))
    print(f"200 views of one method on two cores: {200 * each / 2 / 60:.1f} minutes")
    compare_distances(p_cam, t_cam)


def compare_distances(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> None:
    """Mean distance and time of both ways."""

    def plain() -> float:
        points, targets = (sample_surface(*mesh, 100_000, seed=0) for mesh in (a, b))
        return float(cKDTree(targets).query(points)[0].mean())

    def ours() -> float:
        return float(surface_distances(*a, *b).mean())

    (slow, slow_s), (fast, fast_s) = _timed(plain), _timed(ours)
    print(
        f"distances: {slow_s / fast_s:.0f} times as fast as 100,000 points each; "
        f"mean {1e3 * fast:.3f} mm beside {1e3 * slow:.3f} mm"
    )


def _timed(function: Callable[[], float]) -> tuple[float, float]:
    start = time.perf_counter()
    value = function()
    return value, time.perf_counter() - start


if __name__ == "__main__":
    main()
