"""New generations of a host: what a reload replaces, what refuses it, and that nobody notices, behind every web server."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess

import pytest

import fcgi
import servers
from controlled import Controlled
from host import Host, says_hello
from load import Load, asking
from mapping_files import HELLO, mapping
from processes import children_of, free_port, lines_of, processes_that_mention, wait_for
from test_figures import families, get, value
from test_privileges import ROOT, facts_of

# Reloads for each web server; a release is tried with 50.
RELOADS = int(os.environ.get("TEST_RELOADS", "6"))


@pytest.fixture
def start_host(start_controlled, control):
    """Starts a host with a control socket: (host, controlled)."""
    def start_with_control(*options, **more):
        host = start_controlled(*options, **more)
        controlled = Controlled(host.installation.weft, control, host.process)
        controlled.is_alone(1)
        return host, controlled
    return start_with_control


# --- What it replaces ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["command", "signal"])
def test_a_new_generation_replaces_the_workers_and_not_the_supervisor(start_host, way):
    host, controlled = start_host()
    before = host.workers()
    if way == "command":
        result = controlled.reload()
        assert (result.returncode, result.stdout, result.stderr) == (0, "generation 2 serves\n", "")
    else:
        host.process.send_signal(signal.SIGUSR2)
    now = controlled.is_alone(2)
    assert now["pid"] == host.process.pid
    assert (now["reload"]["number"], now["reload"]["outcome"], now["reload"]["reasons"]) == (1, "done", [])
    assert sorted(worker["pid"] for worker in now["workers"]) == sorted(host.workers())
    assert not set(host.workers()) & set(before)
    assert says_hello(host.get("/hello.ashx"))
    assert host.stop() == 0
    assert not controlled.control.exists()


class Stage:
    """A folder of modules and one of mappings of a test's own, with the module `generation` in version one."""

    def __init__(self, folder, build_dir):
        self.modules, self.mappings = folder / "modules", folder / "mappings"
        self.module_text = ""
        self._built = build_dir / "tests" / "integration" / "generations"
        self.folder = folder / "strings"
        for new in (self.modules, self.mappings / "default", self.folder):
            new.mkdir(parents=True)
        self.install("one")
        self.map(a="generation::Version, generation")
        self.options = ["--modules", self.modules, "--environment", "GENERATION_FOLDER"]
        self.environment = {**os.environ, "GENERATION_FOLDER": str(self.folder)}

    def install(self, which):
        """As a deployment does: beside it, then over it."""
        new = self.modules / "new"
        shutil.copy(self._built / which / "generation.so", new)
        new.rename(self.modules / "generation.so")

    def map(self, **paths):
        (self.mappings / "default" / "mapping.json").write_text(mapping(**paths))

    def starts(self):
        """How often the module was started, in whatever process."""
        starts = self.folder / "starts"
        return starts.stat().st_size if starts.exists() else 0

    @contextlib.contextmanager
    def held(self):
        """Whoever starts the module meanwhile waits."""
        hold = self.folder / "hold"
        hold.touch()
        try:
            yield
        finally:
            hold.unlink(missing_ok=True)

    def let_start(self, count):
        """The module may be started that many times more; then it fails."""
        new = self.folder / "new"
        new.write_text(str(self.starts() + count))
        new.rename(self.folder / "most")


@pytest.fixture
def stage(run_dir, installation):
    return Stage(run_dir / "stage", installation.weft.parents[1])


@pytest.fixture
def start_stage(start_host, stage):
    """Starts a host with that module at /a: (host, controlled)."""
    def start_with_stage(*options, **more):
        return start_host(*stage.options, *options, mappings=stage.mappings, env=stage.environment, **more)
    return start_with_stage


def version(host, **more):
    return host.get("/a", SCRIPT_NAME="/a", **more).body.decode()


def test_a_new_module_answers(start_stage, stage):
    host, controlled = start_stage()
    assert version(host) == "one"
    stage.install("two")
    assert version(host) == "one"
    assert controlled.reload().returncode == 0
    controlled.is_alone(2)
    assert {version(host) for _ in range(10)} == {"two"}
    # Each process has its own start, and the trial has ended what it began.
    assert stage.starts() == 2 + 1 + 2
    wait_for("the stops", lambda: (stage.folder / "stops").stat().st_size == 1 + 2)


def test_new_options_hold_and_sockets_that_stay_are_never_closed(start_host, run_dir):
    config = run_dir / "weft.ini"
    more, other = run_dir / "more.sock", run_dir / "other.sock"
    config.write_text(f"listen = unix:{more}\nsocket-mode = 660\n")
    host, controlled = start_host("--config", config, workers=2)
    # The flags are stronger: --listen replaces the file's.
    assert controlled.status()["listen"] == [host.address]
    assert host.stop() == 0

    def start_by_file(text):
        config.write_text(text)
        process = host.processes.start("by-file", [host.installation.weft, "serve", "--config", config])
        wait_for("weft", lambda: process.poll() is not None or fcgi.accepts(f"unix:{controlled.control}"))
        return Controlled(host.installation.weft, controlled.control, process)

    base = (f"control = {controlled.control}\nmappings = {host.installation.mappings}\n"
            f"modules = {host.installation.modules}\n")
    port = free_port()
    controlled = start_by_file(f"{base}workers = 1\nlisten = unix:{more} tcp:127.0.0.1:0\nsocket-mode = 600\n")
    before = controlled.wait_for("a worker", lambda now: now["workers"][0]["state"] == "ready")
    inode = more.stat().st_ino
    assert more.stat().st_mode & 0o777 == 0o600

    config.write_text(f"{base}workers = 3\nlisten = unix:{more} tcp:127.0.0.1:{port} unix:{other}\nsocket-mode = 666\n")
    assert controlled.reload().stdout == "generation 2 serves\n"
    now = controlled.is_alone(2)
    assert len(now["workers"]) == 3
    assert now["listen"] == [f"unix:{more}", f"tcp:127.0.0.1:{port}", f"unix:{other}"]
    assert (more.stat().st_ino, more.stat().st_mode & 0o777) == (inode, 0o666)
    for address in now["listen"]:
        assert says_hello(fcgi.exchange(address, host.variables("/hello.ashx")))
    with pytest.raises(OSError):
        fcgi.connect(before["listen"][1])

    # And back: what goes, goes with its file; the port that the system chose before is not asked for again.
    control = run_dir / "new-control.sock"
    config.write_text(f"{base.replace(str(controlled.control), str(control))}workers = 1\nlisten = unix:{more}\n")
    old = controlled.control
    controlled.process.send_signal(signal.SIGUSR2)
    controlled.control = control
    wait_for("the new control socket", lambda: fcgi.accepts(f"unix:{control}"))
    now = controlled.is_alone(3)
    assert now["listen"] == [f"unix:{more}"]
    assert not other.exists() and not old.exists()
    assert controlled.process.pid == now["pid"]
    assert host.processes.stop(controlled.process) == 0
    assert not more.exists() and not control.exists()


def test_another_program_takes_over_by_the_name_that_was_started(processes, installation, run_dir):
    programs = [run_dir / "version-1", run_dir / "version-2"]
    for program in programs:
        shutil.copy2(installation.weft, program)
    link = run_dir / "weft"
    link.symlink_to(programs[0])
    linked = dataclasses.replace(installation, weft=link)
    host = Host(processes, linked, "--control", run_dir / "control.sock", workers=1,
                env={**os.environ, "LD_LIBRARY_PATH": str(installation.libraries)})
    controlled = Controlled(installation.weft, run_dir / "control.sock", host.process)

    def running():
        return {os.readlink(f"/proc/{pid}/exe") for pid in [host.process.pid, *host.workers()]}

    assert running() == {str(programs[0])}
    new = run_dir / "weft.new"
    new.symlink_to(programs[1])
    new.rename(link)
    assert controlled.reload().returncode == 0
    controlled.is_alone(2)
    assert running() == {str(programs[1])}
    assert says_hello(host.get("/hello.ashx"))


def test_a_connection_that_is_kept_goes_to_the_new_generation(start_stage, stage):
    host, controlled = start_stage(workers=1)
    with host.connect() as kept, host.connect() as silent:
        def ask(connection):
            connection.send(fcgi.request(host.variables("/a", SCRIPT_NAME="/a"), keep=True))
            return connection.read_response()[1].body.decode()

        assert ask(kept) == "one"
        before = controlled.status()["figures"]["connections"]
        stage.install("two")
        assert controlled.reload().returncode == 0
        controlled.is_alone(2)
        assert (ask(kept), ask(kept), ask(silent)) == ("two", "two", "two")
        now = controlled.status()["figures"]["connections"]
        assert (now["open"], now["accepted"]) == (before["open"], before["accepted"])


def test_a_request_that_runs_is_answered_by_its_generation_and_its_connection_goes_on(start_host):
    host, controlled = start_host(workers=1)
    old = host.workers()
    with host.connect(timeout=30) as connection:
        connection.send(fcgi.request(host.variables("/wait.ashx?ms=1500"), keep=True))
        wait_for("the request", lambda: "1 request" in subprocess.run(
            [host.installation.weft, "stacks", str(old[0])], capture_output=True, text=True, timeout=20).stdout)
        assert controlled.reload().returncode == 0
        states = {worker["pid"]: (worker["generation"], worker["state"]) for worker in controlled.status()["workers"]}
        assert states[old[0]] == (1, "ending")
        assert connection.read_response()[1].status == 200
        controlled.is_alone(2)
        connection.send(fcgi.request(host.variables("/hello.ashx"), keep=True))
        assert says_hello(connection.read_response()[1])


def test_a_connection_that_is_never_idle_comes_to_the_new_generation_all_the_same(start_stage, stage):
    """As HAProxy's: requests of many clients overlap on it."""
    stage.map(a="generation::Version, generation", wait="samples::Wait, waiting")
    host, controlled = start_stage(workers=1)
    with host.connect(timeout=30) as connection:
        def send(number):
            path = "/a" if number % 10 == 0 else "/wait"
            connection.send(fcgi.request(host.variables(f"{path}?ms=20", SCRIPT_NAME=path), request_id=number % 30000 + 1,
                                         keep=True))
        answers, sent = [], 0
        for sent in range(1, 9):
            send(sent)
        stage.install("two")
        reload = subprocess.Popen([host.installation.weft, "reload", "--control", controlled.control],
                                  stdout=subprocess.DEVNULL)
        # Eight are always on the way; that ends when the new generation answers.
        while b"two" not in answers:
            answers.append(connection.read_response()[1].body)
            sent += 1
            send(sent)
            assert len(answers) < 20000
        while len(answers) < sent:
            answers.append(connection.read_response()[1].body)
        assert reload.wait(30) == 0
        assert b"one" in answers
    controlled.is_alone(2)


# --- What refuses it ------------------------------------------------------------------------------------


def assert_refused(host, controlled, workers, *words):
    result = controlled.reload()
    assert result.returncode == 1, result
    assert result.stderr.startswith("the host was not reloaded: the old generation serves on\n")
    reload = controlled.status()["reload"]
    assert (reload["outcome"], reload["reasons"]) == ("refused", [
        line[2:] for line in result.stderr.splitlines()[1:]])
    for word in words:
        assert word in result.stderr
        assert word in host.log.read_text()
    assert host.workers() == workers
    assert host.get("/a", SCRIPT_NAME="/a").status == 200
    text = subprocess.run([controlled.weft, "status", "--control", controlled.control], capture_output=True, text=True,
                          timeout=20).stdout
    assert "last reload: refused" in text and words[0] in text


def test_wrong_options_mappings_and_modules_keep_the_old_generation(start_stage, stage, run_dir):
    config = run_dir / "weft.ini"
    config.write_text("max-params = 512\n")
    host, controlled = start_stage("--config", config, "--reload-interval", "0s")
    workers = host.workers()

    config.write_text("max-params = 512\nmax-prams = 512\n")
    assert_refused(host, controlled, workers, "ended with exit code 64", "weft.ini:2: unknown option 'max-prams'")
    config.write_text(f"chroot = {run_dir}\n")
    assert_refused(host, controlled, workers, "ended with exit code 78", "a reload cannot change the root of a host")
    config.write_text("")

    site = stage.mappings / "default" / "mapping.json"
    sound = site.read_text()
    site.write_text('{ "httpHandlers": [ { "ad": {} } ] }')
    assert_refused(host, controlled, workers, "ended with exit code 78", "did you mean \"add\"?")
    site.write_text(sound)

    (stage.modules / "new").write_text("no module")
    (stage.modules / "new").rename(stage.modules / "generation.so")
    assert_refused(host, controlled, workers, "ended with exit code 78", "generation.so")
    stage.install("two")
    stage.let_start(0)
    assert_refused(host, controlled, workers, "ended with exit code 78", "it was started often enough")
    stage.let_start(100)
    assert controlled.reload().returncode == 0


def test_a_wrong_program_keeps_the_old_generation(installation, run_dir, processes, mappings):
    program = run_dir / "weft"
    shutil.copy2(installation.weft, program)
    host = Host(processes, dataclasses.replace(installation, weft=program), "--control",
                run_dir / "control.sock", workers=1, mappings=mappings,
                env={**os.environ, "LD_LIBRARY_PATH": str(installation.libraries)})
    controlled = Controlled(installation.weft, run_dir / "control.sock", host.process)
    workers = host.workers()

    def replace(text, mode=0o755):
        new = run_dir / "new"
        new.write_text(text)
        new.chmod(mode)
        new.rename(program)

    replace("#!/bin/sh\n", mode=0o644)
    assert_refused(host, controlled, workers, "cannot execute the program: Permission denied")
    # An older version, which knows nothing of all this.
    replace("#!/bin/sh\necho \"weft: unknown command '$1': see 'weft --help'\" >&2\nexit 64\n")
    assert_refused(host, controlled, workers, "ended with exit code 64", "unknown command 'trial'")
    replace("#!/bin/sh\nexit 0\n")
    assert_refused(host, controlled, workers, "without a verdict")
    program.unlink()
    assert_refused(host, controlled, workers, "cannot execute the program: No such file or directory")
    shutil.copy2(installation.weft, program)
    assert controlled.reload().returncode == 0


def test_an_address_that_is_taken_keeps_the_old_generation(start_host, run_dir, installation):
    config, listen = run_dir / "weft.ini", run_dir / "a.sock"
    base = f"mappings = {installation.mappings}\nmodules = {installation.modules}\n"
    taken, _ = start_host()
    config.write_text(f"{base}listen = unix:{listen}\ncontrol = {run_dir}/b.sock\nworkers = 1\n")
    process = taken.processes.start("second", [installation.weft, "serve", "--config", config])
    wait_for("weft", lambda: process.poll() is not None or fcgi.accepts(f"unix:{run_dir}/b.sock"))
    controlled = Controlled(installation.weft, run_dir / "b.sock", process)
    controlled.wait_for("a worker", lambda now: now["workers"][0]["state"] == "ready")
    config.write_text(f"{base}listen = unix:{listen} {taken.address} unix:{run_dir}/c.sock\n"
                      f"control = {run_dir}/b.sock\nworkers = 1\n")
    result = controlled.reload()
    assert result.returncode == 1
    assert "another process answers there" in result.stderr
    assert not (run_dir / "c.sock").exists()
    assert controlled.status()["listen"] == [f"unix:{listen}"]
    assert says_hello(fcgi.exchange(f"unix:{listen}", taken.variables("/hello.ashx")))
    # A reload cannot do without a supervisor either.
    config.write_text(f"{base}listen = unix:{listen}\ncontrol = {run_dir}/b.sock\nworkers = 0\n")
    result = controlled.reload()
    assert result.returncode == 1
    assert "--workers 0: a reload cannot do away with the supervisor" in result.stderr


# --- What happens meanwhile -----------------------------------------------------------------------------


def wait_for_starts(stage, count):
    wait_for(f"{count} starts of the module", lambda: stage.starts() >= count)


def test_a_trial_that_takes_too_long_is_ended(start_stage, stage):
    host, controlled = start_stage("--start-timeout", "1s", workers=1)
    with stage.held():
        result = controlled.reload()
    assert result.returncode == 1
    assert "was not done within 1s (--start-timeout), as it loaded the module" in result.stderr
    assert version(host) == "one"


def test_whoever_asks_while_a_reload_goes_on_gets_the_next_one(start_stage, stage):
    host, controlled = start_stage(workers=1)
    with stage.held():
        commands = [subprocess.Popen([controlled.weft, "reload", "--control", controlled.control],
                                     stdout=subprocess.PIPE, text=True)]
        wait_for_starts(stage, 2)
        commands += [subprocess.Popen([controlled.weft, "reload", "--control", controlled.control],
                                      stdout=subprocess.PIPE, text=True) for _ in range(3)]
        now = controlled.wait_for("the queue", lambda now: now["reload"]["queued"])
        assert (now["reload"]["number"], now["reload"]["outcome"]) == (1, "running")
        # The status may be asked for more often than the outcome of the first one lasts.
        assert controlled.reload("--timeout", "10ms").returncode == 75
    outputs = [command.communicate(timeout=60)[0] for command in commands]
    controlled.is_alone(3)
    assert outputs[1:] == ["generation 3 serves\n"] * 3
    assert controlled.status()["reload"]["number"] == 2


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_stop_ends_a_reload(start_stage, stage, name):
    host, controlled = start_stage(workers=1)
    with stage.held():
        host.process.send_signal(signal.SIGUSR2)
        wait_for_starts(stage, 2)
        host.process.send_signal(getattr(signal, name))
        assert host.process.wait(20) == 0


def test_workers_may_die_while_a_trial_runs(start_stage, stage):
    host, controlled = start_stage(workers=2)
    with stage.held():
        host.process.send_signal(signal.SIGUSR2)
        wait_for_starts(stage, 3)
        for pid in [worker["pid"] for worker in controlled.status()["workers"]][:1]:
            os.kill(pid, signal.SIGKILL)
        wait_for_starts(stage, 4)
        assert version(host) == "one"
    controlled.is_alone(2)


def test_a_trial_may_be_killed(start_stage, stage):
    host, controlled = start_stage(workers=1)
    before = host.workers()
    with stage.held():
        host.process.send_signal(signal.SIGUSR2)
        wait_for_starts(stage, 2)
        for pid in set(host.workers()) - set(before):
            os.kill(pid, signal.SIGKILL)
        now = controlled.wait_for("the outcome", lambda now: now["reload"]["outcome"] == "refused")
    assert now["reload"]["reasons"][0].startswith("the trial of the new generation was ended by SIGKILL, as it loaded")
    assert host.workers() == before


def test_workers_that_fail_after_the_trial_leave_the_old_ones_serving(start_stage, stage):
    host, controlled = start_stage("--max-start-failures", "2", workers=1)
    before = host.workers()
    stage.install("two")
    stage.let_start(1)  # the trial
    result = controlled.reload()
    assert result.returncode == 1
    assert "its generation is tried again, and that of before serves on" in result.stderr
    now = controlled.status()
    assert (now["generation"], now["pid"]) == (2, host.process.pid)
    assert before[0] in [worker["pid"] for worker in now["workers"]]
    assert version(host) == "one"
    # Its mappings are read anew as before, and another reload may mend it; so may time.
    stage.let_start(10)
    controlled.is_alone(2)
    assert controlled.status()["reload"]["outcome"] == "done"
    assert version(host) == "two"


def test_old_and_new_may_die_while_the_one_takes_over(start_stage, stage):
    host, controlled = start_stage("--max-start-failures", "100", workers=1)
    stage.install("two")
    stage.let_start(1)
    host.process.send_signal(signal.SIGUSR2)
    now = controlled.wait_for("the takeover", lambda now: now["generation"] == 2)
    old = [worker["pid"] for worker in now["workers"] if worker["generation"] == 1]
    os.kill(old[0], signal.SIGKILL)
    controlled.wait_for("its end", lambda now: all(worker["generation"] == 2 for worker in now["workers"]))
    stage.let_start(100)
    controlled.is_alone(2)
    assert version(host) == "two"


# --- What the host counts, tells, and may do, over reloads ------------------------------------------------


def counters(text):
    """Every sample that may not fall, by its name and labels."""
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families(text).values() if family.type in ("counter", "histogram") for sample in family.samples}


@pytest.mark.parametrize("listen", ["unix", "tcp"])
def test_metrics_are_answered_all_the_while_and_counts_do_not_go_back(start_host, run_dir, listen):
    address = f"unix:{run_dir}/metrics.sock" if listen == "unix" else f"tcp:127.0.0.1:{free_port()}"
    host, controlled = start_host("--metrics-listen", address)
    last = {}

    def ask(client, number):
        if client == 0:
            status, _, text = get(address, "/metrics")
            now = counters(text)
            fallen = {name: (then, now.get(name)) for name, then in last.items() if now.get(name, -1) < then}
            last.update(now)
            return None if status == 200 and not fallen else f"{status}: {fallen}"
        if client == 1:
            status, _, text = get(address, "/ready")
            return None if status == 200 else f"{status}: {text}"
        return None if says_hello(host.get("/hello.ashx")) else "no answer"

    with Load(ask, clients=4) as load:
        for number in range(1, RELOADS + 1):
            load.wait_for_more()
            assert controlled.reload().returncode == 0
        load.wait_for_more()
    assert load.failures == []
    now = controlled.is_alone(RELOADS + 1)
    asked = sum(load.answers[2:])
    # The host's own end of a request comes after the client's.
    now = controlled.wait_for("all requests", lambda now: now["figures"]["requests"]["inFlight"] == 0)
    requests = now["figures"]["requests"]
    assert (requests["started"], requests["ended"], requests["endedBy"]["success"]) == (asked, asked, asked)
    assert now["figures"]["reloads"] == {"done": RELOADS, "refused": 0}
    assert (now["figures"]["workerStarts"], now["figures"]["workerEnds"]) == (2 * (RELOADS + 1), [])
    assert [queue["address"] for queue in now["figures"]["listenQueues"]] == [host.address]
    assert all(worker["figures"]["requests"]["ended"] <= asked for worker in now["workers"])
    found = families(get(address, "/metrics")[2])
    assert value(found, "weft_generation") == RELOADS + 1
    assert value(found, "weft_reloads", "weft_reloads_total", outcome="done") == RELOADS
    assert value(found, "weft_workers", state="ready") == 2
    assert host.stop() == 0
    if listen == "unix":
        assert not (run_dir / "metrics.sock").exists()


def test_metrics_come_and_go_with_the_options(start_host, run_dir):
    first, second, config = run_dir / "first.sock", run_dir / "second.sock", run_dir / "weft.ini"
    config.write_text(f"metrics-listen = unix:{first}\n")
    host, controlled = start_host("--config", config)
    assert get(f"unix:{first}", "/ready")[0] == 200
    inode = first.stat().st_ino
    config.write_text(f"metrics-listen = unix:{first}\nworkers = 2\n")
    assert controlled.reload().returncode == 0
    assert (get(f"unix:{first}", "/ready")[0], first.stat().st_ino) == (200, inode)
    config.write_text(f"metrics-listen = {host.address}\n")
    result = controlled.reload()
    assert result.returncode == 1
    assert f"--metrics-listen {host.address} is the path of --listen, too" in result.stderr
    config.write_text(f"metrics-listen = unix:{second}\n")
    assert controlled.reload().returncode == 0
    assert get(f"unix:{second}", "/ready")[0] == 200
    assert not first.exists()
    config.write_text("")
    assert controlled.reload().returncode == 0
    assert not second.exists()


def talking(stage, host, target):
    """A request of `Talk` that has said one half; the connection."""
    talks = stage.folder / "talks"
    before = talks.stat().st_size if talks.exists() else 0
    connection = host.connect(timeout=30)
    connection.send(fcgi.request(host.variables(target, SCRIPT_NAME="/talk")))
    wait_for("one half", lambda: talks.exists() and talks.stat().st_size > before)
    return connection


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("end", ["well", "abort"])
def test_what_an_old_worker_writes_is_kept_whole_and_so_are_its_last_words(start_stage, stage, run_dir, end):
    stage.map(a="generation::Version, generation", talk="generation::Talk, generation")
    log = run_dir / "host.json"
    host, controlled = start_stage("--log", log, "--log-format", "json", workers=1)
    old, = host.workers()
    with talking(stage, host, f"/talk?end={end}") as connection:
        assert controlled.reload().returncode == 0
        assert controlled.reload("--timeout", "1ms").returncode == 75  # it waits for the old worker's end
        (stage.folder / "go").touch()
        if end == "well":
            assert connection.read_response()[1].body == b"talked\n"
        controlled.is_alone(3)
    said = [event for event in json_lines(log) if event.get("event") == "handler_output"]
    assert sorted((event["message"], event["pid"], event["process"]) for event in said) == [
        ("generation::Talk: standard error: one half, and the other", old, "worker 1"),
        ("standard error: unmarked, too", old, "worker 1")]
    if end == "abort":
        told, = [event["message"] for event in json_lines(log) if "was ended by SIGABRT" in event["message"]]
        assert told.startswith(f"worker {old} of generation 1 was ended by SIGABRT")
        assert "; its last words: " in told and "one half, and the other" in told and "unmarked, too" in told


def test_a_trial_is_logged_as_the_log_is(start_stage, stage, run_dir):
    log = run_dir / "host.json"
    host, controlled = start_stage("--log", log, "--log-format", "json", "--reload-interval", "0s", workers=1)
    stage.let_start(0)
    assert controlled.reload().returncode == 1
    told = [event for event in json_lines(log) if event.get("event") == "trial"]
    assert any("it was started often enough" in event["message"] and event["level"] == "error" for event in told), told
    assert not lines_of(host.log)


def test_the_log_and_its_level_are_those_of_the_new_options_for_old_workers_too(start_stage, stage, run_dir):
    stage.map(a="generation::Version, generation", talk="generation::Talk, generation")
    config, first, second = run_dir / "weft.ini", run_dir / "first.log", run_dir / "second.log"
    config.write_text(f"log = {first}\nlog-level = info\n")
    host, controlled = start_stage("--config", config, workers=1)

    def log_level(*level):
        return subprocess.run([controlled.weft, "log-level", *level, "--control", controlled.control],
                              capture_output=True, text=True, timeout=30, check=True).stdout

    assert log_level("error") == "error\n"
    config.write_text(f"log = {run_dir}/none/a.log\n")
    result = controlled.reload()
    assert result.returncode == 1 and "name another file with --log" in result.stderr
    assert log_level() == "error\n"
    config.write_text(f"log = {second}\nlog-level = debug\n")
    with talking(stage, host, "/talk") as connection:
        assert controlled.reload().returncode == 0
        assert log_level() == "debug\n"
        assert log_level("warning") == "warning\n"
        host.process.send_signal(signal.SIGHUP)
        wait_for("the level of the options", lambda: log_level() == "debug\n")
        first.rename(run_dir / "renamed.log")
        host.process.send_signal(signal.SIGUSR1)
        wait_for("the old worker's log", first.exists)
        (stage.folder / "go").touch()
        assert connection.read_response()[1].body == b"talked\n"
    controlled.is_alone(2)
    assert "generation 2 serves" in second.read_text()


@pytest.fixture
def start_for_all(processes, installation):
    """Starts a host that another account may be given to: (host, controlled)."""
    def start(*options, **more):
        copy = installation.copy(processes.run_dir / "site")
        processes.run_dir.chmod(0o777)
        host = Host(processes, copy, "--control", processes.run_dir / "control.sock", *options,
                    env={**os.environ, "LD_LIBRARY_PATH": str(copy.libraries)}, **more)
        return host, Controlled(installation.weft, processes.run_dir / "control.sock", host.process)
    return start


@ROOT
def test_rights_are_those_of_the_new_options_and_the_trial_has_them(start_for_all, run_dir):
    config = run_dir / "weft.ini"
    config.write_text("")
    host, controlled = start_for_all("--config", config, "--socket-mode", "0666", workers=2)

    def users():
        return {facts_of(worker)["Uid"][0] for worker in host.workers()}

    assert users() == {"0"}
    config.write_text("user = no-such-account\n")
    result = controlled.reload()
    assert result.returncode == 1 and "--user: there is no user 'no-such-account'" in result.stderr
    # The log that root's workers have made.
    config.write_text("user = nobody\n")
    result = controlled.reload()
    assert result.returncode == 1 and "access.log: Permission denied" in result.stderr
    host.access_log.chmod(0o666)
    config.write_text("user = nobody\nsocket-group = no-such-group\n")
    result = controlled.reload()
    assert result.returncode == 1 and "--socket-group: there is no group" in result.stderr
    # Modules that root may read, and that user may not.
    config.write_text("user = nobody\nno-new-privileges = true\nsocket-owner = nobody\n")
    host.installation.modules.chmod(0o700)
    result = controlled.reload()
    assert result.returncode == 1, result
    host.installation.modules.chmod(0o755)
    assert users() == {"0"}

    for generation in (2, 3):  # and the supervisor keeps its own, so that it can do so again
        assert controlled.reload().stdout == f"generation {generation} serves\n"
        controlled.is_alone(generation)
        assert "0" not in users()
        assert facts_of(host.process.pid)["Uid"] == ["0"] * 4
        assert {facts_of(worker)["NoNewPrivs"][0] for worker in host.workers()} == {"1"}
        assert os.stat(host.address.removeprefix("unix:")).st_uid == int(facts_of(host.workers()[0])["Uid"][0])
        assert says_hello(host.get("/hello.ashx"))
    workers = host.workers()
    host.process.kill()
    host.process.wait()
    wait_for("the workers' end", lambda: not [pid for pid in workers if os.path.exists(f"/proc/{pid}")])


# --- Ways to start --------------------------------------------------------------------------------------


def test_without_a_supervisor_there_is_no_reload(start):
    host = start()
    host.process.send_signal(signal.SIGUSR2)
    wait_for("the line", lambda: "SIGUSR2: a process that serves itself (--workers 0) cannot be reloaded" in
             host.log.read_text())
    assert says_hello(host.get("/hello.ashx"))


@pytest.mark.parametrize("way", ["fd:0", "nothing", "systemd"])
def test_inherited_sockets_stay(processes, installation, run_dir, way):
    path, control = run_dir / "weft.sock", run_dir / "control.sock"
    listener = fcgi.socket.socket(fcgi.socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    command = [installation.weft, "serve", "--workers", 1, "--control", control, "--mappings", installation.mappings,
               "--modules", installation.modules]
    if way == "fd:0":
        command += ["--listen", "fd:0"]
    options = {"stdin": listener}
    if way == "systemd":
        script = 'exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        command = ["/bin/sh", "-c", script, "sh", *command]
    process = processes.start("weft", command, **options)
    listener.close()
    controlled = Controlled(installation.weft, control, process)
    wait_for("weft", lambda: fcgi.accepts(f"unix:{control}"))
    for generation in (2, 3):
        assert controlled.reload().stdout == f"generation {generation} serves\n"
        controlled.is_alone(generation)
        variables = fcgi.variables(installation.document_root, "GET", "/hello.ashx", None)
        assert says_hello(fcgi.exchange(f"unix:{path}", variables))
    assert processes.stop(process) == 0


# --- The commands ---------------------------------------------------------------------------------------


def test_the_trial_is_a_command(installation, run_dir, mappings, file):
    def trial(*options):
        return subprocess.run([installation.weft, "trial", "--listen", f"unix:{run_dir}/a.sock", "--mappings", mappings,
                               "--modules", installation.modules, *options], capture_output=True, text=True, timeout=60)
    result = trial()
    assert (result.returncode, result.stderr) == (0, "")
    assert not (run_dir / "a.sock").exists()
    file.write_text(mapping(a="samples::None, hello"))
    result = trial()
    assert result.returncode == 78
    assert "samples::None" in result.stderr
    assert trial("--max-prams", "1").returncode == 64
    file.write_text(mapping(a=HELLO))
    for options, words in ((["--user", "no-such-account"], "--user: there is no user"),
                           (["--log", "/none/a.log"], "name another file with --log"),
                           (["--workers", "0", "--metrics-listen", f"unix:{run_dir}/m.sock"], "--metrics-listen needs a supervisor")):
        result = trial(*options)
        assert result.returncode == 78 and words in result.stderr


def test_nobody_to_be_reloaded(installation, run_dir):
    def reload(*options):
        return subprocess.run([installation.weft, "reload", *options], capture_output=True, text=True, timeout=60)
    result = reload("--control", run_dir / "none.sock")
    assert result.returncode == 69
    assert "there is no such socket" in result.stderr
    assert reload().returncode == 64


# --- Under load ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["lighttpd-socket", "nginx", "nginx-no-keep-conn", "apache-proxy", "haproxy"])
def test_no_request_is_lost_behind(server, processes, installation):
    control = processes.run_dir / "control.sock"
    site = servers.ALL[server](processes, installation, weft_options=[f"control = {control}"])
    controlled = Controlled(installation.weft, control, site.weft)

    with Load(asking(site)) as load:
        for number in range(1, RELOADS + 1):
            load.wait_for_more()
            result = controlled.reload()
            assert (result.returncode, result.stderr) == (0, "")
            if load.failures:
                break
        load.wait_for_more()
    assert load.failures == [], f"after {number} reloads"
    assert controlled.is_alone(RELOADS + 1)["reload"]["number"] == RELOADS
    print(f"{server}: {sum(load.answers)} answers, {RELOADS} reloads")


@pytest.mark.parametrize("server", ["lighttpd-spawn", "apache-fcgid"])
def test_no_request_is_lost_by_hosts_that_were_spawned_by(server, processes, installation):
    site = servers.ALL[server](processes, installation, weft_options=["workers = 1"])

    def supervisors():
        found = {pid for pid, command in processes_that_mention(str(processes.run_dir)).items()
                 if "weft serve" in command}
        return found - {child for pid in found for child in children_of(pid)}

    def generations():
        logs = [processes.run_dir / name for name in ("lighttpd.log", "apache.log", "error.log")]
        return len([line for log in logs for line in lines_of(log) if line.rstrip().endswith(" serves")])

    with Load(asking(site), clients=3) as load:
        for number in range(1, RELOADS + 1):
            load.wait_for_more()
            before, asked = generations(), supervisors()
            for pid in asked:
                os.kill(pid, signal.SIGUSR2)
            wait_for("the new generations", lambda: load.failures or generations() >= before + len(asked), timeout=30)
            if load.failures:
                break
        load.wait_for_more()
    assert load.failures == [], f"after {number} reloads"
    assert asked
    print(f"{server}: {sum(load.answers)} answers, {RELOADS} reloads of {len(asked)}")
