"""Files in answers, and clients that read slowly: through each web server, and directly."""

import fcntl
import itertools
import os
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import pytest

import fcgi
import servers
from http_client import Exchange
from processes import children_of, memory_grown, memory_of, wait_for
from servers import sha256

KIB = 1024
MIB = 1024 * KIB
SITES = ["lighttpd-socket", "lighttpd-spawn", "apache-proxy", "apache-fcgid", "nginx", "haproxy"]
LARGE = 160 * MIB
# What a worker may come to need beside a body of LARGE that is under way: its buffers, and some pages it never touched before.
MEMORY = 16 * MIB


@pytest.fixture
def site_with_files(processes, installation):
    """Starts a site whose document root is a copy with more files: site_with_files("nginx", {"name": bytes})."""
    def start(name, files, weft_options=(), site_class=None):
        copy = installation.copy(processes.run_dir / "site")
        for file_name, content in files.items():
            path = copy.document_root / "files" / file_name
            if isinstance(content, int):
                with open(path, "wb") as file:
                    file.truncate(content)
            else:
                path.write_bytes(content)
            path.chmod(0o644)
        copy.weft.unlink()
        shutil.copy2(installation.weft, copy.weft)
        return (site_class or servers.ALL[name])(processes, copy, weft_options)
    return start


@pytest.mark.parametrize("name", SITES)
def test_each_server_sends_files_whole_in_part_and_between_text(name, site_with_files):
    content = os.urandom(3 * MIB + 17)
    site = site_with_files(name, {"data.bin": content, "empty": b""})
    for handler in ("/download.ashx", "/download-async.ashx"):
        response = site.request("GET", f"{handler}?name=data.bin")
        assert (response.status, sha256(response.body)) == (200, sha256(content))
        assert response.header("Content-Length") == str(len(content))
        assert response.header("Content-Disposition") == 'attachment; filename="data.bin"'
        head = site.request("HEAD", f"{handler}?name=data.bin")
        assert (head.status, head.body, head.header("Content-Length")) == (200, b"", str(len(content)))
        response = site.request("GET", f"{handler}?name=data.bin&offset=70000&bytes=100001&before=%3C&after=%3E")
        assert response.body == b"<" + content[70000:170001] + b">"
        assert response.header("Content-Length") == "100003"
        response = site.request("GET", f"{handler}?name=empty")
        assert (response.status, response.body, response.header("Content-Length")) == (200, b"", "0")
        assert site.request("GET", f"{handler}?name=none").status == 404
        assert site.request("GET", f"{handler}?name=..%2Findex.html").status == 404
        assert site.request("GET", f"{handler}?name=data.bin&offset=1&bytes={len(content)}").status == 400
    wait_for("the cause", lambda: [line for line in site.access_lines() if "cause=file_not_found" in line])


def workers_of(site):
    """The processes that serve: Weft's only worker, or those that a web server has spawned."""
    if site.weft:
        return wait_for("the worker", lambda: children_of(site.weft.pid))
    return wait_for("weft", lambda: descendants(site.server.pid, str(site.weft_link)))


def descendants(pid, word):
    found = []
    for child in children_of(pid):
        with open(f"/proc/{child}/cmdline", "rb") as command:
            if word.encode() in command.read():
                found.append(child)
        found += descendants(child, word)
    return found


class HAProxyNotMultiplexing(servers.HAProxy):
    """FastCGI has no flow control by request: on a shared connection HAProxy reads nobody's answer while one client
    does not take its own."""

    def write_config(self, config_name, **more):
        config = super().write_config(config_name, **more)
        text = config.read_text()
        for line in ("    option get-values\n", "    option mpxs-conns\n", "    option max-reqs 100\n"):
            assert line in text
            text = text.replace(line, "")
        config.write_text(text)
        return config


SLOW = ["/download.ashx?name=large", "/download-async.ashx?name=large", f"/lines.ashx?bytes={LARGE}",
        f"/lines-async.ashx?bytes={LARGE}"]


@pytest.mark.parametrize("target", SLOW)
@pytest.mark.parametrize("name", SITES)
def test_a_slow_client_costs_a_worker_no_memory_and_others_no_time(name, target, site_with_files):
    site = site_with_files(name, {"large": LARGE}, site_class=HAProxyNotMultiplexing if name == "haproxy" else None)
    assert site.request("GET", "/hello.ashx").status == 200
    before = memory_of(workers_of(site)[0], "VmHWM")
    received = 0
    with Exchange(site.port, "GET", target, timeout=60) as exchange:
        status, _ = exchange.read_head()
        assert status == 200
        for _ in range(20):
            received += len(exchange.read_piece())
            assert site.request("GET", "/hello.ashx").body.rstrip() == b"Hello, world"
            assert site.request("GET", "/hello-async.ashx").body.rstrip() == b"Hello, world"
        assert received < LARGE
        while piece := exchange.read_piece():
            received += len(piece)
    assert received == LARGE
    assert max(memory_grown(worker, before) for worker in workers_of(site)) < MEMORY


@pytest.mark.parametrize("target", SLOW)
def test_a_slow_peer_makes_a_handler_wait_and_nobody_else(target, start, run_dir, installation):
    copy = installation.copy(run_dir / "site")
    (copy.document_root / "files" / "large").touch()
    os.truncate(copy.document_root / "files" / "large", LARGE)
    host = start()
    host.installation = copy
    assert host.get("/hello.ashx").status == 200
    before = memory_of(host.process.pid, "VmHWM")
    slow = [host.begin(target) for _ in range(8)]
    received = [0] * len(slow)
    for turn in range(20):
        for number, connection in enumerate(slow):
            # 1 KiB at a time, as from a line of a few KiB a second.
            received[number] += len(connection.socket.recv(KIB))
        assert host.get("/hello-async.ashx").status == 200
        assert host.get("/hello.ashx").status == 200
    assert memory_grown(host.process.pid, before) < MEMORY
    assert not host.access_lines(target)
    # Seven leave, one stays to the end.
    for connection in slow[1:]:
        connection.close()
    wait_for("their records", lambda: len(host.access_lines("status=499")) == 7)
    with slow[0] as connection:
        while data := connection.socket.recv(MIB):
            received[0] += len(data)
    assert received[0] > LARGE
    host.wait_for_access_line(target, "status=200", f"bytes={LARGE}")
    assert memory_grown(host.process.pid, before) < MEMORY


def waiting_in(connection):
    """Bytes that a peer has sent, and that were not read."""
    return int.from_bytes(fcntl.ioctl(connection.socket, termios.FIONREAD, b"\0" * 4), sys.byteorder)


def test_more_of_a_file_waits_in_a_unix_socket_than_of_anything_else(start, run_dir, installation):
    copy = installation.copy(run_dir / "site")
    (copy.document_root / "files" / "large").touch()
    os.truncate(copy.document_root / "files" / "large", LARGE)
    usual = int(Path("/proc/sys/net/core/wmem_default").read_text())
    host = start("--file-send-buffer-bytes", "1M")
    host.installation = copy
    with host.begin("/download.ashx?name=large") as connection:
        wait_for("more than the system gives by itself", lambda: waiting_in(connection) > usual * 1.25)
    host.stop()
    host = start("--file-send-buffer-bytes", "0")
    host.installation = copy
    with host.begin("/download.ashx?name=large") as connection:
        while connection.socket.recv(KIB):
            assert waiting_in(connection) < usual * 1.25


@pytest.mark.parametrize("handler", ["/download.ashx", "/download-async.ashx"])
def test_a_file_that_becomes_shorter_cuts_the_answer_and_is_named_as_the_cause(handler, start, run_dir, installation):
    copy = installation.copy(run_dir / "site")
    large = copy.document_root / "files" / "large"
    large.touch()
    os.truncate(large, LARGE)
    host = start()
    host.installation = copy
    with host.begin(f"{handler}?name=large") as connection:
        assert connection.read_record().type == fcgi.STDOUT
        os.truncate(large, 5 * MIB)
        received = []
        while (record := connection.read_record()) is not None:
            received.append(record.type)
        assert fcgi.END_REQUEST not in received
    host.wait_for_access_line("cause=file_changed", "outcome=aborted")
    wait_for("the line in the log", lambda: "became shorter while it was sent" in host.log.read_text())


# How each server is told that it may send files of a folder itself.
SENDFILE = {
    "lighttpd-socket": ("x-sendfile:{folder}", '"check-local" => "enable"',
                        '"check-local" => "enable", "x-sendfile" => "enable", "x-sendfile-docroot" => ( "{folder}" )'),
    "lighttpd-spawn": ("x-sendfile:{folder}", '"check-local" => "enable"',
                       '"check-local" => "enable", "x-sendfile" => "enable", "x-sendfile-docroot" => ( "{folder}" )'),
    "nginx": ("x-accel-redirect:{folder}=/internal/", "location ~ \\.ashx",
              'location /internal/ {{ internal; alias "{folder}/"; }}\n        location ~ \\.ashx'),
    "apache-proxy": ("x-sendfile:{folder}", "# --- Part 2",
                     'LoadModule xsendfile_module "/usr/lib/apache2/modules/mod_xsendfile.so"\nXSendFile On\n'
                     'XSendFilePath "{folder}"\n# --- Part 2'),
    "apache-fcgid": ("x-sendfile:{folder}", "# --- Part 2",
                     'LoadModule xsendfile_module "/usr/lib/apache2/modules/mod_xsendfile.so"\nXSendFile On\n'
                     'XSendFilePath "{folder}"\n# --- Part 2'),
}


def site_that_sends_files(name, site_with_files, run_dir, files, *more_edits):
    """A site whose server sends the files itself. An edit: what is to be found in its configuration, and what replaces it."""
    option, *edit = SENDFILE[name]
    # A server that drops its privileges has another copy.
    copied = servers.ALL[name].drops_privileges and os.geteuid() == 0
    folder = run_dir / ("copy" if copied else "site") / "www" / "files"

    class SendsFiles(servers.ALL[name]):
        def write_config(self, config_name, **more):
            config = super().write_config(config_name, **more)
            text = config.read_text()
            for before, after in (edit, *more_edits):
                before = before.format(folder=folder)
                assert before in text
                text = text.replace(before, after.format(folder=folder))
            config.write_text(text)
            return config

    return site_with_files(name, files, [f"sendfile = {option.format(folder=folder)}"], SendsFiles)


@pytest.mark.parametrize("name", sorted(SENDFILE))
def test_a_server_that_is_asked_to_sends_the_file_itself(name, site_with_files, run_dir):
    content = os.urandom(2 * MIB + 3)
    site = site_that_sends_files(name, site_with_files, run_dir, {"data.bin": content, "empty": b""})
    for handler in ("/download.ashx", "/download-async.ashx"):
        target = f"{handler}?name=data.bin"
        response = site.request("GET", target)
        assert (response.status, sha256(response.body)) == (200, sha256(content))
        assert response.header("Content-Length") == str(len(content))
        assert response.header("Content-Type") == "application/octet-stream"
        assert response.header("Content-Disposition") == 'attachment; filename="data.bin"'
        for field in ("X-Sendfile", "X-Accel-Redirect"):
            assert response.header(field) is None
        head = site.request("HEAD", target)
        assert (head.status, head.body) == (200, b"")
        # Validators and ranges are the server's own then.
        tag = response.header("ETag")
        assert head.header("ETag") == tag
        part = site.request("GET", target, headers=[("Range", "bytes=1000-1999")])
        assert (part.status, part.body) == (206, content[1000:2000])
        assert part.header("Content-Range") == f"bytes 1000-1999/{len(content)}"
        assert tag and response.header("Last-Modified")
        same = site.request("GET", target, headers=[("If-None-Match", tag)])
        assert (same.status, same.body) == (304, b"")
        # Weft sends what is not one whole file.
        assert site.request("GET", f"{target}&offset=5&bytes=6").body == content[5:11]
        assert site.request("GET", f"{target}&before=a&after=b").body == b"a" + content + b"b"
        assert site.request("GET", f"{handler}?name=empty").body == b""
        assert site.request("GET", f"{handler}?name=none").status == 404
    if name == "nginx":
        assert site.request("GET", "/internal/data.bin").status == 404
    wait_for("an answer that Weft has sent no byte of",
             lambda: [line for line in site.access_lines() if "name=data.bin" in line and " bytes=0 " in line])


# What docs/guide/files.md has an operator add where others may write into the folder. mod_xsendfile has nothing like it.
NO_LINKS = {
    "lighttpd-socket": ("fastcgi.server = (", 'server.follow-symlink = "disable"\nfastcgi.server = ('),
    "nginx": ('alias "{folder}/";', 'alias "{folder}/"; disable_symlinks on from={folder};'),
}


@pytest.mark.parametrize("name, configured", [("apache-proxy", False), *itertools.product(sorted(NO_LINKS), (False, True))])
def test_a_server_that_sends_files_follows_links_unless_it_is_told_not_to(name, configured, site_with_files, run_dir):
    site = site_that_sends_files(name, site_with_files, run_dir, {"data.bin": b"inside"},
                                 *([NO_LINKS[name]] if configured else []))
    root = site.installation.document_root
    (root / "outside").mkdir(mode=0o755)
    (root / "outside" / "data.bin").write_bytes(b"outside")
    (root / "files" / "link.bin").symlink_to(root / "outside" / "data.bin")
    assert site.request("GET", "/download.ashx?name=data.bin").body == b"inside"
    response = site.request("GET", "/download.ashx?name=link.bin")
    if configured:
        assert response.status in (403, 404) and b"outside" not in response.body
    else:
        assert (response.status, response.body) == (200, b"outside")


def decoded(site, target, coding):
    """What a client of that coding makes of the answer."""
    return subprocess.run(["curl", "-sf", "--compressed", "-H", f"Accept-Encoding: {coding}",
                           f"http://127.0.0.1:{site.port}{target}"], stdout=subprocess.PIPE, check=True, timeout=60).stdout


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br"])
@pytest.mark.parametrize("name", SITES)
def test_each_server_passes_on_what_is_compressed(name, coding, site_with_files):
    site = site_with_files(name, {}, ["compression = on"])
    accept = [("Accept-Encoding", coding)]
    for size in (500, 5000, 3 * MIB):
        for handler in ("/lines.ashx", "/lines-async.ashx"):
            plain = site.request("GET", f"{handler}?bytes={size}")
            assert (len(plain.body), plain.header("Content-Encoding")) == (size, None)
            response = site.request("GET", f"{handler}?bytes={size}", headers=accept)
            assert response.status == 200
            if size < 1024:
                assert response.header("Content-Encoding") is None
                continue
            assert response.header("Content-Encoding") == coding
            assert "accept-encoding" in response.header("Vary").lower()
            assert len(response.body) < size / 4
            assert decoded(site, f"{handler}?bytes={size}", coding) == plain.body
