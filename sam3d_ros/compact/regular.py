"""Regular things: an answer that is nearly a block or turned on an axis becomes just that."""

from __future__ import annotations

from sam3d_ros.compact.block import block
from sam3d_ros.compact.samples import Samples
from sam3d_ros.compact.turned import turned
from sam3d_ros.mesh.surface import Grid
from sam3d_ros.types import Float


def regular(distance: Float, measured: Float, grid: Grid) -> Float:
    """Distances (X, Y, Z) float32, positive inside, in units of the truncation, that are measured (X, Y, Z) so well
    (`measured.beside`): those of the regular thing that they nearly are of; else unchanged."""
    samples = Samples.of(distance, measured, grid)
    if samples is None:
        return distance
    found = block(distance, samples)
    if found is None:
        found = turned(distance, measured, samples)
    return distance if found is None else found
