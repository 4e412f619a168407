"""The networks at published size on a CUDA GPU: milliseconds of every stage beside its operations and the roofline.

    PYTHONPATH=. python benchmarks/gpu.py                    # torch, bf16, random weights made on the device
    PYTHONPATH=. python benchmarks/gpu.py --voxels 8000 --objects 3
    PYTHONPATH=. python benchmarks/gpu.py --bundle random-bf16-opset23    # the same stages through TensorRT

Stages are those of one object: condition of the geometry stage, its keys and values, four geometry steps, occupancy,
condition of the texture stage, four texture steps, mesh decoder, Gaussian decoder. Each flow's steps are one CUDA
graph. "floor" is the operations at the GPU's peak; "expected" uses the fractions of the peak that matrix products
and attention usually reach. Median of `--repeat` runs after three that do not count, measured with CUDA events; the
least memory that works is the peak printed at the end. Ends with code 1 where there is no GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from model_networks import shell
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sam3d_ros.model import tables
from sam3d_ros.model.flow import time_steps
from sam3d_ros.model.published import NETWORKS
from sam3d_ros.model.slat_trunk import window_pair
from sam3d_ros.model.texture import texture_tables
from sam3d_ros.runtime.gpu import Gpu, find_gpu

STEPS = 4
# Dense bf16 peak in TFLOP/s, and the share of it that large matrix products reach; by a part of the GPU's name.
PEAK = {"H100": (989, 0.75), "H200": (989, 0.75), "A100": (312, 0.8), "RTX 4090": (165, 0.8), "L40": (181, 0.8),
        "RTX 5090": (210, 0.8), "Thor": (258, 0.5), "Orin": (42.5, 0.6)}  # fmt: skip


def build(name: str, device: str, dtype: torch.dtype) -> Any:
    """A network with random weights, made where it is used."""
    torch.set_default_dtype(dtype)
    with torch.device(device), torch.no_grad():
        net = NETWORKS[name].build().to(dtype).eval().requires_grad_(False)
    torch.set_default_dtype(torch.float32)
    return net


def captured(run: Callable[[], Any]) -> Callable[[], Any]:
    """The calls as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def stages(
    device: str, dtype: torch.dtype, coords: np.ndarray, objects: int
) -> list[tuple[str, Callable[[], Any]]]:
    """Name and call of every stage."""

    def put(*shape: int, of: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*shape, device=device).to(of)

    def move(table: Any) -> Any:
        return type(table)(*(None if x is None else x.to(device) for x in table))

    net = partial(build, device=device, dtype=dtype)
    geometry_condition, geometry, occupancy = (
        net(n) for n in ("geometry_condition", "geometry", "occupancy_decoder")
    )
    texture_condition, texture = (net(n) for n in ("texture_condition", "texture"))
    mesh, gaussian = (net(n) for n in ("mesh_decoder", "gaussian_decoder"))

    def views(embedder: Any) -> dict[str, Tensor]:
        return {v: put(objects, 1 if "mask" in v else 3, 518, 518) for v in embedder.views}

    geometry_views, texture_views = views(geometry_condition), views(texture_condition)
    tokens = put(objects, 7528, 1024, of=dtype)
    context = geometry.prepare(tokens)
    c = geometry.config
    noise = {n: put(objects, c.tokens[n], k) for n, k in c.channels.items()}
    d = torch.full((objects,), 1000 / STEPS, device=device)
    plan = time_steps(STEPS, 3.0)
    times = [torch.full((objects,), 1000 * float(t), device=device) for t in plan[:-1]]
    gaps = [float(b - a) for a, b in pairwise(plan)]

    def geometry_steps() -> Any:
        x = noise
        for t, gap in zip(times, gaps, strict=True):
            v = geometry(x, t, d, context)
            x = {n: x[n] + gap * v[n] for n in x}
        return x

    shape_tokens = put(objects, 4096, 8)
    index = move(texture_tables(coords))
    texture_tokens = put(1, 5496, 1024, of=dtype)
    kv = texture.prepare(texture_tokens)
    slat = put(len(coords), 8)
    even = [torch.full((1,), 1000 * i / STEPS, device=device) for i in range(STEPS)]

    def texture_steps() -> Any:
        x = slat
        for t in even:
            x = x + texture(x, t, index, kv) / STEPS
        return x

    xyz = torch.from_numpy(coords[:, 1:]).long().to(device)
    windows, near = move(window_pair(coords)), torch.from_numpy(tables.neighbour_table(coords)).to(device)
    return [
        ("condition", lambda: geometry_condition(geometry_views)),
        ("keys and values", lambda: geometry.prepare(tokens)),
        (f"geometry, {STEPS} steps", geometry_steps),
        ("occupancy", lambda: occupancy.from_tokens(shape_tokens)),
        ("texture condition", lambda: texture_condition(texture_views)),
        ("texture keys and values", lambda: texture.prepare(texture_tokens)),
        (f"texture, {STEPS} steps", texture_steps),
        ("mesh decoder", lambda: mesh(slat, xyz, windows, near)),
        ("Gaussian decoder", lambda: gaussian(slat, xyz, windows)),
    ]


def operations(coords: np.ndarray, objects: int) -> dict[str, float]:
    """Operations of every stage in TFLOP, counted on the meta device."""
    counts = {}
    for name, run in stages("meta", torch.bfloat16, coords, objects):
        with FlopCounterMode(display=False) as counter:
            run()
        counts[name] = counter.get_total_flops() / 1e12
    return counts


def milliseconds(run: Callable[[], Any], repeat: int) -> float:
    """Median over `repeat` runs, by the GPU's own clock."""
    for _ in range(3):
        run()
    taken = []
    for _ in range(repeat):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        torch.cuda.synchronize()
        taken.append(start.elapsed_time(stop))
    return float(np.median(taken))


def report(name: str, gpu: Gpu, counts: dict[str, float], measured: dict[str, float]) -> None:
    """The table, and the sums that the targets are about."""
    peak, share = next((v for k, v in PEAK.items() if k in gpu.name), (float("nan"), float("nan")))
    print(
        f"{name}, {gpu}, CUDA {gpu.driver}\n\n"
        "| stage | TFLOP | ms | TFLOP/s | floor ms | expected ms |\n|---|---|---|---|---|---|"
    )
    for stage, ms in measured.items():
        work = counts[stage]
        print(
            f"| {stage} | {work:.2f} | {ms:.1f} | {1e3 * work / ms:.0f} | {1e3 * work / peak:.1f} "
            f"| {1e3 * work / peak / share:.1f} |"
        )
    to_voxels = sum(ms for stage, ms in list(measured.items())[:4])
    to_mesh = sum(ms for stage, ms in measured.items() if "Gaussian" not in stage)
    print(f"\nimage to pose and voxels {to_voxels:.0f} ms; image to mesh {to_mesh:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voxels", type=int, default=20_000)
    parser.add_argument("--objects", type=int, default=1, help="of the geometry stage, as one batch")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--dtype", choices=("bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--bundle", help="measure the graphs of this bundle through TensorRT instead")
    arguments = parser.parse_args()
    gpu = find_gpu()
    if isinstance(gpu, str):
        sys.exit(f"benchmarks/gpu.py needs a CUDA GPU: {gpu}")
    if arguments.bundle:
        from sam3d_ros.runtime.engines_command import run

        sys.exit(run(["bench", arguments.bundle, "--backend", "tensorrt", "--repeat", str(arguments.repeat)]))
    coords = shell(arguments.voxels)
    with torch.no_grad():
        counts = operations(coords, arguments.objects)
        measured = {}
        for name, run in stages("cuda", getattr(torch, arguments.dtype), coords, arguments.objects):
            stepwise = "steps" in name
            measured[name] = milliseconds(captured(run) if stepwise else run, arguments.repeat)
    title = f"torch {torch.__version__}, {arguments.dtype}, {len(coords)} voxels, {arguments.objects} objects"
    report(title, gpu, counts, measured)
    print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
