"""Accuracy and time of the classical methods on synthetic tables, one core.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/pipeline.py [--scenes 40] [--low]

Prints, per method, the posed metrics (no alignment), the milliseconds per stage and object, and the time
relative to `hull`, the cheapest; and the exact point-to-mesh distance of `fit` relative to trimesh's, with
their largest difference.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import cv2
import numpy as np
import trimesh

from sam3d_ros.data.render import SceneRenderer
from sam3d_ros.data.scene import make_tabletop, orbit
from sam3d_ros.data.sensor import sense
from sam3d_ros.evaluate.posed import posed_metrics
from sam3d_ros.methods.settings import CLASSICAL, Settings
from sam3d_ros.perception.frames import inverse
from sam3d_ros.perception.masks import masks_from_labels
from sam3d_ros.perception.pointmap import depth_to_metres, points_from_depth
from sam3d_ros.pipeline import STAGES, Reconstructor
from sam3d_ros.refine.fit import distances
from sam3d_ros.types import Camera, Frame, Reconstruction

CAMERA = Camera(640, 480, 600.0, 600.0, 319.5, 239.5)
COLUMNS = ("viou", "f1", "add_s", "box_iou", "centre_error_m")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--low", action="store_true", help="camera 5 to 20 degrees above the table")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    scores = {method: defaultdict(list) for method in CLASSICAL}
    seconds = {method: defaultdict(list) for method in CLASSICAL}
    rejected = dict.fromkeys(CLASSICAL, 0)
    for seed in range(arguments.scenes):
        scene = make_tabletop(10_000 + seed, 5)
        down = (5.0, 20.0) if arguments.low else (25.0, 60.0)
        T_world_cam = orbit(8, down_deg=down)[seed % 8]
        rendered = SceneRenderer(scene).render(CAMERA, T_world_cam, antialias=False)
        depth = depth_to_metres(sense(rendered, CAMERA, np.random.default_rng(seed)), "16UC1")
        frame = Frame(rendered.rgb, points_from_depth(depth, CAMERA), CAMERA)
        masks = masks_from_labels(rendered.labels)
        for method in CLASSICAL:
            for result in Reconstructor(Settings(method=method, min_confidence=0)).reconstruct(frame, masks):
                if not isinstance(result, Reconstruction):
                    rejected[method] += 1
                    continue
                truth = next(o for o in scene.objects if o.label == result.mask.index)
                T_cam_truth = inverse(T_world_cam) @ truth.T_world_obj
                found = posed_metrics(result.mesh, result.T_cam_obj, truth.model.mesh, T_cam_truth)
                for column in COLUMNS:
                    scores[method][column].append(getattr(found, column))
                for stage in STAGES:
                    seconds[method][stage].append(result.seconds.get(stage, 0.0))
                last = result
    print(f"{'method':10s} {'objects':>8s} {'rejected':>8s} " + " ".join(f"{c:>14s}" for c in COLUMNS))
    for method in CLASSICAL:
        means = " ".join(f"{np.mean(scores[method][c]):14.3f}" for c in COLUMNS)
        print(f"{method:10s} {len(scores[method]['viou']):8d} {rejected[method]:8d} {means}")
    print(
        f"\n{'ms/object':10s} "
        + " ".join(f"{s:>8s}" for s in STAGES)
        + "    total  p95  ratio  (support: per frame)"
    )
    own = STAGES[1:]
    total = {m: np.sum([seconds[m][s] for s in own], axis=0) * 1e3 for m in CLASSICAL}
    for method in CLASSICAL:
        medians = " ".join(f"{1e3 * np.median(seconds[method][s]):8.1f}" for s in STAGES)
        ratio = np.median(total[method]) / np.median(total["hull"])
        middle, most = np.median(total[method]), np.percentile(total[method], 95)
        print(f"{method:10s} {medians} {middle:8.1f} {most:4.0f} {ratio:6.2f}")
    compare_distances(last)


def compare_distances(result: Reconstruction) -> None:
    """The distances of `fit` beside trimesh's for 300 random points."""
    points = np.random.default_rng(0).normal(size=(300, 3)) * result.size_m / 2
    reference = trimesh.Trimesh(result.mesh.vertices, result.mesh.faces, process=False)
    start = time.perf_counter()
    _, slow, _ = trimesh.proximity.closest_point_naive(reference, points)
    middle = time.perf_counter()
    fast = distances(points, result.mesh)
    end = time.perf_counter()
    print(
        f"\ndistances: {(middle - start) / (end - middle):.0f} times as fast as the plain loop over all triangles, "
        f"largest difference {1e3 * np.abs(fast - slow).max():.3f} mm"
    )


if __name__ == "__main__":
    main()
