"""Process models and recycling of hosts that a web server starts: a supervisor between them, and no request lost by it."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import servers
from controlled import Controlled, has_no_worker, in_state, left
from host import says_hello
from load import Load, asking
from mapping_files import mapping
from processes import lines_of, wait_for
from spawners import apache, hosts, in_flight, lighttpd, parent_of, spawned, wait_until_gone

ON_DEMAND = ["process-model = ondemand", "workers = 2", "worker-idle-timeout = 300ms"]

# One host, so that one control socket and one log tell all.
kinds = pytest.mark.parametrize("kind", [lighttpd(), apache("FcgidMaxProcesses 1")], ids=["lighttpd", "apache"])


@pytest.fixture
def start_one(start_site, installation, control):
    """Starts a web server with one host that answers at a control socket: (site, controlled)."""
    def start(kind, *options):
        site = start_site(kind, f"control = {control}", *options)
        return site, Controlled(installation.weft, control, site.server)
    return start


def host_log(site):
    """What hosts say to standard error: mod_fcgid writes that to Apache's log."""
    return [line for name in ("lighttpd.log", "error.log") for line in lines_of(site.run_dir / name) if " weft[" in line]


# --- Without a supervisor -------------------------------------------------------------------------------

NEEDS_SUPERVISOR = [
    "--process-model=dynamic", "--process-model=ondemand", "--recycle-requests=10", "--recycle-age=1h", "--recycle-memory=1G",
    "--max-crashes=3/1m",
]


@pytest.mark.parametrize("option", NEEDS_SUPERVISOR)
@pytest.mark.parametrize("workers, words", [
    ([], "a process that a web server has started serves itself, and has nobody who could do that: give --workers 1 or more"),
    (["--workers", "0"], "a process that serves itself (--workers 0) has nobody who could do that: give --workers 1 or more"),
], ids=["default", "0"])
def test_what_needs_a_supervisor_is_refused(installation, listening, option, workers, words):
    result = subprocess.run([installation.weft, "serve", option, *workers, "--mappings", installation.mappings, "--modules",
                             installation.modules], stdin=listening, capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stdout) == (64, "")
    [line] = result.stderr.splitlines()
    assert f"{option.partition('=')[0]}: {words}" in line


@pytest.mark.parametrize("option", ["--control={run_dir}/c", "--metrics-listen=unix:{run_dir}/m", "--metrics-listen=tcp:127.0.0.1:0"])
@pytest.mark.parametrize("workers", [[], ["--workers", "0"]], ids=["default", "0"])
def test_what_a_supervisor_is_to_answer_is_refused(installation, listening, run_dir, option, workers):
    result = subprocess.run([installation.weft, "serve", option.format(run_dir=run_dir), *workers, "--mappings",
                             installation.mappings, "--modules", installation.modules],
                            stdin=listening, capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stdout) == (78, "")
    [line] = result.stderr.splitlines()
    assert f"{option.partition('=')[0]} needs a supervisor to answer on it, and there is none: give --workers 1 or more" in line
    assert not (run_dir / "c").exists() and not (run_dir / "m").exists()


@pytest.mark.parametrize("option", ["process-model = ondemand", "recycle-requests = 10"])
@pytest.mark.parametrize("kind", [lighttpd(min_procs=0), apache()], ids=["lighttpd", "apache"])
def test_a_web_server_logs_why_its_host_is_refused(processes, installation, kind, option):
    site = kind(processes, installation, weft_options=[option])
    assert site.request("GET", "/hello.ashx").status in (500, 503)
    name = option.partition(" ")[0]
    wait_for("the reason", lambda: [line for line in host_log(site) if line.endswith(
        f"error: --{name}: a process that a web server has started serves itself, and has nobody who could do that: give "
        "--workers 1 or more")])
    if isinstance(site, servers.LighttpdSpawn):
        wait_for("its exit code", lambda: [line for line in lines_of(site.run_dir / "error.log") if "child exited: 64 " in line])


def test_a_second_host_cannot_have_the_control_socket_of_the_first(processes, installation, control):
    site = lighttpd(min_procs=2, max_procs=2)(processes, installation, ["workers = 1", f"control = {control}"])
    wait_for("the reason", lambda: [line for line in host_log(site) if (
        f"error: cannot listen on --control {control}: another process answers there" in line)])
    wait_for("its exit code", lambda: [line for line in lines_of(site.run_dir / "error.log") if "child exited: 69 " in line])
    assert Controlled(installation.weft, control, site.server).status()["stage"] == "running"


# --- On demand, and as many as the load asks for --------------------------------------------------------


@kinds
def test_a_host_on_demand_has_workers_only_while_somebody_asks(start_one, kind):
    site, controlled = start_one(kind, *ON_DEMAND)
    [host] = spawned(site)
    for number in range(1, 3):
        controlled.wait_for("no worker", has_no_worker)
        assert hosts(site) == {host}
        assert says_hello(site.request("GET", "/hello.ashx"))
        assert controlled.status()["figures"]["workerDemandStarts"] == number
    now = controlled.wait_for("no worker", has_no_worker)
    assert (now["pid"], now["processModel"], left(now)) == (host, "ondemand", {"not_needed": 3})
    assert (now["figures"]["requests"]["endedBy"]["success"], now["figures"]["workerEnds"]) == (3, [])
    assert len(site.access_lines()) == 3


def test_a_dynamic_host_of_lighttpd_grows_and_shrinks(start_one):
    site, controlled = start_one(lighttpd(), "process-model = dynamic", "workers = 4", "worker-idle-timeout = 200ms",
                                 "blocking-threads = 1", "shed-target = 0ms", "queue-timeout = 1m")
    [host] = spawned(site)
    assert len(in_state(controlled.wait_for("a worker", lambda now: in_state(now, "ready")), "ready")) == 1
    held = []
    while len(in_state(controlled.status(), "ready")) < 3:
        assert len(held) < 100
        held.append(site.open("GET", "/sleep.ashx?ms=1500"))
        held[-1].send_all()
        time.sleep(0.4)
    for exchange in held:
        assert exchange.response().status == 200
        exchange.close()
    now = controlled.wait_for("fewer workers", lambda now: len(in_state(now, "ready")) <= 2 and not in_state(now, "retiring"))
    assert left(now)["not_needed"] >= 1
    assert says_hello(site.request("GET", "/hello.ashx"))
    assert (now["pid"], now["figures"]["workerEnds"]) == (host, [])


def test_a_dynamic_host_of_apache_has_one_worker_more_than_is_busy(start_one):
    """mod_fcgid sends a host one request at a time."""
    site, controlled = start_one(apache("FcgidMaxProcesses 1"), "process-model = dynamic", "workers = 4",
                                 "worker-idle-timeout = 200ms", "blocking-threads = 1")
    assert len(in_state(controlled.wait_for("a worker", lambda now: in_state(now, "ready")), "ready")) == 1
    with site.open("GET", "/sleep.ashx?ms=2500") as exchange:
        exchange.send_all()
        controlled.wait_for("another worker", lambda now: len(in_state(now, "ready")) == 2)
        assert exchange.response().status == 200
    assert says_hello(site.request("GET", "/hello.ashx"))
    assert controlled.status()["figures"]["workerEnds"] == []


# --- Recycling ------------------------------------------------------------------------------------------


def recycled(site):
    """How many workers were, of all hosts: what their logs say of their ends."""
    return len([line for line in host_log(site) if ", which was recycled, exited with code 0" in line])


def all_are_logged(site, count):
    """A request's line comes after its answer; and no line comes twice."""
    wait_for("the access log's lines", lambda: len(site.access_lines()) >= count)
    site.processes.stop(site.server)
    wait_until_gone(site, hosts(site))
    assert len(site.access_lines()) == count
    assert all(re.search(r" status=200 ", line) for line in site.access_lines())


@pytest.mark.parametrize("options", [
    ["recycle-requests = 25"],
    ["recycle-requests = 25", "process-model = dynamic"],
    ["recycle-requests = 25", "process-model = ondemand"],
    ["recycle-age = 300ms"],
], ids=lambda options: " ".join(options).replace(" = ", "="))
@pytest.mark.parametrize("kind", [lighttpd(), lighttpd(min_procs=2, max_procs=2), apache()],
                         ids=["lighttpd", "two of lighttpd", "apache"])
def test_recycling_loses_no_request(start_site, kind, options):
    site = start_site(kind, "workers = 2", *options)
    with Load(asking(site), clients=4) as load:
        wait_for("workers that were recycled", lambda: load.failures or recycled(site) >= 6, timeout=60)
        load.wait_for_more()
    assert load.failures == []
    all_are_logged(site, 1 + load.count())


@kinds
def test_recycling_for_memory_loses_no_request(processes, installation, modules, run_dir, kind):
    hoard = dataclasses.replace(installation, mappings=run_dir / "mappings", modules=run_dir / "modules")
    (hoard.mappings / "default").mkdir(parents=True)
    (hoard.mappings / "default" / "mapping.json").write_text(mapping(**{"hello.ashx": "troubles::Hoard, troubles"}))
    hoard.modules.mkdir()
    shutil.copy2(modules / "troubles.so", hoard.modules)
    site = kind(processes, hoard, weft_options=["workers = 1", "recycle-memory = 120M"])

    def ask(client, number):
        time.sleep(0.01)  # or a worker would have gigabytes before its memory is looked at again
        response = site.request("GET", "/hello.ashx?mb=1")
        return None if response.status == 200 else f"{response.status} {response.body[:200]!r}"

    with Load(ask, clients=2) as load:
        wait_for("workers that were recycled", lambda: load.failures or recycled(site) >= 2, timeout=60)
        load.wait_for_more()
    assert load.failures == []
    all_are_logged(site, load.count())


@pytest.mark.parametrize("kind, clients", [(lighttpd(), 3), (apache("FcgidMaxProcesses 1"), 1)], ids=["lighttpd", "apache"])
def test_on_demand_under_load_by_fits_and_starts_loses_no_request(start_one, kind, clients):
    site, controlled = start_one(kind, *ON_DEMAND, "recycle-requests = 40")
    asked = 1
    for _ in range(3):
        with Load(asking(site), clients) as load:
            load.wait_for_more(10)
        assert load.failures == []
        asked += load.count()
        controlled.wait_for("no worker", has_no_worker)
    now = controlled.status()
    assert now["figures"]["workerDemandStarts"] >= 2
    assert (now["figures"]["requests"]["endedBy"]["success"], now["figures"]["workerEnds"]) == (asked, [])
    all_are_logged(site, asked)


# --- The end of the spawner ----------------------------------------------------------------------------


def end(site, how):
    """Ends the web server, or kills whoever has started the hosts."""
    if how == "stopped":
        site.processes.stop(site.server)
    else:
        for spawner in {parent_of(pid) for pid in spawned(site)}:
            os.kill(spawner, signal.SIGKILL)


@pytest.mark.parametrize("how", ["stopped", "killed"])
@kinds
def test_a_host_without_workers_ends_with_the_web_server(start_one, kind, how):
    site, controlled = start_one(kind, *ON_DEMAND)
    controlled.wait_for("no worker", has_no_worker)
    before = hosts(site)
    assert len(before) == 1
    end(site, how)
    wait_until_gone(site, before)
    assert not hosts(site)


@pytest.mark.parametrize("how", ["stopped", "killed"])
@pytest.mark.parametrize("options", [
    ["process-model = dynamic", "workers = 3", "min-workers = 3"],
    ["process-model = dynamic", "workers = 3", "min-workers = 2", "recycle-age = 200ms"],
    ["workers = 2", "recycle-age = 200ms"],
], ids=["dynamic", "dynamic and recycled", "recycled"])
@kinds
def test_all_workers_end_with_the_web_server(start_one, kind, options, how):
    site, controlled = start_one(kind, *options)
    controlled.wait_for("workers", lambda now: len(in_state(now, "ready")) >= 2)
    if "recycle-age = 200ms" in options:
        controlled.wait_for("recycling", lambda now: left(now).get("age", 0) >= 2)
    assert len(hosts(site)) >= 3
    end(site, how)
    wait_for("the hosts' end", lambda: not hosts(site), timeout=20)


@pytest.mark.parametrize("options", [ON_DEMAND, ["process-model = dynamic", "workers = 2"], ["workers = 1", "recycle-age = 200ms"]],
                         ids=["ondemand", "dynamic", "recycled"])
@pytest.mark.parametrize("kind, how", [(lighttpd(), signal.SIGINT), (apache(), signal.SIGUSR1)], ids=["lighttpd", "apache"])
def test_a_request_in_flight_is_answered_when_the_web_server_ends_gracefully(start_site, kind, how, options):
    site = start_site(kind, *options)
    with in_flight(site):
        before = hosts(site)
        os.kill(site.server.pid, how)
    wait_until_gone(site, before)


@pytest.mark.parametrize("kind", [
    lighttpd(min_procs=0, max_procs=2, idle_timeout=3),
    apache("FcgidIdleTimeout 3", "FcgidIdleScanInterval 1", "FcgidMinProcessesPerClass 0"),
], ids=["lighttpd", "apache"])
def test_a_host_that_the_web_server_stops_for_its_idleness_may_be_without_workers(start_site, kind):
    site = start_site(kind, *ON_DEMAND)
    before = hosts(site)
    assert before
    wait_for("the idle host's end", lambda: not before & hosts(site), timeout=60)
    assert says_hello(site.request("GET", "/hello.ashx"))
