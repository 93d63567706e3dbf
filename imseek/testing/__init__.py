"""Suites of tests by which a plugin proves that it keeps its promises (docs/plugins.md). They need pytest.

>>> from imseek.testing import EncoderContract
>>> class TestThumbprint(EncoderContract):
...     reference = "thumbprint"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imseek._lazy import lazy_names

if TYPE_CHECKING:
    from imseek.testing.encoders import EncoderContract
    from imseek.testing.exports import ExportContract

__all__ = ["EncoderContract", "ExportContract"]

# Before they are imported: then a failed assertion says what the values were.
pytest.register_assert_rewrite("imseek.testing.encoders", "imseek.testing.exports")

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "imseek.testing.encoders": "EncoderContract",
            "imseek.testing.exports": "ExportContract",
        },
    )
