"""The host by itself: processes and signals, listening, wrong options and mappings, and bad input on the socket."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import fcgi
from host import owners_of_connections, says_hello
from processes import memory_of, processes_that_mention, wait_for
from servers import sha256

KIB = 1024
MIB = 1024 * KIB


# --- Listening -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("listen", ["unix", "tcp4", "tcp6"])
def test_it_listens_where_it_is_told(start, listen, workers):
    host = start(listen=listen, workers=workers)
    assert says_hello(host.get("/hello.ashx"))
    assert host.stop() == 0
    assert not host.is_answering()


@pytest.mark.parametrize("options", [[], ["--listen", "fd:0"]])
def test_a_listening_socket_on_descriptor_0_is_served(processes, installation, run_dir, options):
    address = f"{run_dir}/inherited.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(16)
        process = processes.start(
            "weft", [installation.weft, "serve", "--mappings", installation.mappings,
                     "--modules", installation.modules, *options], stdin=listener)
    parameters = fcgi.variables(installation.document_root, "GET", "/hello.ashx")
    assert says_hello(fcgi.exchange(f"unix:{address}", parameters))
    assert processes.stop(process) == 0


def test_a_unix_socket_is_gone_after_the_end_and_a_stale_one_is_no_obstacle(start, run_dir):
    path = run_dir / "weft.sock"
    host = start(workers=1)
    assert host.stop() == 0
    assert not path.exists()
    host = start(workers=1, log="killed")
    workers = host.workers()
    os.kill(host.process.pid, signal.SIGKILL)
    host.process.wait(10)
    wait_for("the workers to follow their supervisor", lambda: not processes_that_mention(str(path)), timeout=5)
    assert workers and path.exists()
    assert says_hello(start(workers=1, log="again").get("/hello.ashx"))


@pytest.mark.parametrize("listen", ["unix", "tcp4"])
def test_an_address_in_use_is_refused_and_its_owner_serves_on(start, installation, listen):
    host = start(listen=listen)
    result = run_weft(installation, "serve", "--listen", host.address, "--workers", 1)
    assert result.returncode == 69, result.stderr
    assert host.address.partition(":")[2] in result.stderr
    assert says_hello(host.get("/hello.ashx"))


# --- Processes and signals -----------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("target", ["/wait.ashx?ms=1500", "/sleep.ashx?ms=1500"])
def test_sigterm_lets_a_running_request_complete(start, target, workers):
    host = start(workers=workers)
    with host.begin(target) as connection:
        time.sleep(0.5)
        host.process.send_signal(signal.SIGTERM)
        response = connection.read_response()[1]
    assert response.status == 200
    assert b"1500 ms" in response.body
    assert host.process.wait(10) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_sigterm_does_not_wait_for_idle_connections(start, workers):
    host = start(workers=workers)
    with host.connect() as idle, host.connect() as kept:
        kept.send(fcgi.request(host.variables("/hello.ashx"), keep=True))
        assert says_hello(kept.read_response()[1])
        host.process.send_signal(signal.SIGTERM)
        assert host.process.wait(5) == 0
        assert idle.is_closed_by_host() and kept.is_closed_by_host()


def test_sigterm_waits_for_a_half_received_request_no_longer_than_the_header_timeout(start):
    host = start("--header-timeout", "1s")
    with host.connect() as half, host.connect() as completed:
        request = fcgi.request(host.variables("/hello.ashx"))
        half.send(request[:5])
        completed.send(request[:5])
        time.sleep(0.1)
        host.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        completed.send(request[5:])
        assert says_hello(completed.read_response()[1])
        assert host.process.wait(5) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_the_drain_timeout_bounds_the_wait_for_running_requests(start, workers):
    host = start("--drain-timeout", "1s", workers=workers)
    with host.begin("/clock.ashx?seconds=60") as connection:
        while connection.read_record().type != fcgi.STDOUT:
            pass
        asked = time.monotonic()
        host.process.send_signal(signal.SIGTERM)
        host.process.wait(10)
        assert 0.5 < time.monotonic() - asked < 6


def test_a_killed_worker_takes_only_its_own_requests_along(start):
    host = start(listen="tcp4", workers=2)
    port = int(host.address.rpartition(":")[2])
    before = host.workers()
    connections = []
    try:
        for _ in range(40):
            connections.append(host.begin("/wait.ashx?ms=3000"))
            time.sleep(0.005)
        client_ports = {connection.socket.getsockname()[1]: connection for connection in connections}
        wait_for("the workers to take all connections",
                 lambda: set(client_ports) <= set(owners_of_connections(before, port)))
        owners = owners_of_connections(before, port)
        victim = owners[connections[0].socket.getsockname()[1]]

        failures = []
        load_ends = threading.Event()

        def load():
            while not load_ends.is_set():
                asked = time.monotonic()
                try:
                    assert says_hello(host.get("/hello-async.ashx", timeout=5))
                except (OSError, AssertionError) as problem:
                    failures.append((asked, problem))

        load_threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in load_threads:
            thread.start()
        time.sleep(0.2)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()

        def replaced():
            now = host.workers()
            return len(now) == 2 and victim not in now
        wait_for("a new worker", replaced, timeout=1.0)

        for client_port, connection in client_ports.items():
            if owners[client_port] == victim:
                assert connection.is_closed_by_host(), "a request of the killed worker was answered"
            else:
                assert connection.read_response()[1].status == 200
        load_ends.set()
        for thread in load_threads:
            thread.join(10)
        # What failed was in flight when the worker died: at most one request of each thread.
        assert len(failures) <= len(load_threads), failures
        assert all(asked <= killed for asked, _ in failures), failures
    finally:
        for connection in connections:
            connection.close()
    assert all(says_hello(host.get("/hello.ashx")) for _ in range(20))
    assert host.stop() == 0


def test_workers_end_when_their_supervisor_is_killed(start, run_dir):
    host = start(workers=2)
    assert len(host.workers()) == 2
    os.kill(host.process.pid, signal.SIGKILL)
    host.process.wait(10)
    wait_for("the workers to be gone", lambda: not processes_that_mention(str(run_dir)), timeout=5)


# --- The command line ----------------------------------------------------------------------------------


def run_weft(installation, *arguments, **options):
    """Runs weft to its end, which is to come soon."""
    return subprocess.run([str(installation.weft), *map(str, arguments)], stdin=subprocess.DEVNULL, timeout=20,
                          capture_output=True, text=True, **options)


def test_version_and_help_are_printed(installation):
    version = run_weft(installation, "--version")
    assert version.returncode == 0 and version.stdout.startswith("weft ")
    help_text = run_weft(installation, "--help")
    assert help_text.returncode == 0 and "serve" in help_text.stdout
    options = run_weft(installation, "serve", "--help")
    assert options.returncode == 0 and "--listen" in options.stdout


@pytest.mark.parametrize("arguments", [
    ["serve", "--no-such-option"],
    ["serve", "--workers", "many"],
    ["serve", "--listen", "somewhere"],
    ["serve", "--header-timeout", "soon"],
    ["serve", "--config", "/no/such/file.ini"],
    ["serve"],
    ["no-such-command"],
])
def test_a_wrong_command_line_is_one_clear_line_and_exit_code_64(installation, arguments):
    result = run_weft(installation, *arguments)
    assert result.returncode == 64, result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    named = next((word for word in reversed(arguments) if word != "serve"), "--listen")
    assert named.removeprefix("--") in result.stderr


def test_flags_win_over_the_file_and_the_file_over_the_environment(processes, installation, run_dir):
    paths = {name: run_dir / f"{name}.sock" for name in ("flag", "file", "environment")}
    with_listen = run_dir / "with-listen.ini"
    without_listen = run_dir / "without-listen.ini"
    others = f"mappings = {installation.mappings}\nmodules = {installation.modules}\nworkers = 0\n"
    with_listen.write_text(f"listen = unix:{paths['file']}\n{others}")
    without_listen.write_text(others)

    def serves_on(expected, *arguments):
        process = processes.start(f"weft-{expected}", [installation.weft, "serve", *arguments],
                                  env={**os.environ, "WEFT_LISTEN": f"unix:{paths['environment']}"})
        wait_for(f"weft on {expected}.sock", lambda: process.poll() is not None or paths[expected].exists())
        assert process.poll() is None
        assert [name for name, path in paths.items() if path.exists()] == [expected]
        assert processes.stop(process) == 0

    serves_on("environment", "--config", without_listen)
    serves_on("file", "--config", with_listen)
    serves_on("flag", "--config", with_listen, "--listen", f"unix:{paths['flag']}")


@pytest.mark.parametrize("command", ["serve", "check", "explain", "modules"])
def test_every_command_warns_of_an_unknown_variable_once_at_the_level_of_the_log(installation, run_dir, command):
    arguments = [command, "--mappings", run_dir / "none"] if command != "modules" else [command]
    arguments += ["/"] if command == "explain" else []
    environment = {**os.environ, "WEFT_WROKERS": "3"}

    def warnings(*options):
        return run_weft(installation, *arguments, *options, env=environment).stderr.count("WEFT_WROKERS")
    assert warnings() == 1
    assert warnings("--log-level", "error") == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_the_memory_reserve_is_as_large_as_it_is_told(start, workers):
    host = start("--memory-reserve", "128m", workers=workers)
    assert says_hello(host.get("/hello.ashx"))  # it has started
    assert memory_of(host.workers()[0] if workers else host.process.pid, "VmRSS") > 128 * KIB  # KiB


# --- Mappings and modules at the start -----------------------------------------------------------------


def refused_start(installation, run_dir, mapping, modules=None, workers=0):
    """The lines of a start that `mapping`, the text of the site's mapping.json, must keep from happening."""
    site = run_dir / "mappings" / "default"
    site.mkdir(parents=True)
    (site / "mapping.json").write_text(mapping)
    result = run_weft(installation, "serve", "--listen", f"unix:{run_dir}/weft.sock", "--workers", workers,
                      "--mappings", run_dir / "mappings", "--modules", modules or installation.modules)
    assert result.returncode == 78, f"exit code {result.returncode}: {result.stderr}"
    assert not (run_dir / "weft.sock").exists()
    return result.stderr.splitlines()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mapping_with_a_syntax_error_refuses_the_start(installation, run_dir, workers):
    lines = refused_start(installation, run_dir, '{\n  "httpHandlers": [\n    { "add": }\n  ]\n}\n', workers=workers)
    place = f"{run_dir}/mappings/default/mapping.json:3:14: "
    assert len([line for line in lines if place in line]) == 1, lines


@pytest.mark.parametrize("workers", [0, 2])
def test_every_unknown_type_is_listed_with_its_place(installation, run_dir, workers):
    lines = refused_start(installation, run_dir, """{
  "httpHandlers": [
    { "add": { "verb": "*", "path": "/one", "type": "samples::NoSuchClass, hello" } },
    { "add": { "verb": "*", "path": "/two", "type": "NoSuchBuiltIn" } },
    { "add": { "verb": "*", "path": "/three", "type": "samples::Hello, no-such-module" } }
  ]
}
""", workers=workers)
    for line_number, name in ((3, "samples::NoSuchClass"), (4, "NoSuchBuiltIn"), (5, "no-such-module")):
        place = f"{run_dir}/mappings/default/mapping.json:{line_number}:"
        assert len([line for line in lines if place in line and name in line]) == 1, lines


def test_a_module_that_is_none_is_said_to_be_none(installation, run_dir):
    modules = run_dir / "modules"
    modules.mkdir()
    (modules / "text.so").write_text("This is no shared library.\n")
    # A shared library, but without the entry point of a module.
    shutil.copy(next(installation.libraries.glob("libweft.so*")), modules / "library.so")
    lines = refused_start(installation, run_dir, """{
  "httpHandlers": [
    { "add": { "verb": "*", "path": "/text", "type": "samples::Hello, text" } },
    { "add": { "verb": "*", "path": "/library", "type": "samples::Hello, library" } }
  ]
}
""", modules=modules)
    assert len([line for line in lines if "mapping.json:3:" in line and "text.so" in line]) == 1, lines
    assert len([line for line in lines if "mapping.json:4:" in line and "library.so" in line]) == 1, lines


def test_an_ashx_file_that_names_no_class_is_a_500_for_itself_alone(start, installation, run_dir):
    www = run_dir / "www"
    shutil.copytree(installation.document_root, www)
    (www / "no-module.ashx").write_text('<%@ WebHandler Class="samples::Hello, no-such-module" %>\n')
    (www / "no-class.ashx").write_text('<%@ WebHandler Class="samples::NoSuchClass, hello" %>\n')
    (www / "no-directive.ashx").write_text("hello\n")
    host = start()
    for name in ("no-module", "no-class", "no-directive"):
        response = fcgi.exchange(host.address, fcgi.variables(www, "GET", f"/{name}.ashx"))
        assert response.status == 500
        assert b"no-such-module" not in response.body and b"NoSuchClass" not in response.body
    assert says_hello(fcgi.exchange(host.address, fcgi.variables(www, "GET", "/hello.ashx")))
    for name in ("no-such-module", "NoSuchClass", "no-directive.ashx"):
        wait_for(f"{name} in the log", lambda name=name: name in host.log.read_text())


# --- Mappings at work ----------------------------------------------------------------------------------


def test_a_path_that_names_no_file_reaches_its_handler_or_405(start):
    host = start()
    assert says_hello(host.get("/hello", SCRIPT_NAME="/hello"))
    response = host.get("/hello", method="POST", SCRIPT_NAME="/hello")
    assert response.status == 405
    assert sorted(verb.strip() for verb in response.header("Allow").split(",")) == ["GET", "HEAD", "OPTIONS"]
    assert host.get("/nothing", SCRIPT_NAME="/nothing").status == 404


# --- Bad input -----------------------------------------------------------------------------------------


def test_garbage_closes_its_own_connection_and_no_other(start):
    host = start()
    with host.begin("/wait.ashx?ms=1000") as good:
        for garbage in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", bytes(64), b"\xff" * 4096,
                        fcgi.begin() + b"garbage!" * 100):
            with host.connect() as bad:
                try:
                    bad.send(garbage)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                assert bad.is_closed_by_host(), f"{garbage[:20]!r} did not close the connection"
        assert good.read_response()[1].status == 200
    assert says_hello(host.get("/hello.ashx"))


@pytest.mark.parametrize("part", ["half a record's header", "half a record", "half of the parameters"])
def test_silence_within_a_request_is_closed_after_the_header_timeout(start, part):
    host = start("--header-timeout", "1s")
    whole = fcgi.request(host.variables("/hello.ashx"))
    begin = len(fcgi.begin())
    sent = {
        "half a record's header": whole[:4],
        "half a record": whole[:begin + 100],
        "half of the parameters": fcgi.begin() + fcgi.stream(
            fcgi.PARAMS, 1, fcgi.pair("REQUEST_METHOD", "GET")),
    }[part]
    with host.connect() as silent:
        began = time.monotonic()
        silent.send(sent)
        assert says_hello(host.get("/hello.ashx"))
        assert silent.is_closed_by_host()
        waited = time.monotonic() - began
    assert 0.9 < waited < 4, f"closed after {waited:.2f} s"
    assert says_hello(host.get("/hello.ashx"))


def test_too_many_parameters_are_431(start):
    host = start("--max-params-bytes", 8 * MIB)
    parameters = b"".join(fcgi.pair(name, value) for name, value in host.variables("/echo.ashx").items())
    parameters += b"".join(fcgi.pair(f"HTTP_X_{number}", "v") for number in range(100_000))
    assert fcgi.exchange(host.address, parameters).status == 431
    assert says_hello(host.get("/hello.ashx"))


def test_more_bytes_of_parameters_than_allowed_are_431(start):
    host = start("--max-params-bytes", 16 * KIB)
    assert host.get("/echo.ashx", HTTP_X_LONG="v" * (12 * KIB)).status == 200
    assert host.get("/echo.ashx", HTTP_X_LONG="v" * (17 * KIB)).status == 431
    assert host.get("/echo.ashx", HTTP_X_LONG="v" * (900 * KIB)).status == 431
    assert says_hello(host.get("/hello.ashx"))


@pytest.mark.parametrize("name", ["HTTP_X=Y", "HTTP_X\0Y"])
def test_a_parameter_name_that_cannot_be_one_is_400(start, name):
    host = start()
    assert host.get("/echo.ashx", **{name: "value"}).status == 400
    assert says_hello(host.get("/hello.ashx"))


@pytest.mark.parametrize("lengths", ["name", "value", "both"])
def test_an_announced_length_of_2_gb_is_400_and_costs_no_memory(start, lengths):
    host = start()
    assert says_hello(host.get("/hello.ashx"))
    resident, virtual = memory_of(host.process.pid, "VmHWM"), memory_of(host.process.pid, "VmPeak")
    huge = b"\xff\xff\xff\xff"
    announced = (huge if lengths != "value" else b"\x04") + (huge if lengths != "name" else b"\x04") + b"NAME"
    for _ in range(20):
        assert fcgi.exchange(host.address, announced).status == 400
    assert says_hello(host.get("/hello.ashx"))
    assert memory_of(host.process.pid, "VmHWM") - resident < 8 * KIB
    # Address space grows by itself, 64 MiB for each thread's heap; 2 GB at once would show.
    assert memory_of(host.process.pid, "VmPeak") - virtual < 1024 * KIB


def test_a_content_length_of_2_gb_is_413_and_costs_no_memory(start):
    host = start("--max-request-bytes", 64 * MIB)
    assert says_hello(host.get("/hello.ashx"))
    resident = memory_of(host.process.pid, "VmHWM")
    assert host.get("/echo.ashx", method="POST", content_length=2**31).status == 413
    assert memory_of(host.process.pid, "VmHWM") - resident < 8 * KIB


@pytest.mark.parametrize("length_is_announced", [True, False])
def test_a_body_over_the_limit_is_413(start, length_is_announced):
    host = start("--max-request-bytes", 64 * KIB)
    for size, status in ((64 * KIB, 200), (64 * KIB + 1, 413), (2 * MIB, 413)):
        parameters = host.variables("/echo.ashx", "POST", size if length_is_announced else None)
        assert fcgi.exchange(host.address, parameters, bytes(size)).status == status
    assert says_hello(host.get("/hello.ashx"))


def test_a_body_shorter_than_its_content_length_is_400(start):
    host = start()
    parameters = host.variables("/echo.ashx", "POST", 1000)
    assert fcgi.exchange(host.address, parameters, bytes(999)).status == 400
    assert fcgi.exchange(host.address, parameters, b"").status == 400


def test_a_body_cut_by_the_end_of_the_connection_is_a_client_gone(start):
    host = start()
    whole = fcgi.request(host.variables("/echo.ashx", "POST", 1000), bytes(500))
    with host.connect() as connection:
        connection.send(whole[:-8])  # without the empty record that would end the body
        time.sleep(0.1)
    host.wait_for_access_line("/echo.ashx", "status=499")
    assert not host.access_lines("/echo.ashx", "status=200")


def test_bytes_after_the_announced_body_are_not_part_of_it(start):
    host = start()
    response = fcgi.exchange(host.address, host.variables("/echo.ashx", "POST", 3), b"abcdef")
    if response.status == 200:
        assert json.loads(response.body)["body"] == {"length": 3, "sha256": sha256(b"abc")}
    else:
        assert response.status == 400


def test_a_content_length_of_0_needs_no_end_of_the_body(start):
    # HAProxy 2.6 never ends an empty chunked body: no STDIN record comes at all.
    host = start()
    parameters = b"".join(fcgi.pair(name, value)
                          for name, value in host.variables("/echo.ashx", "POST", 0).items())
    with host.connect() as connection:
        connection.send(fcgi.begin() + fcgi.stream(fcgi.PARAMS, 1, parameters) + fcgi.record(fcgi.PARAMS, 1))
        response = connection.read_response()[1]
    assert response.status == 200
    assert json.loads(response.body)["body"]["length"] == 0


def test_http_proxy_is_dropped_even_when_the_web_server_passes_it_on(start):
    host = start()
    seen = json.loads(host.get("/echo.ashx", HTTP_PROXY="http://attacker.example/").body)
    assert "attacker.example" not in json.dumps(seen)


@pytest.mark.parametrize("path", ["/../hello.ashx", "/a/../../hello.ashx", "/hello.ashx\0", "/a\\hello.ashx",
                                  "hello.ashx", ""])
def test_a_path_that_cannot_be_one_is_400(start, path):
    host = start()
    response = host.get("/hello.ashx", SCRIPT_NAME=path, REQUEST_URI="/x")
    assert response.status == 400, response
    assert says_hello(host.get("/hello.ashx"))


def test_a_line_of_the_log_cannot_be_forged(start):
    host = start()
    forged = 'GET\n2026-01-01T00:00:00Z weft[1] info: forged="1" status=200\r\x1b[2J\0'
    for name in ("REQUEST_METHOD", "REQUEST_URI", "REMOTE_ADDR", "HTTP_HOST", "SCRIPT_FILENAME", "CONTENT_LENGTH"):
        host.get("/echo.ashx", **{name: forged})
    assert says_hello(host.get("/hello.ashx?last"))
    host.wait_for_access_line("/hello.ashx?last")
    for log in (host.access_log, host.log):
        text = log.read_bytes()
        assert not any(byte < 32 and byte != 10 for byte in text)
        assert not any(line.startswith(b"2026-01-01") for line in text.splitlines())


def test_a_peer_that_never_reads_is_closed_after_the_send_timeout(start, run_dir):
    www = run_dir / "www"
    www.mkdir()
    (www / "large.bin").write_bytes(bytes(32 * MIB))
    host = start("--send-timeout", "500ms")
    parameters = fcgi.variables(www, "GET", "/large.bin", SCRIPT_NAME="/large.bin",
                                SCRIPT_FILENAME=f"{www}/large.bin")
    with host.connect() as connection:
        connection.send(fcgi.request(parameters))
        host.wait_for_access_line("/large.bin", "status=")
        assert says_hello(host.get("/hello.ashx"))
        assert connection.is_closed_by_host()


def test_requests_beyond_the_limit_are_503_at_once(start):
    host = start("--max-requests", 10)
    connections = [host.begin("/wait.ashx?ms=1500") for _ in range(10)]
    try:
        time.sleep(0.3)
        asked = time.monotonic()
        response = host.get("/hello-async.ashx")
        assert response.status == 503
        assert int(response.header("Retry-After")) >= 1
        assert time.monotonic() - asked < 0.5
        assert [connection.read_response()[1].status for connection in connections] == [200] * 10
    finally:
        for connection in connections:
            connection.close()
    assert says_hello(host.get("/hello-async.ashx"))


def test_plain_handlers_beyond_threads_and_queue_are_503(start):
    host = start("--blocking-threads", 2, "--blocking-queue", 3)
    connections = [host.begin("/sleep.ashx?ms=500") for _ in range(2)]
    try:
        time.sleep(0.2)  # both threads have taken their call, so that the queue is empty
        connections += [host.begin("/sleep.ashx?ms=500") for _ in range(10)]
        statuses = sorted(connection.read_response()[1].status for connection in connections)
    finally:
        for connection in connections:
            connection.close()
    assert statuses == [200] * 5 + [503] * 7
    assert says_hello(host.get("/hello.ashx"))


# --- The protocol on one connection --------------------------------------------------------------------


def test_a_kept_connection_serves_one_request_after_another(start):
    host = start()
    with host.connect() as connection:
        for number in range(50):
            body = os.urandom(number * 100)
            parameters = host.variables(f"/echo.ashx?n={number}", "POST", len(body))
            connection.send(fcgi.request(parameters, body, keep=True))
            seen = json.loads(connection.read_response()[1].body)
            assert seen["query"] == {"n": [str(number)]}
            assert seen["body"] == {"length": len(body), "sha256": sha256(body)}


def test_pipelined_requests_are_all_answered(start):
    host = start()
    with host.connect() as connection:
        connection.send(b"".join(
            fcgi.request(host.variables(f"/echo.ashx?n={number}"), request_id=number, keep=True)
            for number in range(1, 51)))
        answers = dict(connection.read_response() for _ in range(50))
    assert {number: json.loads(answer.body)["queryString"] for number, answer in answers.items()} == {
        number: f"n={number}" for number in range(1, 51)}


def test_a_slow_request_does_not_delay_others_on_its_connection(start):
    host = start()
    with host.connect() as connection:
        connection.send(fcgi.request(host.variables("/wait.ashx?ms=1500"), request_id=1, keep=True))
        connection.send(fcgi.request(host.variables("/sleep.ashx?ms=1000"), request_id=2, keep=True))
        connection.send(fcgi.request(host.variables("/hello-async.ashx"), request_id=3, keep=True))
        assert [connection.read_response()[0] for _ in range(3)] == [3, 2, 1]


def test_get_values_is_answered_with_the_truth(start):
    host = start()
    with host.connect() as connection:
        names = ("FCGI_MPXS_CONNS", "FCGI_MAX_REQS", "FCGI_MAX_CONNS", "FCGI_NO_SUCH_NAME")
        connection.send(fcgi.record(fcgi.GET_VALUES, 0, b"".join(fcgi.pair(name, "") for name in names)))
        answer = connection.read_record()
        assert (answer.type, answer.id) == (fcgi.GET_VALUES_RESULT, 0)
        assert fcgi.pair("FCGI_MPXS_CONNS", "1") in answer.content
        assert b"FCGI_MAX_REQS" in answer.content and b"FCGI_MAX_CONNS" in answer.content
        assert b"FCGI_NO_SUCH_NAME" not in answer.content
        connection.send(fcgi.request(host.variables("/hello.ashx")))
        assert says_hello(connection.read_response()[1])


def test_an_aborted_request_stops_its_handler_and_leaves_the_connection(start):
    host = start()
    with host.connect() as connection:
        connection.send(fcgi.request(host.variables("/clock.ashx?seconds=60"), request_id=1, keep=True))
        while connection.read_record().type != fcgi.STDOUT:
            pass
        connection.send(fcgi.record(fcgi.ABORT_REQUEST, 1))
        ended = connection.read_record()
        while ended.type != fcgi.END_REQUEST:
            ended = connection.read_record()
        assert ended.id == 1
        connection.send(fcgi.request(host.variables("/hello.ashx"), request_id=1, keep=True))
        assert says_hello(connection.read_response()[1])
    host.wait_for_access_line("/clock.ashx", "status=499")


def test_records_may_be_cut_anywhere(start):
    host = start()
    body = os.urandom(700)
    parameters = b"".join(fcgi.pair(name, value)
                          for name, value in host.variables("/echo.ashx", "POST", len(body)).items())
    # Each byte in a record of its own, padded, in writes whose borders agree with no record's.
    message = (fcgi.begin() + b"".join(fcgi.record(fcgi.PARAMS, 1, bytes([byte]), byte % 7) for byte in parameters)
               + fcgi.record(fcgi.PARAMS, 1, b"", 5)
               + b"".join(fcgi.record(fcgi.STDIN, 1, bytes([byte]), byte % 5) for byte in body)
               + fcgi.record(fcgi.STDIN, 1, b"", 255))
    with host.connect() as connection:
        for at in range(0, len(message), 13):
            connection.send(message[at:at + 13])
        seen = json.loads(connection.read_response()[1].body)
    assert seen["body"] == {"length": len(body), "sha256": sha256(body)}


def test_interleaved_bodies_stay_apart(start):
    host = start()
    bodies = {number: os.urandom(50_000 + number) for number in range(1, 9)}
    with host.connect() as connection:
        for number, body in bodies.items():
            parameters = host.variables(f"/echo.ashx?n={number}", "POST", len(body))
            message = fcgi.request(parameters, request_id=number, keep=True)
            connection.send(message[:-8])  # all but the end of an empty body
        for at in range(0, 60_000, 1000):
            for number, body in bodies.items():
                if body[at:at + 1000]:
                    connection.send(fcgi.record(fcgi.STDIN, number, body[at:at + 1000]))
        for number in bodies:
            connection.send(fcgi.record(fcgi.STDIN, number))
        answers = dict(connection.read_response() for _ in bodies)
    for number, body in bodies.items():
        seen = json.loads(answers[number].body)
        assert seen["queryString"] == f"n={number}"
        assert seen["body"] == {"length": len(body), "sha256": sha256(body)}


@pytest.mark.parametrize("target", ["/hello.ashx", "/hello-async.ashx"])
def test_a_large_body_that_the_handler_ignores_does_not_spoil_the_connection(start, target):
    host = start()
    with host.connect(timeout=15) as connection:
        for _ in range(3):
            size = 20 * MIB
            connection.send(fcgi.request(host.variables(target, "POST", size), bytes(size), keep=True))
            assert says_hello(connection.read_response()[1])


def test_a_peer_that_sends_everything_before_it_reads_is_answered(start, installation, run_dir):
    # Caddy does so; a host that waits for the response to be read, and meanwhile does not read, would wait for ever.
    www = run_dir / "www"
    www.mkdir()
    large = os.urandom(8 * MIB)
    (www / "large.bin").write_bytes(large)
    host = start()
    parameters = fcgi.variables(www, "GET", "/large.bin", 20 * MIB, SCRIPT_NAME="/large.bin",
                                SCRIPT_FILENAME=f"{www}/large.bin")
    with host.connect(timeout=20) as connection:
        connection.send(fcgi.request(parameters, bytes(20 * MIB)))
        response = connection.read_response()[1]
    assert response.status == 200
    assert sha256(response.body) == sha256(large)


def test_an_unknown_role_is_refused_by_name(start):
    host = start()
    with host.connect() as connection:
        connection.send(fcgi.begin(request_id=1, keep=True, role=3))
        ended = connection.read_record()
        assert (ended.type, ended.id, ended.content[4]) == (fcgi.END_REQUEST, 1, 3)
        connection.send(fcgi.request(host.variables("/hello.ashx"), request_id=2, keep=True))
        assert says_hello(connection.read_response()[1])
