"""Something to make in worker processes, which import it by name."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sam3d_ros.types import InputError


@dataclass(frozen=True)
class Squares:
    """Micro-batch n is n^2; number 40 cannot be made."""

    def __call__(self, number: int) -> torch.Tensor:
        if number == 40:
            raise InputError("number 40 cannot be made")
        return torch.tensor([number**2])
