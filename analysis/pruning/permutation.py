"""Orders of input channels in which an N:M pattern keeps more.

Pool and Yu, Channel Permutations for N:M Sparsity (NeurIPS 2021). A group of layers that read one
tensor is searched as one tall matrix, since only a common order can be executed:

    rows = (output, kernel position) of every layer that reads the tensor,  columns = its channels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from analysis.architectures.architecture import PrunableLayer
from analysis.pruning.context import PruningContext
from analysis.pruning.readers import shared_readers
from analysis.request import Step
from kernels.nm import complete
from kernels.permutation import Permutation, search


def find_orders(
    context: PruningContext, scores: Mapping[str, Tensor], n: int, m: int
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """For each layer whose groups keep more in another order: that order, (in,) on the CPU.

    Inputs beyond the last complete group stay where they are. The notes name the layers that keep
    their order although they have groups, and say what each search gained: how much score the
    pattern keeps, and which share of what choosing freely within every row would add
    ("efficacy"). Equal scores and seeds give equal orders.
    """
    orders: dict[str, Tensor] = {}
    notes: list[str] = []
    here = {layer.name for layer in context.layers}
    sets = [layers for layers in shared_readers(context) if here & {la.name for la in layers}]
    for done, layers in enumerate(sets):
        context.report(Step(done, len(sets), "permutations"))
        if complete(layers[0].shape[1], m) <= m:  # one group is the same in any order
            continue
        names = ", ".join(layer.name for layer in layers)
        reason = _fixed(context, layers)
        if reason:
            notes.append(f"{names}: {reason}; the inputs keep their order")
            continue
        matrix = torch.cat([_rows(scores[layer.name]) for layer in layers])
        found = search(matrix, n, m, context.seed)
        notes.append(f"{names}: {_told(found, n, m)}")
        orders |= {layer.name: found.order for layer in layers}
    return orders, tuple(notes)


def _told(found: Permutation, n: int, m: int) -> str:
    return (
        f"in another order of its inputs {n}:{m} keeps {found.kept:.6g} of score instead of "
        f"{found.before:.6g}, {found.efficacy:.1%} of what choosing freely in every row would add"
    )


def _fixed(context: PruningContext, layers: Sequence[PrunableLayer]) -> str:
    """Why these layers cannot get a common order of their own; "" when they can."""
    here = {layer.name for layer in context.layers}
    if not {layer.name for layer in layers} <= here:
        return "some of them are pruned in another round"
    if len({(layer.kind, layer.shape[1]) for layer in layers}) > 1:
        return "they read the same tensor along different dimensions"
    modules = [context.module.get_submodule(layer.name) for layer in layers]
    if any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in modules):
        return "a convolution with groups reads them"
    if any(bool(context.removed(layer).any()) for layer in layers):
        return "weights were removed before"
    return ""


def _rows(scores: Tensor) -> Tensor:
    """(out · kernel positions, in)."""
    return scores.detach().movedim(1, -1).reshape(-1, scores.shape[1])
