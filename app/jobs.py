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

import heapq
import itertools
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal

from PySide6.QtCore import QObject, Signal, Slot

from analysis.request import Cancelled, Report, Step

URGENT, USER, LONG = 0, 1, 2

JobState = Literal["waiting", "running", "done", "failed", "cancelled"]
Work = Callable[[Report], object]

_INTERVAL = 1 / 30
_HISTORY = 200


@dataclass(eq=False)
class Job:
    """One piece of work and what is known of it. Changed on the GUI thread only."""

    title: str
    work: Work
    lane: str
    key: str
    priority: int
    device: str
    state: JobState = "waiting"
    step: Step = field(default_factory=lambda: Step(0, 0))
    result: object | None = None
    error: Exception | None = None
    stopping: bool = False
    started: float = 0.0
    ended: float = 0.0
    _token: threading.Event = field(default_factory=threading.Event)
    _unread: threading.Event = field(default_factory=threading.Event)

    @property
    def fraction(self) -> float:
        """Done, 0 to 1; 0 when the total is not known."""
        return min(1.0, self.step.done / self.step.total) if self.step.total else 0.0

    @property
    def active(self) -> bool:
        return self.state in ("waiting", "running")

    @property
    def seconds(self) -> float:
        """Running time so far."""
        if not self.started:
            return 0.0
        return (self.ended or time.monotonic()) - self.started

    @property
    def rate(self) -> float:
        """Steps a second since the start; 0 when unknown."""
        return self.step.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the mean rate so far; None when that says nothing yet."""
        if self.state != "running" or self.rate <= 0 or not self.step.total:
            return None
        return (self.step.total - self.step.done) / self.rate


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
        self._workers: dict[str, _Worker] = {}
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
    ) -> Job:
        """Queue `work`. In one lane the newest wins; the same key again is the same job.

        Without a lane, jobs never displace each other.
        """
        older = self._newest.get(lane) if lane else None
        if older is not None and older.active and not older.stopping:
            if key and older.key == key:
                return older
            self.cancel(older)
        job = Job(title, work, lane, key, priority, device)
        if lane:
            self._newest[lane] = job
        self.list.append(job)
        self._forget_oldest()
        self.added.emit(job)
        if device not in self._workers:
            self._workers[device] = _Worker(device, self._post.emit)
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


class _Worker:
    """A thread and the queue it works off, most urgent first, then in order of arrival."""

    def __init__(self, device: str, post: Callable[[str, Job, object], None]) -> None:
        self._post = post
        self._queue: list[tuple[int, int, Job]] = []
        self._order = itertools.count()
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name=f"jobs-{device}", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        with self._condition:
            heapq.heappush(self._queue, (job.priority, next(self._order), job))
            self._condition.notify()

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify()

    def join(self, timeout: float | None) -> bool:
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                job = heapq.heappop(self._queue)[2]
            self._run(job)
            del job  # a waiting worker holds no model

    def _take(self, below: int) -> Job | None:
        with self._condition:
            if self._queue and self._queue[0][0] < below:
                return heapq.heappop(self._queue)[2]
        return None

    def _run(self, job: Job) -> None:
        last = 0.0
        partial: object | None = None

        def report(step: Step) -> None:
            nonlocal last, partial
            while (urgent := self._take(job.priority)) is not None:
                self._run_inside(urgent)
            if job._token.is_set():
                raise Cancelled
            partial = step.partial if step.partial is not None else partial
            now = time.monotonic()
            # Until the window has read the last step, newer ones only replace each other.
            if now - last < _INTERVAL or job._unread.is_set():
                return
            last = now
            job._unread.set()
            self._post("step", job, Step(step.done, step.total, step.message, partial))
            partial = None

        if job._token.is_set():
            return
        self._post("running", job, None)
        try:
            result = job.work(report)
        except Cancelled:
            self._post("cancelled", job, None)
        except Exception as error:  # noqa: BLE001 - it crosses to the window as an object
            self._post("failed", job, error)
        else:
            self._post("finished", job, result)

    def _run_inside(self, job: Job) -> None:
        """Run an urgent job within another, whose gradient modes it must not inherit."""
        torch = sys.modules.get("torch")
        with ExitStack() as modes:
            if torch is not None:
                modes.enter_context(torch.inference_mode(False))
                modes.enter_context(torch.enable_grad())
            self._run(job)


def _nothing(report: Report) -> None:
    """What is left of the work of a job that is over."""
