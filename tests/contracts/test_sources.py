"""What every kind of source promises, checked on each of ours."""

from __future__ import annotations

import pytest
from sourcing.cases import CASES

from imseek.testing.sources import SourceCase, SourceContract

pytestmark = pytest.mark.sample(case=6)


class TestSource(SourceContract):
    @pytest.fixture(params=CASES, ids=lambda case: case.name)
    def case(self, request: pytest.FixtureRequest) -> SourceCase:
        found: SourceCase = request.param
        return found
