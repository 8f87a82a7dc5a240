"""The host's logs: their forms, where they go, that they are rotated without a lost line, and what is caught of handlers."""

import itertools
import json
import pathlib
import re
import signal
import socket
import subprocess
import threading

import pytest

import servers
from processes import lines_of, wait_for
from test_troubles import start_troubles  # noqa: F401, a fixture

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


# --- access lines ----------------------------------------------------------------------------------------

COMBINED = re.compile(r'(\S+ \S+ \S+) \[[^]]+\] (".*" \d{3}) (\S+) (".*" ".*")')


class LoggingApache(servers.ApacheProxy):
    """Apache in front, which writes a combined log of its own."""

    def write_config(self, name, **more):
        config = super().write_config(name, **more)
        with open(config, "a") as file:
            file.write(r'LogFormat "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"" combined' + "\n")
            file.write(f'CustomLog "{self.run_dir}/apache.log" combined\n')
        return config


def test_the_combined_log_is_that_of_apache_for_the_same_requests(installation, processes, run_dir):
    site = LoggingApache(processes, installation, ["access-log-format = combined"])
    count = 0
    for arguments in ([], ["-A", r'agent "quoted" \\ end'], ["-A", "caf\xe9\t."], ["-e", 'http://example.org/a?b="c"'],
                      ["-X", "DELETE"], ["--http1.0"]):
        for path in ("/hello.ashx", "/hello.ashx?a=%22b%22&c=\\", "/echo.ashx/tail?x", "/no-such.ashx"):
            subprocess.run(["curl", "-s", "-o", "/dev/null", *arguments, f"http://127.0.0.1:{site.port}{path}"], check=True,
                           timeout=20)
            count += 1
    wait_for("Apache's lines", lambda: len(lines_of(run_dir / "apache.log")) == count)
    wait_for("Weft's lines", lambda: len(site.access_lines()) == count)
    assert site.access_log.read_text() == "".join(f"{line}\n" for line in site.access_lines())
    for theirs, ours in zip(lines_of(run_dir / "apache.log"), site.access_lines()):
        assert COMBINED.fullmatch(ours).groups() == COMBINED.fullmatch(theirs).groups()


def test_successes_of_a_path_that_is_skipped_have_no_line_and_failures_do(start):
    host = start("--access-log-skip", "/hello.ashx", "--access-log-skip", "/no-such*")
    for path in ("/hello.ashx?a", "/no-such-file", "/echo.ashx", "/hello.ashx"):
        host.get(path)
    host.wait_for_access_line("/echo.ashx")
    host.stop()
    assert [line.split(' url="')[1].split('"')[0] for line in lines_of(host.access_log)] == ["/no-such-file", "/echo.ashx"]


def test_a_wrong_format_refuses_the_start_and_names_the_placeholder(installation):
    result = subprocess.run([installation.weft, "serve", "--access-log-format", "%h %{user_agent}w"],
                            capture_output=True, text=True, timeout=30)
    assert result.returncode == 64 and "'%{user_agent}w' at character 4 of the format is not known" in result.stderr


# --- what handlers write -----------------------------------------------------------------------------------

TALKERS = [("/async", "TalkAsync"), ("/plain", "TalkPlain")]


@pytest.fixture
def talkers(start_troubles, run_dir):  # noqa: F811
    def start_host(*options, **more):
        host = start_troubles(TALKERS, "--log", run_dir / "host.json", "--log-format", "json", *options,
                              **{"workers": 1, **more})
        host.events = lambda **wanted: [event for event in json_lines(run_dir / "host.json")
                                        if all(event.get(key) == value for key, value in wanted.items())]
        host.wait_for_event = lambda **wanted: wait_for(f"an event {wanted}", lambda: host.events(**wanted))[0]
        return host
    return start_host


@pytest.mark.parametrize("handler", ["Async", "Plain"])
@pytest.mark.parametrize(("how", "stream", "text"), [("cerr", "stderr", "said in pieces"), ("stdio", "stderr", "said"),
                                                     ("cout", "stdout", "said")])
def test_what_a_handler_writes_to_a_stream_is_its_requests(talkers, handler, how, stream, text):
    host = talkers()
    assert host.get(f"/{handler.lower()}?how={how}", HTTP_X_REQUEST_ID="mine").body == b"talked\n"
    event = host.wait_for_event(event="handler_output")
    names = {"stderr": "standard error", "stdout": "standard output"}
    assert event["message"] == f"troubles::Talk{handler}: {names[stream]}: {text}"
    assert (event["request"], event["handler"], event["stream"]) == ("mine", f"troubles::Talk{handler}", stream)
    assert event["pid"] == host.workers()[0] and event["process"] == "worker 1"
    assert event["level"] == ("warning" if stream == "stderr" else "info")
    assert not lines_of(host.log)


def test_what_is_written_to_the_descriptor_is_caught_and_attributed_to_nobody(talkers):
    host = talkers()
    host.get("/plain?how=descriptor")
    event = host.wait_for_event(event="handler_output")
    assert event["message"] == "standard error: said" and "request" not in event and "handler" not in event


def test_handlers_that_write_too_much_are_bounded_and_the_rest_is_counted(talkers):
    host = talkers("--log-rate", "1", "--log-burst", "5")
    host.get("/plain?how=descriptor&times=1000")

    def counted():
        told = host.events(event="handler_output")
        return len(told) + sum(event.get("dropped", 0) for event in host.events()) == 1000
    wait_for("all to be told or counted", counted)
    assert len(host.events(event="handler_output")) < 100


def test_a_long_line_is_cut_and_its_rest_counted(talkers):
    host = talkers()
    host.get(f"/plain?how=stdio&text={'x' * 1000}&repeat=20")
    event = host.wait_for_event(event="handler_output")
    assert re.fullmatch(r"troubles::TalkPlain: standard error: x{8192}\.\.\. \(11808 bytes of this line are left out\)",
                        event["message"])


@pytest.mark.parametrize(("how", "words"), [
    ("assert", "unfinished said, .*sky.cpp:7: void Look\\(\\): Assertion `the_sky.is_blue\\(\\)' failed"),
    ("terminate", "terminate called after throwing an instance of 'std::runtime_error' / +what\\(\\): +said"),
])
def test_the_last_words_of_a_worker_are_in_the_report_of_its_end(talkers, how, words):
    host = talkers()
    with pytest.raises((OSError, AssertionError)):
        response = host.get(f"/plain?how={how}", HTTP_X_REQUEST_ID="fatal")
        assert response.status == 200
    end = wait_for("the report", lambda: [event for event in host.events(process="supervisor")
                                          if "was ended by SIGABRT" in event["message"]])[0]
    assert re.search("; its last words: " + words, end["message"]), end["message"]
    said = host.wait_for_event(event="handler_output")
    if how == "assert":
        assert said["request"] == "fatal"


# --- levels ------------------------------------------------------------------------------------------------

def test_the_level_changes_at_run_time_in_all_processes_and_back_on_reload(talkers, installation, run_dir):
    host = talkers("--control", run_dir / "control", "--log-level", "warning", workers=2)

    def log_level(*arguments):
        return subprocess.run([installation.weft, "log-level", *arguments, "--control", run_dir / "control"],
                              capture_output=True, text=True, timeout=30)

    names = itertools.count()

    def is_told():
        name = f"asked-{next(names)}"
        for _ in range(8):  # both workers get some
            host.get("/no-such-path", HTTP_X_REQUEST_ID=name)
        wait_for("the access lines", lambda: len(host.access_lines(f'request="{name}"')) == 8)
        return len({event["pid"] for event in host.events(event="file_not_found", request=name)})

    assert log_level().stdout == "warning\n"
    assert is_told() == 0
    assert log_level("info").stdout == "info\n"
    wait_for("both workers", lambda: is_told() == 2)
    assert log_level("debug").stdout == "debug\n" and log_level("loud").returncode == 64
    host.process.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: log_level().stdout == "warning\n")
    assert is_told() == 0


# --- slow requests -----------------------------------------------------------------------------------------

SLOW = [("/wait", "Wait"), ("/hold", "Hold"), ("/plain", "HoldPlain")]


@pytest.mark.parametrize(("path", "frame", "handler"), [
    ("/wait?ms=1500", "WaitInAFunction", "Wait"),
    ("/wait?ms=1500&offload=1", "HoldTheThread", "Wait"),
    ("/plain?ms=1500", "HoldTheThread", "HoldPlain"),
    ("/hold?ms=1500", "HoldTheThread", "Hold"),
])
def test_a_slow_request_is_told_once_with_the_stack_of_its_handler(start_troubles, run_dir, path, frame, handler):  # noqa: F811
    slow = run_dir / "slow.json"
    host = start_troubles(SLOW, "--slow-log-threshold", "200ms", "--slow-log", slow, "--log-format", "json")
    assert host.get(path, HTTP_X_REQUEST_ID="slow").status == 200
    assert host.get("/wait?ms=1", HTTP_X_REQUEST_ID="quick").status == 200
    wait_for("the entry", lambda: slow.exists() and lines_of(slow))
    host.stop()
    (event,) = json_lines(slow)
    assert event["event"] == "slow_request" and event["request"] == "slow" and event["handler"] == f"troubles::{handler}"
    assert event["elapsed_ms"] >= 200 and 0 <= event["queue_ms"] < event["elapsed_ms"] and event["entry"]
    assert any(frame in line for line in event["stack"]), event
    assert any(f"{handler}::ProcessRequest" in line for line in event["stack"]), event
    assert not any("HandlerLease" in line for line in event["stack"])


def test_a_folder_has_a_threshold_of_its_own(start_troubles):  # noqa: F811
    # No option asks for it: one folder does. The other one is as slow.
    host = start_troubles([("/a/wait", "Wait"), ("/b/wait", "Wait")], more={
        "locations": {"a": {"httpRuntime": {"slowLogThresholdMs": 100}}}})
    assert host.get("/b/wait?ms=600", HTTP_X_REQUEST_ID="never-slow").status == 200
    assert host.get("/a/wait?ms=600", HTTP_X_REQUEST_ID="soon-slow").status == 200
    line = wait_for("the entry", lambda: [line for line in lines_of(host.log) if "is slow: " in line])[0]
    assert "request soon-slow " in line and re.search(r"\(\S+/machine\.json:\d+:\d+: slowLogThresholdMs, 100ms\)", line), line
    host.stop()
    assert not [line for line in lines_of(host.log) if "never-slow" in line]


def test_a_folder_may_be_left_out_of_the_slow_log(start_troubles):  # noqa: F811
    host = start_troubles([("/a/wait", "Wait"), ("/b/wait", "Wait")], "--slow-log-threshold", "100ms", more={
        "locations": {"a": {"httpRuntime": {"slowLogThresholdMs": 0}}}})
    assert host.get("/a/wait?ms=600", HTTP_X_REQUEST_ID="never-slow").status == 200
    assert host.get("/b/wait?ms=600", HTTP_X_REQUEST_ID="soon-slow").status == 200
    line = wait_for("the entry", lambda: [line for line in lines_of(host.log) if "is slow: " in line])[0]
    assert "request soon-slow " in line and "(--slow-log-threshold 100ms)" in line
    host.stop()
    assert not [line for line in lines_of(host.log) if "never-slow" in line]


def test_without_a_file_slow_requests_are_in_the_log(start_troubles):  # noqa: F811
    host = start_troubles(SLOW, "--slow-log-threshold", "100ms")
    host.get("/wait?ms=600")
    line = wait_for("the entry", lambda: [line for line in lines_of(host.log) if "is slow: " in line])[0]
    assert "until its handler was called" in line and "it is here:" in line
    wait_for("the stack", lambda: [line for line in lines_of(host.log) if "slow_request:   #" in line])
