"""What only evaluation may look at, and what is left for training: kept here because both rooms need to know.

Held out are procedural seeds from HELD_OUT_SEED on, three categories with those that look like them, objects 900 to
999 of random_urdfs, and all of object_sim and ycb_sim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sam3d_ros.data.objects import CATEGORIES, TABLETOP, ObjectModel
from sam3d_ros.data.sources.object_sim import NAME as OBJECT_SIM
from sam3d_ros.data.sources.random_urdfs import COUNT, urdf_name
from sam3d_ros.data.sources.random_urdfs import NAME as RANDOM_URDFS
from sam3d_ros.data.sources.source import ObjectSource, Procedural, check_index
from sam3d_ros.data.sources.ycb_sim import NAME as YCB_SIM
from sam3d_ros.types import InputError

HELD_OUT_SEED = 1_000_000
"""Training uses seeds below this one."""
UNSEEN_CATEGORIES = ("jar", "pan", "car")
"""Never trained on: a container, a tool with a handle, a toy of several parts."""
LOOKALIKES = ("screw_jar", "pot")
"""Never trained on either: a jar with a thread and a pan with high walls would give the unseen ones away."""
# The fixed list, so that a split stays what it is as designs are added.
SEEN_CATEGORIES = tuple(c for c in TABLETOP if c not in UNSEEN_CATEGORIES)
"""What the splits of seen categories show."""
TRAINING_CATEGORIES = tuple(c for c in CATEGORIES if c not in (*UNSEEN_CATEGORIES, *LOOKALIKES))
"""All that training may use."""
ONLY_EVALUATION = (OBJECT_SIM, YCB_SIM)
"""Sources that training may not use at all."""
HELD_OUT_URDFS = range(900, COUNT)
"""Numbers of the objects of random_urdfs that training may not use; a pack leaves some out and knows them by name."""


@dataclass(frozen=True)
class Part:
    """Some objects of a source, by their places in it; `name` stays that of the whole."""

    whole: ObjectSource
    places: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def names(self) -> Sequence[str]:
        names = self.whole.names
        return [names[place] for place in self.places]

    def __len__(self) -> int:
        return len(self.places)

    def load(self, index: int) -> ObjectModel:
        check_index(index, len(self), self.name)
        return self.whole.load(self.places[index])


def training_part(source: ObjectSource) -> ObjectSource:
    """What training may use of a source: random_urdfs, packed or not, without HELD_OUT_URDFS; others as they are.

    Raises InputError for ONLY_EVALUATION."""
    if source.name in ONLY_EVALUATION:
        raise InputError(f"{source.name} is for evaluation: training may not use it")
    if source.name != RANDOM_URDFS:
        return source
    held_out = {urdf_name(number) for number in HELD_OUT_URDFS}
    return Part(source, tuple(i for i, name in enumerate(source.names) if name not in held_out))


def training_objects(seed: int, count: int) -> Procedural:
    """`count` procedural objects for training. Raises InputError for a seed that is held out."""
    if not 0 <= seed < HELD_OUT_SEED:
        raise InputError(
            f"training seeds are 0 to {HELD_OUT_SEED - 1}, not {seed}: the rest is for evaluation"
        )
    return Procedural(seed, count, TRAINING_CATEGORIES)
