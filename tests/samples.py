"""Plugin of pytest: what a run leaves out that `make test-long` runs.

- ``@pytest.mark.sample(kind=3)``: of the values of the parameter ``kind``, a run takes three, the same for all tests of
  the module that say so. Other commits take other ones (tests/session_seed.py).
- ``@pytest.mark.long``: only `make test-long` runs it.

``IMSEEK_SAMPLES=all`` leaves nothing out, nor does a run that names a test (``pytest FILE::TEST``).
"""

from __future__ import annotations

import math
import os
import random
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TypeAlias, TypeVar, cast

import pytest
from session_seed import generator

T = TypeVar("T")

#: A module, and a parameter of tests in it.
_Parameter: TypeAlias = tuple[str, str]


def is_all() -> bool:
    """Whether a run leaves nothing out."""
    return os.environ.get("IMSEEK_SAMPLES") == "all"


def part_of(trials: Sequence[T], share: float, chance: random.Random) -> Sequence[T]:
    """A share of the trials that one test makes, one at least; all of them where nothing is left out."""
    return trials if is_all() else chance.sample(trials, math.ceil(share * len(trials)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if is_all() or any("::" in argument for argument in config.args):
        return
    chosen = _chosen(items)
    keep, leave = [], []
    for item in items:
        out = item.get_closest_marker("long") is not None or any(
            value not in chosen[parameter] for parameter, value, _ in _sampled(item)
        )
        (leave if out else keep).append(item)
    if leave:
        config.hook.pytest_deselected(items=leave)
        items[:] = keep


def _chosen(items: list[pytest.Item]) -> dict[_Parameter, list[Hashable]]:
    """Which values of each sampled parameter are taken."""
    values: dict[_Parameter, dict[Hashable, None]] = defaultdict(dict)  # in the order of the tests
    counts: dict[_Parameter, int] = {}
    for item in items:
        for parameter, value, count in _sampled(item):
            values[parameter][value] = None
            if counts.setdefault(parameter, count) != count:
                raise pytest.UsageError(
                    f"{parameter[0]}: tests take different numbers of samples of {parameter[1]}"
                )
    return {
        parameter: generator(" ".join(parameter)).sample(list(found), min(counts[parameter], len(found)))
        for parameter, found in values.items()
    }


def _sampled(item: pytest.Item) -> list[tuple[_Parameter, Hashable, int]]:
    """The sampled parameters of a test, with its value of each and how many values are taken."""
    called = getattr(item, "callspec", None)
    if called is None:
        return []
    counts: dict[str, int] = {}
    for marker in reversed(list(item.iter_markers("sample"))):  # the nearest counts
        counts |= marker.kwargs
    module = item.nodeid.split("::")[0]
    return [
        ((module, name), _key(called.params[name]), count)
        for name, count in counts.items()
        if name in called.params
    ]


def _key(value: object) -> Hashable:
    """Equal for one value in different tests."""
    try:
        hash(value)
    except TypeError:
        return id(value)
    return cast(Hashable, value)
