"""From a preset's name and settings to a recipe, and from a recipe to what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.errors import ArgumentError
from analysis.pruning.part import KINDS, PARTS
from analysis.pruning.presets.families import PRESETS
from analysis.pruning.recipe import Recipe


def recipe_named(name: str, settings: Mapping[str, str] | None = None) -> Recipe:
    """A preset's recipe with changed fields ("allocation.min_keep": "16") or whole parts.

    Settings are taken in two steps, so that their order does not matter: first parts
    ("criterion": "taylor"), then fields of the parts that stand there now.

    Raises
    ------
    ArgumentError: an unknown preset, part or field, an unusable value, or parts that do not fit.
    """
    if name not in PRESETS:
        raise ArgumentError(f"there is no recipe {name!r}; known: {', '.join(PRESETS)}")
    parts = PRESETS[name].recipe.to_json()
    changes = {key.strip(): value.strip() for key, value in (settings or {}).items()}
    for key, value in changes.items():
        kind = key.partition(".")[0]
        if kind not in KINDS:
            raise ArgumentError(f"{key}={value}: {kind!r} is no part; parts: {', '.join(KINDS)}")
        if "." not in key:
            parts[kind] = {"name": value.replace("_", "-")}
    for key, value in changes.items():
        kind, dot, field = key.partition(".")
        if dot:
            _check_field(kind, str(parts[kind]["name"]), field)
            parts[kind] = {**parts[kind], field: value}
    return Recipe.from_json(parts)


def _check_field(kind: str, name: str, field: str) -> None:
    cls = PARTS[kind].get(name)
    if cls is not None and field not in cls.model_fields:
        known = ", ".join(cls.model_fields) or "none"
        raise ArgumentError(f"{kind} {name} has no field {field!r}; its fields: {known}")


def recipe_label(recipe: Mapping[str, Any]) -> str:
    """What to call a recipe, given in its JSON form.

    The preset with the same criterion, structure and allocation, and what differs from it; else
    the names of the parts: "global-magnitude", "global-magnitude (min_keep=16)",
    "wanda + bn-recalibration", "taylor · weight · uniform". Never raises: parts that this version
    does not know are shown by their names.
    """
    described = {kind: dict(recipe.get(kind, {})) for kind in KINDS}
    found = [
        (differences, preset.name)
        for preset in PRESETS.values()
        if (differences := _differences(preset.recipe.to_json(), described)) is not None
    ]
    if found:
        (parts, fields), name = min(found, key=lambda item: [len(found) for found in item[0]])
        return " + ".join([name, *parts]) + (f" ({', '.join(fields)})" if fields else "")
    names = [str(described[kind].get("name", "?")) for kind in KINDS]
    return " · ".join([*names[:3], *(n for n in names[3:] if n not in ("one-shot", "none"))])


def _differences(
    preset: Mapping[str, Any], recipe: Mapping[str, Any]
) -> tuple[list[str], list[str]] | None:
    """Other schedule or recovery, and other fields; None when any of the first three differs."""
    parts: list[str] = []
    fields: list[str] = []
    for kind in KINDS:
        name = recipe[kind].get("name")
        if preset[kind]["name"] != name:
            if kind not in ("schedule", "recovery"):
                return None
            parts.append(str(name))
        else:
            fields += [f"{f}={v}" for f, v in recipe[kind].items() if preset[kind].get(f) != v]
    return parts, fields
