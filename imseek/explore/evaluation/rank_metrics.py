"""Ranks as figures with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from imseek.errors import UsageError
from imseek.explore.metrics.bootstrap import RESAMPLES, Values, interval, mean, median
from imseek.explore.metrics.retrieval import Ranks
from imseek.types.evaluate import Retrieved

KS: Final = (1, 5, 10)
#: Of more questions than these, fewer draws are made: intervals are narrow, and draws take their time.
_MANY: Final = 20_000
_FEWER: Final = 1000


def draws(questions: int) -> int:
    return RESAMPLES if questions <= _MANY else _FEWER


def chosen(ks: Sequence[int] | None, items: int) -> tuple[int, ...]:
    """The k of R@k, ascending. Those by default that are more than there are items are left out: any order would do.

    Raises UsageError for such a one that was asked for.
    """
    if ks is None:
        return tuple(k for k in KS if k <= items) or (1,)
    for k in ks:
        if not 1 <= k <= items:
            raise UsageError(f"R@{k} among {items:,}: k lies between 1 and the number of what is ranked")
    if not ks:
        raise UsageError("no k for R@k")
    return tuple(sorted(set(ks)))


def figures(found: Ranks, ks: Sequence[int], groups: Values | None = None) -> Retrieved:
    """With 95 % intervals. ``groups`` (n,) numbers from 0: questions that belong together, as captions of one
    picture."""
    many = draws(len(found.first))
    return Retrieved(
        questions=len(found.first),
        items=found.items,
        recall={k: interval(found.hits(k), mean, groups=groups, resamples=many) for k in ks},
        median_rank=interval(found.first, median, groups=groups, resamples=many),
        mean_rank=interval(found.first, mean, groups=groups, resamples=many),
        mean_average_precision=interval(found.precision, mean, groups=groups, resamples=many),
    )
