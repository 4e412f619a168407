"""The classical rules by name."""

from __future__ import annotations

from sam3d_ros.baselines.extrude import extrude
from sam3d_ros.baselines.hull import hull
from sam3d_ros.baselines.mirror import mirror
from sam3d_ros.methods.settings import CLASSICAL
from sam3d_ros.types import Frame, InputError, Mesh, ObjectView


def classical_mesh(method: str, view: ObjectView, frame: Frame) -> Mesh:
    """The completed mesh in the view frame, m. Raises InputError or MeshError where the points span no solid."""
    match method:
        case "extrude":
            return extrude(view, frame)
        case "mirror":
            return mirror(view, frame)
        case "hull":
            return hull(view, frame)
    raise InputError(f"{method!r} is not one of {', '.join(CLASSICAL)}")
