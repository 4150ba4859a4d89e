from __future__ import annotations

from pathlib import Path

from analysis.pruning import KINDS, PARTS, PRESETS
from analysis.pruning.catalogue import methods_page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "methods.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == methods_page(), (
        "docs/methods.md is old; write it with: python -m analysis.pruning.catalogue"
    )


def test_every_recipe_and_part_stands_on_it() -> None:
    page = methods_page()
    for name in PRESETS:
        assert f"| `{name}` |" in page
    for kind in KINDS:
        for name in PARTS[kind]:
            assert f"### `{name}`: " in page
