"""A published method as a recipe with a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.pruning.recipe import Recipe


@dataclass(frozen=True)
class Preset:
    """A recipe under the name that the field knows it by.

    Attributes
    ----------
    name: as in `--recipe`.
    family: what the form and the docs list it under.
    paper: authors, year and arXiv number; "" for a plain control.
    help: one sentence for the form and the command line.
    experimental: not checked against a published implementation or number.
    """

    name: str
    title: str
    family: str
    paper: str
    help: str
    recipe: Recipe
    experimental: bool = False


def preset(
    name: str, title: str, paper: str, text: str, *, experimental: bool = False, **parts: Any
) -> Preset:
    """A preset whose recipe is given by its parts, as in `Recipe`; its family is set later."""
    return Preset(name, title, "", paper, text, Recipe.from_json(parts), experimental)
