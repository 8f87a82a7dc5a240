"""Web servers that start the hosts themselves, with settings of a test's own, and the hosts that they have started."""

import contextlib
import re
import subprocess

import servers
from processes import accepts, processes_that_mention, wait_for


def hosts(site):
    """The processes of Weft: supervisors, workers, and those that are both."""
    return {pid for pid, command in processes_that_mention(str(site.run_dir)).items() if "weft serve" in command}


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


def spawned(site):
    """Those of hosts() that a web server has started."""
    every = hosts(site)
    return {pid for pid in every if parent_of(pid) not in every}


def wait_until_gone(site, pids):
    wait_for("the hosts' end", lambda: not pids & hosts(site), timeout=20)


def holds_a_request(installation, pid):
    stacks = subprocess.run([installation.weft, "stacks", str(pid)], capture_output=True, text=True, timeout=20)
    return " 1 request" in f" {stacks.stdout}"


@contextlib.contextmanager
def in_flight(site):
    """A request that a handler has; at the end its answer must be right."""
    with site.open("GET", "/wait.ashx?ms=1000") as exchange:
        exchange.send_all()
        wait_for("the request", lambda: any(holds_a_request(site.installation, pid) for pid in hosts(site)))
        yield
        response = exchange.response()
        assert (response.status, response.body) == (200, b"waited 1000 ms\n")


def apache(*directives):
    """Apache with these directives after all others."""
    class Apache(servers.ApacheFcgid):
        def write_config(self, name, **more):
            config = super().write_config(name, **more)
            config.write_text(config.read_text() + "\n".join(directives) + "\n")
            return config

    return Apache


def lighttpd(*lines, arguments=("-D",), **settings):
    """lighttpd with these lines, and with these settings of the server that it starts."""
    class Lighttpd(servers.LighttpdSpawn):
        def write_config(self, name, **more):
            config = super().write_config(name, **more)
            text = config.read_text() + "\n".join(lines) + "\n"
            for setting, number in settings.items():
                key = setting.replace("_", "-")
                line = f'"{key}" => {number},'
                text, count = re.subn(rf'"{key}" *=> *\d+,', line, text)
                if not count:
                    text = text.replace('"min-procs"', f'{line}\n    "min-procs"')
            config.write_text(text)
            return config

        def start(self):
            if arguments == ("-D",) and settings.get("min_procs") != 0:
                super().start()
            else:
                self.server = self.processes.start(
                    "lighttpd", ["/usr/sbin/lighttpd", *arguments, "-f", self.write_config("lighttpd-spawn.conf")])
                wait_for("lighttpd", lambda: accepts("127.0.0.1", self.port))

    return Lighttpd
