"""A process that records into a study until it is killed: one line on stdout a finished step."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from analysis.records import record
from analysis.request import Report, Request, Step, silent
from analysis.study import Study


@record
@dataclass(frozen=True, eq=False)
class Noise:
    values: np.ndarray
    nested: tuple[np.ndarray, ...]
    seed: int


@dataclass(frozen=True, eq=False)
class MakeNoise(Request[Noise]):
    seed: int

    def __call__(self, report: Report = silent) -> Noise:
        report(Step(0, 1))
        values = np.random.default_rng(self.seed).normal(size=(200, 100))
        return Noise(values, (values[:3], values[3:5].astype(np.float32)), self.seed)


def work(folder: str, first: int) -> None:
    study = Study.open(folder)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for seed in range(first, first + 100_000):
        study.compute(MakeNoise(seed))
        study.set_state("last", seed)
        sys.stdout.write(f"{seed}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
