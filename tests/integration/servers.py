"""The web servers of the tests, each with its own configuration from scripts/servers, serving the sample site."""

import dataclasses
import grp
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import fcgi
from http_client import Exchange, Response
from processes import accepts, free_port, lines_of, processes_that_mention, unprivileged_account, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVERS = ROOT / "scripts" / "servers"


@dataclasses.dataclass
class Installation:
    """Where the pieces of Weft are: in the build tree, or in a copy of it."""
    weft: pathlib.Path
    modules: pathlib.Path
    libraries: pathlib.Path
    document_root: pathlib.Path
    mappings: pathlib.Path

    @staticmethod
    def built(build_dir):
        build_dir = pathlib.Path(build_dir)
        samples = ROOT / "handlers" / "samples"
        return Installation(build_dir / "bin" / "weft", build_dir / "modules", build_dir / "lib",
                            samples / "www", samples / "mappings")

    def copy(self, target):
        """A copy that everybody may read: www-data cannot enter a checkout below /root."""
        copy = Installation(target / "weft", target / "modules", target / "lib", target / "www", target / "mappings")
        target.mkdir()
        shutil.copy2(self.weft, copy.weft)
        for source, destination in ((self.modules, copy.modules), (self.libraries, copy.libraries),
                                    (self.document_root, copy.document_root), (self.mappings, copy.mappings)):
            shutil.copytree(source, destination)
        subprocess.run(["chmod", "-R", "a+rX", target], check=True)
        return copy

    def as_account(self, account):
        """The options of Popen() that start a copy as `account`; none for None, who started the tests."""
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [],
                "env": {**os.environ, "LD_LIBRARY_PATH": str(self.libraries)}} if account else {}


class Site:
    """The sample site behind one web server. A subclass says what the server cannot do, and why."""

    # A web server gives out files, and puts headers on the wire. cgi-fcgi does neither.
    is_web_server = True
    # The largest chunked request body that the server takes; None: any. A larger one is answered 411.
    largest_chunked_body = None
    # Whether connections to Weft outlive a request, and whether they carry several at once; None: not to be seen.
    keeps_connections = None
    multiplexes = False
    # Whether a request for a missing .ashx file is Weft's to answer.
    asks_weft_for_missing_files = True
    # Of a Weft that the server does not start itself.
    workers = 1
    # Whether workers run as another account when the server is started by root.
    drops_privileges = False

    def __init__(self, processes, installation, weft_options=()):
        self.processes = processes
        self.run_dir = processes.run_dir
        self.installation = installation
        self.account = unprivileged_account() if self.drops_privileges else None
        if self.account:
            self.installation = installation.copy(self.run_dir / "copy")
            os.chown(self.run_dir, self.account.pw_uid, self.account.pw_gid)
        self.port = free_port()
        self.socket = self.run_dir / "weft.sock"
        self.access_log = self.run_dir / "access.log"
        self.weft_config = self.run_dir / "weft.ini"
        self.weft_config.write_text(self.render(SERVERS / "weft.ini") + "".join(
            f"{option}\n" for option in weft_options))
        # lighttpd splits the command at blanks, and a checkout's path may hold some.
        self.weft_link = self.run_dir / "weft"
        self.weft_link.symlink_to(self.installation.weft)
        self.weft = None
        self.start()

    def render(self, template, **more):
        values = {
            "PORT": self.port,
            "DOCUMENT_ROOT": self.installation.document_root,
            "SOCKET": self.socket,
            "WEFT": self.run_dir / "weft",
            "WEFT_CONFIG": self.weft_config,
            "RUN_DIR": self.run_dir,
            "MAPPINGS": self.installation.mappings,
            "MODULES": self.installation.modules,
            "ACCESS_LOG": self.access_log,
            "APACHE_MODULES": "/usr/lib/apache2/modules",
            "USER": self.account.pw_name if self.account else "nobody",
            "GROUP": grp.getgrgid(self.account.pw_gid).gr_name if self.account else "nogroup",
        }
        values.update(more)
        return subprocess.run([SERVERS / "render", template] + [f"{name}={value}" for name, value in values.items()],
                              check=True, stdout=subprocess.PIPE, text=True, timeout=10).stdout

    def write_config(self, name, **more):
        config = self.run_dir / name
        config.write_text(self.render(SERVERS / name, **more))
        return config

    def start_weft(self):
        """Starts a Weft of its own, for servers that connect to one."""
        self.weft = self.processes.start(
            "weft", [self.weft_link, "serve", "--config", self.weft_config, "--listen", f"unix:{self.socket}",
                     "--workers", str(self.workers)], **self.installation.as_account(self.account))
        wait_for("Weft's socket", lambda: self.weft.poll() is not None or self.socket_is_answered())
        assert self.weft.poll() is None, f"weft ended at once with exit code {self.weft.returncode}"

    def socket_is_answered(self):
        try:
            fcgi.connect(f"unix:{self.socket}").close()
        except OSError:
            return False
        return True

    def start_server(self, name, arguments, **options):
        self.server = self.processes.start(name, arguments, **options)
        wait_for(f"{name} on port {self.port}",
                 lambda: self.server.poll() is not None or accepts("127.0.0.1", self.port))
        assert self.server.poll() is None, f"{name} ended at once with exit code {self.server.returncode}"

    def start(self):
        raise NotImplementedError

    def open(self, method, target, headers=(), body=None, chunked=False, timeout=30.0):
        """Sends a request; the caller reads the response piece by piece."""
        return Exchange(self.port, method, target, headers, body, chunked, timeout)

    def request(self, method, target, headers=(), body=None, chunked=False, timeout=30.0):
        with self.open(method, target, headers, body, chunked, timeout) as exchange:
            return exchange.response()

    def echo(self, method, target, **options):
        """What a handler saw of the request."""
        response = self.request(method, target, **options)
        assert response.status == 200, f"{response.status}: {response.body[:500]!r}"
        assert response.header("Content-Type").split(";")[0] == "application/json"
        return json.loads(response.body)

    def connections_to_weft(self):
        """How many connections to Weft's socket are open: accepted sockets carry its path in /proc/net/unix."""
        lines = pathlib.Path("/proc/net/unix").read_text().splitlines()
        return len([line for line in lines if line.endswith(f" {self.socket}") and line.split()[5] == "03"])

    def access_lines(self):
        return lines_of(self.access_log)


class LighttpdSpawn(Site):
    asks_weft_for_missing_files = False  # check-local is on

    def start(self):
        self.start_server("lighttpd", ["/usr/sbin/lighttpd", "-D", "-f", self.write_config("lighttpd-spawn.conf")])
        # Until the child that it has forked is Weft, a SIGTERM to it goes to lighttpd's own handler, and is lost.
        run_dir = str(self.processes.run_dir)
        wait_for("lighttpd's Weft",
                 lambda: any("weft serve" in command for command in processes_that_mention(run_dir).values()))


class LighttpdSocket(Site):
    keeps_connections = False
    asks_weft_for_missing_files = False  # check-local is on

    def start(self):
        self.start_weft()
        self.start_server("lighttpd", ["/usr/sbin/lighttpd", "-D", "-f", self.write_config("lighttpd-socket.conf")])


class ApacheFcgid(Site):
    drops_privileges = True
    def start(self):
        self.start_server("apache", ["/usr/sbin/apache2", "-D", "FOREGROUND", "-f",
                                     self.write_config("apache-fcgid.conf")],
                          # mod_fcgid hands this variable on to what it spawns.
                          env={**os.environ, "LD_LIBRARY_PATH": str(self.installation.libraries)})


class ApacheProxy(Site):
    keeps_connections = True
    drops_privileges = True

    def start(self):
        self.start_weft()
        self.start_server("apache", ["/usr/sbin/apache2", "-D", "FOREGROUND", "-f",
                                     self.write_config("apache-proxy.conf")])


class Nginx(Site):
    keeps_connections = True
    keep_conn = "on"

    def start(self):
        self.start_weft()
        config = self.write_config("nginx.conf", KEEP_CONN=self.keep_conn, KEEPALIVE="keepalive 32;" if self.keep_conn == "on" else "")
        # Started by root, workers run as root too: they must read a checkout that may be below /root.
        user = ["-g", "user root;"] if os.geteuid() == 0 else []
        self.start_server("nginx", ["/usr/sbin/nginx", "-e", "stderr", "-c", config] + user)


class NginxNoKeepConn(Nginx):
    keeps_connections = False
    keep_conn = "off"


class HAProxy(Site):
    keeps_connections = True
    multiplexes = True
    # HAProxy must know a body's length first: a chunked body has to fit in a buffer (see haproxy.cfg).
    largest_chunked_body = 16 * 1024

    def start(self):
        self.start_weft()
        self.start_server("haproxy", ["/usr/sbin/haproxy", "-db", "-f", self.write_config("haproxy.cfg")])


class CgiFcgiExchange:
    """One request through the program cgi-fcgi: parameters are its environment, the body its input."""

    def __init__(self, site, method, target, headers, body, timeout):
        document_root = site.installation.document_root
        environment = fcgi.variables(document_root, method, target, None if body is None else len(body))
        for name, value in headers:
            if name.lower() != "proxy":  # what any web server must do
                environment["HTTP_" + name.upper().replace("-", "_")] = value
        self._timeout = timeout
        self._body = body or b""
        self._process = subprocess.Popen(
            ["/usr/bin/cgi-fcgi", "-bind", "-connect", str(site.socket)], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def send_all(self):
        self._process.stdin.close()

    def read_head(self):
        self.send_all()
        block = b""
        while not block.endswith(b"\r\n\r\n"):
            line = self._process.stdout.readline()
            assert line, f"cgi-fcgi ended within the headers: {block!r}"
            block += line
        status, headers, _ = fcgi.parse_cgi(block)
        return status, headers

    def read_piece(self):
        return self._process.stdout.read1(65536)

    def response(self):
        output, errors = self._process.communicate(self._body, timeout=self._timeout)
        assert self._process.returncode == 0, f"cgi-fcgi: exit code {self._process.returncode}, {errors!r}"
        return Response(*fcgi.parse_cgi(output))

    def close(self):
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class CgiFcgi(Site):
    """No web server at all: each request is a run of cgi-fcgi, libfcgi's own bridge."""
    keeps_connections = False
    is_web_server = False

    def start(self):
        self.start_weft()

    def open(self, method, target, headers=(), body=None, chunked=False, timeout=30.0):
        assert not chunked
        return CgiFcgiExchange(self, method, target, headers, body, timeout)


ALL = {
    "lighttpd-spawn": LighttpdSpawn,
    "lighttpd-socket": LighttpdSocket,
    "apache-fcgid": ApacheFcgid,
    "apache-proxy": ApacheProxy,
    "nginx": Nginx,
    "nginx-no-keep-conn": NginxNoKeepConn,
    "haproxy": HAProxy,
    "cgi-fcgi": CgiFcgi,
}


def sha256(data):
    return hashlib.sha256(data).hexdigest()
