"""Scans of ten real things of the YCB set, in the colours of their photographs, as RoboHive's YCB_sim carries them.

Scanned by Calli et al. (2017); 16,384 faces each, in metres, z up as the thing stood on the turntable. Evaluation shows
them, training does not (`held_out.py`).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals

from sam3d_ros.data.objects import ObjectModel
from sam3d_ros.data.solids import UNKNOWN
from sam3d_ros.data.sources.raw import raw_of
from sam3d_ros.data.sources.solidify import clean
from sam3d_ros.data.sources.source import Unusable
from sam3d_ros.data.sources.wheel import WheelSource, read
from sam3d_ros.types import Float, Int

NAME = "ycb_sim"
FOLDER = "mj_envs/sims/YCB_sim"
LICENCE = "Apache-2.0, from YCB_sim in RoboHive; the scans CC BY 4.0, YCB Object and Model Set"
NAMES = (
    "002_master_chef_can", "003_cracker_box", "004_sugar_box", "005_tomato_soup_can", "006_mustard_bottle",
    "007_tuna_fish_can", "008_pudding_box", "009_gelatin_box", "010_potted_meat_can", "035_power_drill",
)  # fmt: skip


def ycb_sim(wheel: Path) -> WheelSource:
    """wheel: one of RoboHive that has the objects."""
    return WheelSource(wheel, NAME, NAMES, _load)


def _load(wheel: Path, name: str) -> ObjectModel:
    scan = read_msh(read(wheel, f"{FOLDER}/meshes/{name}.msh"))
    try:
        image = Image.open(io.BytesIO(read(wheel, f"{FOLDER}/textures/{name}.png"))).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unusable(f"the picture of {name}: {error}") from None
    # trimesh counts v upwards.
    visual = TextureVisuals(scan.uv * (1, -1) + (0, 1), image=image)  # type: ignore[no-untyped-call]
    mesh, _ = clean(raw_of([trimesh.Trimesh(scan.vertices, scan.faces, visual=visual, process=False)]))
    return ObjectModel(name, mesh, UNKNOWN, 0.2, name, LICENCE)


@dataclass(frozen=True)
class Scan:
    """vertices: (V, 3) float32. faces: (F, 3) int32. uv: (V, 2) float32, of each vertex in the picture, v downwards."""

    vertices: Float
    faces: Int
    uv: Float


def read_msh(data: bytes) -> Scan:
    """MuJoCo's own mesh file: four int32 counts (vertices, normals, places in the picture, faces), then as many
    triples, triples and pairs of float32 and triples of int32 (MuJoCo, XML reference, mesh). Raises Unusable where
    the counts and the length disagree, vertices have no place in the picture or faces name vertices that do not exist.
    """
    counts = np.frombuffer(data[:16], "<i4") if len(data) >= 16 else np.zeros(4, np.int32)
    words = np.array([3, 3, 2, 3]) * counts.astype(np.int64)
    if (counts < 0).any() or len(data) != 16 + 4 * words.sum():
        raise Unusable(f"not a readable msh file: {len(data)} bytes, counts {counts.tolist()}")
    vertices, _, uv, faces = np.split(np.frombuffer(data, "<f4", offset=16), np.cumsum(words)[:3])
    scan = Scan(vertices.reshape(-1, 3), faces.view("<i4").reshape(-1, 3), uv.reshape(-1, 2))
    if len(scan.uv) != len(scan.vertices):
        raise Unusable(f"{len(scan.vertices)} vertices, {len(scan.uv)} places in the picture")
    if len(scan.faces) and not (scan.faces.min() >= 0 and scan.faces.max() < len(scan.vertices)):
        raise Unusable("faces name vertices that do not exist")
    return scan
