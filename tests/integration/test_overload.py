"""Handlers that hold their threads, and more load than a worker can bear: through a real host."""

import json
import signal
import subprocess
import time

import pytest

import fcgi
from host import says_hello
from processes import wait_for

STUCK = "/sleep.ashx?ms=600000"


@pytest.fixture
def one_second(run_dir, installation):
    """The mappings of the sample site, with a second for each handler."""
    mappings = run_dir / "mappings"
    (mappings / "default").mkdir(parents=True)
    (mappings / "default" / "mapping.json").write_text(json.dumps({"httpRuntime": {"executionTimeoutSeconds": 1}}))
    return mappings


def test_a_client_of_a_stuck_handler_gets_504_and_a_new_worker_starts_while_the_old_one_finishes(
        start, one_second, run_dir):
    control = run_dir / "control"
    host = start("--overdue-grace", "200ms", "--control", control, workers=1, mappings=one_second)
    [old] = host.workers()
    with host.connect(timeout=30) as connection, host.begin(STUCK) as stuck:
        # Another request of the old worker, on a connection that was made before, ends by itself.
        connection.send(fcgi.request(host.variables("/hello.ashx"), keep=True))
        assert says_hello(connection.read_response()[1])
        response = stuck.read_response()[1]
        assert (response.status, response.body) == (504, b"504 Gateway Timeout\n")
        others = wait_for("another worker", lambda: [pid for pid in host.workers() if pid != old])
        wait_for("the end of the old one", lambda: host.workers() == others)
        # The connection went to the new one.
        connection.send(fcgi.request(host.variables("/hello.ashx"), keep=True))
        assert says_hello(connection.read_response()[1])
    assert says_hello(host.get("/hello.ashx"))
    log = host.log.read_text()
    assert "samples::Sleep: its handler did not return within 200 ms of its cancellation (--overdue-grace)" in log
    assert STUCK in log
    # The innermost frames are the C library's; the handler is among them by its name, which no module exports.
    assert "samples::Sleep::ProcessRequest(weft::HttpContext&)" in log
    assert f"worker {old} retires, a handler of it is stuck: starting another" in log
    assert f"worker {old}, which retired, exited with code 0" in log
    [line] = host.access_lines("/sleep.ashx")
    assert "status=504" in line and "cause=deadline_passed" in line


def test_a_retiring_worker_finishes_what_it_has(start, one_second, run_dir):
    """The stuck request is given up; another one, which has more time, is not."""
    site = json.loads((one_second / "default" / "mapping.json").read_text())
    site["locations"] = {"wait.ashx": {"httpRuntime": {"executionTimeoutSeconds": 60}}}
    (one_second / "default" / "mapping.json").write_text(json.dumps(site))
    control = run_dir / "control"
    host = start("--overdue-grace", "100ms", "--control", control, workers=1, mappings=one_second)
    [old] = host.workers()
    with host.begin("/wait.ashx?ms=5000") as waiting, host.begin(STUCK) as stuck:
        assert stuck.read_response()[1].status == 504
        wait_for("another worker", lambda: len(host.workers()) == 2)

        def states():
            status = subprocess.run([host.installation.weft, "status", "--control", control, "--format", "json"],
                                    capture_output=True, check=True, timeout=30)
            return {worker["pid"]: worker["state"] for worker in json.loads(status.stdout)["workers"]}
        assert states()[old] == "retiring"
        wait_for("the new worker", lambda: sorted(states().values()) == ["ready", "retiring"])
        assert says_hello(host.get("/hello.ashx"))  # by the new one: the old one does not listen
        response = waiting.read_response()[1]
        assert (response.status, response.body) == (200, b"waited 5000 ms\n")
    wait_for("the end of the old one", lambda: old not in host.workers())


def test_a_handler_that_returns_within_the_grace_costs_no_worker(start, one_second):
    host = start("--overdue-grace", "30s", workers=1, mappings=one_second)
    [worker] = host.workers()
    assert host.get("/sleep.ashx?ms=2000").status == 504
    assert says_hello(host.get("/hello.ashx"))
    assert host.workers() == [worker]
    assert "retire" not in host.log.read_text()


def test_without_a_supervisor_a_worker_ends_so_that_another_can_be_started(start, one_second):
    host = start("--overdue-grace", "100ms", mappings=one_second)
    assert host.get(STUCK).status == 504
    # Nobody asked for it: a service manager starts it again.
    assert host.process.wait(20) == 70
    assert "samples::Sleep::ProcessRequest(weft::HttpContext&)" in host.log.read_text()


def test_a_stop_does_not_wait_for_a_handler_that_was_given_up(start, one_second):
    host = start("--overdue-grace", "100ms", "--drain-timeout", "600s", workers=2, mappings=one_second)
    with host.begin(STUCK) as stuck:
        assert stuck.read_response()[1].status == 504
        host.process.send_signal(signal.SIGTERM)
        assert host.process.wait(20) == 0


def test_what_waits_too_long_for_a_thread_is_503_before_it_runs(start):
    host = start("--blocking-threads", 1, "--queue-timeout", "100ms")
    with host.begin("/sleep.ashx?ms=3000") as running:
        time.sleep(0.2)  # it has the thread
        response = host.get("/sleep.ashx?ms=1")
        assert response.status == 503
        assert int(response.header("Retry-After")) >= 1
        host.wait_for_access_line("ms=1", "cause=queue_timeout")
        assert running.read_response()[1].status == 200
    assert host.get("/sleep.ashx?ms=1").status == 200


def test_an_entry_and_a_site_have_bounds_of_their_own(start, run_dir):
    mappings = run_dir / "mappings"
    for site in ("default", "busy.example"):
        (mappings / site).mkdir(parents=True)
    (mappings / "busy.example" / "mapping.json").write_text(json.dumps({"httpRuntime": {"maxRequests": 2}}))
    host = start(mappings=mappings)
    begun = []
    try:
        for _ in range(2):
            begun.append(host.connect(timeout=30))
            begun[-1].send(fcgi.request(host.variables("/wait.ashx?ms=2000", HTTP_HOST="busy.example")))
        time.sleep(0.3)  # both are in flight
        refused = host.get("/hello.ashx", HTTP_HOST="busy.example")
        assert refused.status == 503
        assert int(refused.header("Retry-After")) >= 1
        assert says_hello(host.get("/hello.ashx", HTTP_HOST="other.example"))
        assert [connection.read_response()[1].status for connection in begun] == [200] * 2
    finally:
        for connection in begun:
            connection.close()
    assert says_hello(host.get("/hello.ashx", HTTP_HOST="busy.example"))
    assert "cause=mapping_overloaded" in host.wait_for_access_line("status=503")
    assert f"{mappings}/busy.example/mapping.json:1:" in host.log.read_text()


def test_a_queue_that_stays_too_long_is_shed_and_those_let_in_are_answered(start):
    """One thread has work for 4 s in its queue: whoever comes then is refused, whoever waits is served."""
    host = start("--blocking-threads", 1, "--queue-timeout", "60s", "--shed-interval", "100ms")
    first = [host.begin("/sleep.ashx?ms=20") for _ in range(200)]
    late = []
    try:
        time.sleep(0.6)  # some intervals
        late = [host.begin("/sleep.ashx?ms=20") for _ in range(20)]
        refused = [connection.read_response()[1] for connection in late]
        assert [response.status for response in refused] == [503] * 20
        assert all(int(response.header("Retry-After")) >= 1 for response in refused)
        assert says_hello(host.get("/hello-async.ashx"))  # it needs no thread
        assert [connection.read_response()[1].status for connection in first] == [200] * 200
    finally:
        for connection in first + late:
            connection.close()
    wait_for("the records", lambda: len(host.access_lines("cause=load_shed", "outcome=refused")) == 20)
    assert host.log.read_text().count("(--shed-target)") < 20  # a line a second
    assert host.get("/sleep.ashx?ms=1").status == 200


def threads_of(pid):
    return int(next(line for line in open(f"/proc/{pid}/status") if line.startswith("Threads:")).split()[1])


def test_threads_that_are_not_needed_end(start):
    host = start("--blocking-idle", "100ms")
    assert says_hello(host.get("/hello-async.ashx"))  # its own threads are all there, and one that read the file
    before = threads_of(host.process.pid)
    assert before < 20
    connections = [host.begin("/sleep.ashx?ms=500") for _ in range(20)]
    try:
        wait_for("the threads", lambda: threads_of(host.process.pid) >= 20)
        assert [connection.read_response()[1].status for connection in connections] == [200] * 20
    finally:
        for connection in connections:
            connection.close()
    wait_for("their end", lambda: threads_of(host.process.pid) <= before)
    assert says_hello(host.get("/hello.ashx"))
