"""The best way to cut chains into segments within a budget of time: a dynamic program.

Maximise Σ importance subject to Σ time <= budget over all cuts of every chain (Kim et al.,
Efficient Latency-Aware CNN Depth Compression, section 4). Times become whole ticks, rounded up,
so the budget is never exceeded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from analysis.errors import ArgumentError
from analysis.pruning.depth.tables import Segment

TICKS = 2000
"""Whole ticks that the budget is divided into."""


def best_cut(
    lengths: Sequence[int],
    importance: Mapping[Segment, float],
    time: Mapping[Segment, float],
    budget: float,
) -> list[Segment]:
    """Segments, in order, that cover every link of chains of these lengths once.

    Of equally important cuts the faster one wins, then the one with fewer links a segment.

    Raises
    ------
    ArgumentError: no cut keeps the budget; the message names the least that one takes.
    """
    ticks = {segment: _ticks(value, budget) for segment, value in time.items()}
    # best[t]: (importance, segments) of what is covered so far in exactly t ticks
    best: dict[int, tuple[float, tuple[Segment, ...]]] = {0: (0.0, ())}
    for chain, length in enumerate(lengths):
        reached = {0: best}
        for last in range(length):
            reached[last + 1] = _extended(reached, chain, last, importance, ticks)
        best = reached[length]
    if not best:
        least = sum(_least(chain, length, time) for chain, length in enumerate(lengths))
        raise ArgumentError(
            f"no way of merging convolutions takes {budget:.4g}: the fastest one takes {least:.4g}"
        )
    _, (_, chosen) = max(best.items(), key=lambda item: (item[1][0], -item[0]))
    return list(chosen)


def _extended(
    reached: Mapping[int, Mapping[int, tuple[float, tuple[Segment, ...]]]],
    chain: int,
    last: int,
    importance: Mapping[Segment, float],
    ticks: Mapping[Segment, int],
) -> dict[int, tuple[float, tuple[Segment, ...]]]:
    """The best covers up to and with link `last`, by their ticks."""
    found: dict[int, tuple[float, tuple[Segment, ...]]] = {}
    for first in range(last, -1, -1):
        segment = (chain, first, last)
        if segment not in ticks:
            continue
        for spent, (worth, cut) in reached[first].items():
            total, value = spent + ticks[segment], worth + importance[segment]
            if total <= TICKS and (total not in found or value > found[total][0]):
                found[total] = (value, (*cut, segment))
    return found


def _ticks(time: float, budget: float) -> int:
    return math.ceil(time / budget * TICKS - 1e-9) if budget > 0 else TICKS + 1


def _least(chain: int, length: int, time: Mapping[Segment, float]) -> float:
    least = [0.0]
    for last in range(length):
        least.append(
            min(
                least[first] + time[chain, first, last]
                for first in range(last + 1)
                if (chain, first, last) in time
            )
        )
    return least[length]
