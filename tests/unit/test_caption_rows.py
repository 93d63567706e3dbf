"""What a run stores of a caption where the picture has a twin."""

from __future__ import annotations

import numpy as np
import pytest

from imseek.encoders import registry
from imseek.indexer.encode_stage import CaptionRows

TWIN = {"caption": "a red car"}


def test_a_copy_has_the_row_of_its_own_caption(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = registry.load("fake:8")
    rows = CaptionRows({3: encoder})
    vectors = {0: np.ones(8, np.float16), **rows.of([TWIN])[0]}
    other = rows.of_copy({"caption": "blue"}, TWIN, vectors)
    assert (other[0] == vectors[0]).all()
    assert other[3] == pytest.approx(encoder.encode_texts(["blue"])[0], abs=1e-3)
    assert not rows.of_copy({"caption": None}, TWIN, vectors)[3].any()
    monkeypatch.setattr(encoder, "encode_texts", lambda _: pytest.fail("it is the same"))
    assert rows.of_copy({"caption": " a red car "}, TWIN, vectors) is vectors
    assert not rows.of_copy({"caption": "  "}, TWIN, vectors)[3].any()


def test_without_the_space_there_is_nothing_to_store() -> None:
    rows = CaptionRows({})
    assert (rows.of([TWIN, {}]), rows.space_ids, rows.notes()) == ([{}, {}], (), ())
    vectors = {0: np.ones(8, np.float16)}
    assert rows.of_copy({"caption": "blue"}, TWIN, vectors) == vectors
