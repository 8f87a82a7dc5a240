"""A control group of a test's own, whose processes may have so much memory together."""

import os
import pathlib

from processes import wait_for


class NoGroup(Exception):
    """Says why none can be made."""


class MemoryGroup:
    """Below the tests' own group, so that their limits hold as well. Use it as a context manager: at its end it is removed,
    for which its processes must have ended.
    """

    def __init__(self, limit):
        version, own = self._own()
        self.folder = own / f"weft-test-{os.getpid()}"
        if version == 2 and "memory" not in (own / "cgroup.subtree_control").read_text().split():
            raise NoGroup(f"{own} gives its groups no limits of memory")
        try:
            self.folder.mkdir()
        except OSError as error:
            raise NoGroup(f"no control group can be made: {error}") from None
        try:
            name, self._kills, swap = {
                1: ("memory.limit_in_bytes", "memory.oom_control", ("memory.memsw.limit_in_bytes", limit)),
                2: ("memory.max", "memory.events", ("memory.swap.max", 0)),
            }[version]
            (self.folder / name).write_text(str(limit))
            # Without it what is too much would be swapped out; a kernel without swap has no such file.
            if (self.folder / swap[0]).exists():
                (self.folder / swap[0]).write_text(str(swap[1]))
        except OSError as error:
            self.folder.rmdir()
            raise NoGroup(f"the memory of a control group cannot be limited: {error}") from None

    @staticmethod
    def _own():
        """The version of the group that limits these tests' memory, and its folder."""
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                version, folder = 1, pathlib.Path("/sys/fs/cgroup/memory") / path.lstrip("/")
            elif not controllers:
                version, folder = 2, pathlib.Path("/sys/fs/cgroup") / path.lstrip("/")
            else:
                continue
            if (folder / "cgroup.procs").exists() and (version == 1 or (folder / "cgroup.subtree_control").exists()):
                return version, folder
        raise NoGroup("there are no control groups here that count memory")

    def enter(self):
        """In a process that is to be in it, and all that it starts."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def kills(self):
        """How often the kernel has killed one of its processes for want of memory."""
        fields = dict(line.split() for line in (self.folder / self._kills).read_text().splitlines())
        return int(fields["oom_kill"])

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        def is_removed():
            try:
                self.folder.rmdir()
            except OSError:
                return False
            return True
        wait_for("the end of its processes", is_removed)
