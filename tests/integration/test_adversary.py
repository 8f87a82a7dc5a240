"""What an adversary found: peers that dawdle, leave or lie, and a system that runs out of something.

Each test states what README, docs/ or `weft serve --help` promise.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import fcgi
from host import Host, says_hello
from processes import cpu_seconds_of, memory_of, wait_for
from servers import ROOT

KIB = 1024
MIB = 1024 * KIB

DIRECT = """{
  "httpRuntime": { %s },
  "httpHandlers": [
    { "add": { "verb": "*", "path": "/hello-async", "type": "samples::HelloAsync, hello" } },
    { "add": { "verb": "*", "path": "/hello", "type": "samples::Hello, hello" } },
    { "add": { "verb": "*", "path": "/wait", "type": "samples::Wait, waiting" } },
    { "add": { "verb": "*", "path": "/echo", "type": "samples::Echo, echo" } }
    %s
  ]
}
"""


@pytest.fixture
def mapped(run_dir):
    """Writes a folder of mappings: the samples by paths that name no file, so that no .ashx file is read."""
    def write(runtime="", *entries):
        site = run_dir / "mappings" / "default"
        site.mkdir(parents=True)
        added = "".join(f', {{ "add": {{ "verb": "*", "path": "{path}", "type": "{type_text}" }} }}'
                        for path, type_text in entries)
        (site / "mapping.json").write_text(DIRECT % (runtime, added))
        return run_dir / "mappings"
    return write


@pytest.fixture
def modules_with(installation, run_dir):
    """Makes a copy of the folder of modules, with one more of this source: adversary.so."""
    def build(source):
        modules = run_dir / "modules"
        shutil.copytree(installation.modules, modules)
        (run_dir / "adversary.cpp").write_text("#include <weft/weft.hpp>\n" + source)
        flags = ["-fsanitize=address"] if installation.weft.parents[1].name == "asan" else []
        subprocess.run(["c++", "-std=c++20", "-O1", "-shared", "-fPIC", "-fvisibility=hidden",
                        "-fstack-clash-protection", *flags,
                        f"-I{ROOT}/handlers/include", run_dir / "adversary.cpp", "-o", modules / "adversary.so",
                        f"-L{installation.libraries}", "-lweft"], check=True, timeout=120)
        return modules
    return build


@pytest.fixture
def start_with_module(processes, installation, modules_with, mapped):
    """Starts a host with one more module, of this source; `entries` are its mappings."""
    def start_host(source, entries, *options, **more):
        return Host(processes, dataclasses.replace(installation, modules=modules_with(source)), *options,
                    mappings=mapped("", *entries), **more)
    return start_host


def direct(host, path, method="GET", content_length=None, **more):
    """The parameters for a path that names no file."""
    return host.variables(path, method, content_length, SCRIPT_NAME=path.partition("?")[0], **more)


def static(www, name):
    return fcgi.variables(www, "GET", f"/{name}", SCRIPT_NAME=f"/{name}", SCRIPT_FILENAME=f"{www}/{name}", PATH_INFO="")


def without_end(request):
    """A request without the empty record that would end its body."""
    return request[:-8]


def limit(name, value):
    return lambda: resource.setrlimit(name, (value, value))


@contextlib.contextmanager
def nobody_reads():
    """The writing end of a pipe, and a function that fills it. At the end its reader leaves, and writers go on."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)

    def fill():
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b".")
        os.set_blocking(writer, True)
    try:
        yield writer, fill
    finally:
        os.close(reader)
        os.close(writer)


# --- Standard error that nobody reads ------------------------------------------------------------------


def test_a_full_standard_error_does_not_keep_the_supervisor_from_its_work(start):
    with nobody_reads() as (writer, fill):
        host = start(workers=2, stderr=writer)
        assert says_hello(host.get("/hello.ashx"))
        fill()
        victim = host.workers()[0]
        os.kill(victim, signal.SIGKILL)
        wait_for("a new worker", lambda: len(host.workers()) == 2 and victim not in host.workers(), timeout=3)
        host.process.send_signal(signal.SIGTERM)
        assert host.process.wait(5) == 0


def test_a_full_standard_error_does_not_keep_a_process_from_its_end(start):
    with nobody_reads() as (writer, fill):
        host = start("--drain-timeout", "500ms", stderr=writer)
        with host.begin("/sleep.ashx?ms=60000"):
            time.sleep(0.3)
            fill()
            host.process.send_signal(signal.SIGTERM)
            assert host.process.wait(6) == 0


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("mapping", ['{ "httpHandlers": [ }', """{ "httpHandlers": [
    { "add": { "verb": "*", "path": "/x", "type": "NoSuchClass" } } ] }"""])
def test_a_full_standard_error_does_not_keep_a_wrong_mapping_from_ending_the_host(installation, run_dir, mapping,
                                                                                 workers):
    site = run_dir / "mappings" / "default"
    site.mkdir(parents=True)
    (site / "mapping.json").write_text(mapping)
    with nobody_reads() as (writer, fill):
        fill()
        with subprocess.Popen(
                [installation.weft, "serve", "--listen", f"unix:{run_dir}/weft.sock", "--workers", str(workers),
                 "--mappings", run_dir / "mappings"], stdin=subprocess.DEVNULL, stderr=writer) as process:
            try:
                assert process.wait(8) == 78
            finally:
                process.kill()


def test_all_of_a_thousand_problems_are_listed_to_a_slow_reader(installation, run_dir):
    site = run_dir / "mappings" / "default"
    site.mkdir(parents=True)
    (site / "mapping.json").write_text(json.dumps({"httpHandlers": [
        {"add": {"verb": "*", "path": f"/{number}", "type": f"NoSuchClass{number}"}} for number in range(1000)]}))
    with subprocess.Popen(
            [installation.weft, "serve", "--listen", f"unix:{run_dir}/weft.sock", "--workers", "0",
             "--mappings", run_dir / "mappings"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        time.sleep(0.3)  # the pipe is full by now
        lines = process.stderr.read().decode().splitlines()
    assert process.returncode == 78
    assert [line for line in lines if 'NoSuchClass999"' in line]
    assert len([line for line in lines if "NoSuchClass" in line]) == 1000


OVERFLOW = """
__attribute__((noinline)) int Down(int n) { volatile char b[200]; b[0] = char(n); return n ? Down(n - 1) + b[0] : 0; }
struct Overflow : weft::IHttpAsyncHandler {
  void ProcessRequest(weft::HttpContext& context) override { context.Response().Write(std::to_string(Down(1000000))); }
  bool IsReusable() const override { return true; }
};
WEFT_MODULE(registry) { weft::AddHandler<Overflow>(registry, "Overflow"); }
"""


def test_a_full_standard_error_does_not_keep_a_worker_from_dying_of_an_overflow(start_with_module):
    with nobody_reads() as (writer, fill):
        host = start_with_module(OVERFLOW, [("/overflow", "Overflow, adversary")], stderr=writer)
        assert says_hello(host.get("/hello.ashx"))
        fill()
        with host.connect() as connection:
            connection.send(fcgi.request(direct(host, "/overflow")))
            assert host.process.wait(3) == -signal.SIGSEGV


# --- Clients that dawdle -------------------------------------------------------------------------------


def test_an_async_handler_of_an_ashx_file_does_not_wait_for_a_thread(start):
    host = start()
    assert says_hello(host.get("/hello-async.ashx"))
    sleepers = [host.begin("/sleep.ashx?ms=4000") for _ in range(64)]
    try:
        time.sleep(1.2)  # what the file said is looked at again after a second
        asked = time.monotonic()
        assert says_hello(host.get("/hello-async.ashx"))
        assert time.monotonic() - asked < 0.5
    finally:
        for sleeper in sleepers:
            sleeper.close()


@pytest.mark.parametrize("path", ["/wait?ms=1", "/echo"])
def test_the_deadline_ends_the_wait_for_a_body(start, mapped, path):
    host = start("--body-timeout", "5s", mappings=mapped('"executionTimeoutSeconds": 1'))
    with host.connect() as connection:
        asked = time.monotonic()
        connection.send(without_end(fcgi.request(direct(host, path, "POST", 1000))))
        assert connection.read_response()[1].status == 504
        assert time.monotonic() - asked < 2


def test_the_deadline_ends_the_wait_for_a_reader(start, run_dir, mapped):
    (run_dir / "large.bin").write_bytes(bytes(64 * MIB))
    host = start(mappings=mapped('"executionTimeoutSeconds": 1'))
    with host.connect() as connection:
        asked = time.monotonic()
        connection.send(fcgi.request(static(run_dir, "large.bin")))
        # It reads now and then, so that --send-timeout has nothing against it.
        while time.monotonic() - asked < 4 and not host.access_lines("large.bin"):
            connection.socket.recv(4 * KIB)
            time.sleep(0.05)
        assert host.access_lines("large.bin"), "the request was still served 3 s after its deadline"


def test_a_request_that_waits_for_its_reader_obeys_a_stop(start, run_dir):
    (run_dir / "large.bin").write_bytes(bytes(8 * MIB))
    host = start("--drain-timeout", "500ms")
    with host.connect() as connection:
        connection.send(fcgi.request(static(run_dir, "large.bin")))
        time.sleep(0.3)
        assert host.stop() == 0
    assert "did not obey" not in host.log.read_text()
    assert host.access_lines("large.bin"), "one record a request"


# --- Clients that leave --------------------------------------------------------------------------------


def test_calls_of_clients_that_left_do_not_hold_up_others(start):
    host = start("--blocking-threads", 1)
    assert says_hello(host.get("/hello.ashx"))
    with host.begin("/sleep.ashx?ms=300"):
        time.sleep(0.1)
        for _ in range(10):
            host.begin("/sleep.ashx?ms=300").close()
        asked = time.monotonic()
        assert says_hello(host.get("/hello.ashx"))
        assert time.monotonic() - asked < 1


BUFFERLESS = """
struct Idle : weft::IHttpAsyncHandler, weft::IHttpBufferlessHandler {
  void ProcessRequest(weft::HttpContext& context) override {
    weft::SleepFor(std::chrono::seconds(4));
    context.Response().Write("done");
  }
  bool IsReusable() const override { return true; }
};
WEFT_MODULE(registry) { weft::AddHandler<Idle>(registry, "Idle"); }
"""


def test_a_client_that_leaves_a_large_body_unread_is_noticed(start_with_module):
    host = start_with_module(BUFFERLESS, [("/idle", "Idle, adversary")])
    with host.connect(timeout=0.3) as connection, contextlib.suppress(TimeoutError):
        connection.send(fcgi.request(direct(host, "/idle", "POST", 2 * MIB), bytes(2 * MIB)))
    left = time.monotonic()
    line = host.wait_for_access_line("/idle")
    assert "status=499" in line and time.monotonic() - left < 2, line


def test_a_client_that_half_closes_and_then_leaves_is_noticed(start):
    host = start()
    connection = host.begin("/wait.ashx?ms=4000")
    connection.socket.shutdown(socket.SHUT_WR)
    time.sleep(0.2)
    connection.close()
    left = time.monotonic()
    line = host.wait_for_access_line("/wait.ashx")
    assert "status=499" in line and time.monotonic() - left < 2, line


def test_a_body_without_a_length_that_a_half_close_cuts_is_not_whole(start):
    host = start()
    with host.connect() as connection:
        connection.send(without_end(fcgi.request(host.variables("/echo.ashx", "POST"), bytes(5000)))[:-1000])
        connection.socket.shutdown(socket.SHUT_WR)  # in the midst of a record of STDIN
        try:
            response = connection.read_response()[1]
        except AssertionError:
            return  # the connection ended without an answer: as good
    assert response.status == 400, response


# --- Limits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100 * KIB, MIB])
def test_a_mapping_may_raise_the_limit_of_a_body(start, mapped, size):
    host = start("--max-request-bytes", 64 * KIB, mappings=mapped('"maxRequestBytes": 10000000'))
    response = fcgi.exchange(host.address, direct(host, "/echo", "POST", size), bytes(size))
    assert response.status == 200
    assert json.loads(response.body)["body"]["length"] == size


def test_a_client_by_itself_needs_no_queue(start, installation, run_dir):
    host = start("--blocking-threads", 1, "--blocking-queue", 0)
    statuses = []
    for number in range(100):  # a file that is new is read on the pool, and at once its handler runs there
        shutil.copy(installation.document_root / "hello.ashx", run_dir / f"{number}.ashx")
        statuses.append(fcgi.exchange(host.address, fcgi.variables(run_dir, "GET", f"/{number}.ashx")).status)
    with host.connect() as connection:
        for _ in range(3000):
            connection.send(fcgi.request(host.variables("/hello.ashx"), keep=True))
            statuses.append(connection.read_response()[1].status)
    assert statuses == [200] * 3100, f"{statuses.count(503)} of 3100 were 503"


def test_slow_readers_of_files_leave_threads_for_others(start, run_dir):
    (run_dir / "large.bin").write_bytes(bytes(4 * MIB))
    host = start("--blocking-threads", 2, "--blocking-queue", 16)
    with contextlib.ExitStack() as stack:
        for _ in range(16):  # they ask, and read nothing
            connection = stack.enter_context(host.connect())
            connection.send(fcgi.request(static(run_dir, "large.bin")))
        time.sleep(0.5)
        assert says_hello(host.get("/hello.ashx"))
        (run_dir / "small.txt").write_text("small")
        assert fcgi.exchange(host.address, static(run_dir, "small.txt")).body == b"small"


def test_a_full_queue_refuses_a_file_and_never_cuts_it(start, run_dir):
    size = 20 * MIB
    (run_dir / "large.bin").write_bytes(bytes(size))
    host = start("--blocking-threads", 2, "--blocking-queue", 0)
    connections = [host.connect(timeout=20) for _ in range(8)]
    for connection in connections:
        connection.send(fcgi.request(static(run_dir, "large.bin")))
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(connections)) as readers:
        for connection in connections:
            stack.enter_context(connection)
        # A cut answer ends without END_REQUEST, and fails here.
        answers = list(readers.map(lambda connection: connection.read_response()[1], connections))
    assert all(answer.status == 503 or len(answer.body) == size for answer in answers)


@pytest.mark.parametrize("method, status", [("GET", 404), ("POST", 405)])
def test_many_entries_and_a_long_path_do_not_hold_up_the_worker(start, run_dir, method, status):
    # Were each entry tried on each segment, a request would take seconds of the reactor's thread.
    entries = [{"add": {"verb": "*", "path": path, "type": "samples::Hello, hello"}}
               for number in range(8000) for path in (f"/app/page{number}.x", f"*.ext{number}")]
    (run_dir / "mappings" / "default").mkdir(parents=True)
    # Two files, for one may be of a mebibyte.
    for file, part in (("machine.json", entries[:8000]), ("default/mapping.json", entries[8000:])):
        level = {"httpRuntime": {"maxUrlBytes": MIB}, "httpHandlers": part}
        (run_dir / "mappings" / file).write_text(json.dumps(level, separators=(",", ":")))
    host = start("--max-params-bytes", MIB, mappings=run_dir / "mappings")
    assert says_hello(host.get("/hello-async.ashx"))
    path = "/a.q" * (30 * KIB)
    used = cpu_seconds_of(host.process.pid)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(host.connect(timeout=60)) for _ in range(20)]
        for connection in connections:
            connection.send(fcgi.request(direct(host, path, method)))
        assert says_hello(host.get("/hello-async.ashx"))
        assert [connection.read_response()[1].status for connection in connections] == [status] * 20
    assert cpu_seconds_of(host.process.pid) - used < 5, "seconds of the processor; a tenth of one is usual"


# --- A system that runs out of something ---------------------------------------------------------------


def test_a_lack_of_memory_costs_one_connection_and_not_the_worker(start, mapped):
    host = start("--max-params-bytes", 16 * MIB, mappings=mapped(), preexec_fn=limit(resource.RLIMIT_AS, 80 * MIB))
    bystander = host.connect()
    bystander.send(fcgi.request(direct(host, "/wait?ms=1500")))
    connections = []
    for _ in range(8):
        with contextlib.suppress(OSError):
            connections.append(host.connect(timeout=5))
            connections[-1].send(fcgi.begin() + fcgi.stream(fcgi.PARAMS, 1, bytes(15 * MIB)))
    try:
        assert host.process.poll() is None, host.log.read_text()
        assert bystander.read_response()[1].status == 200
    finally:
        for connection in [bystander, *connections]:
            connection.close()


def test_a_connection_that_is_dropped_for_want_of_memory_is_closed(start, mapped):
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    host = start("--max-connections", 6000, mappings=mapped())
    assert says_hello(fcgi.exchange(host.address, direct(host, "/hello-async")))
    enough = memory_of(host.process.pid, "VmSize") * KIB + 1 * MIB
    resource.prlimit(host.process.pid, resource.RLIMIT_AS, (enough, enough))
    sockets = []
    try:
        for _ in range(5000):
            with contextlib.suppress(OSError):
                sockets.append(fcgi.connect(host.address, timeout=2))
        assert host.process.poll() is None, host.log.read_text()[-2000:]
        wait_for("a connection that is dropped", lambda: "a connection was dropped" in host.log.read_text())
        for connection in sockets:
            connection.close()
        sockets.clear()
        wait_for("the host to close them all", lambda: open_sockets(host.process.pid) < 20)
        # It takes connections again as soon as it has seen that there is memory.
        def answers():
            with contextlib.suppress(OSError, AssertionError):
                return says_hello(fcgi.exchange(host.address, direct(host, "/hello-async")))
        wait_for("an answer", answers)
    finally:
        for connection in sockets:
            connection.close()


def open_sockets(pid):
    """How many sockets a process has open."""
    count = 0
    for link in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += os.readlink(link.path).startswith("socket:")
    return count


def test_lines_that_a_full_disk_loses_are_told_of(start, run_dir):
    (run_dir / "access.log").symlink_to("/dev/full")
    host = start()
    assert says_hello(host.get("/hello.ashx"))  # who answers has opened its log; who listens, not yet
    host.access_log.unlink()  # whoever reads /dev/full reads for ever
    wait_for("a word about the access log", lambda: "access" in host.log.read_text().lower(), timeout=2)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_limit_of_file_sizes_costs_lines_and_not_the_worker(start, workers):
    host = start(workers=workers, preexec_fn=limit(resource.RLIMIT_FSIZE, 4 * KIB))
    before = host.workers()
    with host.connect() as connection:
        for _ in range(100):
            connection.send(fcgi.request(host.variables("/hello-async.ashx"), keep=True))
            assert says_hello(connection.read_response()[1])
    wait_for("a word about the access log", lambda: "File too large" in host.log.read_text(), timeout=5)
    assert host.workers() == before
    assert host.stop() == 0


# --- Start and stop ------------------------------------------------------------------------------------


def ends_at_once(installation, run_dir, *options, **more):
    """Runs a host that must not come to serve: it ends by itself, and leaves no socket's file."""
    result = subprocess.run(
        [installation.weft, "serve", "--listen", f"unix:{run_dir}/weft.sock", "--modules", installation.modules,
         *map(str, options)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, **more)
    assert not (run_dir / "weft.sock").exists()
    return result


@pytest.mark.parametrize("descriptors", [5, 8])  # too few for Asio, and for our own calls
def test_a_process_that_the_system_refuses_something_says_what_and_ends_with_71(installation, run_dir, descriptors):
    result = ends_at_once(installation, run_dir, "--workers", 0,
                          preexec_fn=limit(resource.RLIMIT_NOFILE, descriptors))
    assert result.returncode == 71, result.stderr
    assert "Too many open files" in result.stderr.splitlines()[-1] and "ulimit -n" in result.stderr.splitlines()[-1]


MODULES_THAT_END_THE_PROCESS = {
    "crashes": ("#include <csignal>\nWEFT_MODULE(registry) { std::raise(SIGSEGV); }", "was ended by SIGSEGV"),
    "aborts": ("WEFT_MODULE(registry) { std::abort(); }", "was ended by SIGABRT"),
    "exits": ("WEFT_MODULE(registry) { std::exit(0); }", "exited with code 0"),
    "exits before its entry": ("const bool g_ended = (std::exit(3), true);\nWEFT_MODULE(registry) {}",
                               "exited with code 3"),
}


@pytest.mark.parametrize("what", MODULES_THAT_END_THE_PROCESS)
def test_a_module_that_ends_the_process_is_named(installation, run_dir, modules_with, what):
    installation = dataclasses.replace(
        installation, modules=modules_with("#include <cstdlib>\n" + MODULES_THAT_END_THE_PROCESS[what][0]))
    result = subprocess.run(
        [installation.weft, "serve", "--listen", f"unix:{run_dir}/weft.sock", "--workers", "0", "--log-level", "debug",
         "--modules", installation.modules], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    lines = result.stderr.splitlines()
    by_exit = what.startswith("exits")
    assert by_exit == ("ends the process by exit()" in lines[-1]), result.stderr
    assert "adversary.so" in [line for line in lines if "loading module" in line][-1], result.stderr
    # A crash leaves it, and the next start replaces it.
    assert (run_dir / "weft.sock").exists() != by_exit


@pytest.mark.parametrize("what", MODULES_THAT_END_THE_PROCESS)
def test_a_module_that_ends_each_worker_ends_the_host(installation, run_dir, modules_with, what):
    source, end = MODULES_THAT_END_THE_PROCESS[what]
    installation = dataclasses.replace(installation, modules=modules_with("#include <cstdlib>\n" + source))
    result = ends_at_once(installation, run_dir, "--workers", 2, "--max-start-failures", 3)
    assert result.returncode == 70, result.stderr
    lines = result.stderr.splitlines()
    end += f" before it was ready, as it loaded the module {installation.modules}/adversary.so: "
    assert len([line for line in lines if end in line]) == 3, result.stderr
    assert end in lines[-1] and "giving up" in lines[-1] and "replace this module" in lines[-1]


def test_a_module_that_does_not_come_to_an_end_ends_the_host(installation, run_dir, modules_with):
    installation = dataclasses.replace(installation, modules=modules_with(
        "#include <unistd.h>\nWEFT_MODULE(registry) { for (;;) pause(); }"))
    result = ends_at_once(installation, run_dir, "--workers", 2, "--max-start-failures", 2, "--start-timeout", "200ms")
    assert result.returncode == 70, result.stderr
    lines = result.stderr.splitlines()
    late = ("was not ready within 200ms (--start-timeout), as it loaded the module "
            f"{installation.modules}/adversary.so: killing it")
    assert len([line for line in lines if late in line]) == 2, result.stderr
    assert "giving up" in lines[-1] and "replace this module" in lines[-1], result.stderr


def test_workers_that_lack_descriptors_end_the_host(installation, run_dir):
    # Just enough for the supervisor and the pipe of its worker; that one has more, its access log say.
    result = ends_at_once(installation, run_dir, "--workers", 2, "--access-log", run_dir / "access.log",
                          preexec_fn=limit(resource.RLIMIT_NOFILE, 15))
    assert result.returncode == 71, result.stderr
    lines = result.stderr.splitlines()
    assert len([line for line in lines if "exited with code 71" in line]) == 5, result.stderr
    assert "giving up" in lines[-1]


def started_bare(installation, run_dir, workers):
    """A host that nobody has waited for."""
    return subprocess.Popen(
        [installation.weft, "serve", "--listen", f"unix:{run_dir}/weft.sock", "--workers", str(workers),
         "--modules", installation.modules],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_stop_at_the_moment_of_the_sockets_birth_leaves_no_socket(installation, run_dir, workers, signal_number):
    path = run_dir / "weft.sock"
    for _ in range(15):
        with started_bare(installation, run_dir, workers) as process:
            while not os.path.exists(path) and process.poll() is None:
                pass  # no sleep: the moment is short
            process.send_signal(signal_number)
            log = process.communicate(timeout=10)[1]
        assert (process.returncode, path.exists()) == (0, False), log


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stop_at_any_moment_of_the_start_leaves_no_socket(installation, run_dir, workers):
    path = run_dir / "weft.sock"
    for delay_ms in range(60):
        with started_bare(installation, run_dir, workers) as process:
            time.sleep(delay_ms / 2000)
            process.send_signal(signal.SIGTERM)
            log = process.communicate(timeout=10)[1]
        # Before it has come to serve(), it ends as any process; there is no trace of it then.
        assert process.returncode == 0 or (process.returncode, log) == (-signal.SIGTERM, ""), log
        assert not path.exists()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_while_a_name_server_does_not_answer_is_obeyed_at_once(installation, run_dir, signal_number):
    (run_dir / "slow.cpp").write_text("""#include <netdb.h>
#include <unistd.h>
extern "C" int getaddrinfo(const char*, const char*, const addrinfo*, addrinfo**) noexcept {
  static_cast<void>(!write(2, "asking\\n", 7));
  for (int i = 0; i < 30; ++i) sleep(1);
  return EAI_AGAIN;
}
""")
    subprocess.run(["c++", "-shared", "-fPIC", run_dir / "slow.cpp", "-o", run_dir / "slow.so"], check=True, timeout=60)
    with subprocess.Popen(
            [installation.weft, "serve", "--listen", f"unix:{run_dir}/weft.sock", "--listen", "tcp:name.invalid:0"],
            env={**os.environ, "LD_PRELOAD": run_dir / "slow.so"}, stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True) as process:
        process.stderr.readline()
        process.send_signal(signal_number)
        assert process.wait(5) == 0
    assert not (run_dir / "weft.sock").exists()


def test_a_handler_that_does_not_end_leaves_no_socket(start, run_dir):
    host = start("--drain-timeout", "100ms")
    with host.begin("/sleep.ashx?ms=60000"):
        time.sleep(0.3)
        host.process.send_signal(signal.SIGTERM)
        wait_for("the socket's file to be gone", lambda: not (run_dir / "weft.sock").exists(), timeout=1)
        assert host.process.wait(6) == 0
    assert "did not obey" in host.log.read_text()
    assert not (run_dir / "weft.sock").exists()


def test_a_second_sigterm_stops_a_process_without_workers_at_once(start):
    host = start()
    with host.begin("/wait.ashx?ms=8000"):
        time.sleep(0.2)
        host.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        host.process.send_signal(signal.SIGTERM)
        assert host.process.wait(3) == 0


@pytest.mark.parametrize("listen", ["unix", "tcp4"])
def test_a_restart_right_after_a_kill_of_the_supervisor_takes_over_the_address(
        processes, installation, run_dir, listen):
    host = Host(processes, installation, listen=listen, workers=2)
    for number in range(5):
        host.process.kill()
        host.process.wait()
        # Its workers end as soon as the kernel tells them; for that moment they have the address.
        process = processes.start(f"again{number}", [
            installation.weft, "serve", "--listen", host.address, "--workers", 2,
            "--mappings", installation.mappings, "--modules", installation.modules])
        host.process = process
        wait_for("the new one's workers", lambda: process.poll() is not None or len(host.workers()) == 2)
        assert process.poll() is None, (run_dir / f"again{number}.log").read_text()
        wait_for("an answer", host.is_answering)
        assert says_hello(host.get("/hello.ashx"))


def test_sigterms_in_quick_succession_are_one(start, run_dir):
    for turn in range(5):
        host = start(log=f"turn-{turn}")
        assert says_hello(host.get("/hello.ashx"))
        host.process.send_signal(signal.SIGTERM)
        host.process.send_signal(signal.SIGTERM)
        assert host.process.wait(5) == 0
        assert not (run_dir / "weft.sock").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_request_that_came_before_sigterm_is_answered(start, workers):
    host = start(workers=workers)
    assert says_hello(host.get("/hello-async.ashx"))
    server = host.workers()[0] if workers else host.process.pid
    os.kill(server, signal.SIGSTOP)  # a worker that is busy for a moment, with certainty
    connections = [host.begin("/hello-async.ashx") for _ in range(5)]
    host.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    os.kill(server, signal.SIGCONT)
    answered = 0
    for connection in connections:
        with connection, contextlib.suppress(AssertionError, OSError):
            answered += says_hello(connection.read_response()[1])
    assert answered == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_an_access_log_that_cannot_be_opened_refuses_the_start(installation, run_dir, workers):
    result = subprocess.run(
        [installation.weft, "serve", "--listen", f"unix:{run_dir}/weft.sock", "--workers", str(workers), "--modules",
         installation.modules, "--access-log", run_dir / "no" / "such" / "folder"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5)
    assert result.returncode == 78, result.stderr


def test_a_fifo_among_the_modules_does_not_keep_the_host_from_its_start(processes, installation, run_dir):
    modules = run_dir / "modules"
    shutil.copytree(installation.modules, modules)
    os.mkfifo(modules / "fifo.so")
    host = Host(processes, dataclasses.replace(installation, modules=modules))
    assert says_hello(host.get("/hello.ashx", timeout=3))


@pytest.fixture
def fifo(run_dir):
    """A FIFO where a host that `start` has started has its access log."""
    os.mkfifo(run_dir / "access.log")
    return run_dir / "access.log"


@contextlib.contextmanager
def reading(fifo):
    """A reader that can be asked for the next line."""
    descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor) as lines:
        yield lambda: wait_for("a line of the access log", lines.readline, timeout=5)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_fifo_that_nobody_reads_as_access_log_holds_up_nothing(start, fifo, workers):
    host = start(workers=workers)
    assert says_hello(host.get("/hello-async.ashx?first"))
    with host.connect() as connection:
        for _ in range(1000):  # more than a FIFO holds
            connection.send(fcgi.request(host.variables("/hello-async.ashx"), keep=True))
            assert says_hello(connection.read_response()[1])
    with reading(fifo) as next_line:
        assert "/hello-async.ashx?first" in next_line()
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(3) == 0
    assert "lines of the access log" in host.log.read_text()  # those that nobody has read


@pytest.mark.parametrize("workers", [0, 1])
def test_a_reader_of_the_access_log_may_come_and_go(start, fifo, workers):
    host = start(workers=workers)
    for turn in range(3):
        with reading(fifo) as next_line:
            assert says_hello(host.get(f"/hello-async.ashx?with-{turn}"))
            if turn > 0:
                assert f"?without-{turn - 1}" in next_line()
            assert f"?with-{turn}" in next_line()
        assert says_hello(host.get(f"/hello-async.ashx?without-{turn}"))
    assert host.stop() == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_reader_that_was_there_first_reads_to_the_hosts_end(processes, start, fifo, run_dir, workers):
    reader = processes.start("reader", ["cat", fifo])
    host = start(workers=workers)
    for number in range(3):
        assert says_hello(host.get(f"/hello-async.ashx?{number}"))
    wait_for("the lines", lambda: "hello-async.ashx?2" in (run_dir / "reader.log").read_text())
    assert "hello-async.ashx?0" in (run_dir / "reader.log").read_text()
    assert host.stop() == 0
    assert reader.wait(5) == 0


# --- What must not be told, or touched -----------------------------------------------------------------


def test_a_question_mark_in_a_name_does_not_lead_to_a_forbidden_file(start, run_dir):
    # What mod_proxy_fcgi of Apache before 2.4.60 sends for /secret.so%3F.txt.
    (run_dir / "secret.so").write_text("secret")
    host = start()
    parameters = static(run_dir, "secret.so?.txt")
    parameters["SCRIPT_FILENAME"] = f"proxy:fcgi://weft/{run_dir}/secret.so?.txt"
    assert b"secret" not in fcgi.exchange(host.address, parameters).body


def test_a_control_character_of_two_bytes_is_escaped_in_the_access_log(start):
    host = start()
    host.get("/hello.ashx", REQUEST_URI="/marked\u009b31m".encode().decode("latin-1"))
    host.wait_for_access_line("/marked")
    assert b"\xc2\x9b" not in host.access_log.read_bytes()  # CSI, to a terminal


STACK = """
#include <string>
__attribute__((noinline)) std::string Waiting() {
  volatile char mine[150000];
  for (auto& byte : mine) byte = 0x5A;
  weft::SleepFor(std::chrono::milliseconds(1000));
  long changed = 0;
  for (auto& byte : mine) changed += byte != 0x5A;
  return std::to_string(changed);
}
// Frames larger than a guard, of which each touches one end, to 630 KB below the top of a stack of 256 KB.
__attribute__((noinline)) int Over(int depth) {
  volatile char frame[90000];
  frame[0] = 0x11;
  return depth == 0 ? frame[0] : Over(depth - 1) + frame[0];
}
struct Victim : weft::IHttpAsyncHandler {
  void ProcessRequest(weft::HttpContext& context) override { context.Response().Write(Waiting()); }
  bool IsReusable() const override { return true; }
};
struct Offender : weft::IHttpAsyncHandler {
  void ProcessRequest(weft::HttpContext& context) override { context.Response().Write(std::to_string(Over(6))); }
  bool IsReusable() const override { return true; }
};
WEFT_MODULE(registry) {
  weft::AddHandler<Victim>(registry, "Victim");
  weft::AddHandler<Offender>(registry, "Offender");
}
"""


def test_a_frame_larger_than_a_guard_does_not_reach_another_requests_stack(start_with_module):
    host = start_with_module(STACK, [("/victim", "Victim, adversary"), ("/offender", "Offender, adversary")])
    with host.connect() as victim:
        victim.send(fcgi.request(direct(host, "/victim")))
        time.sleep(0.3)
        with contextlib.suppress(AssertionError, OSError), host.connect() as offender:
            offender.send(fcgi.request(direct(host, "/offender")))
            offender.read_response()
        try:
            changed = victim.read_response()[1].body
        except (AssertionError, OSError):
            assert "stack overflow in Offender" in host.log.read_text()
            return
    assert changed == b"0", f"{changed.decode()} bytes of another request's stack were overwritten"


RETRY = """
struct Retry : weft::IHttpAsyncHandler, weft::IHttpBufferlessHandler {
  void ProcessRequest(weft::HttpContext& context) override {
    const auto what = context.Request().QueryString().Get("what", "");
    char byte = 0;
    for (;;) {
      try {
        if (what == "write") {
          context.Response().Write("again ");
          context.Response().Flush();
        } else if (what == "read") {
          static_cast<void>(context.Request().GetBufferlessInputStream().Read({&byte, 1}));
        } else {
          weft::SleepFor(std::chrono::milliseconds(50));
        }
      } catch (const std::exception&) {
        // It does not know of OperationCancelled, and tries again.
      }
    }
  }
  bool IsReusable() const override { return true; }
};
struct Late : weft::IHttpAsyncHandler {
  void ProcessRequest(weft::HttpContext& context) override {
    context.Response().Write("a part");
    context.Response().Flush();
    throw std::runtime_error("late");
  }
  bool IsReusable() const override { return true; }
};
WEFT_MODULE(registry) {
  weft::AddHandler<Retry>(registry, "Retry");
  weft::AddHandler<Late>(registry, "Late");
}
"""


def test_a_handler_that_swallows_its_cancellation_does_not_stop_the_worker(start_with_module):
    host = start_with_module(RETRY, [("/retry", "Retry, adversary")], "--drain-timeout", "200ms")
    for what in ("sleep", "write", "read"):
        with host.connect() as connection:
            connection.send(without_end(fcgi.request(direct(host, f"/retry?what={what}", "POST", 10))))
            time.sleep(0.2)
    time.sleep(0.2)  # its client has gone: it is cancelled, and goes on without waiting
    for _ in range(20):
        assert says_hello(host.get("/hello-async.ashx"))
        assert says_hello(host.get("/hello.ashx"))
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(10) == 0
    assert "did not obey their cancellation" in host.log.read_text()


def test_a_cut_answer_on_a_multiplexed_connection_leaves_the_others_alone(start_with_module):
    host = start_with_module(RETRY, [("/late", "Late, adversary")])
    with host.connect() as connection:
        connection.send(fcgi.request(direct(host, "/wait?ms=1500"), request_id=1, keep=True)
                        + fcgi.request(direct(host, "/late"), request_id=2, keep=True))
        wait_for("the failure", lambda: host.access_lines("/late", "outcome=aborted"))
        for number in range(3, 103):  # it takes further ones
            connection.send(fcgi.request(direct(host, "/hello-async"), request_id=number, keep=True))
            request_id, response = connection.read_response()
            assert request_id == number and says_hello(response)
        request_id, response = connection.read_response()
        assert request_id == 1 and response.status == 200
        # Nothing else is on it: now the cut one is known for one.
        assert connection.is_closed_by_host()


def test_a_web_server_may_give_up_a_cut_answer_and_keep_the_connection(start_with_module):
    host = start_with_module(RETRY, [("/late", "Late, adversary")])
    with host.connect() as connection:
        connection.send(fcgi.request(direct(host, "/wait?ms=1500"), request_id=1, keep=True)
                        + fcgi.request(direct(host, "/late"), request_id=2, keep=True))
        wait_for("the failure", lambda: host.access_lines("/late", "outcome=aborted"))
        connection.send(fcgi.record(fcgi.ABORT_REQUEST, 2))
        assert connection.read_response()[0] == 2
        assert connection.read_response()[0] == 1
        connection.send(fcgi.request(direct(host, "/hello-async"), request_id=2, keep=True))
        assert says_hello(connection.read_response()[1])


LAZY = """
struct Lazy : weft::IHttpAsyncHandler, weft::IHttpBufferlessHandler {
  void ProcessRequest(weft::HttpContext& context) override {
    weft::SleepFor(std::chrono::milliseconds(2500));
    std::string buffer(65536, ' ');
    std::size_t total = 0;
    while (const auto count = context.Request().GetBufferlessInputStream().Read(buffer)) total += count;
    context.Response().Write(std::to_string(total));
  }
  bool IsReusable() const override { return true; }
};
WEFT_MODULE(registry) { weft::AddHandler<Lazy>(registry, "Lazy"); }
"""


# AddressSanitizer keeps what is freed, to see who uses it; where memory is measured it shall not.
FREED_IS_FREED = {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=1"}


def test_bodies_that_wait_on_a_multiplexed_connection_count_as_buffered(start_with_module):
    size = 8 * MIB
    host = start_with_module(LAZY, [("/lazy", "Lazy, adversary")], "--max-buffered-bytes", "20m", env=FREED_IS_FREED)
    with host.connect(timeout=30) as connection:
        before = memory_of(host.process.pid, "VmRSS")
        for number in range(1, 11):  # all of them begin
            parameters = direct(host, "/lazy", "POST", size)
            connection.send(without_end(fcgi.request(parameters, request_id=number, keep=True)))
        for number in range(1, 11):
            connection.send(fcgi.stream(fcgi.STDIN, number, bytes(size)) + fcgi.record(fcgi.STDIN, number))
        assert says_hello(host.get("/hello.ashx"))
        held = (memory_of(host.process.pid, "VmRSS") - before) * KIB
        answers = [connection.read_response()[1] for _ in range(10)]
        statuses = sorted(answer.status for answer in answers)
        assert statuses == [200] * 2 + [503] * 8
        assert all(answer.body == b"%d" % size for answer in answers if answer.status == 200)
        assert held < 64 * MIB, f"{held // MIB} MiB"
        # What they held is given back.
        connection.send(fcgi.request(direct(host, "/lazy", "POST", size), bytes(size), 11, keep=True))
        assert connection.read_response()[1].body == b"%d" % size


STAYS = """
struct Stays : weft::IHttpAsyncHandler, weft::IHttpBufferlessHandler {
  void ProcessRequest(weft::HttpContext& context) override {
    weft::SleepFor(std::chrono::milliseconds(300));
    std::string buffer(65536, ' ');
    std::size_t total = 0;
    while (const auto count = context.Request().GetBufferlessInputStream().Read(buffer)) total += count;
    context.Response().Write(std::to_string(total));
    context.Response().Flush();
    weft::SleepFor(std::chrono::seconds(60));
  }
  bool IsReusable() const override { return true; }
};
WEFT_MODULE(registry) { weft::AddHandler<Stays>(registry, "Stays"); }
"""


def test_a_body_that_was_read_takes_no_memory_while_its_request_goes_on(start_with_module):
    size = 8 * MIB
    host = start_with_module(STAYS, [("/stays", "Stays, adversary")], "--max-buffered-bytes", "9m", env=FREED_IS_FREED)
    with host.connect(timeout=30) as connection:
        before = memory_of(host.process.pid, "VmRSS")
        for number in range(1, 13):
            connection.send(fcgi.request(direct(host, "/stays", "POST", size), bytes(size), number, keep=True))
            received = connection.read_record()
            while not received.content.endswith(b"%d" % size):  # its body was read
                assert received.id == number and received.type == fcgi.STDOUT, received
                received = connection.read_record()
        held = (memory_of(host.process.pid, "VmRSS") - before) * KIB
    assert held < 48 * MIB, f"{held // MIB} MiB for bodies that --max-buffered-bytes holds to 9"


LATE_AND_LARGE = """
struct Late : weft::IHttpAsyncHandler {
  void ProcessRequest(weft::HttpContext& context) override {
    context.Response().Write("a part");
    context.Response().Flush();
    throw std::runtime_error("late");
  }
  bool IsReusable() const override { return true; }
};
struct Large : weft::IHttpAsyncHandler {
  void ProcessRequest(weft::HttpContext& context) override {
    weft::SleepFor(std::chrono::milliseconds(500));
    context.Response().Write(std::string(1000000, 'x'));
  }
  bool IsReusable() const override { return true; }
};
WEFT_MODULE(registry) {
  weft::AddHandler<Late>(registry, "Late");
  weft::AddHandler<Large>(registry, "Large");
}
"""


def test_the_end_for_a_cut_answer_does_not_destroy_another_one_on_its_way(start_with_module):
    host = start_with_module(LATE_AND_LARGE, [("/late", "Late, adversary"), ("/large", "Large, adversary")],
                             listen="tcp4")
    with host.connect() as connection:
        connection.send(fcgi.request(direct(host, "/large"), request_id=1, keep=True)
                        + fcgi.request(direct(host, "/late"), request_id=2, keep=True))
        host.wait_for_access_line("/late", "outcome=aborted")
        host.wait_for_access_line("/large", "outcome=completed")  # the kernel has all of it
        request_id, response = connection.read_response()
        assert request_id == 1 and len(response.body) == 1000000
        assert connection.is_closed_by_host()
