"""`weft serve` as a test starts it, without a web server in front."""

import pathlib
import socket

import fcgi
from processes import children_of, free_port, lines_of, wait_for


class Host:
    """A running `weft serve` on an address of its own, and short ways to ask it something."""

    def __init__(self, processes, installation, *options, listen="unix", workers=0, begins_with=None, mappings=None,
                 log="weft", **start_options):
        """`begins_with`: how many of the workers there are at first, where that is not all of them."""
        run_dir = processes.run_dir
        self.installation = installation
        self.processes = processes
        self.access_log = run_dir / "access.log"
        self.log = run_dir / f"{log}.log"
        self.address = {
            "unix": lambda: f"unix:{run_dir}/weft.sock",
            "tcp4": lambda: f"tcp:127.0.0.1:{free_port()}",
            "tcp6": lambda: f"tcp:[::1]:{free_port(socket.AF_INET6)}",
        }[listen]()
        self.process = processes.start(
            log, [installation.weft, "serve", "--listen", self.address, "--workers", workers,
                  "--mappings", mappings or installation.mappings, "--modules", installation.modules,
                  "--access-log", self.access_log, *options], **start_options)
        wait_for(f"weft on {self.address}", lambda: self.process.poll() is not None or self.is_answering())
        assert self.process.poll() is None, (
            f"weft ended at once with exit code {self.process.returncode}: {self.log.read_text()}")
        if begins_with or workers:
            wait_for("the workers", lambda: len(self.workers()) == (begins_with or workers))

    def is_answering(self):
        return fcgi.accepts(self.address)

    def variables(self, target, method="GET", content_length=None, **more):
        return fcgi.variables(self.installation.document_root, method, target, content_length, **more)

    def connect(self, timeout=10.0):
        return fcgi.Connection(self.address, timeout)

    def get(self, target, timeout=10.0, **more):
        return fcgi.exchange(self.address, self.variables(target, **more), timeout=timeout)

    def begin(self, target):
        """Sends a request and leaves the response for later; returns the connection."""
        connection = self.connect(timeout=30)
        connection.send(fcgi.request(self.variables(target)))
        return connection

    def workers(self):
        return children_of(self.process.pid)

    def stop(self):
        return self.processes.stop(self.process)

    def access_lines(self, *words):
        """The lines of the access log that contain all of `words`."""
        return [line for line in lines_of(self.access_log) if all(word in line for word in words)]

    def wait_for_access_line(self, *words):
        return wait_for(f"a line with {' and '.join(words)} in the access log", lambda: self.access_lines(*words))[0]


def says_hello(response):
    return response.status == 200 and response.body.rstrip(b"\n") == b"Hello, world"


def owners_of_connections(processes, port):
    """Who holds the server's end of each TCP connection to 127.0.0.1:`port`: {client's port: process id}.

    A connection that is still in the backlog belongs to nobody and is left out.
    """
    holders = {}
    for pid in processes:
        for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = descriptor.readlink().name
            except OSError:
                continue
            if target.startswith("socket:["):
                holders[target[len("socket:["):-1]] = pid
    owners = {}
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local_port, remote_port = (int(fields[column].split(":")[1], 16) for column in (1, 2))
        if local_port == port and remote_port and fields[9] in holders:
            owners[remote_port] = holders[fields[9]]
    return owners
