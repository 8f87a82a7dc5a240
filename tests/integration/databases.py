"""Databases of the tests, each on a folder of its own, and gone with its test."""

import contextlib
import os
import pathlib
import signal
import subprocess

from processes import children_of, unprivileged_account, wait_for


class Postgres:
    """A PostgreSQL with pgbench's tables, on a Unix socket in `folder`."""

    BIN = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)

    def __init__(self, processes):
        self.processes = processes
        self.folder = processes.run_dir / "pg"
        self.folder.mkdir()
        # It refuses to run as root.
        account = unprivileged_account()
        self.account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        if account:
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self.run("initdb", "-D", self.folder / "data", "-A", "trust", "-U", "weft", "-E", "UTF8", "--locale", "C", "--no-sync")
        self.connection = f"host={self.folder} user=weft dbname=postgres"
        self.start()
        self.run("pgbench", "-i", "-q", "-s", "1", self.connection)

    def run(self, program, *arguments):
        return subprocess.run([self.BIN / program, *arguments], cwd="/", check=True, capture_output=True, text=True,
                              timeout=60, **self.account).stdout

    def sql(self, statement):
        return self.run("psql", "-At", "-c", statement, self.connection).strip()

    def start(self):
        self.process = self.processes.start(
            "postgres", [self.BIN / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=",
                         "-c", "fsync=off"], cwd="/", **self.account)
        def ready():
            result = subprocess.run([self.BIN / "pg_isready", "-q", "-h", self.folder], cwd="/", timeout=20)
            return self.process.poll() is not None or result.returncode == 0
        wait_for("PostgreSQL", ready, timeout=20)
        assert self.process.poll() is None, "PostgreSQL ended at once"

    def stop(self):
        self.process.send_signal(2)  # SIGINT: at once, without waiting for its clients
        self.process.wait(20)

    def kill(self):
        """As if the machine's power had gone: with every process of it, and what they had to say."""
        victims = [self.process.pid, *children_of(self.process.pid)]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(20)
        # It starts again only when none of them is left.
        wait_for("the end of its processes", lambda: not any(pathlib.Path(f"/proc/{pid}/fd/0").exists() for pid in victims))


class Redis:
    """A Redis on a Unix socket, which keeps nothing."""

    def __init__(self, processes):
        self.processes = processes
        self.socket = processes.run_dir / "redis.sock"
        self.start()

    def start(self):
        self.process = self.processes.start(
            "redis", ["/usr/bin/redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no",
                      "--dir", self.processes.run_dir])
        wait_for("Redis", lambda: self.process.poll() is not None or self.ping())
        assert self.process.poll() is None, "Redis ended at once"

    def call(self, *words):
        return subprocess.run(["/usr/bin/redis-cli", "-s", self.socket, *words], check=True, capture_output=True, text=True,
                              timeout=10).stdout.rstrip("\n")

    def ping(self):
        try:
            return self.call("PING") == "PONG"
        except subprocess.CalledProcessError:
            return False

    def stop(self):
        self.processes.stop(self.process)

    def kill(self):
        self.process.kill()
        self.process.wait(20)
