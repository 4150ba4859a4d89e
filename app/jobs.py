"""Background work: one worker thread a device, and the one place where threads cross.

A job is a function of `report`. It is captured whole on the GUI thread, called on the worker, and
everything it says comes back through one private signal to `_deliver`, on the GUI thread. Only
`_deliver` changes what a job shows, so there are no locks but the queue's own.

    urgent (0)   what a visible view waits for
    user (1)     what the user asked for: pruning, opening, evaluating
    long (2)     maps over many masks or corruptions

When a more urgent job waits, the running job's `report` runs it inside: a call on the same thread,
nested at most once a priority. So a view answers within a step of a long job, without a second
thread, and without the long job losing what it has done:

    long ──report──┐                    ┌──► goes on
                   └─ urgent, to its end┘
"""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, Signal, Slot

from analysis.request import Report, Step
from app.worker import LONG, URGENT, USER, Job, JobState, Work, Worker

__all__ = ["LONG", "URGENT", "USER", "Job", "JobState", "Jobs", "Work"]

_HISTORY = 200


class Jobs(QObject):
    """The queue. Signals carry the job; those of a job that was cancelled are never sent late."""

    added = Signal(object)
    changed = Signal(object)
    partial = Signal(object, object)
    finished = Signal(object, object)
    failed = Signal(object, object)
    cancelled = Signal(object)
    _post = Signal(str, object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.list: list[Job] = []
        self._newest: dict[str, Job] = {}
        self._workers: dict[str, Worker] = {}
        self._post.connect(self._deliver)

    def submit(
        self,
        work: Work,
        *,
        title: str,
        lane: str = "",
        key: str = "",
        priority: int = USER,
        device: str = "cpu",
        quiet: bool = False,
    ) -> Job:
        """Queue `work`. In one lane the newest wins; the same key again is the same job.

        Without a lane, jobs never displace each other. A quiet job is too short to be listed.
        """
        older = self._newest.get(lane) if lane else None
        if older is not None and older.active and not older.stopping:
            if key and older.key == key:
                return older
            self.cancel(older)
        job = Job(title, work, lane, key, priority, device)
        if lane:
            self._newest[lane] = job
        if not quiet:
            self.list.append(job)
        self._forget_oldest()
        self.added.emit(job)
        if device not in self._workers:
            self._workers[device] = Worker(device, self._post.emit)
        self._workers[device].put(job)
        return job

    def active(self) -> list[Job]:
        """Jobs that wait or run, in the order they were asked for."""
        return [job for job in self.list if job.active]

    def cancel(self, job: Job) -> None:
        """Waiting: gone at once. Running: it stops at its next report."""
        if not job.active or job.stopping:
            return
        job._token.set()
        job.stopping = True
        if job.state == "waiting":
            self._end(job, "cancelled")
            self.cancelled.emit(job)
        else:
            self.changed.emit(job)

    def cancel_all(self) -> None:
        for job in self.active():
            self.cancel(job)

    def clear_finished(self) -> None:
        """Drop the jobs that are over from the list."""
        self.list = self.active()

    def shutdown(self, timeout: float | None = None) -> bool:
        """Cancel everything and wait for the workers; False when one is still busy."""
        self.cancel_all()
        for worker in self._workers.values():
            worker.close()
        stopped = [worker.join(timeout) for worker in self._workers.values()]
        self._workers.clear()
        return all(stopped)

    @Slot(str, object, object)
    def _deliver(self, event: str, job: Job, value: object) -> None:
        if not job.active:  # cancelled while it waited, or shut down
            return
        if event == "running":
            job.state = "running"
            job.started = time.monotonic()
            self.changed.emit(job)
        elif event == "step":
            job._unread.clear()
            self._show_step(job, value)
        elif event == "cancelled" or job.stopping:
            self._end(job, "cancelled")
            self.cancelled.emit(job)
        elif event == "failed":
            job.error = value
            self._end(job, "failed")
            self.failed.emit(job, value)
        else:
            self._end(job, "done")
            self.finished.emit(job, value)

    def _show_step(self, job: Job, step: Step) -> None:
        if job.stopping:
            return
        job.step = step
        self.changed.emit(job)
        if step.partial is not None:
            self.partial.emit(job, step.partial)

    def _end(self, job: Job, state: JobState) -> None:
        job.state = state
        job.ended = time.monotonic() if job.started else 0.0
        if state == "done" and job.step.total:
            job.step = Step(job.step.total, job.step.total)
        if self._newest.get(job.lane) is job:
            del self._newest[job.lane]
        job.work = _nothing  # models and images it captured can go
        self.changed.emit(job)

    def _forget_oldest(self) -> None:
        over = [job for job in self.list if not job.active]
        for job in over[: max(0, len(self.list) - _HISTORY)]:
            self.list.remove(job)


def _nothing(report: Report) -> None:
    """What is left of the work of a job that is over."""
