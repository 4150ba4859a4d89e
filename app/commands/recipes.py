"""`espalier recipes`: presets, and the parts that recipes are made of."""

from __future__ import annotations

from typing import Any

import click

from analysis.pruning import KINDS, PARTS, PRESETS, Part, Preset
from analysis.pruning.part import describe
from app.commands.options import json_option
from app.commands.output import emit, table


@click.command("recipes")
@json_option
def command(as_json: bool) -> None:
    """List the pruning recipes (--recipe) and their parts (--set part.field=value)."""
    recipes = [_recipe(preset) for preset in PRESETS.values()]
    parts = [_part(kind, cls) for kind in KINDS for cls in PARTS[kind].values()]
    emit({"recipes": recipes, "parts": parts}, as_json, _text(recipes, parts))


def _recipe(preset: Preset) -> dict[str, Any]:
    parts = {kind: describe(getattr(preset.recipe, kind)) for kind in KINDS}
    return {
        "name": preset.name,
        "title": preset.title,
        "family": preset.family,
        "help": preset.help,
        "experimental": preset.experimental,
        **parts,
        "needs": sorted(preset.recipe.needs),
        "paper": preset.paper,
    }


def _part(kind: str, cls: type[Part]) -> dict[str, Any]:
    properties = cls.model_json_schema().get("properties", {})
    return {
        "kind": kind,
        "name": cls.name,
        "title": cls.title,
        "needs": sorted(cls.needs),
        "paper": cls.paper,
        "fields": [{"name": name, **schema} for name, schema in properties.items()],
    }


def _text(recipes: list[dict[str, Any]], parts: list[dict[str, Any]]) -> str:
    shown = table(
        ("recipe", "family", *KINDS, "needs", "paper"),
        [
            (
                r["name"],
                r["family"],
                *(r[k]["name"] for k in KINDS),
                ", ".join(r["needs"]),
                r["paper"],
            )
            for r in recipes
        ],
    )
    fields = table(
        ("part", "name", "fields", "paper"),
        [(p["kind"], p["name"], ", ".join(map(_field, p["fields"])), p["paper"]) for p in parts],
    )
    return f"{shown}\n\n{fields}"


def _field(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    return schema["name"] if isinstance(default, dict) else f"{schema['name']}={default}"
