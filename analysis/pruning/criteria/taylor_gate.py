"""Taylor gates: how much the loss moves when a whole output channel is switched off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from analysis.errors import ArgumentError
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.criteria.gradients import losses
from analysis.pruning.following import following_norms
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Criterion, Level


@part
class TaylorGate(Criterion):
    """Σ_b (z · ∂L_b/∂z)², z a gate on each output channel, L_b the loss of calibration batch b.

    Molchanov et al., Importance Estimation for Neural Network Pruning (equation 8 on gates). The
    gate is the scale γ of the BatchNorm that reads the layer; a layer without one gets a gate of
    one on its output a, whose derivative is the sum of a · ∂L/∂a over images and positions.
    """

    name: ClassVar[str] = "taylor-gate"
    title: ClassVar[str] = "Taylor gates (γ·∂L/∂γ)²"
    paper: ClassVar[str] = "Molchanov et al. 2019, arXiv:1906.10771"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration", "labels", "gradients"})
    level: ClassVar[Level] = "filter"

    gate: Literal["batch norm", "output"] = Field(
        default="batch norm",
        title="Gate",
        description="The scale of the BatchNorm behind a layer where there is one, "
        "or the output of every layer itself.",
    )
    batch: int = Field(
        default=32,
        ge=1,
        le=4096,
        title="Images per gradient",
        description="One squared gradient is taken per this many calibration images.",
        json_schema_extra={"unit": "images"},
    )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        scores: dict[str, Tensor] = {}
        with self._gates(context) as gates:
            for _, loss in losses(context, self.batch, "gates"):
                found = torch.autograd.grad(loss, list(gates.values()), allow_unused=True)
                for (name, gate), gradient in zip(gates.items(), found, strict=True):
                    if gradient is None:
                        raise ArgumentError(f"{name} takes no part in the loss: no gradient")
                    change = (gate.detach() * gradient).square()
                    scores[name] = scores[name] + change if name in scores else change
        return scores

    def cost(self, job: JobSize) -> Cost:
        return Cost(backward=job.images)

    @contextmanager
    def _gates(self, context: PruningContext) -> Iterator[dict[str, Tensor]]:
        """A gate by layer name, in place while the block runs."""
        module = context.module
        norms = following_norms(context) if self.gate == "batch norm" else {}
        gates: dict[str, Tensor] = {}
        handles = []
        for layer in context.layers:
            scale = module.get_submodule(norms[layer.name]).weight if layer.name in norms else None
            if isinstance(scale, nn.Parameter):
                gates[layer.name] = scale.requires_grad_(True)
                continue
            gate = context.weight(layer).new_ones(layer.shape[0]).requires_grad_(True)
            gates[layer.name] = gate
            owner = module.get_submodule(layer.name)
            handles.append(owner.register_forward_hook(_multiply(gate, layer.kind == "conv")))
        try:
            yield gates
        finally:
            for handle in handles:
                handle.remove()


def _multiply(gate: Tensor, convolution: bool) -> Any:
    """A forward hook that multiplies the output's channels (dim 1, or the last) by the gate."""
    shaped = gate.reshape(-1, 1, 1) if convolution else gate

    def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output * shaped

    return hook
