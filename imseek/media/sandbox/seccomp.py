"""A seccomp filter that allows only the system calls needed to decode a picture (seccomp(2)).

Written by hand: libseccomp would be one more dependency, for a stable list of 40 calls. Other calls fail with EPERM, so
that a codec that can do without them goes on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator
from typing import Final

from imseek.media.sandbox.libc import IS_LINUX, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, prctl

# System call numbers by architecture (asm/unistd_64.h, asm-generic/unistd.h).
_MACHINES: Final = ("x86_64", "aarch64")
_AUDIT_ARCHITECTURES: Final = (0xC000003E, 0xC00000B7)
_ANY: Final = {
    "read": (0, 63),
    "write": (1, 64),
    "recvfrom": (45, 207),
    "sendto": (44, 206),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "futex": (202, 98),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "ppoll": (271, 73),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
#: Further calls for reading files, besides ``openat``.
_READING: Final = {
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "readlinkat": (267, 78),
    "getdents64": (217, 61),
    "fcntl": (72, 25),
    "fadvise64": (221, 223),
}
# Allowed depending on their arguments.
_MMAP, _MPROTECT = (9, 222), (10, 226)
_CLONE, _CLONE3 = (56, 220), (435, 435)
_TGKILL: Final = (234, 131)
_OPENAT: Final = (257, 56)

_PROT_EXEC: Final = 4
_CLONE_THREAD: Final = 0x10000
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# Classic BPF: load a word, jump, return.
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_KILL, _ALLOW, _FAIL = 0x80000000, 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4  # in struct seccomp_data
_MODE_FILTER: Final = 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def is_available() -> bool:
    """Tell whether this kernel supports filters and its system call numbers are known here."""
    if not IS_LINUX or platform.machine() not in _MACHINES:
        return False
    try:
        prctl(PR_SET_SECCOMP, _MODE_FILTER, None)
    except OSError as error:
        return error.errno == errno.EFAULT  # it tried to read the filter
    return True


def restrict(*, reading: bool) -> None:
    """Restrict this process, and threads that it starts, to decoding; with ``reading``, it may open files too.

    It can start no process, write no file, create no socket, make no memory executable and signal no other process.
    Raises OSError.
    """
    code = b"".join(_instructions(_MACHINES.index(platform.machine()), os.getpid(), reading=reading))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(_Program(len(code) // 8, code)))


def _instructions(machine: int, process: int, *, reading: bool) -> Iterator[bytes]:
    yield _step(_LOAD, _ARCHITECTURE_AT)
    yield _step(_EQUAL, _AUDIT_ARCHITECTURES[machine], skip_if=1)
    yield _step(_RETURN, _KILL)
    yield _step(_LOAD, _NUMBER_AT)
    for numbers in (*_ANY.values(), *(_READING.values() if reading else ())):
        yield _step(_EQUAL, numbers[machine], skip_else=1)
        yield _step(_RETURN, _ALLOW)
    # Without clone3, whose flags a filter cannot see, a C library falls back to clone.
    yield _step(_EQUAL, _CLONE3[machine], skip_else=1)
    yield _step(_RETURN, _FAIL | errno.ENOSYS)
    yield from _if_argument(_CLONE[machine], 0, _ANY_BIT, _CLONE_THREAD, then=_ALLOW)
    yield from _if_argument(_TGKILL[machine], 0, _EQUAL, process, then=_ALLOW)
    for numbers in (_MMAP, _MPROTECT):
        yield from _if_argument(numbers[machine], 2, _ANY_BIT, _PROT_EXEC, then=_FAIL | errno.EPERM)
    if reading:
        yield from _if_argument(_OPENAT[machine], 2, _ANY_BIT, _WRITING, then=_FAIL | errno.EPERM)
    yield _step(_RETURN, _FAIL | errno.EPERM)


def _if_argument(number: int, position: int, test: int, value: int, *, then: int) -> Iterator[bytes]:
    """Filter the system call ``number``: ``then`` if its argument passes ``test``, else the opposite (EPERM or allow).

    Only the lower 32 bits of an argument are tested, which is all that the kernel reads of these.
    """
    yield _step(_EQUAL, number, skip_else=4)
    yield _step(_LOAD, 16 + 8 * position)
    yield _step(test, value, skip_else=1)
    yield _step(_RETURN, then)
    yield _step(_RETURN, _FAIL | errno.EPERM if then == _ALLOW else _ALLOW)


def _step(code: int, value: int, *, skip_if: int = 0, skip_else: int = 0) -> bytes:
    return struct.pack("=HBBI", code, skip_if, skip_else, value)
