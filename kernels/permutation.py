"""Channel permutation for N:M sparsity: an order of the columns in which more score is kept.

An N:M pattern keeps n of every m neighbours, so it depends on which columns are neighbours; their
order is free as long as the layers before follow it. Which order keeps most is a hard problem;
here two columns are swapped as long as that gains anything, and then a few are swapped at random
and the ascent starts again from there, the better of both being kept (Pool and Yu, Channel
Permutations for N:M Sparsity, NeurIPS 2021: bounded greedy swaps with escapes).

Let a group keep S(group) in a row. With column j out of its group, the rest keeps A_j (its n - 1
largest), and one place is left for the larger of b_j (its n-th) and the column x that comes in:

    kept = sum over rows of A_j + max(b_j, x)

so that the gain of every swap follows from M[j, k] = sum over rows of max(b_j, x_k), which a swap
changes only in the rows and columns of the two groups it touches.

There is no Triton path: a search is a long chain of small steps, each decided by the one before,
on a matrix that fits the caches; scores on a device are searched on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from kernels.nm import complete, nm_keep
from kernels.paths import fast

_SHAKEN = 8
"""One in so many groups has a column swapped at random before the ascent starts again."""
_NOISE = 1e-12
"""A gain below this share of all scores is rounding."""


@dataclass(frozen=True, eq=False)
class Permutation:
    """An order of columns and what it is worth.

    Attributes
    ----------
    order: (columns,) int64 on the CPU: column `order[i]` moves to place i.
    kept, before: sum of the scores that N:M keeps in this order and in the given one.
    bound: sum with as many kept in each row, wherever they are: no order keeps more.
    """

    order: Tensor
    kept: float
    before: float
    bound: float

    @property
    def efficacy(self) -> float:
        """Share of the loss to the pattern that the order wins back; 0 where none was lost."""
        room = self.bound - self.before
        return (self.kept - self.before) / room if room > 0 else 0.0


def search(scores: Tensor, n: int, m: int, seed: int = 0, sweeps: int = 200) -> Permutation:
    """Search an order of columns that keeps a large sum of scores under an N:M pattern.

    Deterministic in its arguments. Columns behind the last complete group stay where they are.
    Takes 8 columns² bytes, and time in columns² rows for the first sweep, less for later ones.

    Parameters
    ----------
    scores: (rows, columns) floating point, finite.
    n, m: 1 <= n < m; n of every m neighbours in a row are kept.
    seed: of the random swaps.
    sweeps: at most so many rounds of swaps, each in groups that no other swap of it touches.

    Raises
    ------
    ValueError: the scores are no matrix or not finite, or n and m do not fit each other.
    """
    matrix = scores.detach().cpu()
    gains = cast("ModuleType", fast("permutation", matrix)).Gains
    return _search(matrix, (n, m), seed, sweeps, gains)


def search_reference(
    scores: Tensor, n: int, m: int, seed: int = 0, sweeps: int = 200
) -> Permutation:
    """`search` with every gain found anew in every sweep, by swapping and sorting."""
    return _search(scores.detach().cpu(), (n, m), seed, sweeps, _Gains)


class Gains(Protocol):
    """What the swaps of two columns gain, for an order of the columns that can be changed."""

    def __init__(self, columns: np.ndarray, n: int, m: int) -> None: ...

    def move(self, order: np.ndarray) -> None:
        """Put column `order[i]` of those given at first at place i."""

    def kept(self) -> float:
        """Sum of the scores that are kept."""

    def partners(self) -> tuple[np.ndarray, np.ndarray]:
        """Largest gain (columns,) of a swap of each column, and the column to swap it with."""


class _Gains:
    def __init__(self, columns: np.ndarray, n: int, m: int) -> None:
        self._given = self._columns = torch.from_numpy(columns)
        self._n, self._m = n, m

    def move(self, order: np.ndarray) -> None:
        self._columns = self._given[:, torch.from_numpy(order)]

    def kept(self) -> float:
        return self._sum(self._columns)

    def partners(self) -> tuple[np.ndarray, np.ndarray]:
        count, before = self._columns.shape[1], self.kept()
        gains = np.full((count, count), -np.inf)
        for j in range(count):
            for k in range(count):
                if j // self._m != k // self._m:
                    order = torch.arange(count)
                    order[j], order[k] = k, j
                    gains[j, k] = self._sum(self._columns[:, order]) - before
        return gains.max(axis=1), gains.argmax(axis=1)

    def _sum(self, columns: Tensor) -> float:
        groups = columns.reshape(len(columns), -1, self._m)
        return float(groups.sort(dim=2).values[..., self._m - self._n :].sum())


def _search(
    scores: Tensor, pattern: tuple[int, int], seed: int, sweeps: int, gains: type[Gains]
) -> Permutation:
    if scores.dim() != 2 or not bool(torch.isfinite(scores).all()):
        raise ValueError("a permutation is searched for a matrix of finite scores")
    before = _kept(scores, pattern)  # refuses what is no pattern
    order = torch.arange(scores.shape[1])
    whole = complete(scores.shape[1], pattern[1])
    if whole > pattern[1] and len(scores):
        columns = scores[:, :whole].double().contiguous().numpy()
        order[:whole] = torch.from_numpy(_climb(columns, pattern, seed, sweeps, gains))
    kept = _kept(scores[:, order], pattern)
    if kept < before:  # by rounding, where nothing was gained
        order, kept = torch.arange(scores.shape[1]), before
    return Permutation(order, kept, before, _bound(scores, pattern))


def _climb(
    columns: np.ndarray, pattern: tuple[int, int], seed: int, sweeps: int, gains: type[Gains]
) -> np.ndarray:
    """The best order found; each ascent starts from the best one so far, shaken."""
    generator = np.random.default_rng(seed)
    least = _NOISE * float(np.abs(columns).sum())
    state = gains(columns, *pattern)
    order = best = np.arange(columns.shape[1])
    most = state.kept()
    for _ in range(sweeps):
        swaps = _chosen(*state.partners(), least, pattern[1])
        if not swaps:
            if state.kept() > most:
                best, most = order, state.kept()
            order, swaps = best, _shaken(generator, len(best), pattern[1])
        order = _swapped(order, swaps)
        state.move(order)
    return order if state.kept() > most else best


def _chosen(gain: np.ndarray, partner: np.ndarray, least: float, m: int) -> list[tuple[int, int]]:
    """The best swaps, no two in one group: the gain of each holds whatever the others do."""
    swaps: list[tuple[int, int]] = []
    touched: set[int] = set()
    for j in np.argsort(-gain, kind="stable"):
        k = partner[j]
        if gain[j] <= least:
            break
        groups = {int(j) // m, int(k) // m}
        if not groups & touched:
            touched |= groups
            swaps.append((int(j), int(k)))
    return swaps


def _shaken(generator: np.random.Generator, columns: int, m: int) -> list[tuple[int, int]]:
    """Random swaps, each of the columns of two groups of its own."""
    groups = generator.permutation(columns // m)[: 2 * max(1, columns // m // _SHAKEN)]
    places = generator.integers(m, size=len(groups)) + m * groups
    return [(int(j), int(k)) for j, k in places[: len(places) // 2 * 2].reshape(-1, 2)]


def _swapped(order: np.ndarray, swaps: list[tuple[int, int]]) -> np.ndarray:
    order = order.copy()
    for j, k in swaps:
        order[j], order[k] = order[k], order[j]
    return order


def _kept(scores: Tensor, pattern: tuple[int, int]) -> float:
    """Sum of the scores that N:M keeps, the columns behind the last complete group included."""
    return float(torch.where(nm_keep(scores, *pattern), scores.double(), 0.0).sum())


def _bound(scores: Tensor, pattern: tuple[int, int]) -> float:
    """The largest scores of each row, as many as the pattern keeps of it."""
    whole = complete(scores.shape[1], pattern[1])
    ordered = scores[:, :whole].double().sort(dim=1).values
    removed = whole // pattern[1] * (pattern[1] - pattern[0])
    return float(ordered[:, removed:].sum() + scores[:, whole:].double().sum())
