"""Flat convolutions beside the plain ones."""

from __future__ import annotations

import copy

import pytest
import torch
from small_compact import GEOMETRY, TEXTURE, shaken
from torch import nn

from sam3d_ros.model.compact.geometry import CompactGeometry
from sam3d_ros.model.compact.texture import CompactTexture
from sam3d_ros.train.compact import flat_convolutions as twins

KNOWN = {
    twins.Point: nn.Conv3d(6, 10, 1),
    twins.Around: nn.Conv3d(6, 10, 3, padding=1),
    twins.Shrink: nn.Conv3d(6, 10, 2, stride=2),
    twins.Grow: nn.ConvTranspose3d(6, 10, 2, stride=2),
}


@pytest.mark.parametrize("form", KNOWN)
@pytest.mark.parametrize("size", [(1, 2, 2, 2), (2, 4, 6, 8), (3, 8, 4, 2), (1, 16, 16, 16)])
@pytest.mark.parametrize("bias", [True, False])
def test_equal_to_the_plain_form(form: type[nn.Module], size: tuple[int, int, int, int], bias: bool) -> None:
    plain = nn.Sequential(copy.deepcopy(KNOWN[form]))
    if not bias:
        plain[0].bias = None
    changed = twins.flat(plain)
    assert type(changed[0]) is form
    assert type(plain[0]) is not form
    x = torch.randn(size[0], 6, *size[1:], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(changed(x), plain(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", KNOWN)
def test_weights_stay_as_they_are(form: type[nn.Module]) -> None:
    """A graph reads them under the plain network's names."""
    plain = nn.Sequential(KNOWN[form])
    own, changed = plain.state_dict(), twins.flat(plain).state_dict()
    assert own.keys() == changed.keys()
    assert all(torch.equal(changed[name], value) for name, value in own.items())


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv3d(4, 4, 3),
        nn.Conv3d(4, 4, 3, padding=1, stride=2),
        nn.Conv3d(4, 4, 3, padding=1, groups=2),
        nn.Conv3d(4, 4, 3, padding=1, padding_mode="replicate"),
        nn.ConvTranspose3d(4, 4, 2, stride=2, output_padding=1),
        nn.Conv2d(4, 4, 3, padding=1),
    ],
)
def test_other_forms_stay(other: nn.Module) -> None:
    assert type(twins.flat(nn.Sequential(other))[0]) is type(other)


def test_no_convolution_in_space_is_left_in_the_compact_networks() -> None:
    for network in (CompactGeometry(GEOMETRY), CompactTexture(TEXTURE)):
        flat = twins.flat(shaken(network))
        assert not [m for m in flat.modules() if isinstance(m, nn.Conv3d | nn.ConvTranspose3d)]
