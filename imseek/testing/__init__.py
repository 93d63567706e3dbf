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
    from imseek.testing.rerankers import RerankerContract
    from imseek.testing.sources import FolderCase, Picture, SourceCase, SourceContract

__all__ = [
    "EncoderContract", "ExportContract", "FolderCase", "Picture", "RerankerContract", "SourceCase", "SourceContract",
]  # fmt: skip

# Before they are imported: then a failed assertion says what the values were.
pytest.register_assert_rewrite(*(f"imseek.testing.{one}" for one in ("encoders", "exports", "rerankers", "sources")))

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "imseek.testing.encoders": "EncoderContract",
            "imseek.testing.exports": "ExportContract",
            "imseek.testing.rerankers": "RerankerContract",
            "imseek.testing.sources": "FolderCase Picture SourceCase SourceContract",
        },
    )
