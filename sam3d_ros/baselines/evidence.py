"""What one depth image says about any point of space: seen through, on the surface, or hidden.

Shared by the methods that complete the hidden side; everything here is in the view frame of one object
(types.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sam3d_ros.perception.camera import project
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.types import Bool, Float, Frame, InputError, Int, ObjectView

RIM = 1 / 320  # of the width of the picture, by which masks of other things may be too small
BESIDE = 1 / 40  # of that width, as far as something nearer that has no mask may have no depth
ABOVE = 0.01  # m over the support, from which on something stands there
MARGIN = 24  # pixels around the mask in which free space is looked up


@dataclass(frozen=True)
class Evidence:
    """One object's visible points and the depth image around it.

    points: (N, 3) float32 m, view frame, table left out. depth: (h, w) float32 m, NaN where unknown, inf where there is
    none and nothing that hides the object; `mask` (h, w) bool; `gap` (h, w) float32 pixels from each pixel outside the
    mask to the mask. x0, y0: image position of the crop.
    """

    view: ObjectView
    frame: Frame
    points: Float
    depth: Float
    mask: Bool
    gap: Float
    x0: int
    y0: int

    def clearance(self, points: Float) -> Float:
        """(N,) float32 m for points (N, 3): how far behind what the camera saw, negative in observed free
        space.

        Inside the mask it is the distance to the seen surface along the optical axis. Outside, a point that
        the camera saw through, or that lies on the surface of something else, is minus its distance to the
        mask's outline; a point behind something nearer, behind a hole in the depth of what may hide the object
        (`beyond_holes`) or out of the picture may be solid and gets +inf.
        """
        return self.look_up(points)[0]

    def look_up(self, points: Float) -> tuple[Float, Bool]:
        """For points (N, 3): their `clearance`, and (N,) bool whether the pixel that looks at them is the object's."""
        z, pixel, known = self._pixels(points)
        behind = np.where(known, z - self.depth.ravel()[pixel], np.nan)
        error = tolerance(z)
        outside = np.maximum(behind - error, -self.gap.ravel()[pixel] * z / self.frame.camera.fx)
        outside = np.where(behind < error, outside, np.inf)
        own = self.mask.ravel()[pixel]
        value = np.where(own, behind, outside)
        return np.where(np.isnan(value), np.inf, value).astype(np.float32), known & own

    def _pixels(self, points: Float) -> tuple[Float, Int, Bool]:
        """For points (N, 3): depth m, number of the pixel in the crop that looks at them (0 where there is none),
        and whether there is one."""
        camera = self.frame.camera
        T = self.view.T_cam_view.astype(np.float32)
        # A row per axis: loops along the points are several times as fast as loops over three numbers.
        cam = T[:3, :3] @ points.T + T[:3, 3:]
        z = np.maximum(cam[2], np.float32(1e-3))
        if camera.distortion_model:
            uv = (np.nan_to_num(project(cam.T, camera), nan=-1e6) - (self.x0, self.y0)).T
        else:  # the same in float32, four times as fast
            focal = np.array([camera.fx, camera.fy], np.float32)
            middle = np.array([camera.cx - self.x0, camera.cy - self.y0], np.float32)
            uv = cam[:2] / z * focal[:, None] + middle[:, None]
        u, v = np.rint(np.clip(uv, -1e6, 1e6)).astype(np.int32)
        rows, columns = self.depth.shape
        known = (u >= 0) & (v >= 0) & (u < columns) & (v < rows) & (cam[2] > 1e-3)
        return z, np.where(known, v * columns + u, 0), known


def tolerance(z: Float) -> Float:
    """Depth error in m that says nothing, at depth z (m): twice the axial noise of a structured-light or
    stereo camera (Nguyen et al. 2012: 1.2 mm + 1.9 mm/m^2 (z - 0.4 m)^2) and one millimetre of
    quantisation."""
    return 0.0034 + 0.0038 * (z - 0.4) ** 2


def evidence(view: ObjectView, frame: Frame, margin: int = MARGIN) -> Evidence:
    """Collect it, with `margin` pixels around the mask. Raises InputError for fewer than 4 visible points."""
    points = apply(inverse(view.T_cam_view), view.points_cam).astype(np.float32)
    points = points[np.isfinite(points).all(1)]
    if view.support.offset is not None and len(points):
        # A rough mask takes some of the table with it, which would widen the footprint. What stands on the
        # table reaches down to it anyway; a flat object keeps three quarters of its height.
        height = float(np.percentile(points[:, 2], 95))
        points = points[points[:, 2] > min(0.005, 0.25 * height)]
    if len(points) < 4:
        raise InputError(f"{len(points)} points above the support span no solid")
    rows, columns = view.mask.pixels.shape
    x0, y0 = max(view.roi.x - margin, 0), max(view.roi.y - margin, 0)
    x1 = min(view.roi.x + view.roi.width + margin, columns)
    y1 = min(view.roi.y + view.roi.height + margin, rows)
    mask = np.ascontiguousarray(view.mask.pixels[y0:y1, x0:x1])
    gap = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    cam = frame.points_cam[y0:y1, x0:x1]
    others = view.occupied[y0:y1, x0:x1] & ~mask
    depth = beyond_holes(cam[..., 2], mask | _may_hide(view, cam, mask, others, columns))
    return Evidence(view, frame, points, depth, mask, gap.astype(np.float32), x0, y0)


def beyond_holes(depth: Float, covered: Bool) -> Float:
    """Depth (h, w) m with NaN in its holes where something masked or nearer may be, `covered`, and inf in the others.

    Beside an object a depth camera sees nothing where one of its two eyes is covered, and behind it is often nothing
    near enough; the mask says that the object is not there. In holes of other things something may stand before it.
    """
    unknown = np.where(covered, np.float32(np.nan), np.float32(np.inf))
    known: Float = np.where(np.isfinite(depth), depth, unknown).astype(np.float32)
    return known


def _may_hide(view: ObjectView, points: Float, mask: Bool, others: Bool, width: int) -> Bool:
    """(h, w) pixels in whose holes something may stand before the object: those of other masks and a rim around them,
    and what is beside things without a mask that stand on the support, nearer than the object reaches. points: (h, w,
    3) m, optical frame; width: of the whole picture."""
    rim = round(RIM * width)
    with np.errstate(invalid="ignore"):
        nearer = points[..., 2] < np.percentile(view.points_cam[:, 2], 95)
        if view.support.offset is not None:
            nearer &= points @ view.support.up_cam - view.support.offset > ABOVE
    # Depth jitters over the edge of a mask: what is there belongs to it.
    unmasked = nearer & ~_grown(mask | others, 2 * rim)
    hiding: Bool = _grown(others, rim) | _grown(unmasked, round(BESIDE * width))
    return hiding


def _grown(pixels: Bool, by: int) -> Bool:
    """(h, w) pixels and those up to `by` rows and columns from them."""
    side = 2 * by + 1
    return np.asarray(cv2.dilate(pixels.astype(np.uint8), np.ones((side, side), np.uint8))) > 0
