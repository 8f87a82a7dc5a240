"""A host under load, behind two web servers at once, while all that can happen to one happens to it, over and over.

Each request has a number of its own. It is answered right, or a worker was killed while it was on its way; and the access log,
through all its rotations, says the same. A release is tried with TEST_ENDURANCE_SECONDS=600.
"""

import collections
import contextlib
import dataclasses
import hashlib
import http.client
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import threading
import time

import servers
from controlled import Controlled
from host import Host
from processes import Processes, memory_of
from test_generations import Stage
from test_logs import json_lines, rotate

SECONDS = float(os.environ.get("TEST_ENDURANCE_SECONDS", "60"))
SEED = int(os.environ.get("TEST_ENDURANCE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
CLIENTS = 16
LOG_DELAY = 1.0  # seconds, and far more than a worker takes to write its lines
WORKERS = 3
VERSIONS = ("one", "two")


class Counter:
    """A number that goes up while clients ask: an answer may have the one before as long as the change is not known to be complete."""

    def __init__(self):
        self.least = self.most = 0

    @contextlib.contextmanager
    def change(self):
        self.most += 1
        yield self.most
        self.least = self.most


@dataclasses.dataclass
class Kill:
    """When a worker was killed: from before that until another was ready in its place."""
    pid: int
    signal: signal.Signals
    begin: float
    end: float = float("inf")


@dataclasses.dataclass
class Failure:
    target: str
    begin: float
    end: float
    problem: str


class Client(threading.Thread):
    """Asks on and on over one connection, and looks at each answer."""

    def __init__(self, number, port, told, stop):
        super().__init__()
        self.number, self.port, self.told, self.stop = number, port, told, stop
        self.right, self.failures, self.unforeseen = {}, [], None
        self._connection, self._last_begin = None, 0.0

    def run(self):
        try:
            for count in itertools.count():
                if self.stop.is_set():
                    break
                self._ask(count)
        except BaseException as error:  # pylint: disable=broad-except
            self.unforeseen = error
            raise
        finally:
            if self._connection:
                self._connection.close()

    def _ask(self, count):
        kind = (count + self.number) % 5
        number = f"{self.number}-{count}"
        body = None
        if kind == 0:
            target = f"/hello.ashx/{number}"
        elif kind == 1:
            target, body = f"/echo.ashx/{number}?n={number}", os.urandom(1 + count * 97 % 40_000)
        elif kind == 2:
            target = f"/wait.ashx/{number}?ms={count % 60}"
        else:
            target = f"/told.ashx/{number}?bytes={0 if kind == 3 else count * 31 % 300_000}"
        before = [(counter.least, counter.most) for counter in self.told]
        begin = time.monotonic()
        try:
            problem = self._problem(self._exchange(target, body), target, body, before)
        except (OSError, http.client.HTTPException) as error:
            problem = repr(error)
        end = time.monotonic()
        if problem:
            # A web server that has an answer whole, but not the worker's word that it is, closes the client's connection after it.
            since = self._last_begin if "RemoteDisconnected" in problem else begin
            self.failures.append(Failure(target, since, end, problem))
            self._connection.close()
            self._connection = None
        else:
            self.right[target] = (begin, end)
        self._last_begin = begin

    def _exchange(self, target, body):
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self._connection.request("POST" if body else "GET", target, body)
        response = self._connection.getresponse()
        return response.status, response.read()

    def _problem(self, answer, target, body, before):
        status, content = answer
        if status != 200:
            return f"status {status}: {content[:200]!r}"
        path, _, query = target.partition("?")
        path = path.rpartition("/")[0]
        if path == "/echo.ashx":
            seen = json.loads(content)
            right = (seen["queryString"], seen["body"]) == (
                query, {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()})
        elif path == "/told.ashx":
            words, _, rest = content.decode().partition("\n")
            version, section, told = words.split(" ", 2)
            (least_version, _), (least_section, _) = before
            (_, most_version), (_, most_section) = ((counter.least, counter.most) for counter in self.told)
            right = (version in {VERSIONS[each % 2] for each in range(least_version, most_version + 1)}
                     and least_section <= int(section) <= most_section
                     and told == query and rest == "x" * int(query.rpartition("=")[2]))
        elif path == "/wait.ashx":
            right = content == f"waited {query.rpartition('=')[2]} ms\n".encode()
        else:
            right = content == b"Hello, world"
        return None if right else f"a wrong answer: {content[:200]!r}, {before}"


def front(kind, name, host, processes):
    """A web server of its own folder in front of a host that runs."""
    class Front(kind):
        def start_weft(self):
            self.socket.symlink_to(host.address.removeprefix("unix:"))

    folder = processes.run_dir / name
    folder.mkdir()
    return Front(Processes(folder), host.installation)


class Stress:
    """The host, and what happens to it."""

    def __init__(self, processes, installation, stage):
        self.run_dir, self.stage = processes.run_dir, stage
        self.programs = [self.run_dir / f"weft-{version}" for version in VERSIONS]
        for program in self.programs:
            shutil.copy2(installation.weft, program)
        self.program = self.run_dir / "weft"
        self.program.symlink_to(self.programs[0])
        root = shutil.copytree(installation.document_root, self.run_dir / "root")
        (root / "told.ashx").write_text('<%@ WebHandler Class="generation::Told, generation" %>\n')
        self.module, self.section = Counter(), Counter()
        self.map(0)
        installed = dataclasses.replace(installation, weft=self.program, document_root=root)
        self.host = Host(processes, installed, *stage.options, "--control", self.run_dir / "control.sock",
                         "--log", self.run_dir / "host.json", "--log-format", "json", "--log-rate", "0",
                         workers=WORKERS, mappings=stage.mappings,
                         env={**stage.environment, "LD_LIBRARY_PATH": str(installation.libraries)})
        self.controlled = Controlled(installation.weft, self.run_dir / "control.sock", self.host.process)
        self.controlled.is_alone(1)
        self.kills, self.done = [], collections.Counter()

    def map(self, number):
        new = self.stage.mappings / "default" / "new"
        new.write_text(json.dumps({"sections": {"told": number}}))
        new.rename(self.stage.mappings / "default" / "mapping.json")

    def all_serve(self, what, condition=lambda worker: True):
        """Until each place has a worker that is ready, none of before is left, and what more is asked."""
        return self.controlled.wait_for(what, lambda now: len(now["workers"]) == WORKERS and all(
            worker["state"] == "ready" and worker["generation"] == now["generation"] and condition(worker)
            for worker in now["workers"]))

    def reload(self):
        result = self.controlled.reload()
        assert (result.returncode, result.stderr) == (0, "")
        self.all_serve("the new generation")

    def kill_a_worker(self, rng):
        workers = [worker["pid"] for worker in self.controlled.status()["workers"]]
        kill = Kill(rng.choice(workers), rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV]), time.monotonic())
        self.kills.append(kill)
        os.kill(kill.pid, kill.signal)
        self.all_serve("a worker in the place of the killed one", lambda worker: worker["pid"] != kill.pid)
        kill.end = time.monotonic()

    def replace_the_module(self, _):
        with self.module.change() as number:
            self.stage.install(VERSIONS[number % 2])
            self.reload()

    def change_the_mappings(self, _):
        tables = self.controlled.status()["mappings"]["tables"]
        with self.section.change() as number:
            self.map(number)
            self.controlled.wait_for("the new mappings", lambda now: now["mappings"]["tables"] > tables)
            self.all_serve("workers with the new mappings", lambda worker: worker["newestMappings"])

    def rotate_the_logs(self, _):
        rotate(self.run_dir, "rotate 100000", "create 0640", "nocompress", "sharedscripts",
               f"postrotate\n  kill -USR1 {self.host.process.pid}\n  endscript")

    def upgrade_the_program(self, _):
        new = self.run_dir / "weft.new"
        new.symlink_to(self.programs[self.done["upgrade_the_program"] % 2 == 0])
        new.rename(self.program)
        self.reload()
        running = {os.readlink(f"/proc/{pid}/exe") for pid in [self.host.process.pid, *self.host.workers()]}
        assert running == {str(self.program.resolve())}

    def happen(self, rng):
        """All of it once, in some order."""
        events = [self.kill_a_worker, self.replace_the_module, self.change_the_mappings, self.rotate_the_logs,
                  self.kill_a_worker, self.upgrade_the_program]
        rng.shuffle(events)
        for event in events:
            event(rng)
            self.done[event.__name__] += 1
            yield

    def killed_while(self, begin, end):
        return any(kill.begin <= end and begin <= kill.end for kill in self.kills)

    def holdings(self):
        """What the host holds at rest: the descriptors of its processes, and the supervisor's mapped files and KiB."""
        now = self.all_serve("rest")
        supervisor = now["pid"]
        mapped = pathlib.Path(f"/proc/{supervisor}/maps").read_text().count("/")
        return (sorted(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.host.workers()), len(os.listdir(f"/proc/{supervisor}/fd")),
                mapped), memory_of(supervisor, "VmRSS")


def test_every_request_is_answered_right_or_belonged_to_a_killed_worker(processes, installation):
    print(f"TEST_ENDURANCE_SEED={SEED}")
    rng = random.Random(SEED)
    stress = Stress(processes, installation, Stage(processes.run_dir / "stage", installation.weft.parents[1]))
    for _ in stress.happen(rng):
        pass
    held_before, memory_before = stress.holdings()
    with contextlib.ExitStack() as stack:
        fronts = [front(kind, name, stress.host, processes)
                  for kind, name in ((servers.Nginx, "nginx"), (servers.LighttpdSocket, "lighttpd"))]
        for site in fronts:
            stack.enter_context(site.processes)
        stop = threading.Event()
        clients = [Client(number, fronts[number % 2].port, (stress.module, stress.section), stop) for number in range(CLIENTS)]
        begin = time.monotonic()
        try:
            for client in clients:
                client.start()
            while time.monotonic() - begin < SECONDS:
                for _ in stress.happen(rng):
                    time.sleep(rng.uniform(0.05, 0.4))
        finally:
            stop.set()
            for client in clients:
                client.join(90)
    assert [client.unforeseen for client in clients if client.is_alive() or client.unforeseen] == []

    held, memory = stress.holdings()
    assert held == held_before
    assert memory < memory_before + 2048
    assert stress.host.stop() == 0
    agree(stress, clients)


def agree(stress, clients):
    """The clients, those who killed, and the logs."""
    right = {target: times for client in clients for target, times in client.right.items()}
    failures = [failure for client in clients for failure in client.failures]
    print(f"{len(right)} answered right, {len(failures)} not, {dict(stress.done)}")
    assert len({(client.number, target.split("/")[1]) for client in clients for target in client.right}) == 4 * CLIENTS
    assert [failure for failure in failures if not stress.killed_while(failure.begin, failure.end)] == []

    recorded = collections.Counter()
    for file in stress.run_dir.glob("access.log*"):
        for line in file.read_text().splitlines():
            found = re.search(r' url="(/[^"]*)" status=(\d+) .*outcome=(\S+)$', line)
            assert found, line
            if (found[2], found[3]) == ("200", "completed"):
                recorded[found[1]] += 1
    assert [target for target, count in recorded.items() if count > 1] == []
    # The last lines of a killed worker are lost with it, and an answer may be after its line is written.
    assert [target for target, (begin, end) in right.items()
            if target not in recorded and not stress.killed_while(begin, end + LOG_DELAY)] == []
    assert set(recorded) - set(right) <= {failure.target for failure in failures}

    # What the supervisor tells of its workers: each that was killed, and what it held.
    reports = {report["pid"]: report for report in reports_of(stress)}
    assert set(reports) == {kill.pid for kill in stress.kills}
    assert all(report["signal"] == kill.signal.name for report, kill in ((reports[kill.pid], kill) for kill in stress.kills))
    times = {path_of(target): times for target, times in right.items()} | {
        path_of(failure.target): (failure.begin, failure.end) for failure in failures}
    held = {request["path"] for report in reports.values() for request in report["held_requests"]}
    assert [path for path in held if not stress.killed_while(*times[path])] == []
    # The others were on their way to it, on a connection that it had.
    print(f"{len([failure for failure in failures if path_of(failure.target) in held])} of those that failed are named in reports")


def reports_of(stress):
    return [line for file in stress.run_dir.glob("host.json*") for line in json_lines(file) if line.get("event") == "worker_crash"]


def path_of(target):
    return target.partition("?")[0]
