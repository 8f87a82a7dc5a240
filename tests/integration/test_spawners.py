"""What web servers do to the hosts that they start: they stop idle ones, replace them, restart themselves, are killed.

No host is left over, and no request is lost that could be kept.
"""

import os
import signal
import subprocess
import sys

import pytest

import fcgi
from host import says_hello
from load import Load
from processes import children_of, lines_of, processes_that_mention, wait_for
from spawners import apache, holds_a_request, hosts, in_flight, lighttpd, parent_of, spawned, wait_until_gone


# --- The end of the spawner ----------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", [lighttpd(), apache()], ids=["lighttpd", "apache"])
def test_hosts_end_with_the_web_server_that_is_killed(start_site, kind, workers):
    site = start_site(kind, f"workers = {workers}")
    before = hosts(site)
    assert len(before) >= 1 + workers
    for spawner in {parent_of(pid) for pid in spawned(site)}:
        os.kill(spawner, signal.SIGKILL)
    wait_until_gone(site, before)


def test_a_host_stays_when_spawn_fcgi_ends(processes, installation):
    run_dir = processes.run_dir
    link = run_dir / "weft"
    link.symlink_to(installation.weft)
    address = run_dir / "spawned.sock"
    result = subprocess.run(
        ["spawn-fcgi", "-s", address, "-P", run_dir / "pid", "--", link, "serve", "--mappings", installation.mappings, "--modules",
         installation.modules, "--log", run_dir / "spawned.log"], capture_output=True, text=True, timeout=20, check=True)
    pid = int((run_dir / "pid").read_text())
    assert f"spawned successfully: PID: {pid}" in result.stdout
    try:
        for _ in range(3):
            answer = fcgi.exchange(f"unix:{address}", fcgi.variables(installation.document_root, "GET", "/hello.ashx"))
            assert says_hello(answer)
        assert "stopping" not in (run_dir / "spawned.log").read_text()
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_for("its end", lambda: pid not in processes_that_mention(str(run_dir)))


# Starts what it is told to, and ends when a file is there.
STARTER = """
import os, subprocess, sys, time
subprocess.Popen(sys.argv[2:])
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
"""


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("outlives", [True, False])
def test_whether_a_host_outlives_whoever_started_it_is_an_option(processes, installation, listening, outlives, workers):
    run_dir = processes.run_dir
    starter = processes.start("starter", [
        sys.executable, "-c", STARTER, run_dir / "end", installation.weft, "serve", "--workers", workers, "--mappings",
        installation.mappings, "--modules", installation.modules, *(["--outlive-spawner"] if outlives else [])], stdin=listening)

    def variables(target):
        return fcgi.variables(installation.document_root, "GET", target)

    def ask():
        return fcgi.exchange(f"unix:{run_dir}/given.sock", variables("/hello.ashx"))

    assert says_hello(ask())
    (host,) = children_of(starter.pid)
    with fcgi.Connection(f"unix:{run_dir}/given.sock", 20) as connection:
        connection.send(fcgi.request(variables("/wait.ashx?ms=1000")))
        wait_for("the request", lambda: sum(holds_a_request(installation, pid) for pid in [host, *children_of(host)]))
        (run_dir / "end").touch()
        assert starter.wait(20) == 0
        assert connection.read_response()[1].status == 200
    if outlives:
        assert says_hello(ask()) and says_hello(ask())
        assert "stopping" not in (run_dir / "starter.log").read_text()
        os.kill(host, signal.SIGTERM)
    wait_for("the host's end", lambda: not os.path.exists(f"/proc/{host}"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_host_whose_socket_is_gone_already_ends(processes, installation, listening, workers):
    """As when a web server is stopped between its fork and its exec: the signal went to its own handler."""
    os.unlink(listening.getsockname())
    host = processes.start("weft", [installation.weft, "serve", "--workers", workers, "--mappings", installation.mappings,
                                    "--modules", installation.modules], stdin=listening)
    assert host.wait(20) == 0
    assert "the socket's file is gone" in (processes.run_dir / "weft.log").read_text()


# --- Apache's mod_fcgid --------------------------------------------------------------------------------


def test_apache_stops_idle_hosts_and_starts_others(start_site):
    site = start_site(apache("FcgidIdleTimeout 1", "FcgidIdleScanInterval 1", "FcgidMinProcessesPerClass 0"))
    wait_for("the idle host's end", lambda: not hosts(site), timeout=30)
    assert any("SIGTERM from process" in line for line in lines_of(site.run_dir / "error.log"))
    assert says_hello(site.request("GET", "/hello.ashx"))


def all_answered(site, seen, enough):
    """Asks with several clients until `enough` hosts have been seen; every answer must be right."""
    def ask(client, number):
        if client == 0:
            seen.update(spawned(site))
        response = site.request("GET", "/wait.ashx?ms=5" if number % 2 else "/hello.ashx")
        return None if response.status == 200 else f"{response.status} {response.body[:200]!r}"

    with Load(ask, clients=4) as load:
        wait_for("other hosts", lambda: load.failures or len(seen) >= enough, timeout=60)
    assert load.failures == []


@pytest.mark.parametrize("directives", [
    ("FcgidMaxRequestsPerProcess 5",),
    ("FcgidProcessLifeTime 1", "FcgidIdleScanInterval 1", "FcgidMinProcessesPerClass 0"),
], ids=["after some requests", "after some time"])
def test_apache_replaces_hosts_and_no_request_is_lost(start_site, directives):
    site = start_site(apache(*directives))
    seen = set()
    all_answered(site, seen, 12)
    wait_for("the end of all that were replaced", lambda: len(spawned(site)) <= 8, timeout=20)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGUSR1, signal.SIGHUP], ids=["graceful", "restart"])
def test_apache_restarts_and_leaves_no_host_of_before(start_site, how, workers):
    site = start_site(apache(), f"workers = {workers}")
    before = hosts(site)
    if how == signal.SIGUSR1:
        with in_flight(site):
            os.kill(site.server.pid, how)
    else:
        os.kill(site.server.pid, how)
    wait_until_gone(site, before)
    wait_for("Apache", lambda: says_hello(site.request("GET", "/hello.ashx")))
    assert not before & hosts(site)


@pytest.mark.parametrize("target", ["/wait.ashx?ms=3600000", "/sleep.ashx?ms=3600000"])
def test_apache_ends_a_host_that_is_busy_for_too_long(start_site, target):
    site = start_site(apache("FcgidBusyTimeout 1", "FcgidBusyScanInterval 1"))
    response = site.request("GET", target)
    assert response.status in (500, 503)
    wait_for("its end", lambda: len(hosts(site)) <= 1, timeout=30)
    assert says_hello(site.request("GET", "/hello.ashx"))


@pytest.mark.parametrize("workers", [0, 2])
def test_apache_stops_and_leaves_no_host(start_site, workers):
    site = start_site(apache(), f"workers = {workers}")
    before = hosts(site)
    assert before
    assert site.processes.stop(site.server) == 0
    wait_until_gone(site, before)


# --- lighttpd ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGUSR1, signal.SIGINT], ids=["restarts", "stops"])
def test_lighttpd_ends_gracefully(start_site, how, workers):
    site = start_site(lighttpd(), f"workers = {workers}")
    before = hosts(site)
    with in_flight(site):
        os.kill(site.server.pid, how)
    wait_until_gone(site, before)
    if how == signal.SIGUSR1:
        wait_for("lighttpd", lambda: says_hello(site.request("GET", "/hello.ashx")))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_lighttpd_with_workers_of_its_own_signals_its_whole_group(start_site, how, workers):
    site = start_site(lighttpd("server.max-worker = 2"), f"workers = {workers}")
    before = hosts(site)
    assert before
    os.kill(site.server.pid, how)
    site.server.wait(20)
    wait_until_gone(site, before)


def test_lighttpd_starts_a_host_for_the_first_request_and_ends_it_when_it_is_idle(start_site):
    site = start_site(lighttpd(min_procs=0, max_procs=2, idle_timeout=1))
    before = hosts(site)
    assert before
    wait_for("the idle host's end", lambda: not before & hosts(site), timeout=60)
    assert says_hello(site.request("GET", "/hello.ashx"))


def test_lighttpd_replaces_a_host_that_was_killed(start_site):
    site = start_site(lighttpd())
    (host,) = hosts(site)
    os.kill(host, signal.SIGKILL)
    wait_for("another", lambda: site.request("GET", "/hello.ashx").status == 200)
    assert host not in hosts(site)


def test_lighttpd_in_the_background_keeps_its_host(start_site):
    site = start_site(lighttpd(arguments=()))
    assert site.server.wait(20) == 0  # what was started; another is the server
    pid = int((site.run_dir / "lighttpd.pid").read_text())
    before = hosts(site)
    assert {parent_of(host) for host in before} == {pid}
    for _ in range(3):
        assert says_hello(site.request("GET", "/hello.ashx"))
    os.kill(pid, signal.SIGTERM)
    wait_until_gone(site, before)
