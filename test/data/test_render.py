import dataclasses

import numpy as np
import pytest
import trimesh

from sam3d_ros.data.normals import CREASE_DEG, corner_normals
from sam3d_ros.data.objects import ObjectModel, make_object
from sam3d_ros.data.render import SceneRenderer, render
from sam3d_ros.data.scene import (
    Light,
    PlacedObject,
    Scene,
    look_at,
    make_tabletop,
    orbit,
    world_vertices,
)
from sam3d_ros.data.solids import Symmetry
from sam3d_ros.perception.frames import inverse
from sam3d_ros.types import Camera, InputError, Mesh

SMALL = Camera(48, 36, 45.0, 46.0, 23.1, 17.7)
OVERHEAD = Light(np.array([0.0, 0.0, 1.0]))


def box_model(size, color=(200, 100, 50), gloss=0.0):
    raw = trimesh.creation.box(size)
    colors = np.tile(np.array(color, np.uint8), (len(raw.vertices), 1))
    mesh = Mesh(raw.vertices.astype(np.float32), raw.faces.astype(np.int32), colors)
    return ObjectModel("box", mesh, Symmetry(), gloss)


def at(x, y, z):
    T = np.eye(4)
    T[:3, 3] = x, y, z
    return T


def first_hits(triangles, rays):
    """Depth (N,) along rays (N, 3) from the origin by trying every triangle (Moeller and Trumbore)."""
    a, e1, e2 = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    best = np.full(len(rays), np.inf)
    for i, ray in enumerate(rays):
        p = np.cross(ray, e2)
        det = np.einsum("ij,ij->i", e1, p)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.einsum("ij,ij->i", -a, p) / det
            q = np.cross(-a, e1)
            v = q @ ray / det
            t = np.einsum("ij,ij->i", e2, q) / det
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
        if hit.any():
            best[i] = t[hit].min()
    return best


def test_depth_and_labels_agree_with_trying_every_triangle():
    scene = make_tabletop(3, 3)
    T = orbit(7)[2]
    picture = render(scene, SMALL, T)
    u, v = np.meshgrid(np.arange(SMALL.width), np.arange(SMALL.height))
    rays = np.stack([(u - SMALL.cx) / SMALL.fx, (v - SMALL.cy) / SMALL.fy, np.ones(u.shape)], -1).reshape(
        -1, 3
    )
    T_cam_world = inverse(T)
    depths = []
    for placed in scene.objects:
        corners = world_vertices(placed)[placed.model.mesh.faces]
        depths.append(first_hits(corners @ T_cam_world[:3, :3].T + T_cam_world[:3, 3], rays))
    for quad in scene.room:
        a, b, c, d = quad.corner, quad.corner + quad.u, quad.corner + quad.u + quad.v, quad.corner + quad.v
        corners = np.array([[a, b, c], [a, c, d]])
        depths.append(first_hits(corners @ T_cam_world[:3, :3].T + T_cam_world[:3, 3], rays))
    nearest = np.argmin(depths, axis=0).reshape(u.shape)
    labels = np.where(nearest < len(scene.objects), nearest + 1, 0)
    same = labels == picture.labels
    assert same.mean() > 0.995  # rays through an edge may go either way
    expected = np.min(depths, axis=0).reshape(u.shape)
    np.testing.assert_allclose(picture.depth_m[same], expected[same], atol=1e-4)


def test_types_and_normals():
    scene, T = make_tabletop(1, 4), orbit(5)[1]
    picture = render(scene, SMALL, T)
    assert picture.rgb.dtype == np.uint8
    assert picture.rgb.shape == (36, 48, 3)
    assert picture.depth_m.dtype == np.float32
    assert picture.labels.dtype == np.uint16
    assert picture.normals_cam.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(picture.normals_cam, axis=2), 1, atol=1e-3)
    table = picture.normals_cam[-1, 0]
    np.testing.assert_allclose(table, inverse(T)[:3, 2], atol=1e-4)


def test_plane_gives_depth_not_ray_length():
    scene = Scene((PlacedObject(1, box_model((4, 4, 1)), at(0, 0, -0.5)),), (), OVERHEAD)
    T = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2], [0, 0, 0, 1]])
    picture = render(scene, SMALL, T)
    np.testing.assert_allclose(picture.depth_m, 2, atol=1e-5)
    np.testing.assert_allclose(picture.normals_cam, np.broadcast_to([0, 0, -1], (36, 48, 3)), atol=1e-6)


def test_nothing_to_see():
    placed = PlacedObject(1, box_model((0.1, 0.1, 0.1)), np.eye(4))
    T = look_at(np.array([1.0, 0, 1]), np.array([3.0, 0, 1]))
    picture = render(Scene((placed,), (), OVERHEAD), SMALL, T)
    assert np.isnan(picture.depth_m).all()
    assert not picture.labels.any()
    assert not picture.normals_cam.any()
    assert not picture.rgb.any()


def test_shadow_is_hard_and_where_the_light_is_blocked():
    plate = PlacedObject(1, box_model((3, 3, 0.02)), at(0, 0, -0.01))
    block = PlacedObject(2, box_model((0.1, 0.1, 0.1)), at(0, 0, 0.25))
    light = Light(np.array([0.6, 0.0, 0.8]))
    T = look_at(np.array([0.0, -1.0, 0.9]), np.zeros(3))
    camera = Camera(320, 240, 300.0, 300.0, 159.5, 119.5)
    with_block = render(Scene((plate, block), (), light), camera, T, antialias=False)
    without = render(Scene((plate,), (), light), camera, T, antialias=False)
    both_plate = (with_block.labels == 1) & (without.labels == 1)
    darker = both_plate & (with_block.rgb[..., 0] < without.rgb[..., 0] - 20)
    # The middle of the block's shadow on z = 0 is where the light's line through its middle ends.
    u, v = np.meshgrid(np.arange(320), np.arange(240))
    rays = np.stack([(u - 159.5) / 300, (v - 119.5) / 300, np.ones(u.shape)], -1)
    points = (rays * without.depth_m[..., None]) @ T[:3, :3].T + T[:3, 3]
    middle = points[darker].mean(axis=0)
    np.testing.assert_allclose(middle[:2], [-0.25 * 0.6 / 0.8, 0], atol=0.015)
    assert darker.sum() > 500
    # Sharp: away from its edge the rest is unchanged.
    far = np.abs(points[..., 0] + 0.19) > 0.15
    np.testing.assert_array_equal(with_block.rgb[both_plate & far], without.rgb[both_plate & far])


def test_vertex_colours_are_mixed_in_linear_light():
    model = box_model((2, 2, 0.1))
    colors = np.where(model.mesh.vertices[:, :1] > 0, 255, 0).repeat(3, axis=1).astype(np.uint8)
    model = dataclasses.replace(model, mesh=dataclasses.replace(model.mesh, colors=colors))
    scene = Scene((PlacedObject(1, model, at(0, 0, -0.05)),), (), Light(np.array([0, 0, 1.0]), 0.6, 0.4))
    T = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 1.2], [0, 0, 0, 1]])
    picture = render(scene, Camera(101, 101, 70.0, 70.0, 50.0, 50.0), T)
    # Half of the light is 188 in sRGB, not 128.
    assert picture.rgb[50, 50, 0] == pytest.approx(188, abs=2)


def test_antialiasing_changes_colours_at_edges_only():
    scene, T = make_tabletop(2, 4), orbit(5)[3]
    renderer = SceneRenderer(scene)
    camera = Camera(160, 120, 150.0, 150.0, 79.5, 59.5)
    smooth, plain = renderer.render(camera, T), renderer.render(camera, T, antialias=False)
    for name in ("depth_m", "labels", "normals_cam"):
        np.testing.assert_array_equal(getattr(smooth, name), getattr(plain, name))
    changed = (smooth.rgb != plain.rgb).any(axis=2).mean()
    assert 0.001 < changed < 0.4


def test_silhouettes_contain_what_is_visible_and_what_is_hidden():
    front = PlacedObject(1, box_model((0.1, 0.1, 0.1)), at(0, -0.2, 0.05))
    back = PlacedObject(2, box_model((0.1, 0.1, 0.1)), at(0.03, 0.0, 0.05))
    renderer = SceneRenderer(Scene((front, back), (), OVERHEAD))
    T = look_at(np.array([0.0, -1.0, 0.2]), np.zeros(3))
    picture, whole = renderer.render(SMALL, T), renderer.silhouettes(SMALL, T)
    np.testing.assert_array_equal(whole[1], picture.labels == 1)
    assert (whole[2] & (picture.labels == 2)).sum() == (picture.labels == 2).sum()
    assert (whole[2] & (picture.labels == 1)).any()


@pytest.mark.parametrize("eye", [(0.5, 0.1, 0.4), (0.12, 0.0, 0.06), (0.9, -0.3, 0.8)])
def test_silhouette_of_each_object_is_its_picture_alone(eye):
    """Also when the camera is so near that parts are beside or behind it."""
    scene = make_tabletop(8, 4)
    T = look_at(np.array(eye), np.array([0.0, 0.05, 0.05]))
    whole = SceneRenderer(scene).silhouettes(SMALL, T)
    for placed in scene.objects:
        alone = render(dataclasses.replace(scene, objects=(placed,), room=()), SMALL, T)
        np.testing.assert_array_equal(whole[placed.label], alone.labels == placed.label)


def test_glare_needs_gloss():
    T = look_at(np.array([0.5, 0.0, 0.5]), np.zeros(3))
    light = Light(np.array([-1, 0, 1]) / np.sqrt(2))  # mirrored by the table top into the camera
    for gloss, strongest in ((0.0, 0.0), (0.8, 0.8)):
        placed = PlacedObject(1, box_model((1, 1, 0.1), gloss=gloss), at(0, 0, -0.05))
        assert render(Scene((placed,), (), light), SMALL, T).glare.max() == pytest.approx(strongest, abs=0.02)


def test_corner_normals_against_plain_loops():
    mesh = make_object("mug", np.random.default_rng(0)).mesh
    vertices, faces = mesh.vertices.astype(np.float64), mesh.faces
    fast = corner_normals(vertices, faces)
    corners = vertices[faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    unit = area / np.linalg.norm(area, axis=1, keepdims=True)
    for face in np.random.default_rng(0).choice(len(faces), 60, replace=False):
        for corner in range(3):
            around = np.flatnonzero((faces == faces[face, corner]).any(axis=1))
            near = [f for f in around if f == face or unit[f] @ unit[face] > np.cos(np.deg2rad(CREASE_DEG))]
            expected = area[near].sum(axis=0)
            np.testing.assert_allclose(fast[face, corner], expected / np.linalg.norm(expected), atol=1e-5)


def test_lens_distortion_is_refused():
    camera = dataclasses.replace(SMALL, distortion_model="plumb_bob", distortion=(0.1, 0, 0, 0, 0))
    with pytest.raises(InputError, match="rectified"):
        render(make_tabletop(0, 0), camera, np.eye(4))


def test_a_scene_of_nothing_is_refused():
    with pytest.raises(InputError, match="object or a room"):
        render(Scene((), (), OVERHEAD), SMALL, np.eye(4))


def test_albedo_is_what_ambient_light_shows_and_lit_is_where_the_light_is():
    model = box_model((1, 1, 0.1), color=(200, 100, 50))
    block = PlacedObject(2, box_model((0.2, 0.2, 0.2), color=(10, 250, 90)), at(0, 0, 0.3))
    scene = Scene((PlacedObject(1, model, at(0, 0, -0.05)), block), (), Light(np.array([0.6, 0.0, 0.8])))
    T = look_at(np.array([0.0, -1.2, 1.0]), np.zeros(3))
    picture = render(scene, SMALL, T, antialias=False)
    assert (picture.albedo[picture.labels == 1] == (200, 100, 50)).all()
    assert (picture.albedo[picture.labels == 2] == (10, 250, 90)).all()
    assert not picture.albedo[picture.labels == 0].any()
    assert not picture.lit[picture.labels == 0].any()
    table = picture.labels == 1
    assert 0.02 < (~picture.lit[table]).mean() < 0.3
    bright = picture.rgb[..., 0].astype(int)
    assert bright[table & picture.lit].min() > bright[table & ~picture.lit].max()


def test_outlines_and_windows_are_parts_of_the_picture():
    """Objects without a room are traced only around their boxes, also where they leave the picture or are not in it."""
    scene = make_tabletop(3, 3)
    T = orbit(1)[0]
    for shown in (scene, Scene(scene.objects, (), scene.light)):
        renderer = SceneRenderer(shown)
        for cx in (31.5, -20.0, -500.0):
            camera = Camera(64, 48, 60.0, 60.0, cx, 23.5)
            picture = renderer.render(camera, T)
            outlines = renderer.outlines(camera, T)
            np.testing.assert_array_equal(outlines.depth_m, picture.depth_m)
            np.testing.assert_array_equal(outlines.labels, picture.labels)
            plain = renderer.render(camera, T, antialias=False)
            for part, whole in zip(renderer.colours(outlines), (plain.rgb, plain.albedo), strict=True):
                np.testing.assert_array_equal(part, whole)
            assert picture.rgb.shape == (48, 64, 3)
            if cx > -400:
                assert (outlines.labels > 0).any()
    alone, whole = (SceneRenderer(s).silhouettes(camera, T) for s in (shown, scene))
    assert all((alone[label] == whole[label]).all() for label in whole)


def test_relit_is_the_same_scene_in_another_light():
    scene = make_tabletop(3, 2)
    other = Light(np.array([0.6, 0.0, 0.8]), 0.5, 0.3, up=(0.0, 1.0, 0.0))
    T = orbit(1)[0]
    relit = SceneRenderer(scene).relit(other).render(SMALL, T)
    fresh = SceneRenderer(Scene(scene.objects, scene.room, other)).render(SMALL, T)
    for name, value in vars(fresh).items():
        np.testing.assert_array_equal(getattr(relit, name), value, err_msg=name)
