"""A real browser, headless, without a driver: what it is to do stands in the page that it opens."""

import contextlib
import os
import pathlib
import signal

from processes import processes_that_mention, wait_for

PROGRAM = "/usr/bin/chromium"


class Chromium:
    """Debian's Chromium, which shows one page. Use it as a context manager: at its end no process of it is left."""

    OPTIONS = [
        "--headless=new",
        "--no-sandbox",  # root has none, and a container may have none; the page is our own
        "--disable-gpu",
        "--disable-dev-shm-usage",  # a container's /dev/shm may be small
        "--mute-audio",
        "--autoplay-policy=no-user-gesture-required",
        # It is to speak to the web server under test and to nobody else.
        "--no-proxy-server",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-extensions",
        "--disable-sync",
        "--no-first-run",
        "--no-default-browser-check",
        "--password-store=basic",
        "--disable-breakpad",
    ]

    def __init__(self, processes, *arguments, started_by=(), **options):
        """`started_by`: a command that becomes the program which its last arguments name."""
        assert os.path.exists(PROGRAM), f"{PROGRAM} is not there: scripts/setup --test installs it"
        self.profile = profile = processes.run_dir / "browser"
        profile.mkdir(exist_ok=True)
        # All that it writes is below the profile.
        environment = {**os.environ, "HOME": str(profile), "TMPDIR": str(profile),
                       "XDG_CONFIG_HOME": str(profile / "config"), "XDG_CACHE_HOME": str(profile / "cache"),
                       "DBUS_SESSION_BUS_ADDRESS": "disabled:", "CHROMIUM_FLAGS": ""}
        self.process = processes.start(
            "browser", [*started_by, PROGRAM, *self.OPTIONS, f"--user-data-dir={profile / 'data'}", *arguments],
            env=environment, **options)

    def close(self):
        group = self.process.pid  # it began a session
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)  # there is nothing that it should keep
        self.process.wait()
        # The handler of crashes is a session of its own, and ends when it has nothing left to watch.
        wait_for("the browser's processes to be gone",
                 lambda: not members_of(group) and not processes_that_mention(str(self.profile)))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class Browser(Chromium):
    """One that shows a page of the tests', and is left to itself."""

    def has_ended(self):
        """Whether it has ended by itself. It is not yet waited for: until close() its group keeps its number."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def members_of(group):
    """The processes of a group, by id. A zombie, for which some other process ought to wait, is not among them."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, its_group, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(its_group) == group and state not in "ZX":
                found.append(int(entry.name))
    return found
