"""A short training run that keeps masks: for fine-tuning and distillation after pruning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from analysis.data.dataset import batches
from analysis.pruning.context import PruningContext
from analysis.pruning.criteria.gradients import labelled
from analysis.pruning.following import following_norms
from analysis.pruning.parts import Repair
from analysis.pruning.recoveries.batchnorm import recalibrate
from analysis.request import Step

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(network, normalised images, labels) -> loss of the batch."""


@dataclass(frozen=True)
class Plan:
    """How long and how hard to train: SGD with Nesterov momentum, cosine decay to zero.

    Attributes
    ----------
    epochs: passes over the calibration images.
    learning_rate: of the first step.
    batch: images a step.
    train_norms: let BatchNorm use batch statistics, and estimate them anew at the end; else they
        stay frozen.
    """

    epochs: int
    learning_rate: float
    batch: int
    momentum: float = 0.9
    weight_decay: float = 1e-4
    train_norms: bool = True


def train(context: PruningContext, plan: Plan, loss: Loss) -> Repair:
    """Train the masked network; removed weights, filters and their shifts stay zero.

    Gradients are masked before every step, so momentum never moves a removed weight, and weights
    after it, so rounding cannot either. Every tensor that changed goes out as an update.
    """
    images = labelled(context)
    module = _own(context.module)
    keep = _kept(context)
    parameters = dict(module.named_parameters())
    optimiser = torch.optim.SGD(
        parameters.values(),
        lr=plan.learning_rate,
        momentum=plan.momentum,
        weight_decay=plan.weight_decay,
        nesterov=plan.momentum > 0,
    )
    steps = -(-len(images) // plan.batch) * plan.epochs
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
    module.train(plan.train_norms)
    for child in module.modules():
        if isinstance(child, nn.Dropout):
            child.eval()  # its mask would come from torch's global generator
    for done, (x, labels) in enumerate(_shuffled(context, plan)):
        with torch.enable_grad():
            found = loss(module, x, labels)
            optimiser.zero_grad()
            torch.autograd.backward(found)
        _apply(keep, parameters, gradients=True)
        optimiser.step()
        schedule.step()
        _apply(keep, parameters, gradients=False)
        context.report(Step(done + 1, steps, f"training, loss {float(found.detach()):.4f}"))
    module.eval()
    if plan.train_norms:  # running averages of a short run still remember the masked network
        recalibrate(module, context, plan.batch)
    return Repair(_changed(context, module))


def _own(shared: nn.Module) -> nn.Module:
    """A copy: the module's tensors are the dense model's own."""
    module = copy.deepcopy(shared)
    return module.requires_grad_(True)


def _kept(context: PruningContext) -> dict[str, Tensor]:
    """1 where a parameter may move, 0 where it is removed, by name; whole ones have no entry.

    An output without weights that the model silenced keeps its bias, and the scale and shift of
    its BatchNorm, at zero.
    """
    model, device = context.model, context.compute.device
    kept = {name: mask.keep() for name, mask in model.masks.items()}
    norms = following_norms(replace(context, layers=model.layers))
    for layer in model.layers:
        empty = ~model.keep(layer).flatten(1).any(dim=1)
        if not bool(empty.any()):
            continue
        owners = [f"{layer.name}.bias"]
        if layer.name in norms:
            owners += [f"{norms[layer.name]}.weight", f"{norms[layer.name]}.bias"]
        for name in owners:
            # Single weights may have gone one by one: then the bias goes on counting.
            if name in model.weights and bool((model.weight(name)[empty] == 0).all()):
                kept[name] = ~empty
    return {name: mask.to(device) for name, mask in kept.items()}


def _apply(keep: dict[str, Tensor], parameters: dict[str, nn.Parameter], gradients: bool) -> None:
    with torch.no_grad():
        for name, mask in keep.items():
            tensor = parameters[name].grad if gradients else parameters[name]
            if tensor is not None:
                tensor.mul_(mask)


def _shuffled(context: PruningContext, plan: Plan) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches in a new order every epoch, from a generator of the job's seed."""
    images, rng = context.images(), np.random.default_rng(context.seed)
    parts = -(-len(images) // plan.batch)
    for _ in range(plan.epochs):
        # nearly equal parts: a batch of one image has no statistics
        for indices in np.array_split(rng.permutation(len(images)), parts):
            part = images.subset(indices)
            yield from batches(part, context.model.architecture, len(part), context.compute.device)


def _changed(context: PruningContext, module: nn.Module) -> dict[str, Tensor]:
    before = context.module.state_dict()
    return {
        name: tensor.detach().cpu().clone()
        for name, tensor in module.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
