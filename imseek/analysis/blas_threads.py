"""Have BLAS use one thread, in which it adds up in one order, and waits for no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import threadpool_limits

_lock = threading.Lock()
#: How many calls need one thread now, and what sets the number back.
_users = 0
_limits: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Have BLAS use one thread in the whole process.

    The last of several calls at a time sets the number back. Each on its own would set what it found, which is one
    where another had begun before: BLAS would stay at that.
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
