"""How many workers there are, those that are recycled, and crashes that end a host: none of the first two costs a request."""

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import time

import pytest

import fcgi
import servers
from controlled import Controlled, has_no_worker, in_state, left
from host import says_hello
from load import Load
from mapping_files import mapping
from processes import lines_of, wait_for
from test_figures import families, get, value

# Of each web server under load; a release is tried with more.
SECONDS = float(os.environ.get("TEST_SECONDS", "4"))

NOTHING_ELSE = ["--reload-interval", "0s"]


@pytest.fixture
def start_model(start_controlled, control):
    """Starts a host with a control socket: (host, controlled). Its first worker is ready."""
    def start_with_control(*options, **more):
        host = start_controlled(*options, **more)
        controlled = Controlled(host.installation.weft, control, host.process)
        controlled.wait_for("a worker", lambda now: in_state(now, "ready"))
        return host, controlled
    return start_with_control


@pytest.fixture
def start_on_demand(start_model):
    """The same on demand."""
    def start_with_model(*options, idle="300ms", workers=2, **more):
        return start_model("--process-model", "ondemand", "--worker-idle-timeout", idle, *options, workers=workers,
                           begins_with=1, **more)
    return start_with_model


@pytest.fixture
def start_dynamic(start_model):
    def start_with_model(*options, workers, **more):
        return start_model("--process-model", "dynamic", *options, workers=workers, begins_with=1, **more)
    return start_with_model


class Kept:
    """A connection that is kept, as a web server does."""

    def __init__(self, host):
        self.host, self.connection = host, host.connect(timeout=30)

    def ask(self, target="/hello.ashx"):
        self.connection.send(fcgi.request(self.host.variables(target), keep=True))
        return self.connection.read_response()[1]


def hello_of(site):
    def ask(client, number):
        response = site.request("GET", "/hello.ashx")
        return None if says_hello(response) else f"{response.status}: {response.body[:200]!r}"
    return ask


# --- On demand ------------------------------------------------------------------------------------------


def test_the_first_request_after_idleness_starts_a_worker_and_it_leaves_again(start_on_demand):
    host, controlled = start_on_demand()
    seen = set()
    for number in range(1, 4):
        controlled.wait_for("no worker", has_no_worker)
        assert host.workers() == []
        assert says_hello(host.get("/hello.ashx"))
        seen |= set(host.workers())
        now = controlled.status()
        assert now["figures"]["workerDemandStarts"] == number
        assert now["ready"]
    assert len(seen) == 3
    now = controlled.wait_for("no worker", has_no_worker)
    assert now["processModel"] == "ondemand"
    assert left(now) == {"not_needed": 4}
    assert (now["figures"]["requests"]["ended"], now["figures"]["workerEnds"]) == (3, [])
    assert now["ready"], "the next request is served"
    log = host.log.read_text()
    assert log.count("a connection came: starting a worker") == 3
    assert log.count(" is not needed: it leaves") == 4
    assert host.stop() == 0


def test_a_host_without_workers_does_nothing(start_on_demand):
    host, controlled = start_on_demand()
    controlled.wait_for("no worker", has_no_worker)

    def switches():
        status = open(f"/proc/{host.process.pid}/status", encoding="ascii").read()
        return int(status.split("voluntary_ctxt_switches:")[1].split()[0])

    def rests():
        before = switches()
        time.sleep(1.5)
        return switches() == before

    wait_for("rest", rests)


def test_kept_connections_outlive_the_worker(start_on_demand):
    host, controlled = start_on_demand()
    kept = [Kept(host) for _ in range(5)]
    try:
        for connection in kept:
            assert says_hello(connection.ask())
        for _ in range(2):
            controlled.wait_for("no worker", has_no_worker)
            # One is used again: the others come along, and stay open.
            assert says_hello(kept[3].ask())
            assert controlled.status()["figures"]["workerDemandStarts"] >= 1
        controlled.wait_for("no worker", has_no_worker)
        demands = controlled.status()["figures"]["workerDemandStarts"]
        # Who closes his own asks for nothing.
        kept.pop().connection.close()
        time.sleep(0.5)
        assert controlled.status()["figures"]["workerDemandStarts"] == demands
        assert all(says_hello(connection.ask()) for connection in kept)
        now = controlled.status()
        assert now["figures"]["connections"]["open"] == len(kept)
    finally:
        for connection in kept:
            connection.connection.close()


def test_kept_connections_outlive_a_reload_while_nobody_serves(start_on_demand):
    host, controlled = start_on_demand()
    kept = Kept(host)
    assert says_hello(kept.ask())
    controlled.wait_for("no worker", has_no_worker)
    assert controlled.reload().stdout == "generation 2 serves\n"
    assert says_hello(kept.ask())
    controlled.wait_for("no worker", has_no_worker)
    assert controlled.reload().stdout == "generation 3 serves\n"
    controlled.wait_for("no worker", has_no_worker)
    assert says_hello(kept.ask())
    kept.connection.close()


def test_requests_that_come_while_the_worker_leaves_are_answered(start_on_demand):
    host, controlled = start_on_demand("--recycle-requests", "7", idle="100ms")
    kept = [Kept(host) for _ in range(8)]

    def leaves():
        return len([line for line in lines_of(host.log) if line.endswith(" is not needed: it leaves")])

    def ask(client):
        time.sleep(client * 0.003)
        return says_hello(kept[client].ask()) and says_hello(host.get("/hello.ashx"))

    asked = rounds = 0
    with concurrent.futures.ThreadPoolExecutor(len(kept)) as clients:
        # A worker leaves in one of its supervisor's looks, of which there is one a second: what is asked comes right after.
        while rounds < 3 or controlled.status()["figures"]["workerDemandStarts"] < 2:
            assert rounds < 20
            rounds += 1
            before = leaves()
            assert says_hello(host.get("/hello.ashx"))
            wait_for("the worker's leave", lambda: leaves() > before, interval=0.001)
            assert all(clients.map(ask, range(len(kept))))
            asked += 1 + 2 * len(kept)
    now = controlled.wait_for("all requests", lambda now: now["figures"]["requests"]["inFlight"] == 0)
    assert now["figures"]["requests"]["endedBy"]["success"] == asked
    for connection in kept:
        connection.connection.close()


def test_sighup_without_a_worker_starts_one_that_reads_the_mappings(start_on_demand, run_dir):
    folder = run_dir / "mappings" / "default"
    folder.mkdir(parents=True)
    (folder / "mapping.json").write_text(mapping(a="samples::Hello, hello"))
    host, controlled = start_on_demand(*NOTHING_ELSE, mappings=folder.parent)
    controlled.wait_for("no worker", has_no_worker)
    (folder / "mapping.json").write_text("{")
    host.process.send_signal(signal.SIGHUP)
    now = controlled.wait_for("the outcome", lambda now: now["mappings"]["outcome"] == "refused")
    assert now["mappings"]["problemCount"] == 1
    controlled.wait_for("no worker", has_no_worker)
    # And it serves with those of before.
    assert host.get("/a", SCRIPT_NAME="/a").status == 200


def test_a_worker_that_cannot_start_is_tried_again_until_it_can(start_on_demand, installation, run_dir):
    host, controlled = start_on_demand()
    controlled.wait_for("no worker", has_no_worker)
    worker = None
    with host.begin("/hello.ashx") as connection:
        # The one that it starts is killed, ready or not; the connection waits for the next, or is lost with its worker.
        worker = wait_for("the worker", host.workers)[0]
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        with contextlib.suppress(Exception):
            connection.read_response()
    assert says_hello(host.get("/hello.ashx"))
    ends = controlled.status()["figures"]["workerEnds"]
    assert ends in ([], [{"reason": "SIGKILL", "count": 1}])


# --- As many as the load asks for -----------------------------------------------------------------------


def test_a_dynamic_host_grows_and_shrinks(start_dynamic):
    host, controlled = start_dynamic("--worker-idle-timeout", "200ms", "--blocking-threads", "2", "--shed-target", "0ms",
                                     "--queue-timeout", "1m", workers=4)
    now = controlled.status()
    assert (len(in_state(now, "ready")), len(in_state(now, "vacant"))) == (1, 3)
    # More and more handlers hold threads, of whichever worker has their connection.
    held = []
    while len(in_state(controlled.status(), "ready")) < 3:
        assert len(held) < 100
        held.append(host.begin("/sleep.ashx?ms=1500"))
        time.sleep(0.1)
    for connection in held:
        assert connection.read_response()[1].status == 200
        connection.close()
    now = controlled.wait_for("fewer workers", lambda now: len(in_state(now, "ready")) <= 2 and not in_state(now, "retiring"))
    assert left(now)["not_needed"] >= 1
    assert says_hello(host.get("/hello.ashx"))
    assert now["figures"]["workerEnds"] == []


def test_a_load_beyond_all_workers_is_told(start_dynamic, run_dir):
    host, controlled = start_dynamic("--blocking-threads", "1", "--metrics-listen", f"unix:{run_dir}/metrics.sock",
                                     workers=1)
    held = [host.begin("/sleep.ashx?ms=4000") for _ in range(3)]
    controlled.wait_for("the limit", lambda now: now["figures"]["workerLimitReached"] == 1)
    assert host.log.read_text().count("all 1 workers are busy, and there may be no more (--workers)") == 1
    found = families(get(f"unix:{run_dir}/metrics.sock", "/metrics")[2])
    assert value(found, "weft_worker_limit_reached", "weft_worker_limit_reached_total") == 1
    assert value(found, "weft_workers_wanted") == 1
    for connection in held:
        connection.close()


# --- Recycling ------------------------------------------------------------------------------------------


def test_a_worker_is_recycled_after_requests_and_its_connections_go_on(start_model):
    host, controlled = start_model("--recycle-requests", "20", "--recycle-jitter", "0", workers=1)
    first = host.workers()
    kept = [Kept(host) for _ in range(3)]
    for _ in range(20):
        assert all(says_hello(connection.ask()) for connection in kept)
    now = controlled.wait_for("another worker", lambda now: left(now).get("requests") and not in_state(now, "retiring"))
    assert host.workers() != first
    assert all(says_hello(connection.ask()) for connection in kept)
    assert now["figures"]["connections"]["accepted"] == controlled.status()["figures"]["connections"]["accepted"]
    assert now["figures"]["workerEnds"] == []
    log = host.log.read_text()
    assert f"worker {first[0]} is recycled after " in log and " requests (--recycle-requests)" in log
    assert f"worker {first[0]}, which was recycled, exited with code 0" in log
    # The other is ready before it leaves.
    lines = [line for line in lines_of(host.log) if line.endswith(" is ready") or "which was recycled" in line]
    assert lines[0].endswith(" is ready") and lines[1].endswith(" is ready") and "which was recycled" in lines[2]
    for connection in kept:
        connection.connection.close()


def test_a_worker_is_recycled_at_an_age_one_at_a_time(start_model):
    host, controlled = start_model("--recycle-age", "1s", "--recycle-jitter", "50", workers=3)
    first = set(host.workers())
    now = controlled.wait_for("other workers", lambda now: left(now).get("age", 0) >= 3 and not first & {
        worker["pid"] for worker in now["workers"]})
    assert now["figures"]["workerEnds"] == []
    # One at a time: between the line that one is recycled and the next such line another became ready.
    waiting = 0
    for line in lines_of(host.log):
        if " is recycled after " in line:
            waiting += 1
            assert waiting <= 1, host.log.read_text()
        elif line.endswith(" is ready") and waiting:
            waiting -= 1


def test_a_worker_is_recycled_for_its_memory(start_model, modules, run_dir):
    folder = run_dir / "mappings" / "default"
    folder.mkdir(parents=True)
    (folder / "mapping.json").write_text(mapping(hoard="troubles::Hoard, troubles"))
    host, controlled = start_model("--recycle-memory", "100M", "--modules", modules, workers=1, mappings=folder.parent)
    [first] = host.workers()
    for _ in range(3):
        assert host.get("/hoard?mb=50", SCRIPT_NAME="/hoard").status == 200
    # Its memory is looked at while it works.
    with contextlib.closing(host.connect()):
        now = controlled.wait_for("another worker", lambda now: left(now) == {"memory": 1} and not in_state(now, "retiring"))
    assert host.workers() != [first]
    assert now["figures"]["workerEnds"] == []


def test_a_bound_that_no_worker_can_keep_is_told_and_does_not_count(start_model):
    host, controlled = start_model("--recycle-memory", "64K", workers=1)
    first = host.workers()
    with contextlib.closing(host.connect()):
        time.sleep(1.5)
        assert says_hello(host.get("/hello.ashx"))
    assert host.workers() == first
    assert host.log.read_text().count("--recycle-memory is less than a worker has before its first request") == 1


def test_a_request_that_is_longer_than_the_drain_time_ends_well(start_model):
    host, controlled = start_model("--recycle-requests", "1", "--drain-timeout", "500ms", workers=1)
    with host.begin("/wait.ashx?ms=4000") as connection:
        assert says_hello(host.get("/hello.ashx"))
        controlled.wait_for("recycling", lambda now: in_state(now, "retiring"))
        assert controlled.status()["workers"][-1]["leavesFor"] == "requests"
        assert connection.read_response()[1].status == 200
    controlled.wait_for("the end", lambda now: not in_state(now, "retiring"))


def test_a_reload_while_workers_are_recycled_loses_nothing(start_model):
    host, controlled = start_model("--recycle-requests", "30", workers=2)
    kept = {}

    def ask(client, number):
        if number == 0:
            kept[client] = Kept(host)
        return None if says_hello(kept[client].ask()) else "no hello"

    with Load(ask) as load:
        for generation in range(2, 5):
            recycled = left(controlled.status()).get("requests", 0)
            assert controlled.reload().stdout == f"generation {generation} serves\n"
            controlled.wait_for("recycling", lambda now: left(now).get("requests", 0) > recycled)
    assert load.failures == []
    now = controlled.wait_for("all requests", lambda now: now["figures"]["requests"]["inFlight"] == 0)
    assert now["figures"]["requests"]["endedBy"]["success"] == load.count()
    assert now["figures"]["workerEnds"] == []
    assert host.stop() == 0


def test_a_stop_while_workers_are_recycled_is_a_stop(start_model):
    host, controlled = start_model("--recycle-age", "300ms", workers=2)
    controlled.wait_for("recycling", lambda now: left(now).get("age", 0) > 2)
    assert host.stop() == 0


@pytest.mark.parametrize("model", ["static", "dynamic", "ondemand"])
@pytest.mark.parametrize("server", ["nginx", "nginx-no-keep-conn", "lighttpd-socket", "haproxy", "apache-proxy"])
def test_recycling_behind_a_web_server_loses_nothing(processes, installation, run_dir, server, model):
    options = [f"process-model = {model}", "recycle-requests = 40", f"control = {run_dir}/control.sock"]
    if model != "static":
        options += ["worker-idle-timeout = 300ms"]
    site = servers.ALL[server](processes, installation, options)
    controlled = Controlled(installation.weft, run_dir / "control.sock", site.weft)
    for _ in range(2):
        with Load(hello_of(site)) as load:
            time.sleep(SECONDS / 2)
        assert load.failures == [] and load.count() > 40
        if model == "ondemand":
            controlled.wait_for("no worker", has_no_worker)
    now = controlled.wait_for("rest", lambda now: now["figures"]["requests"]["inFlight"] == 0)
    assert left(now)["requests"] > 1
    assert now["figures"]["workerEnds"] == []


# --- Crashes --------------------------------------------------------------------------------------------


def test_too_many_crashes_end_the_host_with_a_clear_message(start_model):
    host, controlled = start_model("--max-crashes", "3/10m", workers=2)
    kept = Kept(host)
    assert says_hello(kept.ask())
    for number in range(3):
        victims = in_state(controlled.wait_for("workers", lambda now: len(in_state(now, "ready")) == 2), "ready")
        os.kill(victims[-1], signal.SIGKILL)
        if number < 2:
            controlled.wait_for("the next", lambda now: victims[-1] not in [worker["pid"] for worker in now["workers"]])
    assert host.process.wait(20) == 70
    [line] = [line for line in lines_of(host.log) if "--max-crashes" in line]
    assert "stopping, 3 workers have crashed within 600s (--max-crashes)" in line
    kept.connection.close()


def test_workers_that_are_asked_to_end_are_no_crashes(start_model):
    host, controlled = start_model("--max-crashes", "1/10m", "--recycle-age", "200ms", workers=1)
    controlled.wait_for("recycling", lambda now: left(now).get("age", 0) > 2)
    os.kill(host.workers()[0], signal.SIGTERM)
    wait_for("a worker", lambda: host.workers())
    assert says_hello(host.get("/hello.ashx"))
    assert host.stop() == 0


# --- Options --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options, words", [
    (["--min-workers", "2"], "--min-workers: --process-model is static"),
    (["--process-model", "ondemand", "--max-spare-workers", "3"], "give --process-model dynamic"),
    (["--worker-idle-timeout", "3s"], "give --process-model dynamic or ondemand"),
    (["--process-model", "dynamic", "--workers", "0"], "a process that serves itself (--workers 0)"),
    (["--recycle-age", "1h", "--workers", "0"], "--recycle-age: a process that serves itself (--workers 0)"),
    (["--crash-dir", "/tmp", "--workers", "0"], "--crash-dir: a process that serves itself (--workers 0)"),
    (["--process-model", "dynamic", "--workers", "2", "--min-workers", "3"], "3 is more than --workers, 2"),
    (["--process-model", "dynamic", "--min-spare-workers", "2", "--max-spare-workers", "2"], "is not more than"),
    (["--max-crashes", "3"], "has no time"),
    (["--process-model", "lazy"], "is no process model"),
])
def test_options_that_contradict_are_refused(installation, options, words):
    result = subprocess.run([installation.weft, "serve", "--listen", "tcp:127.0.0.1:0", *options], capture_output=True,
                            text=True, timeout=20)
    assert result.returncode == 64
    assert words in result.stderr
