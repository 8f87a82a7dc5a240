"""Connections are shared among the workers of a host, those that a web server keeps as well."""

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import threading

import pytest

import fcgi
import servers
from host import says_hello
from processes import children_of, wait_for

WORKERS = 4
CONNECTIONS = 8


class Observed:
    """A host, as `weft status` tells of its workers."""

    def __init__(self, weft, control):
        self.weft, self.control = weft, control

    def workers(self):
        result = subprocess.run([self.weft, "status", "--control", self.control, "--format", "json"],
                                capture_output=True, text=True, timeout=30)
        assert (result.returncode, result.stderr) == (0, "")
        return json.loads(result.stdout)["workers"]

    def ended(self):
        """Requests by worker."""
        return {worker["pid"]: worker["figures"]["requests"]["ended"] for worker in self.workers()}

    def open(self):
        """Connections by worker."""
        return {worker["pid"]: worker["figures"]["connections"]["open"] for worker in self.workers()}

    def passed_on(self):
        return sum(worker["figures"]["connections"]["passedOn"] for worker in self.workers())


@contextlib.contextmanager
def all_but_one_stopped(workers):
    """So that whoever connects meanwhile is accepted by that one: as if the others had come later, or had been busy."""
    for worker in workers[1:]:
        os.kill(worker, signal.SIGSTOP)
    try:
        yield workers[0]
    finally:
        for worker in workers[1:]:
            os.kill(worker, signal.SIGCONT)


def ask(host, connection):
    connection.send(fcgi.request(host.variables("/hello.ashx"), keep=True))
    return says_hello(connection.read_response()[1])


@pytest.fixture
def crowded(start_controlled, control):
    """Starts a host of which one worker has all connections: (host, how it is seen, connections)."""
    def start(*options):
        host = start_controlled(*options, workers=WORKERS)
        seen = Observed(host.installation.weft, control)
        wait_for("all workers", lambda: [worker["state"] for worker in seen.workers()] == ["ready"] * WORKERS)
        with all_but_one_stopped(host.workers()) as only:
            connections = [host.connect(timeout=30) for _ in range(CONNECTIONS)]
            # Nobody else takes them, and nobody is waited for for long.
            assert all(ask(host, connection) for connection in connections)
            assert seen.open() == {pid: CONNECTIONS if pid == only else 0 for pid in host.workers()}
        return host, seen, connections
    return start


def test_kept_connections_of_one_worker_come_to_be_served_by_all(crowded):
    host, seen, connections = crowded()
    asked = CONNECTIONS

    def round_of_requests():
        nonlocal asked
        assert all(ask(host, connection) for connection in connections)
        asked += CONNECTIONS
        return all(count == CONNECTIONS // WORKERS for count in seen.open().values())
    wait_for("as many connections for each worker", round_of_requests, timeout=60)
    wait_for("all to be counted", lambda: sum(seen.ended().values()) == asked)
    before = seen.ended()
    for _ in range(5):
        round_of_requests()
    wait_for("all to be counted", lambda: sum(seen.ended().values()) == asked)
    after = seen.ended()
    assert {pid: after[pid] - before[pid] for pid in after} == dict.fromkeys(host.workers(), 10)
    assert seen.passed_on() >= CONNECTIONS - CONNECTIONS // WORKERS


@pytest.mark.parametrize("mode", ["off", "new"])
def test_kept_connections_stay_where_that_is_wanted(crowded, mode):
    host, seen, connections = crowded("--share-connections", mode)
    before = seen.open()
    for _ in range(50):
        assert all(ask(host, connection) for connection in connections)
    assert seen.open() == before
    assert seen.passed_on() == 0


def test_connections_with_requests_in_flight_stay(crowded):
    host, seen, connections = crowded()
    busy, free = connections[:6], connections[6:]
    for connection in busy:
        connection.send(fcgi.request(host.variables("/wait.ashx?ms=2000"), keep=True))

    def is_spread():
        assert all(ask(host, connection) for connection in free)
        return sorted(seen.open().values(), reverse=True)[0] <= 6
    wait_for("connections at rest to move", is_spread, timeout=60)
    for connection in busy:
        assert connection.read_response()[1].body == b"waited 2000 ms\n"


def test_requests_that_wait_for_threads_go_where_there_are_some(start_controlled, control):
    host = start_controlled("--blocking-threads", "1", workers=2)
    seen = Observed(host.installation.weft, control)
    wait_for("all workers", lambda: [worker["state"] for worker in seen.workers()] == ["ready"] * 2)

    def ask_all():
        # Four handlers and two threads: some wait, whoever has the connections. Their number is even all the time.
        for connection in connections:
            connection.send(fcgi.request(host.variables("/sleep.ashx?ms=20"), keep=True))
        return all(connection.read_response()[1].body == b"slept 20 ms\n" for connection in connections)

    with contextlib.ExitStack() as stack:
        with all_but_one_stopped(host.workers()):
            connections = [stack.enter_context(contextlib.closing(host.connect(timeout=30))) for _ in range(2)]
            assert all(ask(host, connection) for connection in connections)
        wait_for("both workers to work", lambda: ask_all() and min(seen.ended().values()) > 5, timeout=60)


def test_a_worker_that_dies_takes_no_connection_of_others_along(crowded):
    host, seen, connections = crowded()
    wait_for("as many connections for each worker", lambda: all(ask(host, connection) for connection in connections)
             and all(count == 2 for count in seen.open().values()), timeout=60)
    os.kill(host.workers()[-1], signal.SIGKILL)
    alive = 0
    for connection in connections:
        try:
            alive += ask(host, connection)
        except (OSError, AssertionError, EOFError):
            pass
    assert alive == CONNECTIONS - 2


# --- Behind web servers --------------------------------------------------------------------------------


class Clients:
    """Asks a site on several connections at once, again and again."""

    def __init__(self, site):
        self.site = site
        self.asked = 0

    def ask_at_once(self, target, clients=CONNECTIONS):
        barrier = threading.Barrier(clients)

        def ask_one():
            barrier.wait()
            return self.site.request("GET", target).status
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            statuses = [future.result() for future in [pool.submit(ask_one) for _ in range(clients)]]
        self.asked += clients
        assert statuses == [200] * clients


@pytest.fixture
def start_site(processes, installation, run_dir):
    def start(site_class):
        """The site with several workers: (site, how they are seen)."""
        class WithWorkers(site_class):
            workers = WORKERS
        site = WithWorkers(processes, installation, [f"control = {run_dir}/control.sock"])
        seen = Observed(installation.weft, run_dir / "control.sock")
        wait_for("all workers", lambda: [worker["state"] for worker in seen.workers()] == ["ready"] * WORKERS)
        return site, seen
    return start


@pytest.mark.parametrize("server", ["nginx", "apache-proxy"])
def test_what_a_web_server_keeps_is_served_by_all_workers(start_site, server):
    site, seen = start_site(servers.ALL[server])
    clients = Clients(site)
    with all_but_one_stopped(children_of(site.weft.pid)) as only:
        clients.ask_at_once("/wait.ashx?ms=300")
        assert {pid for pid, count in seen.ended().items() if count} == {only}
    wait_for("requests served by all workers", lambda: clients.ask_at_once("/wait.ashx?ms=20") or all(
        count >= 5 for count in seen.ended().values()), timeout=90)
    wait_for("all to be counted, once", lambda: sum(seen.ended().values()) == clients.asked)
    if server == "nginx":
        assert seen.passed_on() > 0


def test_what_overlaps_on_connections_is_not_lost(start_site):
    """HAProxy has fewer connections than there are workers, and several requests on each."""
    site, seen = start_site(servers.HAProxy)
    clients = Clients(site)
    with all_but_one_stopped(children_of(site.weft.pid)):
        clients.ask_at_once("/wait.ashx?ms=300")
    for _ in range(50):
        clients.ask_at_once("/wait.ashx?ms=5")
    wait_for("all to be counted, once", lambda: sum(seen.ended().values()) == clients.asked)


@pytest.mark.parametrize("server", ["lighttpd-socket", "nginx-no-keep-conn"])
def test_new_connections_are_served_by_all_workers(start_site, server):
    site, seen = start_site(servers.ALL[server])
    clients = Clients(site)
    wait_for("requests served by all workers", lambda: clients.ask_at_once("/wait.ashx?ms=20") or all(
        count >= 5 for count in seen.ended().values()), timeout=90)
    wait_for("all to be counted, once", lambda: sum(seen.ended().values()) == clients.asked)
