"""From a masked model to a smaller one with the same outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.architectures.edits import Edit
from analysis.checkpoints.reading import content_key
from analysis.errors import ArgumentError, InputError
from analysis.models import Model
from analysis.pruning.permanent.draft import Draft
from analysis.pruning.permanent.layers import factor_layers, merge_convolutions
from analysis.pruning.permanent.steps import cut_out
from analysis.request import Report, Step, digest, part_of, silent

STEPS = (cut_out, merge_convolutions, factor_layers)
"""In this order: what was cut is smaller to merge and to factor."""
TOLERANCE = 1e-4
"""Largest difference of a logit between the masked network and the smaller one."""
IMAGES = 8
"""Random images for the comparison where none are given."""


@dataclass(frozen=True, eq=False)
class Permanent:
    """A network that was made smaller.

    Attributes
    ----------
    model: a dense model of an edited architecture; zeros that could not be cut out are in it.
    edits: how its architecture differs from that of the masked model.
    kept: outputs that stay, in the coordinates of the masked model, of each layer that lost some.
    difference: largest difference of a logit from the masked model, on the images compared.
    notes: what stays although it is zero, and why.
    """

    model: Model
    edits: tuple[Edit, ...]
    kept: Mapping[str, tuple[int, ...]]
    difference: float
    notes: tuple[str, ...] = ()


def make_permanent(
    model: Model, check: Tensor | None = None, report: Report = silent
) -> Permanent:
    """Cut out what is zero as a whole: blocks, channels, neurons and attention heads.

    Convolutions without an activation between them become one, and layers of low rank two
    smaller ones.

    What can go is read off the tensors alone, whatever recipe made them zero. `check` holds
    images (N, H, W, C; 0..255) to compare outputs on; random ones are taken without it.

    Raises
    ------
    ArgumentError: nothing can be made smaller.
    InputError: the smaller network computes something else.
    """
    draft = Draft.of(model)
    for index, step in enumerate(STEPS):
        draft = step(draft, part_of(report, index, len(STEPS) + 1, ""))
    if not draft.edits:
        raise ArgumentError(_nothing(model))
    report(Step(len(STEPS), len(STEPS) + 1, "outputs compared"))
    smaller = _model(model, draft)
    difference = _difference(model, smaller, _random_images(model) if check is None else check)
    if not difference < TOLERANCE:
        raise InputError(
            model.name,
            f"Cut out, its zeros give other outputs (a logit differs by {difference:.2g}).",
            "Keep it as a masked model: an activation here may not be zero at zero.",
        )
    return Permanent(smaller, draft.edits, draft.kept, difference, draft.notes)


def _nothing(model: Model) -> str:
    return (
        f"{model.name} has no channel, neuron, head or block that is zero as a whole, and no "
        "layer of low rank, so nothing can be cut out. Single zeros leave every layer as large "
        "as it is, and are multiplied like other numbers: there is no speed-up. Prune with a "
        "structured recipe, as channel-l1."
    )


def _model(model: Model, draft: Draft) -> Model:
    # The key is the one that the same tensors get when they are opened from a file.
    tensors = content_key(draft.weights)
    return replace(
        model,
        name=f"{model.name} (permanent)",
        key=digest({"tensors": tensors, "architecture": draft.architecture.key}),
        architecture=draft.architecture,
        weights=draft.weights,
        masks={},
        updates={},
        origin=None,
    )


def _random_images(model: Model) -> Tensor:
    channels, height, width = model.architecture.input_shape
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (IMAGES, height, width, channels), generator=generator)


def _difference(one: Model, two: Model, images: Tensor) -> float:
    """Largest difference of a logit; nan counts as one."""
    x = one.architecture.normalise(images)
    with torch.no_grad():
        difference = (one.module()(x) - two.module()(x)).abs().max()
    return float(difference)
