"""Plugin of pytest: what a run leaves out that `make test-long` runs.

- Slow tests take turns: of those that durations.json lists, a run takes one in seven, other ones in each commit.
  `make test-durations` writes that file. A test with ``@pytest.mark.always`` or a snapshot is in every run.
- ``@pytest.mark.sample(kind=3)``: of the values of the parameter ``kind``, a run takes three, the same for all tests of
  the module that say so. Other commits take other ones (tests/session_seed.py).
- ``@pytest.mark.long``: only `make test-long` runs it.

``IMSEEK_SAMPLES=all`` leaves nothing out, nor does a run that names a test (``pytest FILE::TEST``).
"""

from __future__ import annotations

import json
import math
import os
import random
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar, cast

import pytest
from session_seed import generator

T = TypeVar("T")

#: Tests that take this long or longer, with their seconds: the mean of all their parameters.
DURATIONS = Path(__file__).with_name("durations.json")
SLOW_SECONDS = 0.2
#: One in so many slow tests is in a run.
TURNS = 7

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
    sampled = [
        item
        for item in items
        if item.get_closest_marker("long") is None
        and all(value in chosen[parameter] for parameter, value, _ in _sampled(item))
    ]
    taken = _in_turn(sampled)
    keep = [item for item in sampled if item in taken]
    leave = [item for item in items if item not in taken]
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
                raise pytest.UsageError(f"{parameter[0]}: tests take different numbers of samples of {parameter[1]}")
    return {
        parameter: generator(" ".join(parameter)).sample(list(found), min(counts[parameter], len(found)))
        for parameter, found in values.items()
    }


def _in_turn(items: list[pytest.Item]) -> set[pytest.Item]:
    """Without slow tests whose turn it is not. Of neighbours, such as one test with all its parameters, each run takes
    an equal part.
    """
    slow = set(json.loads(DURATIONS.read_text()))
    turns: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if _function(item.nodeid) in slow and not _is_always_run(item):
            turns[_module(item)].append(item)
    left_out = {
        item
        for module, found in turns.items()
        for n, item in enumerate(found, start=generator(f"turns of {module}").randrange(TURNS))
        if n % TURNS
    }
    return set(items) - left_out


class _Recorder:
    """Writes durations.json, in the process that hears of the tests of all processes."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        functions: dict[str, list[float]] = defaultdict(list)
        for nodeid, seconds in self._seconds.items():
            functions[_function(nodeid)].append(seconds)
        means = {name: sum(seconds) / len(seconds) for name, seconds in sorted(functions.items())}
        slow = {name: round(mean, 1) for name, mean in means.items() if mean >= SLOW_SECONDS}
        DURATIONS.write_text(json.dumps(slow, indent=0) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("IMSEEK_DURATIONS") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder())


def _is_always_run(item: pytest.Item) -> bool:
    """Whether a test is in every run: a snapshot that no test of a run looks at would end it as unused."""
    return item.get_closest_marker("always") is not None or "snapshot" in getattr(item, "fixturenames", ())


def _module(item: pytest.Item) -> str:
    return item.nodeid.split("::")[0]


def _function(nodeid: str) -> str:
    """A test without its parameters."""
    return nodeid.split("[")[0]


def _sampled(item: pytest.Item) -> list[tuple[_Parameter, Hashable, int]]:
    """The sampled parameters of a test, with its value of each and how many values are taken."""
    called = getattr(item, "callspec", None)
    if called is None:
        return []
    counts: dict[str, int] = {}
    for marker in reversed(list(item.iter_markers("sample"))):  # the nearest counts
        counts |= marker.kwargs
    return [
        ((_module(item), name), _key(called.params[name]), count)
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
