"""Retrieval metrics with confidence intervals, from ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from imseek.errors import UsageError
from imseek.evaluate.results import RetrievalMetrics
from imseek.metrics.bootstrap import RESAMPLES, Values, interval, mean, median
from imseek.metrics.retrieval import Ranks

KS: Final = (1, 5, 10)
#: Above this many queries, fewer resamples are drawn: intervals are narrow, and resampling is slow.
_MANY_QUESTIONS: Final = 20_000
_FEWER_RESAMPLES: Final = 1000


def resample_count(questions: int) -> int:
    """Number of bootstrap resamples for this many queries."""
    return RESAMPLES if questions <= _MANY_QUESTIONS else _FEWER_RESAMPLES


def choose_ks(ks: Sequence[int] | None, items: int) -> tuple[int, ...]:
    """Return the k of R@k, ascending; default values above the number of items are left out.

    Raises UsageError for an explicit k above the number of items.
    """
    if ks is None:
        return tuple(k for k in KS if k <= items) or (1,)
    for k in ks:
        if not 1 <= k <= items:
            raise UsageError(f"R@{k} among {items:,}: k lies between 1 and the number of what is ranked")
    if not ks:
        raise UsageError("no k for R@k")
    return tuple(sorted(set(ks)))


def retrieval_metrics(ranks: Ranks, ks: Sequence[int], groups: Values | None = None) -> RetrievalMetrics:
    """Compute retrieval metrics with 95 % intervals.

    ``groups`` (n,), counted from 0, ties queries that belong together, such as captions of one image.
    """
    resamples = resample_count(len(ranks.first))
    return RetrievalMetrics(
        questions=len(ranks.first),
        items=ranks.items,
        recall={k: interval(ranks.hits(k), mean, groups=groups, resamples=resamples) for k in ks},
        median_rank=interval(ranks.first, median, groups=groups, resamples=resamples),
        mean_rank=interval(ranks.first, mean, groups=groups, resamples=resamples),
        mean_average_precision=interval(ranks.precision, mean, groups=groups, resamples=resamples),
    )
