"""Uniform+: uniform, but the first convolution stays dense and the classifier keeps a fifth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import apportion, exact_count
from analysis.pruning.part import part
from analysis.pruning.parts import LayerAllocation, LayerUnits

KEPT_CLASSIFIER = 0.2
"""Fraction of its units that the classifier keeps at least."""


@part
class UniformPlus(LayerAllocation):
    """Every layer loses the same fraction, two excepted: the first convolution and the classifier.

    Gale et al., The State of Sparsity in Deep Neural Networks (section 5), under the name that
    LAMP's comparison gave it: the first convolution loses nothing, the classifier keeps at least
    20 % of its weights, and the other layers lose what is missing, the same fraction each.
    """

    name: ClassVar[str] = "uniform-plus"
    title: ClassVar[str] = "Uniform+, ends spared"
    paper: ClassVar[str] = "Gale et al. 2019, arXiv:1902.09574"

    def counts(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[int]:
        """Raises ArgumentError when more is to go than the two layers leave."""
        classifier = context.model.architecture.classifier
        most = [unit.size for unit in units]
        first = next((i for i, unit in enumerate(units) if unit.layer.kind == "conv"), None)
        for i, unit in enumerate(units):
            if i == first:
                most[i] = unit.gone
            elif unit.layer.name == classifier:
                most[i] = max(exact_count(1 - KEPT_CLASSIFIER, unit.size), unit.gone)
        everything = sum(unit.size for unit in units)
        budget = exact_count(sparsity, everything)
        if budget > sum(most):
            raise ArgumentError(
                f"uniform+ leaves {sum(most)} of {everything} units to remove, but {budget} are "
                f"to go: ask for at most {sum(most) / everything:.1%}, or choose uniform"
            )
        return apportion(_level([unit.size for unit in units], most, budget), budget)


def _level(sizes: Sequence[int], most: Sequence[int], budget: int) -> list[float]:
    """Shares of the budget in proportion to size, none above its `most`."""
    fixed: set[int] = {i for i, bound in enumerate(most) if bound == 0}
    while True:
        left = budget - sum(most[i] for i in fixed)
        room = sum(size for i, size in enumerate(sizes) if i not in fixed)
        shares = [
            float(most[i]) if i in fixed else left * size / room for i, size in enumerate(sizes)
        ]
        over = {i for i, share in enumerate(shares) if share > most[i]} - fixed
        if not over:
            return shares
        fixed |= over
