"""Clients that ask all the while that something happens to a host."""

import os
import threading

from host import says_hello
from processes import wait_for

CLIENTS = int(os.environ.get("TEST_CLIENTS", "6"))


class Load:
    """Clients that ask on and on, each answer checked; `failures` says what was wrong."""

    def __init__(self, ask, clients=CLIENTS):
        self._ask, self._stopping = ask, threading.Event()
        self.answers, self.failures = [0] * clients, []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def _run(self, number):
        while not self._stopping.is_set():
            try:
                problem = self._ask(number, self.answers[number])
            except Exception as error:  # pylint: disable=broad-except
                problem = repr(error)
            if problem:
                self.failures.append(f"client {number}, request {self.answers[number]}: {problem}")
                return
            self.answers[number] += 1

    def count(self):
        return sum(self.answers)

    def wait_for_more(self, count=3):
        """Until every client has had as many answers more."""
        before = list(self.answers)
        wait_for("answers", lambda: self.failures or all(
            now >= then + count for then, now in zip(before, self.answers)), timeout=60)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)


def asking(site):
    """What a client of a Load does, through a web server."""
    def ask(client, number):
        # Bodies as well: a web server sends a POST again only where it is sure that nobody has seen it.
        kind = (client + number) % 3
        if kind == 0:
            response = site.request("GET", "/hello.ashx")
            return None if says_hello(response) else f"GET: {response.status} {response.body[:200]!r}"
        if kind == 1:
            response = site.request("POST", f"/echo.ashx?n={number}", body=b"x" * (1 + number % 5000))
            return None if response.status == 200 and f"n={number}".encode() in response.body else (
                f"POST: {response.status} {response.body[:200]!r}")
        response = site.request("GET", "/wait.ashx?ms=20")
        return None if response.status == 200 else f"wait: {response.status} {response.body[:200]!r}"
    return ask
