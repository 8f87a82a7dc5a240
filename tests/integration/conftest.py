"""Fixtures of the integration tests. Run them with CTest (`scripts/test -R integration`), or by hand:

    /usr/bin/python3 -m pytest tests/integration/test_web_server.py --server nginx --build-dir build/dev
"""

import pathlib
import shutil
import socket
import tempfile

import pytest

import servers
from host import Host, says_hello
from mapping_files import HELLO, mapping
from processes import Processes

RUN_DIR = pytest.StashKey[pathlib.Path]()


def pytest_addoption(parser):
    parser.addoption("--build-dir", default=str(servers.ROOT / "build" / "dev"),
                     help="the build to test: it holds bin/weft and modules/*.so")
    parser.addoption("--server", default="lighttpd-spawn", choices=sorted(servers.ALL),
                     help="the web server that test_web_server.py goes through")


@pytest.fixture(scope="session")
def installation(pytestconfig):
    built = servers.Installation.built(pathlib.Path(pytestconfig.getoption("--build-dir")).resolve())
    assert built.weft.exists(), f"{built.weft} is not there: build it first (scripts/test does)"
    return built


@pytest.fixture(scope="session")
def modules(installation):
    """The folder of the modules that misbehave."""
    return installation.weft.parents[1] / "tests" / "integration" / "modules"


def new_run_dir():
    # Short, for a Unix socket's path has 107 bytes; without blanks; and open to a server's own account.
    run_dir = pathlib.Path(tempfile.mkdtemp(prefix="weft-test-", dir="/tmp"))
    run_dir.chmod(0o755)
    return run_dir


@pytest.fixture
def processes(request):
    """Starts processes for one test, and proves at its end that none is left."""
    directory = new_run_dir()
    request.node.stash[RUN_DIR] = directory  # what is in its logs is shown when the test fails
    try:
        with Processes(directory) as started:
            yield started
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def run_dir(processes):
    """A folder of this test's own; nothing whose command line names it may outlive the test."""
    return processes.run_dir


@pytest.fixture
def start(processes, installation):
    """Starts a host: start("--option", "value", listen="unix", workers=0)."""
    def start_host(*options, **more):
        return Host(processes, installation, *options, **more)
    return start_host


@pytest.fixture
def mappings(run_dir):
    """A folder of mappings of this test's own, with /a mapped."""
    folder = run_dir / "mappings"
    (folder / "default").mkdir(parents=True)
    (folder / "default" / "mapping.json").write_text(mapping(a=HELLO))
    return folder


@pytest.fixture
def file(mappings):
    """The file that maps it."""
    return mappings / "default" / "mapping.json"


@pytest.fixture
def control(run_dir):
    """Where a host is asked how it is."""
    return run_dir / "control.sock"


@pytest.fixture
def start_controlled(start, control):
    """Starts a host that answers there."""
    def start_host(*options, workers=2, **more):
        return start("--control", control, *options, workers=workers, **more)
    return start_host


@pytest.fixture
def listening(run_dir):
    """A socket as a web server gives it to the host that it starts, as descriptor 0."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(run_dir / "given.sock"))
        listening.listen()
        yield listening


@pytest.fixture
def start_site(processes, installation):
    """Starts a web server that starts its hosts itself: start(lighttpd(), "option = value")."""
    def start(kind, *weft_options):
        site = kind(processes, installation, weft_options=weft_options)
        assert says_hello(site.request("GET", "/hello.ashx"))
        return site
    return start


@pytest.fixture(scope="session")
def running_site(pytestconfig, installation):
    directory = new_run_dir()
    try:
        with Processes(directory) as started:
            site_class = servers.ALL[pytestconfig.getoption("--server")]
            try:
                yield site_class(started, installation)
            except BaseException:
                print(logs_in(directory))
                raise
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def site(running_site, request):
    """The sample site behind the web server that --server names; one for the whole run."""
    request.node.stash[RUN_DIR] = running_site.run_dir
    return running_site


def logs_in(directory, limit=4000):
    parts = []
    for log in sorted(directory.glob("*.log")):
        text = log.read_text(errors="replace")
        if text:
            parts.append(f"--- {log.name}\n{text[-limit:]}")
    return "\n".join(parts)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    directory = item.stash.get(RUN_DIR, None)
    if report.failed and directory and directory.exists():
        report.sections.append(("logs of the processes", logs_in(directory)))
