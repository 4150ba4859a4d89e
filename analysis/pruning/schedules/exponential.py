"""Exponential: the same fraction of what is left, as many rounds as it takes."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from analysis.pruning.part import part
from analysis.pruning.schedules.several import Several

MOST_ROUNDS = 1000


@part
class Exponential(Several):
    """1 - (1 - f)^k after round k, f = 20 %: the rounds of iterative magnitude pruning.

    Frankle and Carbin, The Lottery Ticket Hypothesis. The number of rounds follows from the
    sparsity asked for; the last one is cut short to meet it. (`iterative` with exponential
    spacing is the other way round: it is given the number and finds the fraction.) Rewinding and
    training between rounds are no part of it.
    """

    name: ClassVar[str] = "exponential"
    title: ClassVar[str] = "Same fraction of the rest"
    paper: ClassVar[str] = "Frankle and Carbin 2019, arXiv:1803.03635"

    fraction: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        title="Removed each round",
        description="Fraction of the units still there that each round removes.",
    )

    def targets(self, sparsity: float) -> tuple[float, ...]:
        """After `MOST_ROUNDS` rounds the rest goes at once."""
        before: list[float] = []
        while len(before) < MOST_ROUNDS - 1:
            reached = 1 - (1 - self.fraction) ** (len(before) + 1)
            if reached >= sparsity - 1e-12:  # 1 - 0.8 is a little less than 0.2
                break
            before.append(reached)
        return (*before, sparsity)
