"""What every reranker promises, checked on ours, one that looks at pictures and one that reads words."""

from __future__ import annotations

import pytest
import reranking

from imseek.testing.rerankers import RerankerContract


class TestReranker(RerankerContract):
    @pytest.fixture(params=[reranking.by_brightness, reranking.by_caption], autouse=True)
    def every_reranker(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        made = request.param()
        reranking.install(monkeypatch, made)
        self.reranker = made.name


class TestCaptions(RerankerContract):
    reranker = "captions"
