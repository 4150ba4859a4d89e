"""What pruning one layer alone does, at several sparsities: the curves that share a budget.

for every layer: units in the order of their scores -> the first sparsity at which each is gone
"output error":  ‖X (W - W')ᵀ‖² / ‖X Wᵀ‖², X the layer's inputs in the network as it is
"loss increase": cross-entropy with that layer pruned - cross-entropy without
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812 - its usual name

from analysis.architectures.architecture import PrunableLayer
from analysis.data.dataset import batches
from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.counting import exact_count
from analysis.pruning.criteria.gradients import labelled
from analysis.pruning.inputs import each_input
from analysis.pruning.parts import LayerUnits
from analysis.request import Step
from kernels.select import k_smallest

SPARSITIES = (0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def output_damage(context: PruningContext, units: Sequence[LayerUnits]) -> np.ndarray:
    """Relative squared error of each layer's output, all inputs unpruned; layers × SPARSITIES.

    The bias is no part of the output. A layer whose output is zero has no damage.

    Raises
    ------
    ArgumentError: the units are neither weights nor outputs, or a layer is never called.
    """
    levels = {unit.layer.name: removal_levels(unit) for unit in units}
    sums = {name: np.zeros(len(SPARSITIES) + 1) for name in levels}

    def see(layer: PrunableLayer, module: nn.Module, x: Tensor) -> None:
        sums[layer.name] += _errors(module, x, levels[layer.name])

    each_input(context, [unit.layer for unit in units], see, "output errors")
    return np.array([found[1:] / max(found[0], 1e-300) for found in sums.values()])


def loss_damage(context: PruningContext, units: Sequence[LayerUnits]) -> np.ndarray:
    """Growth of the mean cross-entropy in nats with one layer pruned; layers × SPARSITIES.

    Raises
    ------
    ArgumentError: the images have no usable labels, or the units are neither weights nor outputs.
    """
    images = labelled(context)
    levels = {unit.layer.parameter: removal_levels(unit) for unit in units}
    growth = np.zeros((len(units), len(SPARSITIES)))
    done, total = 0, len(images) * len(units)
    architecture, compute = context.model.architecture, context.compute
    for x, labels in batches(images, architecture, compute.batch_size, compute.device):
        dense = _loss(context.module, {}, x, labels)
        for row, (parameter, level) in enumerate(levels.items()):
            weight = context.module.get_parameter(parameter).detach()
            for column in range(len(SPARSITIES)):
                changed = {parameter: weight * (level > column).to(weight)}
                growth[row, column] += _loss(context.module, changed, x, labels) - dense
            done += len(labels)
            context.report(Step(done, total, "loss of single layers"))
    return growth / len(images)


def removal_levels(unit: LayerUnits) -> Tensor:
    """Index of the first of SPARSITIES at which each weight is gone; their number if at none.

    uint8, in the shape of the weight. Units already removed have level 0.

    Raises
    ------
    ArgumentError: the units are neither single weights nor whole outputs of the layer.
    """
    shape, scores = unit.layer.shape, unit.scores
    if tuple(scores.shape) not in (shape, shape[:1]):
        raise ArgumentError(
            f"{unit.layer.name}: its units are neither single weights nor whole outputs, so the "
            "damage of one layer cannot be measured: choose another allocation"
        )
    level = torch.zeros(scores.shape, dtype=torch.uint8, device=scores.device)
    for sparsity in SPARSITIES:
        count = max(exact_count(sparsity, unit.size), unit.gone)
        level += ~k_smallest([scores], count)[0]
    if level.ndim < len(shape):
        level = level.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)
    return level


def _errors(layer: nn.Module, x: Tensor, level: Tensor) -> np.ndarray:
    """‖X Wᵀ‖² and, for each sparsity, ‖X (W - W')ᵀ‖² of one call, without the bias."""
    weight = layer.get_parameter("weight").detach()
    level = level.to(weight.device)
    found = [_energy(layer, x, weight)]
    for column in range(len(SPARSITIES)):
        found.append(_energy(layer, x, weight * (level <= column).to(weight)))
    return np.array(found)


def _energy(layer: nn.Module, x: Tensor, weight: Tensor) -> float:
    if isinstance(layer, nn.Conv2d):
        output = layer._conv_forward(x, weight, None)
    else:
        output = F.linear(x, weight)
    return float(output.square().sum(dtype=torch.float64))


def _loss(module: nn.Module, changed: dict[str, Tensor], x: Tensor, labels: Tensor) -> float:
    """Summed cross-entropy with some weights replaced."""
    with torch.no_grad():
        logits = functional_call(module, changed, (x,))
        return float(F.cross_entropy(logits, labels, reduction="sum"))
