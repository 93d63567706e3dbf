"""Plugin of pytest: where ``IMSEEK_CI`` is set, a skip is a failure, unless its test has the marker ``gpu``.

A skip says that something is missing. On a developer's machine it may be; in CI the test would pass without testing.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail") and item.get_closest_marker("gpu") is None:
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module, or a conftest.py, that skips itself at import."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or not os.environ.get("IMSEEK_CI"):
        return
    match report.longrepr:
        case (path, line, reason):
            where = f"{path}:{line}: {reason}"
        case other:
            where = str(other)
    report.outcome = "failed"
    report.longrepr = f"{where}\nIMSEEK_CI is set: nothing may be missing, so a skip is a failure."
