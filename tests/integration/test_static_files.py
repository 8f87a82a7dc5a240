"""Static files, as real clients ask for them through real web servers: resumed, in parts, under conditions."""

import dataclasses
import email
import gzip
import os
import random
import subprocess

import pytest

import servers
from http_client import curl
from processes import wait_for

SITES = ["nginx", "lighttpd-socket", "apache-proxy", "apache-fcgid", "haproxy"]
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
# What has a server pass everything to Weft, where its sample configuration passes handlers alone.
EVERYTHING = {
    "nginx.conf": [(r"location ~ \.ashx(/|$) {", "location / {"), (r"^(.+?\.ashx)(|/.*)$", r"^(/.+)()$")],
    "lighttpd-socket.conf": [('".ashx" => ((', '"/" => (('), ('"check-local" => "enable"', '"check-local" => "disable", "fix-root-scriptname" => "enable"')],
    "apache-proxy.conf": [(r'<FilesMatch "\.ashx$">', '<FilesMatch ".">')],
    "apache-fcgid.conf": [(r'<FilesMatch "\.ashx$">', '<FilesMatch ".">'), (" .ashx virtual", " virtual")],
    "haproxy.cfg": [(r"path_reg \.ashx(/|$)", "path_beg /")],
}


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, timeout=60, **options)


def content(size):
    return random.Random(size).randbytes(size)


@pytest.fixture
def www(tmp_path):
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "large.bin").write_bytes(content(3_000_000))
    (folder / "page.txt").write_text("0123456789")
    (folder / "index.html").write_text("<p>HAProxy's own configuration wants one</p>")
    (folder / "empty.txt").write_text("")
    (folder / "script.js").write_text("let a = 1;\n" * 100)
    (folder / "script.js.gz").write_bytes(gzip.compress((folder / "script.js").read_bytes()))
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("secret")
    (folder / ".well-known").mkdir()
    (folder / ".well-known" / "security.txt").write_text("Contact: mailto:a@example.org\n")
    for file in folder.iterdir():
        os.utime(file, (784111777, 784111777))
    return folder


@pytest.fixture(params=SITES)
def site(request, processes, installation, www, tmp_path):
    base = servers.ALL[request.param]

    class Whole(base):
        def write_config(self, name, **more):
            config = super().write_config(name, **more)
            text = config.read_text()
            for old, new in EVERYTHING[name]:
                assert old in text, f"{name} has no {old}"
                text = text.replace(old, new)
            config.write_text(text)
            return config

    mappings = tmp_path / "mappings"
    (mappings / "default").mkdir(parents=True)
    (mappings / "default" / "mapping.json").write_text("{}")
    whole = Whole(processes, dataclasses.replace(installation, document_root=www, mappings=mappings),
                  ["precompressed = gzip"])
    # Last, for they would not survive being copied.
    root = whole.installation.document_root
    os.mkfifo(root / "fifo.txt")
    (root / "secret-link.txt").symlink_to("/etc/passwd")
    return whole


def test_curl_and_wget_resume_a_download(site, tmp_path):
    whole = content(3_000_000)
    for number, command in enumerate((["curl", "-sS", "-C", "-", "-o"], ["wget", "-q", "-c", "-O"])):
        partial = tmp_path / f"partial{number}"
        partial.write_bytes(whole[:1_234_567])
        result = run(*command, partial, f"http://127.0.0.1:{site.port}/large.bin")
        assert result.returncode == 0, result.stderr
        assert partial.read_bytes() == whole
    wait_for("the records", lambda: len([line for line in site.access_lines() if " status=206 " in line]) == 2)
    sent = sum(int(line.split(" bytes=")[1].split()[0]) for line in site.access_lines())
    assert sent == 2 * (len(whole) - 1_234_567)


def test_curl_asks_for_parts(site):
    whole = content(3_000_000)
    for asked, first, last in (("0-99", 0, 99), ("2999990-", 2_999_990, 2_999_999), ("-7", 2_999_993, 2_999_999)):
        status, fields, body = curl(site, "/large.bin", "-r", asked)
        assert status == 206
        assert fields["content-range"] == f"bytes {first}-{last}/3000000"
        assert fields.get("content-length", str(len(body))) == str(last - first + 1)
        assert body == whole[first:last + 1]
    status, fields, body = curl(site, "/large.bin", "-r", "2000000-2000009,0-4")
    assert status == 206 and "content-range" not in fields
    assert int(fields.get("content-length", len(body))) == len(body)
    message = email.message_from_bytes(b"Content-Type: " + fields["content-type"].encode() + b"\r\n\r\n" + body)
    assert message.get_content_type() == "multipart/byteranges"
    assert [part["Content-Range"] for part in message.get_payload()] == ["bytes 2000000-2000009/3000000",
                                                                          "bytes 0-4/3000000"]
    assert whole[2_000_000:2_000_010] in body and whole[:5] in body
    status, fields, _ = curl(site, "/page.txt", "-r", "10-")
    assert (status, fields["content-range"]) == (416, "bytes */10")
    wait_for("the cause", lambda: any(" cause=range_not_satisfiable" in line for line in site.access_lines()))


def test_curl_asks_under_conditions(site, tmp_path):
    assert curl(site, "/page.txt", "-z", DATE)[0] == 304
    assert curl(site, "/page.txt", "-z", "Sun, 06 Nov 1994 08:49:36 GMT")[0] == 200
    tags = tmp_path / "tags"
    status, fields, _ = curl(site, "/page.txt", "--etag-save", tags)
    assert status == 200 and fields["last-modified"] == DATE and fields["accept-ranges"] == "bytes"
    assert tags.read_text().strip() == fields["etag"]
    status, fields, body = curl(site, "/page.txt", "--etag-compare", tags)
    assert (status, fields["etag"], body) == (304, tags.read_text().strip(), b"")
    assert "content-type" not in fields and fields.get("content-length", "0") in ("0", "10")
    assert curl(site, "/page.txt", "-H", 'If-Match: "other"')[0] == 412
    assert curl(site, "/page.txt", "-H", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT")[0] == 412
    # Not -z, for curl keeps to itself what a server sends it against its date.
    answer = curl(site, "/page.txt", "-H", 'If-None-Match: "other"', "-H", f"If-Modified-Since: {DATE}")
    assert answer[::2] == (200, b"0123456789")


def test_a_part_is_sent_of_the_state_that_the_client_has(site):
    def tag():
        return curl(site, "/page.txt", "-I")[1]["etag"]

    wait_for("the file to be older than a tick of its clock", lambda: tag().startswith('"'))
    strong = tag()
    assert curl(site, "/page.txt", "-r", "0-1", "-H", f"If-Range: {strong}")[::2] == (206, b"01")
    assert curl(site, "/page.txt", "-r", "0-1", "-H", 'If-Range: "other"')[::2] == (200, b"0123456789")
    assert curl(site, "/page.txt", "-r", "0-1", "-H", f"If-Range: {DATE}")[::2] == (206, b"01")


def test_methods(site):
    status, fields, body = curl(site, "/page.txt", "-I")
    assert (status, fields.get("content-length", "10"), body) == (200, "10", b"")
    assert fields["content-type"] == "text/plain; charset=utf-8"
    status, fields, body = curl(site, "/page.txt", "-X", "OPTIONS")
    assert (status, fields["allow"].replace(" ", ""), body) == (204, "GET,HEAD,OPTIONS", b"")
    status, fields, _ = curl(site, "/page.txt", "-X", "DELETE")
    assert (status, fields["allow"].replace(" ", "")) == (405, "GET,HEAD,OPTIONS")


def test_the_compressed_file_beside_is_sent_to_who_takes_it(site, www):
    status, fields, body = curl(site, "/script.js", "-H", "Accept-Encoding: gzip")
    assert (status, fields["content-encoding"], fields["vary"].lower()) == (200, "gzip", "accept-encoding")
    assert fields["content-type"] == "text/javascript; charset=utf-8"
    assert gzip.decompress(body) == (www / "script.js").read_bytes()
    status, plain, body = curl(site, "/script.js")
    assert "content-encoding" not in plain and body == (www / "script.js").read_bytes()
    assert plain["etag"] != fields["etag"]
    # curl unpacks what the server says is packed.
    assert curl(site, "/script.js", "--compressed")[2] == body


def test_what_is_not_for_the_public_is_not_found(site):
    for path in ("/secret-link.txt", "/.git/config", "/fifo.txt", "/none.txt", "/page.txt/", "/%2e%2e/%2e%2e/etc/passwd",
                 "/..%2f..%2fetc/passwd", "/.git%2fconfig", "/a/%2e%2e/.git/config"):
        status, _, body = curl(site, path, "--path-as-is")
        assert status in (400, 403, 404), path
        assert b"secret" not in body and b"root:" not in body
    # 500 is HAProxy's own word for a NUL.
    assert curl(site, "/page.txt%00.html", "--path-as-is")[0] in (400, 403, 404, 500)
    status, _, body = curl(site, "/.well-known/security.txt")
    assert status == 200 and body.startswith(b"Contact:")


@pytest.mark.parametrize("named, expected", [("types", "text/x-own; charset=utf-8"), ("none", "text/html; charset=utf-8")])
def test_the_list_of_types_is_the_operators(start, run_dir, named, expected):
    types = run_dir / "types"
    types.write_text("text/x-own html\n")
    host = start("--mime-types", types if named == "types" else named)
    assert host.get("/index.html").header("Content-Type") == expected


@pytest.mark.parametrize("workers", [0, 1])
def test_a_list_of_types_that_cannot_be_read_refuses_the_start(installation, run_dir, workers):
    result = run(installation.weft, "serve", "--listen", f"unix:{run_dir}/refused.sock", "--workers", workers,
                 "--mime-types", run_dir / "none")
    assert result.returncode == 78
    assert f"--mime-types: read {run_dir}/none: No such file or directory".encode() in result.stderr
