"""Tables of dual marching cubes, derived from first principles: which edges of a cube form which dual vertex.

A cube's corners are inside or outside; the surface crosses the edges between the two kinds. On each face the
crossed edges are joined in pairs, and every closed loop of joined edges becomes one dual vertex (Nielson
2004). On an ambiguous face (inside corners on a diagonal) all four edges are crossed; there each pair
encloses one inside corner, so diagonal inside corners are kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

CORNERS = np.array([(i & 1, i >> 1 & 1, i >> 2) for i in range(8)])
"""Corner k of a cube, (8, 3): x fastest."""

EDGES = np.array(
    [(0, 1), (1, 5), (4, 5), (0, 4), (2, 3), (3, 7), (6, 7), (2, 6), (2, 0), (3, 1), (7, 5), (6, 4)]
)
"""Corner pairs of the twelve edges, in the order of the decoder's weight channels."""


@dataclass(frozen=True)
class Tables:
    """group (256, 12): dual vertex of each edge, -1 where not crossed. count (256,): dual vertices per case.

    ambiguous (256, 3): for cases that may join wrongly with a neighbour, the step to it; else zero.
    A case has bit k set where corner k is inside.
    """

    group: Int
    count: Int
    ambiguous: Int


@lru_cache(maxsize=1)
def tables() -> Tables:
    """All cases (a few milliseconds, once)."""
    group = np.full((256, 12), -1)
    ambiguous = np.zeros((256, 3), int)
    for case in range(256):
        inside = (case >> np.arange(8) & 1).astype(bool)
        pairs, crossed_faces = _pairs(inside)
        group[case] = _loops(inside, pairs)
        # A face crossed four times by one loop: if the cube beyond does the same, the two dual vertices would
        # be joined by two sheets, and the mesh would not be manifold. Only cases with one ambiguous face can
        # do that.
        if len(crossed_faces) == 1:
            step, edges = crossed_faces[0]
            if len(set(group[case][edges])) == 1:
                ambiguous[case] = step
    return Tables(group, group.max(axis=1) + 1, ambiguous)


def _pairs(inside: NDArray[np.bool_]) -> tuple[list[tuple[int, int]], list[tuple[Int, list[int]]]]:
    """Edges joined across faces, and the ambiguous faces with their outward step and four edges."""
    pairs: list[tuple[int, int]] = []
    ambiguous = []
    for axis in range(3):
        for side in (0, 1):
            on_face = CORNERS[:, axis] == side
            edges = [
                e for e, (a, b) in enumerate(EDGES) if on_face[a] and on_face[b] and inside[a] != inside[b]
            ]
            if len(edges) == 2:
                pairs.append((edges[0], edges[1]))
            elif len(edges) == 4:
                for corner in np.flatnonzero(on_face & inside):
                    around = [e for e in edges if corner in EDGES[e]]
                    pairs.append((around[0], around[1]))
                ambiguous.append(((2 * side - 1) * np.eye(3, dtype=int)[axis], edges))
    return pairs, ambiguous


def _loops(inside: NDArray[np.bool_], pairs: list[tuple[int, int]]) -> Int:
    """Number of the loop each crossed edge belongs to, in the order of the edges, -1 elsewhere."""
    label = np.where(inside[EDGES[:, 0]] != inside[EDGES[:, 1]], np.arange(12), -1)
    for _ in range(12):
        for a, b in pairs:
            label[a] = label[b] = min(label[a], label[b])
    crossed = label >= 0
    label[crossed] = np.unique(label[crossed], return_inverse=True)[1]
    return label
