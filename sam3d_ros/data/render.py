"""A ray-traced picture of a scene with all that a perfect sensor would know: colour, depth, labels, normals,
albedo, shadow.

Runs anywhere: Embree traces the rays on the CPU, no display and no OpenGL. Cost per picture of H x W pixels:
H W rays for what is seen, as many for the shadow of what faces the light, and four more (with their shadows)
for each pixel on an edge, which a tenth of the pixels of a cluttered table are.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from embreex.mesh_construction import TriangleMesh  # type: ignore[import-untyped]
from embreex.rtcore_scene import EmbreeScene  # type: ignore[import-untyped]

from sam3d_ros.data.rays import box_corners, pixel_rays, quad_colors, ray_starts, window_of
from sam3d_ros.data.scene import Light, Scene, world_vertices
from sam3d_ros.data.srgb import linear_from_srgb, srgb_from_linear
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.types import Bool, Camera, Float, InputError, Int, UInt8

SHADOW_BIAS = 2e-4
"""m; how far above a surface its shadow ray starts, well above the float32 error at a few metres."""
SUBPIXELS = np.array([[-0.375, -0.125], [0.125, -0.375], [0.375, 0.125], [-0.125, 0.375]], np.float32)
"""Rotated grid: four points with four different rows and columns, pixels."""


@dataclass(frozen=True)
class Rendered:
    """A picture and its truth.

    rgb: (H, W, 3) uint8 sRGB. depth_m: (H, W) float32 along the optical axis, NaN where nothing is. labels:
    (H, W) uint16, 0 for the room. normals_cam: (H, W, 3) float32 unit vectors towards the camera, 0 where
    nothing is. glare: (H, W) float32, linear strength of the light's mirror image in glossy surfaces, 0
    almost everywhere. albedo: (H, W, 3) uint8 sRGB, the surface's own colour, black where nothing is: what
    ambient light alone shows, the target for texture without light and shade (paper section on lighting).
    lit: (H, W) bool, whether the light reaches the pixel: faces it and is not in shadow.
    """

    rgb: UInt8
    depth_m: Float
    labels: Int
    normals_cam: Float
    glare: Float
    albedo: UInt8
    lit: Bool


@dataclass(frozen=True)
class Met:
    """Where N rays from `start` (3,) met something: their directions (N, 3) in the world, the triangle (N,), the place
    u, v (N,) in it as Embree gives it, and the distance (N,) in units of the direction. float32 and int32."""

    start: Float
    directions: Float
    face: Int
    u: Float
    v: Float
    distance: Float


@dataclass(frozen=True)
class Outlines:
    """A picture without colours: depth_m and labels as in `Rendered`, the camera and its pose T_world_cam (4, 4), and
    what its pixels met that show something, row by row."""

    depth_m: Float
    labels: Int
    camera: Camera
    T_world_cam: Float
    met: Met


@dataclass(frozen=True)
class _Surface:
    """What is at N points: normal in the world towards the ray, linear colour under the light, the part of it that is
    mirrored light, linear colour of the surface, and whether the light reaches it."""

    normal: Float
    color: Float
    glare: Float
    albedo: Float
    lit: Bool


class Renderer(Protocol):
    """What makes pictures of one scene: SceneRenderer here, or GlSceneRenderer in render_gl.py."""

    def render(self, camera: Camera, T_world_cam: Float, antialias: bool = True) -> Rendered: ...

    def silhouettes(self, camera: Camera, T_world_cam: Float) -> dict[int, Bool]: ...


def make_renderer(scene: Scene, backend: Literal["embree", "gl", "auto"] = "embree") -> Renderer:
    """A renderer for many pictures of a scene. "auto" takes OpenGL where it works, and Embree otherwise.

    Raises InputError where "gl" is asked for and does not work here.
    """
    if backend == "embree":
        return SceneRenderer(scene)
    from sam3d_ros.data.render_gl import GlSceneRenderer, why_unavailable

    reason = why_unavailable()
    if reason is None:
        return GlSceneRenderer(scene)
    if backend == "gl":
        raise InputError(f"OpenGL does not work here: {reason}")
    return SceneRenderer(scene)


def render(
    scene: Scene,
    camera: Camera,
    T_world_cam: Float,
    antialias: bool = True,
    backend: Literal["embree", "gl", "auto"] = "embree",
) -> Rendered:
    """One picture. For many of one scene keep a renderer (`make_renderer`), which prepares the scene once."""
    return make_renderer(scene, backend).render(camera, T_world_cam, antialias)


class SceneRenderer:
    """A scene made ready for rays."""

    def __init__(self, scene: Scene) -> None:
        """Merge all objects and quads into one Embree mesh; per face the label, per corner colour and normal.

        Raises InputError for a scene of nothing at all.
        """
        if not scene.objects and not scene.room:
            raise InputError("a scene needs an object or a room to be rendered")
        vertices, faces, labels, gloss, corner_colors, corner_normals = [], [], [], [], [], []
        offset = 0
        for placed in scene.objects:
            mesh = placed.model.mesh
            vertices.append(world_vertices(placed))
            faces.append(mesh.faces + offset)
            offset += len(mesh.vertices)
            labels.append(np.full(len(mesh.faces), placed.label, np.uint16))
            gloss.append(np.full(len(mesh.faces), placed.model.gloss, np.float32))
            colors = np.full((len(mesh.vertices), 3), 180, np.uint8) if mesh.colors is None else mesh.colors
            corner_colors.append(linear_from_srgb(colors)[mesh.faces])
            R_obj_world = placed.T_world_obj[:3, :3].T.astype(np.float32)
            corner_normals.append(placed.model.corner_normals @ R_obj_world)
        self._object_faces = sum(len(f) for f in faces)
        for quad in scene.room:
            vertices.append(quad.corner + np.array([0 * quad.u, quad.u, quad.u + quad.v, quad.v]))
            faces.append(np.array([[0, 1, 2], [0, 2, 3]]) + offset)
            offset += 4
        self._quads = [(quad, linear_from_srgb(quad.image)) for quad in scene.room]
        self._quad_normals = np.array([quad.normal for quad in scene.room], np.float32)
        self._labels = np.concatenate([*labels, np.zeros(2 * len(scene.room), np.uint16)])
        self._gloss = np.concatenate([*gloss, np.zeros(2 * len(scene.room), np.float32)])
        none = np.zeros((0, 3, 3), np.float32)
        self._attributes = np.concatenate(
            [np.concatenate([none, *corner_colors]), np.concatenate([none, *corner_normals])], axis=2
        )
        self._light, self._objects = scene.light, scene.objects
        self._tree = _tree(np.concatenate(vertices), np.concatenate(faces))
        # A room fills the picture; objects alone only the window around their boxes.
        self._boxes = None if scene.room else np.concatenate([box_corners(v) for v in vertices])
        self._object_vertices = vertices[: len(scene.objects)]
        self._object_trees: dict[int, EmbreeScene] = {}

    def render(self, camera: Camera, T_world_cam: Float, antialias: bool = True) -> Rendered:
        """A picture of a camera without lens distortion at T_world_cam (4, 4), its optical frame in the
        world.

        Labels, depth and normals are those of pixel centres; colours of edge pixels are the mean of four
        subpixels where `antialias`. Raises InputError for a camera with distortion.
        """
        return self._coloured(self.outlines(camera, T_world_cam), antialias)

    def outlines(self, camera: Camera, T_world_cam: Float) -> Outlines:
        """What `render` begins with: depth and labels, a third of the work."""
        shape = (camera.height, camera.width)
        window = self._window(camera, T_world_cam)
        rays = pixel_rays(camera).reshape(*shape, 3)[window]
        found, met = self._trace(rays.reshape(-1, 3), T_world_cam)
        there = np.zeros(shape, bool)
        there[window] = found.reshape(rays.shape[:2])
        depth, labels = np.full(shape, np.nan, np.float32), np.zeros(shape, np.uint16)
        depth[there], labels[there] = met.distance, self._labels[met.face]
        return Outlines(depth, labels, camera, T_world_cam, met)

    def colours(self, outlines: Outlines) -> tuple[UInt8, UInt8]:
        """rgb and albedo of the picture of which this renderer gave the outlines."""
        surface, found = self._surface(outlines.met), np.flatnonzero(np.isfinite(outlines.depth_m))
        shape = outlines.depth_m.shape
        rgb, albedo = (srgb_from_linear(linear) for linear in (surface.color, surface.albedo))
        return _among(rgb, found, shape), _among(albedo, found, shape)

    def _coloured(self, outlines: Outlines, antialias: bool) -> Rendered:
        camera, T_world_cam, shape = outlines.camera, outlines.T_world_cam, outlines.depth_m.shape
        found = np.flatnonzero(np.isfinite(outlines.depth_m))
        surface = self._surface(outlines.met)
        if antialias:
            linear = _among(surface.color, found, shape)
            edges = np.flatnonzero(_edges(linear, outlines.labels))
            total = np.zeros((len(edges), 3), np.float32)
            for dx, dy in SUBPIXELS:
                step = np.array([dx / camera.fx, dy / camera.fy, 0], np.float32)
                seen, met = self._trace(pixel_rays(camera)[edges] + step, T_world_cam)
                total[seen] += np.minimum(self._surface(met).color, 1)
            linear.reshape(-1, 3)[edges] = total / len(SUBPIXELS)
            rgb = srgb_from_linear(linear)
        else:
            rgb = _among(srgb_from_linear(surface.color), found, shape)
        return Rendered(
            rgb=rgb,
            depth_m=outlines.depth_m,
            labels=outlines.labels,
            normals_cam=_among(surface.normal @ T_world_cam[:3, :3].astype(np.float32), found, shape),
            glare=_among(surface.glare, found, shape),
            albedo=_among(srgb_from_linear(surface.albedo), found, shape),
            lit=_among(surface.lit, found, shape),
        )

    def relit(self, light: Light) -> SceneRenderer:
        """The same scene in another light; the two share everything else."""
        other = copy.copy(self)
        other._light = light
        return other

    def _window(self, camera: Camera, T_world_cam: Float) -> tuple[slice, slice]:
        """Rows and columns beyond which there is nothing; at least one pixel."""
        if self._boxes is None:
            return slice(0, camera.height), slice(0, camera.width)
        rows, columns = window_of(apply(inverse(T_world_cam), self._boxes), camera)
        top, left = min(rows.start, camera.height - 1), min(columns.start, camera.width - 1)
        return slice(top, max(rows.stop, top + 1)), slice(left, max(columns.stop, left + 1))

    def silhouettes(self, camera: Camera, T_world_cam: Float) -> dict[int, Bool]:
        """Per label the (H, W) pixels the object would cover if nothing stood before it."""
        shape = (camera.height, camera.width)
        rays = pixel_rays(camera).reshape(*shape, 3)
        silhouettes: dict[int, Bool] = {}
        for placed, vertices in zip(self._objects, self._object_vertices, strict=True):
            pixels = np.zeros(shape, bool)
            window = window_of(apply(inverse(T_world_cam), vertices), camera)
            directions = rays[window].reshape(-1, 3) @ T_world_cam[:3, :3].T.astype(np.float32)
            if len(directions):
                if placed.label not in self._object_trees:
                    self._object_trees[placed.label] = _tree(vertices, placed.model.mesh.faces)
                tree = self._object_trees[placed.label]
                hits = tree.run(ray_starts(T_world_cam, len(directions)), directions)
                pixels[window] = (hits >= 0).reshape(pixels[window].shape)
            silhouettes[placed.label] = pixels
        return silhouettes

    def _trace(self, rays_cam: Float, T_world_cam: Float) -> tuple[Bool, Met]:
        """Which rays (N, 3) through the optical centre meet something, and where those do."""
        directions = rays_cam @ T_world_cam[:3, :3].T.astype(np.float32)
        answer = self._tree.run(ray_starts(T_world_cam, len(directions)), directions, output=True)
        found = answer["primID"] >= 0
        values = (directions, *(answer[name] for name in ("primID", "u", "v", "tfar")))
        if not found.all():
            values = tuple(value[found] for value in values)
        return found, Met(T_world_cam[:3, 3].astype(np.float32), *values)

    def _surface(self, met: Met) -> _Surface:
        """What is where rays met something."""
        face, count = met.face, len(met.face)
        # Below zero on objects, which are no quad's.
        room_face = (face - self._object_faces) >> 1
        albedo = np.zeros((count, 3), np.float32)
        normal = self._quad_normals.take(np.maximum(room_face, 0), axis=0) if self._quads else albedo.copy()
        on_object = np.flatnonzero(face < self._object_faces) if self._quads else slice(None)
        u, v = met.u[on_object, None], met.v[on_object, None]
        corners = self._attributes.take(face[on_object], axis=0)
        values = corners[:, 0] * (1 - u - v) + corners[:, 1] * u + corners[:, 2] * v
        albedo[on_object] = values[:, :3]
        normal[on_object] = values[:, 3:] / _lengths(values[:, 3:])
        points = _scaled(met.directions, met.distance, met.start)
        for index, (quad, image) in enumerate(self._quads):
            here = np.flatnonzero(room_face == index)
            if len(here):
                albedo[here] = quad_colors(quad, image, points.take(here, axis=0))
        facing = np.einsum("ij,ij->i", normal, met.directions)
        normal[np.flatnonzero(facing > 0)] *= -1
        color, glare, lit = self._shade(points, normal, met.directions, albedo, self._gloss[face])
        return _Surface(normal, color, glare, albedo, lit)

    def _shade(
        self, points: Float, normal: Float, rays: Float, albedo: Float, gloss: Float
    ) -> tuple[Float, Float, Bool]:
        """Linear colour (N, 3), glare (N,) and whether the light gets there (N,): Lambert with a hard shadow,
        a sky that is brighter above, and the light's highlight in glossy surfaces (Blinn-Phong)."""
        light = self._light.direction.astype(np.float32)
        cosine = np.maximum(normal @ light, 0)
        lit = np.flatnonzero(cosine > 0)
        if len(lit):
            # `take` fetches rows in a quarter of the time that indexing needs.
            start = normal.take(lit, axis=0)
            start *= np.float32(SHADOW_BIAS)
            start += points.take(lit, axis=0)
            to_light = np.empty_like(start)
            to_light[:] = light
            cosine[lit[self._tree.run(start, to_light, query="OCCLUDED") >= 0]] = 0
        sky = np.float32(self._light.ambient) * (
            0.75 + 0.25 * (normal @ np.array(self._light.up, np.float32))
        )
        color = _scaled(albedo, sky + np.float32(self._light.strength) * cosine)
        glare = np.zeros(len(points), np.float32)
        shiny = np.flatnonzero((gloss > 0.05) & (cosine > 0))
        if len(shiny):
            half = light - rays[shiny] / _lengths(rays[shiny])
            half /= _lengths(half)
            towards = np.maximum(np.einsum("ij,ij->i", normal[shiny], half), 0)
            glare[shiny] = gloss[shiny] * towards ** (10 + 120 * gloss[shiny])
            color[shiny] += glare[shiny, None]
        return color, glare, cosine > 0


def _among(values: Any, pixels: Int, shape: tuple[int, ...]) -> Any:
    """A picture of shape (H, W) with values (N, ...) at N of its pixels, in their order, and 0 elsewhere."""
    if len(values) < shape[0] * shape[1]:
        whole = np.zeros((shape[0] * shape[1], *values.shape[1:]), values.dtype)
        whole[pixels] = values
        values = whole
    return values.reshape(*shape, *values.shape[1:])


def _scaled(vectors: Float, factors: Float, start: Float | None = None) -> Float:
    """(N, 3) vectors times (N,) factors, from `start` (3,) on: three long loops, since broadcasting over the short
    last axis takes several times as long."""
    scaled = np.empty_like(vectors)
    for axis in range(3):
        np.multiply(vectors[:, axis], factors, out=scaled[:, axis])
        if start is not None:
            scaled[:, axis] += start[axis]
    return scaled


def _lengths(vectors: Float) -> Float:
    """(N, 1) of vectors (N, 3): faster than numpy's norm, which adds up along the short axis."""
    x, y, z = vectors[:, :1], vectors[:, 1:2], vectors[:, 2:]
    lengths: Float = np.sqrt(x * x + y * y + z * z)
    return lengths


def _tree(vertices: Float, faces: Int) -> EmbreeScene:
    tree = EmbreeScene()
    TriangleMesh(tree, np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int32))
    return tree


def _edges(linear: Float, labels: Int) -> Bool:
    """(H, W) pixels beside which the label or the brightness jumps."""
    edges = np.zeros(labels.shape, bool)
    brightness = np.sqrt(np.minimum(linear, 1).mean(axis=2))
    for field, limit in ((brightness, 0.08), (labels.astype(np.float32), 0.5)):
        across, down = np.abs(np.diff(field, axis=1)) > limit, np.abs(np.diff(field, axis=0)) > limit
        edges[:, 1:] |= across
        edges[:, :-1] |= across
        edges[1:] |= down
        edges[:-1] |= down
    return edges
