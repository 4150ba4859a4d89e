"""Masks against NumPy's packbits: the layout is that of the files, and must not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from analysis.errors import ArgumentError
from analysis.masks import Mask
from analysis.records import pack, unpack


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)))
def test_a_mask_is_packed_bits(keep: np.ndarray) -> None:
    mask = Mask.from_keep(torch.from_numpy(keep))
    np.testing.assert_array_equal(mask.packed, np.packbits(keep.reshape(-1), bitorder="little"))
    assert (mask.shape, mask.size, mask.kept) == (keep.shape, keep.size, keep.sum())
    np.testing.assert_array_equal(mask.keep().numpy(), keep)


def test_apply_makes_a_masked_copy() -> None:
    keep = torch.tensor([[True, False], [False, True]])
    weight = torch.tensor([[1.0, -2.0], [float("nan"), 4.0]])
    masked = Mask.from_keep(keep).apply(weight)
    assert masked.tolist() == [[1.0, 0.0], [0.0, 4.0]]
    assert not torch.signbit(masked).any()
    assert weight[0, 1] == -2.0
    with pytest.raises(ArgumentError, match="another layer"):
        Mask.from_keep(keep).apply(weight.reshape(4))


def test_masks_survive_the_disk_and_memory_that_cannot_be_written() -> None:
    mask = Mask.from_keep(torch.arange(11) % 2 == 0)
    again = unpack(*pack(mask))
    again.packed.flags.writeable = False
    assert (again.kept, again.shape) == (6, (11,))
    assert torch.equal(again.keep(), mask.keep())
