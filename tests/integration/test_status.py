"""`weft status` and the socket that it asks: healthy hosts, wrong mappings, dead workers, and clients that mean no good."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import stat
import subprocess
import threading

import pytest

import fcgi
from mapping_files import HELLO, mapping
from processes import cpu_seconds_of, processes_that_mention, wait_for
from servers import LighttpdSocket

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def ask(installation, control):
    """Runs `weft status`."""
    def run_status(*options, control_path=control, **more):
        return subprocess.run([installation.weft, "status", "--control", control_path, *options],
                              capture_output=True, text=True, timeout=30, **more)
    return run_status


@pytest.fixture
def status(ask):
    """The status as it comes, or, with a condition, as soon as that holds."""
    def current():
        result = ask("--format", "json")
        assert (result.returncode, result.stderr) == (0, "")
        return json.loads(result.stdout)

    def get(what=None, condition=None):
        def look():
            now = current()
            return now if condition is None or condition(now) else None
        return wait_for(what or "the status", look)
    return get


def replace(file, text):
    temporary = file.with_name(".new")
    temporary.write_text(text)
    temporary.rename(file)


def all_ready(now):
    return all(worker["state"] == "ready" for worker in now["workers"])


def outcome_is(outcome):
    return lambda now: now["mappings"]["outcome"] == outcome


def connect(control):
    return fcgi.connect(f"unix:{control}", timeout=20)


def read_to_end(client):
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data


# --- What it tells -------------------------------------------------------------------------------------


def test_a_healthy_host(start_controlled, ask, status, mappings):
    host = start_controlled(mappings=mappings)
    now = status("ready workers", all_ready)
    version = subprocess.run([host.installation.weft, "--version"], capture_output=True, text=True).stdout.split()[1]
    assert (now["version"], now["pid"], now["stage"]) == (version, host.process.pid, "running")
    assert now["listen"] == [host.address]
    assert sorted(worker["pid"] for worker in now["workers"]) == sorted(host.workers())
    for worker in now["workers"]:
        assert (worker["starts"], worker["newestMappings"], worker["lastEnd"]) == (1, True, None)
    state = now["mappings"]
    assert (state["directory"], state["outcome"], state["tables"]) == (str(mappings), "none", 1)
    assert (state["problemCount"], state["problems"]) == (0, [])
    for time in (now["since"], state["servingSince"], *(worker["since"] for worker in now["workers"])):
        assert TIME.fullmatch(time)
    text = ask()
    assert text.returncode == 0
    for pid in host.workers():
        assert re.search(rf"^  {pid} +ready ", text.stdout, re.M)


def test_the_path_may_come_from_the_file_or_the_environment_of_the_host(processes, installation, run_dir, control):
    config = run_dir / "weft.ini"
    config.write_text(f"listen = unix:{run_dir}/s\ncontrol = {control}\nworkers = 1\n")
    processes.start("weft", [installation.weft, "serve", "--config", config])
    wait_for("the socket", lambda: fcgi.accepts(f"unix:{control}"))
    for command, environment in ((["--config", config], {}), ([], {"WEFT_CONTROL": str(control)})):
        result = subprocess.run([installation.weft, "status", *command], env={**os.environ, **environment},
                                capture_output=True, text=True, timeout=30)
        assert result.returncode == 0 and "the built-in ones" in result.stdout, result.stderr


def test_wrong_mappings_are_told_until_they_are_put_right(start_controlled, ask, status, mappings, file):
    host = start_controlled(mappings=mappings)
    status("ready workers", all_ready)
    replace(file, '{ "httpHandlers": [\n  { "x": 1 },\n  { "y": 2 } ] }')
    refused = status("the refusal", outcome_is("refused"))
    state = refused["mappings"]
    assert state["reportedBy"] in host.workers()
    assert (state["tables"], state["problemCount"]) == (1, 2)
    assert [(problem["file"], problem["line"], problem["severity"]) for problem in state["problems"]] == [
        (str(file), 2, "error"), (str(file), 3, "error")]
    # As `weft check` prints them.
    checked = subprocess.run([host.installation.weft, "check", "--mappings", mappings, "--modules",
                              host.installation.modules, "--format", "json"], capture_output=True, text=True)
    assert json.loads(checked.stdout) == state["problems"]
    assert all(worker["newestMappings"] for worker in refused["workers"])
    text = ask().stdout
    assert "the mappings of before serve on; 2 problems" in text
    for problem in state["problems"]:
        assert f"{file}:{problem['line']}:{problem['column']}: error: {problem['message']}\n" in text
    assert host.get("/a", SCRIPT_NAME="/a").status == 200

    replace(file, mapping(a="samples::Hello,hello"))
    loaded = status("the mended files everywhere", lambda now: outcome_is("loaded")(now) and all(
        worker["newestMappings"] for worker in now["workers"]))
    assert (loaded["mappings"]["tables"], loaded["mappings"]["problems"]) == (2, [])
    assert loaded["mappings"]["servingSince"] > state["servingSince"]
    assert "problem" not in ask().stdout


def test_an_unknown_class_is_told(start_controlled, status, mappings, file):
    start_controlled(mappings=mappings)
    status("ready workers", all_ready)
    replace(file, mapping(a="samples::Helo, hello"))
    state = status("the refusal", outcome_is("refused"))["mappings"]
    assert state["problemCount"] == 1
    assert state["problems"][0]["line"] == 1 and "samples::Helo" in state["problems"][0]["message"]


def test_of_very_many_problems_some_are_told_and_all_counted(start_controlled, ask, status, mappings, file):
    start_controlled(mappings=mappings)
    replace(file, json.dumps({"httpHandlers": [{f"key{number}": 1} for number in range(5000)]}))
    state = status("the refusal", outcome_is("refused"))["mappings"]
    assert state["problemCount"] >= 100
    assert 0 < len(state["problems"]) <= 100
    if state["problemCount"] > len(state["problems"]):
        assert f"{state['problemCount']} problems, of which {len(state['problems'])} follow" in ask().stdout


def test_where_nobody_looks_for_changes_sighup_is_told(start_controlled, status, mappings, file):
    host = start_controlled("--reload-interval", "0s", mappings=mappings)
    status("ready workers", all_ready)
    replace(file, "{")
    host.process.send_signal(signal.SIGHUP)
    refused = status("the refusal", outcome_is("refused"))
    os.kill(refused["mappings"]["reportedBy"], signal.SIGKILL)
    # Nobody has read them since.
    now = status("the successor", lambda now: all_ready(now) and any(w["starts"] == 2 for w in now["workers"]))
    assert now["mappings"] == refused["mappings"]
    replace(file, mapping(a=HELLO))
    host.process.send_signal(signal.SIGHUP)
    status("the mended files", outcome_is("loaded"))


def test_a_worker_that_starts_while_the_files_are_wrong(start_controlled, status, mappings, file):
    start_controlled(workers=1, mappings=mappings)
    first = status("a ready worker", all_ready)["workers"][0]["pid"]
    # Nobody reports the change: the only worker that could does not run any more.
    os.kill(first, signal.SIGSTOP)
    replace(file, mapping(a="samples::Helo, hello"))
    os.kill(first, signal.SIGKILL)
    now = status("the successor", lambda now: all_ready(now) and outcome_is("refused")(now))
    assert now["mappings"]["reportedBy"] == now["workers"][0]["pid"] != first
    assert "samples::Helo" in now["mappings"]["problems"][0]["message"]
    assert now["workers"][0]["newestMappings"] is True
    # And one that starts when they are right again, before anybody reloads them.
    second = now["workers"][0]["pid"]
    os.kill(second, signal.SIGSTOP)
    replace(file, mapping(a=HELLO))
    os.kill(second, signal.SIGKILL)
    now = status("its successor", lambda now: all_ready(now) and outcome_is("loaded")(now))
    assert now["mappings"]["problems"] == []


def test_a_killed_workers_end_is_told(start_controlled, ask, status):
    host = start_controlled()
    status("ready workers", all_ready)
    victim = host.workers()[0]
    os.kill(victim, signal.SIGSEGV)
    now = status("a new worker", lambda now: all_ready(now) and any(w["starts"] == 2 for w in now["workers"]))
    worker = next(worker for worker in now["workers"] if worker["starts"] == 2)
    end = worker["lastEnd"]
    assert worker["pid"] not in (victim, None)
    assert (end["pid"], end["signal"], end["exitCode"]) == (victim, "SIGSEGV", None)
    assert end["reason"].startswith("was ended by SIGSEGV")
    assert TIME.fullmatch(end["at"])
    assert f"{victim} was ended by SIGSEGV" in ask().stdout


def test_it_answers_while_every_worker_is_busy(start_controlled, status):
    host = start_controlled("--blocking-threads", "1", "--blocking-queue", "0", "--drain-timeout", "0s")
    status("ready workers", all_ready)
    with contextlib.ExitStack() as stack:
        held = []

        def hold_one_more():
            # A worker that has one already refuses at once.
            connection = stack.enter_context(host.begin("/sleep.ashx?ms=60000"))
            if not select.select([connection.socket], [], [], 0.3)[0]:
                held.append(connection)
            return len(held) >= 2
        wait_for("a blocking handler in each worker", hold_one_more)
        assert host.get("/sleep.ashx?ms=60000").status == 503
        assert all_ready(status())
        # Busier than busy: not one of them runs.
        workers = host.workers()
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        try:
            assert all_ready(status())
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGCONT)
    assert host.stop() == 0


def test_it_answers_while_the_host_drains(start_controlled, ask, status):
    host = start_controlled(workers=1)
    status("a ready worker", all_ready)
    with host.begin("/wait.ashx?ms=60000"):
        wait_for("the request", lambda: host.get("/hello.ashx").status == 200)
        host.process.send_signal(signal.SIGTERM)
        now = status("draining", lambda now: now["stage"] == "draining")
        assert now["listen"] == []
        assert [worker["state"] for worker in now["workers"]] == ["ending"]
        assert "listening on nothing any more" in ask().stdout
        host.process.send_signal(signal.SIGTERM)
        assert host.process.wait(15) == 0


# --- The socket ----------------------------------------------------------------------------------------


def test_the_sockets_file(start_controlled, ask, status, installation, run_dir, control):
    old_umask = os.umask(0)
    try:
        host = start_controlled(workers=1)
    finally:
        os.umask(old_umask)
    mode = control.stat()
    assert stat.S_ISSOCK(mode.st_mode) and stat.S_IMODE(mode.st_mode) == 0o600
    assert mode.st_uid == os.geteuid()
    # No worker has it, once it is more than a copy of the supervisor.
    status("a ready worker", all_ready)
    accepts = "00010000"  # __SO_ACCEPTCON, as /proc/net/unix has it: the socket itself, and no connection to it
    lines = [line.split() for line in open("/proc/net/unix") if line.rstrip().endswith(f" {control}")]
    inode = next(fields[6] for fields in lines if fields[3] == accepts)
    for worker in host.workers():
        descriptors = [os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")]
        assert f"socket:[{inode}]" not in descriptors
    # A live one is refused, and stays.
    second = subprocess.run([installation.weft, "serve", "--listen", f"unix:{run_dir}/other.sock", "--workers", "1",
                             "--control", control], capture_output=True, text=True, timeout=30)
    assert second.returncode == 69
    assert f"cannot listen on --control {control}: another process answers there: stop it first" in second.stderr
    assert not (run_dir / "other.sock").exists()
    assert ask().returncode == 0
    assert host.stop() == 0
    assert not control.exists()
    # A stale one is replaced.
    host = start_controlled(workers=1, log="killed")
    os.kill(host.process.pid, signal.SIGKILL)
    host.process.wait(10)
    wait_for("the worker to follow", lambda: not processes_that_mention(str(control)))
    assert control.exists()
    gone = ask()
    assert gone.returncode == 69 and "nobody listens there any more" in gone.stderr
    host = start_controlled(workers=1, log="again")
    assert ask().returncode == 0
    # What is not a socket is not.
    control.unlink()
    assert host.stop() == 0
    control.write_text("mine")
    result = subprocess.run([installation.weft, "serve", "--listen", f"unix:{run_dir}/other.sock", "--workers", "1",
                             "--control", control], capture_output=True, text=True, timeout=30)
    assert result.returncode == 78 and "a file that is not a socket" in result.stderr
    assert control.read_text() == "mine"


def test_without_a_supervisor_it_is_a_wrong_configuration(installation, run_dir, control):
    result = subprocess.run([installation.weft, "serve", "--listen", f"unix:{run_dir}/s", "--workers", "0",
                             "--control", control], capture_output=True, text=True, timeout=30)
    assert result.returncode == 78
    assert "--control needs a supervisor" in result.stderr and "--workers 1" in result.stderr
    assert not control.exists() and not (run_dir / "s").exists()


def test_a_path_that_is_listened_on_already_is_told(installation, run_dir):
    result = subprocess.run([installation.weft, "serve", "--listen", f"unix:{run_dir}/s", "--workers", "1",
                             "--control", f"{run_dir}/./s"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 78
    assert f"--control {run_dir}/./s is the path of --listen, too" in result.stderr
    assert not (run_dir / "s").exists()


def test_who_cannot_be_asked_is_told_with_what_to_do(ask, run_dir, installation):
    missing = ask(control_path=run_dir / "none")
    assert missing.returncode == 69 and "is the host running, with --control" in missing.stderr
    (run_dir / "file").write_text("")
    for path in (run_dir / "file", run_dir):
        other = ask(control_path=path)
        assert other.returncode == 69 and f"cannot ask {path}: that is no socket of a supervisor" in other.stderr
    too_long = ask(control_path="/" + "x" * 200)
    assert too_long.returncode == 64 and "201 bytes" in too_long.stderr
    unknown = subprocess.run([installation.weft, "status"], capture_output=True, text=True, timeout=30,
                             env={name: value for name, value in os.environ.items() if name != "WEFT_CONTROL"})
    assert unknown.returncode == 64 and "give --control PATH" in unknown.stderr
    for result in (missing, too_long, unknown):
        assert result.stdout == "" and result.stderr.count("\n") == 1


@pytest.mark.parametrize("answer, said", [(b"", "ended without an answer"), (b"hello\n", "no supervisor of weft"),
                                          (b"[]\n", "no supervisor of weft"), (b'{"error": "no\\u001b"}', "refuses to answer: no\\u001b"),
                                          (b'{"version": 7}\n', "in a form that this version")])
def test_another_server_on_the_socket_is_told(ask, run_dir, answer, said):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(run_dir / "other"))
        listener.listen(1)

        def serve():
            client, _ = listener.accept()
            client.recv(100)
            client.sendall(answer)
            client.close()
        thread = threading.Thread(target=serve)
        thread.start()
        result = ask(control_path=run_dir / "other")
        thread.join(10)
    assert result.returncode == 69 and said in result.stderr and "\x1b" not in result.stderr


def test_a_supervisor_that_does_not_run_is_told(start_controlled, ask):
    host = start_controlled(workers=1)
    os.kill(host.process.pid, signal.SIGSTOP)
    try:
        result = ask()
    finally:
        os.kill(host.process.pid, signal.SIGCONT)
    assert result.returncode == 69 and "nobody answers within" in result.stderr


def test_standard_output_that_cannot_be_written_is_told(start_controlled, control, installation):
    start_controlled(workers=1)
    with open("/dev/full", "w") as full:
        result = subprocess.run([installation.weft, "status", "--control", control], stdout=full, timeout=30)
    assert result.returncode == 74


# --- Clients that mean no good -------------------------------------------------------------------------


def silent(control):
    return connect(control)


def garbage(control):
    client = connect(control)
    client.sendall(os.urandom(200) + b"\n")
    return client


def endless_line(control):
    client = connect(control)
    client.sendall(b"x" * 65536)
    return client


def deaf(control):
    client = connect(control)
    client.sendall(b"status\n")
    return client


HOSTILE = {"silent": silent, "garbage": garbage, "endless": endless_line, "deaf": deaf}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_clients_hold_up_nobody(processes, installation, ask, control, kind):
    site = LighttpdSocket(processes, installation, [f"control = {control}"])
    wait_for("the socket", lambda: fcgi.accepts(f"unix:{control}"))
    with contextlib.ExitStack() as stack:
        for number in range(200):
            client = stack.enter_context(HOSTILE[kind](control))
            if number % 20 == 0:
                assert ask().returncode == 0
                assert site.request("GET", "/hello.ashx").status == 200
        result = ask("--format", "json")
        assert result.returncode == 0
        assert [worker["starts"] for worker in json.loads(result.stdout)["workers"]] == [1]
        if kind in ("garbage", "endless"):
            answer = read_to_end(client)
            assert answer.endswith(b"}\n") and "send a line with the word status" in json.loads(answer)["error"]
        if kind == "silent":
            # Those that are left are thrown out, after some seconds. A loop that spins meanwhile takes a processor.
            used = cpu_seconds_of(site.weft.pid)
            assert client.recv(1) == b""
            assert cpu_seconds_of(site.weft.pid) - used < 1
    assert site.weft.poll() is None
    assert ask().returncode == 0


def test_clients_that_come_and_go_leave_nothing_behind(start_controlled, ask, control):
    host = start_controlled(workers=1)
    assert ask().returncode == 0

    def descriptors():
        return len(os.listdir(f"/proc/{host.process.pid}/fd"))
    # Perhaps with the connection that has just been answered, and is about to be closed.
    before = descriptors()
    for number in range(500):
        with connect(control) as client:
            if number % 3:
                client.sendall(b"status\n"[:number % 8])
    assert ask().returncode == 0
    wait_for("the connections to be closed", lambda: descriptors() <= before)
