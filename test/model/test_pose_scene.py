"""Layout decoding, Gaussians and scenes."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sam3d_ros.model import pose_codec as codec
from sam3d_ros.model import scene
from sam3d_ros.model.decode_gaussian import activate_scale
from sam3d_ros.model.gaussians import PLY_FIELDS, Gaussians, concatenate, ply_table, to_points, write_ply


def test_pose_agrees_with_golden(golden, close):
    g = golden("pose")
    poses = sorted({n.split(".")[0] for n in g.out if n.startswith("pose")})
    assert poses
    for pose in poses:
        read = {
            n.removeprefix(pose + "."): t.numpy() for n, t in g.inputs.items() if n.startswith(pose + ".")
        }
        latents = {**read, "rotation": read["6drotation_normalized"]}
        layout = codec.decode(latents, read["scene_scale"][0], read["scene_shift"][0])
        close(torch.as_tensor(layout.rotation)[None], g.out[f"{pose}.rotation"])
        close(torch.as_tensor(layout.translation)[None], g.out[f"{pose}.translation"])
        close(torch.full((1, 3), layout.scale), g.out[f"{pose}.scale"])
        points = layout.transform(read["points_local"][0])
        close(torch.as_tensor(points)[None], g.out[f"{pose}.points_cam"])


finite = st.floats(-2, 2)


@given(st.lists(finite, min_size=4, max_size=4), st.lists(finite, min_size=3, max_size=3), st.floats(0.01, 5))
def test_encode_inverts_decode(q, t, s):
    q = np.array(q)
    if np.linalg.norm(q) < 0.1:
        q = np.array([1.0, 0, 0, 0])
    q = q / np.linalg.norm(q) * (1 if q[0] >= 0 else -1)
    layout = codec.Layout(q, np.array(t), s)
    scale, shift = np.full(3, 0.7), np.array([0.1, -0.2, 1.5])
    again = codec.decode(codec.encode(layout, scale, shift), scale, shift)
    np.testing.assert_allclose(
        codec.matrix_from_quaternion(again.rotation), codec.matrix_from_quaternion(q), atol=1e-9
    )
    np.testing.assert_allclose(again.translation, t, atol=1e-9)
    assert again.scale == pytest.approx(s)


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_quaternions_against_scipy(q):
    matrix = codec.matrix_from_quaternion(np.array(q))
    want = Rotation.from_quat(np.roll(q, -1)).as_matrix()
    np.testing.assert_allclose(matrix, want, atol=1e-12)
    back = codec.quaternion_from_matrix(matrix)
    assert back[0] >= 0
    np.testing.assert_allclose(codec.matrix_from_quaternion(back), want, atol=1e-9)


def test_row_vector_convention():
    """The active rotation of column vectors is the conjugate quaternion."""
    q = np.array([np.cos(0.3), 0, 0, np.sin(0.3)])
    layout = codec.Layout(q, np.array([1.0, 2, 3]), 2.0)
    conjugate = Rotation.from_quat([0, 0, -np.sin(0.3), np.cos(0.3)])
    p = np.array([[0.1, 0.2, 0.3]])
    np.testing.assert_allclose(layout.transform(p), conjugate.apply(2 * p) + np.array([1, 2, 3]))
    assert layout.rescaled(2).scale == 4


def object_of(g, k):
    """Gaussians and layout of a golden scene's object, activated as the decoder does."""
    read = {n.removeprefix(f"obj{k}."): t for n, t in g.inputs.items() if n.startswith(f"obj{k}.")}
    gaussians = Gaussians(
        position=read["_xyz"] - 0.5,
        colour=read["_features_dc"][:, 0],
        scale=activate_scale(read["_scaling"], 0.004, 0.0009),
        rotation=read["_rotation"] + torch.tensor([1.0, 0, 0, 0]),
        opacity=torch.sigmoid(read["_opacity"] + math.log(0.1 / 0.9)),
        min_kernel=0.0009,
    )
    layout = codec.Layout(
        read["rotation"][0].numpy(), read["translation"][0].numpy(), float(read["scale"][0, 0])
    )
    return gaussians, layout


def test_scene_agrees_with_golden(golden, close):
    g = golden("make_scene")
    whole = scene.compose([object_of(g, k) for k in (0, 1)])
    close(whole.position, g.out["scene.get_xyz"])
    close(whole.scale, g.out["scene.get_scaling"])
    close(whole.unit_rotation, g.out["scene.get_rotation"])
    close(whole.opacity, g.out["scene.get_opacity"])
    close(whole.colour[:, None], g.out["scene._features_dc"])
    assert whole.min_kernel == pytest.approx(g.out["scene.min_kernel"].item(), rel=1e-5)
    shown = scene.fit_to_cube(whole)
    close(shown.position, g.out["normalized.get_xyz"])
    close(shown.scale, g.out["normalized.get_scaling"])


def some(n=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Gaussians(
        position=torch.randn(n, 3, generator=g),
        colour=torch.randn(n, 3, generator=g),
        scale=0.01 + torch.rand(n, 3, generator=g),
        rotation=torch.randn(n, 4, generator=g),
        opacity=torch.rand(n, 1, generator=g).clamp(0.01, 0.99),
        min_kernel=0.001,
    )


def test_covariance_turns_with_the_object():
    """Placing a Gaussian and placing samples of it give the same covariance."""
    one, layout = some(1), codec.Layout(np.array([0.5, 0.1, -0.7, 0.5]), np.array([1.0, 2, 3]), 1.7)
    placed = scene.place(one, layout)

    def covariance(g):
        r = Rotation.from_quat(np.roll(g.unit_rotation[0].numpy(), -1)).as_matrix()
        return r @ np.diag(g.scale[0].numpy() ** 2) @ r.T

    m = layout.scale * codec.matrix_from_quaternion(layout.rotation).T  # acts on column vectors
    np.testing.assert_allclose(covariance(placed), m @ covariance(one) @ m.T, rtol=1e-4)
    points = scene.place_points(one.position, layout).numpy()
    np.testing.assert_allclose(points, layout.transform(one.position.numpy()), rtol=1e-5)


def test_ply_is_readable(tmp_path):
    g = some(7)
    write_ply(g, tmp_path / "g.ply")
    content = (tmp_path / "g.ply").read_bytes()
    header, body = content.split(b"end_header\n", 1)
    names = [line.split()[-1].decode() for line in header.splitlines() if line.startswith(b"property")]
    assert tuple(names) == PLY_FIELDS
    rows = np.frombuffer(body, "<f4").reshape(7, len(names))
    np.testing.assert_array_equal(rows, ply_table(g))
    column = {n: rows[:, i] for i, n in enumerate(names)}
    np.testing.assert_allclose(1 / (1 + np.exp(-column["opacity"])), g.opacity[:, 0], rtol=1e-5)
    np.testing.assert_allclose(np.exp(column["scale_1"]), g.scale[:, 1], rtol=1e-5)
    np.testing.assert_array_equal(column["nx"], 0)


def test_points_are_laid_out_for_pointcloud2():
    g = some(6)
    points = to_points(g)
    assert points.dtype.itemsize == 16
    assert points.tobytes()[:4] == struct.pack("<f", g.position[0, 0])
    packed = points["rgb"].view(np.uint32)
    want = (g.rgb.clamp(0, 1) * 255).round().numpy().astype(int)
    np.testing.assert_array_equal(packed >> 16 & 255, want[:, 0])
    np.testing.assert_array_equal(packed & 255, want[:, 2])
    assert len(to_points(g, min_opacity=0.5)) == int((g.opacity >= 0.5).sum())


def test_concatenate_refuses_nothing_and_display_survives_transparency():
    with pytest.raises(ValueError, match="nothing"):
        concatenate([])
    clear = some(4)
    clear = Gaussians(clear.position, clear.colour, clear.scale, clear.rotation, clear.opacity * 0.1, 0.001)
    shown = scene.fit_to_cube(clear)
    assert shown.position.isfinite().all()
    extent = shown.position.amax(0) - shown.position.amin(0)
    assert extent.max() == pytest.approx(1, rel=1e-5)
