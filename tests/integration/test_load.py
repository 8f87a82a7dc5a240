"""Many requests at once in one worker. Runs by itself (CTest's RUN_SERIAL): it measures memory."""

import pathlib
import resource
import selectors

import pytest

import fcgi
from host import says_hello
from processes import memory_of, wait_for

KIB = 1024


@pytest.fixture(scope="module", autouse=True)
def many_descriptors():
    """A thousand connections need as many descriptors, here and in the host."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def send_all(host, target, connections_count, requests_count):
    """Sends `requests_count` requests over `connections_count` connections; returns the connections."""
    each = requests_count // connections_count
    connections = []
    for _ in range(connections_count):
        connection = host.connect(timeout=30)
        connections.append(connection)
        connection.send(b"".join(fcgi.request(host.variables(target), request_id=number, keep=each > 1)
                                 for number in range(1, each + 1)))
    return connections


def read_all(connections, each):
    """The status of every answer, read as they come."""
    statuses = []
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, [connection, each])
        while selector.get_map():
            ready = selector.select(timeout=30)
            assert ready, f"{len(selector.get_map())} connections wait for an answer since 30 s"
            for key, _ in ready:
                connection, _ = key.data
                statuses.append(connection.read_response()[1].status)
                key.data[1] -= 1
                # What has been read already is not seen by the selector.
                while key.data[1] and connection._buffer:
                    statuses.append(connection.read_response()[1].status)
                    key.data[1] -= 1
                if not key.data[1]:
                    selector.unregister(connection.socket)
    return statuses


def answered(connections):
    """How many of the connections have something to read."""
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ)
        return len(selector.select(timeout=0))


@pytest.mark.parametrize("connections_count", [1000, 4])
def test_a_thousand_waiting_requests_cost_40_kb_each_and_delay_nobody(start, connections_count):
    host = start()
    pid = host.process.pid
    for _ in range(50):  # a warm-up: modules, caches and libraries are loaded by then
        assert host.get("/wait.ashx?ms=1").status == 200
        assert says_hello(host.get("/hello-async.ashx"))
    before = memory_of(pid, "VmRSS")
    connections = send_all(host, "/wait.ashx?ms=3000", connections_count, 1000)
    try:
        peak = before
        for _ in range(50):
            assert says_hello(host.get("/hello-async.ashx"))
            peak = max(peak, memory_of(pid, "VmRSS"))
        assert answered(connections) == 0, "the others were answered meanwhile: nothing is shown by this"
        statuses = read_all(connections, 1000 // connections_count)
    finally:
        for connection in connections:
            connection.close()
    assert statuses == [200] * 1000
    growth = (peak - before) / 1000
    print(f"{growth:.1f} KiB for each request")
    assert growth * KIB <= 40_000, f"{growth:.1f} KiB of resident memory for each request in flight"


def test_the_memory_of_a_peak_goes_back_to_the_system_when_the_worker_rests(start, pytestconfig):
    if pathlib.Path(pytestconfig.getoption("--build-dir")).name == "asan":
        pytest.skip("the sanitizer's allocator has ways of its own")
    host = start()
    assert host.get("/wait.ashx?ms=1").status == 200
    pid = host.process.pid
    before = memory_of(pid, "VmRSS")
    connections = send_all(host, "/wait.ashx?ms=3000", 1000, 3000)
    try:
        wait_for("all to wait", lambda: memory_of(pid, "VmRSS") - before > 3000 * 15)
        peak = memory_of(pid, "VmRSS")
        assert read_all(connections, 3) == [200] * 3000
    finally:
        for connection in connections[1:]:
            connection.close()
    # Though somebody keeps a connection, and the worker looks at its time.
    wait_for("the memory", lambda: memory_of(pid, "VmRSS") - before < (peak - before) / 2)
    connections[0].close()


def test_an_async_handler_is_answered_while_plain_ones_sleep(start):
    """How much later is a benchmark's to say: `scripts/bench sleepers`."""
    host = start()
    assert says_hello(host.get("/hello-async.ashx"))
    connections = send_all(host, "/sleep.ashx?ms=2000", 64, 64)
    try:
        with host.connect() as connection:
            for _ in range(200):
                connection.send(fcgi.request(host.variables("/hello-async.ashx"), keep=True))
                assert says_hello(connection.read_response()[1])
        assert answered(connections) == 0
        assert read_all(connections, 1) == [200] * 64
    finally:
        for connection in connections:
            connection.close()


def descriptors_of(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def test_ten_thousand_requests_leave_neither_memory_nor_descriptors_behind(start):
    host = start("--linger-timeout", "100ms")
    pid = host.process.pid

    def requests(count):
        with host.connect() as connection:
            batch = b"".join(fcgi.request(host.variables("/echo.ashx?n=1", "POST", 100), bytes(100), number, keep=True)
                             for number in range(1, 51))
            for _ in range(count // 50):
                connection.send(batch)
                assert all(connection.read_response()[1].status == 200 for _ in range(50))

    with host.connect() as connection:  # an answer shows that all of the host's own are open
        connection.send(fcgi.request(host.variables("/hello.ashx"), keep=True))
        assert says_hello(connection.read_response()[1])
        idle = descriptors_of(pid) - 1
    requests(2000)
    wait_for("the connection's end", lambda: descriptors_of(pid) <= idle)
    memory, descriptors = memory_of(pid, "VmRSS"), descriptors_of(pid)
    requests(10_000)
    for _ in range(200):  # and of those who leave early
        host.begin("/clock.ashx?seconds=60").close()
    wait_for("the descriptors to be closed", lambda: descriptors_of(pid) <= descriptors)
    assert memory_of(pid, "VmRSS") - memory < 8 * KIB
    wait_for("200 lines with status=499", lambda: len(host.access_lines("/clock.ashx", "status=499")) == 200)
