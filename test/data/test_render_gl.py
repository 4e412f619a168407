import dataclasses

import numpy as np
import pytest

from sam3d_ros.data.render import SceneRenderer, make_renderer, render
from sam3d_ros.data.render_gl import GlSceneRenderer, why_unavailable
from sam3d_ros.data.scene import make_tabletop, orbit
from sam3d_ros.types import Camera, InputError

REASON = why_unavailable()
needs_gl = pytest.mark.skipif(REASON is not None, reason=f"OpenGL does not work here: {REASON}")
CAMERA = Camera(320, 240, 305.0, 306.0, 158.3, 121.2)


@needs_gl
@pytest.mark.parametrize("seed", range(3))
def test_both_renderers_see_the_same(seed):
    scene, T = make_tabletop(seed, 5, lying=0.4), orbit(5)[seed]
    if seed == 2:
        scene = dataclasses.replace(scene, light=dataclasses.replace(scene.light, up=(0.6, 0.0, 0.8)))
    first, second = SceneRenderer(scene), GlSceneRenderer(scene)
    rays, gl = first.render(CAMERA, T, antialias=False), second.render(CAMERA, T, antialias=False)
    for name in ("rgb", "depth_m", "labels", "normals_cam", "glare", "albedo", "lit"):
        a, b = getattr(rays, name), getattr(gl, name)
        assert a.dtype == b.dtype, name
        assert a.shape == b.shape, name
    assert (np.abs(rays.depth_m - gl.depth_m) < 1e-4).mean() > 0.99
    assert (rays.labels == gl.labels).mean() > 0.999
    same = rays.labels == gl.labels
    assert (np.einsum("hwc,hwc->hw", rays.normals_cam, gl.normals_cam)[same] > 0.999).mean() > 0.99
    assert (np.abs(rays.albedo.astype(int) - gl.albedo)[same].max(axis=-1) <= 2).mean() > 0.99
    assert (rays.lit == gl.lit).mean() > 0.99
    assert (np.abs(rays.rgb.astype(int) - gl.rgb).max(axis=-1) <= 4).mean() > 0.99
    # Rays smooth every edge of the picture, multisampling those of triangles.
    smooth = np.abs(first.render(CAMERA, T).rgb.astype(int) - second.render(CAMERA, T).rgb)
    assert smooth.mean() < 2
    assert (second.render(CAMERA, T).rgb != gl.rgb).any()


@needs_gl
def test_silhouettes_are_the_same():
    scene, T = make_tabletop(4, 5), orbit(5)[2]
    rays, gl = SceneRenderer(scene).silhouettes(CAMERA, T), GlSceneRenderer(scene).silhouettes(CAMERA, T)
    assert rays.keys() == gl.keys()
    for label in rays:
        assert (rays[label] != gl[label]).sum() <= 0.01 * rays[label].sum() + 2


@needs_gl
def test_objects_alone_and_room_alone():
    scene, T = make_tabletop(1, 3), orbit(5)[0]
    for part in (dataclasses.replace(scene, room=()), dataclasses.replace(scene, objects=())):
        rays, gl = SceneRenderer(part).render(CAMERA, T), GlSceneRenderer(part).render(CAMERA, T)
        assert (np.isnan(rays.depth_m) == np.isnan(gl.depth_m)).mean() > 0.999
        assert (rays.labels == gl.labels).mean() > 0.999
    empty = np.isnan(gl.depth_m)
    assert not gl.rgb[empty].any()


@needs_gl
def test_many_scenes_give_their_memory_back():
    scene, T = make_tabletop(1, 1), orbit(5)[0]
    for _ in range(20):
        renderer = GlSceneRenderer(scene)
        renderer.render(dataclasses.replace(CAMERA, width=64, height=48), T)
        renderer.release()
        renderer.release()


@needs_gl
def test_what_is_refused():
    scene = make_tabletop(0, 1)
    bent = dataclasses.replace(CAMERA, distortion_model="plumb_bob", distortion=(0.1, 0, 0, 0, 0))
    with pytest.raises(InputError, match="rectified"):
        render(scene, bent, np.eye(4), backend="gl")
    with pytest.raises(InputError, match="object or a room"):
        GlSceneRenderer(dataclasses.replace(scene, objects=(), room=()))


def test_auto_falls_back_to_rays(monkeypatch):
    monkeypatch.setattr("sam3d_ros.data.render_gl.why_unavailable", lambda: "no driver")
    scene = make_tabletop(0, 1)
    assert isinstance(make_renderer(scene, "auto"), SceneRenderer)
    with pytest.raises(InputError, match="no driver"):
        make_renderer(scene, "gl")
