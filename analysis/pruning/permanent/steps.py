"""The step that cuts out what is zero as a whole: blocks, channels, neurons and heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from analysis.architectures.edits import Drop, Edit
from analysis.errors import InputError
from analysis.pruning.coupled import ChannelGroup, axis_sizes, cuts
from analysis.pruning.dependencies import coupling
from analysis.pruning.permanent.draft import Draft
from analysis.request import Report


def cut_out(draft: Draft, report: Report) -> Draft:
    """Drop blocks that add nothing, and cut what is zero in every layer that produces it.

    One unit at least stays in each group: a layer without outputs cannot be computed.
    """
    drops = [
        Drop(block.name)
        for block in draft.architecture.blocks
        if not any(bool(draft.weights[name].any()) for name in block.last)
    ]
    notes = []
    groups: list[ChannelGroup] = []
    try:
        groups = _outside(coupling(draft.architecture, report).groups, drops)
    except InputError as error:
        notes.append(str(error))
    removed = {}
    for group in groups:
        zero = zero_units(draft, group)
        if bool(zero.all()):
            zero[0] = False
            notes.append(f"{group.root}: everything is zero; one of its {group.kind} stays")
        removed[group.root] = zero
    edits: tuple[Edit, ...] = (*drops, *cuts(removed, groups, axis_sizes(draft.weights, groups)))
    smaller = draft.changed(edits) if edits else draft
    return replace(smaller, notes=(*smaller.notes, *notes, *_left(smaller)))


def zero_units(draft: Draft, group: ChannelGroup) -> Tensor:
    """Boolean (units,): rows, biases, scales and shifts of a unit are zero everywhere."""
    zero = torch.ones(group.size, dtype=torch.bool)
    for member in group.members:
        if member.axis == "in":
            continue
        for name in (f"{member.module}.weight", f"{member.module}.bias"):
            if name not in draft.weights:
                continue
            tensor = draft.weights[name]
            empty = ~tensor.reshape(len(tensor), -1).any(dim=1)
            zero &= torch.stack([empty[list(rows)].all() for rows in member.indices])
    return zero


def _outside(groups: Sequence[ChannelGroup], drops: Sequence[Drop]) -> list[ChannelGroup]:
    """The groups without their members in dropped blocks; those that nothing else writes to go."""
    found = []
    for group in groups:
        members = tuple(
            member
            for member in group.members
            if not any(f"{member.module}.".startswith(f"{drop.module}.") for drop in drops)
        )
        if any(member.axis == "out" for member in members):
            found.append(replace(group, members=members))
    return found


def _left(draft: Draft) -> list[str]:
    """Name layers with outputs that are zero and stay."""
    counts = {
        layer.name: int((~draft.weights[layer.parameter].flatten(1).any(dim=1)).sum())
        for layer in draft.architecture.prunable(draft.num_classes)
    }
    names = [f"{name} ({count})" for name, count in counts.items() if count]
    if not names:
        return []
    more = f" and {len(names) - 6} more layers" if len(names) > 6 else ""
    return [
        "outputs that are zero stay where what they are coupled with is not zero, or where it "
        f"cannot be cut: {', '.join(names[:6])}{more}"
    ]
