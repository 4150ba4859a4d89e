"""The audit: zeros counted in the tensors of the finished model, asked against got.

A miss is an error, not a note: masks that do not hold what was asked for never leave `Prune`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from analysis.architectures.architecture import PrunableLayer
from analysis.models import Model
from analysis.pruning.parts import Decision, Structure
from analysis.records import record

COLLAPSE = 0.1
"""A layer counts as collapsed when its density is below this fraction of the network's."""


class AuditError(RuntimeError):
    """The finished model does not hold what was asked for: a fault of the program."""


@record
@dataclass(frozen=True, eq=False)
class LayerAudit:
    """One prunable layer of the finished model.

    Attributes
    ----------
    parameters: number of weights.
    asked, got: units (weights or filters) to remove, and found removed; 0 where none take part.
    removed: weights that the mask removes.
    zeros: weights that are zero, those that already were in the dense model among them.
    """

    name: str
    parameters: int
    asked: int
    got: int
    removed: int
    zeros: int

    @property
    def sparsity(self) -> float:
        return self.zeros / self.parameters


@record
@dataclass(frozen=True, eq=False)
class Audit:
    """What a pruning job did, counted in its result.

    Attributes
    ----------
    unit: what `asked` and `got` count: "weights" or "filters".
    notes: what was treated otherwise, in full sentences.
    warnings: what probably hurts, with a remedy.
    """

    layers: tuple[LayerAudit, ...]
    unit: str
    asked: int
    got: int
    parameters: int
    removed: int
    zeros: int
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def sparsity(self) -> float:
        """Zeros among the weights of the prunable layers, divided by their number."""
        return self.zeros / self.parameters

    @property
    def collapsed(self) -> tuple[str, ...]:
        """Layers that keep no weight, or less than a tenth of what the network keeps on average.

        Measured in fractions: at 90 % sparsity, layers that keep less than 1 % of their weights.
        """
        least = COLLAPSE * (1 - self.removed / self.parameters)
        return tuple(
            la.name
            for la in self.layers
            if la.removed == la.parameters or 1 - la.removed / la.parameters < least
        )


def audit(
    before: Model,
    after: Model,
    structure: Structure,
    decision: Decision,
    budget: int,
    notes: Sequence[str] = (),
    companions: Sequence[Model] = (),
) -> Audit:
    """Recount every tensor of `after` and compare with what was asked.

    Raises
    ------
    AuditError: a layer or the total misses its count, a removed weight is not zero, or a weight
        that earlier prunings removed came back.
    """
    rows = []
    for layer in after.layers:
        taking_part = layer.name in decision.asked
        got = structure.found(before, after, layer, companions) if taking_part else 0
        rows.append(_layer(before, after, layer, structure.unit, decision.asked, got))
    got = sum(row.got for row in rows)
    if got != budget or sum(row.asked for row in rows) != budget:
        raise AuditError(f"{budget} {structure.unit} were to go in all, but {got} are gone")
    found = Audit(
        layers=tuple(rows),
        unit=structure.unit,
        asked=budget,
        got=got,
        parameters=sum(row.parameters for row in rows),
        removed=sum(row.removed for row in rows),
        zeros=sum(row.zeros for row in rows),
        notes=(*notes, *_zeros_before(rows)),
    )
    return Audit(**{**vars(found), "warnings": _warnings(found, structure)})


def _layer(
    before: Model,
    after: Model,
    layer: PrunableLayer,
    unit: str,
    asked: Mapping[str, int],
    got: int,
) -> LayerAudit:
    keep, earlier = after.keep(layer), before.keep(layer)
    final = after.weight(layer.parameter)
    zeros = final.numel() - int(torch.count_nonzero(final))
    removed = keep.numel() - int(torch.count_nonzero(keep))
    row = LayerAudit(layer.name, layer.parameters, asked.get(layer.name, 0), got, removed, zeros)
    if row.asked != row.got:
        raise AuditError(f"{layer.name}: {row.asked} {unit} were to go, but {row.got} are gone")
    if bool((keep & ~earlier).any()):
        raise AuditError(f"{layer.name}: a weight that was removed before came back")
    if layer.parameter not in after.updates:
        _check_zeros(before, layer, keep, zeros)
    return row


def _check_zeros(before: Model, layer: PrunableLayer, keep: torch.Tensor, zeros: int) -> None:
    """Where no recovery wrote, zeros are what was removed and what was zero before."""
    dense = replace(before, masks={}).weight(layer.parameter)
    removed = keep.numel() - int(torch.count_nonzero(keep))
    zero_before = int(torch.count_nonzero((dense == 0) & keep))
    if zeros != removed + zero_before:
        raise AuditError(
            f"{layer.name}: {removed} weights were removed and {zero_before} were zero before, "
            f"but {zeros} are zero now"
        )


def _zeros_before(rows: Sequence[LayerAudit]) -> list[str]:
    """Kept weights that happen to be zero count as zeros, but not as removed: say so."""
    kept = {row.name: row.zeros - row.removed for row in rows if row.zeros > row.removed}
    if not kept:
        return []
    where = ", ".join(f"{name} ({count:,})" for name, count in kept.items())
    return [f"kept weights that are zero by themselves: {where}"]


def _warnings(found: Audit, structure: Structure) -> tuple[str, ...]:
    if structure.empties_layers or not found.collapsed:
        return ()
    rows = [row for row in found.layers if row.name in found.collapsed]
    names = ", ".join(
        f"{row.name} keeps {row.parameters - row.removed:,} of {row.parameters:,} weights"
        for row in rows
    )
    return (
        f"layer collapse: {names}, while the network keeps "
        f"{1 - found.removed / found.parameters:.2%}. The global allocation's min_keep "
        f"keeps that many {structure.unit} in every layer at least.",
    )
