"""Bodies: forms, files, JSON, temporary files, behind real web servers and real clients."""

import json
import os
import resource
import signal
import socket
import subprocess

import pytest

import fcgi
import servers
from http_client import Exchange, curl
from processes import memory_grown, memory_of, wait_for
from servers import sha256

KIB = 1024
MIB = 1024 * KIB

SITES = ["lighttpd-socket", "lighttpd-spawn", "apache-proxy", "apache-fcgid", "nginx", "haproxy"]


class NginxStreaming(servers.Nginx):
    """nginx that passes a body on as it comes; a chunked one then has an empty CONTENT_LENGTH."""

    def write_config(self, name, **more):
        config = super().write_config(name, **more)
        text = config.read_text()
        assert "fastcgi_request_buffering on;" in text
        config.write_text(text.replace("fastcgi_request_buffering on;", "fastcgi_request_buffering off;"))
        return config


ALL = {**servers.ALL, "nginx-streaming": NginxStreaming}


@pytest.fixture(params=[*SITES, "nginx-streaming"])
def site(request, processes, installation):
    return ALL[request.param](processes, installation)


def multipart(parts, boundary="XX"):
    """parts: (name, content), or (name, content, file name)."""
    message = b""
    for name, content, *file_name in parts:
        message += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        message += f'; filename="{file_name[0]}"\r\nContent-Type: application/octet-stream'.encode() if file_name else b""
        message += b"\r\n\r\n" + content + b"\r\n"
    return message + f"--{boundary}--\r\n".encode()


FORM = [("Content-Type", "multipart/form-data; boundary=XX")]


def test_the_form_that_curl_sends_arrives_whole(site, tmp_path):
    small, large = os.urandom(1000), os.urandom(3 * MIB + 17)
    (tmp_path / "small.bin").write_bytes(small)
    (tmp_path / "gro\u00df, \"1\".bin").write_bytes(large)
    (tmp_path / "empty").write_bytes(b"")
    arguments = ["-F", "note=a\r\nb\u00e4", "-F", f"file=@{tmp_path}/small.bin;type=image/png",
                 "-F", f'file=@"{tmp_path}/gro\u00df, \\"1\\".bin"', "-F", f"none=@{tmp_path}/empty",
                 "-F", "note=second"]
    for more in ([], ["-H", "Expect: 100-continue"], ["-H", "Expect:"]):
        status, _, body = curl(site, "/upload.ashx", *arguments, *more)
        assert status == 200, body
        seen = json.loads(body)
        assert seen["fields"] == [["note", "a\r\nb\u00e4"], ["note", "second"]]
        assert [(file["name"], file["fileName"], file["contentType"], file["length"], file["sha256"])
                for file in seen["files"]] == [
            ("file", "small.bin", "image/png", 1000, sha256(small)),
            ("file", "gro\u00df, _1_.bin", "application/octet-stream", len(large), sha256(large)),
            ("none", "empty", "application/octet-stream", 0, sha256(b""))]
        status, _, body = curl(site, "/upload-stream.ashx", *arguments, *more)
        assert status == 200, body
        assert [(part["name"], part["length"], part["sha256"]) for part in json.loads(body)["parts"]] == [
            ("note", 6, sha256("a\r\nb\u00e4".encode())), ("file", 1000, sha256(small)),
            ("file", len(large), sha256(large)), ("none", 0, sha256(b"")), ("note", 6, sha256(b"second"))]


def test_the_urlencoded_form_that_curl_sends_arrives_whole(site):
    status, _, body = curl(site, "/upload.ashx", "--data-urlencode", "a=1 +&=\u00e4", "-d", "b", "-d", "A=2")
    assert (status, json.loads(body)["fields"]) == (200, [["a", "1 +&=\u00e4"], ["b", ""], ["A", "2"]])
    # Of any method that the server passes on with its body.
    status, _, body = curl(site, "/upload.ashx", "-X", "PUT", "-d", "a=1")
    assert (status, json.loads(body)["fields"]) == (200, [["a", "1"]])
    status, _, body = curl(site, "/upload.ashx", "-X", "GET", "-d", "a=1")
    if isinstance(site, (servers.LighttpdSocket, servers.LighttpdSpawn)):
        assert status == 400  # lighttpd takes none, unless server.http-parseopts has "method-get-body" => "enable"
        return
    assert (status, json.loads(body)["fields"]) == (200, [["a", "1"]])


@pytest.mark.parametrize("target", ["/upload.ashx", "/upload-stream.ashx"])
def test_a_chunked_form_has_no_length_and_arrives_whole(site, target):
    content = os.urandom(200 * KIB)
    body = multipart([("f", content, "f.bin")])
    with Exchange(site.port, "POST", target, FORM, body, chunked=True) as exchange:
        response = exchange.response()
    if site.largest_chunked_body is not None:
        assert response.status == 411
        body = multipart([("f", content[:1000], "f.bin")])
        with Exchange(site.port, "POST", target, FORM, body, chunked=True) as exchange:
            response = exchange.response()
        content = content[:1000]
    assert response.status == 200, response
    seen = json.loads(response.body)
    file = (seen.get("files") or seen["parts"])[0]
    assert (file["length"], file["sha256"]) == (len(content), sha256(content))


def test_json_is_read_and_written(site):
    status, _, body = curl(site, "/json.ashx", "-H", "Content-Type: application/json", "-d", '{"a": ["\u00e4", 1]}')
    assert (status, json.loads(body)) == (200, {"received": {"a": ["\u00e4", 1]}})
    assert curl(site, "/json.ashx", "-d", "{}")[0] == 415
    status, _, body = curl(site, "/json.ashx", "-H", "Content-Type: application/json", "--data-binary", '{"a":\n 1,}')
    assert status == 400 and b"line 2, column 4 (byte 9)" in body
    status, *_ = curl(site, "/json.ashx", "-H", "Content-Type: application/json", "-d", "[" * 10000)
    assert status == 400


def test_who_refuses_does_not_read_the_body(site):
    """405 and 404 come before a body that is waited for by Expect: the web server asks for it, or does not."""
    head = ("POST /read-only/hello.ashx HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100000\r\n"
            "Expect: 100-continue\r\n\r\n")
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as client:
        client.sendall(head.encode())
        first = client.recv(65536)
        if first.startswith(b"HTTP/1.1 100"):
            client.sendall(bytes(100000))
            first = first.partition(b"\r\n\r\n")[2] or client.recv(65536)
    assert first.startswith(b"HTTP/1.1 405"), first


def test_the_web_server_asks_for_a_body_that_is_announced_by_expect(site):
    body = multipart([("f", bytes(100 * KIB), "f")])
    head = (f"POST /upload.ashx HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: {FORM[0][1]}\r\n"
            f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n")
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as client:
        client.sendall(head.encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 100")
        client.sendall(body)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200") and sha256(bytes(100 * KIB)).encode() in answer


# From here on without a web server.

def upload(host, parts, target="/upload.ashx", timeout=30, **more):
    body = multipart(parts)
    parameters = host.variables(target, "POST", len(body), CONTENT_TYPE=FORM[0][1], **more)
    return fcgi.exchange(host.address, parameters, body, timeout=timeout)


def test_a_refusal_is_answered_before_the_body_has_come(start):
    host = start("--max-request-bytes", "1m")
    for target, length, status in (("/read-only/hello.ashx", 100, 405), ("/upload.ashx", 2 * MIB, 413),
                                   ("/none.ashx", 100, 404)):
        with host.connect() as connection:
            # BEGIN and PARAMS alone: nothing of the body.
            message = fcgi.request(host.variables(target, "POST", length))
            assert message.endswith(fcgi.record(fcgi.STDIN, 1))
            connection.send(message[:-len(fcgi.record(fcgi.STDIN, 1))])
            assert connection.read_response()[1].status == status


@pytest.mark.parametrize("options, parts, status, cause", [
    (["--max-fields", "2"], [("a", b""), ("b", b""), ("c", b"")], 400, "too_many_fields"),
    (["--max-files", "1"], [("a", b"", "a"), ("a", b"", "b")], 400, "too_many_files"),
    (["--max-field-bytes", "10"], [("a", bytes(11))], 413, "form_too_large"),
    (["--max-field-name-bytes", "10"], [("a" * 11, b"")], 413, "form_too_large"),
    (["--max-form-bytes", "20"], [("a", bytes(10)), ("b", bytes(10))], 413, "form_too_large"),
    (["--max-part-header-bytes", "100"], [("a", b"", "f" * 100)], 400, "part_header_too_large"),
    (["--temporary-folder", "/nonexistent/folder"], [("a", bytes(100 * KIB), "f")], 500, "body_storage_failed"),
    (["--max-temporary-bytes", "1m"], [("a", bytes(2 * MIB), "f")], 503, "overloaded"),
])
def test_each_bound_has_its_status_and_its_cause(start, options, parts, status, cause):
    host = start(*options)
    assert upload(host, parts).status == status
    host.wait_for_access_line(f"status={status}", f"cause={cause}")
    wait_for(f"{options[0]} in the log", lambda: options[0] in host.log.read_text())
    assert upload(host, [("a", b"1")], target="/upload.ashx").status == 200


@pytest.mark.parametrize("body, content_type, cause", [
    (b"--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nv", FORM[0][1], "multipart_malformed"),
    (b"--XX\r\n\r\nv\r\n--XX--", FORM[0][1], "multipart_malformed"),
    (b"--XX--", "multipart/form-data; boundary=" + 71 * "b", "multipart_malformed"),
    (b"a=%zz", "application/x-www-form-urlencoded", "form_malformed"),
])
def test_what_is_malformed_is_400_with_its_cause(start, body, content_type, cause):
    host = start()
    parameters = host.variables("/upload.ashx", "POST", len(body), CONTENT_TYPE=content_type)
    assert fcgi.exchange(host.address, parameters, body).status == 400
    host.wait_for_access_line("status=400", f"cause={cause}")


def test_the_memory_of_a_large_upload_is_constant(start, tmp_path):
    host = start("--max-request-bytes", "1g", "--temporary-folder", tmp_path)
    assert upload(host, [("a", b"1", "f")]).status == 200
    before = memory_of(host.process.pid, "VmRSS")
    content = os.urandom(MIB) * 300
    for target in ("/upload.ashx", "/upload-stream.ashx"):
        response = upload(host, [("f", content, "f"), ("note", b"end")], target, timeout=120)
        assert response.status == 200
        seen = json.loads(response.body)
        assert (seen.get("files") or seen["parts"])[0]["sha256"] == sha256(content)
    grown = memory_grown(host.process.pid, before)
    assert grown < 64 * MIB, f"{grown // MIB} MiB for an upload of 300 MiB"
    assert list(tmp_path.iterdir()) == []


def open_files_of(pid, folder):
    links = []
    for descriptor in os.scandir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(descriptor.path))
        except OSError:
            pass
    return [link for link in links if link.startswith(str(folder))]


def test_a_worker_that_is_killed_inside_an_upload_leaves_no_file(start, tmp_path):
    folder = tmp_path / "bodies"
    folder.mkdir()
    host = start("--temporary-folder", folder, workers=1)
    worker = host.workers()[0]
    body = multipart([("f", bytes(2 * MIB), "f")])
    message = fcgi.request(host.variables("/upload.ashx", "POST", len(body), CONTENT_TYPE=FORM[0][1]), body)
    with host.connect(timeout=30) as connection:
        connection.send(message[:MIB])
        wait_for("the temporary file", lambda: open_files_of(worker, folder))
        assert list(folder.iterdir()) == []  # it has no name
        os.kill(worker, signal.SIGKILL)
        wait_for("the next worker", lambda: [pid for pid in host.workers() if pid != worker])
    assert list(folder.iterdir()) == []
    assert upload(host, [("f", bytes(2 * MIB), "f")]).status == 200
    wait_for("the end of the file", lambda: not open_files_of(host.workers()[0], folder))


def test_a_client_that_leaves_inside_an_upload_leaves_no_file(start, tmp_path):
    host = start("--temporary-folder", tmp_path, workers=0)
    body = multipart([("f", bytes(2 * MIB), "f")])
    message = fcgi.request(host.variables("/upload.ashx", "POST", len(body), CONTENT_TYPE=FORM[0][1]), body)
    with host.connect(timeout=30) as connection:
        connection.send(message[:MIB])
        wait_for("the temporary file", lambda: open_files_of(host.process.pid, tmp_path))
    host.wait_for_access_line("status=499")
    wait_for("the end of the file", lambda: not open_files_of(host.process.pid, tmp_path))


def test_a_disk_without_room_is_507_and_the_worker_lives(start, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk],
                                            capture_output=True).returncode == 0:
        options = {}
    else:
        # Without the right to mount: files that may not grow.
        options = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))}
    try:
        host = start("--temporary-folder", disk, **options)
        assert upload(host, [("f", bytes(5 * MIB), "f")]).status == 507
        host.wait_for_access_line("status=507", "cause=body_storage_full")
        wait_for("the folder in the log", lambda: str(disk) in host.log.read_text())
        assert upload(host, [("f", bytes(MIB // 2), "f")]).status == 200
        host.stop()
    finally:
        if not options:
            subprocess.run(["umount", disk], check=True)


def test_a_slow_upload_holds_up_nobody(start):
    """More uploads than threads, all in the middle of their bodies: the others are served."""
    host = start("--blocking-threads", "1")
    body = multipart([("f", bytes(MIB), "f")])
    message = fcgi.request(host.variables("/upload.ashx", "POST", len(body), CONTENT_TYPE=FORM[0][1]), body)
    connections = [host.connect(timeout=30) for _ in range(8)]
    for connection in connections:
        connection.send(message[:MIB // 2])
    assert host.get("/hello.ashx").status == 200
    for connection in connections:
        connection.send(message[MIB // 2:])
    for connection in connections:
        assert connection.read_response()[1].status == 200
        connection.close()
