"""System calls missing from Python's standard library. Linux only."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any, Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38

#: Whether the calls of this module exist here.
IS_LINUX: Final = sys.platform == "linux"


def prctl(option: int, argument: int = 0, pointer: Any = None) -> None:
    """Call ``prctl(2)``. Raises OSError."""
    _check(_library().prctl(option, ctypes.c_ulong(argument), pointer, ctypes.c_ulong(), ctypes.c_ulong()))


def unshare(namespaces: int) -> None:
    """Call ``unshare(2)``. Raises OSError."""
    _check(_library().unshare(namespaces))


def system_call(number: int, *arguments: Any) -> int:
    """Make the system call ``number``; integers are passed as ``long``. Raises OSError."""
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _check(_library().syscall(ctypes.c_long(number), *values))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
