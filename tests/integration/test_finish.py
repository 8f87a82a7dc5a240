"""A handler that has finished its answer works on: Response().Finish(), through a real host."""

import signal

import pytest

import fcgi
from host import says_hello
from processes import wait_for

FOR_AN_HOUR = "/accept.ashx?ms=3600000"


def ask(connection, host, target):
    connection.send(fcgi.request(host.variables(target), keep=True))
    return connection.read_response()[1]


def test_the_answer_ends_while_its_handler_works_on_and_the_connection_serves_others(start):
    host = start("--drain-timeout", "0s")
    with host.connect() as connection:
        for _ in range(3):
            response = ask(connection, host, FOR_AN_HOUR)
            assert (response.status, response.body) == (202, b"accepted\n")
            assert says_hello(ask(connection, host, "/hello.ashx"))
    # At once, by the log's own thread.
    wait_for("the three records", lambda: len(host.access_lines("/accept.ashx", "status=202", "outcome=finished")) == 3)
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(10) == 0
    # Each was told, and none was recorded twice.
    assert host.log.read_text().count("failed after its answer was finished: request cancelled: shutdown") == 3
    assert len(host.access_lines("/accept.ashx")) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stop_waits_for_handlers_that_work_on(start, workers):
    host = start(workers=workers)
    with host.connect() as connection:
        assert ask(connection, host, "/accept.ashx?ms=1500").status == 202
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(20) == 0
    assert "cancelled" not in host.log.read_text()


def test_who_works_on_for_too_long_is_cancelled_and_the_log_says_why(start):
    host = start("--finish-timeout", "300ms")
    with host.connect() as connection:
        assert ask(connection, host, FOR_AN_HOUR).status == 202
        wait_for("the reason in the log", lambda: "within 300 ms (--finish-timeout)" in host.log.read_text())


def test_beyond_the_bound_the_client_waits_for_the_handler(start):
    host = start("--max-finished", "1", "--drain-timeout", "0s")
    with host.connect() as connection:
        assert ask(connection, host, FOR_AN_HOUR).status == 202
        assert ask(connection, host, "/accept.ashx?ms=200").status == 202
    host.wait_for_access_line("ms=200", "outcome=completed")
    assert len(host.access_lines("outcome=finished")) == 1  # it was written before


def test_a_client_that_leaves_after_the_answer_does_not_disturb_the_handler(start):
    host = start("--drain-timeout", "30s")
    with host.connect() as connection:
        assert ask(connection, host, "/accept.ashx?ms=700").status == 202
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(20) == 0
    assert "client gone" not in host.log.read_text()
