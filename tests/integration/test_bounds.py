"""Options at their least and their most, and little of what the system gives: the host serves, or says why it cannot."""

import os
import re
import resource
import subprocess

import pytest

import fcgi
from host import says_hello
from processes import wait_for

SKIPPED = {
    "workers": "its most are a thousand processes",
    **dict.fromkeys(["min-workers", "min-spare-workers", "max-spare-workers", "worker-idle-timeout"],
                    "of a dynamic host alone, and of one another: below"),
}


def bounds_of(weft):
    """[(name, least, most)] of the options of `weft serve` that are a number, a size or a time, as its help has them."""
    help_text = subprocess.run([weft, "serve", "--help"], check=True, capture_output=True, text=True, timeout=20).stdout
    found = []
    for entry in re.split(r"\n  (?=--)", help_text):
        bounds = re.search(r"Bounds:\s+(\S+)\s+to\s+(\S+?)\.(?:\s|$)", entry)
        if bounds:
            found.append((re.match(r"-*([a-z-]+)", entry.strip()).group(1), *bounds.groups()))
    return found


def serves_or_says_why(start, name, *options, **more):
    """Whether it serves; one that does not says so, in its last line, and ends with an exit code of its own."""
    try:
        host = start(*options, log=name, **more)
    except AssertionError as error:
        text = str(error)
        assert re.search(r"exit code (64|69|70|71|73|77|78):", text), text  # no signal
        assert re.search(r"--[a-z-]+|ulimit", text.splitlines()[-1]), text
        return False
    for path in ("/hello.ashx", "/hello-async.ashx"):
        response = host.get(path)
        assert says_hello(response), (name, path, response)
    assert host.process.poll() is None
    assert host.stop() == 0, host.log.read_text()
    return True


def test_the_help_has_the_bounds_of_the_options(installation):
    names = [name for name, *_ in bounds_of(installation.weft)]
    help_text = subprocess.run([installation.weft, "serve", "--help"], check=True, capture_output=True, text=True, timeout=20).stdout
    assert len(names) == len(set(names)) == help_text.count("Bounds:") > 40


@pytest.mark.parametrize("which", ["least", "most"])
def test_a_host_serves_with_each_option_at_its_bound(start, installation, which):
    refused = {}
    for name, least, most in bounds_of(installation.weft):
        value = least if which == "least" else most
        if name in SKIPPED:
            continue
        workers = 1 if name.startswith("recycle-") else 0  # that needs a supervisor
        if not serves_or_says_why(start, f"{name}-{which}", f"--{name}", value, workers=workers):
            refused[name] = value
    assert refused == {}


@pytest.mark.parametrize("which", ["least", "most"])
def test_a_supervisor_serves_with_all_options_at_their_bounds(start, installation, which):
    options = []
    for name, least, most in bounds_of(installation.weft):
        if name not in SKIPPED:
            options += [f"--{name}", least if which == "least" else most]
    assert serves_or_says_why(start, which, *options, workers=1)


@pytest.mark.parametrize("values", [("1", "1", "2", "100ms"), ("2", "1023", "1024", "24h")])
def test_a_dynamic_host_serves_with_its_options_at_their_bounds(start, values):
    names = ["--min-workers", "--min-spare-workers", "--max-spare-workers", "--worker-idle-timeout"]
    options = [word for pair in zip(names, values) for word in pair]
    assert serves_or_says_why(start, "dynamic", "--process-model", "dynamic", *options, workers=2, begins_with=int(values[0]))


def limit(what, most):
    return lambda: resource.setrlimit(what, (most, most))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_host_with_few_descriptors_serves_as_many_as_it_can_and_then_the_others(start, workers):
    host = start(workers=workers, preexec_fn=limit(resource.RLIMIT_NOFILE, 64))
    before = host.workers()
    connections = []
    try:
        for _ in range(100):
            connections.append(host.connect(timeout=30))
            connections[-1].send(fcgi.request(host.variables("/wait.ashx?ms=300"), keep=False))
        for connection in connections:
            # Its file cannot be opened where a connection has taken the last descriptor.
            assert connection.read_response()[1].status in (200, 503)
            connection.close()
    finally:
        for connection in connections:
            connection.close()
    assert says_hello(host.get("/hello.ashx"))
    assert host.workers() == before
    assert host.stop() == 0


@pytest.mark.parametrize("most", range(1, 9))
def test_a_host_with_few_threads_serves_or_says_why_not(start, run_dir, most):
    if os.geteuid() != 0:
        pytest.skip("needs a user whom no other process runs as")
    user = 64_123
    os.chown(run_dir, user, user)
    log = run_dir / "weft.log"
    try:
        host = start("--drain-timeout", "1s", preexec_fn=limit(resource.RLIMIT_NPROC, most), user=user, group=user, extra_groups=[])
        statuses = {host.get(path).status for path in ("/hello.ashx", "/hello-async.ashx", "/hello.ashx")}
    except (AssertionError, OSError):
        # Who connects while it starts is in the backlog of a process that ends.
        wait_for("the reason", lambda: "the worker cannot go on: Resource temporarily unavailable" in log.read_text())
        assert "ulimit -u" in log.read_text()
        assert most < 6  # its own threads: the reactor's, and those for the start, the log, `weft stacks` and the mapping files
        return
    assert statuses <= {200, 503}
    assert host.stop() == 0, log.read_text()
    text = log.read_text()
    assert ("the system has no thread for the blocking pool (ulimit -u" in text) == (503 in statuses), text


def test_a_host_whose_log_has_no_room_serves(start, run_dir):
    with open("/dev/full", "wb") as full:
        host = start("--log-level", "debug", workers=1, stdout=full, stderr=full)
        before = host.workers()
        for _ in range(20):
            assert says_hello(host.get("/hello.ashx"))
        assert host.get("/nothing.ashx").status == 404
        assert host.workers() == before
        assert host.stop() == 0
