"""What every reranker promises, checked on ours, one that looks at pictures and one that reads words."""

from __future__ import annotations

import numpy as np
import pytest
import reranking

from imseek import Collection, maintenance
from imseek.data.catalog import model_files
from imseek.data.catalog.models import Model
from imseek.data.writing.writer import Writer
from imseek.encoders.fake import FakeEncoder
from imseek.encoders.interaction_training import InteractionPairs, train_interaction
from imseek.testing.rerankers import RerankerContract


class TestReranker(RerankerContract):
    @pytest.fixture(params=[reranking.by_brightness, reranking.by_caption], autouse=True)
    def every_reranker(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        made = request.param()
        reranking.install(monkeypatch, made)
        self.reranker = made.name


class TestCaptions(RerankerContract):
    reranker = "captions"


class TestTokens(RerankerContract):
    reranker = "tokens"

    @pytest.fixture(autouse=True)
    def tokens(self, photos: Collection) -> None:
        """Tokens by the model that has learned nothing: the encoder's own alignment of cells and words."""
        encoder = FakeEncoder()
        nothing = InteractionPairs(
            np.zeros((1, 64, 4), np.float16),
            [np.zeros((1, 64), np.float32)],
            np.zeros((1, 2), np.int64),
            np.zeros((1, 1), np.int64),
            np.ones((1, 1), np.bool_),
        )
        _, model = next(train_interaction(nothing, encoder.patch_alignment(), seed=0, every=1))
        facts = {"version": 1, "weight": 1.0, "encoder": "fake", "fingerprint": encoder.fingerprint()}
        with Writer(photos.path, "test") as writer:
            model_files.put(writer, Model("tokens", "reranker", facts, model.arrays))
        maintenance.make_tokens(photos.path)
