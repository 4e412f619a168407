"""Where the objects to be judged come from: a source lists views and loads them one by one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sam3d_ros.data.bop import BopImage, list_images, read_image, read_model, read_table
from sam3d_ros.types import Float, InputError, Mesh

LEAST_VISIBLE = 0.1
"""Objects of which less can be seen are not judged, as in the BOP challenge."""


@dataclass(frozen=True)
class Target:
    """An object to be judged. mask_index: `index` of its mask. object_key: the same in all views of one
    object. mesh: truth in its object frame, m. T_cam_obj: (4, 4) its true pose. visible: share of the
    silhouette, NaN where unknown."""

    mask_index: int
    object_key: str
    label: str
    mesh: Mesh
    T_cam_obj: Float
    visible: float


@dataclass(frozen=True)
class Shot:
    """One image with the objects to be judged in it. The picture may have masks of further objects.

    scene, image: where predictions of others are filed.
    """

    scene: str
    picture: BopImage
    targets: tuple[Target, ...]

    @property
    def key(self) -> str:
        """Unique in its source."""
        return f"{self.scene}/{self.picture.image:06d}"


class Source(Protocol):
    """Can be sent to another process; `load` gives the same for the same key everywhere."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def keys(self) -> list[str]:
        """Names of all views: scene/image."""

    def load(self, key: str) -> Shot:
        """One of them. Raises InputError where it cannot be read."""


@dataclass(frozen=True)
class BopSource:
    """All images of the scenes in `folder` that have ground truth; models are in `folder` or beside it."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    def keys(self) -> list[str]:
        """Raises InputError where the folder has no scene with ground truth."""
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder")
        scenes = sorted(path.parent.name for path in self.folder.glob("*/scene_gt.json"))
        found = []
        for scene in scenes:
            truths = read_table(self.folder / scene / "scene_gt.json", list)
            found += [
                f"{scene}/{image:06d}" for image in list_images(self.folder, scene) if truths.get(image)
            ]
        if not found:
            raise InputError(
                f"{self.folder} has no scene with scene_camera.json and scene_gt.json: "
                f"nothing to compare with"
            )
        return found

    def load(self, key: str) -> Shot:
        """Reads the image, its masks and the true meshes."""
        scene, _, image = key.partition("/")
        picture = read_image(self.folder, scene, int(image))
        seen = {mask.index for mask in picture.masks if mask.pixels.any()}
        models = self.folder if (self.folder / "models").is_dir() else self.folder.resolve().parent
        targets = []
        for truth in picture.truths:
            # Where the visible share is not known, a mask is reason enough to judge.
            if truth.mask_index not in seen or truth.visible < LEAST_VISIBLE:
                continue
            model = read_model(models, truth.obj_id)
            label = model.name or f"obj_{truth.obj_id:06d}"
            object_key = f"obj_{truth.obj_id:06d}"
            targets.append(
                Target(truth.mask_index, object_key, label, model.mesh, truth.T_cam_obj, truth.visible)
            )
        return Shot(scene, picture, tuple(targets))
