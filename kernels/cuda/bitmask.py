"""Packed masks in Triton: the marks of a byte by one lane, or one weight a lane."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024
"""Bytes of the mask, or weights, of one program."""


def pack(marks: Tensor) -> Tensor:
    """Bytes from a flat tensor of marks, 0 or 1 each."""
    size = marks.numel()
    packed = torch.empty((size + 7) // 8, dtype=torch.uint8, device=marks.device)
    if size:
        _pack[(triton.cdiv(len(packed), _BLOCK),)](
            marks, packed, size, block=_BLOCK, enable_fp_fusion=False
        )
    return packed


def unpack(packed: Tensor, size: int) -> Tensor:
    """The flat marks, 0 or 1 each."""
    marks = torch.empty(size, dtype=torch.uint8, device=packed.device)
    if size:
        _unpack[(triton.cdiv(size, _BLOCK),)](
            packed, marks, size, block=_BLOCK, enable_fp_fusion=False
        )
    return marks


def apply(values: Tensor, packed: Tensor) -> Tensor:
    """Flat integers, 0 where their bit is 0."""
    masked = torch.empty_like(values)
    size = values.numel()
    if size:
        _apply[(triton.cdiv(size, _BLOCK),)](
            values, packed, masked, size, block=_BLOCK, enable_fp_fusion=False
        )
    return masked


def common(first: Tensor, second: Tensor, size: int) -> int:
    """How many of the first `size` bits are 1 in both."""
    programs = triton.cdiv((size + 7) // 8, _BLOCK)
    counts = torch.zeros(programs, dtype=torch.int32, device=first.device)
    if size:
        _common[(programs,)](first, second, counts, size, block=_BLOCK, enable_fp_fusion=False)
    return int(counts.sum())


@triton.jit  # type: ignore[untyped-decorator]
def _pack(marks, packed, size, block: tl.constexpr):  # type: ignore[no-untyped-def]
    byte = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    bits = tl.zeros((block,), dtype=tl.int32)
    for j in range(8):
        there = byte * 8 + j < size
        bits |= tl.load(marks + byte * 8 + j, mask=there, other=0).to(tl.int32) << j
    tl.store(packed + byte, bits.to(tl.uint8), mask=byte * 8 < size)


@triton.jit
def _bits(packed, place, there):  # type: ignore[no-untyped-def]
    byte = tl.load(packed + place // 8, mask=there, other=0).to(tl.int32)
    return (byte >> (place % 8).to(tl.int32)) & 1


@triton.jit  # type: ignore[untyped-decorator]
def _unpack(packed, marks, size, block: tl.constexpr):  # type: ignore[no-untyped-def]
    place = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    there = place < size
    tl.store(marks + place, _bits(packed, place, there).to(tl.uint8), mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _apply(values, packed, masked, size, block: tl.constexpr):  # type: ignore[no-untyped-def]
    place = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    there = place < size
    value = tl.load(values + place, mask=there, other=0)
    kept = _bits(packed, place, there) == 1
    tl.store(masked + place, tl.where(kept, value, tl.zeros_like(value)), mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _common(first, second, counts, size, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Set bits of every byte, counted in pairs, fours and eights, as Triton has no instruction."""
    program = tl.program_id(0).to(tl.int64)
    byte = program * block + tl.arange(0, block)
    there = byte * 8 < size
    bits = tl.load(first + byte, mask=there, other=0) & tl.load(second + byte, mask=there, other=0)
    inside = tl.minimum(tl.maximum(size - byte * 8, 0), 8).to(tl.int32)
    bits = bits.to(tl.int32) & ((1 << inside) - 1)
    bits = bits - ((bits >> 1) & 0x55)
    bits = (bits & 0x33) + ((bits >> 2) & 0x33)
    bits = (bits + (bits >> 4)) & 0x0F
    tl.store(counts + program, tl.sum(bits, axis=0))
