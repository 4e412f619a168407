import math

import numpy as np
import pytest

from sam3d_ros.evaluate.metrics import METRICS
from sam3d_ros.evaluate.summary import Row, estimate, summarise


def row(method, view, viou, found=True, key=None):
    scores = {m.name: math.nan for m in METRICS} | {"viou": viou, "add_s": 0.03, "watertight": 1.0}
    return Row(
        view, 1, key or view, "can", 1.0, method, scores if found else {}, 0.1, 0.2, "" if found else "no"
    )


def test_mean_and_interval_against_a_plain_bootstrap():
    rng = np.random.default_rng(5)
    values = rng.normal(0.6, 0.2, 80)
    found = estimate(list(values), [str(i) for i in range(80)])
    assert found.mean == pytest.approx(values.mean())
    assert found.count == 80
    plain = [rng.choice(values, 80).mean() for _ in range(4000)]
    assert (found.low, found.high) == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.008)


def test_views_of_one_object_are_no_news():
    """Ten equal views of each object: the interval is that of the objects, not of ten times as many."""
    values = np.random.default_rng(0).normal(size=30)
    once = estimate(list(values), [str(i) for i in range(30)])
    often = estimate(list(np.repeat(values, 10)), [str(i) for i in range(30) for _ in range(10)])
    assert often.mean == pytest.approx(once.mean)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(100):
        found = estimate(list(rng.uniform(size=60)), [str(i) for i in range(60)])
        inside += found.low <= 0.5 <= found.high
    assert 86 <= inside <= 100


def test_what_is_missing_counts_where_it_can():
    rows = [row("a", "0", 0.8), row("a", "1", 0.0, found=False), row("b", "0", 0.4)]
    table = summarise(rows)
    assert list(table) == ["a", "b"]
    assert table["a"]["found"].mean == 0.5
    assert table["a"]["viou"].mean == pytest.approx(0.4)
    assert table["a"]["watertight"].mean == 0.5
    # No distance would be right for a mesh that is not there.
    assert table["a"]["add_s"].mean == pytest.approx(0.03)
    assert table["a"]["add_s"].count == 1
    assert table["a"]["psnr"].count == 0
    assert math.isnan(table["a"]["psnr"].mean)
    assert table["b"]["seconds"].mean == pytest.approx(0.1)


def test_metrics_that_were_not_measured_stay_out_of_the_table() -> None:
    found = Row("a", 1, "a", "", 1.0, "m", {"viou": 0.5})
    lost = Row("b", 1, "b", "", 1.0, "m", {}, reason="nothing there")
    table = summarise([found, lost])["m"]
    assert table["viou"].mean == 0.25
    assert table["shape_f1"].count == 0
