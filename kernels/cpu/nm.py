"""N:M selection in numba: one pass over the scores, which also finds the NaN."""

from __future__ import annotations

import numpy as np
import torch
from numba import prange
from torch import Tensor

from kernels.cpu.jit import parallel, serial
from kernels.cpu.sortable import limit, numbers, sortable

_CHUNK = 4096
"""Groups of four of one task."""
_FEW = 8
"""Fewer columns than this are brought together first, so that ranks are compared as vectors."""
_BLOCK = 256
"""Columns, at least, that are brought together."""


def nm_keep(values: Tensor, n: int, m: int) -> tuple[Tensor, bool]:
    """Keep-mask of (outer, size, inner) values, undecided in a trailing rest; whether a NaN is."""
    outer, size, inner = values.shape
    keep = torch.empty(values.shape, dtype=torch.bool)
    scores, marks = numbers(values), keep.view(torch.uint8).numpy()
    if size % m == 0 and inner < _FEW:
        outer, size = 1, outer * size
    scores, marks = scores.reshape(outer, size, inner), marks.reshape(outer, size, inner)
    if m == 4 and inner == 1:
        found = _in_words(scores[..., 0], marks[..., 0], np.int32(4 - n), limit(values))
    elif inner < _FEW:
        found = _close(scores, marks, m, m - n, limit(values))
    else:
        found = _apart(scores, marks, m, m - n, limit(values))
    return keep, bool(found)


def _in_words(scores: np.ndarray, marks: np.ndarray, least: np.int32, limit: np.floating) -> int:
    outer, size = marks.shape
    if size % 4 == 0:
        return _fours(scores, marks.view(np.int32), least, limit)
    words = np.empty((outer, size // 4), np.int32)  # rows of odd length hold no words
    found = _fours(scores, words, least, limit)
    marks[:, : size - size % 4] = words.view(np.uint8)
    return found


@parallel
def _fours(scores: np.ndarray, marks: np.ndarray, least: np.int32, limit: np.floating) -> int:
    outer, groups = marks.shape
    chunks = (groups + _CHUNK - 1) // _CHUNK
    found = 0
    for task in prange(outer * chunks):
        o, start = task // chunks, task % chunks * _CHUNK
        stop = min(start + _CHUNK, groups)
        found += _four(scores[o, 4 * start : 4 * stop], marks[o, start:stop], least, limit)
    return found


@serial
def _four(scores: np.ndarray, marks: np.ndarray, least: np.int32, limit: np.floating) -> int:
    """Groups of four side by side; the four marks of a group are written as one word.

    Everything is 32 bits wide, so that LLVM makes vectors of it.
    """
    nan = np.int32(0)
    for g in range(len(marks)):
        a, b = sortable(scores[4 * g]), sortable(scores[4 * g + 1])
        c, d = sortable(scores[4 * g + 2]), sortable(scores[4 * g + 3])
        nan |= np.int32(not abs(a) <= limit) | np.int32(not abs(b) <= limit)
        nan |= np.int32(not abs(c) <= limit) | np.int32(not abs(d) <= limit)
        ab, ac, ad = np.int32(a <= b), np.int32(a <= c), np.int32(a <= d)
        bc, bd, cd = np.int32(b <= c), np.int32(b <= d), np.int32(c <= d)
        marks[g] = (
            np.int32(3 - ab - ac - ad >= least)
            | np.int32(2 + ab - bc - bd >= least) << 8
            | np.int32(1 + ac + bc - cd >= least) << 16
            | np.int32(ad + bd + cd >= least) << 24
        )
    return int(nan)


@parallel
def _close(scores: np.ndarray, marks: np.ndarray, m: int, least: int, limit: np.floating) -> int:
    """(outer, size, few): a block of groups is turned, ranked as columns, and turned back."""
    outer, size, inner = scores.shape
    groups = size // m
    together = (_BLOCK + inner - 1) // inner
    chunks = (groups + together - 1) // together
    found = 0
    for task in prange(outer * chunks):
        o, start = task // chunks, task % chunks * together
        inside = slice(start * m, min(start + together, groups) * m)
        found += _turned(scores[o, inside], marks[o, inside], m, least, limit)
    return found


@serial
def _turned(scores: np.ndarray, marks: np.ndarray, m: int, least: int, limit: np.floating) -> int:
    size, inner = scores.shape
    turned = np.empty((m, size // m * inner), scores.dtype)
    ranked = np.empty(turned.shape, np.uint8)
    for j in range(m):
        for k in range(inner):
            _copy(scores[j::m, k], turned[j, k::inner])
    found = _rank(turned, ranked, least, limit)
    for j in range(m):
        for k in range(inner):
            _copy(ranked[j, k::inner], marks[j::m, k])
    return found


@serial
def _copy(source: np.ndarray, target: np.ndarray) -> None:
    for i in range(len(source)):
        target[i] = source[i]


@parallel
def _apart(scores: np.ndarray, marks: np.ndarray, m: int, least: int, limit: np.floating) -> int:
    """Groups along a dimension with others inside: (outer, size, inner)."""
    outer, size, _ = scores.shape
    groups = size // m
    found = 0
    for task in prange(outer * groups):
        o, g = task // groups, task % groups
        inside = slice(g * m, (g + 1) * m)
        found += _rank(scores[o, inside], marks[o, inside], least, limit)
    return found


@serial
def _rank(scores: np.ndarray, marks: np.ndarray, least: int, limit: np.floating) -> int:
    """Mark, in every column of (m, columns), the entries of rank `least` and above."""
    m, columns = scores.shape
    nan = np.uint8(0)
    for j in range(m):
        for k in range(columns):
            marks[j, k] = 0
            nan |= np.uint8(not abs(sortable(scores[j, k])) <= limit)
        for i in range(j):
            for k in range(columns):
                marks[j, k] += np.uint8(sortable(scores[i, k]) <= sortable(scores[j, k]))
        for i in range(j + 1, m):
            for k in range(columns):
                marks[j, k] += np.uint8(sortable(scores[i, k]) < sortable(scores[j, k]))
        for k in range(columns):
            marks[j, k] = marks[j, k] >= least
    return int(nan)
