"""The sampler on numpy and torch states: times, guidance, steps, cancel, noise."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam3d_ros.model import flow
from sam3d_ros.types import Cancelled


@given(st.integers(1, 60), st.floats(1.0, 6.0))
def test_times_run_from_noise_to_data(steps, rescale):
    t = flow.time_steps(steps, rescale)
    assert t[0] == 0
    assert t[-1] == 1
    assert (np.diff(t) > 0).all()


def test_times_of_the_published_runs(golden):
    g = golden("ss_generator")
    for tag, steps in (("sample_cfg25", 25), ("sample_distilled4", 4)):
        want = g.mid[f"{tag}.t_seq"].numpy()
        np.testing.assert_allclose(flow.time_steps(steps, rescale=3), want, rtol=0, atol=1e-15)
        assert g.mid[f"{tag}.d"].item() == (0.25 if steps == 4 else 0)


def test_times_in_fp32(golden):
    want = golden("slat_generator").mid["t_seq"].numpy()
    got = flow.time_steps(25, dtype=np.float32)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=1.2e-7)


def test_rejects_no_steps():
    with pytest.raises(ValueError, match="at least one step"):
        flow.time_steps(0)


@pytest.mark.parametrize("rescale", [1.0, 3.0])
def test_straight_flow_is_exact_in_any_number_of_steps(rescale):
    """Where the velocity is constant, x_1 = x_0 + v for numpy and torch alike."""
    x0 = {"a": np.arange(6.0).reshape(2, 3)}
    for steps in (1, 4, 25):
        out = flow.sample(lambda x, t, d: {"a": np.ones((2, 3))}, x0, flow.time_steps(steps, rescale))
        np.testing.assert_allclose(out["a"], x0["a"] + 1, rtol=1e-12)
    out = flow.sample(lambda x, t, d: {"a": torch.ones(2)}, {"a": torch.zeros(2)}, flow.time_steps(4))
    assert torch.allclose(out["a"], torch.ones(2))
    np.testing.assert_array_equal(x0["a"], np.arange(6.0).reshape(2, 3))  # the noise is left alone


def test_network_sees_thousandths():
    seen = []

    def velocity(x, t, d):
        seen.append((t, d))
        return {"a": np.zeros(1)}

    flow.sample(velocity, {"a": np.zeros(1)}, flow.time_steps(4, rescale=1), step=0.25)
    assert seen == [(0.0, 250.0), (250.0, 250.0), (500.0, 250.0), (750.0, 250.0)]


def test_guidance_acts_inside_its_interval_and_per_latent():
    calls = []

    def unconditional(x, t, d):
        calls.append(t)
        return {"a": np.full(1, 1.0), "b": np.full(1, 1.0)}

    guidance = flow.Guidance(7.0, per_latent={"b": 0.0})
    v = flow.guided(lambda x, t, d: {"a": np.full(1, 2.0), "b": np.full(1, 2.0)}, unconditional, guidance)
    assert v({}, 500.0, 0.0)["a"] == 8 * 2 - 7 * 1
    assert v({}, 500.0, 0.0)["b"] == 2
    assert v({}, 500.1, 0.0)["a"] == 2
    assert calls == [500.0, 500.0]


def test_guidance_of_strength_zero_runs_one_pass():
    def never(x, t, d):
        raise AssertionError

    v = flow.guided(lambda x, t, d: {"a": 1.0}, never, flow.Guidance(0.0))
    assert v({}, 100.0, 0.0) == {"a": 1.0}


@pytest.mark.parametrize(("rescale", "passes"), [(3.0, 44), (1.0, 38)])
def test_passes_of_25_guided_steps(rescale, passes):
    """19 or 13 of the 25 steps lie in the interval and take two passes."""
    count = []

    def velocity(x, t, d):
        count.append(t)
        return {"a": 0.0}

    guided = flow.guided(velocity, velocity, flow.Guidance(1.0))
    flow.sample(guided, {"a": 0.0}, flow.time_steps(25, rescale))
    assert len(count) == passes


def test_progress_and_cancel():
    done = []
    with pytest.raises(Cancelled, match="after 2 of 5"):
        flow.sample(
            lambda x, t, d: {"a": 0.0},
            {"a": 0.0},
            flow.time_steps(5),
            on_step=lambda i, n: done.append((i, n)),
            should_stop=lambda: len(done) == 2,
        )
    assert done == [(1, 5), (2, 5)]


def test_noise_is_drawn_in_the_published_order():
    """One stream, alphabetical by published name: rotation (there "6drotation...") first."""
    shapes = {"shape": (1, 8, 2), "scale": (1, 1, 3), "rotation": (1, 1, 6)}
    got = flow.draw_noise(shapes, partial(torch.randn, generator=torch.Generator().manual_seed(42)))
    g = torch.Generator().manual_seed(42)
    for name in ("rotation", "scale", "shape"):
        assert torch.equal(got[name], torch.randn(shapes[name], generator=g))
    again = flow.draw_noise(dict(reversed(shapes.items())), np.random.default_rng(1).standard_normal)
    once = flow.draw_noise(shapes, np.random.default_rng(1).standard_normal)
    assert all((again[n] == once[n]).all() for n in shapes)
