"""`sam3d evaluate`: from a dataset or a standard split to one table, files and a page."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sam3d_ros.evaluate.report import (
    HEADINGS,
    POSED,
    SHAPE,
    Summary,
    as_json,
    as_markdown,
    cells,
    write_report,
)
from sam3d_ros.evaluate.run import Plan, Results, evaluate, ordered_rows
from sam3d_ros.evaluate.source import BopSource
from sam3d_ros.evaluate.splits import VIEWS, SplitSource
from sam3d_ros.evaluate.summary import summarise
from sam3d_ros.evaluate.texture import LPIPS_UNAVAILABLE
from sam3d_ros.mesh.export import write_atomic
from sam3d_ros.types import InputError

STOPPED = 130  # what a shell expects of a command that Ctrl-C ended


def run(
    bop: Path | None,
    split: str | None,
    method: str,
    predictions: Path | None,
    out: Path | None,
    views: int | None,
    workers: int,
    report: bool,
    aligned: bool = True,
) -> int:
    """Evaluate and write; returns the exit code: 0, 1 where views failed, 2 for arguments that make no sense,
    130 after Ctrl-C. What was judged stays; the same command goes on where it stopped."""
    console, progress_console = Console(), Console(stderr=True)
    try:
        plan = make_plan(bop, split, method, predictions, views, aligned)
        out = out or Path("out/evaluate") / plan.source.name
        if workers < 1:
            raise InputError("at least one worker is needed")
        results, stopped = _all(plan, out, workers, progress_console)
    except (InputError, OSError) as error:
        print(f"sam3d evaluate: {error}", file=sys.stderr)
        return 2
    rows = ordered_rows(results)
    summary = summarise(rows)
    title = f"{plan.source.name}, {len(results.rows)} views"
    document = as_json(plan, summary, results.errors)
    write_atomic(out / "summary.json", json.dumps(document, indent=1, allow_nan=False).encode())
    write_atomic(out / "table.md", as_markdown(title, summary).encode())
    _show(console, title, summary)
    for view, reason in list(results.errors.items())[:5]:
        progress_console.print(f"{view} failed: {reason}", style="red", markup=False)
    if report and rows and not stopped:
        write_report(out / "report.html", title, plan, rows, summary)
    progress_console.print(f"{LPIPS_UNAVAILABLE}. Everything is in {out}", highlight=False)
    if stopped:
        return STOPPED
    return 1 if results.errors else 0


def make_plan(
    bop: Path | None,
    split: str | None,
    method: str,
    predictions: Path | None,
    views: int | None,
    aligned: bool = True,
) -> Plan:
    """Raises InputError where the arguments do not fit each other."""
    if (bop is None) == (split is None):
        raise InputError("give either --bop DIR or --split NAME")
    if bop is not None and views is not None:
        raise InputError("--views is for splits; a BOP folder is judged as a whole")
    source: BopSource | SplitSource
    source = BopSource(bop) if bop is not None else SplitSource(str(split), VIEWS if views is None else views)
    names = [name for name in method.split(",") if name]
    if predictions is not None and "predictions" not in names:
        names.append("predictions")
    plan = Plan(source, tuple(names), predictions, aligned)
    plan.check()
    return plan


def _all(plan: Plan, out: Path, workers: int, console: Console) -> tuple[Results, bool]:
    """All results, and whether Ctrl-C came before the end."""
    stop = threading.Event()
    previous: Any = None
    if threading.current_thread() is threading.main_thread():
        previous = signal.signal(signal.SIGINT, lambda *_: stop.set())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(plan.source.name, total=None)
            for step in evaluate(plan, out, workers, stop.is_set):
                progress.update(task, completed=step.done, total=step.total)
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
    return step.results, stop.is_set()


def _show(console: Console, title: str, summary: Summary) -> None:
    """One table, metrics as rows, so that it fits a terminal."""
    table = Table(title=title, caption="mean ±half the 95 % interval over objects")
    table.add_column("metric")
    for name in summary:
        table.add_column(name, justify="right")
    names: Sequence[str] = (*POSED, *SHAPE)
    columns = [cells(row, names) for row in summary.values()]
    for i, name in enumerate(names):
        table.add_row(HEADINGS[name], *(column[i] for column in columns))
        if name == POSED[-1]:
            table.add_section()
    console.print(table)
