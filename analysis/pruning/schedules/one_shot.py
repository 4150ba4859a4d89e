"""One shot: everything goes at once."""

from __future__ import annotations

from typing import ClassVar

from analysis.pruning.part import part
from analysis.pruning.parts import Schedule


@part
class OneShot(Schedule):
    """Scores are computed once, on the model as given."""

    name: ClassVar[str] = "one-shot"
    title: ClassVar[str] = "One shot"

    def targets(self, sparsity: float) -> tuple[float, ...]:
        return (sparsity,)
