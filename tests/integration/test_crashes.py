"""Workers that die: what is told of it, and of the requests that they held."""

import contextlib
import json
import os
import pathlib
import re
import signal
import stat
import subprocess

import pytest

import fcgi
from controlled import Controlled
from memory_group import MemoryGroup, NoGroup
from processes import children_of, wait_for

ENTRIES = [("/plain", "Plain"), ("/async", "Async"), ("/hold", "Hold")]


@pytest.fixture
def asan(pytestconfig):
    return pathlib.Path(pytestconfig.getoption("--build-dir")).name == "asan"


@pytest.fixture
def without_asan(asan):
    if asan:
        pytest.skip("the sanitizer reports it itself, and ends the process by an exit")


@pytest.fixture
def mappings(run_dir):
    folder = run_dir / "mappings"
    folder.mkdir()
    adds = ",\n".join(json.dumps({"add": {"verb": "*", "path": path, "type": f"crashes::{name}, crashes"}})
                      for path, name in ENTRIES)
    (folder / "machine.json").write_text('{"httpHandlers": [\n' + adds + "\n]}\n")
    return folder


@pytest.fixture
def start_crashes(start, modules, mappings):
    def start_host(*options, workers=1, log_format="json", **more):
        return start("--modules", modules, "--log-format", log_format, *options, mappings=mappings, workers=workers, **more)
    return start_host


def events(host, name):
    return events_in(host.log, name)


def events_in(log, name):
    found = []
    for line in log.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if event.get("event") == name:
                found.append(event)
    return found


def report_of(host, number=1):
    wait_for("the report", lambda: len(events(host, "worker_crash")) >= number)
    return events(host, "worker_crash")[number - 1]


def crash(host, target):
    connection = host.begin(target)
    assert connection.is_closed_by_host()


# What is asked for, the signal, the cause, what the sentence says, and what the stack has.
WAYS = {
    "null": ("SIGSEGV", "SIGSEGV", "a null pointer was ", "crashes::DereferenceNull"),
    "call": ("SIGSEGV", "SIGSEGV", "a null pointer was called", "crashes::CallNull"),
    "abort": ("SIGABRT", "SIGABRT", "abort() was called", "crashes::Crash"),
    "assert": ("SIGABRT", "SIGABRT", "Assertion `how == \"never\"' failed", "crashes::Crash"),
    "terminate": ("SIGABRT", "SIGABRT", "std::terminate() was called without an exception", "crashes::Crash"),
    "pure": ("SIGABRT", "SIGABRT", "a pure virtual function", "crashes::Base::CallIt"),
    "double": ("SIGABRT", "SIGABRT", "double free", "crashes::Crash"),
    "divide": ("SIGFPE", "SIGFPE", "divided by 0", "crashes::Crash"),
    "trap": ("SIGILL", "SIGILL", "__builtin_trap", "crashes::Crash"),
    "overflow": ("SIGSEGV", "stack_overflow", "stack overflow in crashes::", "crashes::Recurse"),
}


@pytest.mark.parametrize("path", ["/plain", "/async"])
@pytest.mark.parametrize("how", WAYS)
def test_a_crash_is_told_with_its_cause_its_request_and_its_stack(start_crashes, without_asan, path, how):
    host = start_crashes()
    crash(host, f"{path}?how={how}&secret=1")
    report = report_of(host)
    ended_by, cause, explanation, frame = WAYS[how]
    assert (report["signal"], report["cause"]) == (ended_by, cause)
    assert explanation in report["explanation"]
    assert any(frame in line for line in report["stack"]), report["stack"]
    (held,) = report["held_requests"]
    class_name = "crashes::Plain" if path == "/plain" else "crashes::Async"
    assert (held["method"], held["path"], held["handler"], held["crashed"]) == ("GET", path, class_name, True)
    assert held["state"] == ("onThread" if path == "/plain" else "onFiber")
    assert (report["request"], report["handler"]) == (held["id"], class_name)
    assert report["message"].startswith(f"crash of worker {report['pid']}: {ended_by} after ")
    assert "secret" not in json.dumps(report["held_requests"])
    assert "&secret=(masked)" in report["work"] and "secret=1" not in json.dumps(report)
    wait_for("another process", lambda: set(host.workers()) - {report["pid"]})
    assert host.begin("/hold").read_record().type == fcgi.STDOUT


def test_a_crash_after_an_await_has_the_stack_of_its_fiber(start_crashes, without_asan):
    host = start_crashes()
    crash(host, "/async?after=sleep&how=null")
    report = report_of(host)
    assert "crashes::DereferenceNull" in report["stack"][0]
    assert any("crashes::Async::ProcessRequest" in line for line in report["stack"])
    assert "a fiber" in report["message"]


def test_an_exception_that_nobody_catches_is_told_with_its_type_and_text(start_crashes):
    host = start_crashes()
    crash(host, "/plain?how=throw")
    report = report_of(host)
    assert (report["cause"], report["exception"]) == ("uncaught_exception", "std::runtime_error")
    assert report["exception_text"] == "nobody\ncatches this"
    assert "std::runtime_error: nobody" in report["explanation"]
    (held,) = report["held_requests"]
    assert held["crashed"] is False  # it was a thread of the module's own


def test_a_fault_inside_malloc_is_told(start_crashes, without_asan):
    host = start_crashes()
    crash(host, "/plain?how=malloc")
    report = report_of(host)
    assert report["signal"] in ("SIGSEGV", "SIGABRT")
    assert any("malloc" in line for line in report["stack"]), report["stack"]
    assert any("crashes::CrashInMalloc" in line for line in report["stack"]), report["stack"]


def test_of_two_threads_that_crash_at_once_one_is_told(start_crashes, without_asan):
    host = start_crashes()
    crash(host, "/plain?how=two")
    report = report_of(host)
    assert report["signal"] == "SIGSEGV"
    assert "crashes::DereferenceNull" in report["stack"][0]
    assert len(events(host, "worker_crash")) == 1


def test_memory_that_runs_out_uncaught_is_told(start_crashes, without_asan):
    host = start_crashes("--limit", "as=1G")
    crash(host, "/plain?how=memory")
    report = report_of(host)
    assert report["cause"] == "out_of_memory"
    assert report["explanation"] == "out of memory: nobody caught std::bad_alloc"


@pytest.fixture
def memory_group():
    """Room for a host, and for a handler that takes all the memory there is."""
    try:
        group = MemoryGroup(limit=512 << 20)
    except NoGroup as reason:
        pytest.skip(str(reason))
    with group:
        yield group


def test_what_the_kernel_kills_for_want_of_memory_is_told(memory_group, start_crashes):
    host = start_crashes(preexec_fn=memory_group.enter)
    held = host.begin("/hold")
    assert held.read_record().type == fcgi.STDOUT
    [worker] = host.workers()
    crash(host, "/plain?how=memory")
    report = report_of(host)
    assert (report["pid"], report["signal"], report["cause"]) == (worker, "SIGKILL", "oom_kill")
    assert "the kernel has killed it for want of memory" in report["explanation"]
    assert sorted(request["path"] for request in report["held_requests"]) == ["/hold", "/plain"]
    assert memory_group.kills() == 1
    held.close()
    wait_for("another process", lambda: set(host.workers()) - {worker})
    # One that is killed by somebody else meanwhile is not told so.
    with host.begin("/hold") as held:
        assert held.read_record().type == fcgi.STDOUT
        os.kill(host.workers()[0], signal.SIGKILL)
        report = report_of(host, 2)
    assert (report["signal"], report["cause"]) == ("SIGKILL", "SIGKILL")
    assert memory_group.kills() == 1


@pytest.mark.parametrize("number, explanation", [
    (signal.SIGKILL, "killed from outside, by an operator or the kernel"),
    (signal.SIGSEGV, "process {pid} of user {user} has sent it"),
    (signal.SIGABRT, "process {pid} of user {user} has sent it"),
    (signal.SIGXCPU, "it has used up its processor time"),
])
def test_a_worker_that_is_killed_leaves_the_names_of_all_its_requests(start_crashes, asan, number, explanation):
    if asan and number == signal.SIGSEGV:
        pytest.skip("the sanitizer reports it itself")
    host = start_crashes()
    held = [host.begin(f"/hold?number={i}") for i in range(3)]
    for connection in held:
        assert connection.read_record().type == fcgi.STDOUT
    os.kill(host.workers()[0], number)
    report = report_of(host)
    assert explanation.format(pid=os.getpid(), user=os.getuid()) in report["explanation"]
    assert [request["path"] for request in report["held_requests"]] == ["/hold"] * 3
    assert {request["crashed"] for request in report["held_requests"]} <= {False, True}
    assert all(request["ageMs"] >= 0 and request["handler"] == "crashes::Hold" for request in report["held_requests"])
    assert "it held 3 requests" in report["message"]
    for connection in held:
        connection.close()


def test_more_requests_than_have_a_place_are_counted(start_crashes):
    host = start_crashes()
    held = [host.begin("/hold") for _ in range(300)]
    for connection in held:
        assert connection.read_record().type == fcgi.STDOUT
    os.kill(host.workers()[0], signal.SIGKILL)
    report = report_of(host)
    assert "it held 300 requests" in report["message"]
    assert len(report["held_requests"]) == 32
    assert report["held_requests_more"] == 300 - 32
    for connection in held:
        connection.close()


@pytest.mark.parametrize("how", ["default", "own"])
def test_a_module_that_takes_the_signal_away_does_not_hide_the_requests(start_crashes, without_asan, how):
    host = start_crashes()
    crash(host, f"/plain?how={how}")
    report = report_of(host)
    assert [request["path"] for request in report["held_requests"]] == ["/plain"]
    if how == "default":
        assert (report["signal"], "stack" in report) == ("SIGSEGV", False)
    else:
        assert report["exit_code"] == 3


def test_a_handler_that_exits_is_told_by_its_request(start_crashes):
    host = start_crashes()
    crash(host, "/plain?how=exit")
    report = report_of(host)
    assert (report["exit_code"], report["cause"]) == (0, "exit_0")
    assert report["explanation"] == "a handler has called exit(), or the like"
    assert [request["handler"] for request in report["held_requests"]] == ["crashes::Plain"]


@pytest.mark.parametrize("moment", ["load", "start"])
def test_a_module_that_crashes_as_it_begins_is_told(processes, installation, mappings, modules, run_dir, without_asan,
                                                    moment):
    process = processes.start(
        "weft", [installation.weft, "serve", "--listen", f"unix:{run_dir}/weft.sock", "--workers", 1,
                 "--mappings", mappings, "--modules", modules, "--log-format", "json", "--max-start-failures", 1,
                 "--environment", "CRASHES_AT"],
        env={**os.environ, "CRASHES_AT": moment})
    assert process.wait(30) == 70
    (report,) = events_in(run_dir / "weft.log", "worker_crash")
    assert "crashes.so" in report["message"]
    assert "crashes::DereferenceNull" in report["stack"][0]
    assert report["held_requests"] == []


def test_a_report_in_text_is_one_event_of_several_lines(start_crashes, without_asan):
    host = start_crashes(log_format="text")
    pid = host.workers()[0]
    crash(host, "/plain?how=null")
    wait_for("the report", lambda: "ProcessRequest" in host.log.read_text())
    lines = [line for line in host.log.read_text().splitlines() if "crash of " in line or "worker_crash: " in line]
    assert all(f"weft[{pid}] error: " in line for line in lines), lines
    assert re.search(r"crash of worker \d+: SIGSEGV after \w+: a null pointer was written \(address 0x0\); on thread "
                     r"\d+ \(.+\), a thread of the pool, at work for request \S+ GET /plain\?how=null: crashes::Plain; "
                     r"it held 1 request", lines[0])
    assert any("worker_crash:   request " in line and "at work for it the worker crashed" in line for line in lines)
    assert any(re.search(r"worker_crash:   addr2line -Cfipe \S+crashes.so 0x", line) for line in lines)
    assert any(re.search(r"worker_crash:   #0 crashes::DereferenceNull\(\)\+0x\w+ \(\S+crashes.so\+0x", line)
               for line in lines)


def test_a_path_is_no_line_of_the_report(start_crashes, without_asan):
    host = start_crashes(log_format="text")
    hold = host.connect()
    hold.send(fcgi.request(host.variables("/hold", REQUEST_URI="/hold\n  #0 forged")))
    assert hold.read_record().type == fcgi.STDOUT
    os.kill(host.workers()[0], signal.SIGSEGV)
    wait_for("the report", lambda: "worker_crash:   request " in host.log.read_text())
    lines = [line for line in host.log.read_text().splitlines() if "forged" in line]
    assert lines and all(" error: " in line.partition("forged")[0] for line in lines), lines


def test_reports_are_kept_as_files(start_crashes, without_asan, run_dir):
    folder = run_dir / "crashes"
    folder.mkdir()
    for i in range(105):
        (folder / f"weft-crash-20200101T000000.{i:03}Z-1.json").write_text("{}")
    (folder / "mine.json").write_text("{}")
    host = start_crashes("--crash-dir", folder)
    crash(host, "/async?how=assert")
    report = report_of(host)
    file = pathlib.Path(report["file"])
    assert file.parent == folder
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    told = json.loads(file.read_text())
    assert (told["weftCrash"], told["signal"], told["pid"]) == (1, "SIGABRT", report["pid"])
    assert "Assertion" in told["lastWords"] and report["message"].count("; its last words: " + told["lastWords"]) == 1
    assert told["heldRequests"] == report["held_requests"]
    assert any(frame.get("function", "").startswith("crashes::Crash(") for frame in told["stack"])
    assert len(list(folder.glob("weft-crash-*.json"))) == 100
    assert (folder / "mine.json").exists() and not list(folder.glob("*.new"))


def stop_what_is_no_worker(controlled, children):
    """Stops the one of a supervisor's children that is none of its workers; nothing: there was none, or it has ended."""
    for child in children:
        os.kill(child, signal.SIGSTOP)
    workers = {worker["pid"] for worker in controlled.status()["workers"]} if children else set()
    for child in children & workers:
        os.kill(child, signal.SIGCONT)
    return next(iter(children - workers), None)


def test_a_report_that_is_written_across_a_reload_is_kept_and_its_process_collected(start_crashes, without_asan, run_dir, control,
                                                                                   installation):
    folder = run_dir / "crashes"
    folder.mkdir()
    host = start_crashes("--crash-dir", folder, "--control", control)
    controlled = Controlled(installation.weft, control, host.process)
    controlled.is_alone(1)
    supervisor = host.process.pid
    reporter = None
    while reporter is None:  # one that is quicker than this loop is let go
        controlled.is_alone(1)
        before = set(host.workers())
        reports = len(events(host, "worker_crash"))
        crash(host, "/plain?how=abort")
        while reporter is None and len(events(host, "worker_crash")) == reports:
            reporter = stop_what_is_no_worker(controlled, set(host.workers()) - before)
    os.kill(supervisor, signal.SIGUSR2)
    controlled.is_alone(2)
    assert reporter in children_of(supervisor)
    os.kill(reporter, signal.SIGCONT)
    wait_for("its end", lambda: reporter not in children_of(supervisor))
    assert len(list(folder.glob("weft-crash-*.json"))) == len(events(host, "worker_crash"))


def test_a_folder_that_is_not_there_refuses_the_start(installation, run_dir, mappings, modules):
    (run_dir / "file").write_text("")
    for command in ("serve", "trial"):
        for name in ("nowhere", "file"):
            result = subprocess.run([installation.weft, command, "--listen", f"unix:{run_dir}/a.sock", "--mappings", mappings,
                                     "--modules", modules, "--crash-dir", run_dir / name],
                                    capture_output=True, text=True, timeout=60)
            assert result.returncode == 78
            assert f"--crash-dir {run_dir / name}: there is no such folder: make it" in result.stderr


def test_a_folder_that_cannot_be_written_any_more_is_told(start_crashes, run_dir):
    folder = run_dir / "crashes"
    folder.mkdir()
    host = start_crashes("--crash-dir", folder)
    folder.rmdir()
    os.kill(host.workers()[0], signal.SIGKILL)
    report_of(host)
    wait_for("the problem", lambda: events(host, "worker_crash_file"))
    message = events(host, "worker_crash_file")[0]["message"]
    assert "--crash-dir" in message and "No such file or directory: make this folder" in message


def test_a_worker_whose_handler_closes_all_descriptors_is_replaced(start_crashes):
    host = start_crashes()
    pid = host.workers()[0]
    crash(host, "/plain?how=closefrom")
    wait_for("another worker", lambda: host.workers() and host.workers()[0] != pid)
    report = report_of(host)
    assert (report["pid"], report["signal"], report["explanation"]) == (pid, "SIGKILL", "the supervisor has killed it")
    assert f"worker {pid} has closed its channel to the supervisor" in host.log.read_text()
    assert host.begin("/hold").read_record().type == fcgi.STDOUT


def test_the_status_tells_the_cause_and_counts_it(start_crashes, without_asan, control, installation):
    host = start_crashes("--control", control)
    crash(host, "/async?how=overflow")
    report_of(host)
    told = subprocess.run([installation.weft, "status", "--control", control], capture_output=True, text=True,
                          check=True, timeout=30).stdout
    assert "was ended by SIGSEGV" in told and "stack overflow in crashes::Async" in told
    assert "1 stack_overflow" in told


def test_a_process_without_a_supervisor_tells_its_crash_itself(start_crashes, without_asan):
    host = start_crashes(workers=0)
    held = host.begin("/hold")
    assert held.read_record().type == fcgi.STDOUT
    connection = host.begin("/plain?how=null")
    assert connection.is_closed_by_host()
    assert host.process.wait(10) == -signal.SIGSEGV
    text = host.log.read_text()
    assert re.search(r"weft: fatal: SIGSEGV, code 1, address 0x0, on thread \d+ \(.+\), at work for request \S+ GET /plain", text)
    assert re.search(r"weft: fatal:   #0 \S+crashes.so at 0x\w+ of the file", text)
    assert re.search(r"weft: fatal:   held request \S+ GET /hold: crashes::Hold\n", text)
    assert re.search(r"weft: fatal:   held request \S+ GET /plain: crashes::Plain \(it crashed\)\n", text)
