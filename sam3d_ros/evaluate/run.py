"""One run: every view of a source by every method, each result on disk as soon as it is there.

OUT/run.json       what is compared with what; a run with the same settings is continued, another is refused
OUT/results.jsonl  a line per view: {"view": ..., "rows": [...]} or {"view": ..., "error": ...}
OUT/summary.json   means with confidence intervals, per method and metric
OUT/table.md       the same for people
OUT/report.html    best, median and worst case of each method, to look at
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from sam3d_ros.evaluate.methods import Prediction, method_by_name
from sam3d_ros.evaluate.metrics import VERSION, score
from sam3d_ros.evaluate.predictions import Predictions
from sam3d_ros.evaluate.source import BopSource, Shot, Target
from sam3d_ros.evaluate.splits import SplitSource
from sam3d_ros.evaluate.summary import Row
from sam3d_ros.evaluate.variants import Variant, is_variant
from sam3d_ros.evaluate.workers import run_tasks
from sam3d_ros.mesh.export import write_atomic
from sam3d_ros.types import InputError


@dataclass(frozen=True)
class Plan:
    """What to do. predictions: the folder of the method `predictions`, where it is among the methods. aligned: also
    the metrics that need ICP."""

    source: BopSource | SplitSource
    methods: tuple[str, ...]
    predictions: Path | None = None
    aligned: bool = True

    def check(self) -> None:
        """Raises InputError where a method is unknown or named twice, or the predictions are not there."""
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise InputError("name at least one method, and each only once")
        for name in self.methods:
            method_by_name(name, self.predictions)

    @property
    def settings(self) -> dict[str, Any]:
        """What a run must share to be continued; the number of views is not part of it."""
        place = str(self.source.folder.resolve()) if isinstance(self.source, BopSource) else self.source.name
        files = Predictions(self.predictions).fingerprint if self.predictions else None
        models = {name: Variant.parse(name).fingerprint for name in self.methods if is_variant(name)}
        settings = {"metrics": VERSION, "source": place, "methods": list(self.methods), "predictions": files}
        return (
            settings | ({"models": models} if models else {}) | ({} if self.aligned else {"aligned": False})
        )


def judge_view(plan: Plan, key: str) -> list[Row]:
    """All targets of one view by all methods of the plan."""
    cv2.setNumThreads(1)
    shot = plan.source.load(key)
    rows = []
    for name in plan.methods:
        answers = method_by_name(name, plan.predictions)(shot)
        rows += [
            judge(shot, t, name, answer, plan.aligned)
            for t, answer in zip(shot.targets, answers, strict=True)
        ]
    return rows


def judge(shot: Shot, target: Target, method: str, answer: Prediction, aligned: bool = True) -> Row:
    """One answer. What cannot be scored counts as missing, with the reason."""
    start = time.perf_counter()
    scores, reason = {}, answer.reason
    if answer.mesh is not None:
        camera = shot.picture.camera
        try:
            poses = answer.T_cam_obj, target.T_cam_obj
            scores = dict(score(answer.mesh, poses[0], target.mesh, poses[1], camera, aligned))
        except InputError as error:
            if "truth" in str(error) or "true mesh" in str(error):
                raise
            reason = str(error)
    return Row(
        view=shot.key,
        mask=target.mask_index,
        object_key=target.object_key,
        label=target.label,
        visible=target.visible,
        method=method,
        scores=scores,
        seconds=answer.seconds,
        metric_seconds=time.perf_counter() - start,
        reason=reason,
    )


class Results:
    """The results of a folder: what is there already, and appending to it."""

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        """Raises InputError where the folder holds a run with other settings."""
        self.path = out / "results.jsonl"
        self.rows: dict[str, list[Row]] = {}
        self.errors: dict[str, str] = {}
        out.mkdir(parents=True, exist_ok=True)
        described = out / "run.json"
        if described.is_file():
            if json.loads(described.read_text()) != settings:
                raise InputError(f"{out} holds a run with other settings (run.json): choose another folder")
            self._read()
        elif self.path.exists():
            raise InputError(f"{self.path} is there without run.json: choose another folder")
        else:
            write_atomic(described, json.dumps(settings, indent=1).encode())

    def _read(self) -> None:
        """A last line that a crash cut off is left out; the next one begins on a line of its own."""
        if not self.path.is_file():
            return
        text = self.path.read_text()
        whole, _, rest = text.rpartition("\n")
        if rest:
            write_atomic(self.path, (whole + "\n" if whole else "").encode())
        for line in whole.splitlines():
            entry = json.loads(line)
            if "rows" in entry:
                self.rows[entry["view"]] = [_row(item) for item in entry["rows"]]
                self.errors.pop(entry["view"], None)
            else:
                self.errors[entry["view"]] = entry["error"]

    def add(self, view: str, rows: list[Row] | None, error: str = "") -> None:
        """Append a view; one write, so that a line is whole or the last."""
        entry: dict[str, Any] = {"view": view}
        if rows is None:
            self.errors[view] = entry["error"] = error
        else:
            self.rows[view] = rows
            self.errors.pop(view, None)
            entry["rows"] = [_entry(row) for row in rows]
        line = json.dumps(entry, allow_nan=False) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)


@dataclass(frozen=True)
class Step:
    """How far a run is: views done and in all, those with errors counted, and all results."""

    done: int
    total: int
    results: Results


def evaluate(plan: Plan, out: Path, workers: int, stop: Callable[[], bool] = lambda: False) -> Iterator[Step]:
    """Do what is not done yet; yields at the start and after each view.

    Raises InputError for a plan that cannot be done or a folder that holds another run. Views with errors are
    tried again by the next run.
    """
    plan.check()
    keys = plan.source.keys()
    results = Results(out, plan.settings)
    wanted = set(keys)
    for view in [view for view in results.rows if view not in wanted]:
        del results.rows[view]
    open_views = [key for key in keys if key not in results.rows]
    done = len(keys) - len(open_views)
    yield Step(done, len(keys), results)
    for outcome in run_tasks(open_views, partial(judge_view, plan), workers):
        results.add(outcome.task, None if outcome.error else outcome.value, outcome.error)
        done += 1
        yield Step(done, len(keys), results)
        if stop():
            return


def ordered_rows(results: Results) -> list[Row]:
    """All rows in the order of their views, which the order of finishing has no influence on."""
    return [row for view in sorted(results.rows) for row in results.rows[view]]


def _entry(row: Row) -> dict[str, Any]:
    entry = dataclasses.asdict(row)
    entry["scores"] = {k: v if math.isfinite(v) else None for k, v in row.scores.items()}
    entry["visible"] = row.visible if math.isfinite(row.visible) else None
    return entry


def _row(entry: dict[str, Any]) -> Row:
    scores = {k: math.nan if v is None else v for k, v in entry["scores"].items()}
    visible = math.nan if entry["visible"] is None else entry["visible"]
    return Row(**{**entry, "scores": scores, "visible": visible})
