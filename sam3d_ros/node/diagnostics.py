"""What the node says about itself on /diagnostics, and the one sentence that answers "why is nothing published".

Pure functions of counters; the node fills in the counters and publishes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from sam3d_ros.node.sync import SyncStats

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass(frozen=True)
class InputState:
    """One subscribed topic: resolved name, publishers seen, whether their QoS can never match ours."""

    topic: str
    publishers: int
    incompatible_qos: bool = False
    problem: str = ""  # of the last message, e.g. a wrong encoding


@dataclass
class Counters:
    """What the worker did since the node was activated; written by the worker, read by the timer."""

    frames: int = 0
    objects: int = 0
    rejected: int = 0
    replaced: int = 0
    failed: int = 0
    last_error: str = ""
    last_rejection: str = ""
    noted: int = 0
    last_note: str = ""
    last_tf_problem: str = ""
    last_total_ms: float = 0.0
    last_age_ms: float = 0.0
    memory_mb: float = 0.0
    stages_ms: Mapping[str, float] = field(default_factory=dict)


def input_problem(
    inputs: Mapping[str, InputState],
    sync: SyncStats,
    slop_ns: int,
    now_ns: int,
    late_after_ns: int,
    has_camera_info: bool,
) -> str:
    """Why no frame is complete, in one sentence naming topics; empty where all is well.

    `inputs` has the synchronised inputs by name and "camera_info". Times are monotonic nanoseconds.
    """  # fmt: skip
    for state in inputs.values():
        if state.incompatible_qos and not state.publishers:
            return f"{state.topic}: its publishers offer BEST_EFFORT, qos.reliability asks for RELIABLE"
    missing = [
        f"{inputs[name].topic} ({'no publisher' if not inputs[name].publishers else 'publisher, but no message'}"
        f"{', QoS does not match' if inputs[name].incompatible_qos else ''})"
        for name in [*sync.inputs, "camera_info"]
        if (name == "camera_info" and not has_camera_info)
        or (name in sync.inputs and sync.inputs[name].received == 0)
    ]
    if missing:
        return "no message yet on " + ", ".join(missing)
    for state in inputs.values():
        if state.problem:
            return f"{state.topic}: {state.problem}"
    late = []
    for name, stats in sync.inputs.items():
        silent_ns = now_ns - (stats.last_arrival_ns or 0)
        if silent_ns > late_after_ns:
            late.append(f"{inputs[name].topic} (last message {silent_ns / 1e9:.1f} s ago)")
    if late:
        return "late: " + ", ".join(late)
    if sync.sets == 0 and (gap := sync.gap_ns()):
        newest, oldest, apart = gap
        return (
            f"stamps do not match: {inputs[oldest].topic} is {apart / 1e6:.1f} ms behind {inputs[newest].topic},"
            f" sync.slop_ms is {slop_ns / 1e6:.1f}"
        )
    return ""


def input_status(
    name: str, inputs: Mapping[str, InputState], sync: SyncStats, problem: str
) -> DiagnosticStatus:
    """The state of the inputs and of their synchronisation."""
    status = DiagnosticStatus(name=f"{name}: inputs", hardware_id=name, level=WARN if problem else OK)
    status.message = problem or "all inputs arrive and match"
    values: dict[str, object] = {"sets": sync.sets, "clock jumps": sync.clock_jumps}
    values["last skew ms"] = f"{sync.last_skew_ns / 1e6:.2f}"
    values["max skew ms"] = f"{sync.max_skew_ns / 1e6:.2f}"
    for key, state in inputs.items():
        values[f"{key} topic"] = state.topic
        values[f"{key} publishers"] = state.publishers
        if (stats := sync.inputs.get(key)) is not None:
            values[f"{key} received"] = stats.received
            values[f"{key} used"] = stats.used
            values[f"{key} dropped"] = stats.dropped
    status.values = _key_values(values)
    return status


def work_status(
    name: str, state: str, counters: Counters, waiting: int, method: str, reason: str
) -> DiagnosticStatus:
    """What the worker does, by which method and why by that one."""
    status = DiagnosticStatus(name=f"{name}: reconstruction", hardware_id=name, level=OK)
    status.message = state
    if counters.last_tf_problem:
        status.level, status.message = WARN, counters.last_tf_problem
    if counters.last_error:
        status.level, status.message = ERROR, counters.last_error
    values: dict[str, object] = {
        "state": state,
        "method": method,
        "method because": reason,
        "frames": counters.frames,
        "objects": counters.objects,
        "rejected masks": counters.rejected,
        "last rejection": counters.last_rejection,
        "objects with a note": counters.noted,
        "last note": counters.last_note,
        "frames replaced by newer ones": counters.replaced,
        "failed frames": counters.failed,
        "waiting": waiting,
        "last total ms": f"{counters.last_total_ms:.1f}",
        "last age ms": f"{counters.last_age_ms:.1f}",
        "memory MB": f"{counters.memory_mb:.0f}",
    }
    values |= {f"{stage} ms": f"{ms:.1f}" for stage, ms in counters.stages_ms.items()}
    status.values = _key_values(values)
    return status


def _key_values(values: Mapping[str, object]) -> list[KeyValue]:
    return [KeyValue(key=key, value=str(value)) for key, value in values.items()]
