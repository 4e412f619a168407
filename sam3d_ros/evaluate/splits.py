"""The standard splits: made on the fly, the same on every machine, nothing to download.

View i of a split comes from seeds that no training set may use (HELD_OUT_SEED and above), so a longer run
begins like a shorter one. One object per view is judged; the masks of all are given, as on a robot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sam3d_ros.data.held_out import HELD_OUT_SEED, HELD_OUT_URDFS, SEEN_CATEGORIES, UNSEEN_CATEGORIES
from sam3d_ros.data.make_bop import CAMERA, look
from sam3d_ros.data.objects import ObjectModel, dress
from sam3d_ros.data.render import SceneRenderer
from sam3d_ros.data.scene import Rest, Scene, around, make_tabletop, orbit, place, resting, toppled
from sam3d_ros.data.sources.downloads import MYOSUITE, PYBULLET, ROBOHIVE, cache_folder, cached_wheel
from sam3d_ros.data.sources.object_sim import NAMES as OBJECTS
from sam3d_ros.data.sources.object_sim import object_sim
from sam3d_ros.data.sources.random_urdfs import CATEGORY as URDF
from sam3d_ros.data.sources.random_urdfs import random_urdfs
from sam3d_ros.data.sources.source import ObjectSource, Unusable
from sam3d_ros.data.sources.ycb_sim import NAMES as SCANS
from sam3d_ros.data.sources.ycb_sim import ycb_sim
from sam3d_ros.evaluate.source import LEAST_VISIBLE, Shot, Target
from sam3d_ros.types import Camera, Float, InputError

VIEWS = 200
STRIDE = 1000
"""Seeds per view: what the attempts of one view may use up."""
DRAWS = 1000
"""Objects that are tried; a few of every wheel cannot be used."""
_SCOUT = Camera(160, 120, CAMERA.fx / 4, CAMERA.fy / 4, 79.5, 59.5)
"""A quick look, to find a camera from which an object is hidden as much as wanted."""


@dataclass(frozen=True)
class Fetched:
    """Objects out of a package's wheel. package: of `downloads`. source: reads the wheel. numbers: of the objects, as
    the source counts. command: what `sam3d data prepare` calls them. lying: share of them that lies on any of its sides
    and does not stand as the file has it. rest: how those lie. painted: in random colours; False where they have their
    own."""

    package: str
    source: Callable[[Path], ObjectSource]
    numbers: Sequence[int]
    command: str
    lying: float
    rest: Rest = resting
    painted: bool = True

    def wheel(self) -> Path:
        """Raises InputError where it was never fetched."""
        found = cached_wheel(self.package, cache_folder())
        if found is None:
            raise InputError(
                f"{self.package} is not in {cache_folder()} yet: `sam3d data prepare {self.command}` fetches it"
            )
        return found

    def draw(self, rng: np.random.Generator) -> ObjectModel:
        """Any of the objects. Raises InputError where the wheel has none that can be used."""
        wheel = self.wheel()
        for _ in range(DRAWS):
            try:
                model = _loaded(self.source, wheel, int(rng.choice(self.numbers)))
                return dress(model, rng) if self.painted else model
            except Unusable:
                continue
        raise InputError(f"{wheel} has none of the objects of {self.package}")


@lru_cache(maxsize=128)
def _loaded(source: Callable[[Path], ObjectSource], wheel: Path, number: int) -> ObjectModel:
    """The same few objects come back, and closing one may take seconds."""
    return source(wheel).load(number)


URDFS = Fetched(PYBULLET, random_urdfs, HELD_OUT_URDFS, "random-urdfs", lying=1.0)
HOUSEHOLD = Fetched(MYOSUITE, object_sim, range(len(OBJECTS)), "object-sim", lying=0.5)
YCB = Fetched(ROBOHIVE, ycb_sim, range(len(SCANS)), "ycb-sim", lying=0.5, rest=toppled, painted=False)


@dataclass(frozen=True)
class Rule:
    """How the views of a split are made. categories: of its objects. objects: least and most on the table, in a circle
    of `radius` m. visible: least and greatest visible share of the judged one. down_deg: how steeply the camera looks.
    fetched: where the objects come from; None for procedural ones."""

    first_seed: int
    categories: Sequence[str]
    objects: tuple[int, int] = (1, 3)
    radius: float = 0.15
    visible: tuple[float, float] = (LEAST_VISIBLE, 1.0)
    down_deg: tuple[float, float] = (25, 60)
    fetched: Fetched | None = None


RULES = {
    "procedural-heldout": Rule(HELD_OUT_SEED, SEEN_CATEGORIES),
    "procedural-unseen-classes": Rule(2 * HELD_OUT_SEED, UNSEEN_CATEGORIES),
    "tabletop-clutter": Rule(3 * HELD_OUT_SEED, SEEN_CATEGORIES, (7, 10), 0.16, (0.4, 0.9), (20, 50)),
    "random-urdfs-heldout": Rule(4 * HELD_OUT_SEED, (URDF,), fetched=URDFS),
    "household": Rule(5 * HELD_OUT_SEED, OBJECTS, fetched=HOUSEHOLD),
    "ycb-scans": Rule(6 * HELD_OUT_SEED, SCANS, (3, 6), 0.2, fetched=YCB),
}
SPLITS = tuple(RULES)


@dataclass(frozen=True)
class SplitSource:
    """One of SPLITS. Raises InputError for another name, or one whose objects are not installed."""

    name: str
    views: int = VIEWS

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise InputError(f"there is no split {self.name!r}, but {', '.join(SPLITS)}")
        if (fetched := RULES[self.name].fetched) is not None:
            fetched.wheel()
        if not 1 <= self.views <= HELD_OUT_SEED // STRIDE:
            raise InputError(
                f"{self.views} views: at least 1 and at most {HELD_OUT_SEED // STRIDE} are possible"
            )

    def keys(self) -> list[str]:
        """One per view."""
        return [f"{self.name}/{i:06d}" for i in range(self.views)]

    def load(self, key: str) -> Shot:
        """Makes the scene and looks at it."""
        return make_view(self.name, int(key.partition("/")[2]))


def make_view(split: str, index: int) -> Shot:
    """View `index` of a split: the first scene and camera in which an object is visible as the split asks."""
    rule = RULES[split]
    for attempt in range(STRIDE):
        seed = rule.first_seed + index * STRIDE + attempt
        rng = np.random.default_rng([seed, 2])
        count = int(rng.integers(rule.objects[0], rule.objects[1] + 1))
        scene = _table(rule, seed, count)
        renderer = SceneRenderer(scene)
        ways = orbit(8, down_deg=rule.down_deg, start=float(rng.uniform(0, 2 * np.pi)))
        for T_world_cam in rng.permutation(ways)[:4]:
            if not _candidates(scene, renderer, T_world_cam, rule.visible):
                continue
            picture = look(scene, renderer, CAMERA, T_world_cam, index, rng)
            fitting = [t for t in picture.truths if rule.visible[0] <= t.visible <= rule.visible[1]]
            if not fitting:
                continue
            truth = fitting[int(rng.integers(len(fitting)))]
            model = scene.objects[truth.mask_index - 1].model
            # Every procedural object is new, those that were fetched come back.
            object_key = f"{split}/{model.name or f'{seed}/{truth.mask_index}'}"
            target = Target(
                truth.mask_index, object_key, model.category, model.mesh, truth.T_cam_obj, truth.visible
            )
            return Shot(split, picture, (target,))
    raise RuntimeError(f"{split}: no scene of {STRIDE} shows an object as the split asks")


def _table(rule: Rule, seed: int, count: int) -> Scene:
    """`count` objects of the rule on a table."""
    if (fetched := rule.fetched) is None:
        return make_tabletop(seed, count, rule.categories, rule.radius)
    rng = np.random.default_rng([seed, 3])
    models = [fetched.draw(rng) for _ in range(count)]
    return around(place(models, rng, rule.radius, fetched.lying, fetched.rest), rng)


def _candidates(
    scene: Scene, renderer: SceneRenderer, T_world_cam: Float, visible: tuple[float, float]
) -> list[int]:
    """Labels of the objects that a coarse look finds visible as much as asked."""
    labels = renderer.render(_SCOUT, T_world_cam, antialias=False).labels
    whole = renderer.silhouettes(_SCOUT, T_world_cam)
    found = []
    for placed in scene.objects:
        pixels = int(whole[placed.label].sum())
        share = int((labels == placed.label).sum()) / pixels if pixels else 0.0
        if visible[0] <= share <= visible[1]:
            found.append(placed.label)
    return found
