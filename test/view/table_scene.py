"""A table with boxes, a can and a ball, seen by a pinhole camera: rays cast against the true meshes."""

from __future__ import annotations

import numpy as np
import trimesh

from sam3d_ros.perception import frames
from sam3d_ros.types import (
    Camera,
    Fit,
    Mask,
    Mesh,
    Reconstruction,
    RejectCode,
    Rejected,
    Roi,
    UpSource,
)  # fmt: skip
from sam3d_ros.view.page import PageFrame, PageObject, PosedMesh

WIDTH, HEIGHT = 320, 240
CAMERA = Camera(WIDTH, HEIGHT, fx=280.0, fy=280.0, cx=165.0, cy=115.0)
PLACES = {  # name: mesh, x right and y away on the table (m), turn about the vertical, colour
    "red cube": (trimesh.creation.box((0.10, 0.10, 0.10)), -0.17, 0.0, 0.4, (200, 30, 30)),
    "green can": (trimesh.creation.cylinder(0.035, 0.12, sections=48), 0.02, 0.08, 0.0, (40, 160, 60)),
    "blue ball": (trimesh.creation.icosphere(4, 0.05), 0.17, -0.03, 0.0, (40, 80, 210)),
    "yellow book": (trimesh.creation.box((0.16, 0.11, 0.03)), 0.04, -0.13, -0.5, (235, 190, 50)),
}


def table_pose() -> np.ndarray:
    """(4, 4) table frame (z up, x right, y away) to optical: the camera stands 0.45 m high and looks down."""
    eye, target = np.array([0.0, -0.62, 0.45]), np.array([0.0, -0.02, 0.03])
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, (0, 0, 1.0))
    x /= np.linalg.norm(x)
    R_table_cam = np.stack([x, np.cross(z, x), z], axis=1)
    return frames.inverse(frames.transform(R_table_cam, eye))


def table_frame(name: str = "table") -> PageFrame:
    """The frame with picture, pointmap with holes, four objects with truth (2 cm off), one rejected mask."""
    T_cam_table = table_pose()
    placed = []
    for mesh, right, away, turn, color in PLACES.values():
        T_table_obj = trimesh.transformations.rotation_matrix(turn, (0, 0, 1))
        T_table_obj[:3, 3] = right, away, mesh.extents[2] / 2
        placed.append((mesh, T_cam_table @ T_table_obj, color))
    table = trimesh.creation.box((1.2, 0.9, 0.02))
    T_table = T_cam_table @ frames.transform(np.eye(3), np.array([0, 0, -0.01]))
    rgb, points, owner = _look([*placed, (table, T_table, (168, 142, 115))])
    objects = [
        _object(i, label, mesh, T, color, owner == i)
        for i, (label, (mesh, T, color)) in enumerate(zip(PLACES, placed, strict=True))
    ]
    rejected = [Rejected(9, RejectCode.NO_DEPTH, "3 of 812 pixels have depth", "glass")]
    return PageFrame(name, rgb, points, CAMERA, objects, rejected)


def _look(solids: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(H, W, 3) colours and points, (H, W) which solid (-1: none), by rays through the pixel centres."""
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)], -1)
    rays = rays.reshape(-1, 3)
    scene = trimesh.util.concatenate([m.copy().apply_transform(T) for m, T, _ in solids])
    solid_of_face = np.repeat(np.arange(len(solids)), [len(m.faces) for m, _, _ in solids])
    hits, ray, face = scene.ray.intersects_location(np.zeros_like(rays), rays, multiple_hits=False)
    points = np.full((len(rays), 3), np.nan, np.float32)
    points[ray] = hits
    owner = np.full(len(rays), -1)
    owner[ray] = solid_of_face[face]
    light = 0.65 + 0.35 * np.abs(scene.face_normals[face] @ np.array([-0.4, -0.8, -0.45]))
    rgb = np.full((len(rays), 3), 90, np.uint8)
    rgb[ray] = np.array([color for _, _, color in solids])[solid_of_face[face]] * light[:, None]
    points[np.random.default_rng(0).random(len(rays)) < 0.03] = np.nan
    shape = (HEIGHT, WIDTH)
    return rgb.reshape(*shape, 3), points.reshape(*shape, 3), owner.reshape(shape)


def _object(
    i: int, label: str, mesh: trimesh.Trimesh, T: np.ndarray, color: tuple, pixels: np.ndarray
) -> PageObject:
    rows, cols = np.nonzero(pixels)
    roi = Roi(int(cols.min()), int(rows.min()), int(np.ptp(cols)) + 1, int(np.ptp(rows)) + 1)
    ours = Mesh(
        np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32),
        np.tile(np.array(color, np.uint8), (len(mesh.vertices), 1)),
    )  # fmt: skip
    reconstruction = Reconstruction(
        mask=Mask(i + 1, pixels, label), mesh=ours, T_cam_obj=T, size_m=mesh.extents,
        confidence=0.9 - 0.1 * i,
        fit=Fit(0.0021, 0.97, 0.94), method="extrude", metric=True, up_source=UpSource.SUPPORT_PLANE, roi=roi,
        watertight=True, seconds={"views": 0.012, "reconstruct": 0.181, "refine": 0.044},
    )  # fmt: skip
    truth = PosedMesh(ours, T @ frames.transform(np.eye(3), np.array([0.0, 0.02, 0.0])))
    columns = {"Pose error": "20.0 mm", "F1": f"{0.93 - 0.04 * i:.2f}", "Latency": "237 ms"}
    return PageObject(str(i), label, reconstruction, truth, columns)
