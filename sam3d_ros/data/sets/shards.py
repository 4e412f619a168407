"""Training views as webdataset shards (tar files), and the same views through Ray Data on many machines.

    set-000000.tar: tabletop-000000000.rgb.png .mask.png .depth.png .target.png .view.png .view_mask.png .json

depth.png is 16 bit in units of 0.1 mm, 0 for nothing. A shard is a pure function of its number: it can be written by
any machine, and one that exists is not written again.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sam3d_ros.data.sets.sample import Sample, SampleSet
from sam3d_ros.mesh.export import safe_name, write_atomic
from sam3d_ros.types import Camera, Float, InputError, UInt8

DEPTH_UNIT_M = 1e-4
PICTURES = ("rgb", "target", "view")
MASKS = ("mask", "view_mask")


def encode(sample: Sample) -> dict[str, bytes]:
    """File endings and contents. Depth keeps 0.1 mm up to 6.5 m, everything else is kept exactly."""
    files = {f"{name}.png": _png(getattr(sample, name)[..., ::-1]) for name in PICTURES}
    files |= {f"{name}.png": _png(getattr(sample, name).astype(np.uint8) * 255) for name in MASKS}
    units = np.nan_to_num(sample.depth_m / DEPTH_UNIT_M, nan=0.0)
    files["depth.png"] = _png(np.clip(np.rint(units), 0, 65535).astype(np.uint16))
    facts = {
        "set": sample.set_name,
        "index": sample.index,
        "source": sample.source,
        "object": sample.object_index,
        "camera": asdict(sample.camera),
        "view_camera": asdict(sample.view_camera),
        "T_cam_obj": sample.T_cam_obj.tolist(),
        "scale": sample.scale,
        "visible": sample.visible,
        "labels": list(sample.labels),
    }
    return files | {"json": json.dumps(facts).encode()}


def decode(files: Mapping[str, bytes]) -> Sample:
    """The sample of what `encode` gave. Raises InputError where something is missing or damaged."""
    try:
        facts = json.loads(files["json"])
        rgb, target, view = (_unpng(files[f"{name}.png"])[..., ::-1].copy() for name in PICTURES)
        mask, view_mask = (_unpng(files[f"{name}.png"]) > 0 for name in MASKS)
        units = _unpng(files["depth.png"])
        depth: Float = np.where(units > 0, units * np.float32(DEPTH_UNIT_M), np.float32(np.nan)).astype(
            np.float32
        )
        return Sample(
            set_name=facts["set"],
            index=facts["index"],
            source=facts["source"],
            object_index=facts["object"],
            depth_m=depth,
            camera=_camera(facts["camera"]),
            view_camera=_camera(facts["view_camera"]),
            T_cam_obj=np.array(facts["T_cam_obj"], np.float64).reshape(4, 4),
            scale=facts["scale"],
            visible=facts["visible"],
            labels=tuple(facts["labels"]),
            rgb=rgb,
            target=target,
            view=view,
            mask=mask,
            view_mask=view_mask,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"not a sample: {type(error).__name__}: {error}") from None


def write_shards(
    samples: SampleSet,
    folder: Path,
    count: int,
    per_shard: int = 1000,
    worker: int = 0,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write samples 0 .. count - 1; with several workers each writes every `workers`-th shard. Returns its paths.

    Shards that are there are kept. progress(done, total) counts this worker's samples.
    """
    numbers = range(worker, -(-count // per_shard), workers)
    total = sum(min(per_shard, count - n * per_shard) for n in numbers)
    done, paths = 0, []
    for number in numbers:
        path = folder / f"{safe_name(samples.name)}-{number:06d}.tar"
        size = min(per_shard, count - number * per_shard)
        if not path.is_file():
            data = io.BytesIO()
            with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for index in range(number * per_shard, number * per_shard + size):
                    _add(tar, f"{safe_name(samples.name)}-{index:09d}", encode(samples(index)))
                    done += 1
                    if progress is not None:
                        progress(done, total)
            write_atomic(path, data.getvalue())
        else:
            done += size
        paths.append(path)
    return paths


def read_shard(path: Path) -> Iterator[Sample]:
    """The samples of a shard in order, without any library. Raises InputError where it is damaged."""
    files: dict[str, bytes] = {}
    name = ""
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, ending = member.name.partition(".")
                if key != name and files:
                    yield decode(files)
                    files = {}
                content = tar.extractfile(member)
                name, files[ending] = key, content.read() if content is not None else b""
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{path} is not a shard: {error}") from None
    if files:
        yield decode(files)


def ray_dataset(samples: SampleSet, count: int) -> Any:
    """A Ray dataset of `count` rows {"index", and the files that `decode` takes}, made where Ray has free cores:
    `ray_dataset(s, n).iter_rows()`, or its write_webdataset. Needs ray (pip install ray pandas pyarrow)."""
    import ray.data  # type: ignore[import-not-found,unused-ignore]

    def row(item: dict[str, Any]) -> dict[str, Any]:
        index = int(item["id"])
        return {"index": index, **encode(samples(index))}

    return ray.data.range(count).map(row)


def _add(tar: tarfile.TarFile, key: str, files: Mapping[str, bytes]) -> None:
    for ending in sorted(files):
        member = tarfile.TarInfo(f"{key}.{ending}")
        # No times and no users: the same samples give the same bytes.
        member.size, member.mtime, member.mode = len(files[ending]), 0, 0o644
        tar.addfile(member, io.BytesIO(files[ending]))


def _png(pixels: Any) -> bytes:
    done, data = cv2.imencode(".png", np.ascontiguousarray(pixels), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise InputError("a picture could not be written as PNG")
    return data.tobytes()


def _unpng(data: bytes) -> UInt8:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("not a readable PNG")
    return np.asarray(pixels)


def _camera(entry: dict[str, Any]) -> Camera:
    return Camera(**{**entry, "distortion": tuple(entry["distortion"])})
