"""The layer-progressive greedy search for influential paths, batched over images and steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from analysis.paths.injection import Instrument, Overwrite, over_positions

Score = Literal["jig", "jas"]
Rule = Literal["midpoint", "left"]
Objective = Callable[[Tensor, Tensor], Tensor]
"""Logits R,K and classes R -> the attributed quantity F of each row, R."""


def probability(logits: Tensor, classes: Tensor) -> Tensor:
    """Softmax probability of each row's class."""
    return logits.softmax(dim=1).gather(1, classes[:, None])[:, 0]


def logit(logits: Tensor, classes: Tensor) -> Tensor:
    """Logit of each row's class."""
    return logits.gather(1, classes[:, None])[:, 0]


def step_sizes(rule: Rule, steps: int) -> Tensor:
    """The alphas at which gradients are taken: float32, (k + 1/2)/m, or k/m (paper's code)."""
    k = torch.arange(steps, dtype=torch.float32)
    return (k + 0.5) / steps if rule == "midpoint" else k / steps


@dataclass(frozen=True, eq=False)
class Samples:
    """Images of one search and what the intact network makes of them.

    units: per path layer S,U,*positions; classes: int64 S; values: F on the intact network, S.
    """

    images: Tensor
    classes: Tensor
    units: list[Tensor]
    values: Tensor


@dataclass(frozen=True, eq=False)
class Joint:
    """Joint scores of whole paths, float64 S; `delta` is |jig - (F(intact) - F(path at 0))|."""

    jig: Tensor
    jas: Tensor
    delta: Tensor


@dataclass(frozen=True, eq=False)
class _Sums:
    """Per sample, over the steps: sums of w*g and of g, over positions too."""

    weighted: Tensor
    plain: Tensor

    @classmethod
    def zeros(cls, *shape: int) -> _Sums:
        return cls(
            torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        )

    def add(self, sample: Tensor, values: Tensor, gradient: Tensor | None) -> None:
        """Add rows R,U,*positions (a row's sample given); None is a gradient of zero."""
        if gradient is None:
            return
        at = sample.cpu()
        self.weighted.index_add_(0, at, over_positions(values * gradient).double().cpu())
        self.plain.index_add_(0, at, over_positions(gradient).double().cpu())


class PathSearch:
    """Scores units along paths of one network.

    Parameters
    ----------
    instrument: the network.
    objective: F.
    alphas: where the integral is evaluated, see `step_sizes`.
    score: what a layer's candidates are ranked by.
    clamp: hold the other units of path layers at their intact values, else let them follow.
    rows: image rows a pass.
    tick: told of the rows done after every pass; may raise.
    """

    def __init__(
        self,
        instrument: Instrument,
        objective: Objective,
        alphas: Tensor,
        score: Score = "jig",
        clamp: bool = True,
        rows: int = 100,
        tick: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self.instrument = instrument
        self.objective = objective
        self.alphas = alphas
        self.score = score
        self.clamp = clamp
        self.rows = rows
        self.tick = tick
        self._cuts = (False,) * len(instrument.layers)

    def use_cuts(self, images: Tensor) -> None:
        """Find out on one image where the work before a layer can be saved; changes no score."""
        self._cuts = self.instrument.cuts(images)

    def columns(self, samples: Samples) -> Iterator[tuple[Tensor, Tensor]]:
        """Layer after layer: the chosen unit of each sample (int64 S) and all scores (S,U).

        The first unit wins at ties.
        """
        path: list[Tensor] = []
        for layer in range(len(self.instrument.layers)):
            scores = self.candidates(samples, layer, path)
            path.append(torch.from_numpy(scores.numpy().argmax(axis=1)))
            yield path[-1], scores

    def candidates(self, samples: Samples, layer: int, path: list[Tensor]) -> Tensor:
        """Score of every unit of a layer, given the units chosen in earlier layers: S,U.

        "jig": w_j * mean_k dF/dw_j, the part of the joint integrated gradients that depends on
        the candidate j; the earlier units' part is the same for all j and is left out. "jas":
        the sum of activations times the mean sum of gradients, earlier units included.
        """
        units = samples.units[layer]
        own = _Sums.zeros(len(units), units.shape[1])
        earlier = _Sums.zeros(len(units), 1)
        cut = self._cuts[layer]
        for sample, alpha in self._portions(len(units), units.device):
            w = units[sample]
            with torch.enable_grad():
                whole = (_column(alpha, w) * w).requires_grad_()
                overwrites = {layer: Overwrite(whole)}
                before = [] if cut else self._path_units(samples, path, sample, alpha)
                overwrites |= dict(enumerate(change for change, _ in before))
                leaves = [whole, *(change.values for change, _ in before)]
                images = samples.images[:1] if cut else samples.images[sample]
                gradients = self._gradients(images, samples.classes[sample], overwrites, leaves)
            own.add(sample, w, gradients[0])
            for (_, intact), gradient in zip(before, gradients[1:], strict=True):
                earlier.add(sample, intact[:, None], _as_unit(gradient))
            self.tick(len(sample))
        if self.score == "jig":
            return own.weighted / len(self.alphas)
        activation = over_positions(units).double().cpu() + self._activations(samples, path)
        return activation * (own.plain + earlier.plain) / len(self.alphas)

    def joint(self, samples: Samples, path: list[Tensor]) -> Joint:
        """Scores of one whole path a sample: `path` holds int64 S for each layer."""
        count = len(samples.images)
        sums = _Sums.zeros(count, 1)
        for sample, alpha in self._portions(count, samples.images.device):
            with torch.enable_grad():
                changes = self._path_units(samples, path, sample, alpha)
                gradients = self._gradients(
                    samples.images[sample],
                    samples.classes[sample],
                    dict(enumerate(change for change, _ in changes)),
                    [change.values for change, _ in changes],
                )
            for (_, intact), gradient in zip(changes, gradients, strict=True):
                sums.add(sample, intact[:, None], _as_unit(gradient))
            self.tick(len(sample))
        jig = sums.weighted[:, 0] / len(self.alphas)
        jas = (self._activations(samples, path) * sums.plain)[:, 0] / len(self.alphas)
        lost = samples.values.double().cpu() - self._without(samples, path)
        return Joint(jig, jas, (jig - lost).abs())

    def _without(self, samples: Samples, path: list[Tensor]) -> Tensor:
        """F with all path units at 0: float64 S."""
        found = []
        everyone = torch.arange(len(samples.images), device=samples.images.device)
        for sample in torch.split(everyone, self.rows):
            with torch.no_grad():
                zero = torch.zeros(len(sample), device=sample.device)
                changes = self._path_units(samples, path, sample, zero)
                logits = self.instrument.run(
                    samples.images[sample], dict(enumerate(change for change, _ in changes))
                )
                found.append(self.objective(logits, samples.classes[sample]).double().cpu())
        return torch.cat(found)

    def _path_units(
        self, samples: Samples, path: list[Tensor], sample: Tensor, alpha: Tensor
    ) -> list[tuple[Overwrite, Tensor]]:
        """For each layer of the path: the overwriting of its unit by alpha w, and w, R,*pos."""
        found = []
        for units, chosen in zip(samples.units, path, strict=False):
            unit = chosen.to(sample.device)[sample]
            w = units[sample, unit]
            scaled = (_column(alpha, w) * w).requires_grad_()
            found.append((Overwrite(scaled, unit, units[sample] if self.clamp else None), w))
        return found

    def _gradients(
        self,
        images: Tensor,
        classes: Tensor,
        overwrites: dict[int, Overwrite],
        leaves: list[Tensor],
    ) -> tuple[Tensor | None, ...]:
        """dF/d leaf for every leaf by one backward pass; None where F does not depend on it."""
        logits = self.instrument.run(images, overwrites)
        total = self.objective(logits, classes).sum()
        if not total.requires_grad:
            return (None,) * len(leaves)
        return torch.autograd.grad(total, leaves, allow_unused=True)

    def _activations(self, samples: Samples, path: list[Tensor]) -> Tensor:
        """Sum over the path of its units' activations, positions included: float64 S,1."""
        total = torch.zeros(len(samples.images), 1, dtype=torch.float64)
        for units, chosen in zip(samples.units, path, strict=False):
            total += over_positions(units).double().cpu().gather(1, chosen.cpu()[:, None])
        return total

    def _portions(self, count: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """All pairs of sample and alpha, in passes of at most `rows`: indices R and alphas R."""
        steps = len(self.alphas)
        for pair in torch.split(torch.arange(count * steps), self.rows):
            yield (pair // steps).to(device), self.alphas[pair % steps].to(device)


def _column(alpha: Tensor, like: Tensor) -> Tensor:
    """R -> R,1,1,... with as many dimensions as `like`."""
    return alpha.view(-1, *[1] * (like.dim() - 1))


def _as_unit(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient[:, None]
