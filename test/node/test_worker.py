"""The worker: newest frame wins, goals are kept, cancelling and stopping end promptly."""

from __future__ import annotations

import threading
import time

from sam3d_ros.node.worker import Job, Worker


class Gate:
    """A job that reports when it begins and waits until it is let through or told to stop."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.go = threading.Event()
        self.stopped_early = False
        self.job = Job(self._run)

    def _run(self, job: Job) -> None:
        self.began.set()
        while not self.go.wait(0.005):
            if job.should_stop():
                self.stopped_early = True
                return


def failures(errors: list[BaseException]) -> Worker:
    return Worker(errors.append)


def test_the_newest_frame_wins_and_the_replaced_are_counted() -> None:
    worker, gate, seen = failures([]), Gate(), []
    worker.offer(gate.job)
    assert gate.began.wait(2)
    last = threading.Event()
    for number in range(5):
        worker.offer(Job(lambda job, n=number: (seen.append(n), last.set())[0]))
    gate.go.set()
    assert last.wait(2)
    assert worker.stop()
    assert seen == [4]
    assert worker.replaced == 4


def test_goals_run_in_order_before_frames_and_the_queue_is_bounded() -> None:
    worker, gate, seen = Worker([].append, max_goals=2), Gate(), []
    worker.offer(gate.job)
    assert gate.began.wait(2)
    worker.offer(Job(lambda job: seen.append("frame")))
    assert worker.submit(Job(lambda job: seen.append("goal 1")))
    assert worker.submit(Job(lambda job: seen.append("goal 2")))
    assert not worker.submit(Job(lambda job: seen.append("goal 3")))
    assert worker.waiting == 3
    gate.go.set()
    deadline = time.monotonic() + 2
    while len(seen) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert worker.stop()
    assert seen == ["goal 1", "goal 2", "frame"]


def test_an_error_is_reported_and_the_worker_goes_on() -> None:
    errors: list[BaseException] = []
    worker, done = failures(errors), threading.Event()
    assert worker.submit(Job(lambda job: 1 / 0))  # type: ignore[arg-type,return-value]
    assert worker.submit(Job(lambda job: done.set()))
    assert done.wait(2)
    assert worker.stop()
    assert [type(e) for e in errors] == [ZeroDivisionError]


def test_stop_cancels_the_running_job_and_answers_waiting_goals() -> None:
    worker, gate, answered = failures([]), Gate(), []
    assert worker.submit(gate.job)
    assert gate.began.wait(2)
    assert worker.submit(Job(lambda job: answered.append(job.should_stop())))
    begin = time.monotonic()
    assert worker.stop()
    assert time.monotonic() - begin < 1
    assert gate.stopped_early
    assert answered == [True]
    assert not worker.submit(Job(lambda job: None))


def test_a_deadline_stops_a_job() -> None:
    worker, gate = failures([]), Gate()
    gate.job.deadline = time.monotonic() + 0.05
    assert worker.submit(gate.job)
    assert gate.began.wait(2)
    assert worker.stop(5)
    assert gate.stopped_early


def test_fifty_workers_leave_no_threads() -> None:
    before = threading.active_count()
    for _ in range(50):
        assert failures([]).stop()
    assert threading.active_count() == before
