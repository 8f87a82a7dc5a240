"""The host's logs: their forms, where they go, that they are rotated without a lost line, and what is caught of handlers."""

import json
import pathlib
import re
import signal
import socket
import subprocess
import threading

import pytest

import fcgi
from processes import lines_of, wait_for

LOGROTATE = "/usr/sbin/logrotate"


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def supervisor_of(host):
    """Its process: that of the host, once setpriv has become it."""
    return host.process.pid


def test_a_log_of_json_has_one_object_a_line_with_what_all_have(start, run_dir):
    log = run_dir / "host.log.json"
    host = start("--log", log, "--log-format", "json", "--log-level", "debug", workers=2)
    assert host.get("/no-such.ashx").status == 404
    wait_for("the line of the request", lambda: [x for x in json_lines(log) if "request" in x])
    host.stop()
    lines = json_lines(log)
    assert not lines_of(host.log)  # standard error has nothing
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]), line
        assert line["level"] in ("debug", "info", "warning", "error") and line["pid"] > 0 and line["message"]
    assert {line.get("process") for line in lines if "ready" in line["message"]} == {"supervisor"}
    failed = [line for line in lines if "request" in line]
    assert len(failed) == 1 and failed[0]["process"].startswith("worker ")
    assert failed[0]["request"] in failed[0]["message"] and failed[0]["event"]


class Load:
    """Requests, one after another on some threads, until it is stopped; it counts them."""

    def __init__(self, host, threads=3):
        self.host, self.done, self.answered = host, threading.Event(), []
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]

    def run(self):
        answered = 0
        while not self.done.is_set():
            response = self.host.get(f"/rotated-{threading.get_ident()}-{answered}")
            answered += response.status == 404
        self.answered.append(answered)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self.done.set()
        for thread in self.threads:
            thread.join()

    def count(self):
        return sum(self.answered)


def rotate(run_dir, *directives, name="logrotate"):
    """One rotation of the logs of run_dir by logrotate itself."""
    configuration = run_dir / f"{name}.conf"
    configuration.write_text(f"{run_dir}/access.log {run_dir}/host.json {{\n" +
                             "".join(f"  {directive}\n" for directive in directives) + "}\n")
    configuration.chmod(0o644)
    result = subprocess.run([LOGROTATE, "--force", "--state", run_dir / f"{name}.state", configuration],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("workers", [0, 2])
def test_logrotate_with_create_loses_and_tears_no_line(start, run_dir, workers):
    assert pathlib.Path(LOGROTATE).exists(), "scripts/setup installs it"
    log = run_dir / "host.json"
    host = start("--log", log, "--log-format", "json", "--log-rate", "0", workers=workers)
    with Load(host) as load:
        for number in range(1, 5):
            before = len(lines_of(host.access_log)) if host.access_log.exists() else 0
            wait_for("lines", lambda: len(lines_of(host.access_log)) > before + 20)
            rotate(run_dir, "rotate 9", "create 0640", "nocompress", "sharedscripts",
                   f"postrotate\n  kill -USR1 {supervisor_of(host)}\n  endscript")
            # Every process has come to the new file when it has written into it, and no older one grows any more.
            for pid in host.workers() or [host.process.pid]:
                wait_for(f"process {pid} in the new file",
                         lambda: host.process.poll() is not None or host.access_lines(f"pid={pid} "))
    assert host.stop() == 0
    access = [line for file in run_dir.glob("access.log*") for line in file.read_text().splitlines()]
    urls = [re.fullmatch(r'time=\S+ pid=\d+ id=\d+ request="\S+" remote="\S*" method="GET" url="(/rotated-\S+)" '
                         r'status=404 .*outcome=\w+', line) for line in access]
    assert all(urls), [line for line, url in zip(access, urls) if not url][:3]
    assert len({url[1] for url in urls}) == len(urls) == load.count()
    told = [line for file in run_dir.glob("host.json*") for line in json_lines(file)]
    assert len([line for line in told if line.get("event") == "file_not_found"]) == load.count()
    assert len(list(run_dir.glob("access.log*"))) == 5


def test_logrotate_with_copytruncate_needs_no_signal_and_tears_no_line(start, run_dir):
    log = run_dir / "host.json"
    host = start("--log", log, "--log-format", "json", "--log-rate", "0", workers=2)
    answered = 0
    for _ in range(3):
        with Load(host) as load:
            wait_for("lines", lambda: len(lines_of(host.access_log)) > 20)
        answered += load.count()
        # What is written between the copy and the truncation is lost by the way this works; so nothing is, here.
        wait_for("all lines", lambda: sum(len(lines_of(file)) for file in run_dir.glob("access.log*")) == answered)
        wait_for("all lines", lambda: sum("file_not_found" in line for file in run_dir.glob("host.json*")
                                          for line in lines_of(file)) == answered)
        rotate(run_dir, "rotate 9", "copytruncate", "nocompress")
        assert host.access_log.read_bytes() == b"" and log.read_bytes() == b""
    host.get("/last")
    host.wait_for_access_line('url="/last"')
    assert b"\0" not in host.access_log.read_bytes()  # appended, not written at where it was before
    assert sum(len(lines_of(file)) for file in run_dir.glob("access.log*")) == answered + 1
    for file in run_dir.glob("host.json*"):
        json_lines(file)


def test_a_file_that_cannot_be_opened_anew_is_told_of_and_the_old_one_goes_on(start, run_dir):
    folder = run_dir / "logs"
    folder.mkdir()
    host = start("--log", folder / "host.log")
    assert host.get("/no-such").status == 404
    folder.rename(run_dir / "moved")
    host.process.send_signal(signal.SIGUSR1)
    wait_for("the complaint", lambda: [line for line in lines_of(host.log) if "cannot be opened anew" in line])
    host.get("/still-there")
    wait_for("the line", lambda: "/still-there" in (run_dir / "moved" / "host.log").read_text())


def test_a_log_file_that_cannot_be_opened_refuses_the_start(installation, run_dir):
    result = subprocess.run([installation.weft, "serve", "--listen", f"unix:{run_dir}/weft.sock", "--log",
                             run_dir / "no/such/folder"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert result.returncode == 78 and f"{run_dir}/no/such/folder" in result.stderr and "--log" in result.stderr


class Journal:
    """What journald is to the host: a datagram socket, here at another path. It reads records as journald does."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(10)

    def receive(self):
        data, control, _, _ = socket.recv_fds(self.socket, 1 << 20, 1)
        if control:
            with open(control[0], "rb") as file:
                file.seek(0)
                data = file.read()
        fields = {}
        for line in data.decode().splitlines():
            name, _, value = line.partition("=")
            assert re.fullmatch(r"[A-Z][A-Z0-9_]*", name), line
            fields.setdefault(name, []).append(value)
        return {name: values if name == "WEFT_STACK" else values[0] for name, values in fields.items()}, bool(control)


@pytest.mark.parametrize("workers", [0, 1])
def test_journald_gets_a_record_an_event_in_its_own_protocol(start, run_dir, workers):
    journal = Journal(run_dir / "journal")
    host = start("--log", f"journald:{journal.path}", workers=workers)
    host.get("/no-such.ashx", HTTP_X_REQUEST_ID="asked-1")
    while True:
        record, _ = journal.receive()
        assert record["SYSLOG_IDENTIFIER"] == "weft" and record["PRIORITY"] in "3467" and record["MESSAGE"], record
        if "WEFT_REQUEST_ID" in record:
            break
    assert record["WEFT_REQUEST_ID"] == "asked-1" and "no-such" in record["MESSAGE"]
    assert record["WEFT_EVENT"] == "file_not_found"
    assert int(record["SYSLOG_PID"]) in host.workers() + [host.process.pid]


def test_journald_gets_a_record_that_no_datagram_holds_and_may_be_restarted(start, run_dir):
    journal = Journal(run_dir / "journal")
    host = start("--log", f"journald:{journal.path}", "--max-params-bytes", "1M")
    host.get("/x", HTTP_X_REQUEST_ID="before")
    while journal.receive()[0].get("WEFT_REQUEST_ID") != "before":
        pass
    journal.socket.close()
    pathlib.Path(journal.path).unlink()
    host.get("/x", HTTP_X_REQUEST_ID="lost")
    wait_for("the loss", lambda: [line for line in lines_of(host.log) if "could not be written" in line])
    journal = Journal(run_dir / "journal")
    url = "/" + "x" * 300_000
    host.get(url, HTTP_X_REQUEST_ID="long")
    while True:
        record, by_descriptor = journal.receive()
        if record.get("WEFT_REQUEST_ID") == "long":
            break
    assert by_descriptor and url in record["MESSAGE"]
