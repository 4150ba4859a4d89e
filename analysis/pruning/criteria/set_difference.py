"""Set difference: what matters for one set of images and not for another goes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from analysis.data.dataset import Dataset
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.counting import exact_count
from analysis.pruning.criteria.gradients import labelled, loss_gradients
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion
from analysis.request import part_of
from kernels.select import k_smallest


class Difference(Criterion):
    """Importance I = |w| · Σ_b |g_b| for a set A and a set B of images, and what is made of it.

    Wei et al., Assessing the Brittleness of Safety Alignment via Pruning and Low-Rank
    Modifications (section 3.2), remove Top-q(I_A) \\ Top-p(I_B), both taken in each weight matrix.
    Here the number of weights to remove is given: of those outside Top-p(I_B) the largest I_A go,
    and the protected ones go last, the smallest I_B first, when nothing else is left.
    """

    protect: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        title="Protected",
        description="Share of every layer that matters most for B and therefore goes last.",
        json_schema_extra={"unit": "of the weights"},
    )
    batch: int = Field(
        default=1,
        ge=1,
        le=4096,
        title="Images per gradient",
        description="Magnitudes of gradients are added up over portions of this many images.",
        json_schema_extra={"unit": "images"},
    )

    def difference(self, context: PruningContext, a: Dataset, b: Dataset) -> dict[str, Tensor]:
        """Scores from the images of the two sets."""
        return difference_scores(
            self._importance(context, a, 0), self._importance(context, b, 1), self.protect
        )

    def _importance(
        self, context: PruningContext, images: Dataset, index: int
    ) -> dict[str, Tensor]:
        """|w| · Σ_b |gradient of the summed cross-entropy of portion b|, by layer name."""
        stage = f"set {'AB'[index]}: "
        where = replace(
            context, calibration=images, report=part_of(context.report, index, 2, stage)
        )
        sums: dict[str, Tensor] = {}
        for count, gradients in loss_gradients(where, self.batch):
            for name, gradient in gradients.items():
                found = gradient.abs() * count
                sums[name] = sums[name] + found if name in sums else found
        return {la.name: context.weight(la).abs() * sums[la.name] for la in context.layers}


@part
class SetDifference(Difference):
    """Matters for the images of some classes (A), and not for the other images (B).

    Both come from the calibration images. See `Difference` for the rule.
    """

    name: ClassVar[str] = "set-difference"
    title: ClassVar[str] = "Matters for classes A, not for the rest"
    paper: ClassVar[str] = "Wei et al. 2024, arXiv:2402.05162"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration", "labels", "gradients"})

    classes: str = Field(
        default="0",
        title="Classes of A",
        description="Numbers or names of classes, with commas between them; all others are B.",
    )

    @field_validator("classes")
    @classmethod
    def _names_some(cls, value: str) -> str:
        if not _entries(value):
            raise ValueError("no class is named: write numbers or names with commas between them")
        return value

    def inapplicable(self, model: Model) -> str:
        try:
            chosen = class_numbers(self.classes, model)
        except ArgumentError as error:
            return str(error)
        if len(chosen) == model.num_classes:
            return f"all classes of {model.name} are in A, and none is left for B"
        return ""

    def cost(self, job: JobSize) -> Cost:
        return Cost(backward=job.images, memory=16 * job.parameters)

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        images = labelled(context)
        first = np.isin(images.labels, class_numbers(self.classes, context.model))
        if first.all() or not first.any():
            only, other = ("A", "B") if first.all() else ("B", "A")
            raise ArgumentError(
                f"all {len(images)} calibration images belong to set {only} (classes "
                f"{self.classes!r} are A), and none to {other}: take other classes or more images"
            )
        a, b = (images.subset(np.flatnonzero(chosen)) for chosen in (first, ~first))
        return self.difference(context, a, b)


@part
class ContrastDifference(Difference):
    """Matters for the calibration images (A), and not for those of the second kind (B).

    See `Difference` for the rule.
    """

    name: ClassVar[str] = "contrast-difference"
    title: ClassVar[str] = "Matters for these images, not for the others"
    paper: ClassVar[str] = "Wei et al. 2024, arXiv:2402.05162"
    needs: ClassVar[frozenset[Need]] = frozenset(
        {"calibration", "labels", "gradients", "contrast"}
    )

    def cost(self, job: JobSize) -> Cost:
        """The images of the second kind are taken to be as many as the first."""
        return Cost(backward=2 * job.images, memory=16 * job.parameters)

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        if context.contrast is None:
            raise ArgumentError("this recipe needs images of a second kind")
        return self.difference(context, context.images(), context.contrast)


def class_numbers(classes: str, model: Model) -> list[int]:
    """What "3, cat" says, as sorted numbers. Raises ArgumentError for what is no class.

    A number is the position of a class, even where names are numbers too.
    """
    names = [name.casefold() for name in model.classes or model.architecture.classes]
    found = set()
    for entry in _entries(classes):
        if entry.isdecimal() and int(entry) < model.num_classes:
            found.add(int(entry))
        elif entry.casefold() in names:
            found.add(names.index(entry.casefold()))
        else:
            raise ArgumentError(
                f"{model.name} has no class {entry!r}: write names, or numbers from 0 to "
                f"{model.num_classes - 1}"
            )
    return sorted(found)


def difference_scores(
    a: dict[str, Tensor], b: dict[str, Tensor], protect: float
) -> dict[str, Tensor]:
    """Scores whose smallest are removed: -I_A, and for what is protected 1 + I_B / max I_B."""
    largest = max(float(found.max()) for found in b.values())
    scores = {}
    for name, importance in a.items():
        protected = top(b[name], exact_count(protect, importance.numel()))
        last = 1 + b[name] / (largest or 1.0)
        scores[name] = torch.where(protected, last, -importance)
    return scores


def top(importance: Tensor, count: int) -> Tensor:
    """The `count` largest entries (True); of equals those that stand first."""
    return k_smallest([-importance], count)[0]


def _entries(classes: str) -> Sequence[str]:
    return [entry.strip() for entry in classes.split(",") if entry.strip()]
