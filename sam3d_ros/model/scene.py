"""Several objects in one scene: their Gaussians and meshes placed in the camera frame by their layouts."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from .flexicubes import SurfaceMesh
from .gaussians import Gaussians, concatenate
from .pose_codec import Layout, matrix_from_quaternion


def place(gaussians: Gaussians, layout: Layout) -> Gaussians:
    """Gaussians of one object -> the same in the camera frame (x left, y up, z forward), units of its layout.

    Scales grow with the object and are kept a little above its smallest kernel.
    """
    min_kernel = gaussians.min_kernel * layout.scale
    return dataclasses.replace(
        gaussians,
        position=place_points(gaussians.position, layout),
        rotation=turn(gaussians.unit_rotation, layout),
        scale=(gaussians.scale * layout.scale).clamp(min=1.1 * min_kernel),
        min_kernel=min_kernel,
    )


def place_points(points: Tensor, layout: Layout) -> Tensor:
    """Object points (N, 3), e.g. mesh vertices -> camera frame (x left, y up, z forward)."""
    rotation = torch.as_tensor(matrix_from_quaternion(layout.rotation)).to(points)
    translation = torch.as_tensor(layout.translation).to(points)
    return points * layout.scale @ rotation + translation


def place_mesh(mesh: SurfaceMesh, layout: Layout) -> SurfaceMesh:
    """A mesh of the object's cube -> the same in the camera frame and units of its layout."""
    return mesh._replace(vertices=place_points(mesh.vertices, layout))


def compose(objects: list[tuple[Gaussians, Layout]]) -> Gaussians:
    """One set of Gaussians for all objects of a frame, in the camera frame."""
    return concatenate([place(gaussians, layout) for gaussians, layout in objects])


def fit_to_cube(scene: Gaussians, min_opacity: float = 0.9) -> Gaussians:
    """For display: centred and scaled so that the longest side of the opaque part's bounding box is 1."""
    opaque = scene.position[scene.opacity[:, 0] > min_opacity]
    points = opaque if len(opaque) else scene.position
    low, high = points.amin(dim=0), points.amax(dim=0)
    factor = 1.0 / float((high - low).max().clamp(min=1e-12))
    return dataclasses.replace(
        scene,
        position=(scene.position - (low + high) / 2) * factor,
        scale=scene.scale * factor,
        min_kernel=scene.min_kernel * factor,
    )


def turn(rotation: Tensor, layout: Layout) -> Tensor:
    """Quaternions wxyz (N, 4) of an object's Gaussians -> in the camera frame, w >= 0."""
    q = torch.as_tensor(layout.rotation).to(rotation)
    turned = multiply(conjugate(q).expand_as(rotation), rotation)
    return torch.where(turned[:, :1] < 0, -turned, turned)


def conjugate(q: Tensor) -> Tensor:
    """Quaternions wxyz (..., 4)."""
    return q * q.new_tensor([1.0, -1.0, -1.0, -1.0])


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product of quaternions wxyz, (..., 4)."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )
