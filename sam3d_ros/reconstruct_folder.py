"""`sam3d reconstruct`: every mask of a scene in the BOP layout becomes files and one result.json.

OUT/result.json              what was found and what was rejected, see `entry`
OUT/scene.glb                all objects where they are; one glTF scene per image, the first is shown
OUT/objects/IMAGE_MASK.glb   and .ply: one object in its own frame, metres
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sam3d_ros.data.bop import BopImage, list_images, read_image
from sam3d_ros.mesh.export import Posed, glb, write_atomic, write_mesh
from sam3d_ros.methods.settings import Settings
from sam3d_ros.perception.frames import (
    inverse,
    matrix_from_quaternion,
    quaternion_from_matrix,
    transform,
    view_frame,
)
from sam3d_ros.perception.pointmap import points_from_depth
from sam3d_ros.pipeline import Reconstructor
from sam3d_ros.types import Cancelled, Float, Frame, InputError, Mesh, Reconstruction, Rejected

STOPPED = 130  # what a shell expects of a command that Ctrl-C ended


def run(bop: Path, scene: str, out: Path, image: int | None = None, settings: Settings | None = None) -> int:
    """Reconstruct and write; returns the exit code: 0, 1 where images could not be read, 2 for arguments
    that make no sense, 130 after Ctrl-C. What is on disk is complete at any time, and result.json says
    what is there."""
    console = Console(stderr=True)
    try:
        images = chosen_images(bop, scene, image)
        reconstructor = Reconstructor(settings)
        out.mkdir(parents=True, exist_ok=True)
        batch = Batch(out)
        batch.save()
    except (InputError, OSError) as error:
        print(f"sam3d reconstruct: {error}", file=sys.stderr)
        return 2
    console.print(
        f"method {reconstructor.chosen.method}: {reconstructor.chosen.reason}", highlight=False, markup=False
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with stop_on_interrupt() as stop, Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"scene {scene}", total=len(images))
        for number in images:

            def show(stage: str, mask: int, _: float, number: int = number) -> None:
                progress.update(task, description=f"image {number}, mask {mask}: {stage}")

            try:
                picture = read_image(bop, scene, number)
                frame = Frame(picture.rgb, points_from_depth(picture.depth_m, picture.camera), picture.camera)
                results = reconstructor.reconstruct(frame, picture.masks, cancel=stop.is_set, progress=show)
                batch.add(number, picture, results)
            except Cancelled:
                break
            except InputError as error:
                batch.failed.append({"image": number, "reason": str(error)})
            except OSError as error:  # no space, no permission: nothing more can be written
                print(f"sam3d reconstruct: {error}", file=sys.stderr)
                return 2
            batch.save()
            progress.advance(task)
    batch.save()
    report(batch, console, stop.is_set())
    if stop.is_set():
        return STOPPED
    return 1 if batch.failed else 0


def chosen_images(bop: Path, scene: str, image: int | None) -> list[int]:
    """The images to do. Raises InputError where folder, scene or image are not there."""
    if not bop.is_dir():
        raise InputError(f"{bop} is not a folder")
    images = list_images(bop, scene)
    if image is None:
        return images
    if image not in images:
        raise InputError(f"scene {scene} has no image {image}, but {', '.join(map(str, images[:10]))}")
    return [image]


class Batch:
    """What was done so far, and the files of it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.objects: list[dict[str, Any]] = []
        self.rejected: list[dict[str, Any]] = []
        self.failed: list[dict[str, Any]] = []
        self.scenes: dict[str, list[Posed]] = {}

    def add(self, number: int, picture: BopImage, results: Sequence[Reconstruction | Rejected]) -> None:
        """Write the meshes of one image and remember its entries."""
        scene = self.scenes.setdefault(f"image_{number:06d}", [])
        for result in results:
            if isinstance(result, Rejected):
                self.rejected.append(
                    {"image": number, "mask": result.mask_index, "label": result.label}
                    | {"code": result.code.name, "reason": result.reason}
                )
                continue
            name = f"{number:06d}_{result.mask.index:06d}"
            write_mesh(result.mesh, self.out / "objects", name, "glb")
            path = write_mesh(result.mesh, self.out / "objects", name, "ply")
            nominal = picture.nominal_sizes_m.get(result.mask.index)
            self.objects.append(entry(number, name, str(path.relative_to(self.out)), result, nominal))
            scene.append(Posed(name, result.mesh, upright(result) @ result.T_cam_obj))

    def save(self) -> None:
        """Write result.json and scene.glb as a whole."""
        document = {"objects": self.objects, "rejected": self.rejected}
        if self.failed:
            document["failed_images"] = self.failed
        write_atomic(self.out / "scene.glb", glb(self.scenes or {"empty": []}))
        write_atomic(self.out / "result.json", json.dumps(document, indent=1, allow_nan=False).encode())


def entry(
    image: int, name: str, mesh: str, result: Reconstruction, nominal_m: Float | None
) -> dict[str, Any]:
    """One object of result.json.

    image, mask (value in the label image, from 1), id, label; mesh: PLY file, vertices in the object
    frame, metres (the GLB beside it is y up, as glTF asks); T_cam_obj: 4x4, object to optical frame, with
    position_m and quaternion_xyzw; size_m along the object's axes; footprint_size_m: the smallest upright
    box, short side, long side, height. Where the scene gives a nominal size: nominal_size_m and size_ratio,
    both boxes sorted by length. method: which one made it; note: why not the one that was asked for.
    """
    T = result.T_cam_obj
    extents = upright_box(result.mesh)
    found: dict[str, Any] = {
        "image": image,
        "mask": result.mask.index,
        "id": name,
        "label": result.mask.label,
        "mesh": mesh,
        "T_cam_obj": T.tolist(),
        "position_m": T[:3, 3].tolist(),
        "quaternion_xyzw": quaternion_from_matrix(T[:3, :3]).tolist(),
        "size_m": result.size_m.tolist(),
        "footprint_size_m": extents.tolist(),
        "confidence": result.confidence,
        "method": result.method,
        "note": result.note,
        "metric": result.metric,
        "up_source": result.up_source.value,
        "watertight": result.watertight,
        "fit": {
            "depth_rmse_m": result.fit.depth_rmse,
            "inlier_ratio": result.fit.inlier_ratio,
            "mask_iou": result.fit.mask_iou,
        },
        "seconds": dict(result.seconds),
    }
    if nominal_m is not None:
        found["nominal_size_m"] = np.asarray(nominal_m).tolist()
        found["size_ratio"] = (np.sort(extents) / np.sort(nominal_m)).tolist()
    return found


def upright_box(mesh: Mesh) -> Float:
    """(3,) m: short side, long side and height of the smallest box with vertical sides around the mesh."""
    (_, sides, _) = cv2.minAreaRect(np.ascontiguousarray(mesh.vertices[:, :2], np.float32))
    return np.array([*sorted(sides), float(np.ptp(mesh.vertices[:, 2]))])


def upright(result: Reconstruction) -> Float:
    """(4, 4) optical frame to a z-up world with the camera in its origin, looking along y, as viewers like
    it.
    """
    T_cam_level = view_frame(result.T_cam_obj[:3, 2], np.array([0.0, 0.0, 1.0]))
    T_cam_level[:3, 3] = 0
    quarter_turn = matrix_from_quaternion(np.array([0, 0, 1, 1]))
    return transform(quarter_turn, np.zeros(3)) @ inverse(T_cam_level)


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; a second one ends the program as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)


def report(batch: Batch, console: Console, stopped: bool) -> None:
    """A few lines for people, on stderr."""
    for item in batch.objects:
        size = " x ".join(f"{100 * s:.1f}" for s in item["footprint_size_m"])
        note = f"; {item['note']}" if item["note"] else ""
        text = f"{item['id']} {item['label']}: {size} cm, confidence {item['confidence']:.2f}{note}"
        console.print(text, highlight=False, markup=False)
    for item in batch.rejected:
        console.print(f"{item['image']:06d} mask {item['mask']} {item['label']}: rejected, {item['reason']}")
    for item in batch.failed:
        console.print(f"image {item['image']}: {item['reason']}", style="red", markup=False)
    state = "stopped; " if stopped else ""
    console.print(
        f"{state}{len(batch.objects)} objects, {len(batch.rejected)} rejected: {batch.out / 'result.json'}"
    )
