from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.figures.spec import Axes, Axis, Figure, Matrix, Points, Table
from app.figures.table import COLUMNS, tidy, to_csv, to_tsv
from tests.app import samples

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=20))
def test_numbers_come_back_exactly(tmp_path_factory, pairs) -> None:
    x, y = (np.array(values) for values in zip(*pairs, strict=True))
    figure = samples.single(Points(x, y, entity="sample", ids=np.arange(len(x))))
    (path,) = to_csv(figure, tmp_path_factory.mktemp("csv") / "a.csv")
    rows = read(path)
    assert [float(r["x"]) for r in rows] == x.tolist()
    assert [float(r["y"]) for r in rows] == y.tolist()
    assert [int(r["id"]) for r in rows] == list(range(len(x)))
    assert {r["entity"] for r in rows} == {"sample"}


def test_cells_of_a_heat_map_are_rows(tmp_path: Path) -> None:
    figure = samples.sensitivity()
    matrix = next(m for m in figure.panels[0].marks if isinstance(m, Matrix))  # type: ignore[union-attr]
    rows = [r for r in read(to_csv(figure, tmp_path / "a.csv")[0]) if r["kind"] == "matrix"]
    assert len(rows) == matrix.values.size
    for row in rows:
        r, c = int(row["y"]), int(row["x"])
        value = matrix.values[r, c]
        assert row["value"] == ("" if np.isnan(value) else repr(float(value)))
        assert row["exact"] == str(int(not matrix.estimated[r, c]))  # type: ignore[index]
        assert row["id"] == samples.LAYERS[r]


def test_tables_are_written_beside_the_marks_as_they_are(tmp_path: Path) -> None:
    figure = samples.overview()
    marks, table = to_csv(figure, tmp_path / "a.csv")
    assert table.name == "a-models.csv"
    rows = read(table)
    assert [r["Model"] for r in rows] == [row[0] for row in figure.panels[1].rows]  # type: ignore[union-attr]
    assert [r["model"] for r in rows] == ["m0", "m1", "m2", "m3"]
    assert float(rows[1]["Accuracy"]) == 0.97 - 0.05
    assert tuple(read(marks)[0]) == COLUMNS


def test_a_lone_table_takes_the_path_itself(tmp_path: Path) -> None:
    figure = Figure("T", (Table(("a", "b"), ((1, None), (2, "x,y"))),))
    assert to_csv(figure, tmp_path / "t.csv") == (tmp_path / "t.csv",)
    assert (tmp_path / "t.csv").read_text() == 'a,b\n1,\n2,"x,y"\n'
    assert to_tsv(figure) == "a\tb\n1\t\n2\tx,y\n"


def test_every_mark_has_rows_and_an_empty_figure_has_none() -> None:
    for mark in samples.every_mark(3, bad=True):
        assert list(tidy(samples.single(mark)))
    assert list(tidy(samples.empty())) == []
    assert list(tidy(Figure("", (Axes(Axis(), Axis()),)))) == []
