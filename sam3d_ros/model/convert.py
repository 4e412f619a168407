"""Published checkpoints -> one safetensors file per network under our names, with a manifest.

`convert` writes tensor by tensor from memory-mapped sources, so its own memory is that of the largest tensor.
A network whose output is complete (manifest entry, size and hash agree) is not written again, so a stopped
run can be resumed.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from .published import NETWORKS, read_checkpoint, select
from .published_names import CheckpointError

Dtype = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SAFETENSORS_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
OPTIONAL = ("occupancy_encoder", "slat_encoder")
LICENCE = (
    "Converted from checkpoints that the user downloaded. They are under Meta's SAM License; sam3d_ros "
    "neither ships nor sublicenses them."
)
Progress = Callable[[str, int, int], None]
"""progress(network, bytes written, bytes of this network)."""


def convert(checkpoints: Path, out: Path, dtype: Dtype = "bf16", progress: Progress | None = None) -> Path:
    """Convert every network of a download; returns the manifest's path.

    checkpoints: folder with ss_generator.ckpt, slat_generator.ckpt, ss_decoder.ckpt, slat_decoder_mesh.ckpt,
    slat_decoder_gs.ckpt and slat_decoder_gs_4.ckpt (`.safetensors` of the same names work too); the two
    encoders are converted where they are there. Raises CheckpointError where a file is missing or does not
    hold what it should.
    """
    sources = find_sources(checkpoints)
    out.mkdir(parents=True, exist_ok=True)
    manifest_path = out / "manifest.json"
    manifest = read_manifest(manifest_path)
    for name, source in sources.items():
        entry = manifest["networks"].get(name)
        stat = source.stat()
        origin = {"file": source.name, "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}
        if entry and entry["source"] == origin and entry["dtype"] == dtype and is_complete(out, entry):
            if progress:
                progress(name, entry["bytes"], entry["bytes"])
            continue
        network = NETWORKS[name]
        state = select(read_checkpoint(source), network, source.name)
        target = out / f"{name}.safetensors"
        digest = write_safetensors(
            target, state, DTYPES[dtype], {"network": name, "licence": LICENCE}, _named(progress, name)
        )
        manifest["networks"][name] = {
            "file": target.name,
            "bytes": target.stat().st_size,
            "sha256": digest,
            "dtype": dtype,
            "parameters": sum(t.numel() for t in state.values()),
            "config": asdict(network.config),
            "source": origin,
        }
        del state
        _write_json(manifest_path, manifest)
    return manifest_path


def find_sources(checkpoints: Path) -> dict[str, Path]:
    """Network -> its checkpoint file; CheckpointError names every file that is missing."""
    found: dict[str, Path] = {}
    missing = []
    for name, network in NETWORKS.items():
        candidates = [checkpoints / f"{network.file}{suffix}" for suffix in (".safetensors", ".ckpt", ".pt")]
        path = next((p for p in candidates if p.is_file()), None)
        if path is not None:
            found[name] = path
        elif name not in OPTIONAL:
            missing.append(f"{network.file}.ckpt")
    if missing:
        raise CheckpointError(f"{checkpoints}: missing {', '.join(sorted(set(missing)))}")
    return found


def load(folder: Path, name: str, device: torch.device | str = "cpu") -> torch.nn.Module:
    """A converted network in evaluation mode, in the dtype it was converted to; its file's hash is checked.

    Raises CheckpointError where the manifest does not list it or the file is damaged.
    """
    manifest = read_manifest(folder / "manifest.json")
    entry = manifest["networks"].get(name)
    if entry is None:
        raise CheckpointError(f"{folder}: the manifest lists no network {name}")
    if not is_complete(folder, entry):
        raise CheckpointError(f"{folder / entry['file']}: missing or damaged; convert again")
    with torch.device("meta"):
        module = NETWORKS[name].build()
    state = read_checkpoint(folder / entry["file"])
    module.load_state_dict({n: t.to(device) for n, t in state.items()}, assign=True)
    return module.eval()


def write_safetensors(
    path: Path,
    state: Mapping[str, Tensor],
    dtype: torch.dtype,
    metadata: dict[str, str],
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Write tensors one at a time, cast to a dtype; returns the file's SHA-256.

    The safetensors library serialises all tensors at once, which would double the memory of the largest
    checkpoint. The file appears under its name only when it is complete.
    """
    size = torch.empty((), dtype=dtype).element_size()
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, tensor in state.items():
        start, end = end, end + tensor.numel() * size
        header[name] = {
            "dtype": SAFETENSORS_NAMES[dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:

        def put(data: bytes | memoryview) -> None:
            file.write(data)
            digest.update(data)

        put(struct.pack("<Q", len(text)) + text)
        written = 0
        for tensor in state.values():
            data = tensor.detach().to(dtype).contiguous().reshape(-1).view(torch.uint8).numpy()
            put(data.data)
            written += data.nbytes
            if progress:
                progress(written, end)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return digest.hexdigest()


def is_complete(folder: Path, entry: Mapping[str, Any]) -> bool:
    """Whether a manifest entry's file lies in the folder with the right size and hash."""
    if Path(entry["file"]).name != entry["file"]:  # a manifest never points outside of its folder
        return False
    path = folder / entry["file"]
    if not path.is_file() or path.stat().st_size != entry["bytes"]:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest() == entry["sha256"]


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, or an empty one; CheckpointError where the file is something else."""
    if not path.exists():
        return {"format": 1, "licence": LICENCE, "networks": {}}
    try:
        manifest = json.loads(path.read_text())
    except ValueError as error:
        raise CheckpointError(f"{path}: not a manifest ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != 1:
        raise CheckpointError(f"{path}: not a manifest of format 1")
    return manifest


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file in one step."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(path)


def _named(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    """Progress of one network."""
    if progress is None:
        return None
    return lambda done, total: progress(name, done, total)
