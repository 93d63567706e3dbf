"""Limit BLAS to one thread: then the order of summation is fixed, and no time is lost in waiting for other threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import threadpool_limits

_lock = threading.Lock()
#: Number of calls that need one thread now, and the limit to lift after the last of them.
_users = 0
_limits: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Have BLAS use one thread in the whole process.

    If several calls overlap, the last to end restores the number of threads. If each restored the number that it found,
    a call that began inside another would leave BLAS at one thread for good.
    """
    global _users, _limits
    with _lock:
        if not _users:
            _limits = threadpool_limits(1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _limits.restore_original_limits()
