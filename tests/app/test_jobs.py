from __future__ import annotations

import threading

import pytest
import torch

from analysis.request import Step
from app.jobs import LONG, URGENT, USER, Jobs

WAIT = 5000


def endless(started: threading.Event):
    """Work that goes on until it is cancelled."""

    def work(report):
        started.set()
        while True:
            report(Step(0, 10))

    return work


def test_a_result_is_delivered_on_the_gui_thread(qtbot, jobs):
    seen = []
    jobs.finished.connect(lambda job, result: seen.append((result, threading.current_thread())))
    with qtbot.waitSignal(jobs.finished, timeout=WAIT):
        job = jobs.submit(lambda report: threading.current_thread().name, title="where")
    assert seen == [("jobs-cpu", threading.main_thread())]
    assert job.state == "done"
    assert job.seconds > 0


def test_in_a_lane_the_newest_wins(qtbot, jobs):
    started = threading.Event()
    old = jobs.submit(endless(started), title="old", lane="map", key="1")
    assert started.wait(5)
    with qtbot.waitSignal(jobs.finished, timeout=WAIT):
        new = jobs.submit(lambda report: 2, title="new", lane="map", key="2")
    assert (old.state, new.state) == ("cancelled", "done")


def test_the_same_key_in_a_lane_is_the_same_job(qtbot, jobs):
    started = threading.Event()
    first = jobs.submit(endless(started), title="a", lane="map", key="1")
    assert jobs.submit(endless(started), title="a", lane="map", key="1") is first
    with qtbot.waitSignal(jobs.cancelled, timeout=WAIT):
        assert started.wait(5)
        jobs.cancel(first)


def test_without_a_lane_jobs_queue_up(qtbot, jobs):
    results = []
    jobs.finished.connect(lambda job, result: results.append(result))
    for i in range(3):
        jobs.submit(lambda report, i=i: i, title=str(i))
    qtbot.waitUntil(lambda: len(results) == 3, timeout=WAIT)
    assert results == [0, 1, 2]


def test_a_waiting_job_is_cancelled_at_once_and_never_runs(qtbot, jobs):
    started, ran = threading.Event(), []
    running = jobs.submit(endless(started), title="running")
    waiting = jobs.submit(lambda report: ran.append(1), title="waiting")
    jobs.cancel(waiting)
    assert waiting.state == "cancelled"
    with qtbot.waitSignal(jobs.cancelled, timeout=WAIT):
        assert started.wait(5)
        qtbot.waitUntil(lambda: running.state == "running", timeout=WAIT)
        jobs.cancel(running)
        assert running.stopping
    assert running.state == "cancelled"
    assert not ran


def test_an_error_crosses_as_an_object_and_the_worker_goes_on(qtbot, jobs):
    error = ValueError("no")

    def work(report):
        raise error

    with qtbot.waitSignal(jobs.failed, timeout=WAIT) as caught:
        job = jobs.submit(work, title="bad")
    assert caught.args == [job, error]
    assert (job.state, job.error) == ("failed", error)
    with qtbot.waitSignal(jobs.finished, timeout=WAIT):
        jobs.submit(lambda report: 1, title="good")


def test_a_more_urgent_job_runs_inside_the_running_one(qtbot, jobs):
    started, release, order = threading.Event(), threading.Event(), []

    def long(report):
        order.append("long starts")
        started.set()
        assert release.wait(5)
        with torch.inference_mode():
            report(Step(1, 2))
        order.append("long ends")

    def urgent(report):
        order.append(f"urgent, grad {torch.is_grad_enabled()} {torch.is_inference_mode_enabled()}")

    jobs.submit(long, title="long", priority=LONG)
    assert started.wait(5)
    jobs.submit(lambda report: order.append("user"), title="user", priority=USER)
    jobs.submit(urgent, title="urgent", priority=URGENT)
    jobs.submit(lambda report: order.append("long 2"), title="long 2", priority=LONG)
    release.set()
    qtbot.waitUntil(lambda: len(jobs.active()) == 0, timeout=WAIT)
    assert order == [
        "long starts", "urgent, grad True False", "user", "long ends", "long 2",
    ]  # fmt: skip


def test_a_cancelled_job_stops_although_an_urgent_one_ran_inside(qtbot, jobs):
    started = threading.Event()
    long = jobs.submit(endless(started), title="long", priority=LONG)
    assert started.wait(5)
    with qtbot.waitSignal(jobs.finished, timeout=WAIT):
        jobs.submit(lambda report: report(Step(1, 1)), title="urgent", priority=URGENT)
    with qtbot.waitSignal(jobs.cancelled, timeout=WAIT):
        jobs.cancel(long)
    assert long.state == "cancelled"


def test_progress_is_throttled_and_the_last_partial_is_not_lost(qtbot, jobs):
    seen, steps = [], []
    jobs.partial.connect(lambda job, partial: seen.append(partial))
    jobs.changed.connect(lambda job: steps.append(job.step.done))
    go = threading.Event()

    def work(report):
        report(Step(0, 1000, "counting", "first"))
        for i in range(1000):
            report(Step(i, 1000, "counting", i if i < 500 else None))
        go.wait(5)
        while len(seen) < 2:
            report(Step(999, 1000, "counting"))

    job = jobs.submit(work, title="count")
    qtbot.waitUntil(lambda: bool(seen), timeout=WAIT)
    go.set()
    qtbot.waitUntil(lambda: not job.active, timeout=WAIT)
    assert seen[0] == "first"
    assert seen[-1] == 499
    assert len(steps) < 100
    assert job.fraction == 1


def test_rate_and_time_left(qtbot, jobs):
    hold = threading.Event()

    def work(report):
        report(Step(5, 20, "half"))
        hold.wait(5)

    job = jobs.submit(work, title="timed")
    qtbot.waitUntil(lambda: job.step.done == 5, timeout=WAIT)
    assert job.rate > 0
    assert job.seconds_left == pytest.approx(15 / job.rate, rel=0.5)
    hold.set()
    qtbot.waitUntil(lambda: not job.active, timeout=WAIT)
    assert job.seconds_left is None


def test_shutdown_cancels_all_and_leaves_no_thread(qtbot):
    jobs = Jobs()
    started = threading.Event()
    jobs.submit(endless(started), title="endless")
    waiting = jobs.submit(lambda report: None, title="waiting")
    assert started.wait(5)
    assert jobs.shutdown(10)
    assert waiting.state == "cancelled"
    assert not [t for t in threading.enumerate() if t.name.startswith("jobs-")]


def test_each_device_has_its_own_thread(qtbot, jobs):
    names = []
    jobs.finished.connect(lambda job, result: names.append(result))
    for device in ("cpu", "cuda"):
        jobs.submit(lambda report: threading.current_thread().name, title="", device=device)
    qtbot.waitUntil(lambda: len(names) == 2, timeout=WAIT)
    assert sorted(names) == ["jobs-cpu", "jobs-cuda"]


def test_a_finished_job_keeps_nothing_it_captured(qtbot, jobs):
    job = jobs.submit(lambda report: 1, title="once")
    work = job.work
    qtbot.waitUntil(lambda: not job.active, timeout=WAIT)
    assert job.work is not work
    jobs.clear_finished()
    assert jobs.list == []
