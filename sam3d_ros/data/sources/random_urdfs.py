"""The thousand random objects of pybullet_data: compounds of convex bodies that touch, 5 to 15 cm.

Objects 900 to 999 are the usual test part.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from manifold3d import Error, Manifold, OpType  # type: ignore[import-not-found]

from sam3d_ros.data.objects import ObjectModel, centred
from sam3d_ros.data.solids import MIRROR_ONLY
from sam3d_ros.data.sources.source import Unusable
from sam3d_ros.data.sources.wheel import WheelSource, read
from sam3d_ros.types import Float, Mesh

NAME = "random_urdfs"
FOLDER = f"pybullet_data/{NAME}"
CATEGORY = "random_urdf"
LICENCE = "zlib, from pybullet_data"
COUNT = 1000
GROWTH = 0.005
"""Bodies meet face to face and would fall apart by rounding: each grows by this share about its middle, 0.2 mm."""


def random_urdfs(wheel: Path) -> WheelSource:
    """wheel: any pybullet wheel. Each mesh is the union of its bodies, in one colour."""
    return WheelSource(wheel, NAME, [urdf_name(number) for number in range(COUNT)], _load)


def _load(wheel: Path, name: str) -> ObjectModel:
    urdf = ElementTree.fromstring(read(wheel, f"{FOLDER}/{name}/{name}.urdf"))
    shape, paint = urdf.find("./link/visual/geometry/mesh"), urdf.find("./link/visual/material/color")
    if shape is None or paint is None:
        raise Unusable(f"{name}.urdf has no visual mesh with a colour")
    scale = np.array([float(s) for s in shape.get("scale", "1 1 1").split()])
    bodies = obj_bodies(read(wheel, f"{FOLDER}/{name}/{name}.obj").decode())
    # Each body is convex, so its hull is itself, closed.
    solids = [Manifold.hull_points(_grown(body * scale)) for body in bodies if len(body) >= 4]
    solid = Manifold.batch_boolean(solids, OpType.Add)
    if solid.status() != Error.NoError or solid.volume() <= 0:
        raise Unusable("the union of its bodies is empty")
    parts = sorted(solid.decompose(), key=lambda part: -part.volume())
    if parts[0].volume() < 0.99 * solid.volume():
        raise Unusable("its bodies do not hang together")
    raw = parts[0].simplify(1e-5).to_mesh()
    vertices = centred(np.asarray(raw.vert_properties, np.float64)[:, :3])
    rgb = [float(c) for c in paint.get("rgba", "0.7 0.7 0.7 1").split()[:3]]
    colors = np.tile(np.rint(np.clip(rgb, 0, 1) * np.float64(255)).astype(np.uint8), (len(vertices), 1))
    mesh = Mesh(vertices, np.asarray(raw.tri_verts, np.int32), colors)
    return ObjectModel(CATEGORY, mesh, MIRROR_ONLY, 0.2, name, LICENCE)


def urdf_name(number: int) -> str:
    """The name of an object and of its folder: 007."""
    return f"{number:03d}"


def _grown(body: Float) -> Float:
    middle = body.mean(axis=0)
    grown: Float = middle + (1 + GROWTH) * (body - middle)
    return grown


def obj_bodies(text: str) -> list[Float]:
    """Vertices (V, 3) of each object ("o" line) of an OBJ file."""
    bodies: list[list[list[float]]] = [[]]
    for line in text.splitlines():
        if line.startswith("o "):
            bodies.append([])
        elif line.startswith("v "):
            bodies[-1].append([float(x) for x in line.split()[1:4]])
    return [np.array(body) for body in bodies if body]
