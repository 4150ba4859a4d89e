"""Which channels, neurons and heads of a network can be cut, and what goes with each.

Torch-pruning finds what is coupled (`tracing`, in a process with limits); the architecture's own
description gives the heads of its attention. Nothing is taken on trust: every group is tried in
float64 on random weights, and one whose zeroed units do not give what cut units give is left
out, with a note. So the shortcuts of CIFAR ResNets that pad channels, or a LayerNorm over a
residual stream, protect what feeds them.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from analysis.architectures import ARCHITECTURES
from analysis.architectures import edits as editing
from analysis.architectures.architecture import Architecture
from analysis.architectures.fingerprint import shapes
from analysis.architectures.registry import from_spec
from analysis.errors import ArgumentError, InputError
from analysis.pruning.coupled import Axis, ChannelGroup, Kind, Member, axis_sizes, cuts, zeroed
from analysis.pruning.tracing import random_module, trace
from analysis.request import Report, Step, silent

SECONDS = 60.0
"""Tracing takes one or two; what takes longer is one of the endless loops."""
TOLERANCE = 1e-9
"""Largest difference of a logit, relative to the largest logit, in float64."""
REMEDY = "Filters and single weights can be pruned all the same, as masks."
_KNOWN: WeakKeyDictionary[Architecture, Coupling] = WeakKeyDictionary()


@dataclass(frozen=True)
class Coupling:
    """What can be cut in a network.

    Attributes
    ----------
    groups: in module order of their roots; no unit of one shares a row or column with another's.
    notes: what is coupled but cannot be cut, in full sentences.
    """

    groups: tuple[ChannelGroup, ...]
    notes: tuple[str, ...] = ()

    def of(self, kind: Kind) -> tuple[ChannelGroup, ...]:
        return tuple(group for group in self.groups if group.kind == kind)


def coupling(architecture: Architecture, report: Report = silent) -> Coupling:
    """The groups of an architecture, found once a process.

    Raises
    ------
    InputError: the network cannot be traced; masks of filters and weights still work.
    """
    if architecture not in _KNOWN:
        _KNOWN[architecture] = _couple(architecture, _traced(architecture, report))
    return _KNOWN[architecture]


def known(architecture: Architecture) -> Coupling | None:
    """What `coupling` found before; None when it would have to look."""
    return _KNOWN.get(architecture)


def _couple(architecture: Architecture, traced: Sequence[Sequence[dict[str, Any]]]) -> Coupling:
    module = random_module(architecture, torch.float64)
    layers = [layer.name for layer in architecture.prunable(architecture.num_classes)]
    attention = {layer.qkv for layer in architecture.attention}
    found, spoiled = _heads(module, architecture), []
    for entry in traced:
        if attention & {m["module"] for m in entry if m["axis"] == "out"}:
            continue  # rows of query, key and value go head by head
        group = _group(module, layers, entry)
        if group is None:
            spoiled.append([m["module"] for m in entry if m["axis"] == "out"])
        else:
            found.append(group)
    found.sort(key=lambda group: layers.index(group.root))
    separate = _disjoint(found)
    good = _verified(architecture, module, separate)
    spoiled += [[m.module for m in g.members if m.axis == "out"] for g in found if g not in good]
    return Coupling(tuple(good), tuple(_note(names, layers) for names in spoiled))


def _group(
    module: nn.Module, layers: Sequence[str], entry: Sequence[dict[str, Any]]
) -> ChannelGroup | None:
    """A traced group with the first of its layers as root; None where it cannot be cut at all."""
    size = len(entry[0]["units"])
    members = tuple(_member(m, size) for m in entry if m["axis"] != "parameter")
    complete = len(members) == len(entry) and all(_fits(module, m) for m in members)
    if size < 2 or not complete:
        return None
    roots = [m.module for m in members if m.axis == "out" and m.module in layers]
    root = min(roots, key=layers.index)
    linear = all(isinstance(module.get_submodule(name), nn.Linear) for name in roots)
    return ChannelGroup(root, "neurons" if linear else "channels", size, members)


def _fits(module: nn.Module, member: Member) -> bool:
    """Whether every unit has its place in the member's weight."""
    weight = getattr(module.get_submodule(member.module), "weight", None)
    dim = 0 if member.axis == "out" else 1
    if not isinstance(weight, Tensor) or weight.ndim <= dim:
        return False
    return all(unit and max(unit) < weight.shape[dim] for unit in member.indices)


def _member(entry: dict[str, Any], size: int) -> Member:
    indices: list[list[int]] = [[] for _ in range(size)]
    for index, unit in zip(entry["indices"], entry["units"], strict=True):
        if unit is not None and 0 <= unit < size:
            indices[unit].append(index)
    axis: Axis = "out" if entry["axis"] == "out" else "in"
    return Member(entry["module"], axis, tuple(map(tuple, indices)))


def _heads(module: nn.Module, architecture: Architecture) -> list[ChannelGroup]:
    """One group an attention module, from the architecture's own description."""
    found = []
    for layer in architecture.attention:
        outputs = int(module.get_parameter(f"{layer.qkv}.weight").shape[0])
        inputs = int(module.get_parameter(f"{layer.proj}.weight").shape[1])
        rows = tuple(layer.rows(head, outputs) for head in range(layer.heads))
        columns = tuple(layer.columns(head, inputs) for head in range(layer.heads))
        members = Member(layer.qkv, "out", rows), Member(layer.proj, "in", columns)
        if layer.heads > 1:
            found.append(ChannelGroup(layer.qkv, "heads", layer.heads, members, layer.module))
    return found


def _disjoint(groups: Sequence[ChannelGroup]) -> list[ChannelGroup]:
    """Groups that share no row or column with one before them, nor count one twice."""
    taken: set[tuple[str, str, int]] = set()
    found = []
    for group in groups:
        cells = [(m.module, m.axis, i) for m in group.members for unit in m.indices for i in unit]
        if len(set(cells)) == len(cells) and taken.isdisjoint(cells):
            taken.update(cells)
            found.append(group)
    return found


def _verified(
    architecture: Architecture, module: nn.Module, groups: Sequence[ChannelGroup]
) -> list[ChannelGroup]:
    """Those whose zeroed units give what cut ones give: all at once, else half by half."""
    if not groups or _equal(architecture, module, groups):
        return list(groups)
    if len(groups) == 1:
        return []
    middle = len(groups) // 2
    halves = groups[:middle], groups[middle:]
    return [good for half in halves for good in _verified(architecture, module, half)]


def _equal(architecture: Architecture, module: nn.Module, groups: Sequence[ChannelGroup]) -> bool:
    generator = torch.Generator().manual_seed(1)
    state = dict(module.state_dict())
    removed = {group.root: _some(group.size, generator) for group in groups}
    edits = cuts(removed, groups, axis_sizes(state, groups))
    for group in groups:
        state |= zeroed(state, group, removed[group.root])
    masked = copy.deepcopy(module)
    masked.load_state_dict(state, assign=True)
    images = torch.randn(1, *architecture.input_shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        expected: Tensor = masked(images)
        try:
            found: Tensor = editing.apply(masked, edits)(images)
        except (ArgumentError, RuntimeError, ValueError):  # a cut or a shape that does not fit
            return False
    most = float(expected.abs().max())
    return found.shape == expected.shape and float((found - expected).abs().max()) <= (
        TOLERANCE * most
    )


def _some(size: int, generator: torch.Generator) -> Tensor:
    """About half of the units, never all and never none."""
    order = torch.randperm(size, generator=generator)
    found = torch.zeros(size, dtype=torch.bool)
    found[order[: max(size // 2, 1)]] = True
    return found


def _note(names: Sequence[str], layers: Sequence[str]) -> str:
    coupled = sorted({name for name in names if name in layers}, key=layers.index)
    more = f" and {len(coupled) - 3} more layers" if len(coupled) > 3 else ""
    return (
        f"the outputs of {', '.join(coupled[:3])}{more} are coupled in a way that cannot be cut "
        "without changing what the network computes; they stay whole"
    )


def _traced(architecture: Architecture, report: Report) -> list[list[dict[str, Any]]]:
    """In a process of its own; toys that no registry can build are traced in this one."""
    if _registered(architecture):
        return _in_child(architecture, report)
    try:
        return trace(architecture)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError,
            TypeError, ValueError) as error:  # fmt: skip
        raise _untraceable(architecture, str(error)) from error


def _registered(architecture: Architecture) -> bool:
    """Whether the registry builds the same network from the architecture's description."""
    if architecture.name.partition("+")[0] not in ARCHITECTURES:
        return False
    classes = architecture.num_classes
    return shapes(from_spec(architecture.spec), classes) == shapes(architecture, classes)


def _in_child(architecture: Architecture, report: Report) -> list[list[dict[str, Any]]]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "analysis.pruning.tracing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        encoding="utf-8",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    ) as process:
        try:
            output, problems = _answer(process, architecture, report)
        finally:
            process.kill()  # after a cancelled job as well as in an endless loop
    if process.returncode != 0:
        raise _untraceable(architecture, (problems.strip().splitlines() or ["it was ended"])[-1])
    found: list[list[dict[str, Any]]] = json.loads(output)
    return found


def _answer(
    process: subprocess.Popen[str], architecture: Architecture, report: Report
) -> tuple[str, str]:
    """What the child writes to stdout and stderr until it ends by itself."""
    started, text = time.monotonic(), architecture.spec
    while time.monotonic() - started < SECONDS:
        report(Step(0, 1, "which channels belong together"))
        try:
            return process.communicate(text, timeout=0.1)
        except subprocess.TimeoutExpired:
            text = ""  # it has been sent
    raise _untraceable(architecture, f"no answer after {SECONDS:.0f} s")


def _untraceable(architecture: Architecture, why: str) -> InputError:
    problem = f"Which of its channels belong together could not be traced ({why})."
    return InputError(architecture.name, problem, REMEDY)
