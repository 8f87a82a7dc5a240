"""`--document-root-mappings`: mapping files beside the pages, live, behind real web servers, and never served."""

import dataclasses
import json
import shutil
import subprocess

import pytest

import servers
from host import says_hello
from http_client import Exchange
from mapping_files import HELLO, mapping
from processes import wait_for
from test_reload import REFUSED, both, lines_with, statuses, wait_for_refusals, wait_until


def relative(**paths):
    """The text of a mapping file: the type for each path, which matches in every folder below."""
    return json.dumps({"httpHandlers": [{"add": {"verb": "*", "path": path.replace("_", "."), "type": type_text}}
                                        for path, type_text in paths.items()]})


@pytest.fixture
def www(run_dir):
    """A document root of this test's own."""
    folder = run_dir / "www"
    (folder / "shop").mkdir(parents=True)
    (folder / "index.html").write_text("<p>front page</p>\n")
    (folder / "shop" / "page.ashx").write_text("no directive: the mapping alone says who answers\n")
    return folder


# --- Behind real web servers -------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["lighttpd-spawn", "lighttpd-socket"])
def test_a_file_beside_the_pages_is_reloaded_live_and_never_served(processes, installation, www, server):
    options = [f"document-root-mappings = {www}"]
    site = servers.ALL[server](processes, dataclasses.replace(installation, document_root=www), options)
    file = www / "shop" / "mapping.json"

    def answer(target="/shop/page.ashx"):
        return site.request("GET", target)

    assert answer().status == 500  # of the .ashx file, which says nothing
    file.write_text(relative(page_ashx=HELLO))
    wait_for("the file that was added", lambda: says_hello(answer()))
    for target in ("/shop/mapping.json", "/shop/mapping.json/tail", "/shop/%6dapping.json"):
        assert answer(target).status in (403, 404)
    assert answer("/index.html").status == 200

    file.write_text(relative(page_ashx="weft::HttpNotFoundHandler"))
    wait_for("the file that was changed", lambda: answer().status == 404)
    file.unlink()
    wait_for("the end of the file that was removed", lambda: answer().status == 500)


@pytest.mark.parametrize("server", [name for name, site in servers.ALL.items()
                                    if site.is_web_server and name != "nginx-no-keep-conn"])
def test_no_web_server_of_ours_gives_out_a_mapping_file(processes, installation, www, server):
    for folder in (www, www / "shop"):
        (folder / "mapping.json").write_text('{ "$schema": "not for the public" }')
        (folder / "notes.json").write_text("for the public")
    site = servers.ALL[server](processes, dataclasses.replace(installation, document_root=www))
    for folder in ("", "/shop"):
        for name in ("/mapping.json", "/mapping.json/", "/mapping.json/tail", "/%6Dapping.json", "//mapping.json",
                     "/./mapping.json", "/mapping.json?x", "/mapping.json%2f"):
            with Exchange(site.port, "GET", folder + name, (), None, False, 30.0) as exchange:
                response = exchange.response()
            assert response.status in (400, 403, 404), name
            assert b"not for the public" not in response.body
        if server != "haproxy":  # which is no file server
            assert site.request("GET", f"{folder}/notes.json").body == b"for the public"


# --- Weft itself -------------------------------------------------------------------------------------------


def roots(www, **hosts):
    options = ["--document-root-mappings", www]
    for host, folder in hosts.items():
        options += ["--document-root-mappings", f"{host.replace('_', '.')}={folder}"]
    return options


def test_weft_itself_forbids_the_file(start, www, mappings):
    (www / "shop" / "mapping.json").write_text(relative(x=HELLO))
    host = start(*roots(www), mappings=mappings)
    for path in ("/mapping.json", "/shop/mapping.json", "/shop/Mapping.JSON", "/shop/mapping.json/tail"):
        response = host.get(path, DOCUMENT_ROOT=str(www), SCRIPT_NAME=path, SCRIPT_FILENAME=f"{www}{path}")
        assert response.status == 403 and b"httpHandlers" not in response.body, path


@both
def test_files_and_folders_that_come_change_and_go_take_effect(start, www, mappings, workers):
    host = start(*roots(www), workers=workers, mappings=mappings)
    assert statuses(host, "/shop/new") == {404}
    file = www / "shop" / "mapping.json"
    file.write_text(relative(new=HELLO))
    wait_until(host, "/shop/new", 200)
    assert statuses(host, "/a") == {200} and statuses(host, "/new") == {404}
    file.write_text(relative(newer=HELLO))
    wait_until(host, "/shop/newer", 200)
    assert statuses(host, "/shop/new") == {404}
    deep = www / "later" / "and" / "deeper"
    deep.mkdir(parents=True)
    (deep / "mapping.json").write_text(relative(deep=HELLO))
    wait_until(host, "/later/and/deeper/deep", 200)
    shutil.rmtree(www / "later")
    wait_until(host, "/later/and/deeper/deep", 404)
    file.unlink()
    wait_until(host, "/shop/newer", 404)
    assert lines_with(host, REFUSED) == []


def test_what_is_no_mapping_file_reloads_nothing(start, www, mappings):
    host = start("--reload-interval", "10ms", *roots(www), mappings=mappings)
    assert statuses(host, "/a") == {200}
    for number in range(20):
        folder = www / f"upload{number}"
        folder.mkdir()
        (folder / "file").write_text("bytes")
    (www / "gone").symlink_to("nowhere")
    # A change that does count comes after them, and is the one reload.
    (mappings / "default" / "mapping.json").write_text(mapping(b=HELLO))
    wait_until(host, "/b", 200)
    assert len(lines_with(host, "the mappings were reloaded")) == 1


@both
def test_a_bad_file_is_refused_by_name_and_the_old_table_serves_on(start, www, mappings, workers):
    file = www / "shop" / "mapping.json"
    file.write_text(relative(x=HELLO))
    host = start(*roots(www), workers=workers, mappings=mappings)
    assert statuses(host, "/shop/x") == {200}
    file.write_text('{\n  "httpHandler": []\n}')
    wait_for_refusals(host, 1)
    wait_for("its place", lambda: lines_with(host, f'{file}:2:3: error: Unknown key "httpHandler"'))
    # All or nothing: a sound file elsewhere waits for it.
    (mappings / "default" / "mapping.json").write_text(mapping(b=HELLO))
    wait_for_refusals(host, 2)
    assert statuses(host, "/shop/x") | statuses(host, "/a") == {200}
    file.write_text(relative(y=HELLO))
    wait_until(host, "/shop/y", 200)
    wait_until(host, "/b", 200)


def test_it_may_not_take_away_what_is_locked_above(start, www, mappings):
    (mappings / "default" / "mapping.json").write_text(json.dumps({"httpHandlers": [
        {"add": {"verb": "*", "path": "/a", "type": HELLO, "lock": True}}]}))
    host = start(*roots(www), mappings=mappings)
    assert statuses(host, "/a") == {200}  # it has read them
    (www / "mapping.json").write_text('{"httpHandlers": [{"clear": {}}]}')
    wait_for_refusals(host, 1)
    assert lines_with(host, f"{www}/mapping.json:1:20: error: This directive would take away")
    assert statuses(host, "/a") == {200}


def test_each_host_has_its_own_root_and_needs_no_folder_of_mappings(processes, installation, run_dir, www):
    other = run_dir / "other"
    other.mkdir()
    (www / "mapping.json").write_text(mapping(mine=HELLO))
    (other / "mapping.json").write_text(mapping(yours=HELLO))
    address = f"unix:{run_dir}/weft.sock"
    process = processes.start("weft", [installation.weft, "serve", "--listen", address, "--workers", 0, "--modules",
                                       installation.modules, *roots(www, other_example=other)])
    wait_for("the socket", lambda: servers.fcgi.accepts(address))

    def answer(path, host):
        variables = servers.fcgi.variables(www, "GET", path, HTTP_HOST=host, SCRIPT_NAME=path)
        return servers.fcgi.exchange(address, variables).status

    assert [answer(path, host) for host in ("any.example", "Other.example:80") for path in ("/mine", "/yours")] == [
        200, 404, 404, 200]
    (other / "mapping.json").write_text(mapping(mine=HELLO, yours=HELLO))
    wait_for("the change", lambda: answer("/mine", "other.example") == 200)
    process.send_signal(1)
    wait_for("a reload by hand", lambda: (run_dir / "weft.log").read_text().count("mappings were reloaded") >= 2)
    assert processes.stop(process) == 0


@pytest.mark.parametrize("missing", ["nowhere", "www/index.html"])
def test_a_root_that_is_none_refuses_the_start(installation, run_dir, www, missing):
    result = subprocess.run([installation.weft, "serve", "--listen", f"unix:{run_dir}/s", "--workers", "0",
                             *roots(run_dir / missing)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 78
    assert result.stderr.splitlines()[0].startswith(f"{run_dir}/{missing}: error: ")


def test_check_and_explain_read_the_same_files(installation, www, mappings):
    (www / "shop" / "mapping.json").write_text(relative(x=HELLO))
    (www / "shop" / "index.html").write_text("")
    (mappings / "default" / "shop").mkdir()
    (mappings / "default" / "shop" / "mapping.json").write_text("{}")

    def run(command, *arguments):
        return subprocess.run([installation.weft, command, "--mappings", mappings, "--modules", installation.modules,
                               *roots(www), "--format", "json", *arguments],
                              capture_output=True, text=True, timeout=60)

    told = json.loads(run("explain", "/shop/x").stdout)
    assert [level["file"] for level in told["chain"]] == [
        "<built-in defaults>", f"{mappings}/default/mapping.json", f"{mappings}/default/shop/mapping.json",
        f"{www}/shop/mapping.json"]
    assert told["entry"]["file"] == f"{www}/shop/mapping.json" and told["documentRoot"] == str(www)
    # The disk is looked at where the option says, unless the request has another root.
    assert json.loads(run("explain", "/shop").stdout)["status"] == 301
    told = json.loads(run("explain", "--document-root", mappings, "/shop").stdout)
    assert (told["status"], told["documentRoot"]) == (200, str(mappings))
    (mappings / "own.example").mkdir()
    assert json.loads(run("explain", "http://own.example/shop").stdout)["documentRoot"] is None
    (www / "shop" / "page.ashx").unlink()
    assert (run("check").returncode, run("check").stdout.strip()) == (0, "[]")
    (www / "shop" / "a.ashx").write_text('<%@ WebHandler Class="None, hello" %>')
    assert [(p["file"], p["line"], p["column"]) for p in json.loads(run("check").stdout)] == [(f"{www}/shop/a.ashx", 1, 23)]
    assert json.loads(run("check", "--document-root", mappings).stdout) == []
    (www / "shop" / "mapping.json").write_text('{ "x": 1 }')
    result = run("check")
    assert result.returncode == 1
    assert [(problem["file"], problem["line"], problem["column"]) for problem in json.loads(result.stdout)] == [
        (f"{www}/shop/mapping.json", 1, 3)]
    assert run("explain", "/").returncode == 1
