"""One thread of BLAS for several at a time."""

from __future__ import annotations

from contextlib import ExitStack

from threadpoolctl import threadpool_info, threadpool_limits

from imseek.blas_threads import one_blas_thread


def _threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_the_last_of_several_sets_the_number_back() -> None:
    with threadpool_limits(2, user_api="blas"):
        first, second = ExitStack(), ExitStack()
        first.enter_context(one_blas_thread())
        second.enter_context(one_blas_thread())
        assert _threads() == {1}
        first.close()
        assert _threads() == {1}, "the second still needs it"
        second.close()
        assert _threads() == {2}
