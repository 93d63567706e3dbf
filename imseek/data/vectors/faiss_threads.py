"""Set how many threads FAISS uses for a call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most_threads(count: int) -> Iterator[None]:
    """Have FAISS use at most ``count`` threads for calls from this thread.

    Threads beyond the work that can be shared out cost time: the call waits until the last of them has woken, which
    takes milliseconds while other libraries keep the processors busy.
    """
    import faiss

    threads = faiss.omp_get_max_threads()  # of the calling thread
    faiss.omp_set_num_threads(min(count, threads))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
