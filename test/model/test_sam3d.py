"""The whole line, picture to mesh, with small random networks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sam3d_ros.model import flow, sam3d, scene
from sam3d_ros.model.convert import convert
from sam3d_ros.model.preprocess import geometry_inputs, texture_inputs
from sam3d_ros.types import Cancelled


@pytest.fixture(scope="module")
def networks(tiny):
    built = {name: tiny(name) for name in sam3d.Networks.__annotations__}
    # A random decoder says "occupied" everywhere or nowhere: centre its logits.
    decoder = built["occupancy_decoder"]
    with torch.no_grad():
        logits = decoder.from_tokens(torch.randn(4, 64, 8, generator=torch.Generator().manual_seed(0)))
        decoder.out_conv.bias -= logits.quantile(0.8)
    return sam3d.Networks(**built)


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    masks = np.zeros((2, 60, 80), bool)
    masks[0, 10:40, 12:35] = True
    masks[1, 20:50, 45:70] = True
    points = rng.normal(size=(60, 80, 3)).astype(np.float32) * 0.1 + np.float32([0, 0, 1])
    points[:5] = np.nan
    inputs = [geometry_inputs(rgb, m, points, 56) for m in masks]
    return inputs, [texture_inputs(rgb, m, 56) for m in masks]


QUICK = dataclasses.replace(sam3d.FAST, texture_steps=2)


def test_picture_to_mesh(networks, frame):
    inputs, views = frame
    shapes = sam3d.infer_geometry(networks, inputs, QUICK, seed=1)
    assert all(len(s.coords) > 10 and s.layout.scale > 0 for s in shapes)
    textured = sam3d.infer_texture(networks, views, shapes, QUICK, seed=1)
    for shape, t in zip(shapes, textured, strict=True):
        mesh = sam3d.decode_mesh(networks, t)
        assert mesh.vertices.isfinite().all()
        assert len(mesh.faces) > 0
        assert int(mesh.faces.max()) < len(mesh.vertices)
        gaussians = sam3d.decode_gaussians(networks, t)
        assert len(gaussians) == 4 * len(t.coords)
        placed = scene.place_mesh(mesh, shape.layout)
        np.testing.assert_allclose(
            placed.vertices, shape.layout.transform(mesh.vertices.double().numpy()), rtol=1e-3, atol=1e-4
        )
    whole = scene.compose(
        [(sam3d.decode_gaussians(networks, t), s.layout) for t, s in zip(textured, shapes, strict=True)]
    )
    assert len(whole) == 4 * sum(len(t.coords) for t in textured)


def test_objects_of_a_frame_do_not_influence_each_other(networks, frame):
    """Two objects in one batch give what each gives alone with its part of the noise."""
    inputs, views = frame
    config = networks.geometry.config
    generator = torch.Generator().manual_seed(5)
    noise = {n: torch.randn(2, config.tokens[n], c, generator=generator) for n, c in config.channels.items()}
    both = sam3d.infer_geometry(networks, inputs, QUICK, noise=noise)
    slat_noise = torch.randn(sum(len(s.coords) for s in both), 8, generator=generator)
    textured = sam3d.infer_texture(networks, views, both, QUICK, noise=slat_noise)
    start = 0
    for i in range(2):
        own = {n: v[i : i + 1] for n, v in noise.items()}
        alone = sam3d.infer_geometry(networks, inputs[i : i + 1], QUICK, noise=own)[0]
        np.testing.assert_array_equal(alone.coords, both[i].coords)
        np.testing.assert_allclose(alone.layout.translation, both[i].layout.translation, rtol=1e-4, atol=1e-5)
        piece = slat_noise[start : start + len(alone.coords)]
        start += len(piece)
        t = sam3d.infer_texture(networks, views[i : i + 1], [alone], QUICK, noise=piece)[0]
        torch.testing.assert_close(t.slat, textured[i].slat, rtol=1e-3, atol=1e-3)


def test_seed_decides(networks, frame):
    inputs, _ = frame
    a, b, c = (sam3d.infer_geometry(networks, inputs[:1], QUICK, seed=s)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(a.coords, b.coords)
    np.testing.assert_array_equal(a.layout.translation, b.layout.translation)
    assert not np.array_equal(a.layout.translation, c.layout.translation)


def test_one_generator_serves_both_stages_in_turn(networks, frame):
    """Geometry noise in the published order, then the texture's from the same stream."""
    inputs, views = frame
    config = networks.geometry.config
    g = torch.Generator().manual_seed(3)
    shapes = sam3d.infer_geometry(networks, inputs[:1], QUICK, seed=g)
    textured = sam3d.infer_texture(networks, views[:1], shapes, QUICK, seed=g)
    again = torch.Generator().manual_seed(3)
    noise = {
        n: torch.randn(1, config.tokens[n], config.channels[n], generator=again)
        for n in flow.GEOMETRY_NOISE_ORDER
    }
    given = sam3d.infer_geometry(networks, inputs[:1], QUICK, noise=noise)
    np.testing.assert_array_equal(given[0].coords, shapes[0].coords)
    slat = torch.randn(len(given[0].coords), 8, generator=again)
    want = sam3d.infer_texture(networks, views[:1], given, QUICK, noise=slat)
    assert torch.equal(textured[0].slat, want[0].slat)


def test_cancel_between_steps(networks, frame):
    inputs, _ = frame
    asked = []

    def stop():
        asked.append(True)
        return len(asked) > 2

    with pytest.raises(Cancelled):
        sam3d.infer_geometry(networks, inputs, sam3d.PUBLISHED, should_stop=stop)
    assert len(asked) == 3


def test_published_settings():
    assert sam3d.PUBLISHED.geometry_guidance == flow.Guidance(7.0, (0.0, 500.0))
    assert sam3d.PUBLISHED.texture_guidance == flow.Guidance(1.0, (0.0, 500.0))
    assert (sam3d.FAST.geometry_steps, sam3d.FAST.distilled) == (4, True)


@pytest.mark.parametrize(
    "name", ["geometry", "texture", "mesh_decoder", "gaussian_decoder", "geometry_condition"]
)
def test_bfloat16_stays_close(tiny, shell, name):
    """The networks run in bf16 as they are, and give the fp32 result within that format's precision."""
    from sam3d_ros.model import tables
    from sam3d_ros.model.slat_trunk import window_pair
    from sam3d_ros.model.texture import texture_tables

    full, half = tiny(name), tiny(name).bfloat16()
    coords = shell()
    g = torch.Generator().manual_seed(0)

    def run(net):
        g.manual_seed(0)
        if name == "geometry":
            c = net.config
            x = {n: torch.randn(1, c.tokens[n], k, generator=g) for n, k in c.channels.items()}
            context = net.prepare(torch.randn(1, 9, c.condition_width, generator=g))
            return net(x, torch.tensor([400.0]), torch.tensor([250.0]), context)["shape"]
        if name == "geometry_condition":
            views = {v: torch.rand(1, 1 if "mask" in v else 3, 56, 56, generator=g) for v in net.views}
            return net(views)
        x = torch.randn(len(coords), 8, generator=g)
        if name == "texture":
            context = net.prepare(torch.randn(1, 9, 48, generator=g))
            return net(x, torch.tensor([400.0]), texture_tables(coords), context)
        extra = (torch.from_numpy(tables.neighbour_table(coords)),) if name == "mesh_decoder" else ()
        return net(x, torch.from_numpy(coords[:, 1:]).long(), window_pair(coords), *extra)

    with torch.no_grad():
        a, b = run(full).float(), run(half).float()
    assert ((a - b).norm() / a.norm()).item() < 0.05


def test_loading_a_converted_folder_needs_every_network(tmp_path):
    from sam3d_ros.model.published_names import CheckpointError

    with pytest.raises(CheckpointError, match="missing"):
        convert(tmp_path, tmp_path / "out")
    with pytest.raises(CheckpointError, match="lists no network"):
        sam3d.Networks.load(tmp_path)
