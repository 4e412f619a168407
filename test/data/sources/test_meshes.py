import io
import zipfile

import manifold3d
import numpy as np
import pytest
import trimesh
from PIL import Image

from sam3d_ros.data.objects import dress, make_object
from sam3d_ros.data.sources.mesh_folder import MeshFolder
from sam3d_ros.data.sources.object_sim import object_sim
from sam3d_ros.data.sources.random_urdfs import random_urdfs
from sam3d_ros.data.sources.raw import Raw, Within, in_folder
from sam3d_ros.data.sources.rules import flatness, why_not
from sam3d_ros.data.sources.solidify import clean, enclosed, fill, unite
from sam3d_ros.data.sources.source import Unusable
from sam3d_ros.data.sources.sweethome import SweetHome, properties
from sam3d_ros.data.sources.ycb_sim import read_msh, ycb_sim
from sam3d_ros.mesh.check import is_watertight, volume
from sam3d_ros.types import InputError


def raw_of(mesh, color=(200, 50, 50)):
    points, face_of = trimesh.sample.sample_surface(mesh, 100_000, seed=0)
    colors = np.tile(np.array(color, np.uint8), (len(points), 1))
    return Raw(np.asarray(mesh.vertices, float), np.asarray(mesh.faces), np.asarray(points), face_of, colors)


def two_boxes(gap):
    a, b = trimesh.creation.box((0.1, 0.1, 0.1)), trimesh.creation.box((0.1, 0.1, 0.1))
    return trimesh.util.concatenate([a, b.apply_translation((0.1 + gap, 0, 0))])


def test_overlapping_closed_bodies_are_united():
    mesh, how = clean(raw_of(two_boxes(-0.04)))
    assert how == "united"
    assert is_watertight(mesh)
    assert volume(mesh) == pytest.approx(0.16 * 0.1 * 0.1, rel=1e-4)
    assert (mesh.colors == (200, 50, 50)).all()
    assert len(mesh.faces) > 2000


def test_an_open_shell_keeps_its_cavity_and_gets_a_wall():
    """A cup without thickness: a cylinder's side and floor."""
    tube = trimesh.creation.cylinder(0.04, 0.1, sections=48)
    lid = (tube.face_normals[:, 2] > 0.9) & (tube.triangles_center[:, 2] > 0.04)
    cup = trimesh.Trimesh(tube.vertices, tube.faces[~lid], process=False)
    assert unite(raw_of(cup)) is None
    mesh, how = clean(raw_of(cup))
    assert how == "filled"
    assert is_watertight(mesh)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), np.ptp(cup.vertices, axis=0), atol=1e-3)
    walls = (2 * np.pi * 0.04 * 0.1 + np.pi * 0.04**2) * 1.5 * 0.1 / 120
    assert 0.7 * walls < volume(mesh) < 1.4 * walls
    solid = manifold3d.Manifold(manifold3d.Mesh(mesh.vertices, mesh.faces.astype(np.uint32)))
    assert solid.volume() < 0.3 * solid.hull().volume()


def test_a_ball_with_a_crack_is_still_a_ball():
    """A missing face smaller than two cells; a hole as wide as ten leaves a hollow shell."""
    ball = trimesh.creation.icosphere(5, 0.05)
    cracked = trimesh.Trimesh(ball.vertices, ball.faces[1:], process=False)
    assert unite(raw_of(cracked)) is None
    assert volume(fill(raw_of(cracked), 64)) == pytest.approx(ball.volume, rel=0.03)
    open_ball = trimesh.Trimesh(ball.vertices, ball.faces[ball.triangles_center[:, 2] < 0.048], process=False)
    assert volume(fill(raw_of(open_ball), 64)) < 0.4 * ball.volume


def test_enclosed_against_walking_cell_by_cell():
    rng = np.random.default_rng(0)
    shell = np.zeros((14, 13, 12), bool)
    shell[3:11, 3:10, 3:9] = True
    shell[5:9, 5:8, 5:7] = False
    shell[6, 6, 7:] = rng.random(5) < 0.5
    blocked = {tuple(c) for c in np.argwhere(shell)}
    thick = {(x + d[0], y + d[1], z + d[2]) for x, y, z in blocked
             for d in ((0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))}  # fmt: skip
    reached, todo = set(), [(0, 0, 0)]
    while todo:
        cell = todo.pop()
        if (
            cell in reached
            or cell in thick
            or not all(0 <= c < n for c, n in zip(cell, shell.shape, strict=True))
        ):
            continue
        reached.add(cell)
        x, y, z = cell
        todo += [(x + 1, y, z), (x - 1, y, z), (x, y + 1, z), (x, y - 1, z), (x, y, z + 1), (x, y, z - 1)]
    near = {(x + d[0], y + d[1], z + d[2]) for x, y, z in reached
            for d in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))}  # fmt: skip
    expected = np.ones(shell.shape, bool)
    for cell in np.ndindex(*shell.shape):
        expected[cell] = cell not in reached and cell not in near and cell not in blocked
    np.testing.assert_array_equal(enclosed(shell), expected)


def test_rules_drop_sheets_specks_and_nothing_else():
    sheet = trimesh.creation.box((0.1, 0.1, 0.0001))
    assert "volume" in why_not(
        sheet.vertices, sheet.faces, trimesh.sample.sample_surface(sheet, 5000, seed=0)[0]
    )
    flat = trimesh.creation.box((0.1, 0.1, 0.0006))
    assert "normals" in why_not(
        flat.vertices, flat.faces, trimesh.sample.sample_surface(flat, 5000, seed=0)[0]
    )
    speck = trimesh.creation.icosphere(1, 0.002).apply_translation((1, 0, 0))
    far = trimesh.util.concatenate([trimesh.creation.icosphere(3, 0.1), speck])
    assert "outliers" in why_not(
        far.vertices, far.faces, trimesh.sample.sample_surface(far, 20000, seed=0)[0]
    )
    for category in ("fork", "plate", "basket", "hammer", "goblet", "knife", "phone_stand"):
        mesh = make_object(category, np.random.default_rng(0)).mesh
        points = trimesh.sample.sample_surface(trimesh.Trimesh(mesh.vertices, mesh.faces), 20000, seed=0)[0]
        assert why_not(mesh.vertices, mesh.faces, points) is None, category


def test_flatness_of_known_shapes():
    box = trimesh.creation.box((1, 1, 1))
    assert flatness(box.vertices, box.faces) == pytest.approx(1 / 3)
    assert flatness(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]])) == pytest.approx(1)
    assert flatness(np.zeros((3, 3)), np.array([[0, 1, 2]])) == 1


@pytest.fixture
def folder(tmp_path):
    """A textured box as OBJ in cm, y up; the same as GLB in metres; a damaged file; a far too large one."""
    box = trimesh.creation.box((0.06, 0.2, 0.04))
    uv = np.tile([[0.25, 0.5]], (len(box.vertices), 1))
    image = Image.new("RGB", (8, 8), (10, 20, 30))
    image.paste((250, 120, 20), (0, 0, 4, 8))
    box.visual = trimesh.visual.TextureVisuals(uv, image=image)
    (tmp_path / "tins").mkdir()
    box.export(tmp_path / "tins" / "box.glb")
    large = box.copy().apply_scale(100)
    text, files = trimesh.exchange.obj.export_obj(large, return_texture=True)
    (tmp_path / "box.obj").write_text(text)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "a_damaged.glb").write_bytes(b"glTF nonsense")
    return tmp_path


def test_folder_reads_units_axes_and_images(folder):
    source = MeshFolder(folder, unit_m=0.01, z_up=False, licence="test")
    assert list(source.names) == ["a_damaged.glb", "box.obj", "tins/box.glb"]
    with pytest.raises(Unusable, match="not a readable glb"):
        source.load(0)
    for index, category in ((1, "box"), (2, "tins")):
        model = source.load(index)
        assert model.category == category
        np.testing.assert_allclose(model.size_m, (0.06, 0.04, 0.2), atol=1e-6)
        np.testing.assert_allclose(
            model.mesh.colors, np.broadcast_to((250, 120, 20), model.mesh.colors.shape), atol=2
        )
        assert not model.symmetry.known
    with pytest.raises(Unusable, match=r"20.000 m long"):
        MeshFolder(folder).load(1)
    assert 0.02 < MeshFolder(folder, rescale=True).load(1).size_m.max() < 0.5
    with pytest.raises(InputError, match="holds no"):
        len(MeshFolder(folder / "nothing"))


def test_materials_cannot_name_files_outside(tmp_path):
    (tmp_path / "secret.txt").write_text("s")
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "a.mtl").write_text("m")
    (inside / "link").symlink_to(tmp_path / "secret.txt")
    resolver = in_folder(inside)
    assert resolver.get("a.mtl") == b"m"
    for name in (
        "../secret.txt",
        str(tmp_path / "secret.txt"),
        "link",
        "x/../../secret.txt",
        "..\\secret.txt",
    ):
        with pytest.raises(FileNotFoundError):
            resolver.get(name)
    with pytest.raises(FileNotFoundError):
        Within(lambda name: b"", "in").namespaced("..").get("secret.txt")


def urdf(color="0.2 0.4 0.6 1"):
    return f"""<robot name="r"><link name="l"><visual><geometry><mesh filename="0.obj" scale="0.01 0.01 0.01"/>
    </geometry><material name="m"><color rgba="{color}"/></material></visual></link></robot>"""


def test_random_urdfs_come_out_of_the_wheel_closed(tmp_path):
    """Two boxes that touch, as in the real files; and one object that is missing."""
    lines = []
    for shift in (0, 4):
        corners = np.array(np.meshgrid([0, 4], [0, 3], [0, 2])).T.reshape(-1, 3) + np.array([shift, 0, 0])
        lines += ["o convex", *(f"v {x} {y} {z}" for x, y, z in corners), "f 1 2 3"]
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as wheel:
        wheel.writestr("pybullet_data/random_urdfs/003/003.urdf", urdf())
        wheel.writestr("pybullet_data/random_urdfs/003/003.obj", "\n".join(lines))
    source = random_urdfs(tmp_path / "w.whl")
    model = source.load(3)
    assert is_watertight(model.mesh)
    np.testing.assert_allclose(model.size_m, (0.08, 0.03, 0.02), rtol=0.006)
    assert (model.mesh.colors == (51, 102, 153)).all()
    assert "zlib" in model.licence
    dressed = dress(model, np.random.default_rng(0))
    assert len(dressed.mesh.faces) > 2000
    assert is_watertight(dressed.mesh)
    np.testing.assert_allclose(dressed.size_m, model.size_m, rtol=1e-5)
    with pytest.raises(Unusable, match=r"has no .*004"):
        source.load(4)
    with pytest.raises(InputError, match="not a wheel"):
        random_urdfs(tmp_path / "none.whl").load(0)


def test_household_objects_come_out_of_the_wheel_closed(tmp_path):
    """A closed box, one without a lid, something that is no mesh; all others are missing."""
    box = trimesh.creation.box((0.06, 0.08, 0.05))
    lid = box.face_normals[:, 2] < 0.5
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as wheel:
        for name, data in (
            ("airplane", box.export(file_type="stl")),
            ("alarmclock", trimesh.Trimesh(box.vertices, box.faces[lid]).export(file_type="stl")),
            ("apple", b"no mesh"),
        ):
            wheel.writestr(f"myosuite/simhive/object_sim/{name}/{name}.stl", data)
    source = object_sim(tmp_path / "w.whl")
    assert len(source) == len(source.names) == 34
    for number, name in enumerate(("airplane", "alarmclock")):
        model = source.load(number)
        assert is_watertight(model.mesh)
        assert (model.category, model.name) == (name, name)
        np.testing.assert_allclose(model.size_m, (0.06, 0.08, 0.05), atol=1e-3)
        assert "Apache" in model.licence
    for number, reason in ((2, "no faces"), (3, "has no .*banana")):
        with pytest.raises(Unusable, match=reason):
            source.load(number)


def msh(vertices, uv, faces):
    """A mesh in MuJoCo's format."""
    counts = np.array([len(vertices), 0, len(uv), len(faces)], "<i4")
    parts = (counts, np.asarray(vertices, "<f4"), np.asarray(uv, "<f4"), np.asarray(faces, "<i4"))
    return b"".join(part.tobytes() for part in parts)


def test_scans_come_out_of_the_wheel_in_their_own_colours(tmp_path):
    """A box whose places in the picture go from the left to the right with x and from its top down with z."""
    box = trimesh.creation.box((0.06, 0.08, 0.1)).subdivide().subdivide()
    low, size = box.bounds[0], box.extents
    uv = np.stack([(box.vertices - low)[:, 0] / size[0], 1 - (box.vertices - low)[:, 2] / size[2]], axis=1)
    image = Image.new("RGB", (64, 64), (20, 20, 20))
    image.paste((200, 30, 30), (0, 0, 64, 32))
    image.paste((30, 200, 30), (0, 32, 32, 64))
    picture = io.BytesIO()
    image.save(picture, "PNG")
    scan = msh(box.vertices, uv, box.faces)
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as wheel:
        for name, mesh, colors in (
            ("002_master_chef_can", scan, picture.getvalue()),
            ("003_cracker_box", scan, b"no picture"),
            ("004_sugar_box", scan[:-4], picture.getvalue()),
            ("005_tomato_soup_can", scan, None),
        ):
            wheel.writestr(f"mj_envs/sims/YCB_sim/meshes/{name}.msh", mesh)
            if colors is not None:
                wheel.writestr(f"mj_envs/sims/YCB_sim/textures/{name}.png", colors)
    source = ycb_sim(tmp_path / "w.whl")
    assert len(source) == len(source.names) == 10
    model = source.load(0)
    assert is_watertight(model.mesh)
    np.testing.assert_allclose(model.size_m, (0.06, 0.08, 0.1), atol=1e-5)
    assert "CC BY" in model.licence
    x, _, z = model.mesh.vertices.T
    for part, color in (
        (z > 0.01, (200, 30, 30)),
        ((z < -0.01) & (x < -0.01), (30, 200, 30)),
        ((z < -0.01) & (x > 0.01), (20, 20, 20)),
    ):
        np.testing.assert_allclose(model.mesh.colors[part], np.tile(color, (part.sum(), 1)), atol=3)
    for number, reason in (
        (1, "the picture of 003"),
        (2, "msh file"),
        (3, "no .*textures"),
        (4, "no .*mustard"),
    ):
        with pytest.raises(Unusable, match=reason):
            source.load(number)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (np.array([-1, 0, -1, 0], "<i4").tobytes(), "counts"),
        (np.array([2**31 - 1] * 4, "<i4").tobytes(), "counts"),
        (msh(np.zeros((3, 3)), np.zeros((2, 2)), [[0, 1, 2]]), "3 vertices, 2 places"),
        (msh(np.zeros((3, 3)), np.zeros((3, 2)), [[0, 1, 3]]), "do not exist"),
        (msh(np.zeros((3, 3)), np.zeros((3, 2)), [[0, -1, 2]]), "do not exist"),
    ],
)
def test_damaged_scans_are_refused(data, reason):
    with pytest.raises(Unusable, match=reason):
        read_msh(data)


def test_furniture_keeps_its_size_and_its_licence(tmp_path):
    box = trimesh.creation.box((1, 2, 3))
    catalog = "\n".join(
        ["# a comment", "license=Free \\u00a9 Some", "name#1=A Cup", "model#1=/a/cup.obj", "width#1=6", "depth#1=8",
         "height#1=10", "creator#1=Somebody", "name#2=Wardrobe", "model#2=/a/w.obj", "width#2=100", "depth#2=60",
         "height#2=200", "name#3=Door", "model#3=/a/d.obj", "width#3=10", "depth#3=10", "height#3=10",
         "doorOrWindow#3=true", "name#4=Torn", "model#4=/a/none.obj", "width#4=5", "depth#4=5",
         "height#4=5", "name#5=Sizeless", "model#5=/a/s.obj"])  # fmt: skip
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as library:
        library.writestr("PluginFurnitureCatalog.properties", catalog)
        library.writestr("a/cup.obj", "mtllib cup.mtl\nusemtl red\n" + trimesh.exchange.obj.export_obj(box))
        library.writestr("a/cup.mtl", "newmtl red\nKd 1 0 0\n")
    (tmp_path / "Lib.sh3f").write_bytes(data.getvalue())
    source = SweetHome(tmp_path)
    assert list(source.names) == ["Lib.sh3f/cup", "Lib.sh3f/none"]
    model = source.load(0)
    np.testing.assert_allclose(model.size_m, (0.06, 0.08, 0.1), atol=1e-6)
    assert model.category == "a_cup"
    assert model.licence == "Free © Some; by Somebody"
    assert (model.mesh.colors == (255, 0, 0)).all()
    with pytest.raises(Unusable, match="has no"):
        source.load(1)
    with pytest.raises(InputError, match=r"no \.sh3f"):
        len(SweetHome(tmp_path / "x"))


def test_properties_of_java():
    assert properties("a=1\n#b=2\n!c=3\nd = x=y\n") == {"a": "1", "d": "x=y"}
