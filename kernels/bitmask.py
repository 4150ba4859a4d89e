"""Packed keep-masks: one bit a weight, row-major, least significant bit first; 1 = kept.

The bits of `numpy.packbits(bitorder="little")`. Padding bits of the last byte are written as 0
and never read, so that a mask from elsewhere may have anything there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from kernels.paths import fast

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Weights are moved as integers of their size: a kept NaN or infinity stays what it is."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """How the kept weights of masks over the same tensor overlap.

    Attributes
    ----------
    kept: (k, k) int64 on the CPU: weights that both masks keep; on the diagonal, those of one.
    size: number of weights.
    """

    kept: Tensor
    size: int

    @property
    def both(self) -> int:
        """Weights that both of two masks keep."""
        return self._pair()[0]

    @property
    def only_first(self) -> int:
        """Weights that the first of two masks keeps and the second does not."""
        both, first, _ = self._pair()
        return first - both

    @property
    def only_second(self) -> int:
        """Weights that the second of two masks keeps and the first does not."""
        both, _, second = self._pair()
        return second - both

    @property
    def neither(self) -> int:
        """Weights that neither of two masks keeps."""
        both, first, second = self._pair()
        return self.size - first - second + both

    def _pair(self) -> tuple[int, int, int]:
        if self.kept.shape != (2, 2):
            raise ValueError(f"there are {len(self.kept)} masks here: these counts are of two")
        return int(self.kept[0, 1]), int(self.kept[0, 0]), int(self.kept[1, 1])


def pack(keep: Tensor) -> Tensor:
    """Boolean tensor of any shape (True = kept) as uint8 of ceil(n / 8) bytes, on its device.

    Raises
    ------
    ValueError: `keep` is not boolean.
    """
    if keep.dtype != torch.bool:
        raise ValueError(f"a mask is boolean, not {keep.dtype}")
    flat = keep.detach().reshape(-1)
    module = fast("bitmask", flat)
    if module is None:
        return pack_reference(flat)
    return cast("Tensor", module.pack(flat.contiguous().view(torch.uint8)))


def pack_reference(keep: Tensor) -> Tensor:
    """`pack` in plain torch."""
    bits = torch.nn.functional.pad(keep.reshape(-1).to(torch.uint8), (0, -keep.numel() % 8))
    places = 2 ** torch.arange(8, dtype=torch.uint8, device=keep.device)
    return (bits.view(-1, 8) * places).sum(dim=1, dtype=torch.uint8)


def unpack(packed: Tensor, shape: Sequence[int]) -> Tensor:
    """The boolean tensor of `shape` that was packed; True = kept.

    Raises
    ------
    ValueError: the mask has not the bytes for that shape.
    """
    size = math.prod(shape)
    _check(packed, size)
    module = fast("bitmask", packed)
    if module is None:
        return unpack_reference(packed, shape)
    marks: Tensor = module.unpack(packed.contiguous(), size)
    return marks.view(torch.bool).view(tuple(shape))


def unpack_reference(packed: Tensor, shape: Sequence[int]) -> Tensor:
    """`unpack` in plain torch."""
    places = torch.arange(8, dtype=torch.uint8, device=packed.device)
    bits = packed.view(-1, 1).bitwise_right_shift(places).bitwise_and(1)
    return bits.view(-1)[: math.prod(shape)].bool().view(tuple(shape))


def apply(weight: Tensor, packed: Tensor) -> Tensor:
    """A new tensor: `weight` where its bit is 1, and +0.0 where it is 0 (a NaN there too).

    Raises
    ------
    ValueError: the mask has not the bytes for the weight, or is on another device.
    """
    _check(packed, weight.numel())
    module = fast("bitmask", weight, packed)
    kind = _INTEGERS.get(weight.element_size())
    if module is None or kind is None:
        return apply_reference(weight, packed)
    values = weight.detach().contiguous()
    masked: Tensor = module.apply(values.view(-1).view(kind), packed.contiguous())
    return masked.view(values.dtype).view(values.shape)


def apply_reference(weight: Tensor, packed: Tensor) -> Tensor:
    """`apply` in plain torch."""
    weight = weight.detach()
    return torch.where(unpack_reference(packed, weight.shape), weight, weight.new_zeros(()))


def count(packed: Tensor, size: int) -> int:
    """How many of the first `size` bits are 1.

    Raises
    ------
    ValueError: the mask has not the bytes for that size.
    """
    _check(packed, size)
    return _common(packed, packed, size)


def overlap(masks: Sequence[Tensor], size: int) -> Overlap:
    """How the kept weights of two or more masks of `size` weights overlap.

    Raises
    ------
    ValueError: fewer than two masks, or one has not the bytes for that size.
    """
    if len(masks) < 2:
        raise ValueError("an overlap is one of two masks or more")
    for packed in masks:
        _check(packed, size)
    kept = torch.zeros(len(masks), len(masks), dtype=torch.int64)
    for i, first in enumerate(masks):
        for j, second in enumerate(masks[: i + 1]):
            kept[i, j] = kept[j, i] = _common(first, second, size)
    return Overlap(kept, size)


def overlap_reference(masks: Sequence[Tensor], size: int) -> Overlap:
    """`overlap` in plain torch, as a product of matrices."""
    bits = torch.stack([unpack_reference(packed, (size,)).double() for packed in masks])
    return Overlap((bits @ bits.T).long().cpu(), size)


def _common(first: Tensor, second: Tensor, size: int) -> int:
    """How many of the first `size` bits are 1 in both."""
    module = fast("bitmask", first, second)
    if module is None:
        shape = (size,)
        both = unpack_reference(first, shape) & unpack_reference(second, shape)
        return int(both.sum())
    return int(module.common(first.contiguous(), second.contiguous(), size))


def _check(packed: Tensor, size: int) -> None:
    expected = (size + 7) // 8
    if size < 0:
        raise ValueError(f"a mask cannot be of {size} weights")
    if packed.dtype != torch.uint8 or packed.shape != (expected,):
        raise ValueError(
            f"a mask of {size} weights has {expected} bytes (uint8), "
            f"not {tuple(packed.shape)} of {packed.dtype}"
        )
