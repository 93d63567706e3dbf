"""Evidence of pictures and words, and the merge of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm

from imseek.data.vectors import Matches
from imseek.data.vectors.scores import top_k
from imseek.data.words.scoring import idf
from imseek.data.words.values import Prefix, WordMatches, WordQuery
from imseek.search.cutoff import ROUNDING
from imseek.search.query import Query, Term
from imseek.search.query_words import text_share, words_of
from imseek.search.score_fusion import (
    CAPTION_WEIGHT,
    LEAST_AGREEMENT_IN_WORDS,
    LEAST_TRUST_IN_WORDS,
    TEXTS,
    WEAK_ENCODER,
    WITHOUT_CAPTIONS,
    WORD_WEIGHT,
    WORD_WEIGHTS,
    Calibration,
    CaptionCalibration,
    CaptionHits,
    WordHits,
    calibrate,
    calibrate_each,
    caption_agreement,
    fuse_rankings,
    log_odds,
    rank_by_words,
    share_frequencies,
)


def hits(ids: npt.ArrayLike, evidence: npt.ArrayLike, cosines: npt.ArrayLike) -> WordHits:
    values = np.asarray(evidence, np.float64)
    return WordHits(
        np.asarray(ids, np.int64),
        values,
        np.ones(len(values)),
        values,
        np.asarray(cosines, np.float32),
        len(values),
        len(values),
        100,
    )


def matches(ids: npt.ArrayLike, scores: npt.ArrayLike, shares: npt.ArrayLike) -> WordMatches:
    count = len(np.asarray(ids))
    return WordMatches(
        np.asarray(ids, np.int64), np.asarray(scores, np.float64), np.asarray(shares, np.float64), count, 100
    )


def collection(rng: np.random.Generator, count: int, matching: int) -> tuple[Matches, WordHits]:
    """All images by cosine, and some with words; rounded cosines make ties."""
    ids = np.sort(rng.choice(10 * count, count, replace=False)).astype(np.int64)
    cosines = rng.normal(0.2, 0.05, count).round(int(rng.integers(1, 4))).astype(np.float32)
    chosen = rng.choice(count, matching, replace=False)
    return top_k(ids, cosines, count), hits(ids[chosen], rng.gamma(2, 2, matching), cosines[chosen])


def brute_force(every: Matches, words: WordHits, calibration: Calibration) -> list[int]:
    """Rank all images by their evidence; ties: those with words first, then by cosine, then by id."""
    of_words = dict(zip(words.ids.tolist(), calibration.match_evidence(words).tolist(), strict=True))
    told = np.array([of_words.get(i, 0.0) for i in every.ids.tolist()])
    total = calibration.relevance(every.scores, told)
    named = np.isin(every.ids, words.ids)
    return every.ids[np.lexsort((every.ids, ~named, -total))].tolist()


def captions(rng: np.random.Generator, ids: npt.NDArray[np.int64]) -> CaptionHits:
    """Captions of which some are like the query."""
    cosines = rng.normal(0.1, 0.05, len(ids)).astype(np.float32)
    cosines[: rng.integers(1, 20)] += np.float32(0.4)
    order = np.lexsort((ids, -cosines))
    return CaptionHits(ids[order], cosines[order], cosines, len(ids))


def norm_evidence(cosines: npt.ArrayLike, sample: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the log-odds of cosines, by the definition."""
    wide = np.asarray(sample, np.float64)
    z = (np.asarray(cosines, np.float64) - wide.mean()) / (wide.std() + ROUNDING)
    found: npt.NDArray[np.float64] = norm.logcdf(z) - norm.logsf(z)
    return found


class TestLogOdds:
    def test_of_the_normal_distribution(self) -> None:
        z = np.array([-40.0, -3, -0.5, 0, 0.5, 1.6448536, 5, 12, 24.9, 25, 25.1, 37, 38, 60, 2000])
        assert log_odds(z) == pytest.approx(norm.logcdf(z) - norm.logsf(z), rel=1e-7, abs=1e-12)

    def test_grows(self) -> None:
        assert (np.diff(log_odds(np.linspace(-60, 60, 20_001))) > 0).all()


class TestCalibration:
    def test_a_cosine_like_the_sample_says_nothing(self) -> None:
        found = calibrate(np.array([0.1, 0.2, 0.3], np.float32), "full")
        assert found.picture_evidence(np.array([0.2], np.float32)) == pytest.approx(0, abs=1e-6)
        assert found.weight == WORD_WEIGHT

    def test_the_weight_follows_the_encoder_and_the_share_of_text(self) -> None:
        assert calibrate(np.zeros(3, np.float32), "basic").weight == WORD_WEIGHTS["basic"]
        assert calibrate(np.zeros(3, np.float32), "full", 0.25).weight == WORD_WEIGHT / 4

    def test_equal_or_no_scores(self) -> None:
        for scores in (np.full(5, 0.3, np.float32), np.empty(0, np.float32)):
            assert np.isfinite(calibrate(scores, "full").picture_evidence(np.array([-1, 0.3, 1], np.float32))).all()

    @pytest.mark.parametrize("count", [1, 2, 5, 100, 20_000])
    def test_captions_that_have_nothing_to_do_with_the_query_count_nothing(self, count: int) -> None:
        rng = np.random.default_rng(count)
        cosines = np.sort(rng.normal(0.1, 0.03, count).astype(np.float32))[::-1]
        spoken = CaptionHits(np.arange(count), cosines[:500], rng.permutation(cosines)[:4096], count)
        found = calibrate(np.zeros(3, np.float32), "basic", captions=[spoken]).caption_evidence(cosines[:500])
        assert np.count_nonzero(found) <= 3, "that many captions are as rare as one of all"
        assert found.max() < 5
        like = calibrate(np.zeros(3, np.float32), "basic", captions=[spoken])
        assert like.caption_evidence(np.array([0.7, np.nan], np.float32)).tolist()[1] == 0

    def test_captions_of_several_collections_are_one_sample(self) -> None:
        one = CaptionHits(np.array([1]), np.array([0.5], np.float32), np.array([0.1, 0.2], np.float32), 2)
        other = CaptionHits(np.array([1]), np.array([0.5], np.float32), np.array([0.3, 0.4], np.float32), 98)
        found = calibrate(np.zeros(3, np.float32), "full", 0.5, [one, other]).captions
        assert found is not None
        assert (found.mean, found.floor) == pytest.approx((0.25, np.log(100)))
        assert found.weight == CAPTION_WEIGHT / 2

    def test_each_collection_is_believed_by_its_own_captions(self) -> None:
        """Captions of other pictures count nothing, and those of a collection beside it count as ever."""
        cosines = np.linspace(0.9, 0.1, 40, dtype=np.float32)
        right, wrong = (
            CaptionHits(np.arange(40), cosines, np.zeros(9, np.float32), total, agreement=agreement)
            for total, agreement in ((40, 3.0), (960, 0.0))
        )
        one, other, without = calibrate_each(np.zeros(3, np.float32), "full", 1.0, [right, wrong, None], [], 1000)
        assert one.captions is not None
        assert other.captions is not None
        assert (one.captions.weight, one.weight) == (CAPTION_WEIGHT, WORD_WEIGHT)
        assert (other.captions.weight, other.weight) == (0.0, LEAST_AGREEMENT_IN_WORDS * WORD_WEIGHT)
        assert other.caption_evidence(cosines).max() == 0 < one.caption_evidence(cosines).max()
        assert without.weight == WORD_WEIGHT
        assert one.captions.floor == other.captions.floor


class TestTrust:
    """Words and captions count by how like the query the pictures of their best matches are."""

    SAMPLE = np.tile(np.array([0.1, 0.3], np.float32), 50)  # Mean .2, deviation .1.

    def weight(self, evidence: npt.ArrayLike, cosines: npt.ArrayLike) -> float:
        words = hits(range(len(np.asarray(evidence))), evidence, cosines)
        return calibrate(self.SAMPLE, "full", words=[words]).weight

    def test_in_words_follows_the_pictures_of_the_best(self) -> None:
        assert self.weight([5.0] * 4, [0.5] * 4) == WORD_WEIGHT
        assert self.weight([5.0] * 4, [0.3] * 4) == pytest.approx(0.75 * WORD_WEIGHT, rel=0.02)
        assert self.weight([5.0] * 4, [0.1] * 4) == LEAST_TRUST_IN_WORDS * WORD_WEIGHT
        assert self.weight([5.0] * 10 + [1.0] * 90, [0.5] * 10 + [0.0] * 90) == WORD_WEIGHT
        assert self.weight([], []) == WORD_WEIGHT

    def test_in_one_match_is_larger_than_in_many_of_the_same(self) -> None:
        assert self.weight([5.0], [0.25]) > self.weight([5.0] * 10, [0.25] * 10)

    def test_in_captions_may_be_none(self) -> None:
        spoken = CaptionHits(np.arange(40), np.linspace(0.9, 0.1, 40, dtype=np.float32), np.zeros(9, np.float32), 100)
        for cosine, trust in ((0.4, 1.0), (0.2, 0.316), (0.0, 0.0)):
            both = replace(WordHits.empty().with_captions(spoken), cosines=np.full(40, cosine, np.float32))
            found = calibrate(self.SAMPLE, "full", captions=[spoken], words=[both])
            assert found.captions is not None
            assert found.captions.weight == pytest.approx(trust * CAPTION_WEIGHT, abs=0.02)

    @pytest.mark.parametrize(
        ("agreement", "of_captions", "of_words"), [(0.0, 0.0, 0.25), (0.5, 1.0, 0.5), (3.0, 2.0, 1.0), (9.0, 0.3, 1.0)]
    )
    def test_captions_count_by_how_they_agree_with_their_pictures(
        self, agreement: float, of_captions: float, of_words: float
    ) -> None:
        """Not at all where they belong to others, and less where pictures know what captions know."""
        spoken = CaptionHits(
            np.arange(40), np.linspace(0.9, 0.1, 40, dtype=np.float32), np.zeros(9, np.float32), 40, agreement=agreement
        )
        both = hits(range(40), [5.0] * 40, [0.5] * 40).with_captions(spoken)
        both = replace(both, cosines=np.full(40, 0.5, np.float32))
        found = calibrate(self.SAMPLE, "full", captions=[spoken], words=[both])
        assert found.captions is not None
        assert found.captions.weight == pytest.approx(of_captions)
        assert found.weight == pytest.approx(of_words * WORD_WEIGHT)
        assert (found.caption_evidence(both.captions).max() > 0) == (agreement > 0)
        of_both = found.trusted_evidence(both) - found.caption_evidence(both.captions)
        assert of_both == pytest.approx(5 * of_words)

    def test_agreement_is_how_far_pictures_stand_out_by_their_captions(self) -> None:
        rng = np.random.default_rng(3)
        pictures = rng.standard_normal((300, 64)).astype(np.float32)
        pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
        close = pictures[:50] + 0.1 * rng.standard_normal((50, 64)).astype(np.float32)
        loose = pictures[:50] + 0.4 * rng.standard_normal((50, 64)).astype(np.float32)
        strangers = rng.permutation(close)
        found = [
            caption_agreement(one / np.linalg.norm(one, axis=1, keepdims=True), pictures[:50], pictures)
            for one in (close, loose, strangers)
        ]
        assert found[0] > 5 > found[1] > 1 > abs(found[2])
        assert caption_agreement(pictures[:0], pictures[:0], pictures) == WEAK_ENCODER

    def test_a_picture_without_a_caption_need_not_have_one(self) -> None:
        """A picture that is sure goes before an irrelevant caption where few images have captions."""
        cosines, evidence = np.array([0.9, 0.3], np.float32), np.array([0.0, 30.0])
        for coverage, first in ((1.0, 1), (0.3, 0)):
            captions = CaptionCalibration(0.0, 0.1, 5.0, 1.0, coverage)
            found = Calibration(0.2, 0.1, 1.0, 5.0, captions).relevance(cosines, evidence)
            assert np.argmax(found) == first


class TestMerge:
    @pytest.mark.parametrize("seed", range(40))
    def test_equals_the_ranking_of_all_images(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        every, words = collection(rng, 300, int(rng.integers(0, 60)))
        calibration = calibrate(every.scores, "basic" if seed % 2 else "full", words=[words])
        expected = brute_force(every, words, calibration)
        for count in (1, 5, 17, 100, 299, 300):
            best = Matches(every.ids[:count], every.scores[:count])
            assert fuse_rankings(best, words, calibration, count).ids.tolist() == expected[:count]

    @pytest.mark.parametrize("seed", range(20))
    def test_with_captions_equals_the_ranking_of_all_images(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        every, words = collection(rng, 300, int(rng.integers(0, 40)))
        spoken = captions(rng, rng.permutation(every.ids)[:200])
        both = words.with_captions(spoken)
        scores = dict(zip(every.ids.tolist(), every.scores.tolist(), strict=True))
        both = replace(both, cosines=np.array([scores[i] for i in both.ids.tolist()], np.float32))
        quality = "basic" if seed % 2 else "full"
        calibration = calibrate(every.scores, quality, captions=[spoken], words=[both])
        assert calibration.captions is not None
        assert calibration.captions.coverage == pytest.approx(2 / 3)
        least = np.maximum(norm_evidence(spoken.cosines, spoken.sample) - np.log(200) / 3, 0)
        said = dict(zip(spoken.ids.tolist(), (calibration.captions.weight * least).tolist(), strict=True))
        told = dict(zip(words.ids.tolist(), (calibration.weight * words.evidence).tolist(), strict=True))
        ids = every.ids.tolist()
        odds = norm_evidence(every.scores, every.scores)
        pictures = np.log1p(np.exp(odds) / 300) + 0.2 * odds
        seen = np.maximum(pictures, 0)
        matches = np.array([told.get(i, 0.0) + said.get(i, 0.0) for i in ids])
        total = np.maximum((seen**2 + matches**2) ** 0.5, (1 + WITHOUT_CAPTIONS / 3) * seen)
        total += np.minimum(pictures, 0) + 0.001 * pictures
        assert 0 < np.count_nonzero(matches) < 150, "some captions count, and most do not"
        expected = every.ids[np.lexsort((every.ids, ~np.isin(every.ids, both.ids), -total))].tolist()
        for count in (1, 5, 17, 100, 300):
            best = Matches(every.ids[:count], every.scores[:count])
            assert fuse_rankings(best, both, calibration, count).ids.tolist() == expected[:count]

    def test_captions_keep_their_cosines_through_all_that_is_taken(self) -> None:
        spoken = CaptionHits(np.array([9, 2]), np.array([0.9, 0.7], np.float32), np.zeros(5, np.float32), 5)
        both = hits([4, 2], [3.0, 1.0], [0.1, 0.2]).with_captions(spoken)
        assert both.ids.tolist() == [4, 2, 9]
        assert both.captions.tolist() == pytest.approx([np.nan, 0.7, 0.9], nan_ok=True)
        assert both.evidence.tolist() == [3, 1, 0]
        assert both.first(2).captions.tolist() == pytest.approx([np.nan, 0.7], nan_ok=True)
        assert WordHits.empty().with_captions(spoken).ids.tolist() == [2, 9]
        assert len(both.cosines) == 0, "those of pictures are computed for all"

    @pytest.mark.parametrize("seed", range(20))
    def test_of_a_longer_ranking_only_appends(self, seed: int) -> None:
        """Also where scores of an approximate ranking rise from one rung to the next."""
        rng = np.random.default_rng(seed)
        every, words = collection(rng, 200, 30)
        missed = rng.random(200) < 0.2
        rungs = np.concatenate([np.flatnonzero(~missed)[:50], np.flatnonzero(missed), np.flatnonzero(~missed)[50:]])
        ranking = Matches(every.ids[rungs], every.scores[rungs])
        calibration = calibrate(every.scores, "full")
        whole = fuse_rankings(ranking, words, calibration, 200).ids.tolist()
        assert sorted(whole) == sorted(every.ids.tolist())
        for count in range(1, 200):
            first = Matches(ranking.ids[:count], ranking.scores[:count])
            assert fuse_rankings(first, words, calibration, count).ids.tolist() == whole[:count]

    def test_without_words_is_the_ranking_of_pictures(self) -> None:
        every, _ = collection(np.random.default_rng(1), 50, 0)
        found = fuse_rankings(every, WordHits.empty(), calibrate(every.scores, "full"), 50)
        assert found.ids.tolist() == every.ids.tolist()
        assert found.scores.tolist() == every.scores.tolist()
        assert not found.words.any()

    def test_keeps_cosines_and_says_what_words_add(self) -> None:
        every = Matches(np.array([4, 2, 9]), np.array([0.3, 0.2, 0.1], np.float32))
        found = fuse_rankings(every, hits([9], [50.0], [0.1]), Calibration(0.2, 0.1, 1.0), 3)
        assert found.ids.tolist() == [9, 4, 2]
        assert found.scores.tolist() == pytest.approx([0.1, 0.3, 0.2])
        assert found.words.tolist() == [50, 0, 0]
        assert (np.diff(found.relevance) <= 0).all()

    def test_by_words_alone_scores_are_shares(self) -> None:
        words = WordHits.of(matches([7, 3], [9.0, 2.0], [0.5, 1.0]))
        found = rank_by_words(words, 10)
        assert found.ids.tolist() == [7, 3], "the order of BM25"
        assert found.scores.tolist() == [0.5, 1.0]
        assert rank_by_words(words, 1).ids.tolist() == [7]


def test_several_words_of_a_text_count_more() -> None:
    found = WordHits.of(matches([1, 2], [4.0, 4.0], [1.0, 0.5]), matches([2, 8], [3.0, 9.0], [0.5, 1.0]))
    assert found.evidence.tolist() == [4.0, 2.0 + TEXTS * 1.5]


def test_in_several_collections_a_word_is_as_rare_as_in_all_of_them() -> None:
    rare, common = (
        WordHits(
            np.array([1]),
            np.array([score]),
            np.ones(1),
            np.array([score]),
            np.ones(1, np.float32),
            total,
            total,
            documents,
        )
        for score, total, documents in ((idf(1, 1000), 1, 1000), (idf(5, 10), 5, 10))
    )
    one, two = share_frequencies([rare, common])
    assert one.scores == pytest.approx(idf(6, 1010))
    assert two.scores == pytest.approx(idf(6, 1010))
    (alone,) = share_frequencies([rare])
    assert alone.evidence == pytest.approx(rare.evidence)
    assert share_frequencies([WordHits.empty(), WordHits.empty()])[0].total == 0


def ask(*texts: str, weights: tuple[float, ...] = ()) -> Query:
    each = weights or (1.0,) * len(texts)
    return Query(tuple(Term(text=text, weight=weight) for text, weight in zip(texts, each, strict=True)))


class TestWords:
    def test_function_words_count_only_alone(self) -> None:
        assert words_of(ask("the horses in a field")).words == ("hors", "field")
        assert words_of(ask("it is")).words == ("it", "is")
        assert words_of(ask('a "dog in"')) == WordQuery((), (("dog", "in"),))
        assert words_of(ask("a hor*")) == WordQuery(prefixes=(Prefix("hor"),))

    def test_of_positive_texts(self) -> None:
        query = ask("red car", "red snow", "blue", weights=(1.0, 2.0, -0.5))
        assert words_of(query).words == ("red", "car", "snow")
        assert text_share(query) == 1
        picture = Query((Term(text="red", weight=1), Term(image_id=3, weight=3), Term(image_id=4, weight=-9)))
        assert text_share(picture) == 0.25

    @pytest.mark.parametrize("text", ['"', "''", "AND", "a OR b*", 'NEAR("x" y)', "!!! …", "😀", "- + : ^ ()", '"" "'])
    def test_nothing_is_syntax(self, text: str) -> None:
        words_of(ask(text))  # does not raise

    def test_quotes_of_one_term_end_with_it(self) -> None:
        assert words_of(ask('an "open', 'red" car')).phrases == ()

    def test_ten_thousand_words(self) -> None:
        assert 1 <= len(words_of(ask(" ".join(f"w{n}" for n in range(10_000)))).words) <= 64
