"""One piece of work, and the thread that works a queue of them off. Free of Qt."""

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

from analysis.request import Cancelled, Report, Step

URGENT, USER, LONG = 0, 1, 2

JobState = Literal["waiting", "running", "done", "failed", "cancelled"]
Work = Callable[[Report], object]

_INTERVAL = 1 / 30


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


class Worker:
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
