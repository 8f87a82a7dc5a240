"""A real browser that a test drives, by Chromium's DevTools protocol over a pipe: no driver, and no port."""

import base64
import json
import os
import select
import time

from browser import Chromium


class DevTools(Chromium):
    """One whose page does what it is told.

    What the page's console has, and what its Content-Security-Policy refused, is in `complaints`.
    """

    def __init__(self, processes, timeout=120):
        self.timeout = timeout
        commands, self.write_end = os.pipe()
        self.read_end, answers = os.pipe()
        # It reads from descriptor 3, and writes to 4.
        super().__init__(processes, "--remote-debugging-pipe", "--hide-scrollbars", "about:blank",
                         started_by=["/bin/bash", "-c", f'exec 3<&{commands} 4>&{answers} "$@"', "browser"],
                         pass_fds=(commands, answers))
        os.close(commands)
        os.close(answers)
        self.buffer = b""
        self.last_id = 0
        self.session = None
        self.complaints = []
        self.events = []
        targets = self.ask("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **parameters):
        """Sends a command; returns its result."""
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.last_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _receive(self):
        deadline = time.monotonic() + self.timeout
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.read_end], [], [], left)[0], "the browser says nothing"
            piece = os.read(self.read_end, 1 << 20)
            assert piece, "the browser has ended"
            self.buffer += piece
        text, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(text)
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(parameters["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append(f"a dialog: {parameters['message']}")
        elif method:
            self.events.append(method)
        return message

    def open(self, url):
        """Goes there, and waits until it is loaded."""
        self.events.clear()
        result = self.ask("Page.navigate", url=url)
        assert "errorText" not in result, result
        self.wait_until_loaded()

    def wait_until_loaded(self):
        while "Page.loadEventFired" not in self.events:
            self._receive()

    def look(self, expression):
        """The value of a JavaScript expression in the page."""
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def show(self, width, height=900, scheme="light", scale=1):
        """As a screen of that width has it, which is dark or light."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                 mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        os.close(self.write_end)
        os.close(self.read_end)
        super().close()
