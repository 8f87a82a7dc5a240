"""A real browser plays a video through real web servers, and seeks in it: what it asks for, and what it gets."""

import dataclasses
import json
import pathlib
import re
import shutil
import urllib.parse

import pytest

import servers
import webm
from browser import Browser
from processes import wait_for
from test_files import SENDFILE
from test_static_files import EVERYTHING

MIB = 1024 * 1024
VIDEO = pathlib.Path(__file__).parent / "data" / "video.webm"
# The video's second half lies that far behind its first. A browser reads tens of MiB ahead, and buffers on the way
# take more: this is far more than all of them.
GAP = 512 * MIB
# A browser starts in seconds; on a machine that does much else it takes its time.
PATIENCE = 120
PAGE = """<!DOCTYPE html>
<title>A video</title>
<link rel="icon" href="data:,">
<video muted></video>
<script>
  // Says it by a request: the test reads Weft's access log.
  const tell = (what) => fetch("/hello.ashx?" + encodeURIComponent(JSON.stringify(what)));
  const video = document.querySelector("video");
  video.onerror = () => tell({error: `${video.error.code} ${video.error.message}`});
  window.onunhandledrejection = (event) => tell({error: String(event.reason)});

  const happens = (name) => new Promise((resolve) => video.addEventListener(name, resolve, {once: true}));
  // How bright the middle of the picture is, which is black, and white in the second half; and where that is.
  const look = () => {
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight).getContext("2d");
    canvas.drawImage(video, 0, 0);
    const [red, green, blue] = canvas.getImageData(video.videoWidth / 2, video.videoHeight / 2, 1, 1).data;
    return {time: video.currentTime, light: Math.round((red + green + blue) / 3)};
  };
  // The picture as soon as it is one of that time or later: "seeked" may come before it is there to be drawn.
  const seeIt = (time) => new Promise((resolve) => {
    const see = (now, frame) => frame.mediaTime < time ? video.requestVideoFrameCallback(see) : resolve(look());
    video.requestVideoFrameCallback(see);
  });
  const play = async () => {
    const seen = {};
    const loaded = happens("loadeddata");
    video.preload = "auto";
    video.src = new URLSearchParams(location.search).get("video");
    await loaded;
    seen.duration = video.duration;
    seen.first = look();
    seen.seekable = video.seekable.length ? video.seekable.end(0) : 0;
    if (seen.seekable < seen.duration) throw new Error(`one can seek up to ${seen.seekable} s alone`);
    const sought = happens("seeked");
    const pictured = seeIt(video.duration - 2);
    video.currentTime = video.duration - 1.5;
    await sought;
    seen.sought = await pictured;
    const ended = happens("ended");
    await video.play();
    await ended;
    seen.last = look();
    seen.ended = video.ended;
    await tell(seen);
  };
  play();
</script>
"""
# A line for each request, as the client sent it. Nothing in it can hold a bar.
LOGS = {
    "nginx": ("access_log off;", """
    log_format ranges '$request|$status|$http_range|$sent_http_content_range|$body_bytes_sent';
    access_log "{log}" ranges;"""),
    "lighttpd-socket": ('server.modules += ( "mod_fastcgi"', """server.modules += ( "mod_accesslog" )
accesslog.filename = "{log}"
accesslog.format = "%r|%s|%{{Range}}i|%{{Content-Range}}o|%b"
server.modules += ( "mod_fastcgi\""""),
}


@dataclasses.dataclass
class Answer:
    """What the web server's log has of one request."""
    status: int
    asked: str
    sent: str
    bytes: int


class VideoSite:
    """A web server with a page, a video, and a log of the ranges that were asked for and sent."""

    def __init__(self, name, processes, installation, edits, options):
        self.log = processes.run_dir / "ranges.log"
        self.www = processes.run_dir / "www"
        self.video = self.www / "files" / "video.webm"
        self.video.parent.mkdir(parents=True)
        self.far = webm.write_with_gap(self.video, VIDEO.read_bytes(), GAP)
        self.size = self.video.stat().st_size
        (self.www / "page.html").write_text(PAGE)
        (self.www / "index.html").write_text("")
        for page in ("download.ashx", "hello.ashx"):
            shutil.copy(installation.document_root / page, self.www)
        before, after = LOGS[name]

        class Edited(servers.ALL[name]):
            def write_config(self, config_name, **more):
                config = super().write_config(config_name, **more)
                text = config.read_text()
                for old, new in edits + [(before, after.format(log=self.run_dir / "ranges.log"))]:
                    assert old in text, f"{config_name} has no {old}"
                    text = text.replace(old, new)
                config.write_text(text)
                return config

        self.site = Edited(processes, dataclasses.replace(installation, document_root=self.www), options)
        self.processes = processes

    def play(self, url):
        """Has a browser play the video at `url` in its page; returns what that saw, and how it was answered."""
        page = f"http://127.0.0.1:{self.site.port}/page.html?{urllib.parse.urlencode({'video': url})}"
        with Browser(self.processes, page) as browser:
            wait_for("the page to say what it saw", lambda: self.told() or browser.has_ended(), timeout=PATIENCE)
            assert self.told(), "the browser ended before its page said what it saw"
        seen = json.loads(urllib.parse.unquote(self.told()[0]))
        wait_for("the records of every request", lambda: len(self.answers(url)) == len(self.records(url)) > 0)
        return seen, self.answers(url)

    def told(self):
        matches = [re.search(r' url="/hello\.ashx\?([^"]*)"', line) for line in self.site.access_lines()]
        return [match[1] for match in matches if match]

    def records(self, url):
        """What Weft's access log has of a URL."""
        return [line for line in self.site.access_lines() if f' url="{url}"' in line]

    def answers(self, url):
        text = self.log.read_text() if self.log.exists() else ""
        lines = [line.split("|") for line in text.rpartition("\n")[0].splitlines()]  # without one that is not yet whole
        return [Answer(int(status), asked, sent, int(count) if count != "-" else 0)
                for request, status, asked, sent, count in lines if request.split()[1] == url]


def assert_it_was_played_by_ranges(video_site, seen, answers):
    assert seen.get("error") is None
    # Black, white, white: the picture is that of the time.
    assert seen["first"]["light"] < 64 and seen["first"]["time"] < 1
    assert seen["duration"] == pytest.approx(20, abs=0.5)
    assert seen["seekable"] == seen["duration"]
    assert seen["sought"]["light"] > 192 and seen["sought"]["time"] == seen["duration"] - 1.5
    assert seen["last"]["light"] > 192 and seen["last"]["time"] == seen["duration"]
    assert seen["ended"]
    for answer in answers:
        first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", answer.asked).groups()
        assert answer.status == 206
        assert answer.sent == f"bytes {first}-{last or video_site.size - 1}/{video_site.size}"
    begins = [int(answer.asked[len("bytes="):].partition("-")[0]) for answer in answers]
    assert 0 in begins
    assert any(begin >= video_site.far for begin in begins), begins
    # What lies between was not fetched.
    assert sum(answer.bytes for answer in answers) < GAP / 2


@pytest.mark.parametrize("name", sorted(LOGS))
def test_a_browser_plays_a_static_file_and_seeks_in_it(name, processes, installation):
    edits = EVERYTHING[f"{name}.conf"]
    video_site = VideoSite(name, processes, installation, edits, [])
    seen, answers = video_site.play("/files/video.webm")
    assert_it_was_played_by_ranges(video_site, seen, answers)


@pytest.mark.parametrize("name", sorted(LOGS))
def test_a_browser_seeks_in_a_file_of_a_handler_that_the_server_sends(name, processes, installation):
    folder = processes.run_dir / "www" / "files"
    option, before, after = SENDFILE[name]
    video_site = VideoSite(name, processes, installation, [(before, after.format(folder=folder))],
                      [f"sendfile = {option.format(folder=folder)}"])
    url = "/download.ashx?name=video.webm"
    seen, answers = video_site.play(url)
    assert_it_was_played_by_ranges(video_site, seen, answers)
    # Not by Weft.
    assert all(" bytes=0 " in record for record in video_site.records(url))
