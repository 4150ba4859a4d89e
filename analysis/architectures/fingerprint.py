"""Which architecture a state dict belongs to: its names and shapes are the fingerprint.

The number of classes is read off the classifier's rows, so any head size matches. Only an exact
match is accepted (`num_batches_tracked` of BatchNorm may be missing: old files lack it, and
evaluation does not use it); near misses are listed with reasons, for the user to decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from analysis.architectures.architecture import Architecture
from analysis.architectures.registry import ARCHITECTURES
from analysis.errors import InputError

COUNTER = "num_batches_tracked"
NEAR = 0.5
"""Share of the names that must agree for a near miss to be worth a line."""
MAX_CLASSES = 1_000_000


@dataclass(frozen=True)
class Comparison:
    """A state dict held against one architecture; all fields name tensors.

    Attributes
    ----------
    matched: same name and shape.
    filled: BatchNorm counters that the file lacks; zero takes their place.
    mismatched: same name, other shape, as "name is 9x16x3x3, expected 16x16x3x3".
    """

    architecture: Architecture
    num_classes: int
    matched: tuple[str, ...]
    filled: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    @property
    def exact(self) -> bool:
        return not (self.missing or self.unexpected or self.mismatched)

    @property
    def likeness(self) -> float:
        """Names in common (shapes aside) over all names, 0..1."""
        common = len(self.matched) + len(self.mismatched)
        total = common + len(self.missing) + len(self.unexpected)
        return (common - 0.5 * len(self.mismatched)) / max(total, 1)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What keeps this from being an exact match, one sentence a kind."""
        found = []
        for names, what in (
            (self.mismatched, "have another shape"),
            (self.missing, "are missing"),
            (self.unexpected, "are not part of it"),
        ):
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                found.append(f"{len(names)} tensors {what} ({names[0]}{more})")
        return tuple(found)


@dataclass(frozen=True)
class Match:
    """The architecture of a state dict. `reasons` says what the decision rests on."""

    architecture: Architecture
    num_classes: int
    reasons: tuple[str, ...]


def compare(architecture: Architecture, tensors: Mapping[str, Tensor]) -> Comparison:
    """Hold a state dict against one architecture, with as many classes as its classifier has."""
    head = tensors.get(f"{architecture.classifier}.weight")
    num_classes = architecture.num_classes
    if head is not None and head.ndim == 2 and 1 <= head.shape[0] <= MAX_CLASSES:
        num_classes = int(head.shape[0])
    expected = shapes(architecture, num_classes)
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    absent = [name for name in expected if name not in found]
    return Comparison(
        architecture,
        num_classes,
        matched=tuple(name for name in expected if found.get(name) == expected[name]),
        filled=tuple(name for name in absent if name.endswith(COUNTER)),
        missing=tuple(name for name in absent if not name.endswith(COUNTER)),
        unexpected=tuple(name for name in found if name not in expected),
        mismatched=tuple(
            f"{name} is {_shape(found[name])}, expected {_shape(shape)}"
            for name, shape in expected.items()
            if name in found and found[name] != shape
        ),
    )


def identify(tensors: Mapping[str, Tensor], source: object = "the state dict") -> Match:
    """The one architecture whose names and shapes are exactly these.

    Raises InputError with the near misses, most alike first, when there is none, or when several
    fit and only the user can tell.
    """
    comparisons = [compare(entry, tensors) for entry in ARCHITECTURES.values()]
    exact = [found for found in comparisons if found.exact]
    if len(exact) == 1:
        return Match(exact[0].architecture, exact[0].num_classes, _evidence(exact[0]))
    if exact:
        names = ", ".join(found.architecture.name for found in exact)
        raise InputError(
            source,
            f"Its tensors fit several architectures ({names}).",
            "Say which with --arch: they differ in normalisation.",
        )
    near = sorted((c for c in comparisons if c.likeness >= NEAR), key=lambda c: -c.likeness)
    raise InputError(source, _no_match(near, len(tensors)), _advice(near))


def _evidence(found: Comparison) -> tuple[str, ...]:
    lines = [
        f"all {len(found.matched)} tensors have the names and shapes of {found.architecture.name}",
        f"{found.num_classes} classes, from the rows of {found.architecture.classifier}.weight",
    ]
    if found.filled:
        lines.append(f"{len(found.filled)} BatchNorm counters are missing and taken as 0")
    return tuple(lines)


def _no_match(near: list[Comparison], count: int) -> str:
    start = f"Its {count} tensors are those of no architecture that Espalier knows."
    if not near:
        return start
    lines = "; ".join(f"{c.architecture.name}: {', '.join(c.reasons)}" for c in near[:3])
    return f"{start} Nearest: {lines}."


def _advice(near: list[Comparison]) -> str:
    if near and near[0].mismatched and not near[0].missing and not near[0].unexpected:
        return (
            f"The names are those of {near[0].architecture.name} but the layers have other sizes, "
            "as after physical removal of channels. Open the dense model and prune it here; "
            "`inspect` shows this file's weights as they are."
        )
    return (
        f"Known are {', '.join(ARCHITECTURES)} (choose one with --arch). "
        "`inspect` shows the weights without an architecture."
    )


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"


@lru_cache(maxsize=64)
def shapes(architecture: Architecture, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the complete state dict, in module order."""
    with torch.device("meta"):
        module = architecture.build(num_classes)
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
