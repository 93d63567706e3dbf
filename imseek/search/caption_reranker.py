"""The reranker ``captions``: by the meaning of captions, beside the order so far (docs/decisions/0043-rerankers.md)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from imseek.encoders.builtin.onnx_cache import text_network
from imseek.encoders.builtin.text import TextTower
from imseek.encoders.builtin.weights import FILES
from imseek.encoders.input_checks import available_cpus, unit_rows
from imseek.encoders.runtime import Runtime
from imseek.errors import CAPTION_SOURCES
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    from imseek.search.rerankers import CandidateData, RerankRequest, TermKind

#: Weight of a cosine, relative to the logarithm of the rank; chosen on half A of the stamps (bench/rerank.py).
WEIGHT: Final = 10.0
#: Characters of a caption that count: more would be read in several pieces, which takes seconds for 100 captions.
_MAX_CAPTION: Final = 300
#: Captions whose vectors are kept, 1.5 kB each.
_MAX_CACHED: Final = 10_000
#: What the answer says where nothing could be compared.
NO_CAPTION: Final = f"no hit has a caption, so the reranker captions changes nothing: {CAPTION_SOURCES}"


class CaptionReranker:
    """Scores candidates by the cosine of query and caption in MiniLM, less the logarithm of their rank so far.

    A candidate without a caption counts as one of average likeness; where no candidate has one, all scores are 0.
    """

    name = "captions"
    version = "1"
    reads: tuple[TermKind, ...] = ("text",)
    needs: tuple[CandidateData, ...] = ("metadata",)

    def __init__(self, *, runtime: Runtime | None = None, notify: Callable[[str], None] | None = None) -> None:
        """Check that the weights are installed. Raises MissingExtraError."""
        for file in FILES["text"]:
            file.locate()
        self._threads = (runtime or Runtime()).threads or available_cpus()
        self._lock = threading.Lock()
        self._tower: TextTower | None = None
        self._rows: dict[str, Float32] = {}

    def score(self, request: RerankRequest) -> Float32:
        captions = [_caption(one.get("caption") or one.get("title")) for one in request.metadata()]
        has_caption = np.array([bool(one) for one in captions], np.bool_)
        if not has_caption.any():
            return np.zeros(len(captions), np.float32)
        terms = [term for term in request.query.terms if term.text is not None]
        with self._lock:
            vectors = self._encode([str(term.text) for term in terms])
            rows = self._encode(list(filter(None, captions)))
        weights = np.array([[term.weight] for term in terms], np.float32)
        query = unit_rows((weights * vectors).sum(axis=0, keepdims=True))
        cosines = np.zeros(len(captions), np.float32)
        cosines[has_caption] = rows @ query[0]
        cosines[~has_caption] = cosines[has_caption].mean()
        scores: Float32 = np.float32(WEIGHT) * cosines - np.log1p(np.arange(len(captions), dtype=np.float32))
        return scores

    def _encode(self, texts: Sequence[str]) -> Float32:
        """Return (n, 384) float32 unit rows of texts, kept for further queries."""
        if self._tower is None:
            self._tower = TextTower(text_network()[0], threads=self._threads)
        if len(self._rows) > _MAX_CACHED:
            self._rows.clear()
        if new_texts := [text for text in dict.fromkeys(texts) if text not in self._rows]:
            self._rows.update(zip(new_texts, self._tower(new_texts), strict=True))
        return np.stack([self._rows[text] for text in texts])


def _caption(value: object) -> str:
    """Return the beginning of a caption, of the first if there are several; empty if there is none."""
    text = value[0] if isinstance(value, list) and value else value
    return str(text)[:_MAX_CAPTION].strip() if text else ""
