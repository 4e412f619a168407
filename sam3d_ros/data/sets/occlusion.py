"""RP-3DO Flying Occlusions (paper, render-paste data): two rendered objects before a natural picture, one behind the
other, in any orientation. Labels are shape and rotation; there is no pointmap."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sam3d_ros.data.sets.alone import VIEW, Alone, Layer, any_light, any_rotation, in_view
from sam3d_ros.data.sets.backgrounds import Backgrounds, seen_by
from sam3d_ros.data.sets.pool import Pool
from sam3d_ros.data.sets.sample import POINTS, ROTATION, SHAPE, Sample, crop_camera
from sam3d_ros.types import Bool, Float, UInt8

VISIBLE = (0.1, 0.9)
"""|M_vis| / |M_obj| of an occluded target."""
LEAST = 0.002
"""|M_vis| / |I|."""
OCCLUDER_SHARE = 1 / 3
"""Samples whose target is the occluder, with its complete mask, so that a target is not always occluded."""
PER_GROUP = 19
"""Samples until the pool moves on by an object: as many as the paper has per mesh."""
TRIES = 100


def keeps(mask_visible: Bool, mask_object: Bool) -> bool:
    """The paper's rule for an occluded target: 0.1 <= |M_vis| / |M_obj| <= 0.9 and |M_vis| / |I| >= 0.2 %."""
    visible, whole = int(mask_visible.sum()), int(mask_object.sum())
    if not whole:
        return False
    share = visible / whole
    return VISIBLE[0] <= share <= VISIBLE[1] and visible >= LEAST * mask_object.size


@dataclass(frozen=True)
class FlyingOcclusions:
    """Sample i shows objects of group i // 19."""

    pool: Pool
    seed: int = 0
    backgrounds: Backgrounds = field(default_factory=Backgrounds)
    name: str = "rp-3do-fo"

    def __call__(self, index: int) -> Sample:
        """Raises RuntimeError where 100 drawings in a row break the rules, which no ordinary pool does."""
        # Once per sample, not per drawing: occluded targets are rejected more often, which would shift the share.
        take_occluder = np.random.default_rng([self.seed, index, 9]).random() < OCCLUDER_SHARE
        for attempt in range(TRIES):
            sample = self._try(
                index, bool(take_occluder), np.random.default_rng([self.seed, index, attempt, 3])
            )
            if sample is not None:
                return sample
        raise RuntimeError(f"{self.name}: {TRIES} drawings of sample {index} broke the rules of visibility")

    def _try(self, index: int, take_occluder: bool, rng: np.random.Generator) -> Sample | None:
        below, above = self.pool.draw(index // PER_GROUP, 2, rng)
        light = any_light(rng)
        middle = rng.uniform(-0.25, 0.25, 2)
        fills = np.exp(rng.uniform(np.log(0.25), np.log(0.8), 2))
        # The occluder's middle within the target's sphere, otherwise it rarely hides anything.
        aside = middle + rng.uniform(-0.5, 0.5, 2) * fills[0]
        back = Alone(below, in_view(below.model, any_rotation(rng), fills[0], middle), light)
        front = Alone(above, in_view(above.model, any_rotation(rng), fills[1], aside), light)
        outlines = [layer.outlines(VIEW) for layer in (back, front)]
        M_obj, M_occ = (seen.labels == 1 for seen in outlines)
        M_vis = M_obj & ~M_occ
        if take_occluder:
            if M_occ.sum() < LEAST * M_occ.size:
                return None
        elif not keeps(M_vis, M_obj):
            return None
        target, drawn = (front, above) if take_occluder else (back, below)
        view_mask = M_occ if take_occluder else M_vis
        background = self.backgrounds.draw(rng)
        camera = crop_camera(VIEW, view_mask)
        views = [layer.coloured(seen) for layer, seen in zip((back, front), outlines, strict=True)]
        crops = [layer.seen(camera) for layer in (back, front)]
        M_crop_obj, M_crop_occ = (seen.mask for seen in crops)
        nothing: Float = np.full((POINTS, POINTS), np.nan, np.float32)
        return Sample(
            set_name=self.name,
            index=index,
            source=drawn.key[0],
            object_index=drawn.key[1],
            rgb=_pasted(seen_by(background, VIEW, camera), crops),
            mask=M_crop_occ if take_occluder else M_crop_obj & ~M_crop_occ,
            depth_m=nothing,
            target=crops[int(take_occluder)].albedo,
            view=_pasted(seen_by(background, VIEW, VIEW), views),
            view_mask=view_mask,
            camera=camera,
            view_camera=VIEW,
            T_cam_obj=target.T_cam_obj,
            scale=1.0,
            visible=1.0 if take_occluder else float(M_vis.sum() / M_obj.sum()),
            labels=(SHAPE, ROTATION),
        )


def _pasted(background: UInt8, layers: list[Layer]) -> UInt8:
    """The layers over the background, each over those before."""
    for seen in layers:
        background = np.where(seen.mask[..., None], seen.rgb, background)
    return background
