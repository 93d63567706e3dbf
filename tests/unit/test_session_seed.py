"""Samples are the same throughout a run and others in each commit; in time every trial is drawn."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import session_seed
from durability import faults
from durability.stage import SCENARIOS
from hypothesis import core, settings
from hypothesis_profiles import TIMES, examples


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch):
    """``at("a commit")``: from now on, the tests run there."""

    def move(commit: str) -> None:
        monkeypatch.setattr(session_seed, "session_seed", lambda: commit)

    monkeypatch.setattr(faults, "ALL", False)
    monkeypatch.delenv("IMSEEK_FAULTS", raising=False)
    return move


def test_the_seed_is_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMSEEK_SEED", raising=False)
    command = ["git", "-C", Path(__file__).parent, "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    assert session_seed.session_seed.__wrapped__() == (commit or "0")
    monkeypatch.setenv("IMSEEK_SEED", "of a failure")
    assert session_seed.session_seed.__wrapped__() == "of a failure"
    monkeypatch.delenv("IMSEEK_SEED")
    monkeypatch.setenv("PATH", "")  # no git
    assert session_seed.session_seed.__wrapped__() == "0"


def test_a_sample_is_another_one_in_each_commit(at) -> None:
    drawn = []
    for commit in ("one", "two"):
        at(commit)
        drawn.append([faults.sample(range(300), 2, f"kills of {name}") for name in SCENARIOS])
        assert drawn[-1] == [faults.sample(range(300), 2, f"kills of {name}") for name in SCENARIOS]
        assert all(trials == sorted(set(trials)) for trials in drawn[-1])
        assert len({tuple(trials) for trials in drawn[-1]}) > len(SCENARIOS) - 3, "each has its own"
    assert sum(one == two for one, two in zip(*drawn, strict=True)) < 3


def test_in_time_all_trials_are_drawn(at) -> None:
    drawn = set()
    for commit in range(200):
        at(str(commit))
        drawn |= set(faults.sample(range(50), 2, "kills"))
    assert drawn == set(range(50))


def test_more_or_all_can_be_had(at, monkeypatch: pytest.MonkeyPatch) -> None:
    at("a commit")
    assert len(faults.sample(range(50), 2, "kills")) == 2
    monkeypatch.setenv("IMSEEK_FAULTS", "9")
    assert len(faults.sample(range(50), 2, "kills")) == 9
    assert faults.sample(range(5), 2, "kills") == range(5)
    monkeypatch.setattr(faults, "ALL", True)
    assert faults.sample(range(50), 2, "kills") == range(50)


def test_hypothesis_begins_at_the_seed(pytestconfig: pytest.Config) -> None:
    if settings.get_current_profile_name() == "long":
        assert core.global_force_seed is None, "its database would not be used"
        assert (examples(7), settings.default.max_examples) == (7 * TIMES, 100 * TIMES)
        assert settings.default.database is not None
    else:
        assert core.global_force_seed == int(pytestconfig.getoption("--hypothesis-seed"))
        assert (examples(7), settings.default.max_examples) == (7, 100)
    assert not settings.default.derandomize


def test_the_seed_is_in_the_header(pytestconfig: pytest.Config) -> None:
    lines = pytestconfig.hook.pytest_report_header(config=pytestconfig, start_path=Path(), startdir=None)
    assert f"samples: IMSEEK_SEED={session_seed.session_seed()}" in str(lines)
