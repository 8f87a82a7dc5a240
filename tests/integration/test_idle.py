"""A worker with nothing to do does nothing."""

import pathlib
import time

from host import says_hello
from processes import wait_for


def runs_of(pid):
    """How often each thread of a process has given up its processor: one that never ran has made no system call."""
    runs = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        runs[int(task.name)] = int(status["voluntary_ctxt_switches"])
    return runs


def test_without_a_look_for_changes_no_thread_of_an_idle_worker_wakes(start):
    host = start("--reload-interval", "0s", "--blocking-idle", "100ms", workers=2)
    assert says_hello(host.get("/hello.ashx"))
    # Some ticks see that there is nothing more to be seen.
    for worker in host.workers():
        wait_for("rest", lambda worker=worker: rests_for(worker, 1) == {})


def test_the_reactor_of_an_idle_worker_never_wakes_and_the_thread_that_looks_for_changes_does(start):
    host = start("--blocking-idle", "100ms", workers=1)
    assert says_hello(host.get("/hello-async.ashx"))
    [worker] = host.workers()
    # The reactor's thread is the process's first.
    woken = wait_for("rest", lambda: (found := rests_for(worker, 2)) and worker not in found and found)
    assert len(woken) == 1


def rests_for(pid, seconds):
    """The threads that woke within that time, and how often."""
    before = runs_of(pid)
    time.sleep(seconds)
    return {thread: runs - before.get(thread, 0) for thread, runs in runs_of(pid).items() if runs != before.get(thread, 0)}


def test_a_worker_that_has_rested_still_ends_what_waits_too_long(start):
    host = start("--reload-interval", "0s", "--header-timeout", "300ms", workers=1)
    [worker] = host.workers()
    wait_for("rest", lambda: rests_for(worker, 1) == {})
    with host.connect(timeout=30) as connection:
        connection.send(b"\x01\x01\x00\x01\x00\x08\x00\x00")  # half a BEGIN_REQUEST
        assert connection.is_closed_by_host()
