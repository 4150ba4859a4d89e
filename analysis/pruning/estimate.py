"""What a pruning job will take, and whether that is more than it may.

    seconds = rounds × (images sent through, forward or back, at this machine's speed
                        + multiply-adds beyond these + handling of every weight)
    memory  = weights, scores and masks + activations of one batch + what the parts hold

Parts say what they do (`Part.cost`), `machine.py` how fast that goes. Good to a factor of about
three, which is what a question like "seconds or hours" needs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from analysis.architectures.architecture import Architecture
from analysis.errors import ArgumentError
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.machine import Speed, free_memory, machine_speed
from analysis.pruning.macs import layer_macs
from analysis.pruning.part import Part
from analysis.pruning.prune import Prune

BACK = 5
"""Forward and backward together, in forward passes: 3 by the count of multiply-adds, 4 to 5 as
measured on CPUs with layers of few channels."""
PER_LAYER, PER_WEIGHT = 2.5e-3, 25e-9
"""Seconds that a layer and a weight take in each round: selection, masks, building the module."""
START_SECONDS, START_BYTES = 0.4, 80 << 20
"""What the first job of a process takes for loading its kernels."""
SHARE = 0.6
"""Fraction of the memory still free that a job may take."""


@dataclass(frozen=True)
class Estimate:
    """What a job will take, to a factor of about three.

    Attributes
    ----------
    seconds: wall time.
    memory_bytes: peak, beyond what the process holds already.
    text: both in words, with what they are made of.
    """

    seconds: float
    memory_bytes: int
    text: str


@dataclass(frozen=True)
class Budget:
    """What a job may take; None = as much as it wants."""

    memory_bytes: int | None = None
    seconds: float | None = None

    @classmethod
    def default(cls, device: str = "cpu") -> Budget:
        """60 % of the memory that is free on the device now, and any time."""
        return cls(memory_bytes=int(SHARE * free_memory(device)))


@dataclass(frozen=True)
class Activations:
    """What the modules of a network put out for one image.

    Attributes
    ----------
    elements: numbers put out by all modules without children; a backward pass keeps them.
    largest: the most that one of them reads and writes.
    calls: how many calls of modules there are.
    """

    elements: int
    largest: int
    calls: int


def estimate(request: Prune) -> Estimate:
    """Time and memory of a job, before it starts. Raises ArgumentError as the job itself would."""
    work, rounds, batch = _work(request)
    architecture, classes = request.model.architecture, request.model.num_classes
    speed = machine_speed(request.compute.device)
    passes = work.forward + BACK * work.backward
    seconds = passes * _image_seconds(architecture, classes, batch, speed)
    seconds += work.macs / speed.macs
    layers = request.model.layers
    weights = sum(layer.parameters for layer in layers)
    seconds += rounds * (PER_LAYER * len(layers) + PER_WEIGHT * weights)
    if "numba" not in sys.modules:
        seconds += START_SECONDS
    memory = START_BYTES + work.memory + _held(request) + _batch_memory(request, work, batch)
    return Estimate(seconds, memory, _text(seconds, memory, work, rounds))


def check(request: Prune, budget: Budget) -> Estimate:
    """The estimate, if it is within the budget.

    Raises
    ------
    ArgumentError: it is not; says what the job would take and what to lower.
    """
    found = estimate(request)
    if budget.memory_bytes is not None and found.memory_bytes > budget.memory_bytes:
        raise ArgumentError(
            f"this job would take about {_size(found.memory_bytes)} of memory, and "
            f"{_size(budget.memory_bytes)} may be taken: {_lower_memory(request)}"
        )
    if budget.seconds is not None and found.seconds > budget.seconds:
        raise ArgumentError(
            f"this job would take about {_time(found.seconds)}, and {_time(budget.seconds)} may "
            f"be taken: {_lower_time(request)}"
        )
    return found


@lru_cache(maxsize=64)
def activations(architecture: Architecture, num_classes: int) -> Activations:
    """Counted in one forward pass on shapes; products inside attention are not modules."""
    found: list[tuple[int, int]] = []

    def count(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        written = _elements(output)
        found.append((written, written + _elements(args)))

    with torch.device("meta"), torch.no_grad():
        module = architecture.build(num_classes).eval()
        for child in module.modules():
            if not any(True for _ in child.children()):
                child.register_forward_hook(count)
        like = next(module.parameters())
        module(torch.zeros(1, *architecture.input_shape, dtype=like.dtype))
    written, touched = zip(*found, strict=True)
    return Activations(sum(written), max(touched), len(found))


def _work(request: Prune) -> tuple[Cost, int, int]:
    """What all parts do in all rounds, the number of rounds, and the images in one batch."""
    recipe, target = request.recipe, request.target
    images = len(request.calibration) if request.calibration is not None else 0
    macs = layer_macs(request.model.architecture, request.model.num_classes)
    layers = request.model.layers
    plan = recipe.schedule.plan(layers, target)
    each = recipe.recovery.each_round or recipe.schedule.recovers_each_round
    everything = JobSize(layers, macs, images, request.compute.batch_size)
    total = Cost() if each else recipe.recovery.cost(everything)
    steady = (recipe.criterion, recipe.structure, recipe.allocation, recipe.schedule)
    for now in plan:
        size = JobSize(now.layers, macs, images, request.compute.batch_size)
        for part in (*steady, recipe.recovery) if each else steady:
            total += part.cost(size)
    batch = _batch(recipe.criterion, request.compute.batch_size)
    once = math.ceil((total.forward + total.backward) / len(plan))
    return total, len(plan), max(1, min(batch, once))


def _batch(part: Part, batch_size: int) -> int:
    """Images that a part sends through at once: its own field `batch`, or the job's."""
    return int(getattr(part, "batch", batch_size))


def _image_seconds(architecture: Architecture, classes: int, batch: int, speed: Speed) -> float:
    """One image forward, as one of a batch."""
    macs = sum(layer_macs(architecture, classes).values())
    found = activations(architecture, classes)
    return macs / speed.macs + found.elements / speed.elements + found.calls * speed.call / batch


def _held(request: Prune) -> int:
    """Weights with their masks applied, their scores and both masks, unpacked."""
    everything = sum(tensor.nbytes for tensor in request.model.weights.values())
    weights = sum(layer.parameters for layer in request.model.layers)
    return everything + weights * (4 + 2)


def _batch_memory(request: Prune, work: Cost, batch: int) -> int:
    """Activations of one batch, float32: all of them and their gradients, or the largest ones."""
    if not (work.forward or work.backward):
        return 0
    found = activations(request.model.architecture, request.model.num_classes)
    # Forward alone keeps input and output of a layer, the shortcut, and one unfolded copy.
    kept = found.elements + 2 * found.largest if work.backward else 3 * found.largest
    return 4 * batch * kept


def _elements(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel()
    return sum(_elements(v) for v in value) if isinstance(value, (tuple, list)) else 0


def _text(seconds: float, memory: int, work: Cost, rounds: int) -> str:
    parts = [f"{rounds:,} rounds"] if rounds > 1 else []
    if work.backward:
        parts.append(f"{work.backward:,.0f} images forward and back")
    if work.forward:
        parts.append(f"{work.forward:,.0f} images forward")
    made_of = f" ({', '.join(parts)})" if parts else ""
    return f"about {_time(seconds)} and {_size(memory)}{made_of}"


def _lower_memory(request: Prune) -> str:
    """What would help, the largest share first."""
    work, _, batch = _work(request)
    if work.memory >= _batch_memory(request, work, batch):
        costly = _costliest(request)
        settings = ", ".join(type(costly).model_fields)
        if settings:
            return f"change {costly.title!r} ({settings}), use fewer images, or another recipe"
        return f"use another recipe than one with {costly.title!r}"
    return f"choose a smaller batch than {batch} images"


def _lower_time(request: Prune) -> str:
    _, rounds, _ = _work(request)
    helps = [] if rounds == 1 else [f"fewer rounds than {rounds}"]
    if "calibration" in request.recipe.needs and request.calibration is not None:
        helps.append(f"fewer calibration images than {len(request.calibration)}")
    return " or ".join([*helps, "a recipe that computes less"])


def _costliest(request: Prune) -> Part:
    """The part that holds the most memory."""
    images = len(request.calibration) if request.calibration is not None else 0
    macs = layer_macs(request.model.architecture, request.model.num_classes)
    job = JobSize(request.model.layers, macs, images, request.compute.batch_size)
    parts: Sequence[Part] = tuple(request.recipe.parts.values())
    return max(parts, key=lambda part: part.cost(job).memory)


def _size(count: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def _time(seconds: float) -> str:
    for unit, scale in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * scale:
            return f"{seconds / scale:.2g} {unit}"
    return f"{seconds:.2g} s"
