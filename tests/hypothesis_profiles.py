"""Plugin of pytest: which examples hypothesis draws.

- ``imseek``, the profile of every run: the seed is the run's (tests/session_seed.py), so each commit meets other
  examples, and a failure is met again with the seed that it names. Hypothesis's example database is not used then.
- ``long`` (``pytest --hypothesis-profile=long``): ten times as many examples, by a new seed in every run. Examples that
  failed stay in ``.hypothesis/long`` and are tried first in the next run.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import session_seed
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

LONG = "long"
#: So many times more examples in the profile ``long``.
TIMES = 10

settings.register_profile(
    "imseek",
    deadline=None,  # How long an example takes says how busy the machine is.
    derandomize=False,  # Where CI is set, hypothesis would draw the same examples in every run.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    LONG,
    settings.get_profile("imseek"),
    max_examples=100 * TIMES,
    # No relative path: tests change the current folder.
    database=DirectoryBasedExampleDatabase(Path(__file__).parent.parent / ".hypothesis/long"),
)
settings.load_profile("imseek")


def examples(count: int) -> int:
    """``max_examples`` of a test that says how many it wants: more in the profile ``long``."""
    return count * TIMES if settings.get_current_profile_name().startswith(LONG) else count


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before hypothesis's own plugin reads its options."""
    is_long = (config.getoption("--hypothesis-profile") or "").startswith(LONG)
    if config.getoption("--hypothesis-seed") is None and not is_long:
        config.option.hypothesis_seed = str(session_seed.number("hypothesis"))
