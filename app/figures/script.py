"""A figure as a script: the few lines of Python that make it again from the study."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from pprint import pformat
from typing import Any

from pydantic import BaseModel

from app.selection import SelectionState

_TEMPLATE = '''"""{title} of {study}, drawn again from the study."""

from analysis.study import Study
from app.figures import study_figure
from app.figures.render import save
{imports}
study = Study.open({path!r})
figure = study_figure(
    study,
    {view!r},
    selection={selection},
    options={options},
)
save(figure, {out!r}{settings})
'''


def as_python(
    study_path: str | Path,
    view: str,
    selection: SelectionState | None,
    options: BaseModel | None,
    out: str | Path,
    **settings: Any,
) -> str:
    """Script text on the public API that writes the figure to `out`.

    Only what differs from the defaults is written. `settings` go to `render.save` (width_mm, dpi,
    theme by name).
    """
    from app.views import VIEWS

    chosen = _changed(selection) if selection is not None else {}
    fields = json.loads(options.model_dump_json(exclude_defaults=True)) if options else {}
    return _TEMPLATE.format(
        title=VIEWS[view].title,
        study=Path(study_path).name,
        imports="from app.selection import SelectionState\n" if chosen else "",
        path=str(study_path),
        view=view,
        selection=_call("SelectionState", chosen) if chosen else "None",
        options=_literal(fields, 4) if fields else "None",
        out=str(out),
        settings="".join(f", {name}={value!r}" for name, value in settings.items()),
    )


def _changed(selection: SelectionState) -> dict[str, Any]:
    """Fields of the selection that differ from an empty one."""
    found = {}
    for field in dataclasses.fields(selection):
        value = getattr(selection, field.name)
        if value != field.default:
            found[field.name] = value
    return found


def _call(name: str, fields: dict[str, Any]) -> str:
    lines = [f"        {key}={_literal(value, 8)},\n" for key, value in fields.items()]
    return f"{name}(\n{''.join(lines)}    )"


def _literal(value: Any, indent: int) -> str:
    """A Python literal, wrapped and indented."""
    return pformat(value, width=95 - indent, compact=True).replace("\n", "\n" + " " * indent)
