"""Exact k-th smallest and its masks on a CUDA device: one read for the one, one for the other.

Two values of a sorted sample bracket the k-th smallest. One pass counts what is not above the
bracket's low end and collects what is inside; the collected ones are sorted. Where too much is
inside (ties) or the bracket missed, keys are bisected with the same pass, at most 32 times.

The order in which programs collect is left open and changes nothing: sorted, it is always the
same. Histograms were not taken: in Triton a warp spends some hundred instructions on 32 values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.cuda.keys import Parts, keys, keys_of, parts_of, sizes
from kernels.select import NAN_REFUSED, Threshold

_BLOCK = 4096
_BLOCKS = 8
"""Blocks a program reads; it adds to the common counts once."""
_SAMPLED = 1 << 22
_STANDARD_ERRORS = 5.0
_LEAST_ROOM, _ROOM = 1 << 16, 64
"""Room for what is inside the bracket: one in 64 of all, yet at least 65536."""


def threshold(tensors: Sequence[Tensor], k: int, magnitude: bool) -> Threshold:
    """`kernels.cpu.select.threshold` for CUDA tensors."""
    parts = parts_of(tensors, magnitude)
    key, below = _kth(parts, k)
    return Threshold(parts.value(key), below, k - below)


def chosen(tensors: Sequence[Tensor], k: int) -> list[Tensor]:
    """Boolean tensors: True for the k smallest values."""
    marks = [torch.empty(t.shape, dtype=torch.bool, device=t.device) for t in tensors]
    flat = [mark.view(-1).view(torch.uint8) for mark in marks]
    _write(parts_of(tensors, magnitude=False), k, flat, packed=False)
    return marks


def kept_bits(tensors: Sequence[Tensor], k: int) -> list[Tensor]:
    """Packed keep-masks of all but the k smallest magnitudes."""
    packed = [
        torch.empty((t.numel() + 7) // 8, dtype=torch.uint8, device=t.device) for t in tensors
    ]
    _write(parts_of(tensors, magnitude=True), k, packed, packed=True)
    return packed


def _kth(parts: Parts, k: int) -> tuple[int, int]:
    """Key of the k-th smallest, and how many keys are below it; 1 <= k <= total.

    At most `below` keys are up to `low`, at least k are up to `high`: the key is in (low, high].
    """
    low, high, below = -parts.infinity - 1, parts.infinity, 0
    bracket = _bracket(parts, k)
    room = max(_LEAST_ROOM, parts.total // _ROOM)
    found = torch.empty(room, dtype=torch.int32, device=parts.bits[0].device)
    while True:
        up_to, inside = _counted(parts, bracket, found)
        if k <= up_to:
            high = bracket[0]
        elif k > up_to + inside:
            low, below = bracket[1], up_to + inside
        elif inside <= room:
            ordered = torch.sort(found[:inside]).values
            key = int(ordered[k - up_to - 1])
            return key, up_to + int(torch.count_nonzero(ordered < key))
        else:
            (low, high), below = bracket, up_to
        if high - low == 1:
            return high, below
        bracket = (low, (low + high) // 2)


def _bracket(parts: Parts, k: int) -> tuple[int, int]:
    """(low, high]: keys of a sample some standard errors on either side of rank k."""
    every = max(1, parts.total // _SAMPLED)
    taken = torch.cat([part[every // 2 :: every] for part in parts.bits])
    ordered = torch.sort(keys_of(taken, parts.magnitude)).values
    share, size = k / parts.total, ordered.numel()
    margin = _STANDARD_ERRORS * math.sqrt(size * share * (1 - share)) + 8
    first, last = int(share * size - margin), math.ceil(share * size + margin)
    ends = ordered[[max(first, 1) - 1, min(last, size) - 1]].tolist() if size else [0, 0]
    low = ends[0] - 1 if first >= 1 else -parts.infinity - 1
    high = ends[1] if last <= size else parts.infinity
    # A NaN in the sample lies beyond infinity; the pass that follows finds it.
    return max(low, -parts.infinity - 1), min(high, parts.infinity)


def _counted(parts: Parts, bracket: tuple[int, int], found: Tensor) -> tuple[int, int]:
    """How many keys are up to the low end, and how many inside; the latter into `found`."""
    counts = torch.zeros(3, dtype=torch.int64, device=found.device)
    for part in parts.bits:
        if part.numel():
            _compare[(triton.cdiv(part.numel(), _BLOCK * _BLOCKS),)](
                part,
                part.numel(),
                *bracket,
                counts,
                found,
                found.numel(),
                magnitude=parts.magnitude,
                infinity=parts.infinity,
                blocks=_BLOCKS,
                block=_BLOCK,
                enable_fp_fusion=False,
            )
    up_to, inside, nans = counts.tolist()
    if nans:
        raise ValueError(NAN_REFUSED)
    return up_to, inside


def _write(parts: Parts, k: int, outputs: Sequence[Tensor], packed: bool) -> None:
    """Write the masks of the k smallest: marks of what goes, or packed bits of what stays."""
    if 0 < k < parts.total:
        limit, below = _kth(parts, k)
        ties = k - below
    else:
        device = parts.bits[0].device
        _counted(
            parts, (-parts.infinity - 1,) * 2, torch.empty(1, dtype=torch.int32, device=device)
        )
        limit, ties = (parts.infinity + 1 if k else -parts.infinity - 1), 0
    programs = [triton.cdiv(part.numel(), _BLOCK) for part in parts.bits]
    equal = torch.zeros(sum(programs), dtype=torch.int64, device=parts.bits[0].device)
    for again in (False, True):
        after = torch.cumsum(equal, 0)
        counts = after if again else equal
        for part, output, own in zip(
            parts.bits, outputs, torch.split(counts, programs), strict=True
        ):
            if part.numel():
                _mark[(own.numel(),)](
                    part,
                    part.numel(),
                    limit,
                    ties,
                    own,
                    output,
                    magnitude=parts.magnitude,
                    packed=packed,
                    again=again,
                    block=_BLOCK,
                    enable_fp_fusion=False,
                )


@triton.jit(do_not_specialize=["size", "low", "high", "room"])  # type: ignore[untyped-decorator]
def _compare(  # type: ignore[no-untyped-def]
    bits,
    size,
    low,
    high,
    counts,
    found,
    room,
    magnitude: tl.constexpr,
    infinity: tl.constexpr,
    blocks: tl.constexpr,
    block: tl.constexpr,
):
    """Add to counts (up to low, inside, NaN); what is inside goes to the next free places."""
    up_to = tl.zeros([block], tl.int32)
    nans = tl.zeros([block], tl.int32)
    start = tl.program_id(0).to(tl.int64) * (block * blocks)
    for i in range(blocks):
        places = start + i * block + tl.arange(0, block)
        valid = places < size
        loaded = tl.load(bits + places, mask=valid, other=0)
        key = keys(loaded, magnitude)
        up_to += (valid & (key <= low)).to(tl.int32)
        nans += (sizes(loaded) > infinity).to(tl.int32)
        within = valid & (key > low) & (key <= high)
        number = tl.sum(within.to(tl.int32), 0)
        if number > 0:
            first = tl.atomic_add(counts + 1, number.to(tl.int64))
            spots = first + tl.cumsum(within.to(tl.int32), 0) - 1
            tl.store(found + spots, key, mask=within & (spots < room))
    tl.atomic_add(counts, tl.sum(up_to, 0).to(tl.int64))
    bad = tl.sum(nans, 0)
    if bad > 0:
        tl.atomic_add(counts + 2, bad.to(tl.int64))


@triton.jit(do_not_specialize=["size", "limit", "ties"])  # type: ignore[untyped-decorator]
def _mark(  # type: ignore[no-untyped-def]
    bits,
    size,
    limit,
    ties,
    counts,
    output,
    magnitude: tl.constexpr,
    packed: tl.constexpr,
    again: tl.constexpr,
    block: tl.constexpr,
):
    """Write a block as if all entries equal to the limit went, and count those.

    Again, with the cumulative counts: programs whose entries do not all go write once more.
    """
    program = tl.program_id(0)
    places = program.to(tl.int64) * block + tl.arange(0, block)
    octets = program.to(tl.int64) * (block // 8) + tl.arange(0, block // 8)
    if again:
        after = tl.load(counts + program)
        size = tl.where(after > ties, size, 0)
    valid = places < size
    key = keys(tl.load(bits + places, mask=valid, other=0), magnitude)
    equal = valid & (key == limit)
    number = tl.sum(equal.to(tl.int32), 0)
    if again:
        order = after - number + tl.cumsum(equal.to(tl.int32), 0)
        goes = (key < limit) | (equal & (order <= ties))
    else:
        tl.store(counts + program, number.to(tl.int64))
        goes = key <= limit
    if packed:
        weight = 1 << (tl.arange(0, block) % 8)
        stays = tl.where(valid & (goes == 0), weight, 0)
        whole = tl.sum(tl.reshape(stays, [block // 8, 8]), 1)
        tl.store(output + octets, whole.to(tl.uint8), mask=octets * 8 < size)
    else:
        tl.store(output + places, goes.to(tl.uint8), mask=valid)
