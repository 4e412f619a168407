"""From any set of triangles to a watertight solid.

Parts that are closed are united (manifold3d). Everything else goes through a grid of 128^3: what cannot be reached
from outside is inside, and every surface becomes at least 1.5 cells thick, so that open vessels and single sheets
keep their walls (the unsigned distance is cut at 0.75 cells).
"""

from __future__ import annotations

import numpy as np
from manifold3d import Error, Manifold, OpType  # type: ignore[import-not-found]
from manifold3d import Mesh as ManifoldMesh
from scipy import ndimage  # type: ignore[import-untyped]
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from sam3d_ros.data.objects import centred, refined
from sam3d_ros.data.sources.raw import Raw
from sam3d_ros.data.sources.rules import MIN_VOLUME, why_not
from sam3d_ros.data.sources.source import Unusable
from sam3d_ros.mesh.check import is_watertight, volume
from sam3d_ros.mesh.simplify import simplify
from sam3d_ros.mesh.surface import Grid, surface
from sam3d_ros.types import Bool, Float, Mesh

RESOLUTION = 128
WALL = 0.75
"""Cells on either side of a surface."""
COARSE = (5000, 10_000, 20_000)
"""Faces before refinement to even triangles: the first number that keeps the walls."""


def clean(raw: Raw) -> tuple[Mesh, str]:
    """A closed mesh in metres, coloured, around its middle; and how it was closed: "united" or "filled".

    Raises Unusable where a rule of the filter is broken or nothing closed comes out.
    """
    reason = why_not(raw.vertices, raw.faces, raw.points)
    if reason:
        raise Unusable(reason)
    solid, how = unite(raw), "united"
    if solid is None:
        solid, how = _as_manifold(fill(raw)), "filled"
    longest = float(np.ptp(raw.points, axis=0).max())
    if solid is None or solid.volume() < MIN_VOLUME * longest**3:
        raise Unusable("no closed solid of a volume that counts")
    solid, _ = refined(solid)
    return colored(solid, raw), how


def unite(raw: Raw) -> Manifold | None:
    """The union of the parts where every part is closed and the right way round, else None."""
    # Files repeat vertices along seams of the texture: equal positions are one vertex.
    scale = float(np.ptp(raw.vertices, axis=0).max()) * 1e-6
    _, first, same = np.unique(np.round(raw.vertices / scale), axis=0, return_index=True, return_inverse=True)
    faces = same.reshape(-1)[raw.faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    solid = _as_manifold(Mesh(raw.vertices[first].astype(np.float32), faces.astype(np.int32)))
    if solid is None:
        return None
    parts = solid.decompose()
    if any(part.volume() <= 0 for part in parts):
        return None
    united = Manifold.batch_boolean(parts, OpType.Add)
    return united if united.status() == Error.NoError and united.volume() > 0 else None


def fill(raw: Raw, resolution: int = RESOLUTION) -> Mesh:
    """The closed surface around all that cannot be reached from outside, with walls of 2 WALL cells; scaled
    back to the box of what was read. Raises Unusable where the surface comes out empty."""
    low, high = raw.points.min(axis=0), raw.points.max(axis=0)
    cell = float((high - low).max()) / (resolution - 8)
    counts = np.ceil((high - low) / cell).astype(int) + 8
    origin = (low + high) / 2 - cell * (counts - 1) / 2
    shape = (int(counts[0]), int(counts[1]), int(counts[2]))
    shell = np.zeros(shape, bool)
    shell[tuple(np.rint((raw.points - origin) / cell).astype(int).T)] = True
    near = ndimage.binary_dilation(shell, iterations=2)
    distance = np.full(shape, 3.0, np.float32)
    cells = np.argwhere(near)
    distance[near] = _distance(origin + cell * cells, raw, cell) / cell
    field = np.where(enclosed(shell), distance, -distance) + np.float32(WALL)
    mesh = surface(field, Grid(origin, np.full(3, cell), shape))
    solid = mesh.vertices.astype(np.float64)
    now_low, now_high = solid.min(axis=0), solid.max(axis=0)
    # The walls made everything 1.5 cells larger; a sheet has to keep its thickness.
    shrink = np.where(high - low > 8 * cell, (high - low) / (now_high - now_low), 1.0)
    middle = (now_low + now_high) / 2
    mesh = Mesh(((solid - middle) * shrink + middle).astype(np.float32), mesh.faces)
    return _coarse(mesh, cell)


def _distance(points: Float, raw: Raw, cell: float) -> Float:
    """(N,) from points (N, 3) to the surface: to the plane of the nearest sample's face, as long as the foot lies
    within half a cell of the sample. Distances to the samples themselves would make every wall bumpy."""
    nearest = cKDTree(raw.points).query(points, workers=1)[1]
    corners = raw.vertices[raw.faces[raw.face_of[nearest]]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    offset = points - raw.points[nearest]
    height = np.einsum("ij,ij->i", offset, normal)
    aside = np.linalg.norm(offset - height[:, None] * normal, axis=1)
    distance: Float = np.hypot(height, np.maximum(aside - cell / 2, 0))
    return distance


def _coarse(mesh: Mesh, cell: float) -> Mesh:
    """Fewer faces, as long as the mesh stays closed and thin walls do not melt: the volume keeps to 5 %."""
    before = volume(mesh)
    for faces in COARSE:
        fewer, reached = simplify(mesh, faces)
        if reached and is_watertight(fewer) and abs(volume(fewer) / before - 1) < 0.05:
            return fewer
    solid = _as_manifold(mesh)
    if solid is None:
        raise Unusable("the filled grid has no closed surface")
    raw = solid.simplify(cell / 4).to_mesh()
    return Mesh(np.asarray(raw.vert_properties, np.float32)[:, :3], np.asarray(raw.tri_verts, np.int32))


def enclosed(shell: Bool) -> Bool:
    """Cells that no way from the corner reaches without crossing the shell, gaps of two cells being closed."""
    blocked = ndimage.binary_dilation(shell)
    regions, _ = ndimage.label(~blocked)
    outside = regions == regions[0, 0, 0]
    outside = ndimage.binary_dilation(outside, iterations=1) & ~shell
    inside: Bool = ~outside & ~shell
    return inside


def colored(solid: Manifold, raw: Raw) -> Mesh:
    """The solid's mesh around its middle; each vertex has the mean colour of the four nearest points read."""
    raw_mesh = solid.to_mesh()
    vertices: Float = np.asarray(raw_mesh.vert_properties, np.float64)[:, :3]
    nearest = cKDTree(raw.points).query(vertices, k=4, workers=1)[1]
    colors = np.rint(raw.colors[nearest].mean(axis=1)).astype(np.uint8)
    return Mesh(centred(vertices), np.asarray(raw_mesh.tri_verts, np.int32), colors)


def _as_manifold(mesh: Mesh) -> Manifold | None:
    # manifold3d takes neither read-only nor strided arrays.
    vertices, faces = (
        np.array(mesh.vertices, np.float32, order="C"),
        np.array(mesh.faces, np.uint32, order="C"),
    )
    solid = Manifold(ManifoldMesh(vertices, faces))
    if solid.status() != Error.NoError or solid.is_empty() or solid.volume() <= 0:
        return None
    return solid
