"""No recovery."""

from __future__ import annotations

from typing import ClassVar

from analysis.pruning.context import PruningContext
from analysis.pruning.part import part
from analysis.pruning.parts import Recovery, Repair


@part
class Nothing(Recovery):
    """The weights that are kept stay as they are."""

    name: ClassVar[str] = "none"
    title: ClassVar[str] = "None"

    def repair(self, context: PruningContext) -> Repair:
        return Repair()
