"""The data behind a figure: one row a datum, as CSV on disk or as text for the clipboard."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app.figures.emphasis import as_objects, identity
from app.figures.files import whole
from app.figures.spec import (
    Axes,
    Band,
    Bars,
    ErrorBars,
    Figure,
    Label,
    Line,
    Mark,
    Matrix,
    Picture,
    Points,
    Rule,
    Table,
)

COLUMNS = (
    "panel", "mark", "kind", "label", "x", "y", "low", "high", "value", "group", "exact",
    "entity", "id", "text",
)  # fmt: skip
"""`panel` is the title of the plot (or its number), `mark` counts within it, `group` is the code
that chose the colour, `exact` is 0 for estimated cells, `text` is the tooltip or cell text."""

Row = dict[str, Any]


def to_csv(figure: Figure, path: str | Path) -> tuple[Path, ...]:
    """Write the data behind `figure` as UTF-8 CSV; returns the files written.

    The marks of all plots go to `path`, tidy, under `COLUMNS`; every table goes as it is to
    `<name>-<its title>.csv` beside it, or to `path` itself when the figure is one table.
    """
    path = Path(path)
    tables = [p for p in figure.panels if isinstance(p, Table)]
    if len(tables) == len(figure.panels) == 1:
        return (_write(path, _table_text(tables[0], ",")),)
    written = [_write(path, _tidy_text(figure, ","))]
    for number, table in enumerate(tables, start=1):
        name = re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-") or f"table-{number}"
        target = path.with_name(f"{path.stem}-{name}{path.suffix}")
        if target in written:
            target = path.with_name(f"{path.stem}-{name}-{number}{path.suffix}")
        written.append(_write(target, _table_text(table, ",")))
    return tuple(written)


def to_tsv(figure: Figure) -> str:
    """The same data as tab-separated text, blocks parted by an empty line."""
    tables = [p for p in figure.panels if isinstance(p, Table)]
    blocks = [] if tables and len(tables) == len(figure.panels) else [_tidy_text(figure, "\t")]
    return "\n".join(blocks + [_table_text(table, "\t") for table in tables])


def tidy(figure: Figure) -> Iterator[Row]:
    """One dict a datum; keys are among `COLUMNS`, absent ones do not apply."""
    for number, panel in enumerate(figure.panels, start=1):
        if not isinstance(panel, Axes):
            continue
        for index, mark in enumerate(panel.marks, start=1):
            head = {"panel": panel.title or number, "mark": index, "kind": _kind(mark)}
            head["label"] = getattr(mark, "label", "")
            head["entity"] = getattr(mark, "entity", None)
            for row in _rows(mark):
                yield {**head, **row}


def _kind(mark: Mark) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(mark).__name__).lower()


def _rows(mark: Mark) -> Iterator[Row]:
    if isinstance(mark, Matrix):
        yield from _matrix_rows(mark)
    elif isinstance(mark, Points):
        columns = {"x": mark.x, "y": mark.y, "value": mark.values, "group": mark.codes}
        yield from _zip({**columns, "id": mark.ids, "text": mark.hints})
    elif isinstance(mark, Line):
        name = mark.ids[0] if mark.ids else None
        yield from ({**row, "id": name} for row in _zip({"x": mark.x, "y": mark.y}))
    elif isinstance(mark, (Band, ErrorBars)):
        yield from _zip({"x": mark.x, "low": mark.low, "high": mark.high})
    elif isinstance(mark, Bars):
        place, length = ("y", "x") if mark.horizontal else ("x", "y")
        ends = np.asarray(mark.length, dtype=float) + mark.base
        yield from _zip({place: mark.position, length: ends, "id": mark.ids, "text": mark.hints})
    elif isinstance(mark, Rule):
        yield {"y" if mark.horizontal else "x": mark.value}
    elif isinstance(mark, Label):
        yield {"x": mark.x, "y": mark.y, "text": mark.text}
    elif isinstance(mark, Picture):
        name = mark.ids[0] if mark.ids else None
        yield {"x": mark.x, "y": mark.y, "id": name, "text": mark.hint}


def _zip(columns: dict[str, Any]) -> Iterator[Row]:
    """Rows of the columns that are there and as long as the first."""
    present = {k: v for k, v in columns.items() if v is not None}
    count = len(next(iter(present.values()), ()))
    present = {k: v for k, v in present.items() if len(v) == count}
    for values in zip(*present.values(), strict=True):
        yield dict(zip(present, values, strict=True))


def _matrix_rows(mark: Matrix) -> Iterator[Row]:
    extra = {"id": mark.ids, "text": mark.hints if mark.hints is not None else mark.text}
    for (row, column), value in np.ndenumerate(np.asarray(mark.values)):
        datum: Row = {"x": column, "y": row, "value": value}
        if mark.estimated is not None:
            datum["exact"] = int(not mark.estimated[row, column])
        for name, array in extra.items():
            if array is not None:
                datum[name] = array[row, column]
        yield datum


def _tidy_text(figure: Figure, delimiter: str) -> str:
    rows = ([_plain(row.get(c), c) for c in COLUMNS] for row in tidy(figure))
    return _text([list(COLUMNS)], rows, delimiter)


def _table_text(table: Table, delimiter: str) -> str:
    head, rows = list(table.columns), [list(row) for row in table.rows]
    if table.ids is not None and len(table.ids) == len(rows):
        head = [*head, table.entity or "id"]
        rows = [[*row, name] for row, name in zip(rows, as_objects(table.ids), strict=True)]
    return _text([head], ([_plain(v) for v in row] for row in rows), delimiter)


def _plain(value: Any, column: str = "") -> Any:
    """What `csv` writes: Python numbers round-trip exactly, NaN and nothing are empty."""
    if value is None:
        return ""
    if column == "id":
        return identity(value)
    if isinstance(value, np.generic):
        value = value.item() if value.dtype != np.float32 else float(str(value))
    return "" if isinstance(value, float) and np.isnan(value) else value


def _text(head: list[list[Any]], rows: Any, delimiter: str) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerows(head)
    writer.writerows(rows)
    return buffer.getvalue()


def _write(path: Path, text: str) -> Path:
    with whole(path) as draft:
        draft.write_text(text, "utf-8", newline="")
    return path
