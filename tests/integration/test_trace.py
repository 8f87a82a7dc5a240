"""weft::TraceHandler: what it keeps of requests, who may see it, and its pages in a real browser."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import urllib.parse

import pytest

import fcgi
import servers
from devtools import DevTools
from processes import wait_for

SCRIPT = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
MAPPING = {
    "httpHandlers": [
        {"add": {"verb": "*", "path": "/trace.ashx", "type": "weft::TraceHandler", "name": "trace"}},
        {"add": {"verb": "GET,HEAD", "path": "/hello", "type": "samples::Hello, hello", "name": "hello"}},
    ]
}


@pytest.fixture
def mappings(run_dir):
    folder = run_dir / "mappings"
    (folder / "default").mkdir(parents=True)
    (folder / "default" / "mapping.json").write_text(json.dumps(MAPPING, indent=2))
    return folder


@pytest.fixture
def start_traced(start, mappings):
    def start_host(*options, trace=100, **more):
        return start("--trace", trace, *options, mappings=mappings, **more)
    return start_host


def traces(host, query="", **more):
    response = host.get(f"/trace.ashx?format=json{query}", **more)
    assert response.status == 200, response
    return json.loads(response.body)


def listed(host, query=""):
    return traces(host, query)["requests"]


def trace_of(host, path):
    """All that is kept of the last request for `path`."""
    found = wait_for(f"a trace of {path}",
                     lambda: [trace for trace in listed(host) if trace["url"].partition("?")[0] == path])
    return traces(host, f"&id={found[0]['id']}")


# --- What is kept --------------------------------------------------------------------------------------


def test_a_request_is_told_with_its_steps_its_mapping_and_its_fields(start_traced, mappings):
    host = start_traced()
    assert host.get("/hello?a=b", HTTP_X_REQUEST_ID="mine", HTTP_ACCEPT_LANGUAGE="de").status == 200
    trace = trace_of(host, "/hello")
    assert (trace["method"], trace["url"], trace["status"]) == ("GET", "/hello?a=b", 200)
    assert (trace["outcome"], trace["cause"], trace["client"]) == ("completed", "mapped", "127.0.0.1")
    assert trace["handler"] == "samples::Hello" and trace["entry"] == "hello"
    file = str(mappings / "default" / "mapping.json")
    assert trace["where"].startswith(f"{file}:")
    assert trace["worker"] == host.process.pid and trace["request"]
    steps = [step["step"] for step in trace["steps"]]
    assert steps == ["parse", "admission", "mapping", "lease", "body", "queue", "handler", "end"]
    # Each begins where the one before it ends, and together they are the request.
    for before, after in zip(trace["steps"], trace["steps"][1:]):
        assert after["fromMs"] == pytest.approx(before["fromMs"] + before["ms"])
    last = trace["steps"][-1]
    assert last["fromMs"] + last["ms"] <= trace["ms"]
    assert ["HTTP_ACCEPT_LANGUAGE", "de"] in trace["parameters"]
    assert ["Content-Type", "text/plain; charset=utf-8"] in trace["responseHeader"]
    mapping = trace["mapping"]
    assert mapping["same"] and mapping["cause"] == "mapped" and mapping["filePath"] == "/hello"
    assert file in mapping["chain"]
    assert [(tried["entry"], tried["chosen"]) for tried in mapping["tried"]] == [
        ("* /trace.ashx", False), ("GET,HEAD /hello", True)]
    assert mapping["tried"][1]["where"] == trace["where"]


def test_what_went_wrong_is_told_with_what_was_logged(start_traced):
    host = start_traced()
    assert host.get("/nothing").status == 404
    trace = trace_of(host, "/nothing")
    assert (trace["status"], trace["outcome"], trace["cause"]) == (404, "completed", "file_not_found")
    assert "No such file" in trace["error"] and trace["entry"] == "static"
    assert [line["level"] for line in trace["lines"]] == ["info"] and "/nothing" in trace["lines"][0]["message"]
    assert [tried["chosen"] for tried in trace["mapping"]["tried"]][-1]

    assert host.get("/hello", method="DELETE").status == 405
    tried = trace_of(host, "/hello")["mapping"]["tried"]
    assert any(entry["entry"] == "GET,HEAD /hello" and "other verbs" in entry["why"] for entry in tried)


def test_mappings_that_have_changed_since_are_told_as_such(start_traced, mappings):
    host = start_traced("--reload-interval", "50ms")
    host.get("/hello")
    changed = json.loads(json.dumps(MAPPING))
    changed["httpHandlers"].insert(0, {"add": {"verb": "*", "path": "/other", "type": "samples::Hello, hello"}})
    file = mappings / "default" / "mapping.json"
    (mappings / "new").write_text(json.dumps(changed, indent=2))
    (mappings / "new").rename(file)
    wait_for("the new mappings", lambda: host.get("/other").status == 200)
    assert not trace_of(host, "/hello")["mapping"]["same"]
    assert trace_of(host, "/other")["mapping"]["same"]
    page = host.get(f"/trace.ashx?id={trace_of(host, '/hello')['id']}")
    assert b"The entries have changed since" in page.body


def test_secrets_are_masked(start_traced):
    host = start_traced()
    host.get("/hello?user=joe&password=s3cret-1", HTTP_AUTHORIZATION="Basic s3cret-2", HTTP_COOKIE="s=s3cret-3",
             HTTP_PROXY_AUTHORIZATION="s3cret-4", HTTP_X_API_KEY="s3cret-5",
             HTTP_REFERER="http://x/?access_token=s3cret-6")
    host.get("/nothing?token=s3cret-7")
    for path in ("/hello", "/nothing"):
        trace = trace_of(host, path)
        text = json.dumps(trace)
        assert "s3cret" not in text
        assert b"s3cret" not in host.get(f"/trace.ashx?id={trace['id']}").body
    hello = trace_of(host, "/hello")
    assert hello["url"] == "/hello?user=joe&password=(masked)"
    assert ["HTTP_AUTHORIZATION", "(masked)"] in hello["parameters"]
    assert b"s3cret" not in host.get("/trace.ashx").body


def test_the_last_ones_are_kept_and_filtered_and_cleared(start_traced):
    host = start_traced(trace=5)
    for number in range(9):
        host.get(f"/hello?{number}")
    host.get("/nothing")
    assert [trace["url"] for trace in listed(host)] == ["/nothing", "/hello?8", "/hello?7", "/hello?6", "/hello?5"]
    assert [trace["url"] for trace in listed(host, "&status=4xx")] == ["/nothing"]
    assert len(listed(host, "&status=200&path=/HELLO&handler=hello")) == 4
    assert listed(host, "&slower=100000") == [] and listed(host, "&path=8") == []
    gone = listed(host)[-1]["id"]
    cleared = host.get("/trace.ashx?clear", method="POST")
    assert (cleared.status, cleared.header("Location")) == (303, "/trace.ashx")
    assert listed(host) == []
    assert host.get(f"/trace.ashx?id={gone}").status == 404
    host.get("/hello")
    assert len(listed(host)) == 1


def test_long_texts_are_cut_and_counted(start_traced):
    host = start_traced("--trace-bytes", "4K")
    host.get("/hello?" + "x" * 4000, **{f"HTTP_X_{number}": "y" * 900 for number in range(30)})
    trace = trace_of(host, "/hello")
    assert trace["url"].endswith("\u2026") and len(trace["url"]) < 4000
    assert trace["parametersOmitted"] > 0 and trace["parameters"]


# --- Several workers -----------------------------------------------------------------------------------


def test_any_worker_shows_the_requests_of_all_also_of_one_that_was_killed(start_traced):
    host = start_traced(workers=2)

    def seen():
        host.get("/hello")
        return {trace["worker"] for trace in listed(host)}
    wait_for("requests of both workers", lambda: seen() == set(host.workers()))
    victim = sorted(host.workers())[0]
    os.kill(victim, signal.SIGKILL)
    wait_for("another worker", lambda: len(host.workers()) == 2 and victim not in host.workers())
    assert victim in {trace["worker"] for trace in listed(host)}
    wait_for("requests of the new one", lambda: set(host.workers()) <= seen())


def test_workers_that_are_killed_while_they_write_leave_a_page_that_can_be_read(start_traced):
    host = start_traced("--max-start-failures", 1000, workers=2, trace=3)
    for _ in range(10):
        connection = host.connect(timeout=30)
        for number in range(1, 200):
            connection.send(fcgi.request(host.variables(f"/hello?{number}"), request_id=number, keep=True))
        for worker in host.workers():
            os.kill(worker, signal.SIGKILL)
        connection.close()

        def answer():
            try:
                return host.get("/trace.ashx?format=json")
            except (OSError, AssertionError):
                return None  # its worker was just killed
        response = wait_for("an answer", answer)
        assert response.status == 200
        assert all(trace["status"] == 200 for trace in json.loads(response.body)["requests"])


def test_traces_go_on_after_a_reload(start_traced, control, installation):
    host = start_traced("--control", control, workers=1)
    host.get("/hello")
    assert len(listed(host)) == 1
    subprocess.run([installation.weft, "reload", "--control", control], check=True, timeout=120)
    # Those of the generation before went with it.
    wait_for("the new generation alone", lambda: not any(trace["url"] == "/hello" for trace in listed(host)))
    host.get("/hello?new")
    assert any(trace["url"] == "/hello?new" for trace in listed(host))


# --- Who may see it ------------------------------------------------------------------------------------


def test_it_is_for_clients_of_this_machine(start_traced, mappings):
    host = start_traced()
    for more in ({"REMOTE_ADDR": "192.0.2.1"}, {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, {"HTTP_HOST": "example.com"}):
        assert host.get("/trace.ashx", **more).status == 403, more
    assert host.get("/trace.ashx?clear", method="POST", HTTP_SEC_FETCH_SITE="cross-site").status == 403


def test_without_the_option_nothing_is_kept(start, mappings):
    host = start(mappings=mappings)
    response = host.get("/trace.ashx")
    assert response.status == 403 and b"--trace" in response.body


# --- In a browser, through real web servers ------------------------------------------------------------

# Runs in the page: every text's contrast to what lies behind it, after WCAG 2.
CONTRAST = """(() => {
  const parse = (color) => {
    const context = new OffscreenCanvas(1, 1).getContext("2d");
    context.fillStyle = color; context.fillRect(0, 0, 1, 1);
    const data = context.getImageData(0, 0, 1, 1).data;
    return [data[0], data[1], data[2], data[3] / 255];
  };
  const light = ([r, g, b]) => {
    const part = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = parse(getComputedStyle(element).backgroundColor);
      if (color[3] > 0.99) return color;
    }
    return [255, 255, 255, 1];
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    ++count;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)}: ${element.outerHTML.slice(0, 120)}`);
  }
  return {bad, count};
})()"""


def traced_site(name, processes, installation):
    return servers.ALL[name](processes, installation, ["trace = 100"])


def make_some_requests(site):
    """What a site's day is made of, some of it hostile."""
    def get(target, **more):
        return site.request("GET", target, **more)
    get("/hello.ashx", headers=[("Accept-Language", "de, en;q=0.5"), ("Cookie", "session=s3cret")])
    get("/wait.ashx?ms=180")
    get("/sleep.ashx?ms=60")
    get("/echo.ashx/a/tail?name=value&password=s3cret")
    get("/redirect.ashx")
    get("/nothing.ashx")
    get("/hello-async.ashx?" + urllib.parse.quote(SCRIPT), headers=[("User-Agent", SCRIPT), ("X-Other", SCRIPT)])
    site.request("POST", "/upload.ashx", body=b"note=hello",
                 headers=[("Content-Type", "application/x-www-form-urlencoded")])
    site.request("PUT", "/hello.ashx", body=b"x")
    get("/clock.ashx?seconds=0")


@pytest.mark.parametrize("name", ["lighttpd-spawn", "nginx"])
def test_its_pages_in_a_browser(name, processes, installation):
    site = traced_site(name, processes, installation)
    make_some_requests(site)
    base = f"http://127.0.0.1:{site.port}/trace.ashx"
    with DevTools(processes) as browser:
        browser.open(base)
        links = browser.look("[...document.querySelectorAll('table.list a')].map(a => [a.innerText, a.href])")
        assert len(links) >= 9  # lighttpd answers for the file that is not there
        hostile = next(href for text, href in links if "script" in text)
        echo = next(href for text, href in links if "/echo.ashx" in text)
        failed = next(href for text, href in links if "clock.ashx" in text)
        for url in (base, hostile, echo, failed, f"{base}?status=4xx", f"{base}?path={urllib.parse.quote(SCRIPT)}",
                    f"{base}?id=9-9"):
            for scheme in ("light", "dark"):
                for width in (1280, 360):
                    browser.show(width, scheme=scheme)
                    browser.open(url)
                    where = f"{url}, {scheme}, {width}"
                    assert browser.look("document.documentElement.scrollWidth") <= width, where
                    contrast = browser.look(CONTRAST)
                    assert contrast["bad"] == [] and contrast["count"] > 1, where
                    assert browser.look("document.title") != "owned", where
                    assert browser.look("document.querySelectorAll('script, img, iframe').length") == 0, where
                    assert browser.look("getComputedStyle(document.body).backgroundColor") == (
                        "rgb(251, 251, 249)" if scheme == "light" else "rgb(20, 24, 27)"), where
        # A browser has a line in its console for each answer that is no success, by its own doing.
        complaints = [text for text in browser.complaints if "404" not in text]
        assert complaints == []
        browser.show(1280)
        browser.open(hostile)
        shown = browser.look("document.body.innerText")
        assert SCRIPT in shown and "s3cret" not in shown
        # One heading of the first order, and no level is left out; tables have names and headings.
        assert browser.look("document.querySelectorAll('h1').length") == 1
        assert browser.look("[...document.querySelectorAll('table')].every(t => t.ariaLabelledByElements?.length"
                            " || t.getAttribute('aria-labelledby') || t.caption)")
        # Without any script: forms and links are all there is.
        browser.open(base)
        browser.look("document.querySelector('select[name=status]').value = '4xx'")
        browser.events.clear()
        browser.look("document.querySelector('form.filter button').click()")
        browser.wait_until_loaded()
        rows = browser.look("[...document.querySelectorAll('table.list .pill')].map(p => p.innerText)")
        assert rows and all(row.startswith("4") for row in rows)
        browser.open(base)
        browser.events.clear()
        browser.look("document.querySelector('form[method=post] button').click()")
        browser.wait_until_loaded()
        assert browser.look("location.pathname + location.search") == "/trace.ashx"
        assert "No request yet" in browser.look("document.body.innerText")


@pytest.mark.parametrize("name", ["lighttpd-spawn", "nginx"])
def test_a_client_that_came_through_a_proxy_is_not_local(name, processes, installation):
    site = traced_site(name, processes, installation)
    assert site.request("GET", "/trace.ashx").status == 200
    assert site.request("GET", "/trace.ashx", headers=[("X-Forwarded-For", "192.0.2.1")]).status == 403


# Draws the pictures of docs/guide/trace.md, by hand: with DRAW_TRACES=docs/guide/images in the environment.
@pytest.mark.skipif(not os.environ.get("DRAW_TRACES"), reason="draws pictures, by hand")
def test_draw_the_pictures(processes, installation):
    folder = pathlib.Path(os.environ["DRAW_TRACES"])
    folder = folder if folder.is_absolute() else servers.ROOT / folder
    folder.mkdir(parents=True, exist_ok=True)
    # The checkout's path is nobody's business.
    copy = installation.copy(processes.run_dir / "shop")
    site = traced_site("nginx", processes, dataclasses.replace(copy, weft=installation.weft, libraries=installation.libraries))
    make_some_requests(site)
    base = f"http://127.0.0.1:{site.port}/trace.ashx"
    with DevTools(processes) as browser:
        browser.open(base)
        links = browser.look("[...document.querySelectorAll('table.list a')].map(a => [a.innerText, a.href])")
        echo = next(href for text, href in links if "/sleep.ashx" in text)
        for name, url, width, height, scheme in (("list-dark", base, 1080, 900, "dark"),
                                                 ("request-light", echo, 1080, 1240, "light"),
                                                 ("request-phone", echo, 390, 844, "dark")):
            browser.show(width, height, scheme)
            browser.open(url)
            browser.screenshot(folder / f"trace-{name}.png")
