"""Runs a command under the filter of system calls that a unit of systemd asks for, with no systemd to do so.

    seccomp.py UNIT COMMAND...

What the filter refuses fails with EPERM, as by SystemCallErrorNumber=EPERM. Of the unit are taken SystemCallFilter=,
RestrictAddressFamilies= and MemoryDenyWriteExecute=yes.
"""

import ctypes
import ctypes.util
import errno
import mmap
import os
import re
import socket
import subprocess
import sys

ALLOW = 0x7FFF0000  # SCMP_ACT_ALLOW
REFUSE = 0x00050000 | errno.EPERM  # SCMP_ACT_ERRNO
EQUAL, MASKED_EQUAL = 4, 7  # SCMP_CMP_EQ, SCMP_CMP_MASKED_EQ


class Comparison(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("operation", ctypes.c_int), ("first", ctypes.c_uint64),
                ("second", ctypes.c_uint64)]


def sets_of_calls():
    """systemd's own sets: {"@file-system": {"open", ...}}."""
    text = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    return {name: set(re.findall(r"^    (@?[\w-]+)$", body, re.M))
            for name, body in re.findall(r"^(@[\w-]+)\n(.*?)(?=^@|^#|\Z)", text, re.M | re.S)}


def calls_of(names, sets):
    calls = set()
    for name in names:
        calls |= calls_of(sets[name], sets) if name.startswith("@") else {name}
    return calls


def settings_of(unit, name):
    return re.findall(rf"^{name}=(.*)$", unit, re.M)


def allowed_calls(unit):
    sets = sets_of_calls()
    allowed = calls_of(["@default"], sets)
    for line in settings_of(unit, "SystemCallFilter"):
        names = calls_of(line.lstrip("~").split(), sets)
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


def restrict(unit):
    library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint,
                                               ctypes.POINTER(Comparison)]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    context = library.seccomp_init(REFUSE)

    def allow(call, *comparisons):
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # else another machine's
            array = (Comparison * max(len(comparisons), 1))(*comparisons)
            assert library.seccomp_rule_add_array(context, ALLOW, number, len(comparisons), array) == 0, call

    conditions = {}
    families = settings_of(unit, "RestrictAddressFamilies")
    if families:
        conditions["socket"] = [Comparison(0, EQUAL, getattr(socket, family), 0) for family in families[0].split()]
    if settings_of(unit, "MemoryDenyWriteExecute") == ["yes"]:
        both = mmap.PROT_WRITE | mmap.PROT_EXEC
        conditions["mmap"] = [Comparison(2, MASKED_EQUAL, both, rights)
                              for rights in (0, mmap.PROT_WRITE, mmap.PROT_EXEC)]
        conditions["mprotect"] = [Comparison(2, MASKED_EQUAL, mmap.PROT_EXEC, 0)]
    for call in allowed_calls(unit):
        for condition in conditions.get(call, []):
            allow(call, condition)
        if call not in conditions:
            allow(call)
    assert library.seccomp_load(context) == 0


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        restrict(file.read())
    os.execv(sys.argv[2], sys.argv[2:])
