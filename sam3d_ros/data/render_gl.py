"""The same pictures as `render.py` by OpenGL: a G-buffer on a GPU, or on the CPU by Mesa's llvmpipe, without a
display (EGL).

Primary visibility and shading follow render.py line by line; shadows come from two depth maps seen from the light,
one around the objects and one of the whole room, and so have stairs of a texel (about 0.5 mm) where rays have none.
One OpenGL context is made per process when the first picture is asked for, and belongs to the thread that asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from sam3d_ros.data.render import Rendered
from sam3d_ros.data.scene import Scene, world_vertices
from sam3d_ros.data.srgb import linear_from_srgb, srgb_from_linear
from sam3d_ros.perception.frames import inverse, transform
from sam3d_ros.types import Bool, Camera, Float, InputError

NEAR, FAR = 0.02, 30.0
"""m along the optical axis. With 24 bits depth is resolved to 3 um at 1 m; the picture's depth is float32."""
SHADOW_TEXELS = 2048
SAMPLES = 4

VERTEX = """
#version 330 core
uniform mat4 T_clip_world;
uniform mat4 T_cam_world;
in vec3 position; in vec3 normal; in vec3 color; in vec2 uv; in vec2 label_gloss;
out vec3 p; out vec3 n; out vec3 c; out vec2 t; out float z; flat out vec2 lg;
void main() {
  p = position; n = normal; c = color; t = uv; lg = label_gloss;
  z = (T_cam_world * vec4(position, 1)).z;
  gl_Position = T_clip_world * vec4(position, 1);
}
"""
FRAGMENT = """
#version 330 core
uniform sampler2D image; uniform sampler2D near_map; uniform sampler2D far_map;
uniform mat4 T_near_world; uniform mat4 T_far_world;
uniform vec3 eye; uniform vec3 light; uniform vec3 up; uniform vec2 strength_ambient; uniform vec2 texel_m;
in vec3 p; in vec3 n; in vec3 c; in vec2 t; in float z; flat in vec2 lg;
layout(location = 0) out vec4 color_glare;
layout(location = 1) out vec4 normal_depth;
layout(location = 2) out vec4 albedo_label;
layout(location = 3) out float lit;
// 1 where nothing lies between p and the light in this map, 0 in shadow, -1 outside of the map.
float reached(sampler2D map, mat4 T, float texel, vec3 unit) {
  vec3 q = (T * vec4(p + 1.5 * texel * unit, 1)).xyz;
  if (any(greaterThan(abs(q.xy), vec2(1)))) return -1.0;
  return q.z * 0.5 + 0.5 <= texture(map, q.xy * 0.5 + 0.5).r + 1e-6 ? 1.0 : 0.0;
}
void main() {
  vec3 unit = normalize(n), ray = p - eye;
  if (dot(unit, ray) > 0) unit = -unit;
  vec3 albedo = c * texture(image, t).rgb;
  float cosine = max(dot(unit, light), 0.0);
  if (cosine > 0.0) {
    float far = reached(far_map, T_far_world, texel_m.y, unit);
    float near = reached(near_map, T_near_world, texel_m.x, unit);
    if (near == 0.0 || far == 0.0) cosine = 0.0;
  }
  vec3 color = albedo * (strength_ambient.y * (0.75 + 0.25 * dot(unit, up)) + strength_ambient.x * cosine);
  float glare = 0.0;
  if (lg.y > 0.05 && cosine > 0.0) {
    vec3 half_way = normalize(light - normalize(ray));
    glare = lg.y * pow(max(dot(unit, half_way), 0.0), 10.0 + 120.0 * lg.y);
  }
  color_glare = vec4(min(color + glare, 1.0), glare);
  normal_depth = vec4(unit, z);
  albedo_label = vec4(albedo, lg.x);
  lit = cosine > 0.0 ? 1.0 : 0.0;
}
"""
FLAT_VERTEX = """
#version 330 core
uniform mat4 T_clip_world;
in vec3 position;
void main() { gl_Position = T_clip_world * vec4(position, 1); }
"""
FLAT_FRAGMENT = """
#version 330 core
layout(location = 0) out float hit;
void main() { hit = 1.0; }
"""
LAYOUT = ("3f 3f 3f 2f 2f", "position", "normal", "color", "uv", "label_gloss")


@dataclass(frozen=True)
class _Context:
    ctx: Any
    shaded: Any
    flat: Any
    white: Any


@lru_cache(maxsize=1)
def _context() -> _Context:
    import moderngl  # type: ignore[import-not-found,unused-ignore]

    ctx = moderngl.create_context(require=330, standalone=True, backend="egl")  # type: ignore[arg-type]
    ctx.disable(moderngl.CULL_FACE)
    ctx.enable(moderngl.DEPTH_TEST)
    white = ctx.texture((1, 1), 3, np.ones(3, np.float32).tobytes(), dtype="f4")
    shaded = ctx.program(vertex_shader=VERTEX, fragment_shader=FRAGMENT)
    flat = ctx.program(vertex_shader=FLAT_VERTEX, fragment_shader=FLAT_FRAGMENT)
    return _Context(ctx, shaded, flat, white)


@lru_cache(maxsize=1)
def why_unavailable() -> str | None:
    """None where this process can render with OpenGL, else what is missing."""
    try:
        _context()
    except ImportError:
        return "moderngl is not installed (pip install moderngl)"
    except Exception as error:  # drivers fail in many ways
        return f"no EGL context: {error} (Debian: apt install libegl1 libgl1-mesa-dri)"
    return None


class GlSceneRenderer:
    """A scene on the graphics card. Use in the thread that made it; `release` gives its memory back."""

    def __init__(self, scene: Scene) -> None:
        """Raises InputError for a scene of nothing at all, or where OpenGL does not work."""
        if not scene.objects and not scene.room:
            raise InputError("a scene needs an object or a room to be rendered")
        reason = why_unavailable()
        if reason is not None:
            raise InputError(f"OpenGL does not work here: {reason}")
        self._gl, self._scene = _context(), scene
        corners = [_object_corners(p.model, world_vertices(p), p.T_world_obj, p.label) for p in scene.objects]
        counts = [len(c) for c in corners]
        self._first = dict(
            zip(
                [p.label for p in scene.objects],
                zip(np.cumsum([0, *counts]), counts, strict=False),
                strict=True,
            )
        )
        quads = [_quad_corners(q) for q in scene.room]
        self._objects, self._quads = sum(counts), 6 * len(quads)
        buffer = self._gl.ctx.buffer(np.concatenate([*corners, *quads]).astype(np.float32).tobytes())
        self._shaded = self._gl.ctx.vertex_array(self._gl.shaded, [(buffer, *LAYOUT)])
        self._flat = self._gl.ctx.vertex_array(self._gl.flat, [(buffer, "3f 40x", "position")])
        self._images = [self._texture(linear_from_srgb(q.image)) for q in scene.room]
        self._held: list[Any] = [buffer, self._shaded, self._flat, *self._images]
        self._targets: dict[tuple[int, int], tuple[Any, Any, Any, Any]] = {}
        objects = [c[:, :3] for c in corners]
        room = [q[:, :3] for q in quads]
        self._near = self._shadow(np.concatenate(objects or room), np.concatenate([*objects, *room]), 0)
        self._far = self._shadow(
            np.concatenate(room or objects), np.concatenate([*objects, *room]), self._objects
        )

    def render(self, camera: Camera, T_world_cam: Float, antialias: bool = True) -> Rendered:
        """As SceneRenderer.render. Raises InputError for a camera with distortion."""
        whole, smooth, resolved, _ = self._target(camera)
        program, light = self._gl.shaded, self._scene.light
        program["T_clip_world"].write(_columns(_projection(camera) @ inverse(T_world_cam)))
        program["T_cam_world"].write(_columns(inverse(T_world_cam)))
        program["eye"].value = tuple(map(float, T_world_cam[:3, 3]))
        program["light"].value = tuple(map(float, light.direction))
        program["up"].value = light.up
        program["strength_ambient"].value = (light.strength, light.ambient)
        program["texel_m"].value = (self._near[2], self._far[2])
        program["T_near_world"].write(_columns(self._near[1]))
        program["T_far_world"].write(_columns(self._far[1]))
        for unit, name in enumerate(("image", "near_map", "far_map")):
            program[name].value = unit
        self._draw(whole)
        shape = (camera.height, camera.width)
        color, normal, albedo = (_read(whole, i, shape, 4) for i in range(3))
        glare = color[..., 3].copy()
        if antialias:
            self._draw(smooth)
            self._gl.ctx.copy_framebuffer(resolved, smooth)
            color = _read(resolved, 0, shape, 4)
        found = normal[..., 3] > 0
        R_world_cam = np.asarray(T_world_cam[:3, :3], np.float32)
        return Rendered(
            rgb=srgb_from_linear(color[..., :3]),
            depth_m=np.where(found, normal[..., 3], np.float32(np.nan)),
            labels=np.rint(albedo[..., 3]).astype(np.uint16),
            normals_cam=normal[..., :3] @ R_world_cam,
            glare=glare,
            albedo=srgb_from_linear(albedo[..., :3]),
            lit=_read(whole, 3, shape, 1)[..., 0] > 0.5,
        )

    def silhouettes(self, camera: Camera, T_world_cam: Float) -> dict[int, Bool]:
        """As SceneRenderer.silhouettes."""
        *_, alone = self._target(camera)
        self._gl.flat["T_clip_world"].write(_columns(_projection(camera) @ inverse(T_world_cam)))
        found = {}
        for label, (first, count) in self._first.items():
            alone.use()
            alone.clear(0.0, 0.0, 0.0, 0.0)
            self._flat.render(vertices=int(count), first=int(first))
            found[label] = _read(alone, 0, (camera.height, camera.width), 1)[..., 0] > 0.5
        return found

    def release(self) -> None:
        """Give back what the scene holds on the card."""
        for target in self._targets.values():
            self._held.extend(target)
        for item in self._held:
            item.release()
        self._held, self._targets = [], {}

    def _draw(self, target: Any) -> None:
        """Everything into the target: objects with their own colours, then each quad with its image."""
        target.use()
        target.clear(0.0, 0.0, 0.0, 0.0)
        self._near[0].use(1)
        self._far[0].use(2)
        self._gl.white.use(0)
        if self._objects:
            self._shaded.render(vertices=self._objects)
        for i, image in enumerate(self._images):
            image.use(0)
            self._shaded.render(vertices=6, first=self._objects + 6 * i)

    def _target(self, camera: Camera) -> tuple[Any, Any, Any, Any]:
        """G-buffer, antialiased colour, the same resolved, and a mask, of the camera's size."""
        if camera.distortion_model and any(camera.distortion):
            raise InputError("the renderer makes rectified pictures: the camera must have no distortion")
        size, ctx = (camera.width, camera.height), self._gl.ctx
        if size not in self._targets:
            formats = [(4, "f4"), (4, "f4"), (4, "f4"), (1, "f4")]
            whole = ctx.framebuffer([ctx.renderbuffer(size, n, dtype=d) for n, d in formats],
                                    ctx.depth_renderbuffer(size))  # fmt: skip
            smooth = ctx.framebuffer([ctx.renderbuffer(size, 4, samples=SAMPLES, dtype="f2")],
                                     ctx.depth_renderbuffer(size, samples=SAMPLES))  # fmt: skip
            resolved = ctx.framebuffer([ctx.renderbuffer(size, 4, dtype="f2")])
            alone = ctx.framebuffer([ctx.renderbuffer(size, 1, dtype="f4")], ctx.depth_renderbuffer(size))
            self._targets[size] = (whole, smooth, resolved, alone)
        return self._targets[size]

    def _texture(self, image: Float) -> Any:
        height, width = image.shape[:2]
        data = np.ascontiguousarray(image, np.float32).tobytes()
        texture = self._gl.ctx.texture((width, height), 3, data, dtype="f4")
        texture.repeat_x = texture.repeat_y = False
        return texture

    def _shadow(self, inside: Float, everything: Float, first: int) -> tuple[Any, Float, float]:
        """A depth map from the light of the vertices from `first` on, over the extent of points `inside`; its
        transform from the world, and its texel in m."""
        z = np.asarray(self._scene.light.direction, np.float64)
        x = np.cross([0.0, 0.0, 1.0] if abs(z[2]) < 0.99 else [1.0, 0.0, 0.0], z)
        x /= np.linalg.norm(x)
        R_light_world = np.stack([x, np.cross(z, x), z])
        low, high = (inside @ R_light_world.T).min(axis=0), (inside @ R_light_world.T).max(axis=0)
        along = everything @ z
        half = (high - low)[:2].max() / 2 * 1.01 + 1e-3
        middle = np.array([*((low + high) / 2)[:2], (along.min() + along.max()) / 2])
        depth = (along.max() - along.min()) / 2 * 1.01 + 0.1
        # The light looks down its own z axis: what is near to it has the smaller depth.
        scale = np.diag([1 / half, 1 / half, -1 / depth, 1.0])
        T = scale @ transform(np.eye(3), -middle) @ transform(R_light_world, np.zeros(3))
        texture = self._gl.ctx.depth_texture((SHADOW_TEXELS, SHADOW_TEXELS))
        texture.compare_func = ""
        texture.repeat_x = texture.repeat_y = False
        texture.filter = (9728, 9728)  # GL_NEAREST: depths of two surfaces must not be mixed
        target = self._gl.ctx.framebuffer(depth_attachment=texture)
        target.use()
        target.clear(depth=1.0)
        self._gl.flat["T_clip_world"].write(_columns(T))
        self._flat.render(vertices=self._objects + self._quads - first, first=first)
        self._held += [texture, target]
        return texture, T, 2 * half / SHADOW_TEXELS


def _object_corners(model: Any, vertices: Float, T_world_obj: Float, label: int) -> Float:
    """(3 F, 13) as LAYOUT has it."""
    mesh = model.mesh
    colors = np.full((len(mesh.vertices), 3), 180, np.uint8) if mesh.colors is None else mesh.colors
    corners = np.zeros((3 * len(mesh.faces), 13), np.float32)
    flat = mesh.faces.reshape(-1)
    corners[:, :3] = vertices[flat]
    corners[:, 3:6] = (model.corner_normals @ T_world_obj[:3, :3].T.astype(np.float32)).reshape(-1, 3)
    corners[:, 6:9] = linear_from_srgb(colors)[flat]
    corners[:, 11:] = label, model.gloss
    return corners


def _quad_corners(quad: Any) -> Float:
    """(6, 13): two triangles in white, to be multiplied by the quad's image."""
    corners = np.ones((6, 13), np.float32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 0], [1, 1], [0, 1]], np.float64)
    corners[:, :3] = quad.corner + uv[:, :1] * quad.u + uv[:, 1:] * quad.v
    corners[:, 3:6] = quad.normal
    corners[:, 9:11], corners[:, 11:] = uv, 0
    return corners


def _projection(camera: Camera) -> Float:
    """(4, 4) optical frame to clip space. Row 0 of the picture is at clip y = -1, which OpenGL reads first."""
    P = np.zeros((4, 4))
    P[0, 0], P[0, 2] = 2 * camera.fx / camera.width, 2 * (camera.cx + 0.5) / camera.width - 1
    P[1, 1], P[1, 2] = 2 * camera.fy / camera.height, 2 * (camera.cy + 0.5) / camera.height - 1
    P[2, 2], P[2, 3] = (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)
    P[3, 2] = 1
    return P


def _columns(T: Float) -> bytes:
    """OpenGL stores matrices column by column."""
    return np.ascontiguousarray(T.T, np.float32).tobytes()


def _read(target: Any, attachment: int, shape: tuple[int, int], channels: int) -> Float:
    data = target.read(components=channels, attachment=attachment, dtype="f4", alignment=1)
    return np.frombuffer(data, np.float32).reshape(*shape, channels)
