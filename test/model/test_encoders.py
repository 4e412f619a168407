"""Image, mask and pointmap encoders and the condition embedders of both stages."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from sam3d_ros.model import config as cfg
from sam3d_ros.model import published_names as names
from sam3d_ros.model.dino import normalise


def test_dino_agrees_with_golden(golden, close):
    g = golden("dino")
    net = g.load("dino", g.dino(), names.DINO)
    with torch.no_grad():
        close(net(g.inputs["image"]), g.out["image"])
        close(net(g.inputs["mask"]), g.out["mask"])
        close(net(g.inputs["image"], prenorm=True), g.out["image_prenorm"])


def test_dino_interpolates_positions(golden, close):
    g = golden("dino")
    name, want = next((n, t) for n, t in g.out.items() if n.endswith("px"))
    size = int(name.removeprefix("image_").removesuffix("px"))
    net = g.load("dino", g.dino(), names.DINO)
    net.config = dataclasses.replace(net.config)  # the trained grid stays; only the input is larger
    with torch.no_grad():
        image = F.interpolate(g.inputs["image"], (size, size), mode="bilinear")
        x = net.norm(net.tokens(normalise(image)))
    close(torch.cat([x[:, :1], x[:, 1 + net.config.registers :]], dim=1), want)


def test_point_patch_agrees_with_golden(golden, close):
    g = golden("point_patch_embed")
    net = g.load("point_patch", g.point(), names.POINT_PATCH)
    with torch.no_grad():
        for name in ("pointmap", "pointmap2"):
            close(net(g.inputs[name]), g.out[name])


def test_invalid_points_do_not_leak(tiny):
    """Whatever stands in an invalid pixel, NaN or inf, the tokens are the same and finite."""
    net = tiny("geometry_condition").encoders["point"]
    points = torch.randn(1, 3, 32, 32)
    spoiled = [points.clone() for _ in range(3)]
    spoiled[0][:, :, 4:9, 5:20] = torch.nan
    spoiled[1][:, 2, 4:9, 5:20] = torch.inf
    spoiled[2][:, 0, 4:9, 5:20] = -torch.inf
    with torch.no_grad():
        tokens = [net(s) for s in spoiled]
    assert all(torch.equal(t, tokens[0]) and t.isfinite().all() for t in tokens)


def stage(golden, name):
    """A condition embedder's golden file, its config and network."""
    g = golden(name)
    with_points = any(n.startswith("module_list.2.") for n in g.weights)
    config = cfg.ConditionConfig(
        dino=g.dino("module_list.0.backbone."),
        point=g.point("module_list.2.") if with_points else None,
        prenorm=not with_points,
        width=g.size("idx_emb", 1),
        hidden=g.size("projection_nets.0.1.w1.weight"),
        positions=g.size("idx_emb"),
    )
    return g, config, g.load("geometry_condition", config)


@pytest.mark.parametrize("name", ["ss_condition_embedder", "slat_condition_embedder"])
def test_condition_agrees_with_golden(golden, close, name):
    g, config, net = stage(golden, name)
    with torch.no_grad():
        tokens = net(g.inputs)
        close(tokens, g.out["tokens"])
        if "tokens_drop_pointmap" in g.out:
            close(net(g.inputs, drop=("pointmap", "rgb_pointmap")), g.out["tokens_drop_pointmap"])
    assert tokens.shape[1] == config.tokens


@pytest.mark.parametrize("name", ["geometry_condition", "texture_condition"])
def test_batch_equals_single_and_shared_frame(tiny, close, name):
    """Two objects at once give what each gives alone, also with the full frame's tokens computed once."""
    net = tiny(name)
    inputs = {
        view: torch.rand(2, 1 if "mask" in view else 3, 70, 70, generator=torch.Generator().manual_seed(i))
        for i, view in enumerate(net.views)
    }
    inputs["rgb_image"][1] = inputs["rgb_image"][0]
    with torch.no_grad():
        both = net(inputs)
        frame = net.embed("rgb_image", inputs["rgb_image"][:1])
        for i in range(2):
            alone = {view: x[i : i + 1] for view, x in inputs.items()}
            close(net(alone), both[i : i + 1])
            tokens = {view: net.embed(view, x) for view, x in alone.items() if view != "rgb_image"}
            close(net.join({**tokens, "rgb_image": frame}), both[i : i + 1])


@pytest.mark.parametrize("name", ["geometry_condition", "texture_condition"])
def test_every_parameter_gets_a_gradient(tiny, name):
    """But those that the release holds and nothing reads: DINO's mask token, a position, a norm before its end."""
    net = tiny(name).train()
    views = {v: torch.rand(1, 1 if "mask" in v else 3, 56, 56) for v in net.views}
    views |= {v: torch.where(x > 0.9, torch.nan, x) for v, x in views.items() if "pointmap" in v}
    net(views).square().sum().backward()
    silent = {n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().any()}
    unread = {f"encoders.{e}.mask_token" for e in ("image", "mask")}
    if net.config.prenorm:
        unread |= {f"encoders.{e}.norm.{p}" for e in ("image", "mask") for p in ("weight", "bias")}
    assert silent == unread
    assert not net.positions.grad[2].any()


def test_published_token_counts():
    assert cfg.ConditionConfig().tokens == 7528
    assert cfg.ConditionConfig(point=None, prenorm=True).tokens == 5496
