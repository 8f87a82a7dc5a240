"""Handlers that overflow their stacks or hold up their worker, and what the host says of them."""

import json
import pathlib
import subprocess

import pytest

import fcgi
from processes import wait_for


def mappings(run_dir, entries, name="mappings", **more):
    """A folder with a machine.json of `entries`, pairs of a path and a class of the module, or of a path and a dict."""
    folder = run_dir / name
    folder.mkdir(exist_ok=True)
    adds = []
    for path, what in entries:
        what = {"type": what} if isinstance(what, str) else dict(what)
        what["type"] = f"troubles::{what['type']}, troubles"
        adds.append({"add": {"verb": "*", "path": path, **what}})
    lines = ",\n".join(json.dumps(add) for add in adds)
    rest = "".join(f",\n{json.dumps(key)}: {json.dumps(value)}" for key, value in more.items())
    (folder / "machine.json").write_text('{"httpHandlers": [\n' + lines + "\n]" + rest + "}\n")
    return folder


@pytest.fixture
def modules(pytestconfig):
    return pathlib.Path(pytestconfig.getoption("--build-dir")).resolve() / "tests" / "integration" / "modules"


@pytest.fixture
def start_troubles(start, run_dir, modules):
    def start_host(entries, *options, more=None, **start_options):
        return start("--modules", modules, *options, mappings=mappings(run_dir, entries, **(more or {})),
                     **start_options)
    return start_host


def is_asan(pytestconfig):
    return pathlib.Path(pytestconfig.getoption("--build-dir")).name == "asan"


@pytest.fixture
def without_asan(pytestconfig):
    if is_asan(pytestconfig):
        pytest.skip("the sanitizer reports an overflow itself, and its frames are larger")


ENTRIES = [
    ("/usual", "Recurse"),
    ("/big", {"type": "Recurse", "stackBytes": 1 << 20}),
    ("/later", {"type": "RecurseLater", "stackBytes": 1_000_000}),
    ("/plain", "RecursePlain"),
]


def test_an_entry_has_a_stack_of_its_own_size(start_troubles, without_asan):
    host = start_troubles(ENTRIES)
    assert host.get("/big?depth=700").body == b"700\n"
    assert host.get("/later?depth=700").body == b"700\n3\n"
    # What follows on the usual stack is as it was.
    assert host.get("/usual?depth=100").body == b"100\n"


def test_a_folder_has_stacks_of_its_own_size_and_explain_tells_it(start_troubles, installation, modules, run_dir,
                                                                  without_asan):
    host = start_troubles(ENTRIES, more={"httpRuntime": {"stackBytes": 2 << 20}})
    assert host.get("/usual?depth=1500").body == b"1500\n"
    assert host.get("/big?depth=700").body == b"700\n"
    for path, value, line in (("/usual", 2 << 20, 7), ("/big", 1 << 20, 3)):
        told = json.loads(subprocess.run(
            [installation.weft, "explain", "--mappings", run_dir / "mappings", "--modules", modules, "--format", "json",
             path], check=True, capture_output=True, timeout=30).stdout)
        assert told["limits"]["stackBytes"] == {
            "value": value, "file": str(run_dir / "mappings" / "machine.json"), "line": line, "option": None}


@pytest.mark.parametrize("path, advice", [
    ("/usual", "a larger --stack-size helps, or \"stackBytes\" in its mapping alone"),
    ("/big", "a larger \"stackBytes\" in its mapping helps"),
    ("/plain", "a larger stack of its threads helps (ulimit -s)"),
])
def test_an_overflow_ends_its_worker_alone_and_names_the_handler(start_troubles, without_asan, path, advice):
    host = start_troubles(ENTRIES, workers=2)
    before = host.workers()
    with host.connect() as connection:
        connection.send(fcgi.request(host.variables(path + "?depth=1000000")))
        assert connection.is_closed_by_host()
    class_name = "troubles::RecursePlain" if path == "/plain" else "troubles::Recurse"
    wait_for("the report", lambda: "fatal: stack overflow" in host.log.read_text())
    report = next(line for line in host.log.read_text().splitlines() if "fatal: stack overflow" in line)
    assert f"stack overflow in {class_name}" in report
    assert advice in report
    wait_for("another worker", lambda: len(host.workers()) == 2 and set(host.workers()) != set(before))
    assert len(set(before) & set(host.workers())) == 1
    assert host.get("/usual?depth=10").body == b"10\n"
    wait_for("the supervisor's line", lambda: "was ended by SIGSEGV" in host.log.read_text())
