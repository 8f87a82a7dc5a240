"""`weft explain` and a host, asked the same: random mapping trees and random requests, always the same ones."""

import json
import random
import re
import subprocess
import urllib.parse

import pytest

import fcgi
from host import Host
from processes import wait_for

FOLDERS = ("a", "b", "Shop", "x.ashx", "c.d", "sp ace")
SEGMENTS = FOLDERS + ("A", "shop", "X.ASHX", "mapping.json", "MAPPING.JSON", "index.html", "y.ashx", "wrong.ashx", "f.txt",
                      "f.report", "..", ".", "", ".hidden", "é", "a%b", "web.config", "back\\slash", "x" * 40)
PATTERNS = ("*", "**", "*.report", "*.txt,*.html", "/a", "/a/**", "a/*", "/", "~/", "~/status", "~/a/**", "b", "*.ashx",
            "/Shop/*", "*.r?port", "?", "**/b/**", "/a/b/,*.d", "c.d/", "*/", "/*/b", "index.*")
TYPES = ("weft::HttpForbiddenHandler", "weft::HttpNotFoundHandler", "weft::StaticFileHandler", "weft::SimpleHandlerFactory",
         "samples::Hello, hello", "samples::Echo, echo")
VERBS = ("*", "GET", "GET,HEAD", "POST", "P*", "GE?", "PUT,DELETE")
FILES = {"index.html": "a page", "f.txt": "text", "f.report": "text", "web.config": "secret",
         "x.ashx": '<%@ WebHandler Class="samples::Echo, echo" %>', "y.ashx": '<%@ WebHandler Class="samples::Hello, hello" %>',
         "wrong.ashx": '<%@ WebHandler Class="samples::None, hello" %>'}
STATUS_OF = {"weft::HttpForbiddenHandler": {403}, "weft::HttpNotFoundHandler": {404},
             "weft::HttpMethodNotAllowedHandler": {405}, "samples::Hello, hello": {200, 405},
             "samples::Echo, echo": {200}}


class Trees:
    """Writes mappings and pages below a folder."""

    def __init__(self, rng):
        self.rng = rng
        self.entries = 0
        self.keys = [("*", "*.ashx"), ("GET,HEAD,OPTIONS", "*")]

    def block(self):
        rng = self.rng
        directives = []
        for _ in range(rng.randint(0, 4)):
            if rng.random() < 0.75:
                self.entries += 1
                entry = {"verb": rng.choice(VERBS), "path": rng.choice(PATTERNS), "type": rng.choice(TYPES),
                         "name": f"entry {self.entries}"}
                if rng.random() < 0.25:
                    entry["resourceType"] = rng.choice(("file", "directory", "either"))
                if rng.random() < 0.05:
                    entry.update(type="no::Class, nowhere", validate=False)
                self.keys.append((entry["verb"], entry["path"]))
                directives.append({"add": entry})
            else:
                directives.append({"remove": dict(zip(("verb", "path"), rng.choice(self.keys)))})
        block = {"httpHandlers": directives}
        if rng.random() < 0.3:
            block["defaultDocuments"] = rng.sample(("index.html", "y.ashx", "f.report"), rng.randint(0, 2))
        if rng.random() < 0.2:
            block["redirectToFolder"] = rng.random() < 0.5
        if rng.random() < 0.05:
            block["httpRuntime"] = {"maxUrlBytes": 30, "maxQueryStringBytes": 3}
        return block

    def mapping(self, path, application=False):
        mapping = self.block()
        if application:
            mapping["application"] = True
        if self.rng.random() < 0.3:
            mapping["locations"] = {self.rng.choice(("a", "b/a", "Shop/x.ashx", "f.txt")): self.block()}
        path.write_text(json.dumps(mapping, indent=1))

    def fill(self, folder, depth=0, is_served=False):
        folder.mkdir(parents=True, exist_ok=True)
        if is_served:
            for name in self.rng.sample(sorted(FILES), 4):
                (folder / name).write_text(FILES[name])
        if self.rng.random() < 0.5:
            self.mapping(folder / "mapping.json", application=self.rng.random() < 0.3)
        for name in self.rng.sample(FOLDERS, 3 if depth < 2 else 0):
            if not (folder / name).exists():
                self.fill(folder / name, depth + 1, is_served)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_explained_is_what_the_host_does(processes, installation, run_dir, seed):
    rng = random.Random(seed)
    trees = Trees(rng)
    trees.fill(run_dir / "mappings" / "default")
    trees.fill(run_dir / "mappings" / "example.org")
    trees.mapping(run_dir / "mappings" / "machine.json")
    roots = {host: run_dir / host for host in ("default", "example.org")}
    for root in roots.values():
        trees.fill(root, is_served=True)
    sources = [f"--document-root-mappings={host}={root}" for host, root in roots.items()]
    host = Host(processes, installation, *sources, mappings=run_dir / "mappings")

    causes = set()
    for number in range(60):
        path = "/" + "/".join(rng.choice(SEGMENTS) for _ in range(rng.randint(0, 4))) + rng.choice(("", "/"))
        method = rng.choice(("GET", "GET", "GET", "HEAD", "POST", "PUT", "get"))
        query = rng.choice(("", "", "x=1", "//evil", f"a{number}"))
        site, name = rng.choice((("default", "localhost"), ("example.org", "Example.org:8080"), ("default", "other.org")))
        url = urllib.parse.quote(path) + (f"?{query}" if query else "")
        explained = subprocess.run(
            [installation.weft, "explain", "--mappings", run_dir / "mappings", "--modules", installation.modules, *sources,
             "--document-root", roots[site], "--format", "json", method, f"http://{name}{url}"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        assert explained.stdout, (url, explained.stderr)  # there may be warnings
        told = json.loads(explained.stdout)

        script = path.encode().decode("latin-1")
        answer = fcgi.exchange(host.address, host.variables(
            "/", method=method, REQUEST_URI=url, SCRIPT_NAME=script, SCRIPT_FILENAME=f"{roots[site]}{script}",
            DOCUMENT_ROOT=str(roots[site]), QUERY_STRING=query, HTTP_HOST=name))
        wait_for("the record of the request", lambda: len(host.access_lines()) > number)
        record = dict(re.findall(r'(\w+)=(?:"([^"]*)"|\S+)', host.access_lines()[number]))
        cause = re.search(r" cause=(\S+)", host.access_lines()[number])[1]

        request = f"seed {seed}, {method} http://{name}{url}: {told['status']} {told['cause']}, {told['entry']}"
        causes.add(told["cause"])
        assert record.get("entry", "") == (told["entry"]["name"] if told["entry"] else ""), request
        if told["status"] == 200:
            assert answer.status in STATUS_OF.get(told["entry"]["type"], {200, 404, 405}), request
        else:
            assert (answer.status, cause) == (told["status"], told["cause"]), request
            assert (answer.header("Location") or "", answer.header("Allow") or "") == (told["location"], told["allow"]), request
    assert {"mapped", "file_not_found"} <= causes and len(causes) > 2
    assert host.stop() == 0
