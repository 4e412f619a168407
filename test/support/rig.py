"""A reconstruction node as a process, with a camera and an ear in the test's own process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ros_process import NodeProcess, Probe
from sam3d_ros.msg import ReconstructedObjectArray
from scenes import BoxScene

from sam3d_ros.node.camera_topics import CameraTopics
from sam3d_ros.node.convert import stamp_ns

TWO_BOXES = ((0.0, 0.0, 0.08, 0.06, 0.10), (0.05, 0.14, 0.06, 0.06, 0.08))
FAST_REPORTS = ("-p", "diagnostics.period:=0.1", "-p", "diagnostics.late_after:=0.5")


class Rig:
    """A node process in the probe's namespace, a camera in the test, and what is heard of the node. `wait`: until the
    node is active and both have found each other."""

    def __init__(self, probe: Probe, process: NodeProcess, reliable: bool = True, wait: bool = True) -> None:
        self.probe, self.process = probe, process
        self.name = probe.node.get_namespace().rstrip("/") + "/sam3d"
        self.camera = CameraTopics(probe.node, "optical", reliable)
        self.objects = probe.listen(ReconstructedObjectArray, "sam3d/objects")
        self.reports = probe.listen_diagnostics()
        if wait:
            for publisher in (self.camera.rgb, self.camera.depth, self.camera.mask, self.camera.info):
                probe.wait_for_subscriber(publisher)
            self.meet()
        self._last = 0

    def meet(self) -> None:
        """After a new subscription: from here on it gets what the node publishes."""
        self.probe.meet(self.name)

    def wait_for_frames(self, transforms: list[Any], answer: ReconstructedObjectArray) -> list[Any]:
        """Until the messages of /tf in `transforms` have one frame with the answer's stamp for each of its objects."""
        stamp, ids = answer.header.stamp, {o.id for o in answer.objects}

        def sent() -> list[Any]:
            found = [t for m in transforms for t in m.transforms if t.header.stamp == stamp]
            return found if {t.child_frame_id for t in found} == ids else []

        return self.probe.wait(sent, "a frame for every object")

    def told(self, key: str) -> str:
        """What the node said last under this key on the diagnostics, or empty."""
        for report in reversed(self.reports):
            for status in report.status:
                if status.name.startswith(f"{self.name}: "):
                    for value in status.values:
                        if value.key == key:
                            return value.value
        return ""

    def stamp(self) -> int:
        """A new stamp, later than the ones before."""
        self._last = max(self._last + 1_000_000, time.time_ns())
        return self._last

    def show(self, scene: BoxScene, stamp: int | None = None, encoding: str = "16UC1") -> int:
        stamp = stamp or self.stamp()
        self.camera.publish(scene.rgb, scene.depth_m, scene.labels, scene.camera, stamp, encoding)
        return stamp

    def answer(self, stamp: int) -> ReconstructedObjectArray | None:
        return next((m for m in self.objects if stamp_ns(m.header.stamp) == stamp), None)

    def reconstruct(self, scene: BoxScene, encoding: str = "16UC1") -> ReconstructedObjectArray:
        """Show until an answer comes: the first images may come before discovery is through."""
        stamps: list[int] = []

        def answered() -> ReconstructedObjectArray | None:
            if not stamps or time.time_ns() - stamps[-1] > 300_000_000:
                stamps.append(self.show(scene, encoding=encoding))
            return next((a for s in stamps if (a := self.answer(s))), None)

        return self.probe.wait(answered, "objects")

    def complaint(self, words: str, provoke: Callable[[], Any] | None = None) -> str:
        """Waits until a diagnostic status carries these words; `provoke` is called again and again."""
        before = len(self.reports)

        def found() -> str | None:
            if provoke:
                provoke()
                time.sleep(0.05)
            for report in self.reports[before:]:
                for status in report.status:
                    text = status.message + " " + " ".join(v.value for v in status.values)
                    if words in text and status.level > b"\x00":
                        return text
            return None

        return self.probe.wait(found, f"a complaint with '{words}'")
