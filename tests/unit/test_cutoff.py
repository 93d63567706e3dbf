"""Where an answer ends: known answers on made scores, and what must hold for any."""

from __future__ import annotations

import math

import numpy as np
import pytest
from clocks import instructions
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from imseek.errors import UsageError
from imseek.search.cutoff import (
    EXPECTED_FALSE_HITS,
    MIN_CLEARANCE,
    MIN_SAMPLE,
    MIN_SHARE_OF_BEST,
    ROUNDING,
    Background,
    background,
    clearance_steps,
    count_relevant,
    neutral_scores,
    quantile,
    sample_scores,
)
from imseek.types.arrays import Float32


def floats(*values: float) -> Float32:
    return np.array(values, np.float32)


#: A sample of 401 irrelevant images: median 0.20, lower quartile 0.175, among 101 images 2.5 steps are clear of it.
BULK = np.linspace(0.15, 0.25, 401, dtype=np.float32)
BEHIND = background(BULK, searched=101)


@given(npst.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1, 1)), st.sampled_from([0.25, 0.5]))
def test_quantiles_are_those_of_numpy(scores: np.ndarray, share: float) -> None:
    assert quantile(np.sort(scores), share) == np.quantile(scores, share)


def test_the_background_is_median_and_step_down_to_the_lower_quartile() -> None:
    assert (BEHIND.sampled, BEHIND.searched) == (401, 101)
    assert BEHIND.level == pytest.approx(0.20, abs=1e-6)
    assert BEHIND.step == pytest.approx(0.025 + ROUNDING, abs=1e-6)
    assert BEHIND.clear == pytest.approx(0.20 + 2.5 * 0.026, abs=1e-6)


def test_what_is_relevant_in_the_sample_moves_the_background_little() -> None:
    with_relevant = background(np.concatenate([BULK, np.full(120, 0.9, np.float32)]))
    assert with_relevant.level == pytest.approx(0.215, abs=1e-3)
    assert with_relevant.step < 0.04


def test_images_that_stand_clear_are_kept_and_the_rest_is_cut() -> None:
    # Clear of the bulk: above 0.20 + 2.5 × 0.026 = 0.265. Near to the best: above 0.20 + 0.3 × 0.2 = 0.26.
    assert count_relevant(floats(0.40, 0.35, 0.27, 0.262, 0.25, 0.2), BEHIND) == 3


def test_a_high_best_score_ends_the_list_earlier() -> None:
    # Near to the best: above 0.20 + 0.3 × 0.7 = 0.41.
    assert count_relevant(floats(0.90, 0.42, 0.40, 0.29), BEHIND) == 2


def test_nothing_is_kept_where_nothing_stands_clear() -> None:
    assert count_relevant(floats(*np.sort(BULK)[::-1]), BEHIND) == 0


def test_nothing_is_kept_that_neutral_words_fit_as_well() -> None:
    scores = floats(0.40, 0.35, 0.29)
    assert count_relevant(scores, BEHIND, floats(0.41, 0.36, 0.29)) == 0
    assert count_relevant(scores, BEHIND, floats(0.41, 0.36, 0.28)) == 3  # the third is more than that
    assert count_relevant(scores, BEHIND, floats(0.41, 0.36)) == 0  # and is not asked about here
    assert count_relevant(scores, BEHIND, floats()) == 3


def test_where_most_of_the_collection_is_relevant_neutral_words_are_the_background() -> None:
    relevant = np.linspace(0.5, 0.6, 401, dtype=np.float32)
    scores = relevant[::-1]
    assert count_relevant(scores, background(relevant)) == 0  # all alike: none stands out
    assert count_relevant(scores, background(relevant, BULK), np.full(100, 0.2, np.float32)) == 401
    assert background(BULK, relevant, searched=101) == BEHIND  # neutral words never raise the level


def test_all_images_the_same() -> None:
    same = np.full(MIN_SAMPLE, 0.7, np.float32)
    assert count_relevant(same, background(same)) == MIN_SAMPLE
    nearly = same + np.linspace(2e-4, -2e-4, MIN_SAMPLE, dtype=np.float32)  # rounding of the rows to float16
    assert count_relevant(nearly, background(nearly)) == MIN_SAMPLE
    assert count_relevant(same, BEHIND) == MIN_SAMPLE  # the first ones of a collection whose other images score less
    assert count_relevant(np.full(10, 0.25, np.float32), BEHIND) == 0  # and here they score no more than others


@pytest.mark.parametrize("images", [0, 1, 5, MIN_SAMPLE - 1])
def test_tiny_collections_are_never_cut(images: int) -> None:
    scores = np.linspace(0.9, 0.1, images, dtype=np.float32)
    assert count_relevant(scores, background(scores), np.ones(images, np.float32)) == images


def test_from_twenty_images_on_lists_are_cut() -> None:
    scores = floats(0.9, *np.linspace(0.2, 0.1, MIN_SAMPLE - 1))
    assert count_relevant(scores, background(scores)) == 1


@pytest.mark.parametrize("searched", [1_000, 100_000, 10_000_000])
def test_among_more_images_it_takes_more_to_stand_clear(searched: int) -> None:
    """Of normal scores, so many are beyond: with a quartile at 0.6745 deviations."""
    deviations = clearance_steps(searched) * 0.6744898
    assert searched * math.erfc(deviations / math.sqrt(2)) / 2 == pytest.approx(EXPECTED_FALSE_HITS, rel=1e-4)


def test_among_few_images_the_least_number_of_steps_counts() -> None:
    assert [clearance_steps(searched) for searched in (0, 1, 16, 17, 100)] == [MIN_CLEARANCE] * 5
    assert clearance_steps(200) > MIN_CLEARANCE


def test_what_was_searched_counts_and_not_what_was_sampled() -> None:
    scores = floats(0.34, 0.32, 0.30)  # 5.4, 4.6 and 3.8 steps above
    assert count_relevant(scores, background(BULK, searched=1_000)) == 3  # 3.6 steps are clear
    assert count_relevant(scores, background(BULK, searched=5_000)) == 2  # 4.4
    assert count_relevant(scores, background(BULK, searched=20_000)) == 1  # 5.0
    assert count_relevant(scores, background(BULK, searched=200_000)) == 0  # 5.8


def test_no_scores() -> None:
    assert count_relevant(floats(), BEHIND) == 0


def test_scores_must_descend_and_neutral_ones_belong_to_them() -> None:
    with pytest.raises(UsageError, match="best first"):
        count_relevant(floats(0.1, 0.2), BEHIND)
    with pytest.raises(UsageError, match="first j images"):
        count_relevant(floats(0.2), BEHIND, floats(0.1, 0.1))
    with pytest.raises(UsageError, match="neutral texts"):
        background(BULK, BULK[:3])


def test_scores_of_a_sample_are_the_weighted_mean_of_the_spaces() -> None:
    first, second = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[[2, 1, 0]]
    query = floats(0.6, 0.8, 0.0)
    assert sample_scores([first], [query]).tolist() == floats(0.6, 0.8, 0.0).tolist()
    mixed = sample_scores([first, second], [query, query], [0.75, 0.25])
    np.testing.assert_allclose(mixed, [0.45, 0.8, 0.15], atol=1e-7)
    assert mixed.dtype == np.float32


def test_neutral_scores_are_the_mean_over_the_texts() -> None:
    rows, texts = np.eye(3, dtype=np.float32), floats(1, 0, 0, 0, 1, 0).reshape(2, 3)
    np.testing.assert_allclose(neutral_scores(rows, texts), [0.5, 0.5, 0.0])


SCORES = npst.arrays(np.float32, st.integers(1, 60), elements=st.floats(-1, 1, width=32)).map(
    lambda scores: np.sort(scores)[::-1]
)
BEHINDS = st.builds(Background, st.integers(0, 200), st.integers(0, 10**7), st.floats(-1, 1), st.floats(ROUNDING, 1))


@given(SCORES, BEHINDS)
def test_a_part_of_the_list_is_kept_and_nothing_beside_it(scores: Float32, behind: Background) -> None:
    kept = count_relevant(scores, behind)
    assert 0 <= kept <= len(scores)
    if 0 < kept < len(scores):
        assert scores[kept - 1] > scores[kept]  # equal scores share one fate


@given(SCORES, BEHINDS, st.integers(1, 59))
def test_a_longer_list_keeps_the_same_beginning(scores: Float32, behind: Background, short: int) -> None:
    if behind.sampled < MIN_SAMPLE or scores[0] - scores[-1] < 2 * ROUNDING:
        return
    first = scores[:short]
    if first[0] - first[-1] >= 2 * ROUNDING:
        assert count_relevant(first, behind) == min(len(first), count_relevant(scores, behind))


@given(SCORES, BEHINDS, st.data())
def test_higher_scores_below_the_best_never_lower_the_count(
    scores: Float32, behind: Background, data: st.DataObject
) -> None:
    rise = data.draw(npst.arrays(np.float32, len(scores), elements=st.floats(0, 1, width=32)))
    raised = np.sort(np.minimum(scores + rise, scores[0]))[::-1]
    assert count_relevant(raised, behind) >= count_relevant(scores, behind)


@given(SCORES, st.floats(0.25, 4), st.floats(-0.5, 0.5))
def test_scale_and_offset_of_scores_do_not_matter(scores: Float32, scale: float, offset: float) -> None:
    behind = Background(100, 1000, 0.2, 0.03)
    moved = (scores.astype(np.float64) * scale + offset).astype(np.float32)
    other = Background(100, 1000, 0.2 * scale + offset, 0.03 * scale)
    above = scores.astype(np.float64) - behind.level
    edge = max(clearance_steps(1000) * behind.step, MIN_SHARE_OF_BEST * above[0])
    if np.abs(above - edge).min() > 1e-5 and above[0] - above[-1] > 10 * ROUNDING:
        assert count_relevant(moved, other) == count_relevant(scores, behind)


def test_no_loop_over_images() -> None:
    """As many instructions for 4,096 images as for 256: what grows with them is NumPy's. (bench/cutoff.py: seconds.)"""

    def work(images: int) -> int:
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((images, 64), dtype=np.float32) / np.float32(8)
        scores = np.sort(rng.random(images // 4, np.float32))[::-1]

        def answer() -> None:
            behind = background(sample_scores([rows], [rows[0]]), neutral_scores(rows, rows[:2]))
            count_relevant(scores, behind, scores[:100] / 2)

        return instructions(answer, "/search/cutoff.py")

    few, many = work(400), work(4096)
    assert 100 < few == many
