"""Least squares: the kept weights of each layer, chosen anew to give its dense outputs."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

from analysis.architectures.architecture import PrunableLayer
from analysis.data.dataset import batches
from analysis.errors import ArgumentError
from analysis.models import Model
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.grams import gram_bytes, gram_macs, input_gram
from analysis.pruning.inputs import Inputs, first_image, never_called, padded
from analysis.pruning.masked_lstsq import LIMIT, correct_rows
from analysis.pruning.part import Need, part
from analysis.pruning.parts import Recovery, Repair
from analysis.request import Report, Step, part_of


@part
class LeastSquares(Recovery):
    """min ‖X̂ W'ᵀ - X Wᵀ‖² over the kept weights W' of each pruned layer, in module order.

    The layer-wise problem of Frantar and Alistarh, Optimal Brain Compression (equation 1), solved
    exactly for given masks: W are the weights before pruning, X what the unpruned network reads
    at that layer and X̂ what the pruned network reads, repaired up to there. Biases stay. Damping
    pulls towards the weights as they are, so no layer's error grows.
    """

    name: ClassVar[str] = "least-squares"
    title: ClassVar[str] = "Least squares, layer by layer"
    paper: ClassVar[str] = "Frantar and Alistarh 2022, arXiv:2208.11580"
    needs: ClassVar[frozenset[Need]] = frozenset({"calibration"})

    inputs: Literal["pruned", "dense"] = Field(
        default="pruned",
        title="Inputs",
        description="What the layer reads in the pruned network, so that it makes up for the "
        "layers before it too, or in the unpruned one.",
    )
    damping: float = Field(
        default=1e-3,
        gt=0,
        le=10,
        title="Damping",
        description="Pull towards the weights as they are; raised where inputs say too little.",
        json_schema_extra={"unit": "of the mean squared input"},
    )

    def inapplicable(self, model: Model) -> str:
        return never_called(model)

    def cost(self, job: JobSize) -> Cost:
        passes = len(job.layers) / (1 if self.inputs == "pruned" else 2)
        columns = [layer.parameters // layer.shape[0] for layer in job.layers]
        solving = sum(
            layer.shape[0] * width**3 / 6 for layer, width in zip(job.layers, columns, strict=True)
        )
        largest = max((gram_bytes(la, dtype=torch.float64) for la in job.layers), default=0)
        memory = 3 * largest + max(8 * LIMIT, 2 * largest)
        return Cost(job.images * passes, macs=2 * gram_macs(job) + solving, memory=memory)

    def repair(self, context: PruningContext) -> Repair:
        if context.base is None:
            raise ArgumentError("least squares needs the model as it was before pruning")
        dense = context.base.module(context.compute.device)
        layers = [la for la in context.layers if bool(context.removed(la).any())]
        updates: dict[str, Tensor] = {}
        shares, raised = [], []
        for index, layer in enumerate(layers):
            report = part_of(context.report, index, len(layers), f"{layer.name}: ")
            problem = self._problem(context, dense, layer, report)
            change, used = problem.solve(~context.removed(layer), self.damping)
            if used > self.damping:
                raised.append(f"{layer.name} {used:g}")
            shares.append(problem.error_after(change) / problem.error if problem.error else 1.0)
            now = context.weight(layer)
            weight = (now.double() + change).to(now.dtype)
            # Replaced, not written into: it may be the dense model's own tensor.
            child = context.module.get_submodule(layer.name)
            child.weight = nn.Parameter(weight, requires_grad=False)
            updates[layer.parameter] = weight.cpu()
        return Repair(updates, tuple(_notes(shares, raised)))

    def _problem(
        self, context: PruningContext, dense: nn.Module, layer: PrunableLayer, report: Report
    ) -> Problem:
        """Sums over the calibration images of what the layer reads and what its output lacks."""
        images, compute = context.images(), context.compute
        child, goal = (m.get_submodule(layer.name) for m in (context.module, dense))
        seen: list[Tensor] = []
        read = [
            Inputs(module, [layer], first_image(context), lambda _, __, x: seen.append(x))
            for module in ((dense, context.module) if self.inputs == "pruned" else (dense,))
        ]
        problem, done = Problem(child), 0
        architecture = context.model.architecture
        for x, _ in batches(images, architecture, compute.batch_size, compute.device):
            seen.clear()
            for run in read:
                run(x)
            calls = len(seen) // len(read)
            with torch.no_grad():
                for before, now in zip(seen[:calls], seen[-calls:], strict=True):
                    problem.add(now, goal.forward(before) - child.forward(now))
            done += len(x)
            report(Step(done, len(images), "least squares"))
        return problem


class Problem:
    """The sums that least squares needs for one layer, in float64."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._weight = module.get_parameter("weight").detach()
        self._groups = module.groups if isinstance(module, nn.Conv2d) else 1
        width = self._weight[0].numel()
        self._missing = torch.zeros_like(self._weight, dtype=torch.float64)
        self._grams = self._missing.new_zeros(self._groups, width, width)
        self.error = 0.0
        """Squared error of the outputs as they are."""

    def add(self, x: Tensor, lack: Tensor) -> None:
        """Add one call: what the layer reads, and what its output lacks."""
        self._grams += input_gram(self._module, x)
        self._missing += _products(self._module, x, lack)
        self.error += float(lack.double().square().sum())

    def solve(self, keep: Tensor, damping: float) -> tuple[Tensor, float]:
        """Change of the weight, float64, and the largest damping that was used."""
        changes, most = [], damping
        rows = keep.to(self._weight.device).flatten(1).chunk(self._groups)
        missing = self._missing.flatten(1).chunk(self._groups)
        for gram, lack, kept in zip(self._grams, missing, rows, strict=True):
            change, used = correct_rows(gram, lack, kept, damping)
            changes.append(change)
            most = max(most, used)
        return torch.cat(changes).reshape(self._weight.shape), most

    def error_after(self, change: Tensor) -> float:
        """Squared error of the outputs with the changed weight."""
        moved = change.flatten(1).reshape(self._groups, -1, self._grams.shape[1])
        gained = 2 * float((change * self._missing).sum())
        return max(0.0, self.error - gained + float(((moved @ self._grams) * moved).sum()))


def _products(module: nn.Module, x: Tensor, lack: Tensor) -> Tensor:
    """Σ lack · input over positions, shaped as the weight: the gradient of Σ lack · output."""
    if isinstance(module, nn.Conv2d):
        shape, stride, dilation = module.weight.shape, module.stride, module.dilation
        found: Tensor = conv2d_weight(  # type: ignore[no-untyped-call]
            padded(module, x), shape, lack, stride, 0, dilation, module.groups
        )
        return found
    return lack.reshape(-1, lack.shape[-1]).T @ x.reshape(-1, x.shape[-1])


def _notes(shares: list[float], raised: list[str]) -> list[str]:
    if not shares:
        return ["no layer has lost weights: least squares changed nothing"]
    mean = sum(shares) / len(shares)
    notes = [
        f"least squares left {mean:.1%} of the squared output error of a layer "
        f"(mean over {len(shares)}, on the calibration images)"
    ]
    if raised:
        notes.append(f"least squares raised its damping: {', '.join(raised)}")
    return notes
