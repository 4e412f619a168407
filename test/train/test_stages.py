"""Stages as data: their laws, their tables, what contradicts itself."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from sam3d_ros.train import published_stages, toy_stages
from sam3d_ros.train.stages import Shortcut, Stage, differences, find
from sam3d_ros.types import InputError

STAGE = Stage("s", {"x": 1.0}, ("crop",), {"a": 1.0}, 100, 4, 1e-3, warmup=10, decay_from=0.6)


def test_rate_warms_up_stays_and_falls_to_zero() -> None:
    assert STAGE.rate(0) == pytest.approx(1e-4)
    assert STAGE.rate(9) == STAGE.rate(59) == pytest.approx(1e-3)
    assert STAGE.rate(80) == pytest.approx(0.5e-3)
    assert 0 < STAGE.rate(99) < 2e-5
    assert replace(STAGE, decay_from=1.0).rate(99) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mix": {}}, "mix"),
        ({"conditions": ("smell",)}, "smell"),
        ({"weights": {"a": 0.0}}, "no loss"),
        ({"weights": {"a": -1.0}}, "negative"),
        ({"steps": 0}, "steps"),
        ({"learning_rate": float("nan")}, "rate"),
        ({"p_uncond": 1.5}, "between 0 and 1"),
        ({"kind": "distil"}, "shortcut"),
        ({"beta": 1.0}, "beta"),
        ({"kind": "distil", "shortcut": Shortcut(finest=3)}, "finest"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        replace(STAGE, **change)  # type: ignore[arg-type]


def test_the_papers_numbers() -> None:
    """Tables 5 and 6."""
    g, t = published_stages.GEOMETRY, published_stages.TEXTURE
    rates = [1e-4, 1e-4, 1e-4, 1e-5, 1e-5, 2.5e-6, 1e-5]
    assert [s.learning_rate for s in g.values()] == rates
    assert [s.learning_rate for s in t.values()] == [1e-4, 1e-4, 1e-5, 1e-6]
    assert [s.ema for s in t.values()] == [0.9999, 0.9999, 0.999, 0.99]
    assert g["geometry-pre"].weights == {"shape": 1.0, "rotation": 0.1}
    assert g["geometry-swap"].weights == {"shape": 1.0, "rotation": 0.1, "translation": 1.0, "scale": 0.1}
    assert g["geometry-dpo"].weights == {"shape": 1.0}
    distil = g["geometry-distil"].shortcut
    assert distil is not None
    assert (distil.share, distil.guidance) == (0.25, {"shape": 2.0})
    assert toy_stages.STAGES.keys() == published_stages.STAGES.keys()


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    assert find(toy_stages.STAGES, "texture-sft").name == "texture-sft"
    with pytest.raises(InputError, match="geometry-pre, geometry-occlusion"):
        find(toy_stages.STAGES, "pre")


def test_differences_survive_json() -> None:
    recorded = json.loads(json.dumps(asdict(STAGE)))
    assert differences(STAGE, recorded) == []
    assert differences(replace(STAGE, steps=200), recorded) == ["steps: 100 -> 200"]
