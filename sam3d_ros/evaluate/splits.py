"""The standard splits: made on the fly, the same on every machine, nothing to download.

View i of a split comes from seeds that no training set may use (HELD_OUT_SEED and above), so a longer run
begins like a shorter one. One object per view is judged; the masks of all are given, as on a robot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sam3d_ros.data.held_out import HELD_OUT_SEED, HELD_OUT_URDFS, SEEN_CATEGORIES, UNSEEN_CATEGORIES
from sam3d_ros.data.make_bop import CAMERA, look
from sam3d_ros.data.objects import ObjectModel, dress
from sam3d_ros.data.render import SceneRenderer
from sam3d_ros.data.scene import Scene, around, make_tabletop, orbit, place
from sam3d_ros.data.sources.downloads import cache_folder, cached_pybullet_wheel
from sam3d_ros.data.sources.random_urdfs import CATEGORY as URDF
from sam3d_ros.data.sources.random_urdfs import RandomUrdfs
from sam3d_ros.data.sources.source import Unusable
from sam3d_ros.evaluate.source import LEAST_VISIBLE, Shot, Target
from sam3d_ros.types import Camera, Float, InputError

VIEWS = 200
STRIDE = 1000
"""Seeds per view: what the attempts of one view may use up."""
_SCOUT = Camera(160, 120, CAMERA.fx / 4, CAMERA.fy / 4, 79.5, 59.5)
"""A quick look, to find a camera from which an object is hidden as much as wanted."""


@dataclass(frozen=True)
class Rule:
    """How the views of a split are made. categories: procedural ones, or (URDF,) for those of random_urdfs. objects:
    least and most on the table, in a circle of `radius` m. visible: least and greatest visible share of the judged
    one. down_deg: how steeply the camera looks."""

    first_seed: int
    categories: Sequence[str]
    objects: tuple[int, int]
    radius: float
    visible: tuple[float, float]
    down_deg: tuple[float, float]


RULES = {
    "procedural-heldout": Rule(HELD_OUT_SEED, SEEN_CATEGORIES, (1, 3), 0.15, (LEAST_VISIBLE, 1.0), (25, 60)),
    "procedural-unseen-classes": Rule(
        2 * HELD_OUT_SEED, UNSEEN_CATEGORIES, (1, 3), 0.15, (LEAST_VISIBLE, 1.0), (25, 60)
    ),
    "tabletop-clutter": Rule(3 * HELD_OUT_SEED, SEEN_CATEGORIES, (7, 10), 0.16, (0.4, 0.9), (20, 50)),
    "random-urdfs-heldout": Rule(4 * HELD_OUT_SEED, (URDF,), (1, 3), 0.15, (LEAST_VISIBLE, 1.0), (25, 60)),
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
        if RULES[self.name].categories == (URDF,):
            held_out_urdfs()
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
            # Every procedural object is new; the hundred of random_urdfs come back.
            object_key = f"{split}/{model.name or f'{seed}/{truth.mask_index}'}"
            target = Target(
                truth.mask_index, object_key, model.category, model.mesh, truth.T_cam_obj, truth.visible
            )
            return Shot(split, picture, (target,))
    raise RuntimeError(f"{split}: no scene of {STRIDE} shows an object as the split asks")


def _table(rule: Rule, seed: int, count: int) -> Scene:
    """`count` objects of the rule on a table; those of random_urdfs lie on one of their sides."""
    if rule.categories != (URDF,):
        return make_tabletop(seed, count, rule.categories, rule.radius)
    rng = np.random.default_rng([seed, 3])
    return around(place([_any_urdf(rng) for _ in range(count)], rng, rule.radius, lying=1.0), rng)


def _any_urdf(rng: np.random.Generator) -> ObjectModel:
    """A held-out object of random_urdfs in random colours."""
    source = held_out_urdfs()
    while True:
        try:
            return dress(source.load(int(rng.choice(HELD_OUT_URDFS))), rng)
        except Unusable:
            continue


def held_out_urdfs() -> RandomUrdfs:
    """The source of HELD_OUT_URDFS. Raises InputError where it was never fetched."""
    wheel = cached_pybullet_wheel(cache_folder())
    if wheel is None:
        raise InputError(
            f"random_urdfs is not in {cache_folder()} yet: `sam3d data prepare random-urdfs` fetches it (103 MB)"
        )
    return _opened(wheel)


@lru_cache(maxsize=1)
def _opened(wheel: Path) -> RandomUrdfs:
    return RandomUrdfs(wheel)


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
