"""Procedural household objects: watertight solids in real sizes with colours, one per (category, rng).

    model = make_object("mug", np.random.default_rng(7))

The designs are constructive solid geometry (`containers.py`, `kitchen.py`,
`things.py`, `belongings.py`, `figures.py`; wider families: `forms.py`, `gear.py`,
`tools.py`, `creatures.py`, `hardware.py`, `wear.py`, `wares.py`, `implements.py`); here
they become meshes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from manifold3d import Error, Manifold  # type: ignore[import-not-found]
from manifold3d import Mesh as ManifoldMesh

from sam3d_ros.data import (
    belongings,
    containers,
    creatures,
    figures,
    forms,
    gear,
    hardware,
    implements,
    kitchen,
    things,
    tools,
    wares,
    wear,
)
from sam3d_ros.data import textures as tx
from sam3d_ros.data.normals import corner_normals
from sam3d_ros.data.solids import Design, Symmetry
from sam3d_ros.types import Float, InputError, Mesh

_AROUND = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3)
FACES = 6000
"""Aimed at per object: at 0.1 m2 of surface an edge of about 6 mm carries the texture."""
MOST_FACES = 8000


@dataclass(frozen=True)
class ObjectModel:
    """One object. mesh: watertight, metres, z up, the origin in the middle of its bounding box, coloured
    vertices.

    symmetry: what leaves the shape as it is. gloss: 0 matt to 1 mirror-like, for renderer and depth sensor.
    name: of this one object within its source. licence: under which its shape may be used, and whose it is.
    """

    category: str
    mesh: Mesh
    symmetry: Symmetry
    gloss: float = 0.1
    name: str = ""
    licence: str = ""

    @property
    def size_m(self) -> Float:
        """(3,) extents along x, y, z."""
        extents: Float = np.ptp(self.mesh.vertices.astype(np.float64), axis=0)
        return extents

    @cached_property
    def radius_m(self) -> float:
        """Of the sphere around the origin that holds the object."""
        return float(np.linalg.norm(self.mesh.vertices.astype(np.float64), axis=1).max())

    @cached_property
    def corner_normals(self) -> Float:
        """(F, 3, 3) float32 unit normals at the corners of the faces, object frame; computed once."""
        return corner_normals(self.mesh.vertices.astype(np.float64), self.mesh.faces)


_THINGS: Mapping[str, Callable[[np.random.Generator], Design]] = {
    "mug": containers.mug,
    "bowl": containers.bowl,
    "plate": containers.plate,
    "bottle": containers.bottle,
    "can": containers.can,
    "jar": containers.jar,
    "box": containers.box,
    "carton": containers.carton,
    "banana": things.banana,
    "apple": things.apple,
    "hammer": things.hammer,
    "pan": things.pan,
    "spoon": things.spoon,
    "blocks": things.blocks,
    "car": things.car,
    "brush": things.brush,
    "fork": kitchen.fork,
    "knife": kitchen.knife,
    "teapot": kitchen.teapot,
    "pot": kitchen.pot,
    "screw_jar": kitchen.screw_jar,
    "goblet": kitchen.goblet,
    "shoe": belongings.shoe,
    "book": belongings.book,
    "remote": belongings.remote,
    "scissors": belongings.scissors,
    "basket": belongings.basket,
    "bolt": belongings.bolt,
    "phone_stand": belongings.phone_stand,
    "animal": figures.animal,
    "stacker": figures.stacker,
    "stone": figures.stone,
    "pepper": figures.pepper,
}
_FORMS: Mapping[str, Callable[[np.random.Generator], Design]] = {
    "turned_form": forms.turned_form,
    "prism": forms.prism,
    "assembly": forms.assembly,
    "tray": forms.tray,
    "ring": forms.ring,
    "fruit": forms.fruit,
    "pouch": gear.pouch,
    "squeeze_tube": gear.squeeze_tube,
    "pack": gear.pack,
    "power_tool": gear.power_tool,
    "hand_tool": tools.hand_tool,
    "device": gear.device,
    "doll": gear.doll,
    "plant": gear.plant,
    "carrier": gear.carrier,
    "creature": creatures.creature,
    "flyer": creatures.flyer,
    "bent_bar": hardware.bent_bar,
    "headset": wear.headset,
    "brick": hardware.brick,
    "footwear": wear.footwear,
    "cushion": wear.cushion,
    "pourer": wares.pourer,
    "sprayer": wares.sprayer,
    "lattice": wares.lattice,
    "broad_head": implements.broad_head,
    "wedge": implements.wedge,
}
DESIGNS = {**_THINGS, **_FORMS}
CATEGORIES: tuple[str, ...] = tuple(_THINGS)
"""Things with a name: what the standard sets, splits and baselines draw from, so it stays as it is."""
FORMS: tuple[str, ...] = tuple(_FORMS)
"""Wider families, without one shape that is typical of them: what only training draws beside the categories."""
SLIVERS = 0.001
"""Share of a design's volume that may fall off as slivers."""
TABLETOP: tuple[str, ...] = CATEGORIES[:16]
"""What scenes draw from unless told otherwise: fixed, so that a seed keeps its scene as designs are added."""


def make_object(category: str, rng: np.random.Generator) -> ObjectModel:
    """One object of a category (one of CATEGORIES or FORMS), the same for the same state of rng.

    Raises InputError for an unknown category.
    """
    if category not in DESIGNS:
        raise InputError(f"no category {category!r}; there are {', '.join(CATEGORIES)}")
    design = DESIGNS[category](rng)
    if design.solid.status() != Error.NoError or design.solid.is_empty():
        raise RuntimeError(f"a design gave no valid solid: {design.solid.status()}")
    solid, edge = refined(_whole(design.solid))
    return ObjectModel(category, _painted(solid, edge, design.texture), design.symmetry, design.gloss)


def _whole(solid: Manifold) -> Manifold:
    """The solid, without the slivers that rounding may cut off where two of its sides nearly coincide."""
    parts = solid.decompose()
    if len(parts) == 1:
        return solid
    largest = max(parts, key=Manifold.volume)
    if largest.volume() < (1 - SLIVERS) * solid.volume():
        raise RuntimeError(f"a design fell into {len(parts)} parts")
    return largest


def dress(model: ObjectModel, rng: np.random.Generator) -> ObjectModel:
    """The same shape cut into about FACES triangles and painted anew with a random texture and gloss.

    Raises InputError where the mesh is not closed.
    """
    # manifold3d takes neither read-only nor strided arrays.
    vertices, faces = np.array(model.mesh.vertices, np.float32), np.array(model.mesh.faces, np.uint32)
    solid = Manifold(ManifoldMesh(vertices, faces))
    if solid.status() != Error.NoError or solid.is_empty():
        raise InputError(f"{model.name or model.category} is not a closed mesh: {solid.status()}")
    solid, edge = refined(solid)
    mesh = _painted(solid, edge, tx.any_texture(rng, float(model.size_m.max())))
    return replace(model, mesh=mesh, gloss=float(rng.choice([0.05, 0.2, 0.5])))


def refined(solid: Manifold) -> tuple[Manifold, float]:
    """The solid cut into about FACES even triangles, MOST_FACES at most where the shape allows, and their edge
    in m."""
    for tolerance in (1e-5, 5e-5, 1e-4, 2e-4):
        solid = solid.simplify(tolerance)
        if solid.num_tri() > 0.7 * MOST_FACES and tolerance < 2e-4:
            continue
        # An equilateral triangle of edge a has the area 0.433 a^2.
        edge = float(np.sqrt(solid.surface_area() / (0.433 * FACES)))
        for _ in range(12):
            fine = solid.refine_to_length(edge)
            if fine.num_tri() < MOST_FACES:
                return fine, edge
            edge *= 1.15
    return solid, edge


def centred(vertices: Float) -> Float:
    """(V, 3) float32 with the middle of their box at the origin."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    around_zero: Float = (vertices - (low + high) / 2).astype(np.float32)
    return around_zero


def _painted(solid: Manifold, edge: float, texture: tx.Texture) -> Mesh:
    """The mesh of a solid around its middle, each vertex with the texture's mean around it, as wide as its
    triangles: sharp prints would look torn."""
    raw = solid.to_mesh()
    vertices = np.asarray(raw.vert_properties, np.float64)[:, :3]
    around = vertices[:, None] + 0.35 * edge * _AROUND
    painted = texture(around.reshape(-1, 3)).reshape(*around.shape).mean(axis=1)
    colors = np.clip(np.rint(painted * 255), 0, 255).astype(np.uint8)
    return Mesh(centred(vertices), np.asarray(raw.tri_verts, np.int32), colors)
