"""Rerankers as plugins bring them, without a package that is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from imseek.plugins import Plugin
from imseek.search import RerankRequest, rerankers


class StandIn:
    """A reranker whose scores a function computes from the request."""

    version = "1.0"

    def __init__(
        self,
        score: Callable[[RerankRequest], Any],
        *,
        name: str = "stand-in",
        reads: tuple[str, ...] = ("text", "picture"),
        needs: tuple[str, ...] = (),
    ) -> None:
        self.name, self.reads, self.needs = name, reads, needs
        self._score = score
        self.calls: list[list[int]] = []

    def score(self, request: RerankRequest) -> Any:
        self.calls.append(request.ids.tolist())
        return self._score(request)

    def load(self) -> Callable[..., StandIn]:
        """Act as the entry point."""
        return lambda *, runtime, notify: self


def install(monkeypatch: pytest.MonkeyPatch, *found: StandIn) -> None:
    """Let these be the rerankers of a package."""
    plugins = {one.name: Plugin("imseek.rerankers", one.name, "imseek-stand-in", "0.1", one) for one in found}
    monkeypatch.setattr(rerankers, "find_plugins", lambda group: plugins)


def by_brightness(**options: Any) -> StandIn:
    """Return one that looks at pictures: bright ones come first, those that are gone last."""

    def score(request: RerankRequest) -> Any:
        means = [-1.0 if one is None else float(one.mean()) for one in request.pictures(min_side=64)]
        return np.array(means, np.float32)

    return StandIn(score, name="brightness", needs=("pictures",), **options)


def by_caption(**options: Any) -> StandIn:
    """Return one that reads texts: images whose captions have more words of the query come first."""

    def score(request: RerankRequest) -> Any:
        words = {word for text in request.texts for word in text.split()}
        captions = [str(one.get("caption", "")).split() for one in request.metadata()]
        return np.array([len(words.intersection(caption)) for caption in captions], np.float32)

    return StandIn(score, name="caption-words", reads=("text",), needs=("metadata",), **options)
