"""Near-duplicates: by vector, by hash where the vectors agree, and never by a hash that says nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from imseek.search.collapse import ALIKE, BITS, SAME, hamming, stand_ins


def at(*angles: float) -> np.ndarray:
    wide = np.array(angles)
    return np.stack([np.cos(wide), np.sin(wide)], axis=1).astype(np.float32)


def hashes(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def angle(cosine: float) -> float:
    return float(np.arccos(cosine))


def test_by_the_vector_alone() -> None:
    close, apart = angle(SAME + 0.001), angle(SAME - 0.001)
    assert stand_ins(at(0, close), hashes(0, 0)).tolist() == [0, 0]
    assert stand_ins(at(0, apart), hashes(0, 0)).tolist() == [0, 1]


def test_by_the_hash_where_vectors_agree() -> None:
    alike, unlike = angle(ALIKE + 0.01), angle(ALIKE - 0.01)
    near = (1 << BITS) - 1
    far = (1 << (BITS + 1)) - 1
    base = 1 << 40
    assert stand_ins(at(0, alike), hashes(base, base ^ near)).tolist() == [0, 0]
    assert stand_ins(at(0, alike), hashes(base, base ^ far)).tolist() == [0, 1]
    assert stand_ins(at(0, unlike), hashes(base, base)).tolist() == [0, 1]


def test_a_hash_of_zero_says_nothing() -> None:
    alike = angle(ALIKE + 0.01)
    assert stand_ins(at(0, alike), hashes(0, 0)).tolist() == [0, 1]
    assert stand_ins(at(0, alike), hashes(0, 1)).tolist() == [0, 1]
    assert stand_ins(at(0, alike), hashes(1, 0)).tolist() == [0, 1]


def test_chains_do_not_join() -> None:
    step = angle(SAME + 0.001)
    assert stand_ins(at(0, step, 2 * step, 3 * step), hashes(0, 0, 0, 0)).tolist() == [0, 0, 2, 2]


def test_the_best_stands_for_the_others() -> None:
    assert stand_ins(at(0, 1, 0, 1, 0), hashes(0, 0, 0, 0, 0)).tolist() == [0, 1, 0, 1, 0]
    assert stand_ins(at(), hashes()).tolist() == []


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.integers(0, 2**64 - 1))
def test_hamming(values: list[int], one: int) -> None:
    expected = [(value ^ one).bit_count() for value in values]
    assert hamming(hashes(*values), np.uint64(one)).tolist() == expected
