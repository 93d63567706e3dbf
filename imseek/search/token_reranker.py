"""The reranker ``tokens``: words of the query against stored tokens of the pictures (docs/decisions/0054-tokens.md)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from imseek.data.catalog import models
from imseek.data.catalog.models import Model
from imseek.data.reader import Reader
from imseek.encoders.patch_features import require_patches
from imseek.encoders.runtime import Runtime
from imseek.encoders.token_interaction import WORDS, Interaction
from imseek.errors import CorruptCollectionError, QueryError, UsageError
from imseek.types.arrays import Float32
from imseek.types.spaces import SpaceInfo
from imseek.types.token_spaces import KIND, NAME

if TYPE_CHECKING:
    from imseek.search.prepared_query import PreparedQuery
    from imseek.search.rerankers import CandidateData, RerankRequest, TermKind

#: Version of the arrays and facts of a model.
VERSION: Final = 1
#: What the answer says where nothing could be compared.
NO_TOKENS: Final = "no hit has tokens, so the reranker tokens changes nothing: `imseek maintain --tokens` makes them"
#: What to do where tokens cannot be used.
LEARN: Final = "`imseek tune --reranker` learns from captions how to make and compare them"
#: Models in memory, by collection and generation.
_MAX_CACHED: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class TokenModel:
    """A model, ready to use. ``weight`` is that of its scores, relative to the logarithm of the rank so far."""

    interaction: Interaction
    weight: float


def checked_model(root: Path, model: Model, space: SpaceInfo) -> TokenModel:
    """Return a stored model, for vectors of ``space``.

    Raises UsageError where it belongs to another encoder or a later imseek, CorruptCollectionError.
    """
    facts = model.facts
    if facts.get("version", VERSION) > VERSION:
        raise UsageError("the model of tokens was learned by a later version of imseek", hint="update imseek")
    if facts.get("fingerprint") != space.fingerprint:
        raise UsageError(
            f"tokens are those of {facts.get('encoder')}, and the vectors of {space.encoder} that are searched are not",
            hint=LEARN,
        )
    try:
        return TokenModel(Interaction.of(model.arrays), float(facts["weight"]))
    except (KeyError, ValueError) as error:
        raise CorruptCollectionError(
            f"the model of tokens of {root} cannot be used: {error}", hint="`imseek maintain --no-tokens` deletes it"
        ) from error


def combine(scores: Float32, weight: float) -> Float32:
    """Return what candidates, best first, are ordered by: their scores, less the logarithm of their rank so far."""
    keys: Float32 = np.float32(weight) * scores - np.log1p(np.arange(len(scores), dtype=np.float32))
    return keys


class TokenReranker:
    """Scores candidates by the model of the collection. One without tokens counts as one of average score; where none
    has any, all scores are 0."""

    name = NAME
    version = str(VERSION)
    reads: tuple[TermKind, ...] = ("text",)
    needs: tuple[CandidateData, ...] = ()

    def __init__(self, *, runtime: Runtime | None = None, notify: Callable[[str], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._models: OrderedDict[tuple[Path, str, int], TokenModel] = OrderedDict()

    def score(self, request: RerankRequest) -> Float32:
        """Raises QueryError where the collection has no model, or there are several collections."""
        if len(request.collections) > 1:
            raise QueryError("every collection compares tokens its own way: search one at a time")
        (prepared,) = request.collections
        reader = prepared.reader
        if not isinstance(reader, Reader):
            raise QueryError("a published collection has no tokens", hint="search the collection that it comes from")
        model = self._model(reader)
        rows = _read_tokens(reader, model.interaction, prepared, request.ids.tolist())
        has_tokens = np.array([image_id in rows for image_id in request.ids.tolist()], np.bool_)
        scores = np.zeros(len(has_tokens), np.float32)
        if not has_tokens.any():
            return scores
        tokens = np.stack([rows[image_id] for image_id in request.ids[has_tokens].tolist()]).astype(np.float32)
        count, dim = model.interaction.shape
        tokens = tokens.reshape(-1, count, dim) * np.float32(count**0.5)
        encoder = require_patches(prepared.encoder.encoder(reader.current.space, "text"), reader.current.space.encoder)
        terms = [term for term in request.query.terms if term.text is not None]
        heaviest = max(abs(term.weight) for term in terms)
        for term, states in zip(terms, encoder.token_states([str(term.text) for term in terms], WORDS), strict=True):
            request.check_time()
            if states.shape[1] != len(model.interaction.text):
                raise CorruptCollectionError(f"the model of tokens of {reader.root} is not for words of its encoder")
            scores[has_tokens] += np.float32(term.weight / heaviest) * model.interaction.score(states, tokens)
        scores[~has_tokens] = scores[has_tokens].mean()
        return combine(scores, model.weight)

    def _model(self, reader: Reader) -> TokenModel:
        key = reader.root, reader.identity.uuid, reader.generation  # A copy may have learned something else.
        with self._lock:
            if key not in self._models:
                model = models.find(reader.root, NAME)
                if model is None or model.kind != KIND:
                    raise QueryError("this collection has no tokens", hint=LEARN)
                self._models[key] = checked_model(reader.root, model, reader.current.space)
                while len(self._models) > _MAX_CACHED:
                    self._models.popitem(last=False)
            return self._models[key]


def _read_tokens(
    reader: Reader, model: Interaction, prepared: PreparedQuery, ids: list[int]
) -> dict[int, npt.NDArray[np.float16]]:
    """Return the tokens of those images that have some, one after another in a row."""
    space = reader.unused_space(model.fingerprint(reader.current.space.fingerprint))
    if space is None:
        return {}
    space_id, dim = space
    if dim != model.shape[0] * model.shape[1]:
        raise CorruptCollectionError(f"space {space_id} of {reader.root} does not hold the tokens that its model makes")
    rows = reader.rows_of(ids, space_id)
    return {image_id: row for image_id, row in rows.items() if len(row) == dim and row.any() and np.isfinite(row).all()}
