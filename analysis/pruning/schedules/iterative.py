"""Iterative: a little at a time, with new scores each time."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from analysis.pruning.part import part
from analysis.pruning.schedules.several import Several


@part
class Iterative(Several):
    """Prune in rounds; the criterion sees the masked model of the round before.

    Masks are nested: what is removed stays removed. Without training between rounds this changes
    nothing for scores that do not depend on the other weights (magnitude, random).

    Linear spacing raises the sparsity by the same amount each round; exponential spacing shrinks
    the density by the same factor: density d^(i/n) after round i of n (Tanaka et al., SynFlow).
    """

    name: ClassVar[str] = "iterative"
    title: ClassVar[str] = "Iterative"
    paper: ClassVar[str] = "Tanaka et al. 2020, arXiv:2006.05467"

    rounds: int = Field(
        default=5,
        ge=1,
        le=1000,
        title="Rounds",
        description="How often scores are computed anew.",
        json_schema_extra={"unit": "rounds"},
    )
    spacing: Literal["linear", "exponential"] = Field(
        default="exponential",
        title="Spacing",
        description="Same step of sparsity each round, or same factor of density.",
    )

    def targets(self, sparsity: float) -> tuple[float, ...]:
        before = [i / self.rounds for i in range(1, self.rounds)]
        if self.spacing == "linear":
            return (*(sparsity * f for f in before), sparsity)
        return (*(1 - (1 - sparsity) ** f for f in before), sparsity)
