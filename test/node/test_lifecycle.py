"""Lifecycle transitions: what each state does, fifty rounds without growth, and several nodes side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rig import FAST_REPORTS, TWO_BOXES, Rig
from ros_process import STATUS, Goal, NodeProcess, Probe
from sam3d_ros.action import Reconstruct
from scenes import box_scene

from sam3d_ros.node.convert import stamp_ns

Start = Callable[..., NodeProcess]


def change(probe: Probe, name: str, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return bool(probe.call(ChangeState, f"{name}/change_state", request).success)


def state(probe: Probe, name: str) -> int:
    return int(probe.call(GetState, f"{name}/get_state", GetState.Request()).current_state.id)


def set_parameter(probe: Probe, node: str, name: str, value: ParameterValue) -> tuple[bool, str]:
    request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
    result = probe.call(SetParameters, f"{node}/set_parameters", request).results[0]
    return result.successful, result.reason


def text(value: str) -> ParameterValue:
    return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)


def number(value: float) -> ParameterValue:
    return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)


def test_states_and_fifty_rounds_without_growth(probe: Probe, start: Start, tiny_compact: Path) -> None:
    model = ("-p", "method:=compact", "-p", f"model:={tiny_compact}")
    process = start("reconstruction_node", "-p", "autostart:=false", "-r", "__ns:=/rounds", *model)
    name = "/rounds/sam3d"
    assert state(probe, name) == State.PRIMARY_STATE_UNCONFIGURED
    measured = psutil.Process(process.pid)

    def full_round() -> None:
        for transition in (
            Transition.TRANSITION_CONFIGURE,
            Transition.TRANSITION_ACTIVATE,
            Transition.TRANSITION_DEACTIVATE,
            Transition.TRANSITION_CLEANUP,
        ):
            assert change(probe, name, transition), f"transition {transition}"

    for _ in range(10):
        full_round()
    before = (measured.num_fds(), measured.num_threads(), measured.memory_info().rss)
    for _ in range(50):
        full_round()
    after = (measured.num_fds(), measured.num_threads(), measured.memory_info().rss)
    assert after[0] <= before[0]
    assert after[1] <= before[1]
    assert after[2] - before[2] < 5_000_000, f"{(after[2] - before[2]) / 50:.0f} bytes per round"
    assert state(probe, name) == State.PRIMARY_STATE_UNCONFIGURED


def test_an_inactive_node_publishes_nothing_and_answers_goals(probe: Probe, start: Start) -> None:
    own = Probe("inactive_probe", namespace="/inactive")
    try:
        process = start(
            "reconstruction_node", "-p", "autostart:=false", "-r", "__ns:=/inactive", *FAST_REPORTS
        )
        rig, scene = Rig(own, process, wait=False), box_scene(boxes=TWO_BOXES)
        assert change(probe, "/inactive/sam3d", Transition.TRANSITION_CONFIGURE)
        for _ in range(5):
            rig.show(scene)
            time.sleep(0.05)
        goal = Goal(own, Reconstruct, "/inactive/sam3d/reconstruct", Reconstruct.Goal())
        status, result = goal.result()
        assert status == STATUS.STATUS_ABORTED
        assert result.error_code == Reconstruct.Result.NOT_ACTIVE
        assert not rig.objects
        assert change(probe, "/inactive/sam3d", Transition.TRANSITION_ACTIVATE)
        empty = Goal(own, Reconstruct, "/inactive/sam3d/reconstruct", Reconstruct.Goal())
        status, result = empty.result()
        assert result.error_code == Reconstruct.Result.NO_FRAME
        assert "/inactive/rgb/image" in result.error_msg
        assert len(rig.reconstruct(scene).objects) == 2
        assert change(probe, "/inactive/sam3d", Transition.TRANSITION_DEACTIVATE)
        heard = len(rig.objects)
        rig.show(scene)
        time.sleep(0.7)
        assert len(rig.objects) == heard
        assert process.stop() == 0
    finally:
        own.close()


def test_a_parameter_that_contradicts_itself_fails_configure_with_a_reason(
    probe: Probe, start: Start
) -> None:
    process = start(
        "reconstruction_node", "-p", "autostart:=false", "-r", "__ns:=/wrong", "-p", "limits.min_depth:=9.0"
    )
    assert not change(probe, "/wrong/sam3d", Transition.TRANSITION_CONFIGURE)
    assert state(probe, "/wrong/sam3d") == State.PRIMARY_STATE_UNCONFIGURED
    assert "limits.min_depth 9.0 must be less" in process.log()
    assert set_parameter(probe, "/wrong/sam3d", "limits.min_depth", number(0.2))[0]
    assert change(probe, "/wrong/sam3d", Transition.TRANSITION_CONFIGURE)


def test_parameters_are_described_ranged_and_live_where_it_makes_sense(probe: Probe, start: Start) -> None:
    start("reconstruction_node", "-r", "__ns:=/params")
    node = "/params/sam3d"
    probe.wait(lambda: state(probe, node) == State.PRIMARY_STATE_ACTIVE, "active")
    request = DescribeParameters.Request(names=["sync.slop_ms", "method"])
    slop, method = probe.call(DescribeParameters, f"{node}/describe_parameters", request).descriptors
    assert "ms" in slop.description
    assert slop.floating_point_range[0].to_value == 1000.0
    assert "auto, compact, extrude, hull, mirror" in method.description
    assert set_parameter(probe, node, "method", text("hull")) == (True, "")
    refused = [
        set_parameter(probe, node, "method", text("magic")),
        set_parameter(probe, node, "limits.max_depth", number(0.05)),
        set_parameter(probe, node, "limits.max_depth", number(-1.0)),
        set_parameter(probe, node, "depth.source", text("points")),
    ]
    assert not any(successful for successful, _ in refused)
    assert "extrude, hull, mirror" in refused[0][1]
    assert "limits.min_depth" in refused[1][1]
    assert "range" in refused[2][1]
    assert "deactivate" in refused[3][1]


def test_two_instances_in_namespaces_do_not_mix(start: Start) -> None:
    one_box, two_boxes = box_scene(), box_scene(boxes=TWO_BOXES)
    left, right = Probe("left_probe", namespace="/left"), Probe("right_probe", namespace="/right")
    try:
        rigs = [
            Rig(own, start("reconstruction_node", "-r", f"__ns:=/{side}"))
            for own, side in ((left, "left"), (right, "right"))
        ]
        assert len(rigs[0].reconstruct(one_box).objects) == 1
        assert len(rigs[1].reconstruct(two_boxes).objects) == 2
        assert all(len(m.objects) == 1 for m in rigs[0].objects)
        assert all(len(m.objects) == 2 for m in rigs[1].objects)
    finally:
        left.close()
        right.close()


def test_sim_time_ages_results_by_the_clock_topic(start: Start) -> None:
    from builtin_interfaces.msg import Time
    from rosgraph_msgs.msg import Clock
    from sam3d_ros.msg import FrameTiming

    own = Probe("sim_probe", namespace="/sim")
    try:
        rig = Rig(own, start("reconstruction_node", "-r", "__ns:=/sim", "-p", "use_sim_time:=true"))
        clock = own.node.create_publisher(Clock, "/clock", 10)
        own.wait_for_subscriber(clock)
        timings, scene = own.listen(FrameTiming, "/sim/sam3d/timing"), box_scene()

        def aged() -> object:
            clock.publish(Clock(clock=Time(sec=105)))
            rig.show(scene, 100_000_000_000 + len(rig.objects))
            time.sleep(0.05)
            return [t for t in timings if abs(t.age_ms - 5000) < 1]

        own.wait(aged, "an age of five simulated seconds")
    finally:
        own.close()


@pytest.mark.parametrize("victim", ["camera", "node"])
def test_after_kill_9_the_other_side_recovers(tmp_path: Path, start: Start, victim: str) -> None:
    own = Probe(f"kill_{victim}_probe", namespace=f"/kill_{victim}")
    camera_args = ("-r", f"__ns:=/kill_{victim}", "-p", "views:=4", "-p", "width:=320", "-p", "height:=240",
                   "-p", "focal:=300.0", "-p", "objects:=2", "-p", "rate:=10.0")  # fmt: skip
    node_args = ("-r", f"__ns:=/kill_{victim}", *FAST_REPORTS)
    try:
        processes = {
            "camera": start("synthetic_camera", *camera_args),
            "node": start("reconstruction_node", *node_args),
        }
        rig = Rig(own, processes["node"], wait=False)
        own.wait(lambda: [m for m in rig.objects if m.objects], "objects")
        processes[victim].kill()
        if victim == "camera":
            rig.complaint("late: ")
            processes["camera"] = start("synthetic_camera", *camera_args)
        else:
            processes["node"] = start("reconstruction_node", *node_args)
        newest = max(stamp_ns(m.header.stamp) for m in rig.objects)
        own.wait(
            lambda: [m for m in rig.objects if m.objects and stamp_ns(m.header.stamp) > newest + 500_000_000],
            "objects after the restart",
        )  # fmt: skip
    finally:
        own.close()
