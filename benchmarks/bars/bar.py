"""One line of the table of bars: what we claim, measured beside what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A measured claim.

    Attributes
    ----------
    what, against: the operation with its sizes, and the peer or physical limit.
    ours, theirs: medians of both in one process, in `unit`.
    target: least `ratio` that was promised; 0.5 says "at most twice the floor".
    """

    what: str
    against: str
    ours: float
    theirs: float
    target: float
    unit: str = "ms"
    note: str = ""

    @property
    def ratio(self) -> float:
        """theirs / ours: how many times better than the peer."""
        return self.theirs / self.ours

    @property
    def met(self) -> bool:
        return self.ratio >= self.target
