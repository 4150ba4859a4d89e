"""What all parts of a recipe have in common, and their one registry.

A part is a small frozen pydantic model: its fields carry range, unit and help once, and the form
in the window, `--set`, validation and the docs all read them there. A new method is one new part
in one file: subclass its kind, decorate with `@part`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.cost import Cost, JobSize

Need = Literal["calibration", "labels", "gradients", "training", "companion", "contrast"]
"""Images; their labels; gradients of the loss; changing weights by training; other models of the
same architecture; images of a second kind."""
KINDS = ("criterion", "structure", "allocation", "schedule", "recovery")


class Part(BaseModel):
    """Base of all parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset()

    def objection(self, parts: Mapping[str, Part]) -> str:
        """Why this part cannot go with the others (by kind); "" when it can."""
        return ""

    def inapplicable(self, model: Model) -> str:
        """Why this part cannot be used on `model`; "" when it can."""
        return ""

    def cost(self, job: JobSize) -> Cost:
        """What one use of this part takes beyond reading the weights once."""
        return Cost()


PARTS: dict[str, dict[str, type[Part]]] = {kind: {} for kind in KINDS}

P = TypeVar("P", bound=type[Part])


def part(cls: P) -> P:
    """Register a part under its kind and name."""
    PARTS[cls.kind][cls.name] = cls
    return cls


def import_all(package: str, path: Iterable[str]) -> None:
    """Import every module of a package, so that the parts in them register themselves."""
    for module in sorted(pkgutil.iter_modules(path), key=lambda found: found.name):
        importlib.import_module(f"{package}.{module.name}")


def make(kind: str, settings: Mapping[str, Any]) -> Part:
    """The part of this kind that `settings["name"]` names, with the other entries as its fields.

    Raises
    ------
    ArgumentError: no such part, no such field, or a value outside its field's range.
    """
    fields = dict(settings)
    name = str(fields.pop("name", "")).replace("_", "-")
    if name not in PARTS[kind]:
        known = ", ".join(PARTS[kind])
        raise ArgumentError(f"there is no {kind} {name!r}; known: {known}")
    try:
        return PARTS[kind][name].model_validate(fields)
    except ValidationError as error:
        raise ArgumentError(f"{kind} {name}: {problems(error)}") from None


def problems(error: ValidationError) -> str:
    """Pydantic's findings in one line: "min_keep: Input should be a valid integer, not 'x'"."""
    return "; ".join(
        f"{'.'.join(map(str, found['loc']))}: {found['msg']}, not {found['input']!r}"
        if found["loc"]
        else found["msg"].removeprefix("Value error, ")
        for found in error.errors()
    )


def describe(value: Part) -> dict[str, Any]:
    """JSON form of a part: its name and its fields."""
    return {"name": value.name, **value.model_dump(mode="json")}
