"""BatchNorm recalibration: new statistics for changed activations."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from analysis.data.dataset import batches
from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Recovery, Repair
from analysis.request import Step

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@part
class BatchNormRecalibration(Recovery):
    """Estimate running means and variances anew on the calibration images.

    Cumulative averages over batches (momentum None in PyTorch), BatchNorm layers in training
    mode, all else in evaluation mode, no gradients. Only the layers' buffers change. Batches are
    made nearly equal, so that the plain average over them weighs all images alike.
    """

    name: ClassVar[str] = "bn-recalibration"
    title: ClassVar[str] = "BatchNorm recalibration"
    paper: ClassVar[str] = "Cai et al. 2020, arXiv:1908.09791"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration"})

    batch: int = Field(
        default=64,
        ge=2,
        le=4096,
        title="Images per batch",
        description="Statistics are averaged over batches of about this size.",
        json_schema_extra={"unit": "images"},
    )

    def cost(self, job: JobSize) -> Cost:
        return Cost(forward=job.images)

    def repair(self, context: PruningContext) -> Repair:
        names = recalibrate(context.module, context, self.batch)
        if not names:
            return Repair(notes=("there is no BatchNorm layer: nothing was recalibrated",))
        state = context.module.state_dict()
        return Repair({name: state[name].detach().cpu().clone() for name in names})


def recalibrate(module: nn.Module, context: PruningContext, batch: int) -> list[str]:
    """Give every BatchNorm of `module` the statistics of the calibration images.

    The buffers are replaced, not written into: they may be the dense model's own. Returns their
    names in the state dict; the module is left with its BatchNorm layers in training mode.
    """
    norms = _tracking(module)
    for norm in norms.values():
        for buffer in BUFFERS:
            setattr(norm, buffer, getattr(norm, buffer).clone())
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    if norms:
        _pass(module, context, batch)
    return [f"{name}.{buffer}" for name in norms for buffer in BUFFERS]


def _pass(module: nn.Module, context: PruningContext, batch: int) -> None:
    images = context.images()
    if len(images) < 2:
        raise ArgumentError("BatchNorm recalibration needs at least two calibration images")
    parts = np.array_split(np.arange(len(images)), max(1, round(len(images) / batch)))
    done = 0
    with torch.no_grad():
        for indices in parts:
            portion = images.subset(indices)
            for x, _ in batches(
                portion, context.model.architecture, len(indices), context.compute.device
            ):
                module(x)
            done += len(indices)
            context.report(Step(done, len(images), "BatchNorm statistics"))


def _tracking(module: nn.Module) -> dict[str, _BatchNorm]:
    """BatchNorm layers that keep running statistics, by name."""
    return {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, _BatchNorm) and child.running_mean is not None
    }
