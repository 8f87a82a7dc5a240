"""A client that leaves stops its handler, behind each web server, once that closes or aborts.

Which departures a web server sees while Weft is silent is its own doing (docs/guide/running.md says the same); what it does not see
so it sees when it has something to write.
"""

import dataclasses
import shutil
import subprocess

import pytest

import servers
from processes import lines_of, wait_for

# Who looks at the client while there is nothing to write, and takes what for its departure. An orderly close may be half a one,
# of a client that has no more to send and waits for its answer. lighttpd sees some resets before the answer, not all.
LOOK = {
    ("before the answer", "closes"): {"nginx", "nginx-no-keep-conn", "cgi-fcgi"},
    ("before the answer", "resets"): {"nginx", "nginx-no-keep-conn"},
    ("in the answer", "closes"): {"nginx", "nginx-no-keep-conn", "cgi-fcgi"},
    ("in the answer", "resets"): {"nginx", "nginx-no-keep-conn", "lighttpd-spawn", "lighttpd-socket"},
}

CLASSES = {"/cancelled.ashx": "Cancelled", "/cancelled-plain.ashx": "CancelledPlain"}


@pytest.fixture(params=sorted(servers.ALL))
def site(request, processes, installation, pytestconfig):
    """The web server of this name before a site of its own, with the handlers of modules/troubles.cpp."""
    run_dir = processes.run_dir
    modules = shutil.copytree(installation.modules, run_dir / "modules")
    shutil.copy(installation.weft.parents[1] / "tests" / "integration" / "modules" / "troubles.so", modules)
    root = shutil.copytree(installation.document_root, run_dir / "root")
    for path, name in CLASSES.items():
        (root / path[1:]).write_text(f'<%@ WebHandler Class="troubles::{name}, troubles" %>\n')
    subprocess.run(["chmod", "-R", "a+rX", modules, root], check=True)
    site = servers.ALL[request.param](processes, dataclasses.replace(
        installation, modules=modules, document_root=root))
    site.name = request.param
    return site


class Client:
    """Somebody whose handler runs and writes down in a file of its own how it is cancelled."""

    def __init__(self, site, path, name, when, query):
        self.log = site.run_dir / f"{name}.cancelled"
        self.target = f"{path}?log={self.log}" + "".join(f"&{key}={value}" for key, value in query.items())
        self._exchange = site.open("GET", self.target)
        if when == "in the answer":
            status, _ = self._exchange.read_head()
            assert status == 200
            assert self._exchange.read_piece().startswith(b"begun\n")
        else:
            self._exchange.send_all()
            wait_for("its handler", lambda: self.lines() == ["begun"])

    def leave(self, how):
        if how == "resets":
            self._exchange.reset()
        self._exchange.close()

    def lines(self):
        return [line.rsplit(" ", 1)[0] for line in lines_of(self.log)]

    def noted(self):
        return [line for line in self.lines() if line != "begun"]

    def assert_is_cancelled(self):
        wait_for("the handler's end", lambda: self.noted()[-1:] == ["disconnected"], timeout=30)
        assert self.noted() == ["callback", "thrown: client gone", "disconnected"]


def records_of(site, client):
    return [line for line in site.access_lines() if client.target in line]


@pytest.mark.parametrize("when, how", LOOK)
def test_a_client_that_leaves_cancels_its_handler_and_no_other(site, when, how):
    if how == "resets" and not site.is_web_server:
        pytest.skip("cgi-fcgi has no connection to its client")
    query = {} if site.name in LOOK[when, how] else {"heartbeat": 20}
    if when == "before the answer":
        query["silent"] = 1
    # HAProxy says nothing of a client that has left while others share its connection to Weft.
    stays = None if site.multiplexes else Client(site, "/cancelled.ashx", "stays", when, query)
    for path, name in CLASSES.items():
        client = Client(site, path, name, when, query)
        assert client.noted() == []
        client.leave(how)
        client.assert_is_cancelled()
        (record,) = wait_for("its record", lambda: records_of(site, client))
        assert "status=499" in record and "cause=client_gone" in record
    assert site.request("GET", "/hello.ashx").status == 200
    if stays is not None:
        assert stays.noted() == [] and not records_of(site, stays)
        stays.leave(how)
        stays.assert_is_cancelled()
