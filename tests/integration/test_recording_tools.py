"""weft recording: what a browser has saved becomes recordings, and recordings become what tools read."""

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VISIT = ROOT / "tests" / "recordings" / "visit.har"
SECRETS = ("5f2e8c1d", "77aa01", "analytical", "9a7b")


@pytest.fixture
def weft(request, tmp_path):
    program = Path(request.config.getoption("--build-dir")).resolve() / "bin" / "weft"

    def run(*arguments, code=0, **options):
        result = subprocess.run([str(word) for word in (program, "recording", *arguments)], capture_output=True, text=True,
                                timeout=30, cwd=tmp_path, **options)
        assert result.returncode == code, result
        return result

    return run


def read(file):
    return json.loads(file.read_text())


def test_a_visit_of_chromium_becomes_recordings(weft, tmp_path):
    result = weft("import", VISIT)
    folder = tmp_path / "visit"
    names = ["001-get-hello.ashx", "002-post-redirect.ashx", "003-get-mapping.json", "004-get-pixel.png"]
    assert result.stdout == "".join(f"visit/{name}.recording.json\n" for name in names)
    assert sorted(os.listdir(folder)) == [f"{name}.recording.json" for name in names]
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    # What is not there is told, with its place.
    assert re.findall(r"visit\.har:\d+:\d+: warning: (.*)", result.stderr) == [
        '"GET http://localhost:8080/index.html" is left out: it came from the browser\'s cache. Disable the cache before you save.',
        '"GET https://analytics.example.net/collect?sid=5f2e8c1d" is left out: it was not answered (status 0): it was blocked or '
        "broken off."]
    hello, post, mapping, pixel = (read(folder / f"{name}.recording.json") for name in names)
    assert list(hello) == ["version", "request", "headers", "response"]
    assert hello["request"] == "GET http://localhost:8080/hello.ashx"
    assert not {"Host", "Connection", "Accept-Encoding"} & set(hello["headers"])
    assert hello["response"] == {"status": 200, "headers": {"Content-Type": "text/plain; charset=utf-8"}, "body": "Hello, world"}
    assert mapping["response"]["body"] == "403 Forbidden\n"
    assert pixel["request"] == "GET https://cdn.example.net/pixel.png?v=3"
    assert pixel["response"]["body"]["base64"].startswith("iVBORw0KGgo")


def test_secrets_are_masked_unless_they_are_to_stay(weft, tmp_path):
    result = weft("import", VISIT, "--host", "localhost")
    texts = {file.name: file.read_text() for file in (tmp_path / "visit").iterdir()}
    assert len(texts) == 3
    assert not [secret for secret in SECRETS for text in (*texts.values(), result.stdout) if secret in text]
    post = json.loads(texts["002-post-redirect.ashx.recording.json"])
    assert post["body"] == "user=Ada+Lovelace&password=(masked)&x"
    assert post["headers"]["Cookie"] == "(masked)" and post["headers"]["Referer"] == "http://localhost:8080/login?token=(masked)"
    assert post["response"] == {"status": 303, "headers": {"Content-Type": "text/html; charset=utf-8", "Location": "/hello.ashx"}}
    assert result.stderr.endswith("weft: 3 recordings in 'visit'; left out: 2 requests to other hosts; masked, or taken out of "
                                  "answers: 'COOKIE', 'REFERER', 'Set-Cookie', 'password'\n")
    kept = weft("import", VISIT, "--host", "localhost", "--keep-secrets", "--output", "kept/here")
    post = read(tmp_path / "kept/here/002-post-redirect.ashx.recording.json")
    assert post["headers"]["Cookie"] == "sid=5f2e8c1d; theme=dark" and "password=analytical%21" in post["body"]
    assert ["Set-Cookie", "theme=dark; Path=/"] in post["response"]["headers"]
    assert "masked" not in kept.stderr


def test_what_was_imported_is_exported_and_imported_as_the_same(weft, tmp_path):
    weft("import", VISIT)
    har = json.loads(weft("export", "--har", "visit").stdout)
    assert har["log"]["version"] == "1.2" and har["log"]["creator"]["name"] == "weft"
    assert [entry["response"]["status"] for entry in har["log"]["entries"]] == [200, 303, 403, 200]
    for entry in har["log"]["entries"]:
        assert {"startedDateTime", "time", "request", "response", "cache", "timings"} <= set(entry)
        assert {"method", "url", "httpVersion", "cookies", "headers", "queryString", "headersSize", "bodySize"} <= set(entry["request"])
        assert {"status", "statusText", "httpVersion", "cookies", "headers", "content", "redirectURL", "headersSize",
                "bodySize"} <= set(entry["response"])
    assert weft("export", "--har", "visit", "--output", "again.har").stdout == ""
    assert stat.S_IMODE((tmp_path / "again.har").stat().st_mode) == 0o600
    weft("import", "again.har")
    for file in sorted((tmp_path / "visit").iterdir()):
        assert read(tmp_path / "again" / file.name) == read(file), file.name


def test_a_long_body_lies_beside_its_recording(weft, tmp_path):
    har = read(VISIT)
    har["log"]["entries"][0]["response"]["content"]["text"] = long = "Hello, world\n" * 10_000
    (tmp_path / "long.har").write_text(json.dumps(har))
    weft("import", "long.har", "--host", "localhost")
    body = tmp_path / "long" / "001-get-hello.ashx.response-body"
    assert body.read_text() == long and stat.S_IMODE(body.stat().st_mode) == 0o600
    assert read(tmp_path / "long/001-get-hello.ashx.recording.json")["response"]["body"] == {"file": body.name}
    exported = json.loads(weft("export", "--har", "long/001-get-hello.ashx.recording.json").stdout)
    assert exported["log"]["entries"][0]["response"]["content"]["text"] == long


def test_nothing_is_overwritten_unless_it_is_said(weft, tmp_path):
    weft("import", VISIT)
    edited = tmp_path / "visit" / "003-get-mapping.json.recording.json"
    edited.write_text("mine")
    (tmp_path / "visit" / "001-get-hello.ashx.recording.json").unlink()
    refused = weft("import", VISIT, code=64)
    assert refused.stdout == ""
    assert refused.stderr.endswith("weft: 'visit/002-post-redirect.ashx.recording.json': File exists: name another folder with "
                                   "--output, or replace what is there with --force\n")
    # Nor is anything else written.
    assert edited.read_text() == "mine" and len(os.listdir(tmp_path / "visit")) == 3
    weft("import", VISIT, "--force")
    assert read(edited)["version"] == 1
    (tmp_path / "there.har").write_text("mine")
    weft("export", "--har", "visit", "--output", "there.har", code=64)
    assert (tmp_path / "there.har").read_text() == "mine"


def test_what_is_wrong_with_a_file_is_told_at_its_place(weft, tmp_path):
    (tmp_path / "bad.har").write_text(VISIT.read_text()[:2000])
    result = weft("import", "bad.har", code=1)
    assert re.fullmatch(r"bad\.har:\d+:\d+: error: JSON syntax error .*\n", result.stderr) and result.stdout == ""
    assert weft("import", "no.har", code=1).stderr == "no.har: error: The file cannot be read.\n"
    assert "went to other hosts" in weft("import", VISIT, "--host", "nobody.example", code=1).stderr
    assert os.listdir(tmp_path) == ["bad.har"]
    (tmp_path / "a.recording.json").write_text('{"version": 2, "request": "GET /"}')
    assert weft("export", "--har", "a.recording.json", code=1).stderr.startswith('a.recording.json:1:13: error: "version" is 2')
    (tmp_path / "empty").mkdir()
    assert "has no file that ends in .recording.json" in weft("export", "--har", "empty", code=1).stderr


@pytest.mark.parametrize("arguments, sentence", [
    ([], "nothing to import or export"),
    (["import"], "nothing to import or export"),
    (["convert", "a.har"], "'convert' is neither import nor export"),
    (["export", "a.recording.json"], "an export needs a form"),
    (["import", "--har", "a.har"], "--har says what is exported"),
    (["import", "a.har", "b.har"], "an import takes one file"),
    (["export", "--har", "--keep-secrets", "a"], "are for imports"),
    (["import", "a.har", "--host", "a b"], "--host: 'a b' is no possible host"),
])
def test_what_the_command_line_lacks_is_told(weft, arguments, sentence):
    result = weft(*arguments, code=64)
    assert sentence in result.stderr and result.stderr.count("\n") == 1
