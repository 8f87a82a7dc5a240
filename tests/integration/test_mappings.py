"""`weft check` and `weft explain`, and the schema for editors: what the one accepts the other accepts."""

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest

from processes import wait_for
from servers import ROOT

SCHEMA = json.loads((ROOT / "mappings" / "mapping.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
EXAMPLES = ROOT / "tests" / "mappings"
GOOD = sorted((EXAMPLES / "good").glob("*.json"))
BAD = sorted((EXAMPLES / "bad").glob("*.json"))


@pytest.fixture
def weft(installation):
    """Runs a command: weft("check", "--mappings", folder)."""
    def run(*arguments):
        return subprocess.run([installation.weft, *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
    return run


def write(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


# --- weft check ----------------------------------------------------------------------------------

# A mistake is marked, where it is to be told, by {{expected start of the sentence}}.
MISTAKES = {
    "machine.json": """{
  "httpHandlers": [
    { "add": { "name": "pages", "verb": "*", "path": "*.page", "type": "weft::StaticFileHandler" } },
    { "add": { "verb": "GET", "path": "*.one", "type":
        {{error: No class "weft::StaticFileHandlr" is built in; did you mean "weft::StaticFileHandler"?}}"weft::StaticFileHandlr" } },
    { "add": { "verb": "GET", "path": "*.two",
               "type": {{error: The module "helo" is missing; did you mean "hello"?}}"samples::Hello, helo" } },
    { "add": { "verb": "GET", "path": "*.three",
               "type": {{error: The module "hello" has no class "Hello"; did you mean "samples::Hello"?}}"Hello, hello" } },
    { "add": { "verb": "GET", "path": "*.four", "validate": false,
               "type": {{warning: The module "nowhere" is missing}}"A, nowhere" } },
    { {{warning: No request reaches this entry: it is replaced}}"add": { "verb": "GET", "path": "*.six", "type": "weft::StaticFileHandler" } },
    { "add": { "verb": "GET", "path": "*.six", "type": "weft::HttpNotFoundHandler" } }
  ]
}
""",
    "sound.example.org/mapping.json": """{
  "httpHandlers": [
    { {{warning: There is no entry with the verb "*" and the path "*.pag" to remove; did you mean the path "*.page"?}}"remove": { "verb": "*", "path": "*.pag" } },
    { "add": { "verb": "*", "path": "/a/**", "type": "weft::StaticFileHandler" } },
    { {{warning: No request reaches this entry: the one at}}"add": { "verb": "GET", "path": "/a/b.x", "type": "weft::StaticFileHandler" } },
    { {{warning: The name "pages" is also that of the entry at}}"add": { "name": "pages", "verb": "GET", "path": "*.five", "type": "weft::StaticFileHandler" } }
  ]
}
""",
    "default/mapping.json": """// Columns count characters, not bytes: äöü
{
  {{error: Unknown key "httpHandler" in a mapping file; did you mean "httpHandlers"?}}"httpHandler": [],
  "httpRuntime": { "executionTimeoutSeconds": {{error: "executionTimeoutSeconds" is 0}}0,
                   "maxRequestBytes": {{error: "maxRequestBytes" must be a number}}"1M" },
  "redirectToFolder": {{error: "redirectToFolder" must be true or false}}1,
  "defaultDocuments": ["a.html", {{error: "sub/b.html" is no name of a default document}}"sub/b.html"],
  "locations": { {{error: The location "a?" holds a character}}"a?": {}, /* ä */ {{error: The location "" is no path}}"": {} }
}
""",
    "example.org/mapping.json": """{
  "httpHandlers": [
    { "clear": { {{error: Unknown key "all" in "clear", which takes none}}"all": true } },
    { {{error: "add" has no "path"}}"add": { "verb": "GET", "type": "A" } },
    { "add": { "verb": {{error: The verb list "GET,,HEAD" has a comma}}"GET,,HEAD", "path": "*.x", "type": {{error: The type "A,,b" has more than one comma}}"A,,b" } },
    { "add": { {{error: Unknown key "vreb" in "add"; did you mean "verb"?}}"vreb": "GET", "verb": "GET", "path": "*.x", "type": "weft::StaticFileHandler" } }
  ]
}
""",
    "example.org/shop/mapping.json": '{ "httpHandlers": [] {{error: JSON syntax error}}',
}


def planted(text):
    """The text without its marks, and (line, column, expected) of each."""
    expected = []
    while match := re.search(r"\{\{((?:error|warning): .*?)\}\}", text):
        before = text[:match.start()]
        expected.append((before.count("\n") + 1, match.start() - before.rfind("\n"), match[1]))
        text = before + text[match.end():]
    return text, expected


def told(line):
    """FILE, LINE, COLUMN and what follows, of a line that an editor makes clickable."""
    file, line_number, column, text = re.fullmatch(r"(.*?):(\d+):(\d+): (.*)", line).groups()
    return file, int(line_number), int(column), text


def test_every_planted_mistake_is_told_at_its_place(weft, installation, tmp_path):
    expected = []
    for path, marked in MISTAKES.items():
        text, places = planted(marked)
        write(tmp_path, {path: text})
        expected += [(str(tmp_path / path), *place) for place in places]
    assert len(expected) >= 20
    result = weft("check", "--mappings", tmp_path, "--modules", installation.modules)
    assert (result.returncode, result.stderr) == (1, "")
    problems = [told(line) for line in result.stdout.splitlines()]
    assert [problem[:3] for problem in problems] == sorted(place[:3] for place in expected)
    for problem, place in zip(problems, sorted(expected), strict=True):
        assert problem[3].startswith(place[3])

    as_json = weft("check", "--mappings", tmp_path, "--modules", installation.modules, "--format", "json")
    assert as_json.returncode == 1
    assert [(p["file"], p["line"], p["column"], f'{p["severity"]}: {p["message"]}')
            for p in json.loads(as_json.stdout)] == problems


def test_warnings_alone_are_no_failure_and_silence_is_soundness(weft, installation, tmp_path):
    write(tmp_path, {"machine.json": '{"httpHandlers": [{"remove": {"verb": "*", "path": "*.q"}}]}'})
    result = weft("check", "--mappings", tmp_path)
    assert result.returncode == 0 and ":1:20: warning: There is no entry" in result.stdout
    sample = weft("check", "--mappings", installation.mappings, "--modules", installation.modules)
    assert (sample.returncode, sample.stdout, sample.stderr) == (0, "", "")
    sample = weft("check", "--mappings", installation.mappings, "--modules", installation.modules, "--format", "json")
    assert (sample.returncode, json.loads(sample.stdout)) == (0, [])


def test_what_a_module_prints_or_does_as_it_is_loaded_leaves_the_list_as_it_is(weft, installation, tmp_path):
    write(tmp_path, {"m/machine.json": '{"httpHandlers": [{"add": {"verb": "*", "path": "*.q", "type": "A, odd"}}]}'})
    (tmp_path / "modules").mkdir()
    source = tmp_path / "odd.cpp"
    source.write_text('#include <cstdio>\n#include <cstdlib>\n'
                      'static int ended = (std::puts("noise"), std::abort(), 0);\n')
    subprocess.run(["c++", "-shared", "-fPIC", source, "-o", tmp_path / "modules" / "odd.so"], check=True, timeout=60)
    result = weft("check", "--mappings", tmp_path / "m", "--modules", tmp_path / "modules", "--format", "json")
    [problem] = json.loads(result.stdout)
    assert result.returncode == 1 and "SIGABRT" in problem["message"] and problem["line"] == 1


@pytest.mark.parametrize("arguments", [["check", "x"], ["check", "--format", "xml"], ["check", "--listen", "fd:0"],
                                       ["explain"], ["explain", "GET", "/", "/"], ["explain", "example.org/"],
                                       ["explain", "/%4"], ["explain", "ftp://h/"], ["explain", "http:///a"]])
def test_wrong_usage_is_64_and_one_line(weft, arguments):
    result = weft(*arguments)
    assert result.returncode == 64 and result.stdout == ""
    assert result.stderr.startswith("weft: ") and result.stderr.count("\n") == 1


# --- weft explain --------------------------------------------------------------------------------

SITE = {
    "mappings/machine.json": """{ "httpRuntime": { "maxRequestBytes": 1000 },
  "httpHandlers": [ { "clear": {} },
    { "add": { "verb": "GET,HEAD", "path": "*.page", "type": "samples::Hello, hello", "name": "pages" } } ] }
""",
    "mappings/default/mapping.json": """{ "locations": { "big/up.page": { "httpRuntime": { "maxUrlBytes": 20 } } },
  "httpHandlers": [
    { "add": { "verb": "PUT", "path": "/files/*", "type": "weft::HttpNotFoundHandler", "resourceType": "file" } },
    { "add": { "verb": "*", "path": "/gone", "type": "A, nowhere", "validate": false } } ] }
""",
    "mappings/example.org/mapping.json": """{ "httpHandlers": [
    { "add": { "verb": "*", "path": "*", "type": "weft::HttpMethodNotAllowedHandler" } },
    { "add": { "verb": "*", "path": "*.async", "type": "samples::HelloAsync, hello" } } ] }
""",
    "www/folder/index.html": "", "www/files/a": "", "www/index.page": "",
}


@pytest.fixture
def explain(weft, installation, tmp_path):
    """What becomes of a URL in the site above: (exit code, the object printed)."""
    write(tmp_path, SITE)

    def run(*arguments, code):
        result = weft("explain", "--mappings", tmp_path / "mappings", "--modules", installation.modules,
                      "--format", "json", *arguments)
        assert (result.returncode, result.stderr) == (code, "")
        return json.loads(result.stdout)
    run.root = ("--document-root", tmp_path / "www")
    run.folder = tmp_path / "mappings"
    return run


def results(explained):
    return [(tried["path"], tried["result"]) for tried in explained["tried"]]


def test_a_url_is_explained(explain):
    told = explain("/a/b.page/tail?x=1", code=0)
    assert (told["status"], told["cause"]) == (200, "mapped")
    assert told["entry"] == {"name": "pages", "verb": "GET,HEAD", "path": "*.page", "type": "samples::Hello, hello",
                             "maxRequests": None, "file": str(explain.folder / "machine.json"), "line": 3}
    assert (told["filePath"], told["pathInfo"], told["allow"]) == ("/a/b.page", "/tail", "")
    assert results(told) == [("/files/*", "path"), ("/gone", "path"), ("*.page", "chosen")]
    assert told["chain"] == [{"file": "<built-in defaults>", "location": None},
                             {"file": str(explain.folder / "machine.json"), "location": None},
                             {"file": str(explain.folder / "default" / "mapping.json"), "location": None}]
    assert told["handler"] == {"class": "samples::Hello", "module": "hello", "lifetime": "instance", "runsOn": "pool",
                               "body": "buffered", "error": None}
    assert told["limits"]["maxRequestBytes"] == {"value": 1000, "file": str(explain.folder / "machine.json"),
                                                 "line": 1, "option": None}
    assert told["limits"]["executionTimeoutSeconds"]["value"] == 110
    assert told["limits"]["responseBufferBytes"]["option"] == "--output-buffer-bytes"
    assert told["limits"]["slowLogThresholdMs"] == {"value": 0, "file": None, "line": None, "option": "--slow-log-threshold"}


def test_the_sections_of_a_folder_are_named_and_their_content_is_not_told(explain, weft):
    write(explain.folder, {"default/mapping.json": """{
  "sections": { "shop": { "password": "hidden" }, "gone": 1, "\\u009b": 1 },
  "locations": { "a": {
    "sections": { "gone": null, "shop": "hidden" } } } }
"""})
    place = str(explain.folder / "default" / "mapping.json")
    told = explain("/x.page", code=0)["sections"]
    assert {name: section["line"] for name, section in told.items()} == {"shop": 2, "gone": 2, "\u009b": 2}
    assert explain("/a/b.page", code=0)["sections"]["shop"] == {"file": place, "line": 4}
    text = weft("explain", "--mappings", explain.folder, "/a/b.page").stdout
    assert f"sections:\n  shop  {place}:4\n" in text
    assert "hidden" not in text and "gone" not in text and "\u009b" not in text


def test_every_outcome_has_its_status_and_exit_code(explain):
    told = explain("POST", "/b.page", code=5)
    assert (told["status"], told["allow"], told["entry"], told["handler"]) == (405, "GET, HEAD", None, None)
    assert results(told)[-1] == ("*.page", "verb")
    assert explain("/none", code=4)["status"] == 404
    told = explain("/a/../../b", code=6)
    assert (told["status"], told["cause"], told["tried"], told["filePath"]) == (400, "path_above_root", [], "")
    assert explain("GE T", "/b.page", code=6)["cause"] == "method_malformed"
    told = explain("/big/up.page/and/more/and/more", code=6)
    assert (told["status"], told["cause"]) == (414, "url_too_long")
    assert told["limits"]["maxUrlBytes"]["line"] == 1 and told["chain"][-1]["location"] == "big/up.page"
    assert explain("POST", "/big/up.page/and/more/and/more", code=6)["allow"] == ""


def test_the_host_picks_the_site_and_a_refusal_that_is_an_entry_is_405_too(explain):
    told = explain("PUT", "http://Example.org:8080/a.page", code=5)
    assert (told["status"], told["entry"]["type"], told["allow"]) == (405, "weft::HttpMethodNotAllowedHandler", "")
    assert told["chain"][-1]["file"].endswith("example.org/mapping.json")


def test_the_disk_is_asked_where_there_is_a_document_root(explain):
    assert results(explain("PUT", "/files/a", code=4))[0] == ("/files/*", "resourceType")
    assert explain("PUT", "/files/a", *explain.root, code=0)["entry"]["path"] == "/files/*"
    told = explain("/folder?x", *explain.root, code=3)
    assert (told["status"], told["location"], told["entry"]) == (301, "/folder/?x", None)
    assert explain("/folder", code=4)["status"] == 404
    told = explain("/folder/", *explain.root, code=4)
    assert told["defaultDocument"] == told["filePath"] == "/folder/index.html"


def test_a_class_that_cannot_be_used_is_explained_as_such(explain):
    told = explain("/gone", code=7)
    assert (told["status"], told["cause"], told["entry"]["path"]) == (500, "handler_type_unknown", "/gone")
    assert told["handler"]["lifetime"] is None and 'module "nowhere" is missing' in told["handler"]["error"]
    place = f"{explain.folder}/default/mapping.json:4:"
    assert told["detail"].startswith(place) and told["detail"].endswith(told["handler"]["error"])


# What a file says, and what is told of it: status, cause, line, column, class, error.
WEB_HANDLERS = {
    "good.ashx": ('<%@ WebHandler Class="samples::HelloAsync, hello" %>', 200, "mapped", 1, 23, "samples::HelloAsync", None),
    "two/lines.do": ('\n<%@ WebHandler\n Class="samples::Hello, hello" %>', 200, "mapped", 3, 9, "samples::Hello", None),
    "misspelt.ashx": ('<%@ WebHandler Class="Hello, hello" %>', 500, "handler_file_invalid", 1, 23, "Hello",
                      'The module "hello" has no class "Hello"; did you mean "samples::Hello"?'),
    "factory.ashx": ('<%@ WebHandler Class="weft::SimpleHandlerFactory" %>', 500, "handler_file_invalid", 1, 23,
                     "weft::SimpleHandlerFactory",
                     'The class "weft::SimpleHandlerFactory" is a factory, which no file can name; map it with an "add".'),
    "type.ashx": ('<%@ WebHandler Class="a,,b" %>', 500, "handler_file_invalid", 1, 23, None,
                  'The type "a,,b" has more than one comma. Write "Class, module".'),
    "source.ashx": ('<%@ WebHandler Class="A" %>\nclass A {};', 500, "handler_file_invalid", 2, 1, None,
                    "source code follows the directive: nothing is compiled here; compile it into a module, NAME.so in a "
                    'folder of --modules, and write Class="Class, NAME"'),
    "empty.ashx": ("", 500, "handler_file_invalid", 1, 1, None,
                   'the file has no WebHandler directive; the form is <%@ WebHandler Class="Class, module" %>'),
}


@pytest.fixture
def web_handlers(explain, tmp_path):
    """The files of WEB_HANDLERS in a document root of their own."""
    (explain.folder / "machine.json").write_text(
        '{"httpHandlers": [{"add": {"verb": "*", "path": "*.do", "type": "weft::SimpleHandlerFactory"}}]}')
    (explain.folder / "default" / "mapping.json").unlink()
    write(tmp_path / "files", {path: file[0] for path, file in WEB_HANDLERS.items()})
    (tmp_path / "files" / "folder.ashx").mkdir()
    return tmp_path / "files"


@pytest.mark.parametrize("path", WEB_HANDLERS)
def test_a_file_that_names_a_class_is_read_as_the_factory_reads_it(explain, web_handlers, weft, installation, path):
    _, status, cause, line, column, name, error = WEB_HANDLERS[path]
    told = explain(f"/{path}", "--document-root", web_handlers, code=0 if status == 200 else 7)
    assert (told["status"], told["cause"]) == (status, cause)
    assert told["entry"]["type"] == "weft::SimpleHandlerFactory" and told["handler"]["lifetime"] == "factory"
    web_handler = told["webHandler"]
    assert (web_handler["file"], web_handler["line"], web_handler["column"]) == (str(web_handlers / path), line, column)
    assert (web_handler["class"], web_handler["error"]) == (name, error)
    assert told["detail"] == ("" if error is None else f"{web_handlers}/{path}:{line}:{column}: {error}")
    text = weft("explain", "--mappings", explain.folder, "--modules", installation.modules, "--document-root",
                web_handlers, f"/{path}").stdout
    assert f"status:    {status} ({cause})\n" in text and f"  at         {web_handlers}/{path}:{line}:{column}\n" in text
    if error is None:
        assert (web_handler["module"], web_handler["lifetime"], web_handler["body"]) == ("hello", "instance", "buffered")
        assert web_handler["runsOn"] == ("fiber" if name.endswith("Async") else "pool")
        assert f"  class      {name}, module hello\n  lifetime   instance\n  runs       on " in text
    else:
        assert f"detail:    {web_handlers}/{path}:{line}:{column}: {error}\n" in text
        assert f"  cannot be used: {error}\n" in text


def test_the_files_that_name_a_class_are_checked(explain, web_handlers, weft, installation, tmp_path):
    wrong = '<%@ WebHandler Class="Hello, hello" %>'
    write(web_handlers, {"a/b/wrong.DO": wrong, ".git/hidden.ashx": wrong, "text.txt": wrong, "a/.b.ashx": wrong,
                         "post/only.page": wrong, "elsewhere/not.ashx": wrong})
    (web_handlers / "a" / "loop").symlink_to(web_handlers)
    (web_handlers / "link").symlink_to(web_handlers / "a" / "b")
    (web_handlers / "dangling.ashx").symlink_to("nowhere")
    write(explain.folder, {
        "default/post/mapping.json": """{"httpHandlers": [
            {"add": {"verb": "POST", "path": "*.page", "type": "weft::SimpleHandlerFactory"}},
            {"add": {"verb": "*", "path": "*.page", "type": "weft::HttpNotFoundHandler"}}]}""",
        "default/elsewhere/mapping.json": '{"httpHandlers": [{"clear": {}}]}',
        "example.org/mapping.json": '{"httpHandlers": [{"clear": {}}]}',
        "example.net/mapping.json": '{"httpHandlers": [{"remove": {"verb": "*", "path": "*.ashx"}}]}'})
    options = ("check", "--mappings", explain.folder, "--modules", installation.modules, "--document-root", web_handlers)
    result = weft(*options)
    assert (result.returncode, result.stderr) == (1, "")
    sentence = WEB_HANDLERS["misspelt.ashx"][6]
    expected = [(path, line, column, error) for path, (_, status, _, line, column, _, error) in WEB_HANDLERS.items()
                if status != 200]
    expected += [(path, 1, 23, sentence) for path in ("a/.b.ashx", "a/b/wrong.DO", "link/wrong.DO", "post/only.page")]
    assert sorted(told(line) for line in result.stdout.splitlines()) == sorted(
        (f"{web_handlers}/{path}", line, column, f"error: {error}") for path, line, column, error in expected)
    as_json = json.loads(weft(*options, "--format", "json").stdout)
    assert [f'{p["file"]}:{p["line"]}:{p["column"]}: {p["severity"]}: {p["message"]}' for p in as_json] == \
        result.stdout.splitlines()

    # Of another site other files are for the factory.
    assert (weft(*options, "--host", "example.org").returncode, weft(*options, "--host", "example.org").stdout) == (0, "")
    assert {told(line)[0] for line in weft(*options, "--host", "Example.net").stdout.splitlines()} == {
        f"{web_handlers}/a/b/wrong.DO", f"{web_handlers}/link/wrong.DO"}
    # A site without its files would be a check of nothing.
    alone = weft(*options[:-2], "--host", "example.org")
    assert alone.returncode == 64 and "--document-root" in alone.stderr
    # Where the mappings are wrong, which files they are for is not known; a root that is none is told.
    result = weft(*options, "--document-root", web_handlers / "none")
    assert result.returncode == 64
    options = options[:-1]
    for root in (web_handlers / "none", web_handlers / "text.txt"):
        result = weft(*options, root)
        assert result.returncode == 1 and result.stdout.startswith(f"{root}: error: This must be the folder of the site's files")
    write(explain.folder, {"machine.json": "{"})
    assert [told(line)[0] for line in weft(*options, web_handlers).stdout.splitlines()] == [f"{explain.folder}/machine.json"]


def test_a_file_that_is_none_is_explained_by_its_cause(explain, web_handlers, tmp_path):
    root = ("--document-root", web_handlers)
    for path, cause in (("/none.ashx", "file_not_found"), ("/folder.ashx", "not_a_file")):
        told = explain(path, *root, code=4)
        assert (told["status"], told["cause"], told["webHandler"]["line"]) == (404, cause, None)
        assert told["entry"]["type"] == "weft::SimpleHandlerFactory"
    told = explain("/good.ashx", code=0)
    assert told["webHandler"] is None and told["handler"]["lifetime"] == "factory"
    write(tmp_path, {"files/index.ashx": '<%@ WebHandler Class="Nobody" %>'})
    told = explain("/", *root, code=7)
    assert told["defaultDocument"] == "/index.ashx" and told["webHandler"]["column"] == 23


def test_a_file_that_names_a_class_is_explained_as_it_is_served(explain, web_handlers, start):
    host = start(mappings=explain.folder)
    for path in [*WEB_HANDLERS, "none.ashx", "folder.ashx"]:
        answer = host.get(f"/{path}", DOCUMENT_ROOT=str(web_handlers), SCRIPT_FILENAME=f"{web_handlers}/{path}")
        codes = {200: 0, 404: 4, 500: 7}
        told = explain(f"/{path}", "--document-root", web_handlers, code=codes[answer.status])
        assert told["status"] == answer.status
        wait_for("its detail in the log", lambda detail=told["detail"]: detail in host.log.read_text())


def test_a_fiber_is_told_from_a_thread(explain, weft, installation, tmp_path):
    site = tmp_path / "mappings" / "example.org" / "mapping.json"
    site.write_text('{"httpHandlers": [{"add": {"verb": "*", "path": "*.async", "type": "samples::HelloAsync, hello"}}]}')
    assert explain("http://example.org/a.async", code=0)["handler"]["runsOn"] == "fiber"
    text = weft("explain", "--mappings", tmp_path / "mappings", "--modules", installation.modules, "/a.page")
    assert "disk:      nothing exists: --document-root was not given" in text.stdout
    assert "  runs       on a thread of the pool, the body read whole before\n" in text.stdout
    assert f"  maxRequestBytes         1000  {explain.folder}/machine.json:1\n" in text.stdout


def test_wrong_mappings_are_told_and_nothing_is_explained(weft, tmp_path):
    write(tmp_path, {"machine.json": "{"})
    result = weft("explain", "--mappings", tmp_path, "/")
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith(f"{tmp_path}/machine.json:1:2: error: ")


def test_it_is_explained_as_it_is_served(explain, start, installation):
    """The same requests to a host: their status, and where a class of ours answers, its answer."""
    host = start(mappings=explain.folder)
    requests = [("GET", "/a/b.page"), ("GET", "/a/b.page/tail"), ("POST", "/a.page"), ("GET", "/none"),
                ("GET", "/big/up.page/and/more/and/more"), ("GET", "/folder"), ("GET", "/folder/"), ("PUT", "/files/a")]
    codes = {200: 0, 301: 3, 404: 4, 405: 5, 414: 6}
    for method, path in requests:
        status = host.get(path, method=method, DOCUMENT_ROOT=str(explain.root[1]),
                          SCRIPT_FILENAME=f"{explain.root[1]}{path}").status
        if path == "/files/a":
            assert status == 404  # of the handler that is found
            status = 200
        assert explain(method, path, *explain.root, code=codes[status])["status"] == status, path


# --- The schema ----------------------------------------------------------------------------------

def without_comments(text):
    """The text as JSON has it: what stands in strings is no comment."""
    return re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', lambda match: match[1] or " ", text, flags=re.S)


def schema_accepts(text):
    try:
        document = json.loads(without_comments(text))
    except ValueError:
        return False
    return VALIDATOR.is_valid(document)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert len(GOOD) > 5 and len(BAD) > 50


@pytest.mark.parametrize("example", GOOD, ids=lambda path: path.stem)
def test_a_good_example_has_no_error_by_schema_and_loader(weft, example, tmp_path):
    write(tmp_path, {"default/mapping.json": example.read_text()})
    result = weft("check", "--mappings", tmp_path)
    assert result.returncode == 0, result.stdout
    assert schema_accepts(example.read_text())


@pytest.mark.parametrize("example", BAD, ids=lambda path: path.stem)
def test_a_bad_example_is_refused_by_the_loader_and_by_the_schema_where_that_can_tell(weft, example, tmp_path):
    """Its head says: `// expect: LINE:COLUMN: what is told`, `// schema: refuses` or `accepts`, and `// file: NAME` where
    it is not a mapping.json."""
    text = example.read_text()
    head = dict(re.findall(r"^// (expect|schema|file): (.*)$", text, re.M))
    assert head["schema"] in ("refuses", "accepts")
    file = tmp_path / head.get("file", "default/mapping.json")
    write(tmp_path, {file: text})
    result = weft("check", "--mappings", tmp_path)
    assert result.returncode == 1
    [line] = result.stdout.splitlines()
    assert line.startswith(f'{file}:{head["expect"]}')
    assert schema_accepts(text) == (head["schema"] == "accepts")


def test_all_mapping_files_of_the_repository_are_good(weft, installation):
    samples = sorted((ROOT / "handlers" / "samples").rglob("m*.json"))
    assert len(samples) >= 3
    for sample in samples:
        assert schema_accepts(sample.read_text()), sample
    defaults = re.search(r'R"json\((.*?)\)json"', (ROOT / "mappings" / "machine_defaults.cpp").read_text(), re.S)[1]
    assert schema_accepts(defaults)
    for document in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for block in re.findall(r"^```jsonc?\n(.*?)^```$", document.read_text(), re.M | re.S):
            if "httpHandlers" in block:
                assert schema_accepts(block), document


TEXTS = ["", " ", "\t", "\n", "a", "A", "a\n", "\na", " a ", "a b", "*", "?", "**", "*.x", "a,b", "a, b", ",", "a,", ",a",
         "a,,b", "a;b", "a/b", "/a", "a/", "/", "//", "a//b", ".", "..", "...", ".a", "a.", "./a", "a/.", "a/..", "a/.b",
         "a/ /b", " /a", "a\\b", "a\u0000", "a\u001f", "a\u007f", "a\u0085", "a\u2028", "ä", "\U0001f600", "a:b", "a::b",
         "::a", "a::", "a:::b", "a::b::c_1", "1a", "a-b", "a b, c", "a , b", "a, b ", "a,b.so", "a,b.so.1", "a,.b", "a,-b",
         "a,b-", "a,b..c", "a,b/c", "a,b+c", "a,1", "a,_", "a,ä", "a,b\n", "a\n,b", "a\t,\tb", "a<b", "a|b", "a\"b", "~/a",
         "!#$%&'+-.^_`~", "a(b", "a@b", "G ET", "x" * 128, "x" * 129, "x" * 252, "a," + "x" * 252, "a," + "x" * 253,
         "x" * 1024, "x" * 1025, "x " * 1024, "x,".rstrip(",") * 1024 + ",y"]
NUMBERS = ["0", "-0", "1", "-1", "0.0", "1.0", "1.5", "1e2", "1E+2", "1e-2", "100e-2", "86400", "86401", "1073741824",
           "1073741825", "9007199254740991", "9007199254740992", "9007199254740991.0", "18446744073709551616", "1e400",
           "true", "null", "\"1\"", "[]"]


def cases():
    """Mapping files, each with one odd value."""
    for text in map(json.dumps, TEXTS):
        def add(verb='"*"', path='"*.x"', type_text='"A"', more=""):
            return ('{"httpHandlers": [{"add": {"validate": false, "verb": %s, "path": %s, "type": %s%s}}]}'
                    % (verb, path, type_text, more))
        yield add(verb=text)
        yield add(path=text)
        yield add(type_text=text)
        yield add(more=', "name": ' + text)
        yield add(more=', "resourceType": ' + text)
        yield '{"httpHandlers": [{"remove": {"verb": %s, "path": "a"}}]}' % text
        yield '{"httpHandlers": [{"remove": {"verb": "a", "path": %s}}]}' % text
        yield '{"defaultDocuments": [%s]}' % text
        yield '{"locations": {%s: {}}}' % text
        yield '{"$schema": %s}' % text
        yield '{%s: {}}' % text
    for number in NUMBERS:
        for name in SCHEMA["$defs"]["httpRuntime"]["properties"]:
            yield '{"httpRuntime": {"%s": %s}}' % (name, number)
        for name in SCHEMA["properties"]:
            yield '{"%s": %s}' % (name, number)


def test_schema_and_loader_agree_on_odd_values(weft, tmp_path):
    # Each file is a site of its own: one run tells of all.
    files = {f"s{number}/mapping.json": text for number, text in enumerate(cases())}
    write(tmp_path, files)
    result = weft("check", "--mappings", tmp_path, "--format", "json")
    refused = {Path(problem["file"]).parent.name for problem in json.loads(result.stdout)
               if problem["severity"] == "error"}
    assert len(refused) > 100
    disagreed = [(path, text[:100], "schema accepts" if schema_accepts(text) else "loader accepts")
                 for path, text in files.items() if schema_accepts(text) == (Path(path).parent.name in refused)]
    assert disagreed == []
