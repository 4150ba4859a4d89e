"""What is selected, as a value: the one state that links all views. Free of Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

T = TypeVar("T")

SelectMode = Literal["replace", "add", "toggle", "subtract", "intersect"]


@dataclass(frozen=True)
class SelectionState:
    """The shared selection.

    Attributes
    ----------
    models: keys of the visible models, in order.
    reference: key of the model that differences refer to ("" = the first dense one).
    focus: key of the model whose details are shown ("" = the last visible one).
    samples: sorted indices into the evaluation data; empty = none selected.
    subsets: named groups of samples.
    classes: class indices.
    layer: name of a prunable layer, or "" for the network's features.
    units: "layer:index" names.
    corruption, severity: the chosen cell; "" = clean images.
    """

    models: tuple[str, ...] = ()
    reference: str = ""
    focus: str = ""
    samples: tuple[int, ...] = ()
    subsets: tuple[tuple[str, tuple[int, ...]], ...] = ()
    classes: tuple[int, ...] = ()
    layer: str = ""
    units: tuple[str, ...] = ()
    corruption: str = ""
    severity: int = 0

    def with_samples(self, ids: frozenset[int], mode: SelectMode = "replace") -> SelectionState:
        return replace(self, samples=tuple(sorted(combine(frozenset(self.samples), ids, mode))))

    def with_units(self, ids: frozenset[str], mode: SelectMode = "replace") -> SelectionState:
        return replace(self, units=tuple(sorted(combine(frozenset(self.units), ids, mode))))

    def with_classes(self, ids: frozenset[int], mode: SelectMode = "replace") -> SelectionState:
        return replace(self, classes=tuple(sorted(combine(frozenset(self.classes), ids, mode))))


def combine(old: frozenset[T], new: frozenset[T], mode: SelectMode) -> frozenset[T]:
    """Set algebra of the selection modes."""
    if mode == "add":
        return old | new
    if mode == "toggle":
        return old ^ new
    if mode == "subtract":
        return old - new
    if mode == "intersect":
        return old & new
    return new
