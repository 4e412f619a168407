"""Means of weights: runs that began at the same place differ in what each learned by chance, and their mean is better
than any of them (docs/training.md has the figures).

    python -m sam3d_ros.train.average OUT.safetensors A.safetensors B.safetensors ... [--shares 1 1 ...]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import tyro
from torch import Tensor

from sam3d_ros.train.checkpoint import read_weights, save_weights
from sam3d_ros.types import InputError


def averaged(paths: Sequence[Path], shares: Sequence[float] = ()) -> dict[str, Tensor]:
    """fp32 mean of the weights in safetensors files of one network. shares: of each, in proportion; even without.

    Raises InputError where a file cannot be read, names or shapes differ, or the shares do not fit.
    """
    shares = shares or [1.0] * len(paths)
    if not paths or len(shares) != len(paths) or min(shares) < 0 or not sum(shares) > 0:
        raise InputError(f"{len(paths)} weights need as many shares, not negative: {list(shares)}")
    mean: dict[str, Tensor] = {}
    for path, share in zip(paths, shares, strict=True):
        weights = read_weights(path)
        if mean and {n: t.shape for n, t in weights.items()} != {n: t.shape for n, t in mean.items()}:
            raise InputError(f"{path} is of another network than {paths[0]}")
        for name, tensor in weights.items():
            part = tensor.float() * (share / sum(shares))
            mean[name] = mean[name] + part if name in mean else part
    return mean


def main(
    out: tyro.conf.Positional[Path],
    weights: tyro.conf.Positional[tuple[Path, ...]],
    shares: tuple[float, ...] = (),
) -> int:
    """Write the mean of weights.

    Args:
        out: the file to write.
        weights: two files or more, of one network.
        shares: of each file in the mean; the same by default.
    """
    try:
        save_weights(out, averaged(weights, shares), {"mean of": ", ".join(map(str, weights))})
    except InputError as error:
        print(f"average: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
