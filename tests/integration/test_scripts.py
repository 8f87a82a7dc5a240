"""scripts/run serves the sample site and leaves nothing behind; scripts/setup asks before it removes; the renderer refuses."""

import http.server
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import urllib.request

import pytest

from processes import free_port, processes_that_mention, unprivileged_account, wait_for
from servers import ROOT


def folders_of_runs(parent="/tmp"):
    return set(pathlib.Path(parent).glob("weft-run.*"))


class Run:
    """A running scripts/run."""

    def __init__(self, processes, installation, *arguments, root=ROOT, temporary=None, **options):
        self.port = free_port()
        self.temporary = temporary or processes.run_dir
        self.log = processes.run_dir / "run.log"
        # A build tree has the program in bin/, a copy has it at the top.
        build_dir = installation.weft.parent.parent
        self.process = processes.start(
            "run", [root / "scripts" / "run", "--port", self.port, "--build-dir", build_dir, *arguments],
            env={**os.environ, "TMPDIR": str(self.temporary)}, **options)
        wait_for("the site", lambda: self.process.poll() is not None or "The sample site runs" in self.output(),
                 timeout=20)
        assert self.process.poll() is None, self.output()

    def output(self):
        return self.log.read_text()

    def get(self, target):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{target}", timeout=10) as response:
            return response.status, response.headers["Content-Type"], response.read()

    def assert_the_site_is_served(self):
        assert f"http://127.0.0.1:{self.port}/" in self.output()
        status, content_type, body = self.get("/hello.ashx")
        assert (status, content_type.split(";")[0], body.rstrip(b"\n")) == (200, "text/plain", b"Hello, world")
        assert self.get("/")[1].startswith("text/html")
        assert self.get("/echo.ashx/a/tail?name=value")[0] == 200

    def assert_nothing_is_left(self):
        assert folders_of_runs(self.temporary) == set()
        assert processes_that_mention(f"{self.temporary}/weft-run.") == {}
        with socket.socket() as probe:  # nobody listens any more
            assert probe.connect_ex(("127.0.0.1", self.port)) != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("server", ["lighttpd", "apache", "nginx"])
def test_the_site_is_served_until_a_signal_and_nothing_is_left(processes, installation, server, number):
    run = Run(processes, installation, "--server", server)
    run.assert_the_site_is_served()
    run.process.send_signal(number)
    assert run.process.wait(15) == 128 + number
    run.assert_nothing_is_left()


def test_it_ends_while_a_request_runs(processes, installation):
    run = Run(processes, installation)
    with urllib.request.urlopen(f"http://127.0.0.1:{run.port}/clock.ashx?seconds=60", timeout=10) as response:
        assert response.read(1)
        run.process.send_signal(signal.SIGTERM)
        run.process.wait(15)
    assert "are killed" not in run.output()
    run.assert_nothing_is_left()


def test_it_runs_from_a_path_with_blanks(processes, installation):
    root = processes.run_dir / "a path & blanks"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copytree(ROOT / "handlers" / "samples" / "www", root / "handlers" / "samples" / "www")
    shutil.copytree(ROOT / "handlers" / "samples" / "mappings", root / "handlers" / "samples" / "mappings")
    for server in ("lighttpd", "apache", "nginx"):
        run = Run(processes, installation, "--server", server, root=root)
        run.assert_the_site_is_served()
        processes.stop(run.process)
        run.assert_nothing_is_left()
        run.log.unlink()


@pytest.mark.parametrize("server", ["lighttpd", "apache", "nginx"])
def test_it_runs_as_an_unprivileged_user(processes, installation, server):
    account = unprivileged_account()
    if account is None:
        pytest.skip("the tests run as one already: every other test of this file shows it")
    root = processes.run_dir / "checkout"
    copy = installation.copy(root)
    (root / "bin").mkdir()
    copy.weft.rename(root / "bin" / "weft")
    copy.weft = root / "bin" / "weft"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    (root / "handlers" / "samples").mkdir(parents=True)
    copy.document_root.rename(root / "handlers" / "samples" / "www")
    copy.mappings.rename(root / "handlers" / "samples" / "mappings")
    temporary = processes.run_dir / "tmp"
    temporary.mkdir()
    os.chown(temporary, account.pw_uid, account.pw_gid)
    os.environ["LD_LIBRARY_PATH"] = str(copy.libraries)
    try:
        run = Run(processes, copy, "--server", server, root=root, temporary=temporary,
                  user=account.pw_uid, group=account.pw_gid, extra_groups=[])
    finally:
        del os.environ["LD_LIBRARY_PATH"]
    run.assert_the_site_is_served()
    processes.stop(run.process)
    run.assert_nothing_is_left()


def test_it_ends_with_its_web_server(processes, installation):
    run = Run(processes, installation)
    server = next(pid for pid, command in processes_that_mention(f"{run.temporary}/weft-run.").items()
                  if "lighttpd -D" in command)
    os.kill(server, signal.SIGKILL)
    assert run.process.wait(20) == 1
    assert "ended by itself" in run.output()
    run.assert_nothing_is_left()


def test_what_it_started_ends_when_it_is_killed(processes, installation):
    run = Run(processes, installation)
    run.process.kill()
    run.process.wait(5)
    wait_for("the web server and weft to end", lambda: not processes_that_mention(f"{run.temporary}/weft-run."))


@pytest.mark.parametrize("command", ["realpath", "mktemp", "mkdir", "ln", "touch"])
def test_a_signal_at_any_step_of_the_start_leaves_nothing(processes, installation, command):
    temporary = processes.run_dir / "tmp"
    programs = processes.run_dir / "programs"
    temporary.mkdir()
    programs.mkdir()
    # The step is done, and then the signal comes.
    (programs / command).write_text(f'#!/bin/sh\n{shutil.which(command)} "$@"\nkill -TERM "$PPID"\n')
    (programs / command).chmod(0o755)
    result = subprocess.run(
        [ROOT / "scripts" / "run", "--server", "nginx", "--port", str(free_port()), "--build-dir",
         installation.weft.parent.parent],
        env={**os.environ, "TMPDIR": str(temporary), "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=30)
    assert result.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM), result.stderr
    assert folders_of_runs(temporary) == set()
    assert processes_that_mention(f"{temporary}/weft-run.") == {}


class SaysYes(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # the library's name
        self.send_response(200)
        self.end_headers()


@pytest.mark.parametrize("server", ["lighttpd", "apache", "nginx"])
def test_a_port_that_is_taken_during_the_start_is_not_taken_for_the_site(processes, installation, server):
    programs = processes.run_dir / "programs"
    programs.mkdir()
    # The script waits in its first step behind the look at the port.
    (programs / "mkdir").write_text(
        f'#!/bin/sh\n{shutil.which("mkdir")} "$@"\ntouch {programs}/waits\n'
        f'while [ ! -e {programs}/go ]; do sleep 0.02; done\n')
    (programs / "mkdir").chmod(0o755)
    port = free_port()
    process = processes.start(
        "run", [ROOT / "scripts" / "run", "--server", server, "--port", port, "--build-dir",
                installation.weft.parent.parent],
        env={**os.environ, "TMPDIR": str(processes.run_dir), "PATH": f"{programs}:{os.environ['PATH']}"})
    wait_for("the script to wait", (programs / "waits").exists)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), SaysYes) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        try:
            (programs / "go").touch()
            assert process.wait(20) == 1
        finally:
            other.shutdown()
            thread.join()
    output = (processes.run_dir / "run.log").read_text()
    assert "The sample site runs" not in output
    assert "ended before the site answered" in output and "in use" in output


def test_a_port_in_use_is_refused_in_one_line(installation):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        before = folders_of_runs()
        result = subprocess.run([ROOT / "scripts" / "run", "--port", str(port), "--build-dir",
                                 installation.weft.parent.parent], capture_output=True, text=True, timeout=20)
    assert result.returncode == 69
    assert result.stderr.splitlines() == [f"run: port {port} is in use: choose another with --port, or stop what "
                                          "listens there"]
    assert folders_of_runs() <= before


@pytest.mark.parametrize("arguments", [["--server", "iis"], ["--port", "0"], ["--port", "many"], ["--port"], ["--no"]])
def test_a_wrong_option_is_refused(arguments):
    result = subprocess.run([ROOT / "scripts" / "run", *arguments], capture_output=True, text=True, timeout=20)
    assert result.returncode == 64
    assert result.stderr.startswith("run: ")


# --- scripts/servers/render ------------------------------------------------------------------------------


def render(template, *assignments):
    return subprocess.run([ROOT / "scripts" / "servers" / "render", template, *assignments],
                          capture_output=True, text=True, timeout=20)


def test_the_renderer_fills_in_values_as_they_are(tmp_path):
    template = tmp_path / "template"
    template.write_text("a @NAME@ b @NAME@@OTHER@\n@ x@y.z @lower@\n")
    result = render(template, "NAME=one & two, /path with blank/\u00e4", "OTHER=")
    assert result.stdout == ("a one & two, /path with blank/\u00e4 b one & two, /path with blank/\u00e4\n"
                             "@ x@y.z @lower@\n")


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a$b", "a#b", "a\nb", "@OTHER@"])
def test_the_renderer_refuses_what_it_cannot_quote(tmp_path, value):
    template = tmp_path / "template"
    template.write_text("@NAME@\n")
    result = render(template, f"NAME={value}")
    assert (result.returncode, result.stdout) == (64, "")
    assert "NAME" in result.stderr


def test_the_renderer_refuses_a_template_with_a_value_missing(tmp_path):
    template = tmp_path / "template"
    template.write_text("@NAME@ @SOCKET@\n")
    result = render(template, "NAME=x")
    assert (result.returncode, result.stdout) == (64, "")
    assert "@SOCKET@" in result.stderr


# --- scripts/setup ---------------------------------------------------------------------------------------


def test_setup_says_nothing_when_all_is_there():
    for arguments in ([], ["--run"], ["--run", "apache"], ["--run", "nginx"]):
        result = subprocess.run([ROOT / "scripts" / "setup", *arguments], cwd="/", capture_output=True, text=True,
                                timeout=30)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.fixture
def fresh_debian(tmp_path):
    """A PATH on which nothing is installed, everybody is root, and apt-get writes down what it is asked to do."""
    commands = tmp_path / "commands"
    programs = {
        "dpkg-query": "exit 1",
        "id": "echo 0",
        "apt-get": f'echo "$*" >>{commands}\ncase " $* " in *" -s "*) cat {tmp_path}/simulation ;; esac',
    }
    for name, text in programs.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    def setup(simulation, *arguments):
        (tmp_path / "simulation").write_text(simulation)
        result = subprocess.run([ROOT / "scripts" / "setup", *arguments], capture_output=True, text=True, timeout=30,
                                env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
        return result, commands.read_text().splitlines()
    return setup


def test_setup_never_removes_a_package_without_being_told_to(fresh_debian):
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    before = policy.read_bytes() if policy.exists() else None
    result, commands = fresh_debian("Remv libboost1.74-dev [1.74.0]\nRemv libboost-all-dev [1.74.0]\n"
                                    "Inst libboost1.81-dev (1.81.0)\n")
    assert result.returncode == 3
    for package in ("libboost1.74-dev", "libboost-all-dev", "--allow-remove"):
        assert package in result.stderr
    assert "libboost1.81-dev" not in [line.split()[-1] for line in result.stderr.splitlines()]
    assert [command for command in commands if " install " in f" {command} " and " -s " not in f" {command} "] == []
    assert (policy.read_bytes() if policy.exists() else None) == before
