"""The graphs of the published networks as data: who makes them, what they take and give, which sizes they are for.

The functions behind the names are in `model.graphs`, which needs torch; this needs nothing. Named dimensions:

    objects           of one frame, run as one batch
    views             pictures of the same kind, run as one batch
    voxels, coarse    active voxels of one object at 64^3, and their parents at 32^3
    windows, longest  windows of the decoders' attention and voxels of the fullest; the same with shifted_
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sam3d_ros.model.config import (
    LAYOUT_LATENTS,
    MAX_VOXELS,
    ConditionConfig,
    GaussianDecoderConfig,
    GeometryConfig,
    MeshDecoderConfig,
    OccupancyConfig,
    SlatTrunkConfig,
    TextureConfig,
)

from .spec import Profile, TensorSpec

COMPUTE = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Element type of what graphs hand to each other. What the host reads and writes is always float32 or int64."""

OBJECTS: tuple[Profile, ...] = ({"objects": (1, 1, 1)}, {"objects": (2, 3, 4)})
"""Five objects' keys and values of the geometry stage would pass 2^31 elements; more run as several batches."""
VIEWS: tuple[Profile, ...] = ({"views": (1, 1, 2)}, {"views": (2, 4, 16)})
VOXELS = ((1, 6_000, 10_000), (10_000, 20_000, 28_000), (28_000, 34_000, MAX_VOXELS))
"""Voxels of one object: a cup far away, a usual one, a large one. A graph's memory follows the largest of a profile."""


@dataclass(frozen=True)
class Sizes:
    """Configuration of every network; the defaults are the published ones."""

    geometry_condition: ConditionConfig = field(default_factory=ConditionConfig)
    geometry: GeometryConfig = field(default_factory=GeometryConfig)
    occupancy_decoder: OccupancyConfig = field(default_factory=OccupancyConfig)
    texture_condition: ConditionConfig = field(
        default_factory=lambda: ConditionConfig(point=None, prenorm=True)
    )
    texture: TextureConfig = field(default_factory=TextureConfig)
    mesh_decoder: MeshDecoderConfig = field(default_factory=MeshDecoderConfig)
    gaussian_decoder: GaussianDecoderConfig = field(default_factory=GaussianDecoderConfig)


@dataclass(frozen=True)
class GraphPlan:
    """A graph before it is exported. network: a field of Sizes and a name of model.published.NETWORKS."""

    name: str
    network: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    profiles: tuple[Profile, ...]


def graph_plans(sizes: Sizes, precision: str) -> dict[str, GraphPlan]:
    """Every graph by name, in the order in which an object passes through them."""
    plans = (
        *_condition("geometry", sizes.geometry_condition, precision),
        *_geometry(sizes.geometry, sizes.geometry_condition, precision),
        *_condition("texture", sizes.texture_condition, precision),
        *_texture(sizes.texture, sizes.texture_condition, precision),
        *_decoders(sizes, precision),
    )
    return {plan.name: plan for plan in plans}


GUIDANCE = ("geometry_unconditional", "texture_unconditional")
"""Graphs that only sampling with guidance needs."""


def _condition(stage: str, c: ConditionConfig, precision: str) -> list[GraphPlan]:
    side = c.dino.image_size
    tokens = {"image": c.image_tokens, "mask": c.image_tokens}
    if c.point is not None:
        tokens["point"] = c.point.grid**2
    return [
        GraphPlan(
            f"{stage}_{encoder}",
            f"{stage}_condition",
            (
                TensorSpec("view", "float32", ("views", 1 if encoder == "mask" else 3, side, side)),
                TensorSpec("place", "int64", ("views",)),
            ),
            (TensorSpec("tokens", COMPUTE[precision], ("views", count, c.width)),),
            VIEWS,
        )
        for encoder, count in tokens.items()
    ]


def _views(c: ConditionConfig, compute: str) -> tuple[TensorSpec, ...]:
    """Tokens of every view, as the encoders give them."""
    names = ["image", "rgb_image", "mask", "rgb_image_mask"]
    counts = [c.image_tokens] * 4
    if c.point is not None:
        names += ["pointmap", "rgb_pointmap"]
        counts += [c.point.grid**2] * 2
    return tuple(
        TensorSpec(name, compute, (1 if name == "rgb_image" else "objects", count, c.width))
        for name, count in zip(names, counts, strict=True)
    )


def _geometry(g: GeometryConfig, c: ConditionConfig, precision: str) -> list[GraphPlan]:
    compute = COMPUTE[precision]
    kv_shape = (g.depth, 2, "objects", g.heads, c.tokens, g.width // g.heads)
    context = (
        TensorSpec("shape_kv", compute, kv_shape),
        TensorSpec("condition", compute, ("objects", c.tokens, c.width)),
    )
    latents = [(n, ("objects", g.tokens[n], g.channels[n])) for n in ("shape", *LAYOUT_LATENTS)]
    state = (
        *(TensorSpec(n, "float32", shape) for n, shape in latents),
        TensorSpec("t", "float32", ("objects",)),
        TensorSpec("d", "float32", ("objects",)),
    )
    velocities = tuple(TensorSpec(f"{n}_velocity", "float32", shape) for n, shape in latents)
    ahead = tuple(TensorSpec(f"{n}_next", "float32", shape) for n, shape in latents)
    dt = TensorSpec("dt", "float32", ("objects",))
    logits = TensorSpec("logits", "float32", ("objects", 1, *[4 * g.grid] * 3))
    return [
        GraphPlan("geometry_prepare", "geometry", _views(c, compute), context, OBJECTS),
        GraphPlan("geometry_step", "geometry", (*state, dt, *context), (*velocities, *ahead), OBJECTS),
        GraphPlan("geometry_unconditional", "geometry", state, velocities, OBJECTS),
        GraphPlan("occupancy", "occupancy_decoder", state[:1], (logits,), OBJECTS),
    ]


def _texture(x: TextureConfig, c: ConditionConfig, precision: str) -> list[GraphPlan]:
    compute = COMPUTE[precision]

    def kv(objects: int | str) -> TensorSpec:
        return TensorSpec("kv", compute, (x.depth, 2, objects, x.heads, c.tokens, x.width // x.heads))

    state = (TensorSpec("slat", "float32", ("voxels", x.channels)), TensorSpec("t", "float32", (1,)))
    dt = TensorSpec("dt", "float32", (1,))
    tables = (
        TensorSpec("neighbours", "int64", ("voxels", 27)),
        TensorSpec("parent", "int64", ("voxels",)),
        TensorSpec("children", "int64", ("coarse", 8)),
        TensorSpec("coarse_neighbours", "int64", ("coarse", 27)),
        TensorSpec("coarse_xyz", "int64", ("coarse", 3)),
    )
    velocity = TensorSpec("velocity", "float32", ("voxels", x.channels))
    ahead = TensorSpec("slat_next", "float32", ("voxels", x.channels))
    # A shell of N voxels has about N / 4 parents; scattered voxels have one each.
    profiles = tuple({"voxels": v, "coarse": (1, v[1] // 4, v[2])} for v in VOXELS)
    return [
        GraphPlan("texture_prepare", "texture", _views(c, compute), (kv("objects"),), OBJECTS),
        GraphPlan("texture_step", "texture", (*state, dt, *tables, kv(1)), (velocity, ahead), profiles),
        GraphPlan("texture_unconditional", "texture", (*state, *tables), (velocity,), profiles),
    ]


def _decoders(sizes: Sizes, precision: str) -> list[GraphPlan]:
    mesh, gauss = sizes.mesh_decoder, sizes.gaussian_decoder
    width, compute = mesh.trunk.width, COMPUTE[precision]
    raw = TensorSpec("raw", "float32", ("voxels", 14 * gauss.per_voxel))
    features = TensorSpec("features", compute, ("voxels", width))
    neighbours = TensorSpec("neighbours", "int64", ("voxels", 27))
    cubes = TensorSpec("cubes", "float32", (f"{8 ** len(mesh.channels)}*voxels", mesh.out_channels))
    heads = tuple({"voxels": v} for v in VOXELS)
    return [
        GraphPlan("mesh_trunk", "mesh_decoder", _voxels(mesh.trunk), (features,), _windows(mesh.trunk)),
        GraphPlan("mesh_heads", "mesh_decoder", (features, neighbours), (cubes,), heads),
        GraphPlan("gaussians", "gaussian_decoder", _voxels(gauss.trunk), (raw,), _windows(gauss.trunk)),
    ]


def _voxels(trunk: SlatTrunkConfig) -> tuple[TensorSpec, ...]:
    return (
        TensorSpec("slat", "float32", ("voxels", trunk.in_channels)),
        TensorSpec("xyz", "int64", ("voxels", 3)),
        TensorSpec("slots", "int64", ("windows", "longest")),
        TensorSpec("rows", "int64", ("voxels",)),
        TensorSpec("shifted_slots", "int64", ("shifted_windows", "shifted_longest")),
        TensorSpec("shifted_rows", "int64", ("voxels",)),
    )


def _windows(trunk: SlatTrunkConfig) -> tuple[Profile, ...]:
    """The shell of a ball that fills the grid has voxels in 272 of 512 windows, 139 of 512 in the fullest."""
    cells, per_side = trunk.window**3, trunk.grid // trunk.window
    windows = {
        "windows": (1, max(1, per_side**3 // 2), per_side**3),
        "longest": (1, cells // 4, cells),
        "shifted_windows": (1, max(1, (per_side + 1) ** 3 // 2), (per_side + 1) ** 3),
        "shifted_longest": (1, cells // 4, cells),
    }
    return tuple({"voxels": v, **windows} for v in VOXELS)
