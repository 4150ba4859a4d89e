"""Per row by mass: each row gives as many weights as make up the same share of its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import shared_counts
from analysis.pruning.part import part
from analysis.pruning.parts import Allocation, LayerUnits, remove_counts


@part
class PerRowMass(Allocation):
    """Every row of a layer loses its lowest scores up to the same share alpha of their sum.

    The variant of Sun et al., A Simple and Effective Pruning Approach for Large Language Models
    (`--use_variant` of their code): rows with few large scores lose more weights than even ones.
    The code looks for alpha by bisection in [0, 0.8] until the layer's sparsity is within 0.001.
    Here alpha is found exactly: a weight goes when the scores of its row up to its own add up to
    at most alpha, so the k weights with the least such shares go, k being the layer's share of the
    budget by cumulative rounding. That is what bisection without tolerance or bounds comes to.
    """

    name: ClassVar[str] = "per-row-mass"
    title: ClassVar[str] = "Per row, equal mass of scores"
    paper: ClassVar[str] = "Sun et al. 2023, arXiv:2306.11695"

    def remove(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[Tensor]:
        counts = shared_counts([unit.size for unit in units], sparsity, context.offset)
        shares = [LayerUnits(unit.layer, mass_shares(unit.scores), unit.macs) for unit in units]
        return remove_counts(shares, counts)


def mass_shares(scores: Tensor) -> Tensor:
    """Sum of the scores of a row up to each entry's own, as a share of the whole row's.

    Parameters
    ----------
    scores: (rows, ...), not negative; -inf = already removed, which stays -inf.

    Returns
    -------
    float64 in [0, 1], shape of `scores`; 0 throughout a row of zeros.

    Raises
    ------
    ArgumentError: a score is negative, so shares of the sum mean nothing.
    """
    gone = torch.isneginf(scores)
    rows = scores.masked_fill(gone, 0).flatten(1).double()
    if bool((rows < 0).any()):
        raise ArgumentError(
            "shares of a row's scores need scores that are not negative: choose another criterion "
            "or the allocation per-row"
        )
    ordered, order = torch.sort(rows, dim=1, stable=True)
    reached = ordered.cumsum(dim=1)
    whole = reached[:, -1:].clamp(min=torch.finfo(torch.float64).tiny)
    shares = torch.empty_like(rows).scatter_(1, order, reached / whole)
    return shares.reshape(scores.shape).masked_fill(gone, float("-inf"))
