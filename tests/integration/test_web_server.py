"""A request from a real web server reaches a C++ handler, and its answer goes back.

The same tests for every web server: --server says which. What a server cannot do itself is said, with the
reason, in its class in servers.py, and the test then asserts what the server answers instead.
"""

import concurrent.futures
import os
import re
import subprocess
import time

import pytest

from processes import wait_for
from servers import sha256

KIB = 1024
MIB = 1024 * KIB
CLIENTS_AT_ONCE = 200


def headers_of(seen, name):
    return [value for key, value in seen["headers"] if key.lower() == name.lower()]


def variables_of(seen):
    return {name for name, _ in seen["serverVariables"]}


def test_the_front_page_is_served(site):
    if not site.is_web_server:
        pytest.skip("cgi-fcgi gives out no files")
    for target in ("/", "/index.html"):
        response = site.request("GET", target)
        assert response.status == 200
        assert response.header("Content-Type").startswith("text/html")
        assert response.body == (site.installation.document_root / "index.html").read_bytes()


@pytest.mark.parametrize("target", ["/hello.ashx", "/hello-async.ashx"])
def test_a_handler_answers_get(site, target):
    response = site.request("GET", target)
    assert response.status == 200
    assert response.header("Content-Type").split(";")[0] == "text/plain"
    assert response.body.rstrip(b"\n") == b"Hello, world"


@pytest.mark.parametrize("target", ["/hello.ashx", "/hello-async.ashx", "/echo.ashx"])
def test_head_is_answered_like_get_without_a_body(site, target):
    got = site.request("GET", target)
    head = site.request("HEAD", target)
    assert head.status == 200
    assert head.header("Content-Type") == got.header("Content-Type")
    assert head.body == b""


def test_the_connection_is_fit_for_use_after_head(site):
    # A body that was sent in answer to HEAD, or not sent where it should be, shows in what follows.
    for _ in range(4):
        assert site.request("HEAD", "/hello.ashx").body == b""
        assert site.request("GET", "/hello.ashx").body.rstrip(b"\n") == b"Hello, world"


@pytest.mark.parametrize("size", [0, KIB, 100 * KIB, 20 * MIB])
def test_a_posted_body_arrives_whole(site, size):
    body = os.urandom(size)
    seen = site.echo("POST", "/echo.ashx", body=body, headers=[("Content-Type", "application/octet-stream")])
    assert seen["method"] == "POST"
    assert seen["body"] == {"length": size, "sha256": sha256(body)}


def test_a_body_of_64_mib_is_allowed(site):
    body = bytes(64 * MIB)
    seen = site.echo("POST", "/echo.ashx", body=body, timeout=60)
    assert seen["body"] == {"length": len(body), "sha256": sha256(body)}


@pytest.mark.parametrize("size", [0, KIB, 100 * KIB, 20 * MIB])
def test_a_chunked_body_arrives_whole(site, size):
    if not site.is_web_server:
        pytest.skip("cgi-fcgi reads no HTTP, and CGI has no body without a length")
    body = os.urandom(size)
    if site.largest_chunked_body is not None and size > site.largest_chunked_body:
        response = site.request("POST", "/echo.ashx", body=body, chunked=True)
        assert response.status == 411
        return
    seen = site.echo("POST", "/echo.ashx", body=body, chunked=True)
    assert seen["body"] == {"length": size, "sha256": sha256(body)}


def test_every_byte_percent_encoded_in_a_query_string_stays_as_it_was_sent(site):
    query = "every=" + "".join(f"%{byte:02X}" for byte in range(256)) + "&lower=%c3%a4"
    seen = site.echo("GET", "/echo.ashx?" + query)
    assert seen["queryString"] == query
    assert seen["rawUrl"] == "/echo.ashx?" + query


def test_query_values_are_decoded_once(site):
    query = "name=%C3%A4%E2%82%AC%F0%9F%98%80&name=second&plus=a+b&reserved=%26%3D%2B%25%23%3F%2F&twice=%2541&empty="
    seen = site.echo("GET", "/echo.ashx?" + query)
    assert seen["query"] == {
        "name": ["\u00e4\u20ac\U0001f600", "second"],
        "plus": ["a b"],
        "reserved": ["&=+%#?/"],
        "twice": ["%41"],
        "empty": [""],
    }


def test_a_tail_after_the_file_is_its_path_info(site):
    seen = site.echo("GET", "/echo.ashx/a/b?x=1")
    assert seen["filePath"] == "/echo.ashx"
    assert seen["pathInfo"] == "/a/b"
    assert seen["rawUrl"] == "/echo.ashx/a/b?x=1"
    assert seen["query"] == {"x": ["1"]}


def test_request_headers_reach_the_handler(site):
    long_value = "v" * 6000
    seen = site.echo("GET", "/echo.ashx", headers=[
        ("Authorization", "Basic d2VmdDp3ZWZ0"), ("Cookie", "a=1; b=2"), ("X-Long", long_value)])
    assert headers_of(seen, "Authorization") == ["Basic d2VmdDp3ZWZ0"]
    assert headers_of(seen, "Cookie") == ["a=1; b=2"]
    assert headers_of(seen, "X-Long") == [long_value]


def test_a_proxy_header_never_becomes_http_proxy(site):
    seen = site.echo("GET", "/echo.ashx", headers=[("Proxy", "http://attacker.example/")])
    assert "HTTP_PROXY" not in variables_of(seen)
    assert "attacker.example" not in str(seen)


def test_a_missing_handler_file_is_404(site):
    assert site.request("GET", "/missing.ashx").status == 404
    if site.asks_weft_for_missing_files:
        wait_for("the request for the missing file in the access log",
                 lambda: [line for line in site.access_lines() if "/missing.ashx" in line and "status=404" in line])


def test_a_verb_that_nothing_serves_is_405_with_allow(site):
    response = site.request("POST", "/read-only/hello.ashx", body=b"x")
    assert response.status == 405
    assert sorted(verb.strip() for verb in response.header("Allow").split(",")) == ["GET", "HEAD"]
    assert site.request("GET", "/read-only/hello.ashx").status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_answered_request_is_not_logged_as_abandoned(site, method):
    # lighttpd and nginx close the connection to Weft as soon as they have the whole response, before END_REQUEST.
    def lines():
        return [line for line in site.access_lines() if "/hello.ashx" in line]

    before = len(lines())
    for _ in range(20):
        assert site.request(method, "/hello.ashx").status == 200
    wait_for("twenty lines in the access log", lambda: len(lines()) >= before + 20)
    assert [line for line in lines()[before:] if "status=200" not in line] == []


def test_a_response_is_streamed_as_it_is_written(site):
    with site.open("GET", "/clock.ashx?seconds=3") as exchange:
        status, _ = exchange.read_head()
        assert status == 200
        times = []
        while piece := exchange.read_piece():
            times += [time.monotonic()] * piece.count(b"\n")
    assert len(times) == 3
    assert times[-1] - times[0] > 1.5, f"three lines, one a second, came within {times[-1] - times[0]:.2f} s"


def test_an_event_reaches_the_client_while_its_handler_waits_for_the_next(site):
    # One event, and the next in an hour: whatever came was passed on at once, not with what follows. Heartbeats let
    # servers that look at their client only when they write see that it has gone.
    target = "/events.ashx?every=3600000&heartbeat=100"

    def lines():
        return [line for line in site.access_lines() if "/events.ashx" in line]

    before = len(lines())
    if site.is_web_server:
        with subprocess.Popen(["curl", "-sSN", "-i", "--max-time", "30", "-H", "Last-Event-ID: 41",
                               f"http://127.0.0.1:{site.port}{target}"], stdout=subprocess.PIPE) as curl:
            try:
                head = b"".join(iter(curl.stdout.readline, b"\r\n")).decode()
                event = [curl.stdout.readline() for _ in range(4)]
                comment = [curl.stdout.readline() for _ in range(2)]
                assert len(lines()) == before, "the handler has ended"
            finally:
                curl.kill()
        assert head.startswith("HTTP/1.1 200 ")
        assert re.search(r"(?im)^content-type: text/event-stream\r$", head)
        assert re.search(r"(?im)^cache-control: no-cache, no-store\r$", head)
        assert not re.search(r"(?im)^content-length:", head)
        assert event[1] == b"id: 42\n"
    else:
        with site.open("GET", target) as exchange:
            status, _ = exchange.read_head()
            assert status == 200
            received = b""
            while received.count(b"\n") < 6:
                piece = exchange.read_piece()
                assert piece, "the stream has ended"
                received += piece
            assert len(lines()) == before, "the handler has ended"
        event, comment = received.splitlines(True)[:4], received.splitlines(True)[4:6]
    assert (event[0], event[3], comment) == (b"event: time\n", b"\n", [b":\n", b"\n"])
    assert event[2].startswith(b"data: ") and event[2].endswith(b" GMT\n")
    wait_for("the handler's end in the access log",
             lambda: [line for line in lines()[before:] if "status=499" in line], timeout=20)


def test_head_of_a_stream_of_events_ends(site):
    response = site.request("HEAD", "/events.ashx")
    assert (response.status, response.header("Content-Type"), response.body) == (200, "text/event-stream", b"")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_reaches_the_client_as_it_is(site, method, status):
    # No server follows it by itself (CGI's local redirect), or makes another URL of it.
    body = b"x" if method == "POST" else None
    response = site.request(method, f"/redirect.ashx?to=/hello.ashx%3Fa%3D1%20%C3%A4&status={status}", body=body)
    assert response.status == status
    assert response.header("Location") == "/hello.ashx?a=1%20%c3%a4"
    if method != "HEAD":
        assert b'<a href="/hello.ashx?a=1%20%c3%a4">' in response.body


def test_a_redirect_resolves_the_application_and_leads_nowhere_else(site):
    assert site.request("GET", "/redirect.ashx?to=~/hello.ashx").header("Location") == "/hello.ashx"
    for url in ("//evil.example/", "/%5cevil.example/", "http://evil.example/", "/%0d%0aX:1"):
        assert site.request("GET", f"/redirect.ashx?to={url}").status == 400


def test_a_finished_answer_reaches_the_client_whole(site):
    response = site.request("GET", "/accept.ashx?ms=500")
    # And a Location makes no redirect of it.
    assert (response.status, response.header("Location"), response.body) == (202, "/hello.ashx", b"accepted\n")
    wait_for("its line in the access log", lambda: [
        line for line in site.access_lines() if "/accept.ashx" in line and "status=202" in line and "outcome=finished" in line])
    assert site.request("GET", "/hello.ashx").status == 200


def test_a_client_that_goes_away_stops_the_handler(site):
    def left():
        return [line for line in site.access_lines() if "/clock.ashx" in line and "status=499" in line]

    before = len(left())
    with site.open("GET", "/clock.ashx?seconds=60") as exchange:
        exchange.read_head()
        assert exchange.read_piece()
    wait_for("a line with status=499 in the access log", lambda: len(left()) == before + 1, timeout=10)
    assert site.request("GET", "/hello.ashx").status == 200


def test_who_asks_for_a_websocket_gets_the_ordinary_answer(site):
    response = site.request("GET", "/hello.ashx", headers=[
        ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
    assert (response.status, response.body) == (200, site.request("GET", "/hello.ashx").body)
    assert response.header("Sec-WebSocket-Accept") is None


def test_connections_to_weft_are_kept_or_not_as_the_configuration_says(site):
    if site.keeps_connections is None:
        pytest.skip("a web server that starts Weft itself decides alone")
    for _ in range(20):
        assert site.request("GET", "/hello.ashx").status == 200
    if site.keeps_connections:
        assert 1 <= site.connections_to_weft() <= 32
    else:
        wait_for("all connections to be closed", lambda: site.connections_to_weft() == 0)


def test_many_clients_at_once_are_all_answered(site):
    def one(_):
        return site.request("GET", "/wait.ashx?ms=200", timeout=60)

    most_connections = 0
    with concurrent.futures.ThreadPoolExecutor(CLIENTS_AT_ONCE) as clients:
        pending = [clients.submit(one, number) for number in range(CLIENTS_AT_ONCE)]
        while not all(future.done() for future in pending):
            most_connections = max(most_connections, site.connections_to_weft())
            time.sleep(0.01)
        responses = [future.result() for future in pending]
    assert [response.status for response in responses] == [200] * CLIENTS_AT_ONCE
    assert {response.body.rstrip(b"\n") for response in responses} == {b"waited 200 ms"}
    if site.multiplexes:
        assert 1 <= most_connections < CLIENTS_AT_ONCE / 4


def test_weft_has_not_been_replaced_meanwhile(site):
    # Runs last in this file: whatever came before, the process that was started still serves.
    if site.weft:
        assert site.weft.poll() is None
    assert site.request("GET", "/hello.ashx").status == 200
