"""Whole numbers that add up: how a budget becomes a count of weights, and is shared exactly.

A sparsity is read as the decimal number the user typed (0.35 is 7/20, not the nearest binary
fraction), and halves round up. So counts do not depend on floating point or on Python's
round-half-to-even.

    >>> exact_count(0.35, 10), shared_counts([1, 1, 1, 1], 0.5)
    (4, [1, 0, 1, 0])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from analysis.errors import ArgumentError


def check_sparsity(sparsity: float) -> float:
    """The sparsity itself. Raises ArgumentError outside [0, 1)."""
    if not (math.isfinite(sparsity) and 0 <= sparsity < 1):
        raise ArgumentError(
            f"sparsity {sparsity:g} is outside [0, 1): it is the fraction of weights removed"
        )
    return float(sparsity)


def exact_count(sparsity: float, size: int) -> int:
    """round(sparsity × size), halves up: how many of `size` units go."""
    return shared_counts([size], sparsity)[0]


def shared_counts(sizes: Sequence[int], sparsity: float, offset: int = 0) -> list[int]:
    """Share a uniform budget over groups by cumulative rounding.

    The group that ends at position c gets round(s·c) minus what the groups before it got. The
    total is exact and every group is within one unit of s times its size. `offset` is the position
    of the first group, for groups that are taken some at a time: their counts are those they get
    when all are taken at once.
    """
    part = Fraction(repr(float(sparsity)))

    def rounded(position: int) -> int:
        return (2 * part.numerator * position + part.denominator) // (2 * part.denominator)

    counts, before = [], rounded(offset)
    for size in sizes:
        offset += size
        reached = rounded(offset)
        counts.append(reached - before)
        before = reached
    return counts


def apportion(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers near the real `shares` that add up to `total`, by cumulative rounding.

    Raises ValueError when the shares themselves add up to something else by half a unit or more.
    """
    reached = [math.floor(c + 0.5) for c in _cumulative(shares)]
    if reached and abs(math.fsum(shares) - total) >= 0.5 + 1e-6:
        raise ValueError(f"shares add up to {math.fsum(shares)}, not to {total}")
    reached = [min(value, total) for value in reached]
    if reached:
        reached[-1] = total
    return [now - before for before, now in zip([0, *reached], reached, strict=False)]


def bounded(
    counts: Sequence[int], lowest: Sequence[int], highest: Sequence[int], total: int
) -> list[int]:
    """Move counts between their bounds so that they add up to `total`.

    What clamping adds or takes is shared over the groups in proportion to the room they have
    left, again by cumulative rounding.

    Raises
    ------
    ArgumentError: no counts between the bounds add up to `total`.
    """
    if not sum(lowest) <= total <= sum(highest):
        raise ArgumentError(
            f"{total} units cannot be removed: between {sum(lowest)} and {sum(highest)} can be"
        )
    clamped = [min(max(c, lo), hi) for c, lo, hi in zip(counts, lowest, highest, strict=True)]
    missing = total - sum(clamped)
    bounds = highest if missing > 0 else lowest
    room = [abs(bound - count) for bound, count in zip(bounds, clamped, strict=True)]
    sign, amount, everything = (1 if missing > 0 else -1), abs(missing), max(sum(room), 1)
    offset = before = 0
    for index, slack in enumerate(room):
        offset += slack
        reached = offset * amount // everything
        clamped[index] += sign * (reached - before)
        before = reached
    return clamped


def _cumulative(shares: Sequence[float]) -> list[float]:
    return [math.fsum(shares[: end + 1]) for end in range(len(shares))]
