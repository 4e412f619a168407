"""Names of the published checkpoints' tensors and ours, both ways. No torch needed.

Every network has a list of name pairs with placeholders: {i} a number, {p} weight or bias, {s} a stream, {n}
a latent, {e} an encoder. A tensor's name must match exactly one pair, so the map is lossless; a test walks it
both ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, TypeAlias

STREAMS = {"shape": "shape", "layout": "6drotation_normalized"}
LATENTS = {n: n for n in ("shape", "translation", "scale", "translation_scale")} | {
    "rotation": "6drotation_normalized"
}
ENCODERS = {"image": "0", "mask": "1", "point": "2"}
_WORDS: dict[str, dict[str, str]] = {"s": STREAMS, "n": LATENTS, "e": ENCODERS}
_ANY = {"i": r"\d+", "p": "weight|bias"}

Pairs: TypeAlias = tuple[tuple[str, str], ...]


def _vit(ours: str, theirs: str, layer_scale: bool) -> Pairs:
    """A ViT block; `layer_scale` adds its two gains."""
    pairs = (
        (f"{ours}.norm1.{{p}}", f"{theirs}.norm1.{{p}}"),
        (f"{ours}.norm2.{{p}}", f"{theirs}.norm2.{{p}}"),
        (f"{ours}.attn.qkv.{{p}}", f"{theirs}.attn.qkv.{{p}}"),
        (f"{ours}.attn.proj.{{p}}", f"{theirs}.attn.proj.{{p}}"),
        (f"{ours}.mlp.fc1.{{p}}", f"{theirs}.mlp.fc1.{{p}}"),
        (f"{ours}.mlp.fc2.{{p}}", f"{theirs}.mlp.fc2.{{p}}"),
    )
    gains = ((f"{ours}.gain1", f"{theirs}.ls1.gamma"), (f"{ours}.gain2", f"{theirs}.ls2.gamma"))
    return pairs + (gains if layer_scale else ())


def _under(ours: str, theirs: str, pairs: Pairs) -> Pairs:
    """The same pairs below a prefix on each side."""
    return tuple((ours + a, theirs + b) for a, b in pairs)


DINO: Pairs = _under(
    "",
    "backbone.",
    (
        ("cls_token", "cls_token"),
        ("pos_embed", "pos_embed"),
        ("register_tokens", "register_tokens"),
        ("mask_token", "mask_token"),
        ("patch_embed.{p}", "patch_embed.proj.{p}"),
        ("norm.{p}", "norm.{p}"),
        *_vit("blocks.{i}", "blocks.{i}", layer_scale=True),
    ),
)
POINT_PATCH: Pairs = (
    ("point_proj.{p}", "point_proj.{p}"),
    ("invalid_token", "invalid_xyz_token"),
    ("cls_token", "cls_token"),
    ("pixel_positions", "pos_embed_window"),
    ("window_positions", "pos_embed"),
    *_vit("block", "blocks.0", layer_scale=False),
)
CONDITION: Pairs = (
    ("positions", "idx_emb"),
    ("projections.{e}.0.{p}", "projection_nets.{e}.0.{p}"),
    ("projections.{e}.1.w1.weight", "projection_nets.{e}.1.w1.weight"),
    ("projections.{e}.1.w2.weight", "projection_nets.{e}.1.w2.weight"),
    ("projections.{e}.1.w3.weight", "projection_nets.{e}.1.w3.weight"),
    *_under("encoders.image.", "module_list.0.", DINO),
    *_under("encoders.mask.", "module_list.1.", DINO),
    *_under("encoders.point.", "module_list.2.", POINT_PATCH),
)


def _stream(ours: str, tail: str) -> Pairs:
    """A flow block's stream; `tail` is "" or ".{s}", which the published names put after the layer's name."""
    block = "blocks.{i}"
    return (
        (f"{ours}.qkv.{{p}}", f"{block}.self_attn.to_qkv{tail}.{{p}}"),
        (f"{ours}.q_norm.gain", f"{block}.self_attn.q_rms_norm{tail}.gamma"),
        (f"{ours}.k_norm.gain", f"{block}.self_attn.k_rms_norm{tail}.gamma"),
        (f"{ours}.out.{{p}}", f"{block}.self_attn.to_out{tail}.{{p}}"),
        (f"{ours}.norm_cross.{{p}}", f"{block}.norm2{tail}.{{p}}"),
        (f"{ours}.cross.q.{{p}}", f"{block}.cross_attn{tail}.to_q.{{p}}"),
        (f"{ours}.cross.kv.{{p}}", f"{block}.cross_attn{tail}.to_kv.{{p}}"),
        (f"{ours}.cross.out.{{p}}", f"{block}.cross_attn{tail}.to_out.{{p}}"),
        (f"{ours}.mlp.fc1.{{p}}", f"{block}.mlp{tail}.mlp.0.{{p}}"),
        (f"{ours}.mlp.fc2.{{p}}", f"{block}.mlp{tail}.mlp.2.{{p}}"),
    )


_TIME: Pairs = (
    ("time_embed.fc1.{p}", "t_embedder.mlp.0.{p}"),
    ("time_embed.fc2.{p}", "t_embedder.mlp.2.{p}"),
    ("blocks.{i}.modulation.{p}", "blocks.{i}.adaLN_modulation.1.{p}"),
)
GEOMETRY: Pairs = _under(
    "",
    "reverse_fn.backbone.",
    (
        *_TIME,
        ("step_embed.fc1.{p}", "d_embedder.mlp.0.{p}"),
        ("step_embed.fc2.{p}", "d_embedder.mlp.2.{p}"),
        ("latents.{n}.embed_layer.{p}", "latent_mapping.{n}.input_layer.{p}"),
        ("latents.{n}.readout_layer.{p}", "latent_mapping.{n}.out_layer.{p}"),
        ("latents.{n}.position", "latent_mapping.{n}.pos_emb"),
        *_stream("blocks.{i}.{s}", ".{s}"),
    ),
)


def _sparse_res(ours: str, theirs: str) -> Pairs:
    """A residual block of the texture flow."""
    return (
        (f"{ours}.norm.{{p}}", f"{theirs}.norm1.{{p}}"),
        (f"{ours}.conv1.{{p}}", f"{theirs}.conv1.conv.{{p}}"),
        (f"{ours}.conv2.{{p}}", f"{theirs}.conv2.conv.{{p}}"),
        (f"{ours}.modulation.{{p}}", f"{theirs}.emb_layers.1.{{p}}"),
        (f"{ours}.skip.{{p}}", f"{theirs}.skip_connection.{{p}}"),
    )


TEXTURE: Pairs = _under(
    "",
    "reverse_fn.backbone.",
    (
        *_TIME,
        ("in_layer.{p}", "input_layer.{p}"),
        ("out_layer.{p}", "out_layer.{p}"),
        *_sparse_res("down_blocks.{i}", "input_blocks.{i}"),
        *_sparse_res("up_blocks.{i}", "out_blocks.{i}"),
        *_stream("blocks.{i}.stream", ""),
    ),
)
_RES3D: Pairs = tuple(
    (f"{place}.{part}.{{p}}", f"{place}.{part}.{{p}}")
    for place in ("middle_block.{i}", "blocks.{i}")
    for part in ("norm1", "norm2", "conv1", "conv2")
)
OCCUPANCY: Pairs = (
    ("in_layer.{p}", "input_layer.{p}"),
    *_RES3D,
    ("blocks.{i}.conv.{p}", "blocks.{i}.conv.{p}"),
    ("out_norm.{p}", "out_layer.0.{p}"),
    ("out_conv.{p}", "out_layer.2.{p}"),
)
_TRUNK: Pairs = (
    ("in_layer.{p}", "input_layer.{p}"),
    ("blocks.{i}.attn.qkv.{p}", "blocks.{i}.attn.to_qkv.{p}"),
    ("blocks.{i}.attn.proj.{p}", "blocks.{i}.attn.to_out.{p}"),
    ("blocks.{i}.mlp.fc1.{p}", "blocks.{i}.mlp.mlp.0.{p}"),
    ("blocks.{i}.mlp.fc2.{p}", "blocks.{i}.mlp.mlp.2.{p}"),
)
SLAT_ENCODER: Pairs = (*_under("trunk.", "", _TRUNK), ("out_layer.{p}", "out_layer.{p}"))
GAUSSIAN: Pairs = (*SLAT_ENCODER, ("offsets", "offset_perturbation"))
MESH: Pairs = (
    *SLAT_ENCODER,
    ("upsample.{i}.norm1.{p}", "upsample.{i}.act_layers.0.{p}"),
    ("upsample.{i}.conv1.{p}", "upsample.{i}.out_layers.0.conv.{p}"),
    ("upsample.{i}.norm2.{p}", "upsample.{i}.out_layers.1.{p}"),
    ("upsample.{i}.conv2.{p}", "upsample.{i}.out_layers.3.conv.{p}"),
    ("upsample.{i}.skip.{p}", "upsample.{i}.skip_connection.conv.{p}"),
)


class CheckpointError(ValueError):
    """A checkpoint does not hold what a network needs; the message says what is wrong."""


@cache
def _compiled(pairs: Pairs, to_ours: bool) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Pairs as (pattern of the source name, template of the target name)."""

    def pattern(template: str) -> re.Pattern[str]:
        def group(match: re.Match[str]) -> str:
            key = match[1]
            words = _WORDS.get(key, {})
            spelled = "|".join(map(re.escape, words.values() if to_ours else words))
            return f"(?P<{key}>{spelled or _ANY[key]})"

        return re.compile(re.sub(r"\\\{(\w)\\\}", group, re.escape(template)))

    return tuple((pattern(b), a) if to_ours else (pattern(a), b) for a, b in pairs)


def rename(name: str, pairs: Pairs, to_ours: bool = True) -> str | None:
    """Our name of a published tensor (or the other way round); None where no pair matches."""
    for pattern, target in _compiled(pairs, to_ours):
        match = pattern.fullmatch(name)
        if match:
            values = match.groupdict()
            for key, words in _WORDS.items():
                if key in values:
                    table = {b: a for a, b in words.items()} if to_ours else words
                    values[key] = table[values[key]]
            return target.format(**values)
    return None


def to_ours(state: Mapping[str, Any], pairs: Pairs) -> dict[str, Any]:
    """Published names -> our names; raises CheckpointError for names that belong to no network part."""
    named = {name: rename(name, pairs) for name in state}
    unknown = [name for name, ours in named.items() if ours is None]
    if unknown:
        raise CheckpointError(f"unexpected tensors: {some(unknown)}")
    return {ours: state[name] for name, ours in named.items() if ours is not None}


def to_published(state: Mapping[str, Any], pairs: Pairs) -> dict[str, Any]:
    """Our names -> published names."""
    named = {name: rename(name, pairs, to_ours=False) for name in state}
    unknown = [name for name, theirs in named.items() if theirs is None]
    if unknown:
        raise CheckpointError(f"no published name for: {some(unknown)}")
    return {theirs: state[name] for name, theirs in named.items() if theirs is not None}


def some(names: Iterable[str], limit: int = 5) -> str:
    """The first names and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
