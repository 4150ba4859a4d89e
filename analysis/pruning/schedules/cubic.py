"""Cubic: fast at first, while much is redundant, and slower towards the end."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from analysis.errors import ArgumentError
from analysis.pruning.part import part
from analysis.pruning.schedules.several import Several


@part
class Cubic(Several):
    """s_t = s_f + (s_i - s_f) (1 - t/n)³: gradual pruning of Zhu and Gupta, without training.

    To prune, or not to prune (equation 1). From a start of 0, where nothing is pruned, the rounds
    are t = 1 ... n. From a higher start the first round goes straight to it (t = 0), as oBERT
    does. Between the rounds only the recovery changes the network; GraNet's schedule, the same
    curve with regrowth, belongs to a training loop.
    """

    name: ClassVar[str] = "cubic"
    title: ClassVar[str] = "Cubic, gradual"
    paper: ClassVar[str] = "Zhu and Gupta 2017, arXiv:1710.01878"

    rounds: int = Field(
        default=10,
        ge=1,
        le=1000,
        title="Rounds",
        description="How often scores are computed anew.",
        json_schema_extra={"unit": "rounds"},
    )
    start: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        title="Start sparsity",
        description="Reached at once in the first round, when it is not 0.",
    )

    def targets(self, sparsity: float) -> tuple[float, ...]:
        """Raises ArgumentError when the start lies above what is asked for."""
        if self.start > sparsity:
            raise ArgumentError(
                f"the cubic schedule starts at {self.start:g}, above the {sparsity:g} asked for: "
                "lower its start"
            )
        first = 0 if self.start > 0 else 1
        steps = self.rounds - 1 + first
        before = [
            sparsity + (self.start - sparsity) * (1 - t / steps) ** 3 for t in range(first, steps)
        ]
        return (*before, sparsity)
