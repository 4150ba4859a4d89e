"""Max-affine splines: outputs that fold the input space where others do go first."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.nn.modules.batchnorm import _BatchNorm

from analysis.architectures.architecture import PrunableLayer
from analysis.pruning.context import PruningContext
from analysis.pruning.cost import Cost, JobSize
from analysis.pruning.following import following_norms
from analysis.pruning.part import part
from analysis.pruning.parts import Criterion, Level
from analysis.request import Step


@part
class Spline(Criterion):
    """When each output is dropped, if one of the closest pair is dropped again and again.

    You et al., Max-Affine Spline Insights Into Deep Network Pruning: a ReLU unit folds the input
    along one hyperplane, and two that fold along nearly the same one are redundant. Distance of
    units k and k': 1 - |cos(w_k, w_k')| + ρ |b_k - b_k'|, weights and biases with the following
    BatchNorm folded in. Of the closest pair the unit with the smaller weights goes. The score is
    the share of the layer's outputs that were dropped up to this one.

    Small filters are unlike all others and stay, however little they do: on the ResNets for
    CIFAR-10, without training afterwards, this loses more than filters drawn by chance.
    """

    name: ClassVar[str] = "spline"
    title: ClassVar[str] = "Redundancy of spline folds"
    paper: ClassVar[str] = "You et al. 2021, arXiv:2101.02338"
    level: ClassVar[Level] = "filter"

    rho: float = Field(
        default=0.05,
        ge=0,
        le=100,
        title="Weight of the bias ρ",
        description="How much different biases count beside different directions.",
        json_schema_extra={"unit": ""},
    )

    def cost(self, job: JobSize) -> Cost:
        widest = max((layer.shape[0] for layer in job.layers), default=0)
        return Cost(
            macs=sum(float(layer.shape[0]) * layer.parameters for layer in job.layers),
            memory=24 * widest**2 + 16 * max((la.parameters for la in job.layers), default=0),
        )

    def scores(self, context: PruningContext) -> dict[str, Tensor]:
        norms = following_norms(context)
        scores = {}
        for done, layer in enumerate(context.layers):
            context.report(Step(done, len(context.layers), layer.name))
            weight, bias = folded(context, layer, norms.get(layer.name, ""))
            present = ~context.removed(layer).flatten(1).all(dim=1)
            distances = redundancies(weight, bias, self.rho).cpu().numpy()
            if not np.isfinite(distances).all():
                scores[layer.name] = torch.full_like(bias, torch.nan)
                continue
            sizes = torch.linalg.vector_norm(weight, dim=1).cpu().numpy()
            order = drop_order(distances, sizes, present.numpy())
            found = torch.zeros(len(weight), dtype=torch.float64)
            found[torch.from_numpy(order)] = (torch.arange(len(order)).double() + 1) / len(weight)
            scores[layer.name] = found.to(weight.device)
        return scores


def folded(context: PruningContext, layer: PrunableLayer, norm: str) -> tuple[Tensor, Tensor]:
    """Weight (out, columns) and bias (out,), float64, with the BatchNorm named `norm` folded in.

    A norm without running statistics cannot be folded and counts as none.
    """
    weight = context.weight(layer).flatten(1).double()
    own = getattr(context.module.get_submodule(layer.name), "bias", None)
    bias = weight.new_zeros(len(weight)) if own is None else own.detach().double()
    reader = context.module.get_submodule(norm) if norm else None
    if not isinstance(reader, _BatchNorm) or reader.running_var is None:
        return weight, bias
    scale = (reader.running_var.double() + reader.eps).rsqrt()
    shift = torch.zeros_like(scale)
    if reader.affine:
        scale, shift = scale * reader.weight.detach().double(), reader.bias.detach().double()
    centre = 0 if reader.running_mean is None else reader.running_mean.double()
    return weight * scale[:, None], shift + scale * (bias - centre)


def redundancies(weight: Tensor, bias: Tensor, rho: float) -> Tensor:
    """1 - |cos| + ρ |difference of biases| of all pairs of rows: (out, out).

    The cosine with a row of zeros is 0.
    """
    directions = F.normalize(weight, dim=1)
    cosines = (directions @ directions.T).abs().clamp(max=1)
    return 1 - cosines + rho * (bias[:, None] - bias[None, :]).abs()


def drop_order(distances: np.ndarray, sizes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Indices of the present units in the order in which they are dropped, the last one included.

    Each time one of the closest pair goes: the smaller one; of equals the one that stands first.
    The pair with the lowest index goes first among pairs that are equally close.
    """
    left = distances.astype(np.float64, copy=True)
    np.fill_diagonal(left, np.inf)
    left[~present], left[:, ~present] = np.inf, np.inf
    nearest = left.argmin(axis=1)
    closest = left[np.arange(len(left)), nearest]
    remaining, order = present.copy(), []
    for _ in range(int(present.sum()) - 1):
        one = int(closest.argmin())
        other = int(nearest[one])
        gone = min((one, other), key=lambda index: (sizes[index], index))
        order.append(gone)
        remaining[gone] = False
        left[gone], left[:, gone], closest[gone] = np.inf, np.inf, np.inf
        for row in np.flatnonzero((nearest == gone) & remaining):
            nearest[row] = left[row].argmin()
            closest[row] = left[row, nearest[row]]
    return np.array([*order, *np.flatnonzero(remaining)], dtype=np.int64)
