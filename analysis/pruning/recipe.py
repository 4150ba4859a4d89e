"""A recipe is one part of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from analysis.errors import ArgumentError
from analysis.models import Model

# Importing the packages registers their parts.
from analysis.pruning import allocations, criteria, recoveries, schedules, structures  # noqa: F401
from analysis.pruning.allocations.global_threshold import Global
from analysis.pruning.part import KINDS, Need, Part, describe, make, problems
from analysis.pruning.parts import Allocation, Criterion, Recovery, Schedule, Structure
from analysis.pruning.recoveries.nothing import Nothing
from analysis.pruning.schedules.one_shot import OneShot
from analysis.pruning.structures.weight import Weight


class Recipe(BaseModel):
    """criterion × structure × allocation × schedule × recovery.

    A part can be given as an object, by name ("magnitude"), or as its JSON form
    ({"name": "iterative", "rounds": 10}).

        >>> Recipe(criterion="magnitude", allocation="uniform").criterion.title
        'Magnitude |w|'

    Raises ArgumentError for unknown parts and, as pydantic's ValidationError (a ValueError), for
    parts that do not go together; `Recipe.from_json` raises ArgumentError for both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: Criterion
    structure: Structure = Weight()
    allocation: Allocation = Global()
    schedule: Schedule = OneShot()
    recovery: Recovery = Nothing()

    @field_validator(*KINDS, mode="before")
    @classmethod
    def _by_name(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        return make(str(info.field_name), value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _parts_fit(self) -> Recipe:
        if self.criterion.level not in self.structure.levels:
            raise ValueError(
                f"{self.criterion.title} scores whole outputs, not single weights: choose a "
                f"structure of filters or channels, not {self.structure.title!r}"
            )
        for value in self.parts.values():
            objection = value.objection(self.parts)
            if objection:
                raise ValueError(objection)
        return self

    @field_serializer(*KINDS)
    def _describe(self, value: Part) -> dict[str, Any]:
        return describe(value)

    @property
    def parts(self) -> dict[str, Part]:
        """The parts by kind."""
        return {kind: getattr(self, kind) for kind in KINDS}

    @property
    def needs(self) -> frozenset[Need]:
        """What any of its parts needs."""
        return frozenset[Need]().union(*(value.needs for value in self.parts.values()))

    def inapplicable(self, model: Model) -> str:
        """Why this recipe cannot be used on `model`; "" when it can."""
        reasons = (value.inapplicable(model) for value in self.parts.values())
        return next((reason for reason in reasons if reason), "")

    def to_json(self) -> dict[str, Any]:
        """{"criterion": {"name": "magnitude"}, ...}: plain JSON with the names of parts."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Inverse of `to_json`. Raises ArgumentError with what is wrong."""
        try:
            return cls.model_validate(dict(value))
        except ValidationError as error:
            raise ArgumentError(f"no recipe: {problems(error)}") from None
