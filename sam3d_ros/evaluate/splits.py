"""The standard splits: made on the fly, the same on every machine, nothing to download.

View i of a split comes from seeds that no training set may use (HELD_OUT_SEED and above), so a longer run
begins like a shorter one. One object per view is judged; the masks of all are given, as on a robot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam3d_ros.data.make_bop import CAMERA, look
from sam3d_ros.data.objects import CATEGORIES
from sam3d_ros.data.render import SceneRenderer
from sam3d_ros.data.scene import Scene, make_tabletop, orbit
from sam3d_ros.evaluate.source import LEAST_VISIBLE, Shot, Target
from sam3d_ros.types import Camera, Float, InputError

HELD_OUT_SEED = 1_000_000
"""Training uses seeds below this one."""
UNSEEN_CATEGORIES = ("jar", "pan", "car")
"""Never trained on: a container, a tool with a handle, a toy of several parts."""
SEEN_CATEGORIES = tuple(c for c in CATEGORIES if c not in UNSEEN_CATEGORIES)
VIEWS = 200
STRIDE = 1000
"""Seeds per view: what the attempts of one view may use up."""
SPLITS = ("procedural-heldout", "procedural-unseen-classes", "tabletop-clutter", "random-urdfs-heldout")
_SCOUT = Camera(160, 120, CAMERA.fx / 4, CAMERA.fy / 4, 79.5, 59.5)
"""A quick look, to find a camera from which an object is hidden as much as wanted."""


@dataclass(frozen=True)
class Rule:
    """How the views of a split are made. objects: least and most on the table, in a circle of `radius` m.
    visible: least and greatest visible share of the judged one. down_deg: how steeply the camera looks."""

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
}


@dataclass(frozen=True)
class SplitSource:
    """One of SPLITS. Raises InputError for another name, or one whose objects are not installed."""

    name: str
    views: int = VIEWS

    def __post_init__(self) -> None:
        if self.name == "random-urdfs-heldout":
            raise InputError(
                "random-urdfs-heldout needs the objects 900 to 999 of pybullet's random_urdfs, for which this "
                f"version has no reader; ready are {', '.join(RULES)}"
            )
        if self.name not in RULES:
            raise InputError(f"there is no split {self.name!r}, but {', '.join(SPLITS)}")
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
        scene = make_tabletop(seed, count, rule.categories, rule.radius)
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
            object_key = f"{split}/{seed}/{truth.mask_index}"
            target = Target(
                truth.mask_index, object_key, model.category, model.mesh, truth.T_cam_obj, truth.visible
            )
            return Shot(split, picture, (target,))
    raise RuntimeError(f"{split}: no scene of {STRIDE} shows an object as the split asks")


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
