"""A host that answers at a control socket, and what it says there of its workers."""

import json
import subprocess

from processes import wait_for


def in_state(now, state):
    """The workers, by id, that a status has in that state."""
    return [worker["pid"] for worker in now["workers"] if worker["state"] == state]


def left(now):
    """How many workers left that were well: {reason: count}."""
    return {leave["reason"]: leave["count"] for leave in now["figures"]["workerLeaves"]}


def has_no_worker(now):
    return not [worker for worker in now["workers"] if worker["state"] != "vacant"]


class Controlled:
    """A host whose supervisor answers, and short ways to reload it."""

    def __init__(self, weft, control, process):
        self.weft, self.control, self.process = weft, control, process

    def reload(self, *options):
        return subprocess.run([self.weft, "reload", "--control", self.control, *options],
                              capture_output=True, text=True, timeout=60)

    def status(self):
        result = subprocess.run([self.weft, "status", "--control", self.control, "--format", "json"],
                                capture_output=True, text=True, timeout=30)
        assert (result.returncode, result.stderr) == (0, "")
        return json.loads(result.stdout)

    def wait_for(self, what, condition):
        def look():
            now = self.status()
            return now if condition(now) else None
        return wait_for(what, look, timeout=20)

    def is_alone(self, generation):
        """Waits until that generation serves, and nobody of another is left."""
        return self.wait_for(f"generation {generation} alone", lambda now: now["generation"] == generation and all(
            (worker["generation"], worker["state"]) == (generation, "ready") for worker in now["workers"]))
