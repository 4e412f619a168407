"""Which latents a loss compares, for which samples, and how much each counts."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

Latents = Mapping[str, Tensor]


@dataclass(frozen=True)
class Terms:
    """What is compared, and how much it counts.

    weights: by latent (the paper's lambda); a latent without entry has no loss. labels: (B,) bool by latent, which
    samples have a target; no entry: all have. A sample without one adds nothing and sends no gradient, whatever its
    target holds (NaN too). elements: by latent, weight of each element, broadcast against the latent (a narrow band,
    for example).

    A latent is (B, ...) with one row per sample; those named in `rows` are (N, ...) with the rows of all samples one
    after the other (voxels), and owner (N,) int64 says whose each row is.
    """

    weights: Mapping[str, float]
    labels: Latents = field(default_factory=dict)
    elements: Latents = field(default_factory=dict)
    rows: tuple[str, ...] = ()
    owner: Tensor | None = None

    def means(self, each: Latents) -> dict[str, Tensor]:
        """() weight times the mean of (B,) values, by latent; samples without a label count as 0.

        The batch counts whole: parts of a batch on several machines add up to the same as one batch, and a modality
        that few samples have moves the network little. Latents with weight 0 have no entry; they are in the graph of
        the first one with a gradient of zero, so that no parameter is without gradient.
        """
        parts = {n: self.weights[n] * self._labelled(n, values).mean() for n, values in each.items()}
        counted = {n: part for n, part in parts.items() if self.weights[n]}
        first, *_ = counted
        for n in parts.keys() - counted.keys():
            counted[first] = counted[first] + parts[n]
        return counted

    def _labelled(self, name: str, values: Tensor) -> Tensor:
        if name not in self.labels:
            return values
        return torch.where(self.labels[name], values, torch.zeros_like(values))

    def per_sample(self, name: str, error: Tensor) -> Tensor:
        """(B,) mean error of each sample, elements weighted."""
        if name in self.elements:
            error = error * self.elements[name]
        each = error.flatten(1).mean(1)
        if name not in self.rows or self.owner is None:
            return each
        rows = torch.bincount(self.owner)
        return each.new_zeros(len(rows)).index_add(0, self.owner, each) / rows

    def spread(self, name: str, values: Tensor, x: Tensor) -> Tensor:
        """values (B,) as a factor of the latent x."""
        if name in self.rows and self.owner is not None:
            values = values[self.owner]
        return values.reshape(-1, *[1] * (x.ndim - 1))

    def filled(self, x: Latents) -> dict[str, Tensor]:
        """The latents with zeros where a sample has no label, so that nothing unknown reaches the network."""
        out = dict(x)
        for name in self.labels.keys() & out.keys():
            known = self.spread(name, self.labels[name], out[name])
            out[name] = torch.where(known, out[name], torch.zeros_like(out[name]))
        return out
