"""Published names and shapes, reading of checkpoints, conversion."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from sam3d_ros.model import convert as conversion
from sam3d_ros.model import published
from sam3d_ros.model import published_names as names
from sam3d_ros.model.convert_command import convert as command
from sam3d_ros.model.published import NETWORKS
from sam3d_ros.model.published_names import CheckpointError
from sam3d_ros.model.slat_trunk import WindowPair
from sam3d_ros.model.texture import TextureTables

KEYS = {
    "geometry_condition": "ss_condition_embedder",
    "geometry": "ss_generator",
    "occupancy_decoder": "ss_decoder",
    "occupancy_encoder": "ss_encoder",
    "texture_condition": "slat_condition_embedder",
    "texture": "slat_generator",
    "mesh_decoder": "slat_decoder_mesh",
    "gaussian_decoder": "slat_decoder_gs",
    "gaussian_decoder_4": "slat_decoder_gs_4",
    "slat_encoder": "slat_encoder",
}


@pytest.mark.parametrize("name", NETWORKS)
def test_published_size_has_the_published_names_and_shapes(name, golden_folder):
    """The full-size network on the meta device against the list of the checkpoint's tensors, in both
    directions.
    """
    path = golden_folder / "keys" / f"{KEYS[name]}_full.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not in {golden_folder}/keys")
    listed = json.loads(path.read_text())
    network = NETWORKS[name]
    with torch.device("meta"):
        module = network.build()
    ours = module.state_dict()
    theirs = names.to_published(ours, network.pairs)
    assert {n: list(t.shape) for n, t in theirs.items()} == listed["shapes"]
    assert len(theirs) == listed["num_tensors"]
    assert sum(p.numel() for p in module.parameters()) == listed["num_params"]
    back = names.to_ours(theirs, network.pairs)
    assert list(back) == list(ours)


def test_full_forward_passes_on_the_meta_device():
    """Every published-size network runs at published token counts, shapes only."""
    with torch.device("meta"):
        nets = {n: NETWORKS[n].build() for n in ("geometry_condition", "geometry", "occupancy_decoder")}
        condition = nets["geometry_condition"]
        views = {v: torch.empty(1, 1 if "mask" in v else 3, 518, 518) for v in condition.views}
        tokens = condition(views)
        assert tokens.shape == (1, 7528, 1024)
        geometry = nets["geometry"]
        x = {n: torch.empty(1, geometry.config.tokens[n], c) for n, c in geometry.config.channels.items()}
        context = geometry.prepare(tokens)
        assert context.shape_kv.shape == (24, 2, 1, 16, 7528, 64)
        velocity = geometry(x, torch.empty(1), torch.empty(1), context)
        assert {n: v.shape for n, v in velocity.items()} == {n: v.shape for n, v in x.items()}
        assert nets["occupancy_decoder"].from_tokens(velocity["shape"]).shape == (1, 1, 64, 64, 64)


def test_full_texture_and_decoders_on_the_meta_device():
    """20 000 voxels, 5 200 coarse tokens, 300 windows of up to 128 voxels."""
    n, m = 20_000, 5_200
    with torch.device("meta"):
        condition, texture, mesh, gaussian = (
            NETWORKS[name].build()
            for name in ("texture_condition", "texture", "mesh_decoder", "gaussian_decoder")
        )
        tokens = condition({v: torch.empty(1, 1 if "mask" in v else 3, 518, 518) for v in condition.views})
        assert tokens.shape == (1, 5496, 1024)

        def index(*shape):
            return torch.empty(*shape, dtype=torch.int64)

        tables = TextureTables(index(n, 27), index(n), index(m, 8), index(m, 27), index(m, 3))
        slat = texture(torch.empty(n, 8), torch.empty(1), tables, texture.prepare(tokens))
        assert slat.shape == (n, 8)
        windows = WindowPair(index(300, 128), index(n), index(320, 128), index(n))
        assert mesh(slat, index(n, 3), windows, index(n, 27)).shape == (64 * n, 101)
        raw = gaussian(slat, index(n, 3), windows)
        assert len(gaussian.gaussians(raw, index(n, 3))) == 32 * n


@pytest.mark.parametrize("name", ["geometry", "texture", "mesh_decoder", "geometry_condition"])
def test_names_round_trip(tiny, name):
    net = tiny(name)
    pairs = NETWORKS[name].pairs
    theirs = names.to_published(net.state_dict(), pairs)
    assert len(theirs) == len(net.state_dict())
    again = names.to_ours(theirs, pairs)
    assert all(again[n] is not None and torch.equal(again[n], t) for n, t in net.state_dict().items())


def test_each_name_matches_one_pair_only():
    for network in NETWORKS.values():
        with torch.device("meta"):
            theirs = names.to_published(network.build().state_dict(), network.pairs)
        for name in list(theirs)[:: max(1, len(theirs) // 60)]:
            matches = [p for p in network.pairs if names.rename(name, (p,))]
            assert len(matches) == 1, name


def test_messages_name_what_is_wrong(tiny):
    state = dict(tiny("geometry").state_dict())
    expected = dict(state)
    state.pop("blocks.0.shape.qkv.weight")
    state["blocks.1.shape.qkv.bias"] = torch.zeros(3)
    state["stray"] = torch.zeros(1)
    with pytest.raises(CheckpointError) as error:
        published.check(state, expected, "file.ckpt")
    text = str(error.value)
    assert "missing: blocks.0.shape.qkv.weight" in text
    assert "unexpected: stray" in text
    assert "blocks.1.shape.qkv.bias is [3], expected [192]" in text
    with pytest.raises(CheckpointError, match=r"unexpected tensors: nonsense\.weight"):
        names.to_ours({"nonsense.weight": torch.zeros(1)}, names.GEOMETRY)


def test_reads_both_forms_of_checkpoint(tmp_path):
    tensors = {"a": torch.randn(3), "b": torch.randn(2, 2).half()}
    torch.save({"state_dict": {**tensors, "step": 3}, "epoch": 7}, tmp_path / "wrapped.ckpt")
    torch.save(tensors, tmp_path / "bare.pt")
    torch.save(tensors, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    save_file(tensors, tmp_path / "safe.safetensors")
    for name in ("wrapped.ckpt", "bare.pt", "old.ckpt", "safe.safetensors"):
        got = published.read_checkpoint(tmp_path / name)
        assert sorted(got) == ["a", "b"]
        assert all(torch.equal(got[n], tensors[n]) for n in tensors)


class Bomb:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_never_runs_code(tmp_path):
    mark = tmp_path / "it-ran"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "x": Bomb(mark)}, tmp_path / "evil.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Bomb(mark)))
    for name in ("evil.ckpt", "plain.ckpt"):
        with pytest.raises(CheckpointError, match="cannot be read"):
            published.read_checkpoint(tmp_path / name)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_damaged_files_are_refused(tmp_path, content, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="x\\."):
        published.read_checkpoint(path)


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 1}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="no state dict"):
        published.read_checkpoint(tmp_path / "x.ckpt")


# Conversion, with small networks standing in for the published sizes.


@pytest.fixture
def release(tmp_path, tiny, monkeypatch):
    """A folder like the download, at tiny sizes; returns it and the networks."""
    small = {}
    nets = {}
    for name, network in NETWORKS.items():
        net = tiny("gaussian_decoder", per_voxel=3) if name == "gaussian_decoder_4" else tiny(name)
        config = getattr(net, "config", None) or tiny.__globals__["TINY"][name]
        small[name] = published.Network(
            name, network.file, network.prefix, network.pairs, config, network.module
        )
        nets[name] = net
    monkeypatch.setattr(published, "NETWORKS", small)
    monkeypatch.setattr(conversion, "NETWORKS", small)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    files: dict[str, dict[str, torch.Tensor]] = {}
    for name, network in small.items():
        state = names.to_published(nets[name].state_dict(), network.pairs)
        files.setdefault(network.file, {}).update({network.prefix + n: t for n, t in state.items()})
    files["ss_generator"]["_base_models.other.weight"] = torch.zeros(5)
    for file, state in files.items():
        wrapped = {"state_dict": state} if file.endswith("generator") else state
        torch.save(wrapped, folder / f"{file}.ckpt")
    return folder, nets


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_convert_and_load(release, tmp_path, dtype, close):
    folder, nets = release
    out = tmp_path / "out"
    manifest = json.loads(conversion.convert(folder, out, dtype).read_text())
    assert set(manifest["networks"]) == set(NETWORKS)
    assert "SAM License" in manifest["licence"]
    for name, net in nets.items():
        loaded = conversion.load(out, name)
        want = net.state_dict()
        for n, t in loaded.state_dict().items():
            assert t.dtype == conversion.DTYPES[dtype]
            assert torch.equal(t, want[n].to(t.dtype))
        assert list(load_file(out / f"{name}.safetensors"))
        assert manifest["networks"][name]["parameters"] == sum(t.numel() for t in want.values())


def test_convert_resumes(release, tmp_path, monkeypatch):
    """Stopped in the middle, the second run writes only what is missing; a damaged file is written again."""
    folder, _ = release
    out = tmp_path / "out"
    seen = []

    def stop_at_texture(name, done, total):
        seen.append(name)
        if name == "texture":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conversion.convert(folder, out, "bf16", stop_at_texture)
    assert not (out / "texture.safetensors").exists()
    written = []
    original = conversion.write_safetensors

    def spy(path, *rest):
        written.append(path.stem)
        return original(path, *rest)

    monkeypatch.setattr(conversion, "write_safetensors", spy)
    conversion.convert(folder, out, "bf16")
    assert "texture" in written
    assert "geometry" not in written
    written.clear()
    conversion.convert(folder, out, "bf16")
    assert written == []
    path = out / "geometry.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        conversion.load(out, "geometry")
    conversion.convert(folder, out, "bf16")
    assert written == ["geometry"]
    conversion.convert(folder, out, "fp16")
    assert len(written) == 1 + len(NETWORKS)


def test_missing_files_are_named(release, tmp_path):
    folder, _ = release
    (folder / "ss_generator.ckpt").unlink()
    (folder / "slat_decoder_mesh.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"missing slat_decoder_mesh\.ckpt, ss_generator\.ckpt"):
        conversion.convert(folder, tmp_path / "out")


def test_encoders_are_optional(release, tmp_path):
    folder, _ = release
    (folder / "slat_encoder.ckpt").unlink()
    manifest = json.loads(conversion.convert(folder, tmp_path / "out").read_text())
    assert "slat_encoder" not in manifest["networks"]


def test_a_manifest_cannot_point_outside(release, tmp_path):
    folder, _ = release
    out = tmp_path / "out"
    path = conversion.convert(folder, out)
    manifest = json.loads(path.read_text())
    manifest["networks"]["geometry"]["file"] = "../out/geometry.safetensors"
    path.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="missing or damaged"):
        conversion.load(out, "geometry")
    path.write_text("[]")
    with pytest.raises(CheckpointError, match="not a manifest"):
        conversion.load(out, "geometry")


def test_command(release, tmp_path, capsys):
    folder, _ = release
    assert command(folder, tmp_path / "out", "bf16") == 0
    assert "manifest.json" in capsys.readouterr().out
    assert command(tmp_path / "nowhere", tmp_path / "out", "bf16") == 1
    assert "missing" in capsys.readouterr().err


def test_memory_of_converting_stays_low(tmp_path):
    """Writing 400 MB of mapped tensors takes little more than the largest of them."""
    script = """
import resource, sys, torch
from pathlib import Path
from sam3d_ros.model.convert import write_safetensors
from sam3d_ros.model.published import read_checkpoint
folder = Path(sys.argv[1])
if sys.argv[2] == "make":
    torch.save({f"t{i}": torch.zeros(2_500_000) + i for i in range(40)}, folder / "big.ckpt")
else:
    state = read_checkpoint(folder / "big.ckpt")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_safetensors(folder / "big.safetensors", state, torch.bfloat16, {})
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    for step in ("make", "convert"):
        result = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), step], capture_output=True, text=True, check=True
        )
    grown = int(result.stdout) * 1024
    assert grown < 400e6 + 60e6  # the mapped source counts once, the copies one tensor at a time
