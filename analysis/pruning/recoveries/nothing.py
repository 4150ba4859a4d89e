"""No recovery."""

from __future__ import annotations

from typing import ClassVar

from analysis.pruning.parts import PruningContext, Recovery, Repair, part


@part
class Nothing(Recovery):
    """The weights that are kept stay as they are."""

    name: ClassVar[str] = "none"
    title: ClassVar[str] = "None"

    def repair(self, context: PruningContext) -> Repair:
        return Repair()
