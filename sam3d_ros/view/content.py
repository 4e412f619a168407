"""What a result page shows: frames of a camera, the objects found in them, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sam3d_ros.types import Camera, Float, Mesh, Reconstruction, Rejected, UInt8


@dataclass(frozen=True)
class PosedMesh:
    """A mesh and where it is. `T_cam_obj`: (4, 4), mesh coordinates to the optical frame, m, no scale."""

    mesh: Mesh
    T_cam_obj: Float


@dataclass(frozen=True)
class PageObject:
    """One reconstructed object.

    `id` is unique in its frame. `columns` are further cells of the results table, heading to text; size and
    confidence are always shown. `truth` is drawn beside the reconstruction where it is known.
    """

    id: str
    label: str
    reconstruction: Reconstruction
    truth: PosedMesh | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PageFrame:
    """One look of the camera; leave out what is not there.

    rgb: (H, W, 3) uint8 sRGB; without it the picture is the depth in false colours. points_cam: (H, W, 3)
    float32 m, optical frame, NaN where nothing was measured. `camera` is for images of this size; its lens
    distortion is not drawn. All three have the same height and width. up_cam: (3,) direction that is drawn
    upwards; default: z of the first object, else the top of the image.
    """

    name: str
    rgb: UInt8 | None = None
    points_cam: Float | None = None
    camera: Camera | None = None
    objects: Sequence[PageObject] = ()
    rejected: Sequence[Rejected] = ()
    up_cam: Float | None = None
