import os
from functools import partial

import psutil
import worker_tasks

from sam3d_ros.evaluate import workers
from sam3d_ros.evaluate.workers import run_tasks


def test_everything_is_done_once():
    tasks = [str(i) for i in range(20)]
    outcomes = list(run_tasks(tasks, worker_tasks.double, 2))
    assert sorted(o.task for o in outcomes) == sorted(tasks)
    assert all(o.value == o.task * 2 and not o.error for o in outcomes)
    assert list(run_tasks([], worker_tasks.double, 2)) == []


def test_a_crash_costs_one_attempt_of_one_task(tmp_path):
    tasks = ["a", "die-once", "b", "die-always", "fail", "c"]
    found = {o.task: o for o in run_tasks(tasks, partial(worker_tasks.fragile, str(tmp_path)), 2)}
    assert set(found) == set(tasks)
    for task in ("a", "b", "c", "die-once"):
        assert found[task].value == task
    assert found["die-always"].error == "the worker died (exit code 11)"
    assert found["fail"].error == "ValueError: as asked"
    attempts = {t: len((tmp_path / f"{t}.attempts").read_text()) for t in tasks}
    # An exception would come again; only a death is worth a second try.
    assert attempts == {"a": 1, "b": 1, "c": 1, "die-once": 2, "die-always": 2, "fail": 1}


def test_what_hangs_is_ended(tmp_path):
    tasks = ["hang-once", "hang-always", "a"]
    function = partial(worker_tasks.fragile, str(tmp_path))
    found = {o.task: o for o in run_tasks(tasks, function, 2, timeout_s=5)}
    assert found["a"].value == "a"
    assert found["hang-once"].value == "hang-once"
    assert "no answer within 5 s" in found["hang-always"].error


def test_workers_are_replaced_and_run_on_one_thread(monkeypatch):
    monkeypatch.setattr(workers, "RECYCLE", 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    answers = [o.value for o in run_tasks([str(i) for i in range(6)], worker_tasks.process, 1)]
    assert len({pid for pid, _ in answers}) == 3
    assert {threads for _, threads in answers} == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_stopping_early_leaves_no_process():
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    run = run_tasks([str(i) for i in range(50)], worker_tasks.process, 2)
    pid, _ = next(run).value
    run.close()
    left = {child.pid for child in psutil.Process().children(recursive=True)} - before
    assert pid not in left
    assert not [p for p in left if "spawn_main" in " ".join(psutil.Process(p).cmdline())]
