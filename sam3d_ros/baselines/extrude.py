"""The visible surface, extruded down to the support: the default of the classical methods.

Seen from above, the visible points of most things on a table already show the whole footprint. What is
missing is filled with its convex hull, and everything that the camera saw through is taken away again.
"""

from __future__ import annotations

import numpy as np

from sam3d_ros.baselines.columns import stand
from sam3d_ros.baselines.evidence import Evidence, evidence
from sam3d_ros.perception.frames import inverse
from sam3d_ros.types import Float, Frame, Mesh, ObjectView

LOW_SIGHT = np.radians(20)  # below this elevation the top of a thing says little about how deep it is
DEPTH_PRIOR = 0.9  # depth of a thing seen from the side, in terms of the smaller of its width and height
SEEN_SKIN = 1e-3  # m; the seen surface lies this far inside what is kept, or noise would thin sheets away
STEP = 8e-3  # m between copies of the points when they are pushed back


def deepen(seen: Evidence) -> Float:
    """The points (N, 3), and where the camera looks from the side, copies of them pushed back into the
    unseen.

    Seen from the side, only the front of a thing is visible and its depth is a guess: about as deep as the
    smaller of its width and height. Where the camera sees what is behind, the clearance takes the guess
    back.
    """
    points = seen.points
    camera_view = inverse(seen.view.T_cam_view)[:3, 3]
    width, height = float(np.ptp(points[:, 1])), float(points[:, 2].max())
    elevation = np.arctan2(camera_view[2] - height, np.hypot(camera_view[0], camera_view[1]))
    missing = DEPTH_PRIOR * min(width, height) - float(np.ptp(points[:, 0]))
    if elevation > LOW_SIGHT or missing <= STEP / 2:
        return points
    shifts = np.linspace(0, missing, int(missing / STEP) + 2, dtype=np.float32)
    away = np.array([1, 0, 0], np.float32)
    return (points[None] + shifts[:, None, None] * away).reshape(-1, 3)


def extrude(view: ObjectView, frame: Frame) -> Mesh:
    """Watertight mesh, m, in the view frame.

    Raises InputError for fewer than 4 points above the support, MeshError where no solid is left.
    """
    seen = evidence(view, frame)
    return stand(deepen(seen), lambda points: seen.clearance(points) + np.float32(SEEN_SKIN))
