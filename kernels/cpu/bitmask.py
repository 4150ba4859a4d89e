"""Packed masks in numba: eight weights a byte, sixty-four a word, every tensor read once."""

from __future__ import annotations

import numpy as np
import torch
from numba import prange
from torch import Tensor

from kernels.cpu.jit import parallel, serial

_CHUNK = 1 << 13
"""Bytes of a mask, or words of a count, of one task."""
_FEW = 1 << 9
"""Bytes that are spread at a time where weights are masked: their marks stay in the cache."""

_U = np.uint64
_ONES = _U(0x0101010101010101)
_DIAGONAL = _U(0x8040201008040201)
_SEVENS = _U(0x7F7F7F7F7F7F7F7F)
_GATHER = _U(0x0102040810204080)
_PAIRS, _FOURS, _EIGHTS = _U(0x5555555555555555), _U(0x3333333333333333), _U(0x0F0F0F0F0F0F0F0F)


def pack(marks: Tensor) -> Tensor:
    """Bytes from a flat tensor of marks, 0 or 1 each."""
    packed = torch.zeros((marks.numel() + 7) // 8, dtype=torch.uint8)
    whole = marks.numel() // 8
    source, target = marks.numpy(), packed.numpy()
    _pack(source[: 8 * whole].view(np.uint64), target)
    target[whole:] = np.packbits(source[8 * whole :], bitorder="little")
    return packed


def unpack(packed: Tensor, size: int) -> Tensor:
    """The flat marks, 0 or 1 each."""
    marks = torch.empty(size, dtype=torch.uint8)
    whole = size // 8
    source, target = packed.numpy(), marks.numpy()
    _unpack(source, target[: 8 * whole].view(np.uint64))
    target[8 * whole :] = np.unpackbits(source[whole:], count=size % 8, bitorder="little")
    return marks


def apply(values: Tensor, packed: Tensor) -> Tensor:
    """Flat integers, 0 where their bit is 0."""
    masked = torch.empty_like(values)
    whole = values.numel() // 8
    source, bits, target = values.numpy(), packed.numpy(), masked.numpy()
    _apply(source, bits, target, whole)
    rest = np.unpackbits(bits[whole:], count=values.numel() % 8, bitorder="little")
    target[8 * whole :] = np.where(rest == 1, source[8 * whole :], 0)
    return masked


def common(first: Tensor, second: Tensor, size: int) -> int:
    """How many of the first `size` bits are 1 in both."""
    a, b = first.numpy(), second.numpy()
    end = size // 64 * 8
    rest = np.unpackbits(a[end:] & b[end:], count=size % 64, bitorder="little")
    return int(_common(a[:end].view(np.uint64), b[:end].view(np.uint64)) + rest.sum(dtype=int))


@parallel
def _pack(words: np.ndarray, packed: np.ndarray) -> None:
    for start in prange((len(words) + _CHUNK - 1) // _CHUNK):
        inside = slice(start * _CHUNK, min((start + 1) * _CHUNK, len(words)))
        _gather(words[inside], packed[inside])


@serial
def _gather(words: np.ndarray, packed: np.ndarray) -> None:
    """The product brings bit 8 i of a word to bit 56 + i; nothing is carried into these."""
    for i in range(len(words)):
        packed[i] = (words[i] * _GATHER) >> _U(56)


@parallel
def _unpack(packed: np.ndarray, words: np.ndarray) -> None:
    for start in prange((len(words) + _CHUNK - 1) // _CHUNK):
        inside = slice(start * _CHUNK, min((start + 1) * _CHUNK, len(words)))
        spread(packed[inside], words[inside])


@serial
def spread(packed: np.ndarray, words: np.ndarray) -> None:
    """The eight marks of every byte as a word, 0 or 1 each.

    Bit i of the byte, left at its place in byte i, becomes that byte's highest by adding 127.
    """
    for i in range(len(words)):
        word = (_U(packed[i]) * _ONES) & _DIAGONAL
        words[i] = ((word + _SEVENS) >> _U(7)) & _ONES


@parallel
def _apply(values: np.ndarray, packed: np.ndarray, masked: np.ndarray, whole: int) -> None:
    for start in prange((whole + _CHUNK - 1) // _CHUNK):
        words = np.empty(_FEW, np.uint64)
        for first in range(start * _CHUNK, min((start + 1) * _CHUNK, whole), _FEW):
            last = min(first + _FEW, whole)
            spread(packed[first:last], words[: last - first])
            inside = slice(8 * first, 8 * last)
            _select(values[inside], words.view(np.uint8), masked[inside])


@serial
def _select(values: np.ndarray, marks: np.ndarray, masked: np.ndarray) -> None:
    for i in range(len(values)):
        masked[i] = values[i] if marks[i] else 0


@parallel
def _common(a: np.ndarray, b: np.ndarray) -> int:
    total = 0
    for start in prange((len(a) + _CHUNK - 1) // _CHUNK):
        inside = slice(start * _CHUNK, min((start + 1) * _CHUNK, len(a)))
        total += _ones(a[inside], b[inside])
    return total


@serial
def _ones(a: np.ndarray, b: np.ndarray) -> int:
    """Bits counted in pairs, fours and eights; LLVM knows the pattern and its instruction."""
    total = _U(0)
    for i in range(len(a)):
        word = a[i] & b[i]
        word -= (word >> _U(1)) & _PAIRS
        word = (word & _FOURS) + ((word >> _U(2)) & _FOURS)
        word = (word + (word >> _U(4))) & _EIGHTS
        total += (word * _ONES) >> _U(56)
    return int(total)
