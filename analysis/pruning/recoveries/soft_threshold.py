"""Soft threshold: an N:M pattern that changes continuously with the weights (S-STE)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from analysis.pruning.context import PruningContext
from analysis.pruning.part import Part, part
from analysis.pruning.parts import Criterion, Recovery, Repair
from analysis.pruning.structures.nm import PATTERN, Pattern
from kernels.nm import complete


@part
class SoftThreshold(Recovery):
    """w' = β sign(w) max(|w| - t, 0), t the largest |w| that was removed from the group.

    Hu et al., S-STE (section 4): with a hard mask a weight jumps when another overtakes it; here
    both are zero at that point. β = ⟨w, S⟩ / ⟨S, S⟩, one number a tensor, brings the weights back
    as near as one scale can. It is computed once; the paper freezes it while training. w are the
    weights before the pattern; what is left over beyond the last complete group stays as it is
    and does not enter β.
    """

    name: ClassVar[str] = "soft-threshold"
    title: ClassVar[str] = "Soft threshold of N:M groups"
    paper: ClassVar[str] = "Hu et al. 2024, arXiv:2409.09099"
    each_round: ClassVar[bool] = True

    def objection(self, parts: Mapping[str, Part]) -> str:
        if parts["structure"].name != "nm":
            return "the soft threshold is one of N:M groups: it goes with the structure nm only"
        criterion = parts["criterion"]
        if isinstance(criterion, Criterion) and criterion.joint:
            return (
                f"{criterion.title} sets the weights itself, and the soft threshold "
                "would overwrite them: choose a criterion that only scores, such as magnitude"
            )
        return ""

    def repair(self, context: PruningContext) -> Repair:
        pattern: Pattern = context.memo[PATTERN]
        updates, scales = {}, []
        for layer in context.layers:
            width = complete(layer.shape[1], pattern.m)
            keep = context.model.keep(layer)
            if not width or bool(keep.all()):
                continue
            dense = context.model if context.base is None else context.base
            weight, order = dense.weight(layer.parameter), pattern.order(layer)
            values, scale = soft_threshold(weight[:, order], keep[:, order], pattern.m)
            updates[layer.parameter] = torch.empty_like(weight)
            updates[layer.parameter][:, order] = values
            scales.append(f"{layer.name} {scale:.4g}")
        note = f"scales of the soft threshold: {', '.join(scales)}"
        return Repair(updates, (note,) if scales else ())


def soft_threshold(weight: Tensor, keep: Tensor, m: int) -> tuple[Tensor, float]:
    """Shrunk and scaled weights, and the scale β.

    Parameters
    ----------
    weight: (out, in, ...) before pruning. keep: boolean, its shape.
    m: consecutive entries of dimension 1 that make a group.
    """
    width = complete(weight.shape[1], m)
    inside = weight[:, :width].movedim(1, -1)
    groups = inside.reshape(*inside.shape[:-1], width // m, m)
    removed = ~keep[:, :width].movedim(1, -1).reshape(groups.shape)
    threshold = groups.abs().masked_fill(~removed, 0).amax(dim=-1, keepdim=True)
    shrunk = groups.sign() * (groups.abs() - threshold).clamp(min=0)
    shrunk = shrunk.masked_fill(removed, 0).reshape(inside.shape).movedim(-1, 1)
    energy = float(shrunk.double().square().sum())
    scale = float((weight[:, :width].double() * shrunk).sum()) / energy if energy else 1.0
    return torch.cat([shrunk * scale, weight[:, width:]], dim=1), scale
