"""End a list where it loses a promised share of the relevant images, as calibrated for the collection.

:mod:`imseek.search.conformal` has the mathematics. :func:`imseek.evaluate.cutoff` calibrates, and stores what lists
lose as a model of the collection, by kind of query: words compared with pictures and words, words compared with
pictures alone, and pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import numpy as np

from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.collection_records import FOREVER
from imseek.data.vectors.base import Ids
from imseek.errors import CorruptCollectionError, QueryError
from imseek.search.candidate_set import CandidateSet
from imseek.search.conformal import Float64, LossCurve
from imseek.search.cutoff import sample_scores
from imseek.search.query import Query
from imseek.search.query_options import promise_of
from imseek.search.score_fusion import Calibration, WordHits, calibrate
from imseek.types.spaces import SpaceInfo

if TYPE_CHECKING:
    from imseek.data.catalog.models import Model
    from imseek.search.prepared_query import PreparedQuery

#: Name and kind of the model that a calibration is stored as.
NAME: Final = "cutoff_calibration"
KIND: Final = "cutoff"
#: What queries are calibrated by: words beside pictures and words, words beside pictures alone, or pictures.
PromisedKind: TypeAlias = Literal["auto", "image", "picture"]
_KINDS: Final[Mapping[PromisedKind, str]] = {
    "auto": "words",
    "image": "words that are compared with pictures alone",
    "picture": "pictures",
}
_CALIBRATE: Final = "imseek evaluate cutoff"
#: The number of images may change by this share before a calibration is called old.
_CHANGE: Final = 0.2


@dataclass(frozen=True, slots=True)
class CutoffCalibration:
    """What lists lose, by kind of query: ``curves``. Of one encoder, when the collection had so many ``images``."""

    fingerprint: str
    images: int
    curves: Mapping[PromisedKind, LossCurve]

    def model(self, facts: Mapping[str, Any]) -> Model:
        """Return the calibration as a model of the collection, with further ``facts``."""
        from imseek.data.catalog.models import Model

        arrays = {}
        for kind, curve in self.curves.items():
            arrays[f"{kind}_relevance"] = curve.relevance
            arrays[f"{kind}_weights"] = curve.weights
        queries = {kind: curve.queries for kind, curve in self.curves.items()}
        own_facts = {"fingerprint": self.fingerprint, "images": self.images, "queries": queries}
        return Model(NAME, KIND, {**facts, **own_facts}, arrays)


def read_calibration(root: Path) -> CutoffCalibration | None:
    """Read the calibration of a collection, None where there is none. Raises CorruptCollectionError."""
    if (path := _find_file(root)) is None:
        return None
    from imseek.data.catalog import models  # Few collections are calibrated.

    model = models.load(root, path)
    if model.kind != KIND:
        return None
    facts, arrays = model.facts, model.arrays
    try:
        curves = {
            cast(PromisedKind, kind): LossCurve(queries, arrays[f"{kind}_relevance"], arrays[f"{kind}_weights"])
            for kind, queries in facts["queries"].items()
        }
        calibration = CutoffCalibration(facts["fingerprint"], facts["images"], curves)
        fault = next((f"has a wrong curve of {kind!r}" for kind, one in curves.items() if not one.is_sound), None)
    except KeyError as error:
        fault = f"lacks {error}"
    if fault is not None:
        raise CorruptCollectionError(
            f"the calibration of the cutoff of {root} {fault}", hint=f"{_CALIBRATE} makes it again"
        )
    return calibration


def is_calibrated(root: Path) -> bool:
    """Return whether a collection has a calibration for promises, of any encoder. It is not read."""
    return _find_file(root) is not None


def _find_file(root: Path) -> str | None:
    with connect_read_only(root) as connection:
        row = connection.execute(
            "SELECT path FROM files WHERE kind = 'model' AND name = ? AND died = ?", (NAME, FOREVER)
        ).fetchone()
    return None if row is None else str(row[0])


def kind_of(query: Query) -> PromisedKind:
    """Return the kind of a query with a promise. Raises QueryError for one that no calibration covers."""
    plain = all(term.weight > 0 and term.vector is None for term in query.terms) and not (query.more or query.less)
    if plain and query.by in ("auto", "image"):
        if all(term.text is not None for term in query.terms):
            return query.by
        if all(term.shows for term in query.terms):
            return "picture"
    raise QueryError(
        f"cutoff {query.cutoff} is calibrated for words and for pictures, not for this kind of query",
        hint="words alone or pictures alone, by auto or image; or --cutoff auto",
    )


def find_curve(calibration: CutoffCalibration | None, query: Query, space: SpaceInfo) -> LossCurve | None:
    """Return what lists of such queries lose, None where that is unknown."""
    if calibration is None or calibration.fingerprint != space.fingerprint:
        return None
    try:
        return calibration.curves.get(kind_of(query))
    except QueryError:
        return None


def find_threshold(calibration: CutoffCalibration | None, query: Query, space: SpaceInfo) -> float:
    """Return the relevance at which the list of a query ends. Raises QueryError where no calibration allows it."""
    kind = kind_of(query)
    if calibration is None:
        raise QueryError(
            f"cutoff {query.cutoff} needs a calibration, and this collection has none",
            hint=f"{_CALIBRATE} makes one from captions or from judgements; or --cutoff auto",
        )
    if calibration.fingerprint != space.fingerprint:
        raise QueryError(
            f"cutoff {query.cutoff}: the collection was calibrated for another encoder than {space.encoder}",
            hint=f"{_CALIBRATE} calibrates it again",
        )
    curve = calibration.curves.get(kind)
    if curve is None:
        raise QueryError(
            f"cutoff {query.cutoff}: the calibration of this collection has no queries by {_KINDS[kind]}",
            hint=f"{_CALIBRATE} --captions FILE, with texts that hold for several images",
        )
    promise = promise_of(query)
    assert promise is not None
    threshold = curve.threshold(promise)
    if threshold is None:
        least = 100 / (curve.queries + 1)
        raise QueryError(
            f"{curve.queries:,} queries of calibration cannot promise {query.cutoff}",
            hint=f"{least:.2g}% is the least that they can; more captions or judgements promise less loss",
        )
    return threshold


def age_note(calibration: CutoffCalibration, images: int) -> str | None:
    """Return a note where the collection has changed much since it was calibrated."""
    if abs(images - calibration.images) <= _CHANGE * calibration.images:
        return None
    return (
        f"the cutoff was calibrated when the collection had {calibration.images:,} images; "
        f"`{_CALIBRATE}` calibrates it again"
    )


def cut_by_promise(candidates: CandidateSet, context: PreparedQuery, threshold: float) -> CandidateSet:
    """Drop the candidates below the threshold; they come best first."""
    positions = np.flatnonzero(_relevance(candidates, context) >= threshold)
    return replace(candidates.take(positions), irrelevant=len(candidates) - len(positions))


def estimate_loss(candidates: CandidateSet, remaining: CandidateSet, context: PreparedQuery) -> float | None:
    """Return the share of relevant images that are lost with what is not ``remaining`` of the candidates.

    None without a calibration, and if nothing is kept: it would tell what is lost if something were there. Where words
    keep images from below others, this counts what is below the first image that is dropped, and so at most too much.
    """
    if context.curve is None or not len(remaining):
        return None
    dropped = ~np.isin(candidates.ids, remaining.ids)
    return context.curve.loss(_relevance(candidates, context)[dropped].max(initial=-math.inf))


def _relevance(candidates: CandidateSet, context: PreparedQuery) -> Float64:
    if context.calibration is not None:
        return candidates.relevance.astype(np.float64)
    return picture_scale(context).relevance(candidates.scores, np.zeros(len(candidates)))


def picture_scale(prepared: PreparedQuery) -> Calibration:
    """Return the calibration by which cosines become log-odds where no word matches."""
    vectors = prepared.query_vectors
    scores = sample_scores(prepared.samples(), vectors.units, vectors.shares)
    return calibrate(scores, prepared.spaces[0].quality, images=prepared.reader.current.images)


def relevance_of(prepared: PreparedQuery, ids: Ids, own_words: WordHits | None = None) -> Float64:
    """Return the relevance (m,) float64 of live images, on the scale of :func:`cut_by_promise`.

    ``own_words`` are what words of these images count in place of what the query found.
    """
    cosines = prepared.scores_of(ids)
    scale, matches = prepared.calibration, np.zeros(len(ids))
    if scale is None:
        return picture_scale(prepared).relevance(cosines, matches)
    words = prepared.words if own_words is None else own_words
    _, image_at, word_at = np.intersect1d(ids, words.ids, assume_unique=True, return_indices=True)
    matches[image_at] = scale.match_evidence(words)[word_at]
    return scale.relevance(cosines, matches).astype(np.float32).astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class RelevanceSample:
    """The relevance of a sample (s,) of a collection's images by their pictures, and of all (w,) whose words match.

    ``unmatched`` (w,): what these would have without their words. ``images`` is the number of all images.
    """

    images: int
    pictures: Float64
    matched: Float64
    unmatched: Float64

    @classmethod
    def of(cls, prepared: PreparedQuery) -> RelevanceSample:
        vectors = prepared.query_vectors
        scores = sample_scores(prepared.samples(), vectors.units, vectors.shares)
        images, scale = prepared.reader.current.images, prepared.calibration or picture_scale(prepared)
        pictures = scale.relevance(scores, np.zeros(len(scores)))
        if prepared.calibration is None:
            return cls(images, pictures, np.empty(0), np.empty(0))
        words = prepared.words
        matched = scale.relevance(words.cosines, scale.match_evidence(words))
        return cls(images, pictures, matched, scale.relevance(words.cosines, np.zeros(len(words.ids))))

    def count(self, threshold: float) -> float:
        """Return about how many images a list has that ends at a threshold."""
        share = (self.pictures >= threshold).mean() if len(self.pictures) else 1.0
        by_words = int((self.matched >= threshold).sum()) - int((self.unmatched >= threshold).sum())
        return float(share * self.images) + by_words
