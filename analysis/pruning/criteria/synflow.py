"""SynFlow: how much of the network's flow, without any data, passes through a weight."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion
from analysis.request import Step


@part
class SynFlow(Criterion):
    """|∂R/∂w · w|, R the sum of the outputs for an input of ones, with all parameters absolute.

    Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow
    (equation 2), in float64 and eval mode. It needs no images.

    The conservation that the method rests on (the scores of a layer through which everything
    passes add up to R) holds for networks without shifts. At initialisation, where the authors
    prune, BatchNorm has none; a trained one has. So shifts are left out: biases and running means
    are zero, BatchNorm multiplies by |γ| / √(σ² + ε), LayerNorm by |γ|. "absolute" keeps them as
    the authors' code does, which takes |·| of the whole state dict, running means included.

    Attention is left as it is: queries and keys only steer the softmax, which passes no flow, so
    they score next to nothing and go first. On transformers read the ranking with care.
    """

    name: ClassVar[str] = "synflow"
    title: ClassVar[str] = "SynFlow |∂R/∂w·w|"
    paper: ClassVar[str] = "Tanaka et al. 2020, arXiv:2006.05467"
    needs: ClassVar[frozenset[Need]] = frozenset()

    shifts: Literal["left out", "absolute"] = Field(
        default="left out",
        title="Biases and means",
        description="Left out, so that flow is conserved, or absolute as in the published code.",
    )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        module = _linearised(context.module, self.shifts == "left out")
        weights = {la.name: module.get_parameter(la.parameter) for la in context.layers}
        for weight in weights.values():
            weight.requires_grad_(True)
        device = context.compute.device
        shape = context.model.architecture.input_shape
        ones = torch.ones(1, *shape, dtype=torch.float64, device=device)
        with torch.enable_grad(), _gains_only(module, self.shifts == "left out"):
            flow = module(ones).sum()
        found = torch.autograd.grad(flow, list(weights.values()), allow_unused=True)
        context.report(Step(1, 1, "flow"))
        scores = {}
        for (name, weight), gradient in zip(weights.items(), found, strict=True):
            if gradient is None:
                raise ArgumentError(f"{name} takes no part in the output: nothing flows there")
            scores[name] = (gradient * weight.detach()).abs()
        return scores

    def cost(self, job: JobSize) -> Cost:
        return Cost(backward=2, memory=3 * 8 * job.parameters)


def _linearised(module: nn.Module, without_shifts: bool) -> nn.Module:
    """A float64 copy with absolute parameters, and buffers likewise or without means."""
    copied = copy.deepcopy(module).double()
    with torch.no_grad():
        for name, tensor in copied.state_dict().items():
            shift = name.endswith((".bias", ".running_mean"))
            tensor.zero_() if shift and without_shifts else tensor.abs_()
    return copied


@contextmanager
def _gains_only(module: nn.Module, active: bool) -> Iterator[None]:
    """Normalisations that look at their input (LayerNorm, GroupNorm) multiply by |γ| instead."""

    def gain(norm: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        scale: Any = norm.weight
        if scale is None:
            return args[0]
        channels = isinstance(norm, nn.GroupNorm)
        shaped: Tensor = scale.reshape(-1, *[1] * (args[0].ndim - 2)) if channels else scale
        return args[0] * shaped

    kinds = (nn.LayerNorm, nn.GroupNorm)
    looking = [child for child in module.modules() if isinstance(child, kinds)]
    handles = [norm.register_forward_hook(gain) for norm in (looking if active else ())]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
