"""By hand: the user says what some layers lose; the others share the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import bounded, exact_count, shared_counts
from analysis.pruning.part import Part, part
from analysis.pruning.parts import LayerAllocation, LayerUnits

Fraction = Annotated[float, Field(ge=0, le=1)]


def _from_text(value: Any) -> Any:
    """JSON text from a command line or a form, read."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"no JSON ({error.msg} at position {error.pos}): write it like "
            '{"conv1": 0.1, "layer3.*": 0.9}'
        ) from None


@part
class ByHand(LayerAllocation):
    """Layers named in `layers` lose exactly what is said there; the rest is shared uniformly.

        --set allocation.layers='{"conv1": 0.1, "layer3.*": 0.9}'

    A key is a layer's name or a pattern (* and ?, as in file names). An exact name goes before
    patterns, and of several patterns the first one counts. The total asked for always holds: the
    other layers lose the same fraction of what is still missing, and what they cannot make up for
    is refused with the sparsity that would fit.
    """

    name: ClassVar[str] = "by-hand"
    title: ClassVar[str] = "By hand, layer by name"

    layers: Annotated[Mapping[str, Fraction], BeforeValidator(_from_text)] = Field(
        default={},
        title="Sparsity of layers",
        description='Name or pattern to fraction removed, as JSON: {"conv1": 0.1, "fc*": 0.5}.',
    )

    def objection(self, parts: Mapping[str, Part]) -> str:
        if parts["schedule"].name not in ("one-shot", "layer-by-layer"):
            return (
                "sparsities given by hand are those of the end, not of rounds before it: they go "
                "with one-shot and layer-by-layer only"
            )
        return ""

    def inapplicable(self, model: Model) -> str:
        names = [layer.name for layer in model.layers]
        for pattern in self.layers:
            if not any(fnmatchcase(name, pattern) for name in names):
                return f"no layer of {model.name} is called {pattern!r} ({', '.join(names)})"
        return ""

    def counts(
        self, context: PruningContext, units: Sequence[LayerUnits], sparsity: float
    ) -> list[int]:
        """Raises ArgumentError when the layers without a sparsity cannot make up the total."""
        sizes = [unit.size for unit in units]
        budget = exact_count(sparsity, sum(sizes))
        given = {
            i: exact_count(share, unit.size)
            for i, unit in enumerate(units)
            if (share := self._share(unit.layer.name)) is not None
        }
        free = [i for i in range(len(units)) if i not in given]
        left, room = budget - sum(given.values()), sum(sizes[i] for i in free)
        if not 0 <= left <= room:
            low = sum(given.values()) / sum(sizes)
            high = (sum(given.values()) + room) / sum(sizes)
            fits = f"{low:.4%}" if low == high else f"between {low:.2%} and {high:.2%}"
            raise ArgumentError(
                f"the sparsities given by hand allow {fits} in all, but {sparsity:.4%} "
                "is asked for: change one of the two"
            )
        rest = shared_counts([sizes[i] for i in free], left / room) if room else []
        rest = bounded(rest, [0] * len(free), [sizes[i] for i in free], left)
        found = given | dict(zip(free, rest, strict=True))
        return [found[i] for i in range(len(units))]

    def _share(self, name: str) -> float | None:
        """What the user gave the layer, or None."""
        if name in self.layers:
            return self.layers[name]
        return next((s for pattern, s in self.layers.items() if fnmatchcase(name, pattern)), None)
