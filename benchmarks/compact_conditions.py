"""What colours, picture and points are each worth to the compact geometry model: grid IoU without them.

    python benchmarks/compact_conditions.py held-scenes WEIGHTS.safetensors ... [--config compact] [--examples 192]

held-scenes: a folder of `sam3d train-data` that was not trained on. Without points the model is asked what it never is
on a robot; weights of a stage with `p_no_pointmap` learned it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from sam3d_ros.model.compact.config import COMPACT, NANO
from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.train.checkpoint import load_weights
from sam3d_ros.train.compact.conditions import without_colours, without_picture, without_points
from sam3d_ros.train.compact.recipe import fast_on_cpu
from sam3d_ros.train.compact.stages import STAGES
from sam3d_ros.train.compact.validation import Held, geometry_numbers

SHOWN = {
    "everything": dict,
    "without colours": without_colours,
    "without picture": without_picture,
    "without points": without_points,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("held", type=Path)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--config", choices=("nano", "compact"), default="compact")
    parser.add_argument("--examples", type=int, default=192)
    arguments = parser.parse_args()
    held = Held.of(arguments.held, fine=False, most=arguments.examples)
    table = Table("weights", "shown", "grid IoU, 1 step", "4 steps", "completion")
    for path in arguments.weights:
        network = fast_on_cpu(CompactGeometry(COMPACT if arguments.config == "compact" else NANO)).eval()
        load_weights(network, path)
        for name, seen in SHOWN.items():
            with torch.no_grad():
                numbers = geometry_numbers(STAGES["geometry-pre"], held, network, seen)
            cells = (f"{numbers[key]:.3f}" for key in ("iou_1", "iou_4", "iou_completion"))
            table.add_row(str(path), name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
