"""Processes that tests start: bounded waits, logs kept, and proof that nothing of them is left."""

import os
import pathlib
import pwd
import signal
import socket
import subprocess
import time


def wait_for(what, condition, timeout=10.0, interval=0.02):
    """Waits until `condition()` is true and returns what it gave; fails with `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(interval)


def lines_of(log):
    """The whole lines of a file that others append to: its last one may be half written."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return text[:text.rfind("\n") + 1].splitlines()


def free_port(family=socket.AF_INET):
    """A TCP port of the loopback interface that nothing uses at the moment."""
    with socket.socket(family) as probe:
        probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(host, port):
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def unprivileged_account():
    """Whom a web server's workers run as when tests run as root; None when they run as somebody else."""
    return pwd.getpwnam("www-data") if os.geteuid() == 0 else None


def processes_that_mention(text):
    """The processes, by id, whose command line contains `text`. A zombie has none and is not among them."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if text in command:
                found[int(entry.name)] = command.strip()
    return found


def children_of(pid):
    """The ids of a process's children, oldest first."""
    try:
        return [int(child) for child in
                pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def memory_of(pid, field):
    """A field of /proc/PID/status such as VmRSS, in KiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise AssertionError(f"/proc/{pid}/status has no {field}")


def memory_grown(pid, before):
    """How far a process's memory has ever gone beyond `before` KiB, in bytes."""
    return (memory_of(pid, "VmHWM") - before) * 1024


def cpu_seconds_of(pid):
    """The processor time that a process has used so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Processes:
    """The processes of one test, or of one web server under test. Use it as a context manager.

    Each works in `run_dir`, whose name is on its command line, and writes to `run_dir`/NAME.log.
    """

    def __init__(self, run_dir):
        self.run_dir = pathlib.Path(run_dir)
        self._started = []

    def start(self, name, arguments, **options):
        with open(self.run_dir / f"{name}.log", "ab") as log:
            options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log,
                       "start_new_session": True, **options}
            # Should the tests be killed, what they started is told to end.
            process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "--", *map(str, arguments)], **options)
        process.name = name
        self._started.append(process)
        return process

    def stop(self, process, timeout=15.0):
        """Asks a process to end and returns its exit code; one that does not end in time is a failure."""
        if process.poll() is None:
            process.terminate()
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{process.name} still ran {timeout:g} s after SIGTERM") from None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        problems = []
        for process in reversed(self._started):
            try:
                self.stop(process)
            except AssertionError as problem:
                problems.append(str(problem))
        self._started = [process for process in self._started if process.poll() is None]
        try:
            wait_for("the processes to be gone", lambda: not processes_that_mention(str(self.run_dir)))
        except AssertionError:
            left = processes_that_mention(str(self.run_dir))
            problems.append(f"processes were left behind: {left}")
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for process in self._started:
            process.kill()
            process.wait()
        if problems and exception[0] is None:
            raise AssertionError("; ".join(problems))
