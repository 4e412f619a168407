"""The compact model at run time: questions in, distance grids and layouts out, all objects of a frame in one batch.

No torch: the graphs run on whatever backend is given, and `flow.sample` walks the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

from sam3d_ros.compact.ask import Question, ask_in, stacked
from sam3d_ros.compact.box import box_again, leaves
from sam3d_ros.compact.colours import seen_colours
from sam3d_ros.compact.hollow import doubtful, fill
from sam3d_ros.compact.lift import CLEARANCE
from sam3d_ros.compact.measured import beside, drawn_to
from sam3d_ros.compact.mirror import mirrored
from sam3d_ros.compact.regular import regular
from sam3d_ros.mesh.surface import Grid, surface
from sam3d_ros.model.flow import State, draw_noise, sample, time_steps
from sam3d_ros.perception.frames import apply, inverse
from sam3d_ros.runtime.backend import Backend, Engine, arrays
from sam3d_ros.runtime.bundle import Bundle
from sam3d_ros.types import Bool, Float, InputError, Mesh, UInt8

ORDER = ("shape", "rotation", "translation", "scale")
TEXTURE_ORDER = ("distance", "colour")
"""Latents of the two stages in the order in which noise is drawn and graphs name them."""
Sizes: TypeAlias = dict[str, tuple[int, ...]]
"""Of one candidate's latents by name."""


@dataclass(frozen=True)
class Sampling:
    """steps of the flow and `rescale` of their times (`flow.time_steps`). shortcut: whether the network is told the
    size of its steps, as after distillation. candidates: answers of the first stage per object, each from its own
    noise, every second one from the mirror image of what was seen. looks: how often an object is asked about at
    most: again while its answer leaves the box it was asked in, in the box that the answer gives. pick: whether the
    answer is the candidates' mean, or the best of them by how well it explains what was seen. level, fine_level:
    added to the distances of the first and the second stage, in units of the truncation, before their zero is
    taken."""

    steps: int = 4
    rescale: float = 1.0
    shortcut: bool = False
    candidates: int = 1
    looks: int = 1
    pick: Literal["mean", "best"] = "mean"
    level: float = 0.0
    fine_level: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for fewer than one step, candidate or look, or an unknown `pick`."""
        if min(self.steps, self.candidates, self.looks) < 1:
            raise InputError("a sampling needs at least one step, one candidate and one look")
        if self.pick not in ("mean", "best"):
            raise InputError(f"pick is mean or best, not {self.pick!r}")


@dataclass(frozen=True)
class Shape:
    """distance: (candidates, G, G, G) float32, positive inside, in cells over TRUNCATION, on `grid` (view frame,
    m). layout: by latent, (candidates, channels): `translation` of the bounds' centre over the box's sides, log
    `scale` of the bounds over the box, `rotation` as two columns. points: (N, 3) m, what was seen of the object.
    filled: (G, G, G) cells of hollows that were not believed."""

    grid: Grid
    distance: Float
    layout: Mapping[str, Float]
    points: Float
    filled: Bool

    def candidate(self, index: int) -> Shape:
        """One seed's answer alone."""
        own = slice(index, index + 1)
        layout = {name: value[own] for name, value in self.layout.items()}
        return replace(self, distance=self.distance[own], layout=layout)

    def mesh(self, level: float) -> Mesh:
        """Closed mesh in the view frame, m, drawn to what was seen. Raises MeshError where nothing is inside."""
        distance = self.distance.mean(axis=0) + np.float32(level)
        measured = beside(self.points, self.grid)
        return surface(drawn_to(self.points, distance, measured, self.grid), self.grid)


@dataclass(frozen=True)
class Refined:
    """distance: (F, F, F) float32 on `grid`, as Shape's with finer cells. colour: (3, G, G, G) float32 in -1 .. 1, sRGB
    without light and shade, on `colour_grid`. points: as Shape's."""

    grid: Grid
    distance: Float
    points: Float
    colour_grid: Grid
    colour: Float

    def mesh(self, level: float) -> Mesh:
        """Closed mesh in the view frame, m, drawn to what was seen; of a thing that is nearly turned or nearly a block,
        just that. Raises MeshError where nothing is inside."""
        measured = beside(self.points, self.grid)
        distance = drawn_to(self.points, self.distance + np.float32(level), measured, self.grid)
        return surface(regular(distance, measured, self.grid), self.grid)

    def colors_at(self, points: Float) -> UInt8:
        """(N, 3) uint8 sRGB at points (N, 3), view frame, m."""
        index = self.colour_grid.index(points)
        values = [ndimage.map_coordinates(channel, index, order=1, mode="nearest") for channel in self.colour]
        return np.clip(np.rint((np.stack(values, axis=1) + 1) * 127.5), 0, 255).astype(np.uint8)


class CompactModel:
    """Both stages of a bundle, on a backend; `refines` says whether it has the second. Several threads may use one."""

    def __init__(self, bundle: Bundle, backend: Backend, sampling: Sampling | None = None) -> None:
        """Raises InputError where the bundle is not a compact model or its files are damaged."""
        settings = bundle.about.settings
        try:
            self.side, self.pixels = int(settings["grid"]), int(settings["picture"])
            self.gain = float(settings["shape_gain"])
            entries = {name: settings["layout"][name] for name in ORDER[1:]}
            self._layout = {
                name: (np.array(entry["mean"], np.float32), np.array(entry["std"], np.float32))
                for name, entry in entries.items()
            }
            self.sampling = sampling or Sampling(**settings["sampling"])
            self.refines = "texture_step" in bundle.graphs
            if self.refines:
                self._fine, self._texture_gain = int(settings["fine"]), float(settings["texture_gain"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{bundle.folder}: not a compact model: {error!r} in its settings") from error
        self._prepare = backend.load(bundle.graph("geometry_prepare"))
        self._step = backend.load(bundle.graph("geometry_step"))
        if self.refines:
            self._texture_prepare = backend.load(bundle.graph("texture_prepare"))
            self._texture_step = backend.load(bundle.graph("texture_step"))

    def shapes(
        self,
        questions: Sequence[Question],
        sampling: Sampling | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Shape]:
        """One answer per question, to one look. Raises Cancelled between two steps after should_stop() said True."""
        if not questions:
            return []
        s = sampling or self.sampling
        sizes: Sizes = {"shape": (1, self.side, self.side, self.side)}
        sizes.update({name: (1, len(mean)) for name, (mean, _) in self._layout.items()})
        noise = [noise_of(sizes, ORDER, s.seed, candidate) for candidate in range(s.candidates)]
        graphs = self._prepare, self._step
        end = _sampled(graphs, ORDER, stacked(list(questions)), noise, s, should_stop)
        return [self._shape(q, end, i * s.candidates, s) for i, q in enumerate(questions)]

    def ask_again(self, question: Question, shape: Shape) -> Question | None:
        """The question about the same object in the box that its answer gives; None where the object, as far as the
        answer says, does not leave the box it was asked in."""
        translation, scale = (shape.layout[name].mean(axis=0) for name in ("translation", "scale"))
        if not leaves(translation, scale):
            return None
        box = box_again(question.box, translation, scale, question.seen.points)
        return ask_in(box, question.seen, self.side, self.pixels)

    def refine(
        self,
        questions: Sequence[Question],
        shapes: Sequence[Shape],
        sampling: Sampling | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Refined]:
        """The second stage for objects whose first answers are `shapes`. Raises InputError where the bundle has none,
        Cancelled between two steps."""
        if not self.refines:
            raise InputError("this bundle has no texture stage")
        if not questions:
            return []
        s = sampling or self.sampling
        coarse = np.stack([np.clip(shape.distance.mean(axis=0), -1, 1)[None] for shape in shapes])
        grids = [q.box.grid(self.side) for q in questions]
        seen = np.stack([_seen(q, grid) for q, grid in zip(questions, grids, strict=True)])
        inputs = {**stacked(list(questions)), "coarse": coarse.astype(np.float32), "seen": seen}
        sizes: Sizes = {"distance": (1, *[self._fine] * 3), "colour": (3, *[self.side] * 3)}
        # One answer: its mean with that to the mirror image is no better.
        noise = [noise_of(sizes, TEXTURE_ORDER, s.seed, 0, 1)]
        graphs = self._texture_prepare, self._texture_step
        end = _sampled(graphs, TEXTURE_ORDER, inputs, noise, s, should_stop)
        distance, colour = (end[name] / np.float32(self._texture_gain) for name in TEXTURE_ORDER)
        return [
            Refined(
                q.box.grid(self._fine), fill(distance[i, 0], shape.filled), q.seen.points, grids[i], colour[i]
            )
            for i, (q, shape) in enumerate(zip(questions, shapes, strict=True))
        ]

    def _shape(self, question: Question, end: State, first: int, s: Sampling) -> Shape:
        own, grid = slice(first, first + s.candidates), question.box.grid(self.side)
        answers = {name: end[name][own, 0] * std + mean for name, (mean, std) in self._layout.items()}
        answers["shape"] = end["shape"][own, 0] / self.gain
        for name, value in mirrored(answers).items():
            answers[name][1::2] = value[1::2].copy()
        distance = answers.pop("shape")
        hollow = doubtful(distance, s.level, question.grid[CLEARANCE])
        return Shape(grid, fill(distance, hollow), answers, question.seen.points, hollow)


def noise_of(sizes: Sizes, order: tuple[str, ...], *seed: int) -> State:
    """Of one candidate; objects share it, so that an object does not depend on its neighbours in the batch."""
    rng = np.random.default_rng(seed)
    return draw_noise(sizes, lambda shape: rng.standard_normal(shape, np.float32), order)


def _sampled(
    graphs: tuple[Engine, Engine],
    order: Sequence[str],
    asked: Mapping[str, Float],
    noise: Sequence[State],
    s: Sampling,
    should_stop: Callable[[], bool] | None,
) -> State:
    """Where the flow of a stage ends for a batch of questions: one row per candidate, those of a question in a row.
    graphs: the stage's condition and its step; noise: of each candidate."""
    prepare, step = graphs
    count = len(next(iter(asked.values())))
    if len(noise) > 1:
        across = mirrored(asked)
        asked = {name: np.concatenate([value, across[name]]) for name, value in asked.items()}
    condition = arrays(prepare(asked))
    rows = [i + count * (c % 2) for i in range(count) for c in range(len(noise))]
    context = {name: value[rows] for name, value in condition.items()}
    start = {name: np.stack([n[name] for n in noise] * count) for name in order}
    size = 1 / s.steps if s.shortcut else 0.0
    times = time_steps(s.steps, s.rescale)
    return sample(_velocity(step, order, context), start, times, size, should_stop=should_stop)


def _velocity(
    engine: Engine, order: Sequence[str], context: Mapping[str, Any]
) -> Callable[[State, float, float], State]:
    """The step graph as `flow.sample` wants it."""

    def velocity(x: State, t: float, d: float) -> State:
        size = len(x[order[0]])
        at = {"t": np.full(size, t, np.float32), "d": np.full(size, d, np.float32)}
        latents = {name: np.ascontiguousarray(x[name], np.float32) for name in order}
        answer = arrays(engine({**latents, **at, **context}))
        return {name: answer[f"v_{name}"] for name in order}

    return velocity


def _seen(question: Question, grid: Grid) -> Float:
    view = question.seen.view
    points = apply(inverse(view.T_cam_view), view.points_cam.astype(np.float64))
    return seen_colours(points, view.colors, grid)
