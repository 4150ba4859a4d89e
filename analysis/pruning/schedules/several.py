"""What schedules of several rounds share: when the recovery follows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from analysis.pruning.parts import Schedule


class Several(Schedule):
    """Each round sees the network of the round before."""

    recover: Literal["after the last round", "after every round"] = Field(
        default="after the last round",
        title="Recovery",
        description="When the recovery follows: once at the end, or after every round.",
    )

    @property
    def recovers_each_round(self) -> bool:
        return self.recover == "after every round"
