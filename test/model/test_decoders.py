"""Voxel trunk, Gaussian decoder, mesh decoder, latent encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sam3d_ros.model import attention, sparse, tables
from sam3d_ros.model import config as cfg
from sam3d_ros.model.decode_gaussian import radical_inverse, start_offsets
from sam3d_ros.model.decode_mesh import cube_coords
from sam3d_ros.model.flexicubes import extract
from sam3d_ros.model.slat_trunk import window_pair


def xyz_of(coords):
    return torch.as_tensor(np.asarray(coords))[:, 1:].long()


def table_of(coords):
    return torch.from_numpy(tables.neighbour_table(np.asarray(coords)))


@pytest.mark.parametrize("name", ["slat_decoder_gs", "slat_decoder_gs_4"])
def test_gaussian_decoder_agrees_with_golden(golden, close, name):
    g = golden(name)
    n = int(g.config["n"])
    config = cfg.GaussianDecoderConfig(trunk=g.trunk(grid=64), per_voxel=n)
    net = g.load("gaussian_decoder", config)
    coords = g.inputs["coords"].numpy()
    windows = window_pair(coords, config.trunk.window)
    with torch.no_grad():
        close(net.trunk(g.inputs["feats"], xyz_of(coords), windows), g.mid["blocks_out"])
        out = net.gaussians(net(g.inputs["feats"], xyz_of(coords), windows), xyz_of(coords))
    close(out.position, g.out["get_xyz"])
    close(out.position + 0.5, g.out["_xyz"])
    close(out.colour[:, None], g.out["get_features"])
    close(out.scale, g.out["get_scaling"])
    close(out.rotation - torch.tensor([1.0, 0, 0, 0]), g.out["_rotation"])
    close(out.unit_rotation, g.out["get_rotation"])
    close(out.opacity, g.out["get_opacity"])
    close(start_offsets(n, config.spread), g.weights["offset_perturbation"], 1e-6)


def test_slat_encoder_agrees_with_golden(golden, close):
    g = golden("slat_encoder")
    trunk = g.trunk(grid=64, heads=g.size("input_layer.weight") // 16, window=8)
    net = g.load("slat_encoder", cfg.SlatEncoderConfig(trunk, g.size("out_layer.weight") // 2))
    coords = g.inputs["coords"].numpy()
    with torch.no_grad():
        mean, logvar = net(g.inputs["feats"], xyz_of(coords), window_pair(coords, trunk.window))
    close(mean, g.out["mean"])
    close(logvar, g.out["logvar"])


def mesh_case(golden):
    """Golden mesh decoder.

    Where the file does not state heads and window, the recorded trunk output decides.
    """
    g = golden("slat_decoder_mesh")
    coords = g.inputs["coords"].numpy()
    grid = 1 << int(coords[:, 1:].max()).bit_length()
    channels = tuple(g.size(f"upsample.{i}.out_layers.0.conv.weight") for i in range(g.blocks("upsample.")))
    width = g.size("input_layer.weight")
    for head_width, window in ((64, 8), (64, 4), (16, 8), (16, 4)):
        trunk = g.trunk(grid, heads=width // head_width, window=window)
        net = g.load("mesh_decoder", cfg.MeshDecoderConfig(trunk, channels, g.size("out_layer.weight")))
        windows = window_pair(coords, trunk.window)
        with torch.no_grad():
            h = net.trunk(g.inputs["feats"], xyz_of(coords), windows)
        if torch.allclose(h, g.mid["blocks_out"], rtol=1e-3, atol=1e-3):
            break
    return g, net, coords, windows


def test_mesh_decoder_agrees_with_golden(golden, close):
    g, net, coords, windows = mesh_case(golden)
    xyz, near = xyz_of(coords), table_of(coords)
    with torch.no_grad():
        h = net.trunk(g.inputs["feats"], xyz, windows)
        close(h, g.mid["blocks_out"])
        close(net.upsample[0](h, near)[0], g.mid["up0.feats"])
        channels = net(g.inputs["feats"], xyz, windows, near)
        close(channels[g.mid["out_layer.rows"]], g.mid["out_layer.feats_sub"])
        cubes = cube_coords(xyz)
        assert torch.equal(cubes, g.mid["up1.coords"][:, 1:].long())
        mesh = extract(channels, cubes, 4 * net.config.trunk.grid)
    same_surface(mesh, g.out, close)


def same_surface(mesh, out, close, tolerance=2e-5):
    """Equal as sets: every vertex has one partner, with equal attributes, and the oriented faces agree."""
    from scipy.spatial import cKDTree

    assert mesh.vertices.shape == out["vertices"].shape
    distance, partner = cKDTree(out["vertices"].numpy()).query(mesh.vertices.numpy())
    assert distance.max() < tolerance
    assert len(set(partner)) == len(partner)
    close(mesh.attributes, out["vertex_attrs"][partner], tolerance)

    def oriented(faces):
        return {tuple(np.roll(f, -int(np.argmin(f)))) for f in faces}

    assert oriented(partner[mesh.faces.numpy()]) == oriented(out["faces"].numpy())
    assert len(mesh.faces) == len(out["faces"])


def test_flexicubes_agrees_with_golden(golden, close):
    g = golden("flexicubes")
    mesh = extract(g.inputs["feats"], g.inputs["coords"][:, 1:], int(g.inputs["res"]))
    same_surface(mesh, g.out, close)


# Properties, on small random networks.


def plain_windowed(q, k, v, group):
    """Reference: full attention with an N x N mask."""
    mask = group[:, None] == group[None]
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)[0].transpose(0, 1)


@pytest.mark.parametrize("shift", [0, 4])
def test_windowed_attention_equals_masked(shell, shift):
    coords = shell(side=20, batch=2)
    windows = tables.window_table(coords, 8, shift)
    group = torch.from_numpy(windows.rows // windows.slots.shape[1])
    q, k, v = torch.randn(3, len(coords), 2, 8, dtype=torch.float64)
    slots, rows = torch.from_numpy(windows.slots), torch.from_numpy(windows.rows)
    got = attention.attend_windows(q, k, v, slots, rows)
    torch.testing.assert_close(got, plain_windowed(q, k, v, group), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_hidden_keys_have_no_weight(dtype):
    """Even beside very negative logits, and without NaN for any dtype."""
    valid = torch.tensor([[True, True, False]])
    bias = attention.key_bias(valid, dtype)
    weights = (torch.tensor([-30.0, -20.0, 40.0], dtype=dtype) + bias).softmax(-1)
    assert weights[..., 2].item() == 0
    assert weights.isfinite().all()


def test_probe_says_no_without_cuda():
    if not torch.cuda.is_available():
        assert attention.xformers_works() is False


@pytest.mark.parametrize("name", ["gaussian_decoder", "slat_encoder", "mesh_decoder"])
def test_batch_and_order_do_not_matter(tiny, shell, close, name):
    """Two objects in one list give what each gives alone, in any order of the voxels."""
    net = tiny(name)
    coords = shell(side=16, batch=2)
    x = torch.randn(len(coords), 24 if name == "slat_encoder" else 8)

    def run(rows, renumber=False):
        c = coords[rows] * ([0, 1, 1, 1] if renumber else [1, 1, 1, 1])
        extra = [table_of(c), torch.from_numpy(c[:, 0]).long()] if name == "mesh_decoder" else []
        with torch.no_grad():
            out = net(x[rows], xyz_of(c), window_pair(c), *extra)
        out = torch.cat(out, dim=1) if isinstance(out, tuple) else out
        return out.unflatten(0, (len(rows), -1))

    n = len(coords)
    both = run(np.arange(n))
    order = np.random.default_rng(0).permutation(n)
    close(run(order), both[order])
    for b in (0, 1):
        rows = np.flatnonzero(coords[:, 0] == b)
        close(run(rows, renumber=True), both[rows])


def test_upsampling_equals_the_plain_form(tiny, shell, close):
    """Norm, activation and skip on the parents, parity convolution: against subdividing first."""
    block = tiny("mesh_decoder").upsample[0]
    coords = shell()
    x = torch.randn(len(coords), block.norm1.weight.shape[0])
    with torch.no_grad():
        got, finer = block(x, table_of(coords))
        children = table_of(tables.subdivide(coords))
        assert torch.equal(finer, children)
        fine = sparse.subdivide(x)
        h = block.conv1(F.silu(block.norm1(fine)), children)
        plain = block.conv2(F.silu(block.norm2(h)), children) + block.skip(fine)
    close(got, plain)


def test_every_parameter_gets_a_gradient(tiny, shell):
    coords = shell()
    windows, xyz = window_pair(coords), xyz_of(coords)
    mesh, gaussian, encoder = (tiny(n).train() for n in ("mesh_decoder", "gaussian_decoder", "slat_encoder"))
    mesh(torch.randn(len(coords), 8), xyz, windows, table_of(coords)).square().sum().backward()
    out = gaussian.gaussians(gaussian(torch.randn(len(coords), 8), xyz, windows), xyz)
    parts = (out.position, out.colour, out.scale, out.unit_rotation, out.opacity)
    sum((p * torch.randn_like(p)).sum() for p in parts).backward()
    sum(x.square().sum() for x in encoder(torch.randn(len(coords), 24), xyz, windows)).backward()
    for net in (mesh, gaussian, encoder):
        assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().any()] == []


def test_radical_inverse():
    assert [radical_inverse(i, 2) for i in range(5)] == [0, 0.5, 0.25, 0.75, 0.125]
    np.testing.assert_allclose([radical_inverse(i, 3) for i in range(4)], [0, 1 / 3, 2 / 3, 1 / 9])


def test_gaussians_stay_near_their_voxel(tiny, shell):
    net = tiny("gaussian_decoder")
    coords = shell()
    with torch.no_grad():
        out = net.gaussians(10 * torch.randn(len(coords), 14 * 4), xyz_of(coords))
    centre = ((xyz_of(coords) + 0.5) / 16 - 0.5).repeat_interleave(4, dim=0)
    assert (out.position - centre).abs().max() <= 0.75 / 16 + 1e-6
    assert out.scale.min() >= net.config.min_kernel
    assert ((out.opacity >= 0) & (out.opacity <= 1)).all()
