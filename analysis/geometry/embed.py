"""Features of several models in one plane: PCA at once, UMAP refined epoch by epoch."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from analysis.errors import ArgumentError, InputError
from analysis.geometry.neighbours import TRUST_LIMIT, exact_knn, trust
from analysis.geometry.pca import principal_plane
from analysis.geometry.umap_graph import fuzzy_graph
from analysis.geometry.umap_layout import Layout, compiled_epoch, start_coordinates
from analysis.records import record
from analysis.request import Compute, Report, Request, Step, compute_field, silent

Method = Literal["pca", "umap"]

PARTIAL_SECONDS = 0.1
"""Least time between two partial layouts."""


@record
@dataclass(frozen=True, eq=False)
class Embedding:
    """Points of each model in one common plane.

    Attributes
    ----------
    coordinates: float32 N,2 a model, in the order of the request's features.
    method: what made these coordinates; "pca" also while UMAP has not begun, and where it cannot.
    trustworthiness: of each model's own points, 0..1, NaN in partial results and below 3 points.
    done_epochs: UMAP epochs behind the coordinates; 0 for PCA.
    neighbours: of UMAP's graph and of the trustworthiness.
    note: what a reader must know (subsampling, a fallback); "" if nothing.
    """

    coordinates: tuple[np.ndarray, ...]
    method: str
    trustworthiness: tuple[float, ...]
    done_epochs: int
    neighbours: int
    note: str = ""


@dataclass(frozen=True, eq=False)
class Embed(Request[Embedding]):
    """Embed the features of one or more models jointly: all rows are stacked first.

    So the same image can be followed from one model to the next; a joint layout moves less by
    chance than aligned ones, and is far cheaper. Stages: PCA (reported at once as a partial
    result), exact neighbours, UMAP graph, UMAP epochs from the PCA start (coordinates reported
    as they move), trustworthiness of each model's points in the joint plane.

    UMAP (McInnes et al., https://arxiv.org/abs/1802.03426) with umap-learn's rules and defaults
    (min_dist 0.1), on one thread, hence reproducible for one seed on one machine. `neighbours`
    counts the point itself, as in umap-learn, and is lowered to the number of points.

    Parameters
    ----------
    features: one N,D array a model; all of the same D.

    Raises InputError when features are NaN or infinite, ArgumentError when there are none, their
    widths differ, or a parameter is out of range.
    """

    features: tuple[np.ndarray, ...]
    method: Method = "umap"
    neighbours: int = 15
    epochs: int = 200
    seed: int = 0
    compute: Compute = compute_field()

    def __call__(self, report: Report = silent) -> Embedding:
        self._check()
        stacked = np.concatenate([np.asarray(f, np.float64) for f in self.features])
        report(Step(0, self._total, f"PCA of {len(stacked):,} points"))
        plane = principal_plane(stacked)
        first = self._embedding(plane, 0)
        report(Step(1, self._total, f"PCA of {len(stacked):,} points", first))
        if self.method == "pca":
            return self._judged(first, report)
        if len(stacked) < 3 or self.neighbours < 2 or not np.ptp(stacked, axis=0).any():
            note = "PCA: UMAP needs at least three points that differ"
            return self._judged(replace(first, note=note), report)
        return self._judged(self._umap(stacked, plane, report), report)

    @property
    def title(self) -> str:
        rows = sum(len(f) for f in self.features)
        return f"{self.method.upper()} of {rows:,} points"

    @property
    def _total(self) -> int:
        return 2 if self.method == "pca" else self.epochs + 3

    def _umap(self, stacked: np.ndarray, plane: np.ndarray, report: Report) -> Embedding:
        k = min(self.neighbours, len(stacked)) - 1

        def neighbours_found(step: Step) -> None:
            report(Step(1, self._total, step.message))

        indices, distances = exact_knn(stacked, k, neighbours_found)
        report(Step(2, self._total, "UMAP: neighbour graph"))
        generator = np.random.default_rng(self.seed)
        layout = Layout(
            fuzzy_graph(indices, distances),
            start_coordinates(plane, generator),
            self.epochs,
            generator,
        )
        compiled_epoch()
        shown = time.monotonic()
        while layout.done < layout.epochs:
            layout.step()
            partial = None
            if time.monotonic() - shown > PARTIAL_SECONDS and layout.done < layout.epochs:
                partial = self._embedding(layout.coordinates, layout.done)
                shown = time.monotonic()
            message = f"UMAP: epoch {layout.done} of {layout.epochs}"
            report(Step(2 + layout.done, self._total, message, partial))
        return self._embedding(layout.coordinates, layout.done)

    def _embedding(self, stacked: np.ndarray, epochs: int) -> Embedding:
        ends = np.cumsum([len(f) for f in self.features])[:-1]
        return Embedding(
            coordinates=tuple(part.astype(np.float32) for part in np.split(stacked, ends)),
            method="umap" if epochs else "pca",
            trustworthiness=(float("nan"),) * len(self.features),
            done_epochs=epochs,
            neighbours=self.neighbours,
        )

    def _judged(self, embedding: Embedding, report: Report) -> Embedding:
        values, notes = [], [embedding.note] if embedding.note else []
        for features, xy in zip(self.features, embedding.coordinates, strict=True):
            report(Step(self._total - 1, self._total, "Trustworthiness", None))
            values.append(trust(features, xy, self.neighbours, self.seed)[0])
        if any(len(f) > TRUST_LIMIT for f in self.features):
            notes.append(f"trustworthiness of {TRUST_LIMIT:,} random points a model")
        report(Step(self._total, self._total, "Embedded"))
        return replace(embedding, trustworthiness=tuple(values), note="; ".join(notes))

    def _check(self) -> None:
        if self.method not in ("pca", "umap"):
            raise ArgumentError(f"method must be pca or umap, not {self.method!r}.")
        if self.neighbours < 2 or self.epochs < 1:
            raise ArgumentError(
                "neighbours must be at least 2 and epochs at least 1, "
                f"not {self.neighbours} and {self.epochs}."
            )
        if not self.features or any(f.ndim != 2 or f.size == 0 for f in self.features):
            raise ArgumentError("Features must be one or more arrays of N > 0 rows and D columns.")
        widths = sorted({f.shape[1] for f in self.features})
        if len(widths) > 1:
            raise ArgumentError(
                f"Features of widths {', '.join(map(str, widths))} have no common space; embed "
                "models of different widths one at a time, or compare them by knn_overlap."
            )
        for i, features in enumerate(self.features):
            if not np.isfinite(features).all():
                raise InputError(
                    f"features of model {i + 1} of {len(self.features)}",
                    "some values are NaN or infinite.",
                    "Inspect the model's weights, or choose another layer.",
                )
