"""Who the processes that run handlers are, and who may connect to them."""

import grp
import os
import pathlib
import pwd
import re
import shutil
import stat
import subprocess

import pytest

import fcgi
from host import Host, says_hello
from processes import children_of, wait_for
from test_logs import rotate

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def facts_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


@pytest.fixture
def start_for_all(processes, installation):
    """Starts a host that another account may be given to: what it reads may be read by everybody, and its log be written."""
    def start_host(*options, **more):
        copy = installation.copy(processes.run_dir / "site")
        processes.run_dir.chmod(0o777)
        return Host(processes, copy, *options, env={**os.environ, "LD_LIBRARY_PATH": str(copy.libraries)}, **more)
    return start_host


@ROOT
def test_workers_are_the_user_and_the_supervisor_is_not(start_for_all):
    nobody = pwd.getpwnam("nobody")
    host = start_for_all("--user", "nobody", "--umask", "027", "--limit", "fsize=1G:2G", "--no-new-privileges", workers=2)
    assert says_hello(host.get("/hello.ashx")) and says_hello(host.get("/hello-async.ashx"))
    assert facts_of(host.process.pid)["Uid"] == ["0"] * 4
    for worker in children_of(host.process.pid):
        facts = facts_of(worker)
        assert facts["Uid"] == [str(nobody.pw_uid)] * 4
        assert facts["Gid"] == [str(nobody.pw_gid)] * 4
        assert "0" not in facts["Groups"]
        assert facts["CapEff"] == ["0" * 16]
        assert facts["NoNewPrivs"] == ["1"]
        assert facts["Umask"] == ["0027"]
        limits = pathlib.Path(f"/proc/{worker}/limits").read_text()
        assert next(line for line in limits.splitlines() if "file size" in line).split()[3:5] == [
            str(1 << 30), str(2 << 30)]


@ROOT
@pytest.mark.parametrize("workers", [0, 1])
def test_what_the_user_may_not_read_is_forbidden(workers, start_for_all):
    host = start_for_all("--user", "nobody", workers=workers)
    secret = host.installation.document_root / "secret.html"
    secret.write_text("root's")
    secret.chmod(0o600)
    assert host.get("/secret.html").status == 403
    secret.chmod(0o644)
    assert host.get("/secret.html").status == 200


@ROOT
def test_a_worker_of_another_user_ends_with_its_supervisor(start_for_all):
    host = start_for_all("--user", "nobody", workers=1)
    worker, = children_of(host.process.pid)
    host.process.kill()
    host.process.wait()
    wait_for("the worker's end", lambda: not pathlib.Path(f"/proc/{worker}").exists())


def test_accounts_that_are_not_there_refuse_the_start(installation, run_dir):
    for option in ("--user", "--group", "--socket-owner", "--socket-group"):
        result = subprocess.run([installation.weft, "serve", "--listen", f"unix:{run_dir}/s.sock", option, "no-such-account"],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
        assert result.returncode == 78
        assert f"{option}: there is no" in result.stderr
        assert not (run_dir / "s.sock").exists()


@ROOT
def test_the_socket_belongs_to_whom_it_is_given(start):
    host = start("--socket-owner", "nobody", "--socket-group", "daemon", "--socket-mode", "0640", workers=1)
    status = os.stat(host.address.removeprefix("unix:"))
    assert pwd.getpwuid(status.st_uid).pw_name == "nobody"
    assert grp.getgrgid(status.st_gid).gr_name == "daemon"
    assert stat.S_IMODE(status.st_mode) == 0o640


@pytest.mark.parametrize(["listen", "allowed", "is_answered"], [
    ("tcp4", "127.0.0.1", True), ("tcp4", "127.0.0.0/8", True), ("tcp4", "192.0.2.1", False), ("tcp4", "unix", False),
    ("tcp6", "::1", True), ("tcp6", "127.0.0.1", False),
    ("unix", "unix", True), ("unix", "127.0.0.1", False)])
@pytest.mark.parametrize("by", ["option", "FCGI_WEB_SERVER_ADDRS"])
def test_only_those_who_are_allowed_are_answered(by, listen, allowed, is_answered, start):
    if by == "option":
        host = start("--allowed-clients", allowed, listen=listen)
    else:
        host = start(listen=listen, env={**os.environ, "FCGI_WEB_SERVER_ADDRS": allowed})
    if is_answered:
        assert says_hello(host.get("/hello.ashx"))
    else:
        with host.connect() as connection:
            try:
                connection.send(fcgi.request(host.variables("/hello.ashx")))
                assert connection.socket.recv(1) == b""
            except ConnectionError:
                pass
        wait_for("the refusal in the log", lambda: "its peer is not among --allowed-clients" in host.log.read_text())
        assert not host.access_lines("hello")


def start_with_logs_in_a_folder_of_root(start_for_all, run_dir):
    """Workers of nobody, whose logs lie in a folder where only root may make files."""
    host = start_for_all("--user", "nobody", "--log", run_dir / "host.json", "--log-format", "json", "--log-rate", "0",
                         workers=2)
    host.get("/before")
    host.wait_for_access_line('url="/before"')
    run_dir.chmod(0o755)
    return host


def signal_usr1(host):
    return f"postrotate\n  kill -USR1 {host.process.pid}\n  endscript"


@ROOT
def test_root_rotates_logs_for_workers_of_another_user(start_for_all, run_dir):
    host = start_with_logs_in_a_folder_of_root(start_for_all, run_dir)
    rotate(run_dir, "rotate 9", "create 0640 nobody nogroup", "nocompress", "sharedscripts", signal_usr1(host))

    def all_write_into_the_new_files():
        host.get("/after")
        told = (run_dir / "host.json").read_text()
        return all(host.access_lines(f"pid={pid} ") and f'"pid":{pid}' in told.replace(" ", "") for pid in host.workers())
    wait_for("both workers in the new files", all_write_into_the_new_files)
    assert "cannot be opened anew" not in host.log.read_text()
    assert "/after" not in (run_dir / "access.log.1").read_text()


@ROOT
def test_a_log_that_root_keeps_for_itself_is_told_of_with_the_advice_and_the_old_one_goes_on(start_for_all, run_dir):
    host = start_with_logs_in_a_folder_of_root(start_for_all, run_dir)
    rotate(run_dir, "rotate 9", "create 0640 root root", "nocompress", "sharedscripts", signal_usr1(host))
    # The supervisor, which root's file is no trouble for, logs what its workers say.
    wait_for("the complaints", lambda: (run_dir / "host.json").read_text().count(
        "cannot be opened anew: Permission denied; its lines go where they went before: let the user of this process write "
        "it, by 'create 0640 USER GROUP' of logrotate, say") >= 4)  # two logs of two workers
    host.get("/after")
    wait_for("the line", lambda: "/after" in (run_dir / "access.log.1").read_text())
    assert (run_dir / "access.log").read_text() == ""


def libraries_of(program):
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True, timeout=60).stdout
    return {pathlib.Path(path) for path in re.findall(r"(/\S+\.so\S*)", listed)}


@ROOT
@pytest.mark.parametrize("by", ["option", "chroot"])
def test_the_whole_host_runs_in_a_root_of_its_own(processes, installation, run_dir, by):
    """As docs/guide/running.md has it; but /proc, which is mounted there, and what needs it."""
    jail = run_dir / "jail"
    for folder in ("bin", "modules", "run", "tmp", "site"):
        (jail / folder).mkdir(parents=True)
    (jail / "tmp").chmod(0o777)
    shutil.copy2(installation.weft, jail / "bin")
    shutil.copy2(installation.modules / "hello.so", jail / "modules")
    for library in libraries_of(installation.weft) | libraries_of(installation.modules / "hello.so"):
        # Those of the build where the linker looks by itself.
        target = jail / (f"lib/{library.name}" if library.is_relative_to(installation.libraries) else str(library)[1:])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(library, target)
    shutil.copytree(installation.document_root, jail / "site" / "www")
    (jail / "site" / "www" / "only.ashx").write_text('<%@ WebHandler Class="samples::Hello, hello" %>')
    (jail / "site" / "mappings" / "default").mkdir(parents=True)
    (jail / "site" / "mappings" / "default" / "mapping.json").write_text("{}")
    subprocess.run(["chmod", "-R", "a+rX", run_dir], check=True, timeout=60)
    if by == "option":
        shutil.copytree(jail / "bin", run_dir / "bin")  # where it is not inside
        start = [run_dir / "bin" / "weft", "serve", "--chroot", jail]
        libraries = str(installation.libraries)
    else:
        start = [shutil.which("chroot") or "/usr/sbin/chroot", jail, "/bin/weft", "serve"]
        libraries = "/lib"
    host = processes.start("weft", [
        *start, "--user", "65534", "--group", "65534",
        "--listen", "unix:/run/weft.sock", "--mappings", "/site/mappings", "--modules", "/modules", "--workers", "1",
        "--control", "/run/control.sock"], env={"PATH": "/bin", "LD_LIBRARY_PATH": libraries})
    address = f"unix:{jail}/run/weft.sock"
    wait_for("the host", lambda: host.poll() is not None or fcgi.accepts(address))
    assert host.poll() is None, (run_dir / "weft.log").read_text()

    def get(path, document_root):
        return fcgi.exchange(address, fcgi.variables(document_root, "GET", path))
    # The web server says where the files are inside; what is said of outside is not there.
    assert says_hello(get("/only.ashx", "/site/www"))
    assert get("/only.ashx", jail / "site" / "www").status == 404
    worker, = children_of(host.pid)
    assert os.readlink(f"/proc/{worker}/root") == str(jail)
    assert facts_of(worker)["Uid"] == ["65534"] * 4
    if by == "option":
        # The program is not inside, so that it cannot be executed: told, and nothing else happens.
        result = subprocess.run([installation.weft, "reload", "--control", f"{jail}/run/control.sock"], capture_output=True, text=True,
                                timeout=60)
        assert result.returncode != 0 and "No such file or directory" in result.stderr, result
        assert says_hello(get("/only.ashx", "/site/www"))


def serve_below(installation, root, **more):
    return subprocess.run([installation.weft, "serve", "--chroot", root, "--listen", "unix:/tmp/never.sock"], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "LD_LIBRARY_PATH": str(installation.libraries)}, **more)


def test_a_root_that_is_not_there_refuses_the_start(installation, run_dir):
    result = serve_below(installation, run_dir / "nowhere")
    assert result.returncode == 78
    assert f"--chroot {run_dir}/nowhere: No such file or directory: give a folder" in result.stderr


@ROOT
def test_only_root_changes_the_root(processes, installation):
    copy = installation.copy(processes.run_dir / "site")
    processes.run_dir.chmod(0o777)
    result = serve_below(copy, processes.run_dir, user=65534, group=65534, extra_groups=[])
    assert result.returncode == 77
    assert f"--chroot {processes.run_dir}: Operation not permitted: only root may" in result.stderr
