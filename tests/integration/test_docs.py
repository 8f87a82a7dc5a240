"""What README and docs/ show is true: their handlers compile and answer, their commands run, their options exist."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture
def build_dir(request):
    return Path(request.config.getoption("--build-dir")).resolve()


def blocks(text, language):
    """The fenced blocks of a language; an empty name is a block without one."""
    return [body for name, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S) if name == language]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def compile_module(source, module, build_dir):
    flags = ["-fsanitize=address"] if (build_dir.name == "asan") else []
    result = run(["c++", "-std=c++20", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", *flags,
                  f"-I{ROOT}/handlers/include", str(source), "-o", str(module), f"-L{build_dir}/lib", "-lweft"])
    assert result.returncode == 0 and result.stderr == "", result.stderr


def ask(socket_path, path, query="", **params):
    environment = {"PATH": os.environ["PATH"], "REQUEST_METHOD": "GET", "SCRIPT_NAME": path,
                   "QUERY_STRING": query, **params}
    result = run(["cgi-fcgi", "-bind", "-connect", str(socket_path)], env=environment)
    assert "connect" not in result.stderr, result.stderr
    return result.stdout


def accepts(socket_path):
    """Whether somebody listens there: the file comes a little before."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(socket_path)) == 0


def wait_for(condition, what):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within 20 s"
        time.sleep(0.02)


@contextlib.contextmanager
def serving(tmp_path, build_dir, modules, mapping, *options, workers=0):
    """A host of these modules (their sources by name) that serves by this mapping file, in tmp_path; yields its socket's path."""
    (tmp_path / "modules").mkdir()
    for name, source in modules.items():
        (tmp_path / f"{name}.cpp").write_text(source)
        compile_module(tmp_path / f"{name}.cpp", tmp_path / "modules" / f"{name}.so", build_dir)
    site = tmp_path / "mappings" / "default"
    site.mkdir(parents=True)
    (site / "mapping.json").write_text(mapping)
    socket_path = tmp_path / "s"
    host = subprocess.Popen([build_dir / "bin" / "weft", "serve", "--listen", f"unix:{socket_path}", "--workers", str(workers),
                             "--mappings", tmp_path / "mappings", "--modules", tmp_path / "modules", *options],
                            cwd=tmp_path)
    try:
        wait_for(lambda: accepts(socket_path), "the socket")
        yield socket_path
    finally:
        host.terminate()
        assert host.wait(20) == 0


def mapped(**types):
    """A mapping file in which each path of one segment is served by a class."""
    return json.dumps({"httpHandlers": [{"add": {"verb": "*", "path": f"/{name}", "type": type}}
                                        for name, type in types.items()]})


def test_the_readmes_handler_compiles_and_answers_by_its_mapping_and_by_an_ashx_file(tmp_path, build_dir):
    www = tmp_path / "www"
    www.mkdir()
    (www / "greeting.ashx").write_text(re.search(r"`(<%@ WebHandler.*?%>)`", README)[1])
    with serving(tmp_path, build_dir, {"greeting": blocks(README, "cpp")[0]}, blocks(README, "json")[0],
                 workers=1) as socket_path:
        assert ask(socket_path, "/greeting", "name=Ada").endswith("\n\nGood day, Ada\n")
        assert ask(socket_path, "/greeting.ashx", DOCUMENT_ROOT=str(www)).endswith("\n\nGood day, world\n")


def test_the_commands_of_the_first_handler_run_as_they_stand(tmp_path, build_dir):
    text = (ROOT / "docs" / "guide" / "first-handler.md").read_text()
    script = "".join(blocks(text, "sh"))
    assert "/tmp/first-handler" in script and "build/dev" in script
    # Another folder, and the build under test; nothing else is changed.
    script = script.replace("/tmp/first-handler", str(tmp_path)).replace("build/dev", str(build_dir))
    if build_dir.name == "asan":
        script = script.replace("c++ -std", "c++ -fsanitize=address -std")
    result = run(["bash", "-eu", "-c", script], cwd=ROOT)
    expected = blocks(text, "")[-1]
    assert result.stdout == expected, result.stderr


def test_the_readmes_curl_commands_work_against_scripts_run(build_dir):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    commands = [line for block in blocks(README, "sh") for line in block.splitlines() if line.startswith("curl")]
    assert len(commands) == 3
    process = subprocess.Popen([ROOT / "scripts" / "run", "--port", str(port), "--build-dir", build_dir],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(lambda: run(["curl", "-sf", f"http://127.0.0.1:{port}/hello.ashx"]).returncode == 0, "the site")
        answers = [run(["bash", "-c", command.replace(":8080", f":{port}")]) for command in commands]
        assert all(answer.returncode == 0 for answer in answers)
        assert answers[0].stdout.startswith("HTTP/1.1 200 OK") and answers[0].stdout.endswith("Hello, world")
        assert len(answers[1].stdout.splitlines()) == 3
        assert '"pathInfo": "/with/path-info"' in answers[2].stdout
        assert '"length": 10' in answers[2].stdout
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stdout.close()


def test_the_mapping_of_the_guide_is_understood_but_for_its_module(tmp_path, build_dir):
    site = tmp_path / "default"
    site.mkdir()
    text = (ROOT / "docs" / "guide" / "mappings.md").read_text()
    (site / "mapping.json").write_text(blocks(text, "jsonc")[0])
    result = run([build_dir / "bin" / "weft", "serve", "--listen", f"unix:{tmp_path}/s", "--workers", "0",
                  "--mappings", tmp_path])
    assert result.returncode == 78
    problems = [line for line in result.stderr.splitlines() if ": error: " in line]
    assert len(problems) == 2 and all('module "shop" is missing' in problem for problem in problems), result.stderr


def test_the_commands_of_the_mappings_guide_print_what_it_shows(tmp_path, build_dir):
    text = (ROOT / "docs" / "guide" / "mappings.md").read_text()
    shown = re.findall(r"^```sh\n(.*?)^```\n\n```text\n(.*?)^```$", text, re.M | re.S)
    assert len(shown) == len(blocks(text, "sh")) == 2
    for script, expected in shown:
        assert "build/dev" in script
        script = script.replace("/tmp/mappings", str(tmp_path)).replace("build/dev", str(build_dir))
        result = run(["bash", "-eu", "-c", script], cwd=ROOT)
        assert (result.stdout, result.stderr) == (expected.replace("/tmp/mappings", str(tmp_path)), "")


def test_the_status_of_the_running_guide_has_the_shape_that_it_shows(tmp_path, build_dir):
    text = (ROOT / "docs" / "guide" / "running.md").read_text()
    shown = blocks(text, "text")
    site = tmp_path / "mappings" / "default"
    site.mkdir(parents=True)
    (site / "mapping.json").write_text("{}")
    control = tmp_path / "control.sock"
    host = subprocess.Popen([build_dir / "bin" / "weft", "serve", "--listen", f"unix:{tmp_path}/weft.sock", "--control",
                             control, "--workers", "2", "--mappings", tmp_path / "mappings"])

    def status(*options):
        return run([build_dir / "bin" / "weft", "status", "--control", control, *options]).stdout

    def workers():
        return re.findall(r"^  (\d+) +ready ", status(), re.M)

    def shape(lines):
        lines = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", lines)
        lines = re.sub(r"(process|worker) \d+", r"\1 PID", lines)
        lines = re.sub(r"^  \d+ |\d+ (?=was ended)", "  PID ", lines, flags=re.M)
        lines = re.sub(r"after \d[\d.]*m?s", "after AGE", lines)
        lines = re.sub(" +", " ", lines)
        return re.sub(r"(newest|older) \d.*? (?=-$|PID was)", r"\1 COUNTS ", lines, flags=re.M)

    def beginnings(lines):
        # Up to what may be 0, or a list.
        return [re.sub(r"[\d.]+", "N", line)[:14] for line in lines.splitlines() if line.endswith(":") or ": " in line]

    try:
        wait_for(lambda: len(workers()) == 2, "two workers")
        os.kill(int(workers()[1]), signal.SIGKILL)
        wait_for(lambda: "was ended by" in status() and len(workers()) == 2, "the successor")
        (site / "mapping.json").write_text('{ "httpHandlers": [\n  { "ad": {} } ] }')
        wait_for(lambda: "last reload: refused" in status(), "the refusal")
        printed = status().replace(str(tmp_path / "mappings"), "/etc/weft/mappings").replace(str(tmp_path), "/run/weft")
        # Entries are told when there were requests, stacks and stalls once a worker has any to tell of.
        before = "\nrequests since the start:"
        assert shape(printed.split(before)[0]) == shape(shown[0].split(before)[0])
        assert set(beginnings(printed.split(before)[1])) <= set(beginnings(shown[0].split(before)[1]))
        members = json.loads(status("--format", "json"))
    finally:
        host.terminate()
        assert host.wait(20) == 0
    table = text[text.index("| member |"):text.index("Further members")]
    for name in {*members, *members["mappings"], *members["reload"], *members["workers"][0]} - {
            "mappings", "reload", "workers"}:
        assert re.search(rf"`(?:mappings|reload|workers\[\])?\.?{name}`", table), name
    for name, member in members["figures"].items():
        assert re.search(rf"`(?:figures)?\.{name}[`.]", table), name
        for inner in member if isinstance(member, dict) else ():
            assert re.search(rf"`(?:figures\.{name})?\.?{inner}`", table), f"{name}.{inner}"


def test_every_metric_is_in_the_running_guide_and_no_other(tmp_path, build_dir):
    control = tmp_path / "control.sock"
    host = subprocess.Popen([build_dir / "bin" / "weft", "serve", "--listen", f"unix:{tmp_path}/weft.sock", "--control",
                             control, "--workers", "1"])
    try:
        def metrics():
            return run([build_dir / "bin" / "weft", "status", "--control", control, "--format", "openmetrics"]).stdout
        wait_for(lambda: 'weft_workers{state="ready"} 1' in metrics(), "a worker")
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", metrics(), re.M))
    finally:
        host.terminate()
        assert host.wait(20) == 0
    suffixes = {"counter": "_total", "info": "_info"}
    text = (ROOT / "docs" / "guide" / "running.md").read_text()
    assert {name + suffixes.get(kind, "") for name, kind in types.items()} == set(re.findall(r"`(weft_\w+)`", text))


def test_the_handlers_of_the_guide_live_as_it_says(tmp_path, build_dir):
    text = (ROOT / "docs" / "guide" / "handlers.md").read_text()
    modules = dict(zip(("basket", "visits", "reports"), blocks(text, "cpp"), strict=True))
    www = tmp_path / "www"
    www.mkdir()
    for name in ("basket.ashx", "basket.do", "basket.page"):
        (www / name).write_text(blocks(text, "")[0])

    def answer(path, **params):
        return ask(socket_path, path, **params).split("\n\n", 1)[1]

    with serving(tmp_path, build_dir, modules, blocks(text, "json")[0]) as socket_path:
        # Reset, and the same instance.
        assert [answer("/basket") for _ in range(2)] == ["1 item, request 1\n", "1 item, request 2\n"]
        assert [answer("/visits") for _ in range(2)] == ["visit 1\n", "visit 2\n"]
        assert answer("/2026/sales.report") == "report /2026/sales.report\n"
        assert ask(socket_path, "/sales.report", REQUEST_METHOD="PUT").startswith("Status: 405")
        # An instance of its own for each.
        for name in ("basket.ashx", "basket.do", "basket.page", "basket.ashx"):
            assert answer(f"/{name}", DOCUMENT_ROOT=str(www)) == "1 item, request 1\n"
        assert ask(socket_path, "/none.do", DOCUMENT_ROOT=str(www)).startswith("Status: 404")

    listed = run([build_dir / "bin" / "weft", "modules", "--modules", tmp_path / "modules"])
    assert listed.returncode == 0, listed.stderr
    shown = blocks(text, "text")[0].replace("MODULES", str(tmp_path / "modules")).splitlines()
    printed = listed.stdout.splitlines()[:len(shown)]
    # The compiler's version, and a sanitizer's libraries, are this machine's.
    assert (printed[0], printed[-1]) == (shown[0], shown[-1])
    assert printed[1].split(", ")[0] == shown[1].split(", ")[0]
    assert printed[2].startswith("  links ") and "libweft.so.5" in printed[2]


def test_the_handler_of_the_request_guide_answers_as_it_says(tmp_path, build_dir):
    text = (ROOT / "docs" / "guide" / "request.md").read_text()
    log = tmp_path / "access.log"
    with serving(tmp_path, build_dir, {"welcome": blocks(text, "cpp")[0]}, blocks(text, "json")[0],
                 "--max-fields", "3", "--access-log", log) as socket_path:
        answer = ask(socket_path, "/welcome", "name=Ada&NAME=Charles&", HTTP_COOKIE="visits=II",
                     HTTP_ACCEPT_LANGUAGE="fr;q=0.5, de-CH;q=0.8, en;q=0.1")
        assert answer.endswith("\n\nWillkommen Ada Charles\n")
        assert "Set-Cookie: visits=III;" in answer
        assert ask(socket_path, "/welcome", HTTP_ACCEPT_LANGUAGE="de;q=0").endswith("\n\nWelcome\n")
        assert ask(socket_path, "/welcome", "name=%4").startswith("Status: 400")
        assert ask(socket_path, "/welcome", HTTP_COOKIE="a=\x01").startswith("Status: 400")
        assert ask(socket_path, "/welcome", "a&b&c").startswith("Status: 200")
        assert ask(socket_path, "/welcome", "a&b&c&d").startswith("Status: 400")
        assert ask(socket_path, "/welcome", HTTP_COOKIE="a=1; b=2; c=3; d=4").startswith("Status: 400")
        assert ask(socket_path, "/wp-login.php") == ""
        assert ask(socket_path, "/welcome").endswith("\n\nWelcome\n")
    assert re.findall(r" cause=(\w+)", log.read_text()) == [
        "mapped", "mapped", "query_malformed", "cookie_malformed", "mapped", "too_many_fields", "too_many_fields",
        "request_aborted", "mapped"]


def test_the_handlers_of_the_response_guide_answer_as_it_says(tmp_path, build_dir):
    text = (ROOT / "docs" / "guide" / "response.md").read_text()
    modules = dict(zip(("login", "order", "countdown"), blocks(text, "cpp"), strict=True))
    mapping = mapped(**{name: f"guide::{name.capitalize()}, {name}" for name in modules})
    access_log = tmp_path / "access.log"
    with serving(tmp_path, build_dir, modules, mapping, "--access-log", access_log) as socket_path:
        answer = ask(socket_path, "/login", "name=Ada%3B%20L.&returnUrl=/basket?a=1", REQUEST_METHOD="POST")
        assert answer.startswith("Location: /basket?a=1\nStatus: 303 See Other\n")
        assert "\nSet-Cookie: user=Ada%3B%20L.; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax\n" in answer
        answer = ask(socket_path, "/login", "returnUrl=//evil.example/", REQUEST_METHOD="POST")
        assert answer.startswith("Location: /login\n") and "\nSet-Cookie: user=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970" in answer
        answer = ask(socket_path, "/login", HTTP_COOKIE="user=Ada%3B%20L.")
        assert "\nContent-Type: text/plain; charset=utf-8\n" in answer and answer.endswith("\n\nHello, Ada; L.\n")
        answer = ask(socket_path, "/order", "item=tea")
        assert answer.startswith("Status: 202 ") and answer.endswith("\n\nWe have your order.\n")
        wait_for(lambda: (tmp_path / "orders.txt").exists() and (tmp_path / "orders.txt").read_text() == "tea\n", "the order")
        wait_for(lambda: ' outcome=finished log="item=tea"' in access_log.read_text(), "the record")
        assert " status=202 " in access_log.read_text()
        answer = ask(socket_path, "/countdown", HTTP_LAST_EVENT_ID="2")
        assert "\nContent-Type: text/event-stream\n" in answer
        assert answer.split("\n\n", 1)[1] == blocks(text, "text")[0]


def test_the_handlers_of_the_context_guide_answer_as_it_says(tmp_path, build_dir):
    text = (ROOT / "docs" / "guide" / "context.md").read_text()
    modules = dict(zip(("times", "count", "page", "search"), blocks(text, "cpp"), strict=True))
    mapping = mapped(**{name: f"shop::{name.capitalize()}, {name}" for name in modules})
    access_log = tmp_path / "access.log"

    def answer(path, query="", **params):
        return ask(socket_path, path, query, **params).split("\n\n", 1)[1]

    with serving(tmp_path, build_dir, modules, mapping, "--access-log", access_log) as socket_path:
        assert answer("/times", REMOTE_USER="Ada") == "Hello, Ada. Measured so far: 0\n"
        wait_for(lambda: answer("/times", HTTP_X_REQUEST_ID="a-1") != "Hello, stranger. Measured so far: 0\n", "the end")
        wait_for(lambda: ' request="a-1" ' in access_log.read_text(), "the record")
        assert re.search(r' id=1 request="[0-9a-f]{16}-1" ', access_log.read_text())
        assert answer("/search", re.search(r"`\?(q=.*?)`", text)[1]) == blocks(text, "text")[0]
        assert [answer("/count") for _ in range(2)] == ["visit 1\n", "visit 2\n"]
        assert answer("/page", "q=x").splitlines()[:2] == ["<main>", '<p title="x">x</p>']
        assert answer("/page", "q=x").endswith("</script>\n</main>\n")
        assert answer("/page").startswith("Hello, stranger. ")
    assert (tmp_path / "visits.txt").read_text() == "2\n"
    # No function is left out of its table.
    header = (ROOT / "handlers" / "include" / "weft" / "http_utility.hpp").read_text()
    assert set(re.findall(r"^  static .*?(\w+)\(", header, re.M)) == set(re.findall(r"`(\w+)`", text[text.index("| for |"):text.index("The results")]))


def test_the_handlers_of_the_body_guide_answer_as_it_says(tmp_path, build_dir):
    text = (ROOT / "docs" / "guide" / "body.md").read_text()
    modules = dict(zip(("album", "meter", "sum"), blocks(text, "cpp"), strict=True))
    mapping = mapped(**{name: f"guide::{name.capitalize()}, {name}" for name in modules})
    (tmp_path / "www" / "album").mkdir(parents=True)

    def post(path, body, content_type):
        environment = {"PATH": os.environ["PATH"], "REQUEST_METHOD": "POST", "SCRIPT_NAME": path,
                       "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": content_type,
                       "DOCUMENT_ROOT": str(tmp_path / "www")}
        result = subprocess.run(["cgi-fcgi", "-bind", "-connect", str(socket_path)], env=environment, input=body,
                                capture_output=True, timeout=60)
        head, _, content = result.stdout.decode().partition("\n\n" if b"\n\n" in result.stdout else "\r\n\r\n")
        return head, content

    part = '--XX\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    photo = "p" * 100_000
    form = "".join((part % ("note", "", "hello"), part % ("photo", '; filename="C:\\a.jpg"', photo),
                    part % ("photo", '; filename=""', ""), part % ("PHOTO", '; filename="b.jpg"', "b"), "--XX--")).encode()
    form_type = "multipart/form-data; boundary=XX"
    with serving(tmp_path, build_dir, modules, mapping) as socket_path:
        assert post("/album", form, form_type)[1] == "note: hello\na.jpg: 100000 bytes\nb.jpg: 1 bytes\n"
        saved = sorted((tmp_path / "www" / "album").iterdir())
        assert [len(file.read_text()) for file in saved] == [100_000, 1]
        assert post("/album", b"note=a+b", "application/x-www-form-urlencoded")[1] == "note: a b\n"
        assert post("/meter", form, form_type)[1] == "note: 5\nphoto (a.jpg): 100000\nphoto (): 0\nPHOTO (b.jpg): 1\n"
        assert post("/sum", b'{"numbers": [1, 2, 3]}', "application/json")[1] == '{"sum":6.0}'
        assert post("/sum", b"{}", "application/json")[0].startswith("Status: 422")
        assert post("/sum", b"{}", "text/plain")[0].startswith("Status: 415")
        assert post("/sum", b"[" * 65 + b"]" * 65, "application/json")[0].startswith("Status: 400")
    help_text = run([build_dir / "bin" / "weft", "serve", "--help"]).stdout
    for option, value in re.findall(r"^\| `(--[a-z-]+)`.*?\| ([\d,]+) ", text, re.M):
        assert re.search(rf"{option} [A-Z]+(?:(?!Default:).)*Default:\s+{value.replace(',', '')}\w?\.", help_text, re.S), option


def test_the_handlers_of_the_files_guide_answer_as_it_says(tmp_path, build_dir):
    text = (ROOT / "docs" / "guide" / "files.md").read_text()
    www = tmp_path / "www"
    (www / "statements").mkdir(parents=True)
    (www / "statements" / "2026.txt").write_text("nothing is owed\n" * 100)

    def answer(path, query="", **params):
        return ask(socket_path, path, query, DOCUMENT_ROOT=str(www), **params)

    with serving(tmp_path, build_dir, {"files": blocks(text, "cpp")[0]}, blocks(text, "json")[0],
                 "--compression", "on") as socket_path:
        whole = answer("/statement", "year=2026")
        assert whole.endswith("\n\n-- begin --\n" + "nothing is owed\n" * 100 + "-- end --\n")
        assert "Content-Length: 1622\n" in whole and "Vary: Accept-Encoding\n" in whole
        head = answer("/statement", "year=2026", REQUEST_METHOD="HEAD")
        assert head.endswith("\n\n") and "Content-Length: 1622\n" in head
        assert answer("/statement", "year=1999").startswith("Status: 404")
        assert answer("/statement", "year=..%2Fx").startswith("Status: 400")
        head = answer("/statement", "year=2026", REQUEST_METHOD="HEAD", HTTP_ACCEPT_ENCODING="gzip")
        assert "Content-Encoding: gzip\n" in head
        assert "Content-Encoding" not in answer("/token", HTTP_ACCEPT_ENCODING="gzip")


def test_the_handler_of_the_async_guide_answers_as_it_says(tmp_path, build_dir):
    text = (ROOT / "docs" / "guide" / "async.md").read_text()
    with serving(tmp_path, build_dir, {"three": blocks(text, "cpp")[0]}, mapped(three="guide::Three, three")) as socket_path:
        assert ask(socket_path, "/three").endswith("\n\nslept\ncomputed\ncalled back\n")


def public_members(header):
    """The functions of a public header's classes that others than the host call: (class, name)."""
    owner, public, docs = None, True, ""
    for line in header.splitlines():
        if (opened := re.match(r"(?:class|struct) (?:WEFT_API )?(\w+)[^;]*{", line)):
            owner, public = opened[1], line.startswith("struct")
        elif line.startswith("}"):
            owner = None
        elif re.match(r" (?:public|private|protected):", line):
            public = line.strip() == "public:"
        elif re.match(r"\s*///", line):
            docs += line
            continue
        elif owner and public and (name := re.match(r"  (?! )[^/(]*?\b([A-Z]\w*)\(", line)):
            if name[1] != owner and not re.search(r"[Tt]he host('s| does| asks| calls)", docs):
                yield owner, name[1]
        docs = ""


def test_every_public_member_is_named_in_the_guide():
    text = "\n".join(page.read_text() for page in (ROOT / "docs" / "guide").glob("*.md"))
    # What the host implements, makes or fills.
    of_the_host = {"CallbackState", "TaskState", "HttpWorkerRequest", "IAsyncRuntime", "ServerVariableCollection", "PeerSet", "CauseName"}
    for_the_host = {"Execution", "HasRequestCompleted", "SetQueryStringText", "SwapPaths", "SetContext"}
    members = {(owner, name) for header in (ROOT / "handlers" / "include" / "weft").glob("*.hpp")
               for owner, name in public_members(header.read_text()) if owner not in of_the_host and name not in for_the_host}
    assert len(members) > 200  # or they are not found any more
    assert sorted(f"{owner}::{name}" for owner, name in members
                  if not re.search(rf"\b{name}\b", text)) == []


def test_every_cause_is_listed_and_no_other():
    names = set()
    for header in ("handlers/include/weft/cause.hpp", "mappings/mapping_table.hpp"):
        text = (ROOT / header).read_text()
        names |= set(re.findall(r'inline constexpr (?:CauseName k\w+\(|std::string_view k\w+ =)\s*"(\w+)"', text))
    assert len(names) > 20
    text = (ROOT / "docs" / "guide" / "causes.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == names


def test_every_option_that_a_document_names_exists_and_every_file_that_it_links_to(build_dir):
    help_text = "".join(run([build_dir / "bin" / "weft", command, "--help"]).stdout for command in ("serve", "modules", "check", "explain",
                                                                                           "status", "reload", "ping", "new", "recording"))
    of_other_programs = {"--prefix", "--component", "--cflags", "--libs", "--variable"}  # CMake's, pkg-config's
    of_our_scripts = {"--server", "--port", "--preset", "--test", "--help", "--version", "--build", "--install"}
    for document in DOCUMENTS:
        text = document.read_text()
        if document.name != "benchmarks.md":
            for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - of_our_scripts - of_other_programs:
                assert re.search(rf"^  {option} ", help_text, re.M), f"{document}: {option}"
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)):
            assert (document.parent / link).exists(), f"{document}: {link}"


def test_the_handler_of_the_caching_guide_answers_as_it_says(tmp_path, build_dir):
    text = (ROOT / "docs" / "guide" / "caching.md").read_text()
    log = tmp_path / "access.log"

    def put(text, **params):
        environment = {"PATH": os.environ["PATH"], "REQUEST_METHOD": "PUT", "SCRIPT_NAME": "/note",
                       "CONTENT_LENGTH": str(len(text)), **params}
        return run(["cgi-fcgi", "-bind", "-connect", str(socket_path)], env=environment, input=text).stdout

    def status(answer):
        return int(re.match(r"Status: (\d+)", answer)[1])

    with serving(tmp_path, build_dir, {"note": blocks(text, "cpp")[0]}, blocks(text, "json")[0],
                 "--access-log", log) as socket_path:
        assert status(ask(socket_path, "/note")) == 404
        assert status(put("first")) == 428
        assert status(put("first", HTTP_IF_MATCH="*")) == 412
        assert status(put("first", HTTP_IF_NONE_MATCH="*")) == 204
        assert status(put("other", HTTP_IF_NONE_MATCH="*")) == 412
        answer = ask(socket_path, "/note")
        assert answer.endswith("\n\nfirst") and 'ETag: "v1"' in answer and "Vary: Accept-Language" in answer
        assert "Cache-Control: public, max-age=60" in answer and "Last-Modified: " in answer
        answer = ask(socket_path, "/note", HTTP_IF_NONE_MATCH='"v1"')
        assert status(answer) == 304 and answer.endswith("\n\n") and "Content-Type" not in answer
        # Two have read "v1"; the faster one wins, and the slower is told.
        assert status(put("second", HTTP_IF_MATCH='"v1"')) == 204
        assert status(put("slower", HTTP_IF_MATCH='"v1"')) == 412
        assert ask(socket_path, "/note", HTTP_IF_NONE_MATCH='"v1"').endswith("\n\nsecond")
        assert ask(socket_path, "/note", REQUEST_METHOD="HEAD").endswith("\n\n")
        assert status(ask(socket_path, "/note", HTTP_IF_MATCH='"v1"')) == 412
    assert re.findall(r" status=(\d+) .* cause=(\w+)", log.read_text()) == [
        ("404", "mapped"), ("428", "mapped"), ("412", "precondition_failed"), ("204", "mapped"),
        ("412", "precondition_failed"), ("200", "mapped"), ("304", "mapped"), ("204", "mapped"),
        ("412", "precondition_failed"), ("200", "mapped"), ("200", "mapped"), ("412", "precondition_failed")]


def test_each_test_that_the_conformance_list_names_exists():
    listed = re.findall(r"^\|[^|]*\|[^\n]*\|([^|\n]*)\|$", (ROOT / "docs" / "conformance.md").read_text(), re.M)
    named = [name for cell in listed for name in re.findall(r"`([^`]+)`", cell)]
    assert len(named) > 60
    unit = "\n".join(re.sub(r'"\s*"', "", file.read_text()) for file in (ROOT / "tests" / "unit").rglob("*.cpp"))
    integration = "\n".join(file.read_text() for file in (ROOT / "tests" / "integration").glob("test_*.py"))
    missing = [name for name in named if f'TEST_CASE("{name}")' not in re.sub(r'TEST_CASE\(\s*"', 'TEST_CASE("', unit)
               and f"def {name}(" not in integration]
    assert not missing
