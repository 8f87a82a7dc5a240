"""What a host counts: `weft status`, metrics, readiness and `weft ping`, while its workers are busy, stopped or dead."""

import json
import os
import signal
import socket
import subprocess

import pytest

import fcgi
from processes import wait_for


@pytest.fixture
def control(run_dir):
    return run_dir / "control.sock"


@pytest.fixture
def start_controlled(start, control):
    def start_host(*options, workers=2, **more):
        return start("--control", control, *options, workers=workers, **more)
    return start_host


@pytest.fixture
def ask(installation, control):
    """Runs `weft status`."""
    def run_status(*options):
        result = subprocess.run([installation.weft, "status", "--control", control, *options],
                                capture_output=True, text=True, timeout=30)
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout
    return run_status


@pytest.fixture
def status(ask):
    """The status as soon as it is as the condition has it."""
    def get(what, condition):
        def look():
            now = json.loads(ask("--format", "json"))
            return now if condition(now) else None
        return wait_for(what, look)
    return get


def in_state(state, count):
    return lambda now: now["figures"]["requests"]["states"][state] == count


def ready(count):
    return lambda now: [worker["state"] for worker in now["workers"]].count("ready") == count


def entry(now, name):
    return next((entry for entry in now["figures"]["entries"] if entry["entry"] == name), None)


# --- What is counted -----------------------------------------------------------------------------------


def test_requests_are_counted_by_their_answer_and_their_entry(start_controlled, ask, status):
    host = start_controlled()
    status("ready workers", ready(2))
    for _ in range(5):
        assert host.get("/hello").status == 200
    assert host.get("/nothing.ashx").status == 404
    assert host.get("/hello", method="POST").status == 405
    now = status("seven requests", lambda now: now["figures"]["requests"]["ended"] == 7)
    requests = now["figures"]["requests"]
    assert (requests["started"], requests["inFlight"]) == (7, 0)
    assert (requests["endedBy"]["success"], requests["endedBy"]["clientError"]) == (5, 2)
    assert {cause["cause"]: cause["count"] for cause in now["figures"]["causes"]} == {
        "file_not_found": 1, "mapped": 1}
    hello = entry(now, "hello")
    assert (hello["count"], hello["serverErrors"]) == (5, 0)
    assert 0 < hello["p50Ms"] <= hello["p90Ms"] <= hello["p99Ms"]
    connections = now["figures"]["connections"]
    assert connections["accepted"] >= 7 and connections["receivedBytes"] > 0 and connections["sentBytes"] > 0
    assert sum(worker["figures"]["requests"]["ended"] for worker in now["workers"]) == 7
    text = ask()
    assert "requests since the start: 7 ended, 7 begun" in text
    assert "1 file_not_found" in text


def test_requests_in_flight_are_told_while_every_worker_is_busy(start_controlled, ask, status):
    host = start_controlled("--blocking-threads", "1", "--queue-timeout", "1h", "--drain-timeout", "0s", workers=1)
    status("a ready worker", ready(1))
    on_thread = host.begin("/sleep.ashx?ms=60000")
    status("a handler on a thread", in_state("onThread", 1))
    waiting = host.begin("/sleep.ashx?ms=60000")
    status("a call for a thread", in_state("waitingForThread", 1))
    on_fiber = host.begin("/wait.ashx?ms=60000")
    now = status("a handler on a fiber", in_state("onFiber", 1))
    assert now["figures"]["requests"]["inFlight"] == 3
    assert now["workers"][0]["figures"]["requests"]["inFlight"] == 3
    handlers = now["figures"]["pools"]["handlers"]
    assert (handlers["threads"], handlers["busy"], handlers["queued"]) == (1, 1, 1)
    assert handlers["oldestWaitMs"] > 0
    text = ask()
    assert "3: 1 waiting for a thread, 1 on a thread, 1 on a fiber" in text
    # A body of which half has come, and parameters of which half have.
    body = host.connect()
    # All but the end of STDIN, and four bytes before it.
    body.send(fcgi.request(host.variables("/wait.ashx?ms=1", method="POST", content_length=8), b"half")[:-8])
    status("a body that is awaited", in_state("readingBody", 1))
    half = host.connect()
    half.send(fcgi.begin() + fcgi.record(fcgi.PARAMS, 1, fcgi.pair("A", "B")))
    status("parameters that are awaited", in_state("receivingParams", 1))
    for connection in (on_thread, waiting, on_fiber, body, half):
        connection.socket.close()
    # Those on the reactor learn that their client has left.
    status("none left but those of the thread", lambda now: now["figures"]["requests"]["inFlight"] == 2)


def test_refusals_are_told_by_their_cause(start_controlled, status):
    host = start_controlled("--blocking-threads", "1", "--blocking-queue", "0", "--drain-timeout", "0s", workers=1)
    status("a ready worker", ready(1))
    held = host.begin("/sleep.ashx?ms=60000")
    status("a handler on a thread", in_state("onThread", 1))
    assert [host.get("/sleep.ashx?ms=1").status for _ in range(3)] == [503, 503, 503]
    now = status("the refusals", lambda now: now["figures"]["requests"]["endedBy"]["serverError"] == 3)
    assert now["figures"]["causes"] == [{"cause": "overloaded", "count": 3}]
    assert now["figures"]["pools"]["handlers"]["refused"] == 3
    held.socket.close()


def test_counts_do_not_go_back_when_a_worker_dies(start_controlled, status):
    host = start_controlled(workers=1)
    status("a ready worker", ready(1))
    for _ in range(4):
        assert host.get("/hello").status == 200
    before = status("four requests", lambda now: now["figures"]["requests"]["ended"] == 4)
    held = host.begin("/wait.ashx?ms=60000")
    status("a fifth one", in_state("onFiber", 1))
    os.kill(host.workers()[0], signal.SIGKILL)
    now = status("another worker", lambda now: ready(1)(now) and now["workers"][0]["starts"] == 2)
    requests = now["figures"]["requests"]
    assert (requests["ended"], requests["started"], requests["inFlight"]) == (4, 5, 0)
    assert entry(now, "hello")["count"] == 4
    assert now["workers"][0]["figures"]["requests"]["ended"] == 0
    assert now["figures"]["connections"]["accepted"] >= before["figures"]["connections"]["accepted"] + 1
    assert (now["figures"]["workerStarts"], now["figures"]["workerEnds"]) == (2, [{"reason": "SIGKILL", "count": 1}])
    assert host.get("/hello").status == 200
    status("the next one", lambda now: now["figures"]["requests"]["ended"] == 5)
    held.socket.close()


@pytest.mark.parametrize("listen", ["unix", "tcp4", "tcp6"])
def test_who_waits_to_be_accepted_is_told(start_controlled, ask, status, listen):
    host = start_controlled("--backlog", "50", workers=1, listen=listen)
    status("a ready worker", ready(1))
    assert host.get("/hello").status == 200
    worker = host.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    clients = [fcgi.connect(host.address) for _ in range(7)]
    try:
        now = status("seven who wait", lambda now: now["figures"]["listenQueues"][0]["waiting"] == 7)
        queue = now["figures"]["listenQueues"][0]
        assert (queue["address"], queue["limit"], queue["most"]) == (host.address, 50, 7)
    finally:
        os.kill(worker, signal.SIGCONT)
    now = status("nobody who waits", lambda now: now["figures"]["listenQueues"][0]["waiting"] == 0)
    assert now["figures"]["listenQueues"][0]["most"] >= 7
    for client in clients:
        client.close()
    assert host.address in ask().split("connections that wait to be accepted:")[1]
