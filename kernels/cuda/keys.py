"""Values as ordered integers on the device, as `kernels/cpu/chunks.py` has them on the CPU.

The key of a magnitude is its bits without the sign; the key of a signed value is the same, negated
for negative values. Keys compare as the values do; both zeros have the key 0. All that the kernels
compute with are integers; they are launched without fusion of floats because Triton warns where
that is not said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

_INTEGER = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
_INFINITY = {torch.float32: 0x7F800000, torch.bfloat16: 0x7F80, torch.float16: 0x7C00}


@dataclass(frozen=True)
class Parts:
    """Tensors of one type, each flat and contiguous, read as their bits."""

    bits: list[Tensor]
    dtype: torch.dtype
    magnitude: bool

    @property
    def total(self) -> int:
        return sum(part.numel() for part in self.bits)

    @property
    def infinity(self) -> int:
        """Key of infinity; a larger one is NaN's."""
        return _INFINITY[self.dtype]

    def value(self, key: int) -> float:
        """The value with this key."""
        size = torch.tensor([abs(key)], dtype=_INTEGER[self.dtype]).view(self.dtype)
        return float(-size if key < 0 else size)


def parts_of(tensors: Sequence[Tensor], magnitude: bool) -> Parts:
    """Halves of one type stay as they are; several types become float32, which holds them."""
    found = {tensor.dtype for tensor in tensors}
    dtype = found.pop() if len(found) == 1 else torch.float32
    flat = [tensor.detach().to(dtype).contiguous().view(-1) for tensor in tensors]
    return Parts([part.view(_INTEGER[dtype]) for part in flat], dtype, magnitude)


def keys_of(bits: Tensor, magnitude: bool) -> Tensor:
    """int32 keys of a small tensor of bits, in plain torch."""
    wide = bits.to(torch.int32)
    size = wide & (0x7FFFFFFF if bits.dtype == torch.int32 else 0x7FFF)
    return size if magnitude else torch.where(wide < 0, -size, size)


@triton.jit
def sizes(bits):  # type: ignore[no-untyped-def]
    """int32 bits without the sign."""
    if bits.dtype == tl.int32:
        return bits & 0x7FFFFFFF
    return bits.to(tl.int32) & 0x7FFF


@triton.jit  # type: ignore[untyped-decorator]
def keys(bits, magnitude: tl.constexpr):  # type: ignore[no-untyped-def]
    """int32 keys of loaded bits."""
    size = sizes(bits)
    if magnitude:
        return size
    return tl.where(bits < 0, -size, size)
