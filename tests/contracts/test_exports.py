"""What every export format promises, checked on each of ours."""

from __future__ import annotations

import pytest

from imseek.exports.formats import FORMATS
from imseek.testing.exports import ExportContract


class TestExport(ExportContract):
    @pytest.fixture(params=FORMATS, autouse=True)
    def every_format(self, request: pytest.FixtureRequest) -> None:
        self.format = request.param
