"""What the views asked for: each result once, whoever wants it, and no work nobody wants.

A consumer (a view, the models tree) says which requests it wants now. A result that is known is
handed over at once; else a job is submitted, shared by all consumers that want the same key. A job
that no consumer wants any more is cancelled: so in each view the newest question wins.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal, Slot

from analysis.request import Report, Request
from app.jobs import LONG, URGENT, USER, Job, Jobs

if TYPE_CHECKING:
    from analysis.study import Study

PRIORITIES = {"Sensitivity": LONG, "Robustness": LONG, "Embed": USER}
"""By analysis; what is not named here is urgent. An embedding has long stages without a report."""

_KEPT = 256


class Answers(QObject):
    """Results, partial results and running jobs, by content key.

    `ready(consumer)`: a result came, ask again. `partial(consumer)`: there is more to draw.
    `progressed(consumer)`: only `busy` moved. `failed(request, error)`: it will not be tried again
    until `retry`.
    """

    ready = Signal(str)
    partial = Signal(str)
    progressed = Signal(str)
    failed = Signal(object, object)

    def __init__(self, jobs: Jobs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs = jobs
        self._study: Study | None = None
        self._wanted: dict[str, dict[str, str]] = {}
        self._results: OrderedDict[str, Any] = OrderedDict()
        self._partials: dict[str, Any] = {}
        self._running: dict[str, tuple[Job, Request[Any]]] = {}
        self._refused: set[str] = set()
        jobs.changed.connect(self._progress)
        jobs.partial.connect(self._part)
        jobs.finished.connect(self._finish)
        jobs.failed.connect(self._fail)
        jobs.cancelled.connect(self._refuse)

    def reset(self, study: Study) -> None:
        """Answer from another study from now on."""
        for consumer in list(self._wanted):
            self.release(consumer)
        for known in (self._results, self._partials, self._refused):
            known.clear()
        self._study = study

    def ask(self, consumer: str, requests: Mapping[str, Request[Any]]) -> dict[str, Any]:
        """Want these now, and nothing else; returns the complete results there are, by label."""
        keys = {label: request.key for label, request in requests.items()}
        before = set(self._wanted.get(consumer, {}).values())
        self._wanted[consumer] = keys
        found: dict[str, Any] = {}
        for label, request in requests.items():
            key = keys[label]
            result = self._look_up(key)
            if result is not None:
                found[label] = result
            elif key not in self._running and key not in self._refused:
                self._start(key, request)
        self._drop(before)
        return found

    def known(self, consumer: str) -> dict[str, Any]:
        """Results and partial results of what the consumer wants, by label."""
        known: dict[str, Any] = {}
        for label, key in self._wanted.get(consumer, {}).items():
            value = self._results.get(key, self._partials.get(key))
            if value is not None:
                known[label] = value
        return known

    def busy(self, consumer: str) -> float | None:
        """Mean progress, 0 to 1, of what the consumer waits for; None = nothing."""
        keys = set(self._wanted.get(consumer, {}).values())
        jobs = [self._running[key][0] for key in keys if key in self._running]
        if not jobs:
            return None
        return (len(keys) - len(jobs) + sum(job.fraction for job in jobs)) / len(keys)

    def release(self, consumer: str) -> None:
        """The consumer wants nothing any more."""
        self._drop(set(self._wanted.pop(consumer, {}).values()))

    def retry(self) -> None:
        """Try again what failed or was cancelled; the consumers must ask again."""
        self._refused.clear()

    def _look_up(self, key: str) -> Any | None:
        if key not in self._results and key not in self._running and self._study is not None:
            found = self._study.find(key)
            if found is not None:
                self._keep(key, found)
        if key in self._results:
            self._results.move_to_end(key)
        return self._results.get(key)

    def _start(self, key: str, request: Request[Any]) -> None:
        study = self._study
        if study is None:
            return

        def work(report: Report) -> Any:
            return study.compute(request, report)

        job = self._jobs.submit(
            work,
            title=request.title,
            key=key,
            priority=PRIORITIES.get(type(request).__name__, URGENT),
            device=device_of(request),
        )
        self._running[key] = (job, request)

    def _drop(self, keys: set[str]) -> None:
        wanted = {key for asked in self._wanted.values() for key in asked.values()}
        for key in keys - wanted:
            if key in self._running:
                job, _ = self._running.pop(key)
                self._partials.pop(key, None)
                self._jobs.cancel(job)

    def _keep(self, key: str, result: Any) -> None:
        self._results[key] = result
        self._partials.pop(key, None)
        while len(self._results) > _KEPT:
            self._results.popitem(last=False)

    def _mine(self, job: Job) -> bool:
        return job.key in self._running and self._running[job.key][0] is job

    def _consumers(self, key: str) -> list[str]:
        return [name for name, asked in self._wanted.items() if key in asked.values()]

    @Slot(object)
    def _progress(self, job: Job) -> None:
        if self._mine(job) and job.active:
            for consumer in self._consumers(job.key):
                self.progressed.emit(consumer)

    @Slot(object, object)
    def _part(self, job: Job, value: object) -> None:
        if self._mine(job):
            self._partials[job.key] = value
            for consumer in self._consumers(job.key):
                self.partial.emit(consumer)

    @Slot(object, object)
    def _finish(self, job: Job, result: object) -> None:
        if self._mine(job):
            del self._running[job.key]
            self._keep(job.key, result)
            self._tell(job.key)

    @Slot(object, object)
    def _fail(self, job: Job, error: Exception) -> None:
        if self._mine(job):
            _, request = self._running.pop(job.key)
            self._refused.add(job.key)
            self._tell(job.key)
            self.failed.emit(request, error)

    @Slot(object)
    def _refuse(self, job: Job) -> None:
        if self._mine(job):  # cancelled by the user: what we drop ourselves is not ours any more
            del self._running[job.key]
            self._refused.add(job.key)
            self._tell(job.key)

    def _tell(self, key: str) -> None:
        for consumer in self._consumers(key):
            self.ready.emit(consumer)


def device_of(request: Request[Any]) -> str:
    """The device a request computes on; those without `compute` run on the CPU."""
    compute = getattr(request, "compute", None)
    return "cpu" if compute is None else str(compute.device)
