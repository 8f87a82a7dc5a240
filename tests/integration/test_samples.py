"""The samples that call others: PostgreSQL, Redis, and web servers, all of them real."""

import contextlib
import itertools
import json
import select
import shutil
import socket
import subprocess
import threading

import pytest

import fcgi
import servers
from databases import Postgres, Redis
from processes import free_port, memory_of, wait_for


@pytest.fixture
def start_with(processes, installation, start):
    """Starts a host whose samples read these sections."""
    def start_host(*options, **sections):
        mappings = processes.run_dir / "mappings"
        shutil.copytree(installation.mappings, mappings)
        (mappings / "default" / "mapping.json").write_text(json.dumps({"sections": sections}))
        return start(*options, mappings=mappings)
    return start_host


def send(host, method, target, body=b"", **more):
    return fcgi.exchange(host.address, host.variables(target, method, len(body), **more), body)


# ---- pg

@pytest.fixture
def postgres(processes, installation):
    if not (installation.modules / "pg.so").exists() or Postgres.BIN is None:
        pytest.skip("needs the packages libpq-dev and postgresql")
    server = Postgres(processes)
    yield server
    server.stop()


def backends(postgres):
    return int(postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                            " AND pid <> pg_backend_pid()"))


def test_pg_answers_a_row_and_says_what_there_is_not(postgres, start_with):
    host = start_with(pg={"connection": postgres.connection})
    response = host.get("/pg.ashx?id=42")
    assert (response.status, json.loads(response.body)) == (200, {"aid": 42, "bid": 1, "abalance": 0})
    assert response.header("Content-Type").startswith("application/json")
    assert host.get("/pg.ashx?id=-1").status == 404
    for bad in ("", "?id=", "?id=4x", "?id=99999999999999999999"):
        assert host.get("/pg.ashx" + bad).status == 400


def begin_many(host, targets):
    connections = [host.begin(target) for target in targets]
    answers = [connection.read_response()[1] for connection in connections]
    for connection in connections:
        connection.close()
    return answers


def test_pg_shares_as_many_connections_as_it_may_among_many_requests(postgres, start_with):
    host = start_with(pg={"connection": postgres.connection, "connections": 3, "batch": 4, "timeoutMilliseconds": 20_000})
    answers = begin_many(host, [f"/pg.ashx?id={number}" for number in range(1, 201)])
    assert [json.loads(answer.body)["aid"] for answer in answers] == list(range(1, 201))
    assert 1 <= backends(postgres) <= 3


def test_pg_replaces_connections_that_broke(postgres, start_with):
    host = start_with(pg={"connection": postgres.connection})
    assert [answer.status for answer in begin_many(host, ["/pg.ashx?id=1"] * 8)] == [200] * 8
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                 " AND backend_type = 'client backend'")
    assert [answer.status for answer in begin_many(host, ["/pg.ashx?id=1"] * 8)] == [200] * 8
    postgres.stop()
    assert host.get("/pg.ashx?id=1").status == 503
    postgres.start()
    assert host.get("/pg.ashx?id=1").status == 200


SLOW = "SELECT $1::bigint AS aid, pg_sleep(CASE WHEN $1::bigint = 1 THEN 3600 ELSE 0 END)::text AS slept"


def test_pg_gives_up_in_time_and_the_next_one_gets_its_own_answer(postgres, start_with):
    host = start_with(pg={"connection": postgres.connection, "connections": 1, "timeoutMilliseconds": 300, "query": SLOW})
    assert host.get("/pg.ashx?id=2").status == 200
    assert host.get("/pg.ashx?id=1").status == 504
    assert json.loads(host.get("/pg.ashx?id=2").body)["aid"] == 2
    wait_for("the slow query's end", lambda: postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "0")


@pytest.mark.parametrize("batch", [1, 8])
def test_pg_outlives_a_server_that_is_killed_in_the_middle_of_requests(postgres, start_with, batch):
    host = start_with(pg={"connection": postgres.connection, "connections": 2, "batch": batch, "timeoutMilliseconds": 20_000,
                          "query": SLOW})
    connections = []
    for count in ("1", "2"):  # one after the other: else both may be one batch
        connections.append(host.begin("/pg.ashx?id=1"))
        wait_for("the slow query", lambda: postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == count)
    connections += [host.begin(f"/pg.ashx?id={number}") for number in range(2, 30)]
    postgres.kill()
    statuses = [connection.read_response()[1].status for connection in connections]
    assert statuses == [503] * 30
    for connection in connections:
        connection.close()
    assert host.get("/pg.ashx?id=2").status == 503
    postgres.start()
    answers = begin_many(host, [f"/pg.ashx?id={number}" for number in range(2, 30)])
    assert [json.loads(answer.body)["aid"] for answer in answers] == list(range(2, 30))


def test_pg_never_gives_a_half_read_connection_to_the_next(postgres, start_with):
    host = start_with(pg={"connection": postgres.connection, "connections": 1, "timeoutMilliseconds": 20_000, "query": SLOW})
    assert host.get("/pg.ashx?id=2").status == 200
    connection = host.begin("/pg.ashx?id=1")
    wait_for("the slow query", lambda: postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1")
    connection.close()
    assert json.loads(host.get("/pg.ashx?id=3").body)["aid"] == 3
    host.wait_for_access_line("/pg.ashx?id=1", "status=499")


# The queries of a batch are one transaction: now() is the same in all of them. One with an id below 100 waits while held_back() holds
# this id; 200 is an error.
BATCHED = ("SELECT $1::bigint AS aid, pg_backend_pid() AS pid, now()::text AS batch, 1 / ($1::bigint - 200) AS one,"
           " CASE WHEN $1::bigint < 100 THEN pg_advisory_xact_lock_shared($1::bigint)::text END AS lock")


@contextlib.contextmanager
def held_back(postgres, number):
    """Holds the query for this id back for as long as it lasts."""
    psql = subprocess.Popen([postgres.BIN / "psql", "-qAt", postgres.connection], cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True, **postgres.account)
    try:
        psql.stdin.write(f"SELECT 'held' FROM pg_advisory_lock({number});\n")
        psql.stdin.flush()
        assert psql.stdout.readline() == "held\n"
        yield
    finally:
        psql.stdin.close()
        psql.wait(20)
        psql.stdout.close()


HELD = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"


def begin_in_order(host, postgres, ids):
    """Begins requests: the first, which is held back, has the one connection to itself, and the others are the batch behind it."""
    connections = []
    for number in ids:
        connections.append(host.begin(f"/pg.ashx?id={number}"))
        # Each of them waits for the database before the next one comes.
        assert host.get("/hello-async.ashx").status == 200
        if len(connections) == 1:
            wait_for_held(postgres, number)
    return connections


def wait_for_held(postgres, number):
    wait_for("the query that is held back", lambda: postgres.sql(
        f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = {number}") == "1")


def rows(connections):
    """Each one's row, or the status where there is none."""
    answers = [connection.read_response()[1] for connection in connections]
    return [json.loads(answer.body) if answer.status == 200 else answer.status for answer in answers]


@pytest.fixture
def start_batched(postgres, start_with):
    def start_host(**section):
        return start_with(pg={"connection": postgres.connection, "connections": 1, "timeoutMilliseconds": 20_000, "query": BATCHED,
                              **section})
    return start_host


def test_pg_asks_at_once_for_what_came_while_the_connection_was_busy(postgres, start_batched):
    host = start_batched(batch=4)
    with held_back(postgres, 1):
        connections = begin_in_order(host, postgres, [1, *range(101, 111)])
    answers = rows(connections)
    assert [answer["aid"] for answer in answers] == [1, *range(101, 111)]
    assert [len(list(batch)) for _, batch in itertools.groupby(answers, lambda answer: answer["batch"])] == [1, 4, 4, 2]
    assert len({answer["pid"] for answer in answers}) == 1


@pytest.mark.parametrize("ids", [[200, 101, 102], [101, 200, 102, 103], [101, 200, 102, 200, 103, 200]], ids=str)
def test_pg_lets_a_bad_query_of_a_batch_fail_alone(postgres, start_batched, ids):
    host = start_batched()
    with held_back(postgres, 1):
        connections = begin_in_order(host, postgres, [1, *ids])
    answers = rows(connections)
    assert [answer if answer == 500 else answer["aid"] for answer in answers] == [1, *(500 if number == 200 else number for number in ids)]
    assert {answer["pid"] for answer in answers if answer != 500} == {answers[0]["pid"]}
    # Whoever was asked for again has a transaction of its own.
    again = [answer["batch"] for answer in answers[2 + ids.index(200):] if answer != 500]
    assert len(set(again)) == len(again)


def test_pg_reads_on_when_the_one_that_reads_for_its_batch_leaves(postgres, start_batched):
    host = start_batched()
    with held_back(postgres, 2):
        with held_back(postgres, 1):
            connections = begin_in_order(host, postgres, [1, 2, 101, 102, 103])
        wait_for_held(postgres, 2)
        for number, connection in ((2, connections[1]), (101, connections[2]), (102, connections[3])):
            connection.close()
            host.wait_for_access_line(f"/pg.ashx?id={number}", "status=499")
    first, last = rows([connections[0], connections[4]])
    assert (first["aid"], last["aid"]) == (1, 103)
    assert first["pid"] == last["pid"] == json.loads(host.get("/pg.ashx?id=104").body)["pid"]


def test_pg_forgets_who_leaves_before_it_was_asked_for(postgres, start_batched):
    host = start_batched()
    with held_back(postgres, 1):
        connections = begin_in_order(host, postgres, [1, 101, 102])
        connections[1].close()
        host.wait_for_access_line("/pg.ashx?id=101", "status=499")
    assert [answer["aid"] for answer in rows([connections[0], connections[2]])] == [1, 102]


def test_pg_asks_again_for_a_batch_whose_connection_breaks(postgres, start_batched):
    host = start_batched()
    with held_back(postgres, 2):
        with held_back(postgres, 1):
            connections = begin_in_order(host, postgres, [1, 2, 101, 102])
        wait_for_held(postgres, 2)
        postgres.sql(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {HELD}")
        wait_for_held(postgres, 2)
    answers = rows(connections)
    assert [answer["aid"] for answer in answers] == [1, 2, 101, 102]
    assert answers[0]["pid"] != answers[1]["pid"] == answers[3]["pid"]


def test_pg_gives_each_its_own_answer_whoever_fails_and_leaves(start_batched):
    host = start_batched(connections=2, batch=8)
    ids = [200 if number % 10 == 3 else 1000 + number for number in range(300)]
    connections = [host.begin(f"/pg.ashx?id={number}") for number in ids]
    for connection in connections[::3]:
        connection.close()
    stay = [(number, connection) for place, (number, connection) in enumerate(zip(ids, connections)) if place % 3]
    answers = rows([connection for _, connection in stay])
    assert [answer if answer == 500 else answer["aid"] for answer in answers] == [500 if number == 200 else number for number, _ in stay]


def test_pg_says_so_when_the_server_goes_in_the_middle_of_a_batch(postgres, start_batched):
    host = start_batched()
    with held_back(postgres, 2):
        with held_back(postgres, 1):
            connections = begin_in_order(host, postgres, [1, 2, 101, 102])
        wait_for_held(postgres, 2)
        postgres.stop()
        assert rows(connections[1:]) == [503, 503, 503]
    postgres.start()
    assert json.loads(host.get("/pg.ashx?id=104").body)["aid"] == 104


# ---- kv

@pytest.fixture
def redis(processes, installation):
    if not (installation.modules / "kv.so").exists() or not shutil.which("redis-server"):
        pytest.skip("needs the packages libhiredis-dev and redis-server")
    return Redis(processes)


def test_kv_keeps_gives_and_forgets_values(redis, start_with):
    host = start_with(kv={"server": f"unix:{redis.socket}"})
    value = bytes(range(256)) * 256  # 64 KiB
    assert send(host, "GET", "/kv.ashx/a b").status == 404
    assert send(host, "PUT", "/kv.ashx/a b", b"first").status == 201
    assert send(host, "PUT", "/kv.ashx/a b", value).status == 204
    response = host.get("/kv.ashx/a b")
    assert (response.status, response.body) == (200, value)
    assert send(host, "DELETE", "/kv.ashx/a b").status == 204
    assert send(host, "DELETE", "/kv.ashx/a b").status == 404
    assert send(host, "PUT", "/kv.ashx/empty").status == 201
    assert host.get("/kv.ashx/empty").body == b""
    assert redis.call("KEYS", "*") == "weft:empty"


def test_kv_bounds_what_it_takes_and_what_it_gives(redis, start_with):
    host = start_with(kv={"server": f"unix:{redis.socket}"})
    assert send(host, "PUT", "/kv.ashx/x", bytes(65537)).status == 413
    assert host.get("/kv.ashx/" + "k" * 256).status == 404
    assert host.get("/kv.ashx/" + "k" * 257).status == 400
    assert host.get("/kv.ashx").status == 400
    refused = send(host, "POST", "/kv.ashx/x", b"x")
    assert refused.status == 405 and refused.header("Allow") == "GET, HEAD, PUT, DELETE"
    redis.call("SETRANGE", "weft:large", "10000000", "x")
    assert host.get("/kv.ashx/large").status == 502
    redis.call("LPUSH", "weft:list", "x")
    assert host.get("/kv.ashx/list").status == 409
    assert host.get("/kv.ashx/x").status == 404


def test_kv_replaces_connections_that_broke(redis, start_with):
    host = start_with(kv={"server": f"unix:{redis.socket}"})
    assert send(host, "PUT", "/kv.ashx/x", b"1").status == 201
    redis.stop()
    assert host.get("/kv.ashx/x").status == 503
    redis.start()
    assert send(host, "PUT", "/kv.ashx/x", b"2").status == 201


def test_kv_outlives_a_server_that_is_killed_in_the_middle_of_requests(redis, start_with):
    host = start_with(kv={"server": f"unix:{redis.socket}", "connections": 4, "timeoutMilliseconds": 20_000})
    assert [answer.status for answer in begin_many(host, ["/kv.ashx/x"] * 8)] == [404] * 8
    redis.call("CLIENT", "PAUSE", "600000", "ALL")
    connections = [host.begin("/kv.ashx/x") for _ in range(30)]
    def stacks():
        return subprocess.run([host.installation.weft, "stacks", str(host.process.pid)], capture_output=True, text=True, timeout=30)
    wait_for("all of them to be there", lambda: stacks().stdout.count(" GET /kv.ashx/x") == 30)
    redis.kill()
    assert {connection.read_response()[1].status for connection in connections} <= {502, 503}
    for connection in connections:
        connection.close()
    assert host.get("/kv.ashx/x").status == 503
    redis.start()
    assert send(host, "PUT", "/kv.ashx/x", b"2").status == 201
    assert [answer.status for answer in begin_many(host, ["/kv.ashx/x"] * 30)] == [200] * 30


def test_kv_gives_up_on_a_server_that_is_silent(redis, start_with):
    host = start_with(kv={"server": f"unix:{redis.socket}", "connections": 1, "timeoutMilliseconds": 200})
    assert host.get("/kv.ashx/x").status == 404
    redis.call("CLIENT", "PAUSE", "600", "ALL")
    assert host.get("/kv.ashx/x").status == 504
    wait_for("Redis to go on", redis.ping)
    assert host.get("/kv.ashx/x").status == 404


# ---- events

def test_events_end_for_a_client_that_leaves_and_for_one_that_reads_nothing(start):
    host = start("--send-timeout", "500ms")
    with host.begin("/events.ashx?every=10&who=slow") as slow, host.begin("/events.ashx?every=10&who=leaver") as leaver, \
            host.begin("/events.ashx?every=10&who=reader") as reader:
        received = b""
        while b"id: 3" not in received:
            received += leaver.socket.recv(4096)
        leaver.close()
        host.wait_for_access_line("who=leaver", "status=499", "outcome=client-gone")

        def lines_of_the_slow_one():
            reader.socket.recv(1 << 16)
            return host.access_lines("who=slow")
        [line] = wait_for("the end of the slow one", lines_of_the_slow_one, timeout=60)
        assert "status=499" in line or "outcome=aborted" in line
        # What it did not read is still there; then its connection has ended.
        while slow.socket.recv(1 << 16):
            pass
        received = b""
        while received.count(b"event: time") < 10:
            received += reader.socket.recv(1 << 16)
        assert not host.access_lines("who=reader")


# ---- fanout, proxy: nginx, and Weft behind it

@pytest.fixture
def upstream(running_upstream):
    return f"http://127.0.0.1:{running_upstream.port}"


@pytest.fixture
def running_upstream(tmp_path_factory, installation):
    import conftest
    from processes import Processes
    directory = conftest.new_run_dir()
    try:
        with Processes(directory) as started:
            yield servers.Nginx(started, installation)
    finally:
        shutil.rmtree(directory)


def test_fanout_asks_all_at_once_and_shows_what_failed(upstream, start_with):
    urls = [f"{upstream}/wait.ashx?ms=300"] * 8 + [f"{upstream}/no-such-file", f"http://127.0.0.1:{free_port()}/",
                                                   f"{upstream}/wait.ashx?ms=60000", "ftp://127.0.0.1/"]
    host = start_with(fanout={"upstreams": urls, "timeoutMilliseconds": 2000})
    response = host.get("/fanout.ashx")
    assert response.status == 200
    answer = json.loads(response.body)
    assert [each["upstream"] for each in answer["upstreams"]] == urls
    assert [each.get("status") for each in answer["upstreams"]] == [200] * 8 + [404, None, None, None]
    assert answer["upstreams"][9]["error"] == "Connection refused"
    assert answer["upstreams"][10]["error"] == "timed out"
    assert "is no http:// URL" in answer["upstreams"][11]["error"]
    assert all(each["milliseconds"] >= 300 for each in answer["upstreams"][:8])
    # Beside one another: the whole took no longer than the longest, and that is one that gave up.
    assert answer["milliseconds"] < sum(each["milliseconds"] for each in answer["upstreams"])


def test_fanout_and_proxy_of_the_sample_site_ask_the_site_itself(running_upstream, installation, start, run_dir):
    mappings = run_dir / "mappings"
    shutil.copytree(installation.mappings, mappings)
    mapping = mappings / "default" / "mapping.json"
    mapping.write_text(mapping.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{running_upstream.port}"))
    host = start(mappings=mappings)
    answer = json.loads(host.get("/fanout.ashx").body)
    assert [each.get("status") for each in answer["upstreams"]] == [200] * 3, answer
    report = (installation.document_root / "files" / "report.txt").read_bytes()
    assert (host.get("/proxy.ashx/report.txt").status, host.get("/proxy.ashx/report.txt").body) == (200, report)


def test_fanout_ends_its_calls_when_its_client_leaves(upstream, start_with):
    host = start_with(fanout={"upstreams": [f"{upstream}/wait.ashx?ms=60000"] * 10, "timeoutMilliseconds": 60_000})
    connection = host.begin("/fanout.ashx")
    port = int(upstream.rsplit(":", 1)[1])
    def calls():
        return subprocess.run(["ss", "-Htn", "state", "established", f"( dport = :{port} )"], capture_output=True, text=True,
                              check=True).stdout.count("\n")
    wait_for("ten calls", lambda: calls() == 10)
    connection.close()
    wait_for("the end of the calls", lambda: calls() == 0)
    host.wait_for_access_line("/fanout.ashx", "status=499")


# What weft itself is told as the web server's client.
def proxied(host, target, method="GET", body=b"", **more):
    return send(host, method, f"/proxy.ashx{target}", body, **more)


def test_proxy_passes_requests_and_answers_without_the_fields_of_one_hop(upstream, start_with):
    host = start_with(proxy={"upstream": upstream})
    answer = proxied(host, "/echo.ashx/a b?x=1&y=%20", "POST", b"hello", HTTP_CONNECTION="close, X-Mine", HTTP_X_MINE="1",
                     HTTP_TE="trailers", HTTP_X_KEPT="2", HTTP_VIA="1.0 first", CONTENT_TYPE="text/x")
    assert answer.status == 200 and answer.header("Via") == "1.1 weft"
    assert answer.header("Connection") is None and answer.header("Transfer-Encoding") is None
    seen = json.loads(answer.body)
    fields = {name.lower(): value for name, value in seen["headers"]}
    assert (seen["method"], seen["pathInfo"], seen["queryString"]) == ("POST", "/a b", "x=1&y=%20")
    assert seen["body"]["length"] == 5 and seen["contentType"] == "text/x"
    assert fields["x-kept"] == "2" and fields["via"] == "1.0 first, 1.1 weft"
    assert fields["forwarded"] == 'for="127.0.0.1";proto=http;host="localhost"'
    assert not {"x-mine", "te"} & set(fields)
    assert fields["host"] == upstream.removeprefix("http://")
    assert proxied(host, "/no-such-file").status == 404
    head = proxied(host, "/files/report.txt", "HEAD")
    assert head.status == 200 and head.body == b"" and int(head.header("Content-Length")) > 0


def test_proxy_keeps_its_connections(upstream, running_upstream, start_with):
    host = start_with(proxy={"upstream": upstream, "connections": 2})
    def ports():
        lines = subprocess.run(["ss", "-Htn", "state", "established", f"( dport = :{running_upstream.port} )"],
                               capture_output=True, text=True, check=True).stdout.splitlines()
        return {line.split()[2] for line in lines}
    assert proxied(host, "/files/report.txt").status == 200
    before = ports()
    assert len(before) == 1
    for _ in range(20):
        assert proxied(host, "/hello.ashx").body == b"Hello, world"
    assert ports() == before


def test_proxy_streams_long_bodies_both_ways(upstream, running_upstream, start_with):
    host = start_with(proxy={"upstream": upstream})
    body = bytes(range(256)) * 4000
    for length in ({}, {"CONTENT_LENGTH": ""}):  # announced, and chunked
        answer = proxied(host, "/echo.ashx", "POST", body, **length)
        assert answer.status == 200 and json.loads(answer.body)["body"]["length"] == len(body)
    connection = host.begin("/proxy.ashx/clock.ashx?seconds=60")
    record = connection.read_record()
    assert b"Status: 200" in record.content  # the first line is here long before the last
    connection.close()
    host.wait_for_access_line("/proxy.ashx/clock.ashx", "status=499")
    running_upstream_line = lambda: [line for line in running_upstream.access_lines() if "/clock.ashx" in line]
    wait_for("the end of the upstream call", running_upstream_line)


def test_proxy_passes_on_an_answer_that_comes_while_the_body_is_sent(upstream, start_with):
    host = start_with("--max-request-bytes", "1G", proxy={"upstream": upstream})
    # nginx takes 1 MiB for a file (client_max_body_size), answers 413 by the length alone, and closes.
    announced = 500_000_000
    with host.connect(timeout=30) as connection:
        parameters = host.variables("/proxy.ashx/files/report.txt", "POST", announced)
        connection.send(fcgi.request(parameters)[:-8])  # without the end of the body
        sent = 0
        while sent < announced and not select.select([connection.socket], [], [], 0)[0]:
            connection.send(fcgi.record(fcgi.STDIN, 1, bytes(10_000)))
            sent += 10_000
        assert sent < announced
        response = connection.read_response()[1]
    assert response.status == 413 and response.header("Server").startswith("nginx") and b"413" in response.body
    host.wait_for_access_line("/proxy.ashx/files/report.txt", "status=413")
    # A client who sends all before it looks; without a length nginx says 405 at once.
    assert proxied(host, "/files/report.txt", "POST", bytes(5_000_000)).status == 413
    assert proxied(host, "/files/report.txt", "POST", bytes(5_000_000), CONTENT_LENGTH="").status == 405
    # Those connections are not used again.
    assert proxied(host, "/hello.ashx").body == b"Hello, world"
    # What is no error waits for the whole body.
    assert json.loads(proxied(host, "/echo.ashx", "POST", bytes(900_000)).body)["body"]["length"] == 900_000


def test_proxy_tells_failures_of_the_upstream_apart(upstream, start_with):
    host = start_with(proxy={"upstream": f"http://127.0.0.1:{free_port()}"})
    assert proxied(host, "/").status == 502


def test_proxy_gives_up_on_an_upstream_that_is_slow(upstream, start_with):
    host = start_with(proxy={"upstream": upstream, "timeoutMilliseconds": 200})
    assert proxied(host, "/wait.ashx?ms=60000").status == 504
    assert proxied(host, "/wait.ashx?ms=1").status == 200


OK = b"HTTP/1.1 200 OK\r\n"


@contextlib.contextmanager
def raw_upstream(head, again=None):
    """Says `head` to each request, and then `again`, again and again; the port, and the requests that came."""
    requests = []

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            requests.append(connection.recv(65536))
            connection.sendall(head)
            while again:
                connection.sendall(again)
            connection.recv(65536)

    def listen():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=listen, daemon=True).start()
        try:
            yield listener.getsockname()[1], requests
        finally:
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("head, again, status", [
    (OK, b"X-Field: y\r\n", 502),
    (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 504),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n3;", b"x" * 65536, 502),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: y\r\n" * 4096, 502),
], ids=["head", "interim answers", "chunk extension", "trailer"])
def test_proxy_gives_up_on_an_upstream_that_does_not_come_to_an_end(start_with, head, again, status):
    with raw_upstream(head, again) as (port, _):
        host = start_with(proxy={"upstream": f"http://127.0.0.1:{port}", "timeoutMilliseconds": 1000})
        assert proxied(host, "/").status == status
        assert memory_of(host.process.pid, "VmHWM") < 100 * 1024


def test_proxy_obeys_its_client_whatever_the_upstream_sends(start_with):
    with raw_upstream(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100) as (port, _):
        host = start_with(proxy={"upstream": f"http://127.0.0.1:{port}", "timeoutMilliseconds": 60_000})
        host.begin("/proxy.ashx/").close()
        host.wait_for_access_line("/proxy.ashx/", "status=499")


def test_proxy_keeps_to_itself_what_an_upstream_tells_the_web_server(start_with):
    fields = b"Status: 404\r\nX-Sendfile: /etc/passwd\r\nX-Accel-Redirect: /internal\r\nX-LIGHTTPD-send-file: /etc/passwd\r\n"
    with raw_upstream(OK + fields + b"X-Kept: 1\r\nContent-Length: 3\r\n\r\nabc") as (port, _):
        host = start_with(proxy={"upstream": f"http://127.0.0.1:{port}"})
        answer = proxied(host, "/")
        assert (answer.status, answer.body, answer.header("X-Kept")) == (200, b"abc", "1")
        assert not {name.lower() for name, _ in answer.headers} & {"x-sendfile", "x-accel-redirect", "x-lighttpd-send-file"}
        assert [value for name, value in answer.headers if name == "Status"] == ["200 OK"]


# `try_files $uri /proxy.ashx/?$uri` of nginx decodes it.
def test_proxy_passes_a_path_and_a_query_that_were_decoded_in_one_line(start_with):
    with raw_upstream(OK + b"Content-Length: 0\r\n\r\n") as (port, requests):
        host = start_with(proxy={"upstream": f"http://127.0.0.1:{port}"})
        assert proxied(host, "/a:b/%25%3F/", PATH_INFO="/a:b/%?/").status == 200
        assert requests.pop().split(b"\r\n")[0] == b"GET /a:b/%25%3F/ HTTP/1.1"
        query = "a=b c&d=%20\r\nX-Injected: 1\r\n\r\nGET /other HTTP/1.1\xff#"
        assert proxied(host, "/", QUERY_STRING=query).status == 200
        assert requests[0].split(b"\r\n")[0] == (
            b"GET /?a=b%20c&d=%20%0D%0AX-Injected:%201%0D%0A%0D%0AGET%20/other%20HTTP/1.1%FF%23 HTTP/1.1")
