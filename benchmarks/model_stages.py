"""Wall seconds and peak memory of every stage at the published size, beside the plain form in the same run.

    PYTHONPATH=. OMP_NUM_THREADS=2 python benchmarks/model_stages.py [--stages "geometry:four steps" ...]
    PYTHONPATH=. python benchmarks/model_stages.py --count          # operations of both forms alone, seconds
    PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/model_stages.py --depth 2      # two blocks of each network

Random weights, fp32, voxels on the shell of a ball. The plain form is the arithmetic as the paper writes it: keys
and values of the condition in every step and for both streams, guidance as a pass over all-zero condition
tokens, attention between all voxels under an N x N mask of equal windows, subdivide and then convolve, surface
values at every vertex of the 257^3 grid. Both forms give the same result; the largest difference is shown.

Each stage is a process of its own, so that the peak memory (weights included) is its own: the kernel's high-water
mark, reset before each form (Linux). Operations come from the same calls on torch's meta device. Wall seconds mean
something on an otherwise idle machine only; the process's CPU seconds beside them tell whether it was. On a busy one
`--depth` keeps width, tokens and voxels and takes fewer of the equal blocks: the ratio is what it tells.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from model_networks import shell
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sam3d_ros.model import flexicubes, sparse, tables
from sam3d_ros.model.attention import attend
from sam3d_ros.model.block import Modulation
from sam3d_ros.model.decode_mesh import cube_coords
from sam3d_ros.model.dual_marching_tables import CORNERS
from sam3d_ros.model.dual_marching_tables import tables as loops
from sam3d_ros.model.flow import sample, time_steps
from sam3d_ros.model.layers import grid_sinusoid, layer_norm
from sam3d_ros.model.published import NETWORKS
from sam3d_ros.model.slat_trunk import WindowPair, window_pair
from sam3d_ros.model.texture import TextureTables, texture_tables

Run = Callable[[], Any]


@dataclass(frozen=True)
class Stage:
    """A stage's two forms. `plain_share`: how much of the stage the plain form covers, where it would take too long."""

    fast: Run
    plain: Run
    repeat: int = 1
    plain_share: float = 1.0


def plain_geometry(
    net: Any, x: dict[str, Tensor], t: Tensor, d: Tensor, condition: Tensor
) -> dict[str, Tensor]:
    """One geometry step that projects all condition tokens for both streams."""
    e = net.embed_time(t, d)
    shape, layout = net.latents["shape"].embed(x["shape"]), net.embed_layout(x)
    for block in net.blocks:
        m = Modulation.of(block.modulation, e)
        shape, shape_kv = block.shape_step(shape, m, block.shape.cross.keys_values(condition))
        layout = block.layout_step(layout, m, block.layout.cross.keys_values(condition), shape_kv)
    return {"shape": net.latents["shape"].readout(shape), **net.read_layout(layout)}


def plain_trunk(trunk: Any, x: Tensor, xyz: Tensor, windows: WindowPair) -> Tensor:
    """The decoders' trunk with attention between all voxels under an N x N mask."""
    masks = []
    for slots, rows in (windows[:2], windows[2:]):
        window = rows // slots.shape[1]
        masks.append(window[:, None] == window[None])
    h = trunk.in_layer(x) + grid_sinusoid(xyz, trunk.config.width)
    for i, block in enumerate(trunk.blocks):
        attn = block.attn
        q, k, v = (
            attn.qkv(layer_norm(h, eps=1e-6)).unflatten(-1, (3, attn.heads, -1)).permute(1, 2, 0, 3)[:, None]
        )
        h = h + attn.proj(attend(q, k, v, masks[i % 2])[0].transpose(0, 1).flatten(1))
        h = h + block.mlp(layer_norm(h, eps=1e-6))
    return h


def plain_mesh_decoder(net: Any, x: Tensor, xyz: Tensor, windows: WindowPair, near: Tensor) -> Tensor:
    """The mesh decoder that subdivides first and convolves the children."""
    h = plain_trunk(net.trunk, x, xyz, windows)
    for block in net.upsample:
        finer = sparse.child_neighbours(near)
        inner = block.conv1(sparse.subdivide(F.silu(block.norm1(h))), finer)
        inner = block.conv2(F.silu(block.norm2(inner)), finer)
        h, near = inner + block.skip(sparse.subdivide(h)), finer
    return net.out_layer(h).float()


def plain_gaussian_decoder(net: Any, x: Tensor, xyz: Tensor, windows: WindowPair) -> Tensor:
    """The Gaussian decoder with the masked trunk."""
    return net.out_layer(layer_norm(plain_trunk(net.trunk, x, xyz, windows), eps=1e-5)).float()


def plain_extract(channels: Tensor, coords: Tensor, resolution: int) -> flexicubes.SurfaceMesh:
    """The extraction with means, positions and weights at every vertex and every cube of the grid."""
    values, grid = flexicubes.CubeValues.of(channels, resolution), flexicubes.Grid(resolution, coords.device)
    active = grid.number(coords)
    distance = flexicubes._summed_distance(values.sdf, active, grid)
    everywhere = torch.arange(grid.side**3)
    vertices = flexicubes._vertices(values, distance, active, everywhere, grid)
    inside = vertices.sdf < 0
    weights = flexicubes._cube_weights(values.weights, grid.rows(active))
    case_at = grid.cases(inside)
    cubes = ((case_at != 0) & (case_at != 255)).nonzero()[:, 0]
    case = flexicubes._resolve(case_at, cubes, grid)
    alpha, beta, gamma = (w.index_select(0, cubes) for w in weights)
    group = torch.as_tensor(loops().group, dtype=torch.int8)[case]
    count = torch.as_tensor(loops().count)[case]
    first = count.cumsum(0) - count
    dual = flexicubes._dual_vertices(vertices, cubes, alpha, beta, group, count, first, grid)
    faces = flexicubes._faces(cubes, group, first, gamma, inside, grid)
    return flexicubes.SurfaceMesh(dual[:, :3], faces, dual[:, 3:])


def geometry_stage(net: Any, put: Callable[..., Tensor], kind: str) -> Stage:
    """One step, the whole of four, or guidance's unconditional step."""
    x = {name: put(1, net.config.tokens[name], c) for name, c in net.config.channels.items()}
    condition = put(1, 7528, 1024)

    def at(value: float) -> Tensor:
        return torch.full((1,), value, device=condition.device)

    if kind == "unconditional":
        zeros = torch.zeros_like(condition)
        return Stage(
            lambda: net(x, at(300.0), at(0.0), None),
            lambda: plain_geometry(net, x, at(300.0), at(0.0), zeros),
        )
    if kind == "step":
        context = net.prepare(condition)
        return Stage(
            lambda: net(x, at(300.0), at(250.0), context),
            lambda: plain_geometry(net, x, at(300.0), at(250.0), condition),
        )

    def four(velocity: Callable[..., Any], steps: int) -> Any:
        return sample(
            lambda x, t, d: velocity(x, at(t), at(d)), x, time_steps(4, rescale=3)[: steps + 1], step=1 / 4
        )

    def fast() -> Any:
        context = net.prepare(condition)
        return four(lambda x, t, d: net(x, t, d, context), 4)

    return Stage(fast, lambda: four(lambda *a: plain_geometry(net, *a, condition), 1), plain_share=1 / 4)


def texture_stage(net: Any, put: Callable[..., Tensor], coords: np.ndarray) -> Stage:
    """One step of the texture flow."""
    condition, feats = put(1, 5496, 1024), put(len(coords), 8)
    index = TextureTables(*(None if x is None else x.to(feats.device) for x in texture_tables(coords)))  # type: ignore[arg-type]
    t = torch.full((1,), 300.0, device=feats.device)
    context = net.prepare(condition)
    return Stage(lambda: net(feats, t, index, context), lambda: net(feats, t, index, net.prepare(condition)))


def decoder_stage(net: Any, put: Callable[..., Tensor], coords: np.ndarray, mesh: bool) -> Stage:
    """The mesh decoder without extraction, or the Gaussian decoder."""
    feats = put(len(coords), 8)
    xyz = torch.from_numpy(coords[:, 1:]).long().to(feats.device)
    windows = WindowPair(*(x.to(feats.device) for x in window_pair(coords)))
    if not mesh:
        return Stage(
            lambda: net(feats, xyz, windows), lambda: plain_gaussian_decoder(net, feats, xyz, windows)
        )
    near = torch.from_numpy(tables.neighbour_table(coords)).to(feats.device)
    return Stage(
        lambda: net(feats, xyz, windows, near), lambda: plain_mesh_decoder(net, feats, xyz, windows, near)
    )


def extraction_stage(coords: np.ndarray) -> Stage:
    """The surface of a ball through the middle of these voxels, 256^3."""
    cubes = cube_coords(torch.from_numpy(coords[:, 1:]).long())
    corners = (cubes[:, None] + torch.as_tensor(CORNERS)) / 256 - 0.5
    channels = torch.zeros(len(cubes), 101)
    channels[:, :8] = corners.norm(dim=-1) - float(
        np.linalg.norm((coords[:, 1:] + 0.5) / 64 - 0.5, axis=1).mean()
    )
    return Stage(
        lambda: flexicubes.extract(channels, cubes, 256),
        lambda: plain_extract(channels, cubes, 256),
        repeat=5,
    )


def with_depth(config: Any, depth: int) -> Any:
    """A network's sizes with another number of blocks."""
    if hasattr(config, "trunk"):
        return replace(config, trunk=replace(config.trunk, depth=depth))
    return replace(config, depth=depth)


def build(stage: str, device: str, depth: int | None) -> Stage:
    """A stage by its name, with the network (all blocks if depth is None) and inputs on the device."""
    name, _, size = stage.partition(":")
    coords = shell(int(size)) if size.isdigit() else None
    if name == "extraction":
        return extraction_stage(coords)  # type: ignore[arg-type]
    with torch.device(device):
        config = NETWORKS[name].config
        net: Any = NETWORKS[name].build(with_depth(config, depth) if depth else config)
    net.eval().requires_grad_(False)

    def put(*shape: int) -> Tensor:
        return torch.randn(*shape, device=device)

    if name == "geometry":
        return geometry_stage(net, put, size)
    if name == "texture":
        return texture_stage(net, put, coords)  # type: ignore[arg-type]
    return decoder_stage(net, put, coords, mesh=name == "mesh_decoder")  # type: ignore[arg-type]


STAGES = (
    "extraction:20000",
    "geometry:four steps",
    "geometry:step",
    "texture:5000",
    "texture:20000",
    "mesh_decoder:20000",
    "gaussian_decoder:5000",
    "gaussian_decoder:20000",
    "geometry:unconditional",
)


def peak_memory(reset: bool = False) -> float:
    """The process's high-water mark in GiB; `reset` starts a new one."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


def tensors(result: Any) -> list[Tensor]:
    """The tensors of a result."""
    if isinstance(result, Tensor):
        return [result]
    return list(result.values() if isinstance(result, dict) else result)


def difference(a: Any, b: Any) -> float:
    """Largest difference of two results, relative to the largest value of the second."""
    pairs = zip(tensors(a), tensors(b), strict=True)
    return max(float((x - y).abs().max() / y.abs().max()) for x, y in pairs)


def count(stage: str, depth: int | None) -> tuple[float, float]:
    """Operations of both forms."""
    forms = build(stage, "meta", depth)
    found = []
    for run in (forms.fast, forms.plain):
        with FlopCounterMode(display=False) as counter:
            run()
        found.append(float(counter.get_total_flops()))
    return found[0], found[1] / forms.plain_share


def run_both(forms: Stage) -> list[str]:
    """Cells of a row: wall seconds, CPU seconds, peak memory, difference."""
    seconds: list[list[float]] = [[], []]
    cpu: list[list[float]] = [[], []]
    peaks, results = [0.0, 0.0], [None, None]
    for _ in range(forms.repeat):
        for i, run in enumerate((forms.fast, forms.plain)):
            results[i] = None
            peak_memory(reset=True)
            share = forms.plain_share if i else 1.0
            start, start_cpu = time.perf_counter(), time.process_time()
            results[i] = run()
            cpu[i].append((time.process_time() - start_cpu) / share)
            seconds[i].append((time.perf_counter() - start) / share)
            peaks[i] = max(peaks[i], peak_memory())
    cells = []
    for fast, plain in ([min(x) for x in seconds], [min(x) for x in cpu]):
        cells += [f"{fast:.2f}", f"{plain:.2f}", f"{plain / fast:.2f}"]
    cells += [f"{peak:.1f}" for peak in peaks]
    return [*cells, f"{difference(*results):.0e}" if forms.plain_share == 1 else ""]


@torch.no_grad()
def measure(stage: str, depth: int | None, count_only: bool) -> None:
    """Print the row of one stage."""
    torch.manual_seed(0)
    cells = [stage, "", "", ""]
    if not stage.startswith("extraction"):
        fast, plain = count(stage, depth)
        cells[1:] = [f"{fast / 1e12:.2f}", f"{plain / 1e12:.2f}", f"{plain / fast:.2f}"]
    if not count_only:
        cells += run_both(build(stage, "cpu", depth))
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", nargs="+", default=list(STAGES), metavar="NAME:SIZE")
    parser.add_argument("--depth", type=int, help="blocks of every network instead of all")
    parser.add_argument("--count", action="store_true", help="operations alone")
    arguments = parser.parse_args()
    if len(arguments.stages) == 1:
        measure(arguments.stages[0], arguments.depth, arguments.count)
        return
    heads = ["stage", "TFLOP", "plain", "ratio"]
    if not arguments.count:
        heads += ["s", "plain", "ratio", "CPU s", "plain", "ratio", "peak GiB", "plain", "difference"]
    print(f"{torch.get_num_threads()} threads\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    options = ["--count"] * arguments.count + (["--depth", str(arguments.depth)] if arguments.depth else [])
    for stage in arguments.stages:
        subprocess.run([sys.executable, __file__, "--stages", stage, *options], check=True)


if __name__ == "__main__":
    main()
