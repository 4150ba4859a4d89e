"""The page of methods, written from the registry: `python -m analysis.pruning.catalogue`.

It prints docs/methods.md; a test compares the file with what the registry says now.
"""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any

from analysis.pruning.part import KINDS, PARTS, Part, describe
from analysis.pruning.presets.families import PRESETS
from analysis.pruning.presets.preset import Preset

_HEAD = """# Pruning methods

Written from the registry by `python -m analysis.pruning.catalogue`; do not edit it by hand.

A recipe is one part of each kind: criterion × structure × allocation × schedule × recovery.
`--recipe NAME` takes a published method; `--set kind=part` exchanges a part and
`--set kind.field=value` changes a field. Any parts that go together make a recipe.

"Needs" says what a recipe looks at beyond the weights: calibration images, their labels, gradients
of the loss, training, another model of the same architecture (`--with`), or a second set of images
(`--contrast`).
"""


def methods_page() -> str:
    """The whole page, as Markdown."""
    families: dict[str, list[Preset]] = {}
    for preset in PRESETS.values():
        families.setdefault(preset.family, []).append(preset)
    sections = [_HEAD, "## Recipes\n"]
    sections += [_family(name, presets) for name, presets in families.items()]
    for kind in KINDS:
        sections.append(f"## {_PLURAL[kind]}\n")
        sections += [_part(cls) for cls in PARTS[kind].values()]
    return "\n".join(sections).rstrip() + "\n"


_PLURAL = {
    "criterion": "Criteria",
    "structure": "Structures",
    "allocation": "Allocations",
    "schedule": "Schedules",
    "recovery": "Recoveries",
}


def _family(name: str, presets: list[Preset]) -> str:
    rows = [
        "| recipe | what it does | parts | needs | source |",
        "|---|---|---|---|---|",
        *(_row(preset) for preset in presets),
    ]
    return f"### {name}\n\n" + "\n".join(rows) + "\n"


def _row(preset: Preset) -> str:
    recipe = preset.recipe
    parts = " × ".join(f"`{_short(recipe.parts[kind])}`" for kind in KINDS)
    needs = ", ".join(sorted(recipe.needs)) or "–"
    what = preset.help + (" *Experimental.*" if preset.experimental else "")
    return f"| `{preset.name}` | {what} | {parts} | {needs} | {_source(preset.paper)} |"


def _short(value: Part) -> str:
    """A part's name, with the fields that differ from their defaults."""
    defaults = describe(type(value)())
    changed = [f"{k}={v}" for k, v in describe(value).items() if defaults[k] != v]
    return value.name + (f" ({', '.join(changed)})" if changed else "")


def _part(cls: type[Part]) -> str:
    lines = [f"### `{cls.name}`: {cls.title}\n", _about(cls)]
    if cls.paper:
        lines.append(f"\nSource: {_source(cls.paper)}.")
    if cls.needs:
        lines.append(f"\nNeeds: {', '.join(sorted(cls.needs))}.")
    fields = cls.model_json_schema().get("properties", {})
    if fields:
        lines += ["\n| field | default | values | meaning |", "|---|---|---|---|"]
        lines += [_field(name, schema) for name, schema in fields.items()]
    return "\n".join(lines) + "\n"


def _about(cls: type[Part]) -> str:
    """The docstring as paragraphs of one line each."""
    text = inspect.cleandoc(cls.__doc__ or "")
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text))


def _field(name: str, schema: dict[str, Any]) -> str:
    unit = schema.get("unit", "")
    default = f"{schema.get('default')!r}".replace("|", "\\|")
    meaning = str(schema.get("description", "")).replace("|", "\\|")
    return (
        f"| `{name}` | `{default}` | {_values(schema)}{' ' + unit if unit else ''} | {meaning} |"
    )


def _values(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None and high is None:
        return str(schema.get("type", ""))
    return f"{'' if low is None else f'{low:g}'} … {'' if high is None else f'{high:g}'}".strip()


def _source(paper: str) -> str:
    """The paper, its arXiv number a link."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", paper) or "–"


if __name__ == "__main__":
    sys.stdout.write(methods_page())
