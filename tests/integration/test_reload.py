"""Mapping files that change while the host serves: every way of saving, refusals, signals, and load meanwhile."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import threading

import pytest

import fcgi
from host import Host, says_hello
from mapping_files import ECHO, HELLO, mapping
from processes import lines_of, unprivileged_account, wait_for

REFUSED = "the mappings were not reloaded"

both = pytest.mark.parametrize("workers", [0, 2])


def status(host, path, **more):
    return host.get(path, SCRIPT_NAME=path, **more).status


@pytest.fixture
def start(start):
    """Whoever may run takes a request: no worker waits whether one that is free, or stopped, would do so."""
    return lambda *options, **more: start("--share-connections", "off", *options, **more)


def statuses(host, path):
    """Of every worker that has begun: the others are stopped while it is asked."""
    begun = [worker for worker in host.workers() if has_begun(worker)]
    if len(begun) < 2:
        return {status(host, path)}
    found = set()
    for asked in begun:
        others = [worker for worker in begun if worker != asked]
        try:
            for worker in others:
                send(worker, signal.SIGSTOP)
            for worker in others:
                wait_for("its stop", lambda worker=worker: is_still(worker), interval=0.001)
            found.add(status(host, path))
        finally:
            for worker in others:
                send(worker, signal.SIGCONT)
    return found


def has_begun(child):
    """A worker has threads; what writes a report of a crash has none."""
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{child}/task")) > 1
    return False


def is_still(worker):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] in "TZX"
    return True


def send(worker, number):
    with contextlib.suppress(ProcessLookupError):  # tests kill some
        os.kill(worker, number)


def wait_until(host, path, expected):
    wait_for(f"{expected} at {path} from every worker", lambda: statuses(host, path) == {expected})


def lines_with(host, text):
    return [line for line in lines_of(host.log) if text in line]


def wait_for_refusals(host, count):
    wait_for(f"refusal {count}", lambda: len(lines_with(host, REFUSED)) >= count)


def reloaders(host):
    """The processes that have reloaded, at --log-level debug. One that still started when the signal came may say so twice."""
    return {line.partition("weft[")[2].partition("]")[0] for line in lines_with(host, "the mappings were reloaded")}


def link(path, target):
    """Points a symbolic link elsewhere, at once."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.symlink_to(target)
    temporary.rename(path)


# --- Ways of saving ------------------------------------------------------------------------------------


def in_place(file, text):
    with open(file, "r+", encoding="utf-8") as opened:
        opened.write(text)
        opened.truncate()


def truncating(file, text):
    file.write_text(text)


def renaming_over(file, text):
    """vim's way with backupcopy=no, and that of every careful program."""
    temporary = file.with_name(".mapping.json.swp")
    temporary.write_text(text)
    temporary.rename(file)


def keeping_a_backup(file, text):
    """The old file is moved away and a new one written: there is none for a moment."""
    file.rename(file.with_name(file.name + "~"))
    file.write_text(text)


def byte_by_byte(file, text):
    with open(file, "w", encoding="utf-8", buffering=1) as opened:
        for character in text:
            opened.write(character)
            opened.flush()


def replacing_through_a_hard_link(file, text):
    temporary = file.with_name("new")
    temporary.write_text(text)
    file.unlink()
    os.link(temporary, file)


@both
@pytest.mark.parametrize("save", [in_place, truncating, renaming_over, keeping_a_backup, byte_by_byte,
                                  replacing_through_a_hard_link], ids=lambda save: save.__name__)
def test_a_saved_file_takes_effect(start, mappings, file, workers, save):
    host = start(workers=workers, mappings=mappings)
    assert statuses(host, "/a") == {200}
    save(file, mapping(b=HELLO))
    wait_until(host, "/b", 200)
    wait_until(host, "/a", 404)
    save(file, mapping(a=HELLO, b=HELLO))
    wait_until(host, "/a", 200)
    assert statuses(host, "/b") == {200}


@both
def test_a_change_to_the_same_size_takes_effect(start, mappings, file, workers):
    host = start(workers=workers, mappings=mappings)
    for number in range(5):
        path = "abcde"[number]
        in_place(file, mapping(**{path: HELLO}))
        wait_until(host, f"/{path}", 200)


@both
def test_files_and_folders_that_come_and_go_take_effect(start, mappings, workers):
    host = start(workers=workers, mappings=mappings)
    folder = mappings / "default" / "shop" / "orders"
    folder.mkdir(parents=True)
    (folder / "mapping.json").write_text(json.dumps(
        {"httpHandlers": [{"add": {"verb": "*", "path": "new", "type": HELLO}}]}))
    wait_until(host, "/shop/orders/new", 200)
    (mappings / "machine.json").write_text(mapping(everywhere=HELLO))
    wait_until(host, "/everywhere", 200)
    shutil.rmtree(mappings / "default" / "shop")
    wait_until(host, "/shop/orders/new", 404)
    (mappings / "machine.json").unlink()
    wait_until(host, "/everywhere", 404)
    (mappings / "other.example").mkdir()
    (mappings / "other.example" / "mapping.json").write_text(mapping(other=HELLO))
    wait_for("the new site", lambda: status(host, "/other", HTTP_HOST="other.example") == 200)
    assert status(host, "/other") == 404


@both
def test_a_burst_of_writes_ends_with_the_last(start, mappings, file, workers):
    host = start(workers=workers, mappings=mappings)
    assert statuses(host, "/a") == {200}
    for number in range(100):
        renaming_over(file, mapping(**{f"n{number}": HELLO}))
    wait_until(host, "/n99", 200)
    assert lines_with(host, REFUSED) == []


@both
def test_a_swapped_link_takes_effect(start, run_dir, mappings, workers):
    releases = run_dir / "releases"
    for number in (1, 2):
        (releases / str(number) / "default").mkdir(parents=True)
        (releases / str(number) / "default" / "mapping.json").write_text(mapping(**{f"r{number}": HELLO}))
    link(releases / "current", "1")
    host = start(workers=workers, mappings=releases / "current")
    assert statuses(host, "/r1") == {200}
    link(releases / "current", "2")
    wait_until(host, "/r2", 200)
    link(releases / "current", "1")
    wait_until(host, "/r2", 404)
    assert statuses(host, "/r1") == {200}


@both
def test_an_update_of_a_kubernetes_volume_takes_effect(start, run_dir, workers):
    volume = run_dir / "volume"
    for number in (1, 2, 3):
        (volume / f"..{number}" / "default").mkdir(parents=True)
        (volume / f"..{number}" / "default" / "mapping.json").write_text(mapping(**{f"r{number}": HELLO}))
    link(volume / "..data", "..1")
    link(volume / "default", "..data/default")
    host = start(workers=workers, mappings=volume)
    assert statuses(host, "/r1") == {200}
    for number in (2, 3):
        link(volume / "..data", f"..{number}")
        shutil.rmtree(volume / f"..{number - 1}")
        wait_until(host, f"/r{number}", 200)
    assert lines_with(host, REFUSED) == []


# --- Refusals ------------------------------------------------------------------------------------------


WRONG = {
    "half a file": ('{ "httpHandlers": [', 1),
    "three problems": ('{ "httpHandlers": [ {}, { "x": 1 }, { "y": 2 } ] }', 3),
    "an unknown class": (mapping(a="samples::None, hello", b="None"), 2),
    "an unknown module": (mapping(a="samples::Hello, not-there"), 1),
}


@both
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_file_is_refused_and_logged_once_and_the_old_table_serves_on(start, mappings, file, workers, what):
    text, problems = WRONG[what]
    host = start(workers=workers, mappings=mappings)
    assert statuses(host, "/a") == {200}
    # Another file is fine, and not taken either: it is all or nothing.
    (mappings / "machine.json").write_text(mapping(early=HELLO))
    wait_until(host, "/early", 200)
    (mappings / "machine.json").write_text(mapping(late=HELLO))
    renaming_over(file, text)
    wait_for_refusals(host, 1)
    wait_for("every problem", lambda: len(lines_with(host, f"{file}:1:")) >= problems)
    (mappings / "default" / "notes.txt").write_text("no mapping file")
    for _ in range(20):
        assert status(host, "/a") == 200
    assert statuses(host, "/early") | statuses(host, "/a") == {200}
    renaming_over(file, mapping(b=HELLO))
    wait_until(host, "/b", 200)
    wait_until(host, "/late", 200)
    # In one line each: by no poll again, and by one worker.
    assert len(lines_with(host, REFUSED)) == 1
    assert len(lines_with(host, f"{file}:1:")) == problems
    assert ("needs a restart" in lines_with(host, REFUSED)[0]) == what.startswith("an unknown")


@both
def test_without_the_whole_folder_the_old_table_serves_on(start, mappings, workers):
    host = start(workers=workers, mappings=mappings)
    assert statuses(host, "/a") == {200}  # it has read them
    mappings.rename(mappings.with_name("away"))
    wait_for_refusals(host, 1)
    assert statuses(host, "/a") == {200}
    assert lines_with(host, "There is no such folder")
    (mappings / "default").mkdir(parents=True)
    (mappings / "default" / "mapping.json").write_text(mapping(b=HELLO))
    wait_until(host, "/b", 200)
    wait_until(host, "/a", 404)


@pytest.fixture
def start_unprivileged(processes, installation, run_dir):
    """Like `start`, for a host that may not read every file: it is not root's, though the tests may be."""
    account = unprivileged_account()
    if account:
        installation = installation.copy(run_dir / "copy")
        os.chown(run_dir, account.pw_uid, account.pw_gid)

    def start_host(**options):
        return Host(processes, installation, **installation.as_account(account), **options)
    return start_host


@both
def test_a_file_that_may_not_be_read_is_refused_until_it_may(start_unprivileged, mappings, file, workers):
    host = start_unprivileged(workers=workers, mappings=mappings)
    assert statuses(host, "/a") == {200}
    file.chmod(0)
    wait_for_refusals(host, 1)
    assert statuses(host, "/a") == {200}
    file.chmod(0o644)
    file.write_text(mapping(b=HELLO))
    wait_until(host, "/b", 200)


@both
def test_a_file_that_is_none_is_refused(start, mappings, file, workers):
    host = start(workers=workers, mappings=mappings)
    assert statuses(host, "/a") == {200}
    file.unlink()
    os.mkfifo(file)
    wait_for_refusals(host, 1)
    assert statuses(host, "/a") == {200}
    file.unlink()
    file.write_text(mapping(b=HELLO))
    wait_until(host, "/b", 200)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_replaced_while_a_file_is_wrong_serves_what_the_others_do(start, mappings, file, workers):
    host = start("--log-level", "debug", workers=workers, mappings=mappings)
    assert statuses(host, "/a") == {200}
    renaming_over(file, mapping(b=HELLO))  # not the table of the start
    wait_until(host, "/b", 200)
    wait_for("all to have it", lambda: len(lines_with(host, "the mappings were reloaded")) == workers)
    renaming_over(file, "{")
    wait_for_refusals(host, 1)
    before = host.workers()
    for worker in before:
        os.kill(worker, signal.SIGKILL)

    def are_replaced():
        now = host.workers()
        return len(now) == workers and not set(now) & set(before)
    wait_for("new workers", are_replaced)
    wait_until(host, "/b", 200)
    wait_for("the worker to say so", lambda: lines_with(host, "this worker serves with those of before"))
    renaming_over(file, mapping(c=HELLO))
    wait_until(host, "/c", 200)


def test_another_worker_looks_for_changes_when_the_one_that_did_dies(start, mappings, file):
    host = start(workers=3, mappings=mappings)
    for number, path in enumerate(("b", "c", "d"), start=1):
        # One that starts reads the file as it is, and the others take it from there: nobody would have found the change.
        wait_for("three workers", lambda number=number: len(lines_with(host, " is ready")) == 2 + number)
        renaming_over(file, mapping(**{path: HELLO}))
        wait_until(host, f"/{path}", 200)
        wait_for("who found it", lambda number=number: len(lines_with(host, "the mappings were reloaded")) >= number)
        finder = lines_with(host, "the mappings were reloaded")[-1]
        pid = int(finder.partition("weft[")[2].partition("]")[0])
        os.kill(pid, signal.SIGKILL)
    wait_for("three workers", lambda: len(host.workers()) == 3)


# --- By hand -------------------------------------------------------------------------------------------


@both
def test_sighup_reloads_where_nobody_looks_for_changes(start, mappings, file, workers):
    host = start("--reload-interval", "0s", "--log-level", "debug", workers=workers, mappings=mappings)
    assert statuses(host, "/a") == {200}  # it has read them
    renaming_over(file, mapping(b=HELLO))
    assert statuses(host, "/b") == {404}
    host.process.send_signal(signal.SIGHUP)
    wait_until(host, "/b", 200)
    # A worker that is late would find the file wrong that it is told to adopt, and say so for itself.
    wait_for("all to have it", lambda: len(reloaders(host)) == max(workers, 1))
    renaming_over(file, "{")
    host.process.send_signal(signal.SIGHUP)
    wait_for_refusals(host, 1)
    assert statuses(host, "/b") == {200}
    # Asked again it answers again.
    host.process.send_signal(signal.SIGHUP)
    wait_for_refusals(host, 2)
    renaming_over(file, mapping(c=HELLO))
    assert statuses(host, "/c") == {404}
    host.process.send_signal(signal.SIGHUP)
    wait_until(host, "/c", 200)
    assert len(lines_with(host, REFUSED)) == 2
    assert host.stop() == 0


def test_a_worker_that_is_replaced_does_not_take_files_that_nobody_reloaded(start, mappings, file):
    host = start("--reload-interval", "0s", "--log-level", "debug", workers=2, mappings=mappings)
    renaming_over(file, mapping(b=HELLO))
    host.process.send_signal(signal.SIGHUP)
    wait_for("both to have it", lambda: len(reloaders(host)) == 2)
    renaming_over(file, mapping(c=HELLO))
    before = host.workers()
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    wait_for("new workers", lambda: len(host.workers()) == 2 and not set(host.workers()) & set(before))
    wait_until(host, "/b", 200)
    assert statuses(host, "/c") == {404}
    host.process.send_signal(signal.SIGHUP)
    wait_until(host, "/c", 200)


@both
def test_a_thousand_sighups_do_no_harm(start, mappings, file, workers):
    host = start("--reload-interval", "0s", workers=workers, mappings=mappings)
    before = host.workers()
    for _ in range(1000):
        host.process.send_signal(signal.SIGHUP)
    renaming_over(file, mapping(b=HELLO))
    host.process.send_signal(signal.SIGHUP)
    for worker in before:  # as `pkill -HUP weft` does
        os.kill(worker, signal.SIGHUP)
    wait_until(host, "/b", 200)
    assert host.workers() == before
    assert host.stop() == 0


def test_sighup_without_mappings_is_said_to_do_nothing(processes, installation, run_dir):
    process = processes.start("weft", [installation.weft, "serve", "--listen", f"unix:{run_dir}/s", "--workers", 0])
    wait_for("the socket", lambda: fcgi.accepts(f"unix:{run_dir}/s"))
    process.send_signal(signal.SIGHUP)
    wait_for("a line", lambda: "no mapping files" in (run_dir / "weft.log").read_text())
    assert processes.stop(process) == 0


def test_a_spawned_host_reloads_too(processes, installation, run_dir, mappings, file):
    address = f"{run_dir}/inherited.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(16)
        process = processes.start("weft", [installation.weft, "serve", "--mappings", mappings, "--modules",
                                           installation.modules], stdin=listener)

    def answer(path):
        return fcgi.exchange(f"unix:{address}", fcgi.variables("/", "GET", path)).status
    assert answer("/a") == 200
    renaming_over(file, mapping(b=HELLO))
    wait_for("the new file", lambda: answer("/b") == 200)
    process.send_signal(signal.SIGHUP)
    wait_for("a reload by hand", lambda: (run_dir / "weft.log").read_text().count("mappings were reloaded") >= 2)
    assert answer("/b") == 200
    assert processes.stop(process) == 0


# --- Requests meanwhile --------------------------------------------------------------------------------


@both
def test_requests_in_flight_end_with_the_table_that_they_began_with(start, mappings, file, workers):
    file.write_text(json.dumps({"httpHandlers": [
        {"add": {"verb": "*", "path": "/wait", "type": "samples::Wait, waiting", "name": "the-old-one"}}]}))
    host = start(workers=workers, mappings=mappings)
    connections = []
    try:
        for _ in range(10):
            connection = host.connect(timeout=30)
            connection.send(fcgi.request(host.variables("/wait?ms=2500", SCRIPT_NAME="/wait")))
            connections.append(connection)
        # An answer from each worker shows that what came before is in flight; then the entry goes.
        assert statuses(host, "/none") == {404}
        renaming_over(file, mapping(b=HELLO))
        wait_until(host, "/wait", 404)
        for number in range(3):
            renaming_over(file, mapping(**{f"c{number}": HELLO}))
            wait_until(host, f"/c{number}", 200)
        assert [connection.read_response()[1].status for connection in connections] == [200] * 10
    finally:
        for connection in connections:
            connection.close()
    wait_for("their lines", lambda: len(host.access_lines("/wait?ms=2500", "status=200", "the-old-one")) == 10)


@both
@pytest.mark.parametrize("by", ["itself", "SIGHUP"])
def test_reloads_under_load_fail_and_misroute_nothing(start, mappings, file, workers, by):
    """The two tables: /x is Hello and /y is Echo, or the other way round; /same is Hello in both."""
    texts = [mapping(x=HELLO, y=ECHO, same=HELLO), mapping(x=ECHO, y=HELLO, same=HELLO)]
    file.write_text(texts[0])
    options = ["--reload-interval", "0s"] if by == "SIGHUP" else ["--reload-interval", "20ms"]
    host = start(*options, workers=workers, mappings=mappings)
    failures = []
    ends = threading.Event()
    counts = [0] * 4

    def is_echo(response):
        if response.status != 200:
            return None
        return False if says_hello(response) else (True if b'"method"' in response.body else None)

    def load(number):
        connection = host.connect(timeout=30)
        while not ends.is_set():
            for path in ("/x", "/y", "/same"):
                try:
                    connection.send(fcgi.request(host.variables(path, SCRIPT_NAME=path), keep=True))
                    response = connection.read_response()[1]
                except (OSError, AssertionError) as problem:
                    failures.append((path, problem))
                    return
                if is_echo(response) is None or (path == "/same" and is_echo(response)):
                    failures.append((path, response))
            counts[number] += 3
        connection.close()

    threads = [threading.Thread(target=load, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 31):
            renaming_over(file, texts[number % 2])
            if by == "SIGHUP":
                host.process.send_signal(signal.SIGHUP)

            def serves_the_new(number=number):
                # Once a connection has seen the new table, all workers follow.
                return all(is_echo(host.get(path, SCRIPT_NAME=path)) == expected for _ in range(4)
                           for path, expected in (("/x", number % 2 == 1), ("/y", number % 2 == 0)))
            wait_for(f"table {number}", serves_the_new)
    finally:
        ends.set()
        for thread in threads:
            thread.join(30)
    assert failures == []
    assert all(counts)
    assert lines_with(host, REFUSED) == []
    assert host.stop() == 0


# --- Sizes ---------------------------------------------------------------------------------------------


@both
def test_two_thousand_folders_are_watched(start, mappings, workers):
    for site in range(20):
        for folder in range(100):
            path = mappings / f"site{site}.example" / f"f{folder}"
            path.mkdir(parents=True)
            (path / "mapping.json").write_text(mapping(old=HELLO))
    host = start(workers=workers, mappings=mappings)
    site = {"HTTP_HOST": "site13.example"}
    text = json.dumps({"httpHandlers": [{"add": {"verb": "*", "path": "new", "type": HELLO}}]})
    assert status(host, "/f77/new", **site) == 404
    renaming_over(mappings / "site13.example" / "f77" / "mapping.json", text)
    wait_for("the deep change", lambda: {status(host, "/f77/new", **site) for _ in range(10)} == {200})
    shutil.rmtree(mappings / "site13.example" / "f77")
    wait_for("its end", lambda: {status(host, "/f77/new", **site) for _ in range(10)} == {404})
