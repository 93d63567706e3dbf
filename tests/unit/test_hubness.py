"""Hubs: known biases, and a hub that is pushed back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.data.vectors import Matches
from imseek.data.words.values import WordMatches
from imseek.encoders.input_checks import unit_rows
from imseek.errors import UsageError
from imseek.search.candidate_set import CandidateSet
from imseek.search.collection_word_reliability import EVERYDAY
from imseek.search.hubness import BANK_TEXTS, WEIGHT, correct_scores, hub_bias, move_back_hubs
from imseek.search.prepared_query import PreparedQuery
from imseek.search.query import Query, Term
from imseek.search.query_words import words_of
from imseek.search.score_fusion import Calibration, CaptionHits, WordHits, calibrate, fuse_rankings
from imseek.types.arrays import Float32

QUERY = Query((Term(text="red"),), hubness=True)


def test_everyday_words_are_the_stemmed_texts_of_the_bank() -> None:
    assert words_of(Query([Term(text=text) for text in BANK_TEXTS])) == EVERYDAY


def rows(seed: int, count: int, dim: int = 16) -> Float32:
    return unit_rows(np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32))


def test_the_bias_is_the_mean_of_the_best_scores_with_the_bank() -> None:
    images = np.eye(3, dtype=np.float32)
    bank = np.array([[0.6, 0.8, 0], [0, 1, 0], [0.8, 0, 0.6]], np.float32)
    np.testing.assert_allclose(hub_bias(images, bank, 2), [0.7, 0.9, 0.3], atol=1e-6)
    np.testing.assert_allclose(hub_bias(images, bank, 1), [0.8, 1.0, 0.6], atol=1e-6)
    np.testing.assert_allclose(hub_bias(images, bank, 99), [1.4 / 3, 0.6, 0.2], atol=1e-6)


def test_a_hub_no_longer_answers_everything() -> None:
    """Questions of two kinds, each with an image of its own, and a hub between them that is nearer than either."""
    hub = np.array([1, 1, 0, 0]) / np.sqrt(2)
    images = np.array([[1, 0, 0.5, 0], [0, 1, 0, 0.5], hub], np.float32)
    images = unit_rows(images)
    asked = unit_rows(np.array([[0.7, 0.3, 0.05, 0], [0.3, 0.7, 0, 0.05]], np.float32))
    bank = unit_rows(np.array([[0.5, 0.5, 0, 0], [0.6, 0.4, 0, 0], [0.4, 0.6, 0, 0]], np.float32))
    scores = asked @ images.T
    assert scores.argmax(axis=1).tolist() == [2, 2]
    bias = hub_bias(images, bank, 3)
    assert bias.argmax() == 2
    assert [correct_scores(one, bias, 0.5).argmax() for one in scores] == [0, 1]


def test_nothing_is_changed_by_a_weight_of_zero_or_by_equal_biases() -> None:
    scores = np.array([0.3, 0.9, 0.5], np.float32)
    bias = np.array([0.1, 0.8, 0.4], np.float32)
    assert correct_scores(scores, bias, 0).tolist() == scores.tolist()
    assert correct_scores(scores, np.full(3, 0.5, np.float32)).argsort().tolist() == scores.argsort().tolist()


@given(st.integers(0, 50), st.integers(1, 12), st.integers(1, 12), st.integers(1, 15))
def test_candidates_have_the_bias_that_they_have_among_all(seed: int, count: int, bank: int, k: int) -> None:
    images, questions = rows(seed, count), rows(seed + 99, bank)
    whole = hub_bias(images, questions, k)
    assert whole.shape == (count,)
    assert whole.dtype == np.float32
    assert np.abs(whole).max() <= 1 + 1e-6
    some = np.arange(0, count, 2)
    np.testing.assert_allclose(hub_bias(images[some], questions, k), whole[some], atol=1e-6)
    full = np.sort(images @ questions.T, axis=1)[:, ::-1]
    np.testing.assert_allclose(whole, full[:, : min(k, bank)].mean(axis=1), atol=1e-6)


def test_a_bank_is_needed() -> None:
    with pytest.raises(UsageError, match="bank"):
        hub_bias(rows(0, 3), rows(0, 0), 5)
    with pytest.raises(UsageError, match="bank"):
        hub_bias(rows(0, 3), rows(0, 3), 0)


def test_the_words_of_the_bank_are_different_ones() -> None:
    assert len(set(BANK_TEXTS)) == len(BANK_TEXTS) == 64


class TestBesideWordsAndCaptions:
    """What the stage makes of a fused ranking, in which a weight of words is 50, and one of captions 1."""

    @staticmethod
    def fused() -> tuple[CandidateSet, WordHits, Calibration]:
        rng = np.random.default_rng(3)
        cosines = np.sort(rng.normal(0.2, 0.05, 60).astype(np.float32))[::-1].round(2)
        words = WordMatches(np.array([7, 40, 50]), np.array([0.4, 0.02, 0.1]), np.array([1.0, 0.5, 1.0]), 3, 60)
        said = rng.normal(0.1, 0.05, 60).astype(np.float32)
        spoken = CaptionHits(np.array([30, 40, 55]), np.array([0.5, 0.9, 0.6], np.float32), said, 60)
        hits = WordHits.of(words).with_captions(spoken)
        hits = replace(hits, cosines=cosines[hits.ids])
        calibration = calibrate(cosines, "basic", captions=[spoken])
        return fuse_rankings(Matches(np.arange(60), cosines), hits, calibration, 60), hits, calibration

    @staticmethod
    def context(hits: WordHits, calibration: Calibration, vectors: Float32, bank: Float32) -> PreparedQuery:
        """What the stage looks up, of a query by a picture in one space."""
        found = SimpleNamespace(
            spaces=("space",),
            is_text=False,
            words=hits,
            calibration=calibration,
            query_vectors=SimpleNamespace(shares=(1.0,)),
            samples=lambda: [bank],
            rows=lambda ids: [vectors[ids]],
        )
        return cast(PreparedQuery, found)

    @pytest.mark.parametrize("bank", [0, 5], ids=["no bank", "one bias for all"])
    def test_without_a_bias_nothing_changes(self, bank: int) -> None:
        candidates, hits, calibration = self.fused()
        vectors = np.repeat(rows(0, 1), 60, axis=0)
        found = move_back_hubs(candidates, QUERY, self.context(hits, calibration, vectors, rows(1, bank)))
        assert found.ids.tolist() == candidates.ids.tolist()
        np.testing.assert_allclose(found.relevance, candidates.relevance, atol=1e-4)
        assert found.scores.tolist() == candidates.scores.tolist()

    def test_a_bias_changes_what_the_picture_counts(self) -> None:
        candidates, hits, calibration = self.fused()
        vectors, bank = rows(0, 60), rows(1, 5)
        found = move_back_hubs(candidates, QUERY, self.context(hits, calibration, vectors, bank))
        bias = hub_bias(vectors[candidates.ids], bank)
        corrected = correct_scores(candidates.scores, bias) + WEIGHT * bias.mean()
        matches = dict(zip(hits.ids.tolist(), calibration.match_evidence(hits).tolist(), strict=True))
        evidence = np.array([matches.get(i, 0.0) for i in candidates.ids.tolist()])
        expected = dict(zip(candidates.ids.tolist(), calibration.relevance(corrected, evidence), strict=True))
        assert found.ids.tolist() != candidates.ids.tolist()
        np.testing.assert_allclose(found.relevance, [expected[i] for i in found.ids.tolist()], atol=1e-4)
