"""`make demo`: a synthetic camera and the reconstruction node as two processes, everything between them over DDS.

This third process listens like a robot would, holds what it hears against the ground truth, prints a table, and writes
the meshes, result.json and page.html. It ends by itself; Ctrl-C ends it earlier, and the two processes with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from sensor_msgs.msg import CameraInfo, Image

from sam3d_ros.evaluate.posed import PosedMetrics, posed_metrics
from sam3d_ros.mesh.export import Posed, glb, write_atomic, write_mesh
from sam3d_ros.methods.settings import MODEL
from sam3d_ros.msg import FrameTiming, ObjectMeshArray, ReconstructedObject, ReconstructedObjectArray
from sam3d_ros.node import qos
from sam3d_ros.node.convert import camera_model, depth_array, label_array, rgb_array, stamp_ns
from sam3d_ros.node.publish import mesh_arrays
from sam3d_ros.node.share import shared_memory_environment
from sam3d_ros.perception import frames
from sam3d_ros.perception.pointmap import points_from_depth
from sam3d_ros.types import Fit, Float, Int, Mask, Mesh, Reconstruction, RejectCode, Rejected, Roi, UpSource
from sam3d_ros.view.page import PageFrame, PageObject, PosedMesh, write_page

CAMERA = "synthetic_camera"
NODE = "sam3d"
PARTS = {"rgb", "depth", "mask", "info", "objects", "meshes", "timing", "truth"}


@dataclass(frozen=True)
class Seen:
    """Everything heard about one image, by its stamp."""

    stamp_ns: int
    rgb: Image
    depth: Image
    mask: Image
    info: CameraInfo
    objects: ReconstructedObjectArray
    meshes: Mapping[str, Mesh]
    truth: ReconstructedObjectArray
    age_ms: float
    method: str


@dataclass(frozen=True)
class Score:
    """One object of one image held against the truth. size_error: of the sides of the box along our object's axes,
    relative to the truth's."""

    image: int
    object_id: str
    label: str
    size_m: Float
    size_error: float
    age_ms: float
    metrics: PosedMetrics


class Listener(Node):
    """Subscribes to the camera's and the node's topics and keeps what belongs together by stamp."""

    def __init__(self) -> None:
        super().__init__("demo")
        self._by_stamp: dict[int, dict[str, Any]] = {}
        self.truth_meshes: dict[str, Mesh] = {}
        sub, out = self.create_subscription, qos.output_profile()
        sub(Image, "rgb/image", lambda m: self._keep("rgb", m), out)
        sub(Image, "depth/image", lambda m: self._keep("depth", m), out)
        sub(Image, "mask/image", lambda m: self._keep("mask", m), out)
        sub(CameraInfo, "rgb/camera_info", lambda m: self._keep("info", m), out)
        sub(ReconstructedObjectArray, f"{NODE}/objects", lambda m: self._keep("objects", m), out)
        sub(ObjectMeshArray, f"{NODE}/meshes", lambda m: self._keep("meshes", m), qos.latched_profile())
        sub(FrameTiming, f"{NODE}/timing", lambda m: self._keep("timing", m), out)
        sub(ReconstructedObjectArray, f"{CAMERA}/ground_truth/objects", lambda m: self._keep("truth", m), out)
        sub(ObjectMeshArray, f"{CAMERA}/ground_truth/meshes", self._keep_truth_meshes, qos.latched_profile())

    def complete(self) -> list[int]:
        """Stamps of the images about which everything was heard, oldest first."""
        return sorted(s for s, heard in self._by_stamp.items() if heard.keys() >= PARTS)

    def seen(self, stamp: int) -> Seen:
        heard = self._by_stamp[stamp]
        meshes = {m.id: mesh_arrays(m) for m in heard["meshes"].meshes}
        timing = heard["timing"]
        images = heard["rgb"], heard["depth"], heard["mask"], heard["info"]
        return Seen(
            stamp, *images, heard["objects"], meshes, heard["truth"], float(timing.age_ms), timing.method
        )

    def _keep(self, part: str, message: Any) -> None:
        self._by_stamp.setdefault(stamp_ns(message.header.stamp), {})[part] = message
        # The node skips images while it works; those never become complete.
        waiting = sorted(s for s in self._by_stamp if s not in set(self.complete()))
        for stamp in waiting[:-30]:
            del self._by_stamp[stamp]

    def _keep_truth_meshes(self, message: ObjectMeshArray) -> None:
        self.truth_meshes = {m.id: mesh_arrays(m) for m in message.meshes}


@contextlib.contextmanager
def processes(
    commands: Mapping[str, list[str]], folder: Path, env: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Start, and at the end interrupt and, where that does not help, kill. Output goes to <folder>/<name>.log."""
    running: dict[str, Any] = {}
    try:
        for name, command in commands.items():
            log = (folder / f"{name}.log").open("w")
            running[name] = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=env, start_new_session=True
            )
            log.close()
        yield running
    finally:
        for process in running.values():
            process.send_signal(signal.SIGINT)
        for process in running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def pose_matrix(o: ReconstructedObject) -> Float:
    """(4, 4) of an object's pose."""
    q, p = o.pose.pose.orientation, o.pose.pose.position
    return frames.transform(
        frames.matrix_from_quaternion(np.array([q.x, q.y, q.z, q.w])), np.array([p.x, p.y, p.z])
    )


def size_of(o: ReconstructedObject) -> Float:
    return np.array([o.size.x, o.size.y, o.size.z])


def score(seen: Seen, image: int, truth_meshes: Mapping[str, Mesh]) -> list[Score]:
    """Every object of one image against its truth; they share the mask's label."""
    truths = {t.mask: t for t in seen.truth.objects}
    scores = []
    for o in seen.objects.objects:
        if (truth := truths.get(o.mask)) is None:
            continue
        metrics = posed_metrics(seen.meshes[o.id], pose_matrix(o), truth_meshes[truth.id], pose_matrix(truth))
        # Along our object's axes: those of the truth's model point anywhere.
        T_obj_truth = frames.inverse(pose_matrix(o)) @ pose_matrix(truth)
        real = np.ptp(frames.apply(T_obj_truth, truth_meshes[truth.id].vertices.astype(np.float64)), axis=0)
        error = float(np.linalg.norm(size_of(o) - real) / np.linalg.norm(real))
        scores.append(Score(image, o.id, truth.label, size_of(o), error, seen.age_ms, metrics))
    return scores


def page_frame(seen: Seen, name: str, scores: Sequence[Score], truth_meshes: Mapping[str, Mesh]) -> PageFrame:
    """What the page shows of one image: only what came over DDS."""
    rgb, depth, labels = rgb_array(seen.rgb), depth_array(seen.depth), label_array(seen.mask)
    camera = camera_model(seen.info, rgb.shape[1], rgb.shape[0], rectified=False)
    by_id = {s.object_id: s for s in scores}
    truths = {t.mask: t for t in seen.truth.objects}
    objects = []
    for o in seen.objects.objects:
        truth = truths.get(o.mask)
        posed = PosedMesh(truth_meshes[truth.id], pose_matrix(truth)) if truth else None
        columns = {}
        if s := by_id.get(o.id):
            columns = dict(zip(HEADINGS, cells(s.size_error, s.age_ms, s.metrics), strict=True))
        objects.append(
            PageObject(
                o.id,
                truth.label if truth else o.label,
                reconstruction_of(o, seen.meshes[o.id], labels),
                posed,
                columns,
            )
        )
    rejected = [Rejected(r.mask, RejectCode(r.code), r.reason, r.label) for r in seen.objects.rejected]
    return PageFrame(name, rgb, points_from_depth(depth, camera), camera, objects, rejected)


def reconstruction_of(o: ReconstructedObject, mesh: Mesh, labels: Int) -> Reconstruction:
    """The message back as the pipeline's type; the mask's pixels come from the label image."""
    roi = Roi(o.roi.x_offset, o.roi.y_offset, o.roi.width, o.roi.height)
    up = {0: UpSource.SUPPORT_PLANE, 1: UpSource.GRAVITY}.get(o.up_source, UpSource.CAMERA)
    return Reconstruction(
        mask=Mask(o.mask, labels == o.mask, o.label), mesh=mesh, T_cam_obj=pose_matrix(o), size_m=size_of(o),
        confidence=o.confidence, fit=Fit(o.depth_rmse, o.inlier_ratio, o.mask_iou), method=o.method, metric=o.metric,
        up_source=up, roi=roi, watertight=True, note=o.note,
    )  # fmt: skip


HEADINGS = ("size err.", "centre err.", "F1", "vIoU", "box IoU", "ADD-S", "age")


def cells(size_error: float, age_ms: float, m: PosedMetrics) -> list[str]:
    """The numbers under HEADINGS."""
    centre = f"{1e3 * m.centre_error_m:.1f} mm"
    ratios = [f"{m.f1:.2f}", f"{m.viou:.2f}", f"{m.box_iou:.2f}", f"{m.add_s:.3f}"]
    return [f"{100 * size_error:.0f} %", centre, *ratios, f"{age_ms:.0f} ms"]


def print_table(console: Console, scores: Sequence[Score]) -> None:
    """One row per object of the last image, and the means over all images."""
    last = max(s.image for s in scores)
    table = Table(
        title=f"objects of the last image, and means over {len({s.image for s in scores})} images",
        padding=(0, 0),
    )
    for heading in ("id", "is", "size cm"):
        table.add_column(heading, no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for s in scores:
        if s.image == last:
            size = "x".join(f"{100 * v:.0f}" for v in s.size_m)
            table.add_row(s.object_id, s.label, size, *cells(s.size_error, s.age_ms, s.metrics))
    table.add_section()
    mean = PosedMetrics(
        *(float(np.mean([getattr(s.metrics, f.name) for s in scores])) for f in fields(PosedMetrics))
    )
    size_error, age = (
        float(np.mean([s.size_error for s in scores])),
        float(np.mean([s.age_ms for s in scores])),
    )
    table.add_row("mean", f"of {len(scores)}", "", *cells(size_error, age, mean))
    console.print(table)
    console.print(
        "posed in the camera frame, without alignment; vIoU: solid overlap; F1 at 5 % of the longest half side; "
        "age: from the image's stamp to the published object"
    )


def write_results(
    out: Path, seen: Sequence[Seen], scores: Sequence[Score], truth_meshes: Mapping[str, Mesh]
) -> None:
    """meshes of the last image as GLB and one scene.glb, result.json with every score, page.html."""
    last = seen[-1]
    posed: list[Posed] = []
    # The objects stand on one table: the first one's axes are upright.
    T_up_cam = frames.inverse(pose_matrix(last.objects.objects[0])) if last.objects.objects else np.eye(4)
    for o in last.objects.objects:
        write_mesh(last.meshes[o.id], out / "meshes", o.id, "glb")
        posed.append(Posed(o.id, last.meshes[o.id], T_up_cam @ pose_matrix(o)))
    write_atomic(out / "scene.glb", glb({"scene": posed}))
    rows = [asdict(s) | {"size_m": s.size_m.tolist()} for s in scores]
    (out / "result.json").write_text(json.dumps({"scores": rows}, indent=1))
    pages = [
        page_frame(s, f"view {number + 1}", [x for x in scores if x.image == number], truth_meshes)
        for number, s in enumerate(seen)
    ]
    write_page(
        out / "page.html", "sam3d_ros demo", pages, note="what came over DDS from the reconstruction node"
    )


def run(
    out: Path,
    *,
    seed: int = 7,
    objects: int = 6,
    images: int = 6,
    method: str = "auto",
    model: str = MODEL,
    timeout: float = 90.0,
) -> int:
    """Run the demo; returns the exit code: 0 where objects came and the page is written.

    Args:
        out: folder for the page and the meshes.
        seed: of the scene.
        objects: on the table.
        images: shown on the page.
        method: auto, compact, extrude, hull or mirror; auto is compact where its bundle is found, else extrude.
        model: bundle of the method compact: its name or its folder.
        timeout: seconds until the demo gives up.
    """
    out = out.expanduser().resolve()
    out.mkdir(parents=True, exist_ok=True)
    if os.sep in model:  # the node runs in another folder
        model = str(Path(model).expanduser().resolve())
    console = Console()
    env = dict(os.environ)
    # A domain of its own on this machine only: a demo must not talk to a robot.
    env["ROS_DOMAIN_ID"] = os.environ["ROS_DOMAIN_ID"] = str(random.randint(1, 100))
    env["ROS_AUTOMATIC_DISCOVERY_RANGE"] = os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    profile = shared_memory_environment()
    env.update(profile)
    os.environ.update(profile)

    def command(module: str, *parameters: str) -> list[str]:
        arguments = [a for p in parameters for a in ("-p", p)]
        return [sys.executable, "-m", f"sam3d_ros.node.{module}", "--ros-args", *arguments]

    commands = {
        "camera": command("synthetic_camera", f"seed:={seed}", f"objects:={objects}", "rate:=5.0"),
        "node": command("reconstruction_node", f"method:={method}", f"model:={model}", "gravity_frame:=map"),
    }
    rclpy.init()
    listener = Listener()
    try:
        with processes(commands, out, env) as running:
            seen = _collect(console, listener, running, images, timeout)
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130
    finally:
        listener.destroy_node()
        rclpy.try_shutdown()
    if not any(s.objects.objects for s in seen):
        console.print(
            f"[red]no objects arrived within {timeout:g} s; see {out}/node.log and {out}/camera.log"
        )
        return 1
    with console.status("comparing with the ground truth ..."):
        scores = [s for number, look in enumerate(seen) for s in score(look, number, listener.truth_meshes)]
        write_results(out, seen, scores, listener.truth_meshes)
    print_table(console, scores)
    by = Counter(o.method for look in seen for o in look.objects.objects)
    made = ", ".join(f"{count} by {name}" for name, count in by.most_common())
    console.print(f"method {seen[-1].method}: objects of all images {made}", highlight=False)
    console.print(f"meshes: {out}/meshes  scene: {out}/scene.glb\npage:   file://{out}/page.html")
    return 0


def _collect(
    console: Console, listener: Listener, running: Mapping[str, Any], images: int, timeout: float
) -> list[Seen]:
    """Spin until `images` complete images came, a process died, or time is out; images spread over the camera's way."""
    until = time.monotonic() + timeout
    apart_ns, taken = 600_000_000, list[int]()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} images"),
        console=console,
    )
    with bar:
        task = bar.add_task("camera renders, node starts ...", total=images)
        while len(taken) < images and time.monotonic() < until:
            rclpy.spin_once(listener, timeout_sec=0.1)
            if dead := [name for name, process in running.items() if process.poll() is not None]:
                console.print(f"[red]the {dead[0]} process ended with code {running[dead[0]].returncode}")
                break
            if not listener.truth_meshes:
                continue
            for stamp in listener.complete():
                if not taken or stamp - taken[-1] >= apart_ns:
                    taken.append(stamp)
                    bar.update(task, completed=len(taken), description="frames over DDS ...")
    return [listener.seen(stamp) for stamp in taken[:images]]
