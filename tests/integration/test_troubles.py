"""Handlers that overflow their stacks or hold up their worker, and what the host says of them."""

import json
import pathlib
import signal
import subprocess
import time

import pytest

import fcgi
from processes import lines_of, wait_for


def mappings(run_dir, entries, name="mappings", **more):
    """A folder with a machine.json of `entries`, pairs of a path and a class of the module, or of a path and a dict."""
    folder = run_dir / name
    folder.mkdir(exist_ok=True)
    adds = []
    for path, what in entries:
        what = {"type": what} if isinstance(what, str) else dict(what)
        what["type"] = f"troubles::{what['type']}, troubles"
        adds.append({"add": {"verb": "*", "path": path, **what}})
    lines = ",\n".join(json.dumps(add) for add in adds)
    rest = "".join(f",\n{json.dumps(key)}: {json.dumps(value)}" for key, value in more.items())
    (folder / "machine.json").write_text('{"httpHandlers": [\n' + lines + "\n]" + rest + "}\n")
    return folder


@pytest.fixture
def start_troubles(start, run_dir, modules):
    def start_host(entries, *options, more=None, **start_options):
        return start("--modules", modules, *options, mappings=mappings(run_dir, entries, **(more or {})),
                     **start_options)
    return start_host


def is_asan(pytestconfig):
    return pathlib.Path(pytestconfig.getoption("--build-dir")).name == "asan"


@pytest.fixture
def without_asan(pytestconfig):
    if is_asan(pytestconfig):
        pytest.skip("the sanitizer reports an overflow itself, and its frames are larger")


ENTRIES = [
    ("/usual", "Recurse"),
    ("/big", {"type": "Recurse", "stackBytes": 1 << 20}),
    ("/later", {"type": "RecurseLater", "stackBytes": 1_000_000}),
    ("/plain", "RecursePlain"),
]


def test_an_entry_has_a_stack_of_its_own_size(start_troubles, without_asan):
    host = start_troubles(ENTRIES)
    assert host.get("/big?depth=700").body == b"700\n"
    assert host.get("/later?depth=700").body == b"700\n3\n"
    # What follows on the usual stack is as it was.
    assert host.get("/usual?depth=100").body == b"100\n"


def test_a_folder_has_stacks_of_its_own_size_and_explain_tells_it(start_troubles, installation, modules, run_dir,
                                                                  without_asan):
    host = start_troubles(ENTRIES, more={"httpRuntime": {"stackBytes": 2 << 20}})
    assert host.get("/usual?depth=1500").body == b"1500\n"
    assert host.get("/big?depth=700").body == b"700\n"
    for path, value, line in (("/usual", 2 << 20, 7), ("/big", 1 << 20, 3)):
        told = json.loads(subprocess.run(
            [installation.weft, "explain", "--mappings", run_dir / "mappings", "--modules", modules, "--format", "json",
             path], check=True, capture_output=True, timeout=30).stdout)
        assert told["limits"]["stackBytes"] == {
            "value": value, "file": str(run_dir / "mappings" / "machine.json"), "line": line, "option": None}


@pytest.mark.parametrize("path, advice", [
    ("/usual", "a larger --stack-size helps, or \"stackBytes\" in its mapping alone"),
    ("/big", "a larger \"stackBytes\" in its mapping helps"),
    ("/plain", "a larger stack of its threads helps (ulimit -s)"),
])
def test_an_overflow_ends_its_worker_alone_and_names_the_handler(start_troubles, without_asan, path, advice):
    host = start_troubles(ENTRIES, workers=2)
    before = host.workers()
    with host.connect() as connection:
        connection.send(fcgi.request(host.variables(path + "?depth=1000000")))
        assert connection.is_closed_by_host()
    class_name = "troubles::RecursePlain" if path == "/plain" else "troubles::Recurse"
    wait_for("the report", lambda: "fatal: stack overflow" in host.log.read_text())
    report = next(line for line in lines_of(host.log) if "fatal: stack overflow" in line)
    assert f"stack overflow in {class_name}" in report
    assert advice in report
    wait_for("another worker", lambda: len(host.workers()) == 2 and set(host.workers()) != set(before))
    assert len(set(before) & set(host.workers())) == 1
    assert host.get("/usual?depth=10").body == b"10\n"
    wait_for("the supervisor's line", lambda: "was ended by SIGSEGV" in host.log.read_text())


@pytest.mark.parametrize("class_name", ["Cancelled", "CancelledPlain"])
@pytest.mark.parametrize("leaves", ["closes", "aborts"])
def test_a_web_server_that_leaves_cancels_the_handler(start_troubles, run_dir, class_name, leaves):
    host = start_troubles([("/leave", class_name)])
    log = run_dir / "cancelled.log"
    connection = host.begin(f"/leave?log={log}")
    assert connection.read_record().type == fcgi.STDOUT  # it runs
    assert not log.exists()
    left_at = time.monotonic_ns()
    if leaves == "closes":
        connection.close()
    else:
        connection.send(fcgi.record(fcgi.ABORT_REQUEST, 1))
    host.wait_for_access_line("/leave", "status=499", "cause=client_gone")
    wait_for("the handler's end", lambda: len(lines_of(log)) == 3)
    lines = [line.rsplit(" ", 1) for line in lines_of(log)]
    # The callback ran, and the wait was ended by nothing but the client.
    told = [what for what, _ in lines]
    if class_name == "CancelledPlain":
        told.sort(key="callback".__ne__)  # on another thread, which is beside this one
    assert told == ["callback", "thrown: client gone", "disconnected"]
    thrown_at = int(dict(lines)["thrown: client gone"])
    print(f"{class_name}, the server {leaves}: {(thrown_at - left_at) / 1e6:.2f} ms")
    connection.close()


def stall_lines(host):
    return [line.split(" stall: ", 1)[1] for line in lines_of(host.log) if " stall: " in line]


HOLDING = [("/hold", "Hold"), ("/plain", "HoldPlain"), ("/wait", "Wait"),
           ("/big", {"type": "Wait", "stackBytes": 1 << 20})]


@pytest.mark.parametrize("spin, function", [(0, "HoldTheThread"), (1, "SpinOnTheThread")])
def test_who_holds_the_reactor_is_told_with_its_stack_while_it_does(start_troubles, run_dir, installation, spin,
                                                                    function):
    control = run_dir / "control"
    host = start_troubles(HOLDING, "--stall-threshold", "50ms", "--control", control, workers=1)
    with host.connect(timeout=60) as connection:
        connection.send(fcgi.request(host.variables(f"/hold?ms=1500&spin={spin}", HTTP_X_REQUEST_ID="slow-one")))
        wait_for("the stall", lambda: any("(--stall-threshold 50ms)" in line for line in stall_lines(host)))
        assert not any("has let go" in line for line in stall_lines(host))
        assert connection.read_response()[1].body == b"held\n"
    wait_for("its end", lambda: any("has let go of the reactor's thread after" in line for line in stall_lines(host)))
    lines = stall_lines(host)
    assert lines[0].startswith(f"request slow-one GET /hold?ms=1500&spin={spin}: troubles::Hold: holds the reactor's")
    frames = [line for line in lines if line.lstrip().startswith("#")]
    assert any(function in frame for frame in frames)
    assert any("troubles::Hold::ProcessRequest" in frame for frame in frames)

    def told():
        worker = json.loads(subprocess.run([installation.weft, "status", "--control", control, "--format", "json"],
                                           check=True, capture_output=True, timeout=30).stdout)["workers"][0]
        return worker["stalls"] and worker["stalls"]["longestMs"] > 50 and worker
    worker = wait_for("the figures", told)
    assert worker["stalls"]["count"] >= 1
    usual = worker["stacks"][0]
    assert usual["stackBytes"] == 256 * 1024 and 0 < usual["mostUsedBytes"] < usual["usableBytes"]


def test_nobody_looks_where_the_threshold_is_0_and_what_waits_is_no_stall(start_troubles):
    host = start_troubles(HOLDING, "--stall-threshold", "0ms")
    assert host.get("/hold?ms=300").body == b"held\n"
    host.stop()
    assert not stall_lines(host)


def stacks(installation, pid, **options):
    return subprocess.run([installation.weft, "stacks", str(pid)], capture_output=True, text=True, timeout=60, **options)


def stacks_with(word, installation, pid):
    """The answer as soon as the word is in it."""
    def look():
        answer = stacks(installation, pid)
        return answer if word in answer.stdout else None
    return wait_for(f"the stack of {word}", look)


def request_and_task(answer):
    """The parts of an answer that tells one of each."""
    head, *parts = answer.stdout.split("\n\n")
    assert head.endswith(": 1 request and 1 task at work")
    (task,) = [part for part in parts if part.startswith("a task of request ")]
    (request,) = [part for part in parts if part.startswith("request ")]
    return request, task


def test_stacks_tells_what_every_request_is_at(start_troubles, installation):
    host = start_troubles(HOLDING, workers=1)
    assert host.get("/wait?ms=1").body == b"waited\n"  # the worker has started
    (worker,) = host.workers()
    asked = {"/wait?ms=60000": "WaitInAFunction", "/big?ms=60000": "WaitInAFunction",
             "/wait?ms=60000&offload=1": "HoldTheThread", "/plain?ms=60000": "HoldTheThread"}
    connections = [host.begin(target) for target in asked]
    told = {}

    def all_are_told():
        answer = stacks(installation, worker)
        assert answer.returncode == 0, answer.stderr
        for part in answer.stdout.split("\n\n"):
            for target in asked:
                if f" GET {target}: troubles::" in part:
                    told[target] = part
        return len(told) == len(asked) and all(name in told[target] for target, name in asked.items())
    wait_for("the stacks", all_are_told)
    assert ", waits for a sleep:" in told["/wait?ms=60000"]
    assert "its thread " in told["/plain?ms=60000"] and "troubles::HoldPlain::ProcessRequest" in told["/plain?ms=60000"]
    assert "its thread " in told["/wait?ms=60000&offload=1"] and "its fiber:" in told["/wait?ms=60000&offload=1"]
    assert "OffloadInAFunction" in told["/wait?ms=60000&offload=1"]
    # They wait on.
    assert not host.access_lines("/wait?ms=60000")
    assert host.get("/wait?ms=1").body == b"waited\n"
    for connection in connections:
        connection.close()
    subprocess.run(["kill", "-KILL", str(worker)], check=True)


def test_stacks_tells_tasks_as_their_requests(start_troubles, installation):
    host = start_troubles(HOLDING, workers=1)
    assert host.get("/wait?ms=1").body == b"waited\n"
    (worker,) = host.workers()
    with host.begin("/wait?ms=60000&task=1"):
        request, task = request_and_task(stacks_with("WaitInAFunction", installation, worker))
        assert " GET /wait?ms=60000&task=1: troubles::Wait, for " in task and ", waits for a sleep:" in task
        assert "WaitInAFunction" in task and "WaitInAFunction" not in request
        assert ", waits for a task:" in request and "troubles::Wait::ProcessRequest" in request


def test_stacks_tells_tasks_of_plain_handlers_with_their_threads(start_troubles, installation):
    host = start_troubles(HOLDING, workers=1)
    assert host.get("/wait?ms=1").body == b"waited\n"
    (worker,) = host.workers()
    with host.begin("/plain?ms=60000&task=1"):
        request, task = request_and_task(stacks_with("HoldTheThread", installation, worker))
        assert " GET /plain?ms=60000&task=1: troubles::HoldPlain, for " in task
        assert "\nits thread " in task and "HoldTheThread" in task and "its fiber" not in task
        assert "troubles::HoldPlain::ProcessRequest" in request and "HoldTheThread" not in request
        subprocess.run(["kill", "-KILL", str(worker)], check=True)


def test_stacks_tells_as_many_tasks_as_there_may_be_and_keeps_no_worker_from_its_end(start_troubles, installation):
    host = start_troubles(HOLDING, "--drain-timeout", "100ms", workers=1)
    assert host.get("/wait?ms=1").body == b"waited\n"
    (worker,) = host.workers()
    with host.begin("/wait?ms=600000&task=20000"):
        def all_are_told():
            answer = stacks(installation, worker)
            assert answer.returncode == 0, answer.stderr
            return answer.stdout if ": 1 request and 20000 tasks at work" in answer.stdout else None
        assert wait_for("the tasks", all_are_told, timeout=60).count("\na task of request ") == 20000
        asking = subprocess.Popen([installation.weft, "stacks", str(worker)], stdout=subprocess.PIPE)
        asking.stdout.read(1)  # and does not go on
        assert host.stop() == 0
        asking.stdout.close()
        asking.wait(30)


def test_stacks_tells_who_holds_the_reactor(start_troubles, installation):
    host = start_troubles(HOLDING, workers=1)
    assert host.get("/wait?ms=1").body == b"waited\n"
    (worker,) = host.workers()
    with host.begin("/hold?ms=4000") as connection:
        answer = stacks_with("HoldTheThread", installation, worker)
        assert answer.returncode == 0
        assert "its reactor's thread has been held up" in answer.stdout
        assert " GET /hold?ms=4000: troubles::Hold:" in answer.stdout
        assert connection.read_response()[1].body == b"held\n"


def test_stacks_of_what_is_no_worker_are_refused_with_what_to_do(start_troubles, installation):
    host = start_troubles(HOLDING, workers=1)
    (worker,) = host.workers()
    answer = stacks(installation, host.process.pid)
    assert answer.returncode == 69 and f"its children are {worker}" in answer.stderr
    answer = stacks(installation, "abc")
    assert answer.returncode == 64 and "no number of a process" in answer.stderr


def test_a_stuck_thread_of_a_task_costs_its_worker_and_no_other_request(start_troubles):
    host = start_troubles([("/wait", "Wait")], "--overdue-grace", "100ms", workers=1,
                          more={"httpRuntime": {"executionTimeoutSeconds": 1}})
    [old] = host.workers()
    assert host.get("/wait?ms=600000&task=2&offload=1").status == 504
    others = wait_for("another worker", lambda: [pid for pid in host.workers() if pid != old])
    wait_for("the end of the old one", lambda: host.workers() == others)
    assert host.get("/wait?ms=1&task=2&offload=1").body == b"waited\n"
    log = host.log.read_text()
    assert log.count("its handler did not return within 100 ms of its cancellation (--overdue-grace)") == 2
    assert "HoldTheThread" in log
    assert f"worker {old}, which retired, exited with code 0" in log


def test_a_thread_that_a_plain_handler_has_left_behind_does_not_keep_the_host_from_its_end(start_troubles, run_dir):
    host = start_troubles([("/leak", "Leak")], "--drain-timeout", "200ms")
    assert host.get("/leak?ms=600000").body == b"left\n"
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(20) == 0
    log = host.log.read_text()
    assert "1 tasks of weft::Async() that outlive their requests did not end in time" in log
    assert "did not obey" in log
    assert not (run_dir / "weft.sock").exists()


def test_a_thread_that_a_plain_handler_has_left_behind_is_waited_for(start_troubles, run_dir):
    host = start_troubles([("/leak", "Leak")], "--drain-timeout", "600s")
    assert host.get("/leak?ms=1000").body == b"left\n"
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(60) == 0
    assert "did not" not in host.log.read_text()


def test_a_worker_that_retires_does_not_wait_for_ever_for_what_was_left_behind(start_troubles):
    host = start_troubles([("/wait", "Wait"), ("/leak", "Leak")], "--overdue-grace", "100ms", "--drain-timeout", "200ms", workers=1,
                          more={"httpRuntime": {"executionTimeoutSeconds": 1}})
    [old] = host.workers()
    assert host.get("/leak?ms=600000").body == b"left\n"
    assert host.get("/wait?ms=600000&offload=1").status == 504
    others = wait_for("another worker", lambda: [pid for pid in host.workers() if pid != old])
    wait_for("the end of the old one", lambda: host.workers() == others)
    assert f"worker {old}, which retired, exited with code 0" in host.log.read_text()
