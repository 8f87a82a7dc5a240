"""The host as a service: what it tells a service manager, and the units for systemd."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fcgi
from host import says_hello
from processes import children_of, lines_of, wait_for

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "scripts" / "deploy"

both = pytest.mark.parametrize("workers", [0, 2])


class Manager:
    """A service manager's end of the protocol: a datagram socket."""

    def __init__(self, name):
        self.name = str(name)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.name.replace("@", "\0", 1))
        self.messages = []

    def environment(self, **more):
        return {**os.environ, "NOTIFY_SOCKET": self.name, **more}

    def receive(self):
        """What has come by now, which is kept in `messages` as well."""
        new = []
        while True:
            try:
                new.append(self.socket.recv(65536, socket.MSG_DONTWAIT).decode())
            except BlockingIOError:
                self.messages += new
                return new

    def wait_for(self, word, what=""):
        """The next message with that line."""
        def find():
            for message in self.receive():
                if word in message.splitlines():
                    return message
            return None
        return wait_for(f"{word} from the host{what}", find)

    def lines(self):
        self.receive()
        return [line for message in self.messages for line in message.splitlines()]


@pytest.fixture(params=["path", "abstract"])
def manager(request, run_dir):
    manager = Manager(run_dir / "notify" if request.param == "path" else f"@{run_dir.name}-notify")
    yield manager
    manager.socket.close()


@pytest.fixture
def path_manager(run_dir):
    manager = Manager(run_dir / "notify")
    yield manager
    manager.socket.close()


def words_of(lines):
    """The states, in their order, without signs of life and lines for people."""
    return [line.split("=")[0] for line in lines if not line.startswith(("STATUS=", "WATCHDOG=", "MONOTONIC_USEC=",
                                                                         "EXTEND_TIMEOUT_USEC="))]


@both
def test_ready_when_a_worker_accepts_and_stopping_when_it_ends(start, manager, workers):
    host = start(workers=workers, env=manager.environment())
    manager.wait_for("READY=1")
    assert says_hello(host.get("/hello.ashx"))
    if workers:
        wait_for("the line on the workers", lambda: "STATUS=2 workers ready" in manager.lines())
    assert host.stop() == 0
    assert words_of(manager.lines()) == ["READY", "STOPPING"]
    extension = [line for line in manager.lines() if line.startswith("EXTEND_TIMEOUT_USEC=")]
    # The drain time of 30 s, and what comes after it.
    assert len(extension) == 1 and int(extension[0].split("=")[1]) > 30_000_000
    assert not any(line.startswith("WATCHDOG=") for line in manager.lines())


def test_a_host_that_cannot_serve_never_says_that_it_is_ready(processes, installation, run_dir, path_manager):
    mappings = run_dir / "mappings"
    mappings.mkdir()
    (mappings / "machine.json").write_text(json.dumps(
        {"httpHandlers": [{"add": {"verb": "*", "path": "/a", "type": "samples::Helo, hello"}}]}))
    process = processes.start("weft", [installation.weft, "serve", "--listen", f"unix:{run_dir}/weft.sock", "--workers", 2,
                                       "--modules", installation.modules, "--mappings", mappings],
                              env=path_manager.environment())
    assert process.wait(20) == 78
    assert words_of(path_manager.lines()) == ["STOPPING"]
    assert "STATUS=0 workers ready, 1 starting, 1 to be started" in path_manager.lines()


@both
def test_a_reload_is_told(start, run_dir, path_manager, workers):
    mappings = run_dir / "mappings"
    (mappings / "default").mkdir(parents=True)
    file = mappings / "default" / "mapping.json"
    file.write_text("{}")
    # By signal alone, so that nothing else reloads.
    host = start("--reload-interval", "0s", workers=workers, mappings=mappings, env=path_manager.environment())
    path_manager.wait_for("READY=1")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    host.process.send_signal(signal.SIGHUP)
    reloading = path_manager.wait_for("RELOADING=1")
    told = int(re.search(r"^MONOTONIC_USEC=(\d+)$", reloading, re.M)[1])
    assert before <= told <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    wait_for("the end of the reload", lambda: words_of(path_manager.lines()) == ["READY", "RELOADING", "READY"])
    # Wrong files end it as well: those of before serve on.
    file.write_text('{"httpHandler": []}')
    host.process.send_signal(signal.SIGHUP)
    wait_for("the end of the reload", lambda: words_of(path_manager.lines())[3:] == ["RELOADING", "READY"])
    if workers:
        refused = "the mapping files were refused, with 1 problem: those of before serve on"
        wait_for(refused, lambda: any(refused in line for line in path_manager.lines()))
    assert host.stop() == 0
    assert words_of(path_manager.lines())[5:] == ["STOPPING"]


def test_a_new_generation_is_told_as_a_reload_and_signs_of_life_go_on(start, path_manager):
    host = start(workers=2, env=path_manager.environment(WATCHDOG_USEC="200000"))
    path_manager.wait_for("READY=1")
    for number in (1, 2):
        host.process.send_signal(signal.SIGUSR2)
        wait_for("the end of the reload",
                 lambda: words_of(path_manager.lines()) == ["READY"] + number * ["RELOADING", "READY"])
        path_manager.wait_for("WATCHDOG=1", " of the new generation")
        assert f"generation {number + 1} serves" in host.log.read_text()
    assert host.stop() == 0
    assert words_of(path_manager.lines()) == ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]


@both
def test_without_mapping_files_a_signal_begins_no_reload(processes, installation, run_dir, path_manager, workers):
    process = processes.start("weft", [installation.weft, "serve", "--listen", f"unix:{run_dir}/weft.sock",
                                       "--workers", workers, "--modules", installation.modules],
                              env=path_manager.environment())
    path_manager.wait_for("READY=1")
    process.send_signal(signal.SIGHUP)
    wait_for("the worker's word", lambda: any("no mapping files" in line for line in lines_of(run_dir / "weft.log")))
    assert processes.stop(process) == 0
    assert words_of(path_manager.lines()) == ["READY", "STOPPING"]


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@both
def test_signs_of_life_come_as_long_as_the_process_goes_on(start, path_manager, workers):
    host = start(workers=workers, env=path_manager.environment(WATCHDOG_USEC="200000"))
    for _ in range(3):
        path_manager.wait_for("WATCHDOG=1")
    host.process.send_signal(signal.SIGSTOP)
    try:
        wait_for("the process to stand still", lambda: state_of(host.process.pid) == "T")
        path_manager.receive()
        time.sleep(1)  # five times as long as the watchdog waits
        assert path_manager.receive() == []
    finally:
        host.process.send_signal(signal.SIGCONT)
    path_manager.wait_for("WATCHDOG=1")
    assert host.stop() == 0


def test_signs_of_life_for_another_process_are_not_given(start, path_manager):
    host = start(workers=2, env=path_manager.environment(WATCHDOG_USEC="2000", WATCHDOG_PID="1"))
    wait_for("the workers", lambda: "STATUS=2 workers ready" in path_manager.lines())
    assert says_hello(host.get("/hello.ashx"))
    assert host.stop() == 0
    assert "WATCHDOG=1" not in path_manager.lines()


def test_a_worker_that_dies_is_told_and_stops_no_sign_of_life(start, path_manager):
    host = start(workers=1, env=path_manager.environment(WATCHDOG_USEC="200000"))
    path_manager.wait_for("READY=1")
    os.kill(host.workers()[0], signal.SIGKILL)
    wait_for("another worker", lambda: any("1 worker ready" in line for message in path_manager.receive()
                                           for line in message.splitlines()))
    path_manager.wait_for("WATCHDOG=1")
    assert host.stop() == 0
    assert words_of(path_manager.lines()) == ["READY", "STOPPING"]


def test_a_reactor_that_is_held_gives_no_sign_of_life(start, run_dir, pytestconfig, path_manager):
    """Where there is no supervisor: the thread that all requests depend on gives them."""
    mappings = run_dir / "mappings"
    mappings.mkdir()
    (mappings / "machine.json").write_text(json.dumps(
        {"httpHandlers": [{"add": {"verb": "*", "path": "/hold", "type": "troubles::Hold, troubles"}}]}))
    modules = Path(pytestconfig.getoption("--build-dir")).resolve() / "tests/integration/modules"
    host = start("--modules", modules, mappings=mappings, env=path_manager.environment(WATCHDOG_USEC="100000"))
    path_manager.wait_for("WATCHDOG=1")
    with host.begin("/hold?ms=6000"):
        wait_for("a stall", lambda: any("holds the reactor's thread" in line for line in lines_of(host.log)))
        path_manager.receive()
        time.sleep(1)
        assert path_manager.receive() == []
        path_manager.wait_for("WATCHDOG=1", " once it goes on")
    assert host.stop() == 0


@both
def test_what_a_web_server_has_started_says_nothing_of_it(processes, installation, run_dir, path_manager, workers):
    """Its NOTIFY_SOCKET is that of the web server's own service."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{run_dir}/weft.sock")
    listening.listen()
    process = processes.start("weft", [installation.weft, "serve", "--workers", workers, "--modules", installation.modules,
                                       "--mappings", installation.mappings, "--log-level", "info"],
                              stdin=listening, env=path_manager.environment(WATCHDOG_USEC="10000"))
    ready = "is ready" if workers else "listening on"
    wait_for("the host", lambda: any(ready in line for line in lines_of(run_dir / "weft.log")))
    assert processes.stop(process) == 0
    assert path_manager.lines() == []


# --- systemd ----------------------------------------------------------------------------------------------------


@pytest.fixture
def units(tmp_path, installation):
    """The units with the program of this build: systemd-analyze wants it to be there."""
    if not shutil.which("systemd-analyze"):
        pytest.fail("systemd-analyze is not there: scripts/setup installs it, in the package systemd")
    for unit in UNITS.glob("weft.*"):
        text = unit.read_text().replace("/usr/bin/weft", str(installation.weft))
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", "--no-pager", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_systemd_takes_the_units_without_a_word(units):
    result = analyze("verify", "--man=no", "--recursive-errors=yes", units / "weft.service", units / "weft.socket")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_service_is_exposed_to_little(units):
    # Of 100; what is left is what a host of handlers needs: sockets, the network, the system's own folders.
    result = analyze("security", "--offline=yes", "--threshold=20", units / "weft.service")
    assert result.returncode == 0, result.stdout


def test_the_service_agrees_with_the_program(units):
    service = (UNITS / "weft.service").read_text()
    # Those after which starting again does not help: host/options/exit_code.hpp.
    assert "RestartPreventExitStatus=64 77 78\n" in service
    # A socket in the runtime folder would go with it when the service stops.
    listen = re.search(r"^ListenStream=(.+)$", (UNITS / "weft.socket").read_text(), re.M)[1]
    folder = re.search(r"^RuntimeDirectory=(.+)$", service, re.M)[1]
    assert not listen.startswith(f"/run/{folder}/")


def test_the_host_runs_under_the_filters_of_the_service(processes, installation, run_dir, path_manager, pytestconfig):
    """Of system calls, address families, and memory: the kernel's own filters, as systemd would set them."""
    if Path(pytestconfig.getoption("--build-dir")).name == "asan":
        pytest.skip("the sanitizer makes calls of its own, which a service does not")
    address, control = f"unix:{run_dir}/weft.sock", run_dir / "control.sock"
    filtered = [sys.executable, "-B", Path(__file__).with_name("seccomp.py"), UNITS / "weft.service"]
    process = processes.start("weft", [*filtered, installation.weft, "serve", "--listen", address, "--control", control,
                                       "--workers", 2, "--mappings", installation.mappings, "--modules",
                                       installation.modules, "--log-level", "debug"],
                              env=path_manager.environment(WATCHDOG_USEC="1000000"))
    path_manager.wait_for("READY=1")
    wait_for("the workers", lambda: "STATUS=2 workers ready" in path_manager.lines())
    # The filter is there: of the workers, too.
    for worker in children_of(process.pid):
        assert re.search(r"^Seccomp:\s+2$", Path(f"/proc/{worker}/status").read_text(), re.M)
    for target in ("/hello.ashx", "/clock.ashx?seconds=1", "/echo.ashx"):
        variables = fcgi.variables(installation.document_root, "GET", target)
        assert fcgi.exchange(address, variables, timeout=20).status == 200, target

    def status():
        return json.loads(subprocess.run([installation.weft, "status", "--control", control, "--format", "json"],
                                         capture_output=True, text=True, check=True, timeout=20).stdout)
    # By mincore(2).
    wait_for("how much of a stack was used", lambda: any(stack["mostUsedBytes"] for worker in status()["workers"]
                                                         for stack in worker["stacks"] or []))
    stacks = subprocess.run([installation.weft, "stacks", str(children_of(process.pid)[0])], capture_output=True, text=True,
                            timeout=20)
    assert stacks.returncode == 0, stacks.stderr
    process.send_signal(signal.SIGHUP)
    path_manager.wait_for("RELOADING=1")
    wait_for("the end of the reload", lambda: words_of(path_manager.lines()) == ["READY", "RELOADING", "READY"])
    path_manager.wait_for("WATCHDOG=1")
    assert processes.stop(process) == 0
    assert not any("not permitted" in line for line in lines_of(run_dir / "weft.log"))
