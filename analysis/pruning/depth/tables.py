"""What each segment of a chain is worth and what it takes.

A segment is a run of links without activations in between. Its importance is minus the rise of the
loss on the calibration images when it alone is linear (no training, so a surrogate for the
published importance, which fine-tunes each one). Its time is that of the merged convolution, or of
its parts run one after the other where that is faster.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from analysis.architectures.edits import apply
from analysis.architectures.merges import padding_of
from analysis.data.dataset import batches
from analysis.pruning.context import PruningContext
from analysis.pruning.criteria.gradients import labelled
from analysis.pruning.depth.chains import Chain, linear_edits, load, merge_edit
from analysis.pruning.latency import measure
from analysis.request import Step

Segment = tuple[int, int, int]
"""Chain, first link, last link (inclusive)."""
Resource = Literal["latency", "macs"]
LONGEST = 4
"""Most links of a segment: merged kernels grow with every one."""


REPEATS = 7


def segments(chains: tuple[Chain, ...]) -> list[Segment]:
    """All runs of up to `LONGEST` links, single links among them."""
    return [
        (chain, first, last)
        for chain, links in enumerate(chains)
        for first in range(len(links))
        for last in range(first, min(len(links), first + LONGEST))
    ]


def importances(context: PruningContext, chains: tuple[Chain, ...]) -> dict[Segment, float]:
    """Minus the rise of the mean cross-entropy, in nats, when one segment alone is linear."""
    images = labelled(context)
    wanted = segments(chains)
    dense = _loss(context, ())
    found = {}
    for done, segment in enumerate(wanted):
        chain, first, last = segment
        links = chains[chain][first : last + 1]
        found[segment] = dense - _loss(context, links) if last > first else 0.0
        context.report(Step(done + 1, len(wanted), f"linear segments, {len(images)} images"))
    return found


Plans = Mapping[Segment, tuple[float, tuple[Segment, ...]]]
"""Time of each segment, and the parts that it is fastest merged into."""


def times(
    context: PruningContext, chains: tuple[Chain, ...], resource: Resource, batch: int
) -> Plans:
    """Milliseconds of a batch, or MACs of an image, of every segment made one where that pays."""
    merged = {}
    wanted = segments(chains)
    for done, (chain, first, last) in enumerate(wanted):
        layer, link = _merged(context, chains[chain][first : last + 1]), chains[chain][first]
        size = (layer.in_channels, link.height, link.width)
        merged[chain, first, last] = (
            _macs(layer, size) if resource == "macs" else _latency(context, layer, size, batch)
        )
        context.report(Step(done + 1, len(wanted), f"{resource} of merged convolutions"))
    return fastest(merged)


def fastest(merged: Mapping[Segment, float]) -> Plans:
    """T_opt(i, j) = min(T(i, j), min_m T_opt(i, m) + T(m, j)): a segment in its fastest parts."""
    best: dict[Segment, tuple[float, tuple[Segment, ...]]] = {}
    for segment in sorted(merged, key=lambda found: found[2] - found[1]):
        chain, first, last = segment
        best[segment] = (merged[segment], (segment,))
        for middle in range(first, last):
            head, tail = (chain, first, middle), (chain, middle + 1, last)
            time = best[head][0] + merged[tail]
            if time < best[segment][0]:
                best[segment] = (time, (*best[head][1], tail))
    return best


def _loss(context: PruningContext, links: Chain) -> float:
    """Mean cross-entropy on the calibration images with these links linear."""
    module = context.model.module(context.compute.device)
    if links:
        apply(module, linear_edits(module, links))
    total, count, device = 0.0, 0, context.compute.device
    architecture = context.model.architecture
    with torch.no_grad():
        for x, y in batches(context.images(), architecture, context.compute.batch_size, device):
            total += float(F.cross_entropy(module(x), y, reduction="sum"))
            count += len(y)
    return total / count


def _merged(context: PruningContext, links: Chain) -> nn.Conv2d:
    """The convolution that these links become, with its weights."""
    module = copy.deepcopy(context.module)
    if len(links) == 1:
        layer = module.get_submodule(links[0].convolution)
    else:
        apply(module, linear_edits(module, links))
        edit, whole = merge_edit(module, links)
        load(module, edit, whole)
        layer = module.get_submodule(edit.module)
    assert isinstance(layer, nn.Conv2d)
    return layer


def _macs(layer: nn.Conv2d, size: tuple[int, int, int]) -> float:
    positions = 1
    for side, pad, kernel, stride in zip(
        size[1:], padding_of(layer), layer.kernel_size, layer.stride, strict=True
    ):
        positions *= (side + 2 * pad - kernel) // stride + 1
    return float(layer.weight.numel() * positions)


def _latency(
    context: PruningContext, layer: nn.Conv2d, size: tuple[int, int, int], batch: int
) -> float:
    images = torch.zeros(batch, *size, device=context.compute.device)
    return 1000 * measure(layer.float(), images, repeats=REPEATS).median
