"""Steps that put other layers in the place of some: merged convolutions, and factored ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from analysis.architectures.edit import Edit
from analysis.architectures.edits import Factor
from analysis.pruning.depth.chains import linear_runs, load, merge_edit
from analysis.pruning.low_rank import EPSILON
from analysis.pruning.permanent.draft import Draft
from analysis.request import Report

WORTH_IT = 0.75
"""Two layers take the place of one when they have at most this share of its weights: each call
costs something as well."""


def merge_convolutions(draft: Draft, report: Report) -> Draft:
    """Convolutions without an activation between them become one."""
    module = draft.module()
    runs = linear_runs(module, draft.architecture)
    edits: list[Edit] = []
    for links in runs:
        edit, whole = merge_edit(module, links)
        load(module, edit, whole)
        edits.append(edit)
    return _with_layers(draft, module, edits)


def factor_layers(draft: Draft, report: Report) -> Draft:
    """Layers of low rank become two, where that saves multiplications.

    A convolution is tried as a matrix by channel (NC) and by space (VH); the rank is that of its
    weight, whatever made it low.
    """
    module = draft.module()
    edits: list[Edit] = []
    for layer in draft.architecture.prunable(draft.num_classes):
        found = module.get_submodule(layer.name)
        # The classifier stays one layer: its rows are the classes, its inputs the features.
        best = None if layer.name == draft.architecture.classifier else _cheapest(found)
        if best is not None:
            form, first, second = best
            edit = Factor(layer.name, form, len(first))
            bias = getattr(found, "bias", None)
            edit.apply(module)
            _fill(module.get_submodule(layer.name), first, second, bias)
            edits.append(edit)
    return _with_layers(draft, module, edits)


def _with_layers(draft: Draft, module: nn.Module, edits: list[Edit]) -> Draft:
    if not edits:
        return draft
    return replace(
        draft,
        architecture=draft.architecture.edited(edits),
        weights={name: tensor.detach() for name, tensor in module.state_dict().items()},
        edits=draft.edits + tuple(edits),
    )


def _cheapest(layer: nn.Module) -> tuple[Any, Tensor, Tensor] | None:
    """Form and both weights of the factors with the fewest of them; None where one is cheaper."""
    if isinstance(layer, nn.Linear):
        candidates = [("linear", *_linear(layer.weight.detach()))]
    elif isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.padding_mode == "zeros":
        weight = layer.weight.detach()
        candidates = [("NC", *_by_channel(weight))]
        if not isinstance(layer.padding, str):
            candidates.append(("VH", *_by_space(weight)))
    else:
        return None
    sizes = [first.numel() + second.numel() for _, first, second in candidates]
    smallest = sizes.index(min(sizes))
    if sizes[smallest] > WORTH_IT * layer.weight.numel() or not len(candidates[smallest][1]):
        return None
    return candidates[smallest]


def _linear(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(rank, in) and (out, rank)."""
    left, right = _halves(weight)
    return right, left


def _by_channel(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(rank, in, kh, kw) and (out, rank, 1, 1)."""
    left, right = _halves(weight.flatten(1))
    return right.reshape(-1, *weight.shape[1:]), left[:, :, None, None]


def _by_space(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(rank, in, kh, 1) and (out, rank, 1, kw)."""
    out, inputs, high, wide = weight.shape
    left, right = _halves(weight.permute(1, 2, 3, 0).reshape(inputs * high, wide * out))
    first = left.T.reshape(-1, inputs, high, 1)
    return first, right.reshape(-1, wide, out).permute(2, 0, 1)[:, :, None, :]


def _halves(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, rank) and (rank, columns) whose product is the matrix, sharing its scale."""
    u, singular, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    rank = int((singular > EPSILON * singular.square().sum().sqrt()).sum())
    half = singular[:rank].sqrt()
    return (u[:, :rank] * half).to(matrix.dtype), (half[:, None] * v[:rank]).to(matrix.dtype)


def _fill(pair: nn.Module, first: Tensor, second: Tensor, bias: Tensor | None) -> None:
    assert isinstance(pair, nn.Sequential)
    with torch.no_grad():
        pair.get_parameter("0.weight").copy_(first)
        pair.get_parameter("1.weight").copy_(second)
        if bias is not None:
            pair.get_parameter("1.bias").copy_(bias)
