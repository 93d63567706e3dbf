"""The lists nearest to a query are found by codes of their centres."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from approximating import NARROW_ROWS, NARROW_WIDTH, narrow_index, narrow_rows

from imseek.data.vectors.centre_codes import encode_centres, fit_index
from imseek.data.vectors.code_rotation import RotatedIndex
from imseek.data.vectors.faiss_snapshot import Snapshot

FACTORY = "OPQ32,IVF64,PQ32x4fs"


@pytest.fixture(scope="module")
def index() -> Any:
    return narrow_index(FACTORY, narrow_rows(NARROW_ROWS))


def snapshot_of(index: Any, codes: Any) -> Snapshot:
    return Snapshot(index, None, None, codes)  # type: ignore[arg-type]


def test_nearly_all_lists_found_are_the_nearest(index: Any) -> None:
    queries = narrow_rows(50, 1)
    by_centres = snapshot_of(index, None).nearest_lists(queries, 8)
    by_codes = snapshot_of(index, encode_centres(RotatedIndex.of(index))).nearest_lists(queries, 8)
    assert by_centres is not None
    assert by_codes is not None
    shared = [len(np.intersect1d(a, b)) for a, b in zip(by_centres.numbers, by_codes.numbers, strict=True)]
    assert np.mean(shared) > 7
    assert by_codes.numbers.shape == by_codes.cosines.shape == (50, 8)
    assert by_codes.numbers.dtype == np.int64
    np.testing.assert_allclose(by_codes.queries, by_centres.queries)


@pytest.mark.parametrize("has_codes", [True, False])
def test_with_a_reach_only_lists_about_as_near_as_the_nearest_are_probed(index: Any, has_codes: bool) -> None:
    snapshot = snapshot_of(index, encode_centres(RotatedIndex.of(index)) if has_codes else None)
    queries = narrow_rows(50, 1)
    everything = snapshot.nearest_lists(queries, 24)
    lists = snapshot.nearest_lists(queries, 16, 0.12)
    assert everything is not None
    assert lists is not None
    counts = []
    for n in range(50):
        cosines = np.sort(everything.cosines[n])[::-1]
        near = np.flatnonzero(everything.cosines[n] >= min(cosines[0] - np.float32(0.12), cosines[1]))
        chosen = lists.numbers[n][lists.numbers[n] >= 0]
        assert set(chosen.tolist()) == set(everything.numbers[n][near].tolist())
        counts.append(len(chosen))
    assert min(counts) < 16 < max(counts), "half as many more for those that need it"
    assert min(counts) >= 2, "an eighth in any case"


def test_candidates_come_from_the_lists_within_reach(index: Any) -> None:
    snapshot = snapshot_of(index, encode_centres(RotatedIndex.of(index)))
    queries = narrow_rows(50, 1)
    lists = snapshot.nearest_lists(queries, 16, 0.12)
    assert lists is not None
    candidates = snapshot.candidates(queries, 100, 16, None, reach=0.12)
    for n in range(50):
        of_lists = np.concatenate([snapshot.ids_of_list(number) for number in lists.numbers[n].tolist() if number >= 0])
        found = candidates.ids[n][candidates.ids[n] >= 0]
        assert len(found) == min(100, len(of_lists))
        assert np.isin(found, of_lists).all()


def test_one_query_is_searched_as_many_are(index: Any) -> None:
    snapshot = snapshot_of(index, encode_centres(RotatedIndex.of(index)))
    queries = narrow_rows(20, 1)
    together = snapshot.candidates(queries, 50, 4, None)
    for n in range(len(queries)):
        alone = snapshot.candidates(queries[n : n + 1], 50, 4, None)
        assert set(alone.ids[0].tolist()) == set(together.ids[n].tolist())


def test_as_many_lists_as_there_are(index: Any) -> None:
    snapshot = snapshot_of(index, encode_centres(RotatedIndex.of(index)))
    lists = snapshot.nearest_lists(narrow_rows(3, 1), 1000)
    assert lists is not None
    assert [sorted(numbers) for numbers in lists.numbers.tolist()] == [list(range(64))] * 3


@pytest.mark.parametrize("factory", ["IVF16,SQ8", "IVF16,PQ32x4fsr", "IVF16,PQ32x4", "PQ32x4fs", "Flat"])
def test_other_kinds_have_no_codes(factory: str) -> None:
    other = RotatedIndex.of(narrow_index(factory, narrow_rows(2000)))
    assert encode_centres(other) is None
    assert not fit_index(np.zeros((16, 16), np.uint8), other)


def test_codes_of_another_form_do_not_fit(index: Any) -> None:
    rotated = RotatedIndex.of(index)
    codes = encode_centres(rotated)
    assert codes is not None
    assert codes.shape == (64, NARROW_WIDTH // 4)
    assert fit_index(codes, rotated)
    for other in (codes[:-1], codes[:, :-1], codes.astype(np.int8), codes.ravel()):
        assert not fit_index(other, rotated)
