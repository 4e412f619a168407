"""The node with a compact model (random weights), over DDS: two phases, one stamp; fallback and damage said aloud."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rig import FAST_REPORTS, TWO_BOXES, Rig
from ros_process import STATUS, Goal, NodeProcess, Probe
from sam3d_ros.action import Reconstruct
from sam3d_ros.msg import FrameTiming, ObjectMeshArray
from sam3d_ros.srv import GetMesh
from scenes import BoxScene, box_scene
from tf2_msgs.msg import TFMessage

from sam3d_ros.methods.answer import ASSUMED
from sam3d_ros.node import qos
from sam3d_ros.node.convert import stamp_ns

Start = Callable[..., NodeProcess]


@pytest.fixture(scope="module")
def scene() -> BoxScene:
    return box_scene(boxes=TWO_BOXES)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, tiny_compact: Path) -> Iterator[Rig]:
    own = Probe("model_probe", namespace="/model")
    folder = tmp_path_factory.mktemp("model_node")
    model = (
        "-p",
        "method:=compact",
        "-p",
        f"model:={tiny_compact}",
        "-p",
        "backend:=onnxruntime",
        "-p",
        "threads:=1",
    )
    files = ("-p", f"mesh_dir:={folder}/meshes", "-p", "tracking.memory_s:=60.0")
    with NodeProcess(
        "reconstruction_node", folder, "-r", "__ns:=/model", *FAST_REPORTS, *model, *files
    ) as process:
        yield Rig(own, process)
    own.close()


def set_method(probe: Probe, node: str, method: str) -> tuple[bool, str]:
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=method)
    request = SetParameters.Request(parameters=[Parameter(name="method", value=value)])
    result = probe.call(SetParameters, f"{node}/set_parameters", request).results[0]
    return result.successful, result.reason


def test_objects_come_first_and_meshes_follow_with_the_same_stamp(rig: Rig, scene: BoxScene) -> None:
    meshes = rig.probe.listen(ObjectMeshArray, "/model/sam3d/meshes", qos.latched_profile())
    timings = rig.probe.listen(FrameTiming, "/model/sam3d/timing")
    transforms = rig.probe.listen(TFMessage, "/tf", 100)
    rig.meet()
    answer = rig.reconstruct(scene)
    stamp = stamp_ns(answer.header.stamp)
    assert [(o.method, o.note, o.mask) for o in answer.objects] == [("compact", "", 1), ("compact", "", 2)]
    for o, truth in zip(answer.objects, scene.T_cam_obj, strict=True):
        p = o.pose.pose.position
        assert np.linalg.norm([p.x, p.y, p.z] - truth[:3, 3]) < 0.03
        got = rig.probe.call(GetMesh, "/model/sam3d/get_mesh", GetMesh.Request(id=o.id))
        assert got.success
        assert Path(o.mesh_uri[7:]).read_bytes()[:4] == b"glTF"
    mesh = rig.probe.wait(lambda: [m for m in meshes if stamp_ns(m.header.stamp) == stamp], "meshes")[0]
    timing = rig.probe.wait(lambda: [t for t in timings if stamp_ns(t.header.stamp) == stamp], "timing")[0]
    assert [m.id for m in mesh.meshes] == [o.id for o in answer.objects]
    assert all(m.watertight and len(m.colors) for m in mesh.meshes)
    stages = {s.name: s.milliseconds for s in timing.stages}
    assert {"convert", "support", "points", "shape", "fit", "colour", "publish"} <= stages.keys()
    assert all(ms >= 0 for ms in stages.values())
    assert timing.method == "compact"
    assert 20 < timing.memory_mb < 2000
    rig.wait_for_frames(transforms, answer)


def test_ids_stay_and_the_choice_is_told(rig: Rig, scene: BoxScene) -> None:
    first, second = rig.reconstruct(scene), rig.reconstruct(scene)
    assert [o.id for o in first.objects] == [o.id for o in second.objects]
    rig.probe.wait(lambda: float(rig.told("memory MB") or 0) > 20, "the memory on the diagnostics")
    assert rig.told("method") == "compact"
    assert "bundles/compact, 1 threads, by onnxruntime, " in rig.told("method because")
    assert "method compact: compact 0.0.1" in rig.process.log()


def test_a_level_that_is_a_guess_is_told(rig: Rig, scene: BoxScene) -> None:
    """Nothing but the boxes was measured: there is no support."""
    depth = np.where(scene.labels > 0, scene.depth_m, np.nan).astype(np.float32)
    answer = rig.reconstruct(replace(scene, depth_m=depth))
    assert answer.objects
    for o in answer.objects:
        assert ASSUMED in o.note
    rig.probe.wait(lambda: ASSUMED in rig.told("last note"), "the note on the diagnostics")
    assert int(rig.told("objects with a note")) >= 1
    assert ASSUMED in rig.process.log()


def test_a_goal_gets_both_phases(rig: Rig, scene: BoxScene) -> None:
    rig.reconstruct(scene)
    goal = Goal(rig.probe, Reconstruct, "/model/sam3d/reconstruct", Reconstruct.Goal(return_meshes=True))
    status, result = goal.result()
    assert status == STATUS.STATUS_SUCCEEDED
    assert [m.id for m in result.meshes] == [o.id for o in result.objects.objects]
    for stage in ("shape", "fit", "colour"):
        goal.wait_for_stage(stage)
    progress = [f.progress for f in goal.feedback]
    assert progress == sorted(progress)


def test_the_method_changes_live(rig: Rig, scene: BoxScene) -> None:
    for method in ("hull", "compact"):
        assert set_method(rig.probe, "/model/sam3d", method) == (True, "")

        def used(method: str = method) -> bool:
            return {o.method for o in rig.reconstruct(scene).objects} == {method}

        rig.probe.wait(used, f"objects by {method}")


def test_without_a_bundle_compact_is_refused_and_auto_says_so(
    probe: Probe, start: Start, tmp_path: Path
) -> None:
    nowhere = ("-p", f"model:={tmp_path}/nothing")
    process = start("reconstruction_node", "-r", "__ns:=/none", "-p", "autostart:=false", *nowhere)
    change = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert set_method(probe, "/none/sam3d", "compact")[0]
    assert not probe.call(ChangeState, "/none/sam3d/change_state", change).success
    assert "cannot configure" in process.log()
    assert f"{tmp_path}/nothing is no bundle" in process.log()
    assert set_method(probe, "/none/sam3d", "auto")[0]
    assert probe.call(ChangeState, "/none/sam3d/change_state", change).success
    assert "method extrude: no model" in process.log()
    change.transition.id = Transition.TRANSITION_ACTIVATE
    assert probe.call(ChangeState, "/none/sam3d/change_state", change).success
    refused, reason = set_method(probe, "/none/sam3d", "compact")
    assert not refused
    assert "is no bundle" in reason
