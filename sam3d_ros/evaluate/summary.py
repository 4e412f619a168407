"""Means with confidence intervals: how sure a table may be of its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sam3d_ros.evaluate.metrics import METRICS, Metric
from sam3d_ros.types import Float

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Row:
    """One object seen once by one method. `object_key`: the same for all views of one object. scores: empty
    where nothing was found; `reason` says why."""

    view: str
    mask: int
    object_key: str
    label: str
    visible: float
    method: str
    scores: Mapping[str, float]
    seconds: float = 0.0
    metric_seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Estimate:
    """A mean and the interval low..high that holds it with 95 %; count: values it is made of."""

    mean: float
    low: float
    high: float
    count: int


def estimate(values: Sequence[float], groups: Sequence[str]) -> Estimate:
    """Mean of the finite values. The interval is a percentile bootstrap that draws whole groups (all views of
    one object), since views of one object are not independent (Field and Welsh 2007). Same input, same
    output."""
    kept = [(v, g) for v, g in zip(values, groups, strict=True) if math.isfinite(v)]
    if not kept:
        return Estimate(math.nan, math.nan, math.nan, 0)
    _, group = np.unique([g for _, g in kept], return_inverse=True)
    sums = np.bincount(group, weights=[v for v, _ in kept])
    sizes = np.bincount(group)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(sums), size=(RESAMPLES, len(sums)))
    means: Float = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(sums.sum() / sizes.sum()), float(low), float(high), len(kept))


def summarise(rows: Sequence[Row]) -> dict[str, dict[str, Estimate]]:
    """Per method, in order of appearance, and metric: its estimate; `found` is the share of objects with a
    prediction, `seconds` what one prediction took."""
    methods = list(dict.fromkeys(row.method for row in rows))
    return {method: _summary([row for row in rows if row.method == method]) for method in methods}


def _summary(rows: Sequence[Row]) -> dict[str, Estimate]:
    groups = [row.object_key for row in rows]
    table = {"found": estimate([float(bool(row.scores)) for row in rows], groups)}
    measured = {name for row in rows for name in row.scores}
    for metric in METRICS:
        # A run may leave metrics out; objects without a prediction then count nothing for them either.
        counted = rows if metric.name in measured or not measured else []
        table[metric.name] = estimate(
            [value_of(row, metric) for row in counted], [r.object_key for r in counted]
        )
    table["seconds"] = estimate([row.seconds if row.scores else math.nan for row in rows], groups)
    table["metric_seconds"] = estimate(
        [row.metric_seconds if row.scores else math.nan for row in rows], groups
    )
    return table


def value_of(row: Row, metric: Metric) -> float:
    """The row's value; what a missing prediction counts, or NaN to leave it out."""
    if row.scores:
        value = row.scores.get(metric.name)
        return math.nan if value is None else value
    return math.nan if metric.missing is None else metric.missing
