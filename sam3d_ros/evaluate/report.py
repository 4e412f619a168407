"""What a run says: a table for people, the same as JSON, and a page with cases to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sam3d_ros.evaluate.methods import Prediction, frame_of, method_by_name
from sam3d_ros.evaluate.metrics import METRICS
from sam3d_ros.evaluate.run import Plan
from sam3d_ros.evaluate.source import Shot
from sam3d_ros.evaluate.summary import Estimate, Row
from sam3d_ros.evaluate.texture import LPIPS_UNAVAILABLE
from sam3d_ros.mesh.check import is_watertight
from sam3d_ros.perception.masks import roi_of
from sam3d_ros.types import Fit, Mask, Reconstruction, UpSource
from sam3d_ros.view.page import PageFrame, PageObject, PosedMesh, write_page

Summary = Mapping[str, Mapping[str, Estimate]]
HEADINGS = {"found": "found", **{m.name: m.heading for m in METRICS}, "seconds": "s/object"}
POSED = (
    "found",
    "viou",
    "f1",
    "add_s",
    "add_s_10",
    "add_s_05",
    "add_s_02",
    "box_iou",
    "icp_rot_deg",
    "mask_iou",
)
SHAPE = ("shape_f1", "shape_viou", "shape_chamfer_l1", "shape_chamfer_l2", "shape_emd", "psnr", "ssim",
         "watertight", "seconds")  # fmt: skip
CASES = ("best", "median", "worst")
POINTS_PER_PAGE = 40_000


def as_json(plan: Plan, summary: Summary, errors: Mapping[str, str]) -> dict[str, Any]:
    """The content of summary.json; null where a value is not defined."""

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    methods = {
        method: {
            name: {"mean": number(e.mean), "low": number(e.low), "high": number(e.high), "count": e.count}
            for name, e in row.items()
        }
        for method, row in summary.items()
    }
    return {
        "run": plan.settings,
        "confidence": 0.95,
        "methods": methods,
        "failed_views": dict(errors),
        "notes": [LPIPS_UNAVAILABLE],
    }


def cells(row: Mapping[str, Estimate], names: Sequence[str]) -> list[str]:
    """Mean and half the width of its interval, as text."""
    texts = []
    for name in names:
        e = row[name]
        if not e.count:
            texts.append("-")
            continue
        digits = 1 if abs(e.mean) >= 10 else 3 if abs(e.mean) >= 0.01 else 4
        texts.append(f"{e.mean:.{digits}f} ±{(e.high - e.low) / 2:.{digits}f}")
    return texts


def as_markdown(title: str, summary: Summary) -> str:
    """Two tables: where and how big it is (no alignment), and its shape and colours."""
    lines = [f"# {title}", ""]
    for heading, names in (("Posed, no alignment", POSED), ("Shape aligned by ICP, texture, time", SHAPE)):
        lines += [f"## {heading}", "", "| method | " + " | ".join(HEADINGS[n] for n in names) + " |",
                  "|---" * (len(names) + 1) + "|"]  # fmt: skip
        lines += [f"| {m} | " + " | ".join(cells(row, names)) + " |" for m, row in summary.items()] + [""]
    return "\n".join(lines)


def write_report(path: Path, title: str, plan: Plan, rows: Sequence[Row], summary: Summary) -> None:
    """A page with the best, median and worst case of each method by vIoU, drawn with the truth.

    The cases are computed again, which is cheap beside keeping every mesh.
    """
    frames = []
    for method in plan.methods:
        for case, row in zip(CASES, chosen_cases([r for r in rows if r.method == method]), strict=False):
            frames.append(_frame(plan, f"{method}: {case}", row))
    note = "; ".join(
        f"{method}: vIoU {cells(e, ['viou'])[0]}, F1 {cells(e, ['f1'])[0]}, ADD-S {cells(e, ['add_s'])[0]}"
        for method, e in summary.items()
    )
    write_page(path, title, frames, note=note, max_points=POINTS_PER_PAGE)


def chosen_cases(rows: Sequence[Row]) -> list[Row]:
    """Best, median and worst by vIoU among those with a prediction; fewer where there are fewer."""
    found = sorted(
        (row for row in rows if math.isfinite(row.scores.get("viou", math.nan))),
        key=lambda row: (-row.scores["viou"], row.view, row.mask),
    )
    return [found[i] for i in sorted({0, len(found) // 2, len(found) - 1})] if found else []


def _frame(plan: Plan, name: str, row: Row) -> PageFrame:
    shot = plan.source.load(row.view)
    answers = method_by_name(row.method, plan.predictions)(shot)
    position = next(i for i, t in enumerate(shot.targets) if t.mask_index == row.mask)
    target, answer = shot.targets[position], answers[position]
    shown = {n: row.scores[n] for n in ("viou", "f1", "add_s", "icp_rot_deg", "shape_f1")}
    columns = {HEADINGS[n]: f"{v:.3f}" if math.isfinite(v) else "-" for n, v in shown.items()}
    page_object = PageObject(
        id=f"{row.view} {row.mask}",
        label=target.label,
        reconstruction=_shown(shot, row.mask, row.method, answer),
        truth=PosedMesh(target.mesh, target.T_cam_obj),
        columns=columns,
    )
    frame = frame_of(shot)
    return PageFrame(name, frame.rgb, frame.points_cam, frame.camera, [page_object], up_cam=frame.up_cam)


def _shown(shot: Shot, mask_index: int, method: str, answer: Prediction) -> Reconstruction:
    """An answer as the page wants it; what a method does not say is NaN."""
    assert answer.mesh is not None, "a case with scores has a mesh"
    mask: Mask = next(m for m in shot.picture.masks if m.index == mask_index)
    return Reconstruction(
        mask=mask,
        mesh=answer.mesh,
        T_cam_obj=answer.T_cam_obj,
        size_m=np.ptp(answer.mesh.vertices.astype(np.float64), axis=0),
        confidence=math.nan,
        fit=Fit(math.nan, math.nan, math.nan),
        method=method,
        metric=True,
        up_source=UpSource.CAMERA,
        roi=roi_of(mask),
        watertight=is_watertight(answer.mesh),
        seconds={"all": answer.seconds},
    )
