"""Published methods as recipes with a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.errors import ArgumentError
from analysis.pruning.parts import KINDS, PARTS
from analysis.pruning.recipe import Recipe


@dataclass(frozen=True)
class Preset:
    """A recipe under the name that the field knows it by.

    Attributes
    ----------
    name: as in `--recipe`.
    help: one sentence for the form and the command line.
    """

    name: str
    title: str
    paper: str
    recipe: Recipe
    help: str


def _presets() -> tuple[Preset, ...]:
    def recipe(**parts: Any) -> Recipe:
        return Recipe.from_json(parts)

    return (
        Preset(
            "random",
            "Random",
            "Blalock et al. 2020, arXiv:2003.03033",
            recipe(criterion="random", allocation="uniform"),
            "Removes weights by chance, the same share in every layer: the control.",
        ),
        Preset(
            "global-magnitude",
            "Global magnitude",
            "Gupta et al. 2022, arXiv:2209.14624",
            recipe(criterion="magnitude", allocation="global"),
            "Removes the smallest weights of the whole network.",
        ),
        Preset(
            "uniform-magnitude",
            "Uniform magnitude",
            "Han et al. 2015, arXiv:1506.02626",
            recipe(criterion="magnitude", allocation="uniform"),
            "Removes the smallest weights of every layer, the same share in each.",
        ),
        Preset(
            "erk-magnitude",
            "ERK magnitude",
            "Evci et al. 2020, arXiv:1911.11134",
            recipe(criterion="magnitude", allocation="erk"),
            "Removes the smallest weights of every layer, more in wide layers.",
        ),
        Preset(
            "wanda",
            "Wanda",
            "Sun et al. 2023, arXiv:2306.11695",
            recipe(criterion="activation-magnitude", allocation="per-row"),
            "Removes, in every output row, the weights that count least for the inputs they see.",
        ),
        Preset(
            "snip",
            "SNIP",
            "Lee et al. 2019, arXiv:1810.02340",
            recipe(criterion="snip", allocation="global"),
            "Removes the weights whose removal changes the loss least, to first order.",
        ),
        Preset(
            "iterative-snip",
            "Iterative SNIP",
            "de Jorge et al. 2021, arXiv:2006.09081",
            recipe(
                criterion="snip",
                allocation="global",
                schedule={"name": "iterative", "rounds": 10, "spacing": "exponential"},
            ),
            "SNIP in ten rounds, with new gradients of the pruned network in each.",
        ),
        Preset(
            "taylor",
            "Taylor, first order",
            "Molchanov et al. 2019, arXiv:1906.10771",
            recipe(criterion="taylor", allocation="global"),
            "Removes the weights with the least squared first-order effect on the loss.",
        ),
        Preset(
            "nm-magnitude",
            "N:M magnitude",
            "Mishra et al. 2021, arXiv:2104.08378",
            recipe(criterion="magnitude", structure="nm", allocation="uniform"),
            "Keeps the two largest of every four inputs (2:4), as sparse tensor cores want it.",
        ),
        Preset(
            "filter-l1",
            "Filter L1",
            "Li et al. 2017, arXiv:1608.08710",
            recipe(criterion="magnitude", structure="filter", allocation="uniform"),
            "Removes whole filters with the smallest L1 norm, the same share in every layer.",
        ),
    )


PRESETS: dict[str, Preset] = {preset.name: preset for preset in _presets()}


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
