"""Per row: the same sparsity in every output row, as Wanda compares weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from analysis.pruning.context import PruningContext
from analysis.pruning.counting import bounded, shared_counts
from analysis.pruning.part import part
from analysis.pruning.parts import Allocation, LayerUnits
from kernels.rows import k_smallest_rows


@part
class PerRow(Allocation):
    """Weights compete only within their output row (the inputs of one filter or neuron).

    Sun et al., A Simple and Effective Pruning Approach for Large Language Models. The reference
    removes the first int(columns × s) of every row; here cumulative rounding over all rows keeps
    every row within one weight of its share and the total exact.
    """

    name: ClassVar[str] = "per-row"
    title: ClassVar[str] = "Per row, each output alike"
    paper: ClassVar[str] = "Sun et al. 2023, arXiv:2306.11695"

    def remove(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[Tensor]:
        rows = [unit.scores.flatten(1) for unit in units]
        sizes = [matrix.shape[1] for matrix in rows for _ in range(len(matrix))]
        lowest = [int(gone) for matrix in rows for gone in torch.isneginf(matrix).sum(dim=1)]
        counts = shared_counts(sizes, sparsity, context.offset)
        counts = bounded(counts, lowest, sizes, sum(counts))
        chosen, start = [], 0
        for unit, matrix in zip(units, rows, strict=True):
            part_of_counts = counts[start : start + len(matrix)]
            chosen.append(k_smallest_rows(matrix, part_of_counts).reshape(unit.scores.shape))
            start += len(matrix)
        return chosen
