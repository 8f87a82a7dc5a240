"""What a host counts: `weft status`, metrics, readiness and `weft ping`, while its workers are busy, stopped or dead."""

import concurrent.futures
import json
import os
import signal
import socket
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import fcgi
from http_client import parse_headers
from processes import free_port, wait_for


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
    # All learn that their client has left but the one that is on a thread, and does not ask.
    status("none left but that of the thread", lambda now: now["figures"]["requests"]["inFlight"] == 1)


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


# --- Metrics and health ----------------------------------------------------------------------------------


@pytest.fixture(params=["unix", "tcp"])
def metrics_address(request, run_dir):
    return f"unix:{run_dir}/metrics.sock" if request.param == "unix" else f"tcp:127.0.0.1:{free_port()}"


def http(address, text, timeout=10):
    """Sends it as it is; the status, header fields and body of what comes, as far as anything does."""
    with fcgi.connect(address, timeout) as client:
        client.sendall(text.encode())
        data = b""
        while piece := client.recv(65536):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    status, headers = parse_headers(head)
    return int(status.split()[1]), {name.lower(): value for name, value in headers}, body.decode()


def get(address, path):
    return http(address, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")


def families(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(found, family, sample=None, **labels):
    return next(each.value for each in found[family].samples
                if each.name == (sample or family) and labels.items() <= each.labels.items())


def test_metrics_are_openmetrics(start_controlled, ask, metrics_address):
    host = start_controlled("--metrics-listen", metrics_address)
    wait_for("two ready workers", lambda: value(families(get(metrics_address, "/metrics")[2]), "weft_workers",
                                                state="ready") == 2)
    for _ in range(3):
        assert host.get("/hello").status == 200
    assert host.get("/none").status == 404
    wait_for("four requests", lambda: "weft_requests_total{status=\"4xx\"} 1" in get(metrics_address, "/metrics")[2])
    status, headers, text = get(metrics_address, "/metrics?x=1")
    assert (status, headers["content-type"]) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    found = families(text)
    assert value(found, "weft_requests", "weft_requests_total", status="2xx") == 3
    assert value(found, "weft_request_failures", "weft_request_failures_total", cause="file_not_found") == 1
    assert value(found, "weft_request_duration_seconds", "weft_request_duration_seconds_count", entry="hello") == 3
    assert value(found, "weft_request_duration_seconds", "weft_request_duration_seconds_bucket", entry="hello",
                 le="+Inf") == 3
    assert 0 < value(found, "weft_request_duration_seconds", "weft_request_duration_seconds_sum", entry="hello") < 30
    assert value(found, "weft_workers", state="ready") == 2
    assert value(found, "weft_listen_queue_limit", address=host.address) > 0
    assert found["weft_received_bytes"].unit == "bytes"
    for family in found.values():
        assert family.documentation.endswith(".")
    # The same on the control socket.
    assert families(ask("--format", "openmetrics")).keys() == found.keys()


def test_metrics_are_answered_while_no_worker_runs(start_controlled, metrics_address):
    host = start_controlled("--metrics-listen", metrics_address)
    wait_for("two ready workers", lambda: value(families(get(metrics_address, "/metrics")[2]), "weft_workers",
                                                state="ready") == 2)
    workers = host.workers()
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        assert get(metrics_address, "/live")[0] == 200
        assert value(families(get(metrics_address, "/metrics")[2]), "weft_workers", state="ready") == 2
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)


def test_live_and_ready_are_told_apart(start_controlled, metrics_address):
    host = start_controlled("--metrics-listen", metrics_address, "--drain-timeout", "60s", workers=1)
    wait_for("readiness", lambda: get(metrics_address, "/ready")[0] == 200)
    held = host.begin("/wait.ashx?ms=60000")
    wait_for("the request", lambda: value(families(get(metrics_address, "/metrics")[2]), "weft_requests_in_flight",
                                          state="on_fiber") == 1)
    host.process.send_signal(signal.SIGTERM)
    wait_for("the end of readiness", lambda: get(metrics_address, "/ready")[0] == 503)
    status, headers, text = get(metrics_address, "/ready")
    assert (status, text) == (503, "the host is draining\n") and "retry-after" in headers
    assert get(metrics_address, "/live")[0] == 200
    assert value(families(get(metrics_address, "/metrics")[2]), "weft_ready") == 0
    held.socket.close()
    assert host.process.wait(timeout=30) == 0


def test_http_that_is_wrong_is_answered_so(start_controlled, metrics_address):
    start_controlled("--metrics-listen", metrics_address, workers=1)
    assert get(metrics_address, "/")[0] == 404
    status, headers, _ = http(metrics_address, "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert http(metrics_address, "HEAD /live HTTP/1.1\r\nHost: a\r\n\r\n")[::2] == (200, "")
    assert http(metrics_address, "GET http://a/live HTTP/1.0\r\n\r\n")[0] == 200
    for wrong in ("GET\r\n\r\n", "\r\n\r\n", "\0\1\2\r\n\r\n", "GET /live HTTP/9.9\r\n\r\n", "GET /live HTTP/1.1\r\n: x\r\n\r\n"):
        assert http(metrics_address, wrong)[0] == 400, wrong
    assert http(metrics_address, "GET /live HTTP/1.1\r\nA: " + "a" * 9000 + "\r\n\r\n")[0] == 431
    # Those who say nothing hold up nobody, however many they are.
    silent = [fcgi.connect(metrics_address) for _ in range(40)]
    try:
        assert get(metrics_address, "/live")[0] == 200
    finally:
        for client in silent:
            client.close()


@pytest.mark.parametrize("options, sentence", [
    (["--workers", "0", "--metrics-listen", "unix:{run_dir}/m"], "--metrics-listen needs a supervisor"),
    (["--workers", "1", "--metrics-listen", "unix:{run_dir}/s"], "unix:{run_dir}/s is the path of --listen, too"),
    (["--workers", "1", "--metrics-listen", "unix:{run_dir}/m", "--control", "{run_dir}/m"],
     "unix:{run_dir}/m is the path of --control, too")])
def test_metrics_that_cannot_be_served_refuse_the_start(installation, run_dir, options, sentence):
    result = subprocess.run([installation.weft, "serve", "--listen", f"unix:{run_dir}/s",
                             *(option.format(run_dir=run_dir) for option in options)],
                            capture_output=True, text=True, timeout=30)
    assert result.returncode == 78 and sentence.format(run_dir=run_dir) in result.stderr
    assert not list(run_dir.glob("[sm]"))


# --- weft ping -------------------------------------------------------------------------------------------


@pytest.fixture
def ping(installation):
    def run_ping(*options, env=None):
        return subprocess.run([installation.weft, "ping", *options], capture_output=True, text=True, timeout=60,
                              env={**os.environ, **(env or {})})
    return run_ping


@pytest.mark.parametrize("listen", ["unix", "tcp4", "tcp6"])
def test_ping_tells_whether_a_worker_answers(start, ping, installation, run_dir, listen):
    host = start(workers=1, listen=listen)
    result = ping("--listen", host.address)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{host.address}: a worker has answered after ")
    config = run_dir / "weft.ini"
    config.write_text(f"listen = {host.address}\n")
    assert ping("--config", config).returncode == 0
    assert ping(env={"WEFT_LISTEN": host.address}).returncode == 0
    # Its queue takes the connection, but nobody answers.
    worker = host.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    try:
        result = ping("--listen", host.address, "--timeout", "300ms")
        assert (result.returncode, result.stdout) == (69, "") and "nobody answers in time" in result.stderr
    finally:
        os.kill(worker, signal.SIGCONT)
    host.stop()
    result = ping("--listen", host.address)
    assert result.returncode == 69 and "is the host running?" in result.stderr


def test_ping_asks_for_a_url(start, ping, installation):
    host = start(workers=1)
    result = ping("--listen", host.address, "--path", "/hello")
    assert (result.returncode, result.stderr) == (0, "") and "/hello: 200 after " in result.stdout
    assert ping("--listen", host.address, "--path", "/nowhere").returncode == 0
    assert ping("--listen", host.address, "--path", "/wait.ashx?ms=1", "--document-root",
                installation.document_root).stdout.startswith(f"{host.address}: /wait.ashx?ms=1: 200 ")
    result = ping("--listen", host.address, "--path", "/wait.ashx?ms=60000", "--document-root",
                  installation.document_root, "--timeout", "300ms")
    assert result.returncode == 69


def test_ping_of_a_host_that_refuses_is_1(start, ping):
    host = start("--max-requests", "1", workers=1)
    held = host.begin("/wait.ashx?ms=60000")
    wait_for("a refusal", lambda: host.get("/hello").status == 503)
    result = ping("--listen", host.address, "--path", "/hello")
    assert (result.returncode, result.stdout) == (1, "") and "/hello: 503 after" in result.stderr
    # It lives: that is asked for without a request.
    assert ping("--listen", host.address).returncode == 0
    held.socket.close()


def test_ping_without_a_host_says_what_to_do(ping, run_dir):
    environment = {"WEFT_LISTEN": "", "WEFT_CONFIG": ""}
    result = ping(env=environment)
    assert result.returncode == 64 and "give --listen ADDRESS" in result.stderr
    result = ping("--listen", "fd:0", env=environment)
    assert result.returncode == 64
    assert ping("--listen", "unix:/x", "--path", "hello", env=environment).returncode == 64
    # Somebody who speaks something else.
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{run_dir}/other")
        other.listen()

        def answer():
            client, _ = other.accept()
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return client
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            kept = pool.submit(answer)
            result = ping("--listen", f"unix:{run_dir}/other", env=environment)
            kept.result().close()
    assert result.returncode == 69 and "does not speak FastCGI" in result.stderr


# --- weft::StatusHandler -----------------------------------------------------------------------------------


@pytest.fixture
def mapped_status(run_dir):
    """Mappings with the status at /host-status, for local clients, and at /open/host-status for all; the sample site otherwise."""
    folder = run_dir / "mappings" / "default"
    (folder / "open").mkdir(parents=True)
    (folder / "mapping.json").write_text(json.dumps({"httpHandlers": [
        {"add": {"verb": "GET,HEAD", "path": "host-status", "type": "weft::StatusHandler"}},
        {"add": {"verb": "GET", "path": "/hello", "type": "samples::Hello, hello", "name": "hello"}}]}))
    (folder / "open" / "mapping.json").write_text(json.dumps({"sections": {"weft.status": "all"}}))
    return folder.parent


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mapped_status_tells_of_the_whole_host(start, mapped_status, workers):
    host = start(workers=workers, mappings=mapped_status)
    for _ in range(6):
        assert host.get("/hello").status == 200
    places = max(workers, 1)

    def told():
        now = json.loads(host.get("/host-status").body)
        return now if [worker["state"] for worker in now["workers"]] == ["ready"] * places else None
    now = wait_for("ready workers", told)
    assert now["pid"] == host.process.pid and now["ready"] is True
    assert entry(now, "hello")["count"] == 6
    # Its own request is in flight.
    assert now["figures"]["requests"]["states"]["onFiber"] >= 1
    assert now["figures"]["listenQueues"][0]["address"] == host.address
    assert now["figures"]["listenQueues"][0]["limit"] > 0
    metrics = host.get("/host-status", HTTP_ACCEPT="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert metrics.header("Content-Type").startswith("application/openmetrics-text")
    assert value(families(metrics.body.decode()), "weft_workers", state="ready") == places
    assert host.get("/host-status?format=openmetrics").body.endswith(b"# EOF\n")
    ping = host.get("/host-status?ping")
    assert (ping.status, ping.body) == (200, b"ready\n")


def test_a_mapped_status_is_for_local_clients_unless_the_mapping_says_otherwise(start, mapped_status):
    host = start(workers=0, mappings=mapped_status)
    assert host.get("/host-status", REMOTE_ADDR="192.0.2.7").status == 403
    assert host.get("/host-status?ping", REMOTE_ADDR="192.0.2.7").status == 403
    assert host.wait_for_access_line("status=403", "cause=client_not_local")
    assert host.get("/open/host-status", REMOTE_ADDR="192.0.2.7").status == 200


def test_a_mapped_status_answers_while_all_threads_are_busy(start, mapped_status):
    host = start("--blocking-threads", "1", "--queue-timeout", "1h", "--drain-timeout", "0s", workers=1,
                 mappings=mapped_status)
    held = [host.begin("/sleep.ashx?ms=60000") for _ in range(2)]

    def told():
        now = json.loads(host.get("/host-status").body)
        return now if in_state("waitingForThread", 1)(now) else None
    assert in_state("onThread", 1)(wait_for("a call that waits", told))
    for connection in held:
        connection.socket.close()
