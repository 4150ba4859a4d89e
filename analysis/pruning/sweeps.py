"""SparseGPT's sweep over one layer: its groups one by one, its columns in the order they need.

weight (out, in / groups, kh, kw) -> rows (out, d), d = (c, ky, kx), as Gram matrices count them
N:M groups run along c at each kernel position:
    columns -> [(ky, kx, c) of complete groups | what is left over, which stays]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.pruning.counting import apportion, bounded
from kernels.gram import check_finite
from kernels.inverse_factor import inverse_factor
from kernels.nm import complete
from kernels.sparsegpt import column_blocks, sweep, sweep_nm

Choose = Callable[[int, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(group, rows, factor, removed) -> new rows and what is kept of them."""


@dataclass(frozen=True, eq=False)
class SweptLayer:
    """New weights of a layer, which of them are kept, and what its matrices needed."""

    weight: Tensor
    keep: Tensor
    notes: tuple[str, ...]


def sweep_layer(
    weight: Tensor,
    grams: Tensor,
    removed: Tensor,
    damping: float,
    order: Tensor,
    choose: Choose,
) -> SweptLayer:
    """Sweep the columns of every group of a layer, in the given order.

    Parameters
    ----------
    weight, removed: (out, ...) weights, and which of them are gone already.
    grams: (groups, d, d) Gram matrices of what each group reads.
    order: (d,) the columns in the order in which `choose` is to see them.

    Raises
    ------
    ValueError: weights or updates are not finite.
    """
    rows, gone = weight.flatten(1), removed.flatten(1)
    new, keep = torch.empty_like(rows), torch.empty_like(gone)
    height = len(rows) // len(grams)
    notes: dict[str, int] = {}
    for group, gram in enumerate(grams):
        own = slice(group * height, (group + 1) * height)
        found = inverse_factor(gram[order][:, order], damping)
        before = rows[own][:, order]
        # What no input ever reaches costs nothing. It goes first as zeros; what stays of it stays.
        swept, kept = choose(
            group, before.masked_fill(found.dead, 0), found.factor, gone[own][:, order]
        )
        swept = torch.where(found.dead & kept, before, swept)
        new[own, order], keep[own, order] = swept, kept
        if found.note:
            notes[found.note] = notes.get(found.note, 0) + 1
    several = "" if len(grams) == 1 else " (in {} of {} groups)"
    told = (note + several.format(count, len(grams)) for note, count in notes.items())
    return SweptLayer(new.reshape(weight.shape), keep.reshape(weight.shape), tuple(told))


def block_counts(removed: Tensor, groups: int, count: int, block: int) -> list[list[int]]:
    """How many weights go from each block of columns of each group; `count` in all.

    Cumulative rounding of the layer's share, moved where earlier prunings took more already.
    """
    sides = [part.flatten(1) for part in removed.chunk(groups)]
    blocks = column_blocks(sides[0].shape[1], block)
    parts = [side[:, start:stop] for side in sides for start, stop in blocks]
    sizes = [part.numel() for part in parts]
    share = count / sum(sizes)
    wanted = apportion([share * size for size in sizes], count)
    found = bounded(wanted, [int(part.sum()) for part in parts], sizes, count)
    return [found[i : i + len(blocks)] for i in range(0, len(found), len(blocks))]


def by_counts(counts: list[list[int]], block: int) -> Choose:
    """Remove so many weights from each block of each group."""

    def choose(group: int, rows: Tensor, factor: Tensor, removed: Tensor) -> tuple[Tensor, Tensor]:
        swept = sweep(rows, factor, counts[group], block, removed)
        return swept.weight, swept.keep

    return choose


def by_pattern(n: int, m: int, width: int, block: int) -> Choose:
    """Keep n of every m of the first `width` columns; the columns behind make up for them too."""

    def choose(group: int, rows: Tensor, factor: Tensor, removed: Tensor) -> tuple[Tensor, Tensor]:
        first = rows[:, :width]
        swept = sweep_nm(first, factor[:width, :width], n, m, block, removed[:, :width])
        if width == rows.shape[1]:
            return swept.weight, swept.keep
        # The sweep leaves W' = W - E U within its columns, so E follows from what it changed.
        triangle, change = factor[:width, :width].double(), (first - swept.weight).double()
        errors = torch.linalg.solve_triangular(triangle, change, upper=True, left=False)
        rest = rows[:, width:] - (errors @ factor[:width, width:].double()).to(rows.dtype)
        check_finite(rest, "the updated weights (more damping may help): they")
        gone = removed[:, width:]
        return (
            torch.cat([swept.weight, rest.masked_fill(gone, 0)], dim=1),
            torch.cat([swept.keep, ~gone], dim=1),
        )

    return choose


def grouped_columns(shape: tuple[int, ...], m: int, order: Tensor) -> tuple[Tensor, int]:
    """Columns with N:M groups side by side, and how many of them lie in complete groups.

    Parameters
    ----------
    shape: of the weight.
    order: (in / groups,) the input channels in the order in which they are grouped.

    Returns
    -------
    (d,) indices into `weight.flatten(1)`, and a number of columns.
    """
    inputs, positions = shape[1], int(torch.Size(shape[2:]).numel())
    index = torch.arange(inputs * positions, device=order.device).reshape(inputs, positions)
    end = complete(inputs, m)
    inside = index[order[:end]].T.reshape(-1)
    return torch.cat([inside, index[order[end:]].reshape(-1)]), end * positions
