"""Evaluate search quality with captions as ground truth, and compare encoders and indexes.

>>> report = imseek.evaluate.retrieval("photos.imseek")      # doctest: +SKIP
>>> report.text_to_image.recall[10]
Estimate(value=0.474, low=0.42, high=0.529)

R@k is CLIP_benchmark's ``image_retrieval_recall@k`` (text to image) and ``text_retrieval_recall@k``;
`bench/parity_metrics.py` compares the two implementations. Only :func:`cutoff` and :func:`save` store anything.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy.typing as npt

from imseek import aesthetic
from imseek.aesthetic import AestheticScores
from imseek.analysis.score_columns import save_scores
from imseek.analysis.snapshot_session import SnapshotSession, run_with_reader
from imseek.captions.caption_pairs import CaptionSource
from imseek.data.reader import Reader
from imseek.encoders.runtime import Runtime
from imseek.errors import UsageError
from imseek.evaluate import ann_recall as neighbours
from imseek.evaluate import comparison, cutoff_calibration, encoder_agreement
from imseek.evaluate import retrieval_evaluation as retrieving
from imseek.evaluate.encoder_agreement import AgreementRequest
from imseek.evaluate.results import (
    AgreementReport,
    Among,
    CompareReport,
    CutoffReport,
    NeighbourReport,
    RetrievalReport,
)
from imseek.evaluate.retrieval_evaluation import RetrievalRequest
from imseek.metrics.estimate import better_side as better_side
from imseek.progress import ProgressCallback, Task
from imseek.tilde_expansion import expand_user
from imseek.types.collection_arguments import AnyCollection, path_of


def retrieval(
    collection: AnyCollection,
    *,
    captions: CaptionSource | None = None,
    caption_column: str | None = None,
    space: int | str | None = None,
    where: str | None = None,
    among: Among = "captioned",
    ks: Sequence[int] | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> RetrievalReport:
    """Search each picture by its captions, and each caption by its picture, and report recall and ranks.

    ``captions`` is a table (CSV, JSON Lines, Parquet) that names images by ``image_id`` or path, or captions by image
    id. None uses the collection's captions: their stored vectors, or else they are embedded for this call. Ranks are
    among the images with a caption, or with ``among="all"`` among all that meet ``where``. ``ks`` are the k of R@k
    (default 1, 5 and 10). Intervals are 95 % bootstrap intervals over queries; captions of one image are drawn
    together.

    Memory: 12 bytes per image, and 4 · dim bytes per caption embedded for this call. Raises UsageError (an unreadable
    table, an encoder without a text tower, k above the number ranked), QueryError (no captions, ``where``), whatever
    loading an encoder raises, CollectionNotFoundError, CorruptCollectionError.
    """
    if among not in get_args(Among):
        raise UsageError(f"{among!r} is nothing to rank among", hint=f"one of {', '.join(get_args(Among))}")
    request = RetrievalRequest(captions, caption_column, space, where, among, ks)
    return run_with_reader(
        collection, lambda reader: retrieving.evaluate(reader, request, Task(progress, stop), notify)
    )


def ann(
    collection: AnyCollection,
    *,
    space: int | str | None = None,
    queries: int = neighbours.QUERIES,
    ks: Sequence[int] = (10,),
    filtered: float | None = None,
    own_queries: str | os.PathLike[str] | Sequence[str] | npt.NDArray[Any] | None = None,
    query_kind: Literal["text", "image"] = "text",
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
    given: str | os.PathLike[str] | Sequence[str] | npt.NDArray[Any] | None = None,
    given_kind: Literal["text", "image"] | None = None,
) -> NeighbourReport:
    """Measure the recall and the query time of a space's approximate index against exact search, by kind of query.

    Queries are stored rows, which must find their neighbours but not themselves, and text-like queries: captions if
    they are embedded, otherwise rows shifted across the gap between text and images. ``own_queries`` replaces them:
    vectors (n, dim), a ``.npy`` file of vectors (``query_kind`` says how they are searched), texts, or a file with one
    text a line. ``filtered`` admits a random share of the images. Intervals are 95 % bootstrap intervals over queries.
    ``given`` and ``given_kind`` are the deprecated names of ``own_queries`` and ``query_kind``.

    Raises UsageError (k above the number of images, an unreadable file), QueryError (vectors of another dimension),
    whatever loading an encoder raises if texts are given, CollectionNotFoundError, CorruptCollectionError,
    MissingExtraError (FAISS).
    """
    if given is not None:
        warnings.warn("given is deprecated: use own_queries", DeprecationWarning, stacklevel=2)
        own_queries = given if own_queries is None else own_queries
    if given_kind is not None:
        warnings.warn("given_kind is deprecated: use query_kind", DeprecationWarning, stacklevel=2)
        query_kind = given_kind
    if isinstance(own_queries, str | os.PathLike):
        own_queries = expand_user(own_queries)
    if query_kind not in ("text", "image"):
        raise UsageError(f"{query_kind!r} is not a kind of query", hint="text or image")
    request = neighbours.RecallRequest(space, queries, tuple(ks), filtered, own_queries, query_kind)
    task = Task(progress, stop)
    with SnapshotSession(collection) as session:
        return session.run(lambda reader: neighbours.evaluate(session, request, task, notify))


def cutoff(
    collection: AnyCollection,
    *,
    captions: CaptionSource | None = None,
    caption_column: str | None = None,
    runtime: Runtime | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> CutoffReport:
    """Calibrate ``cutoff="10%"`` by texts whose images are known, store that, and report what such lists keep.

    ``captions`` are as for :func:`retrieval`; a text that holds for several images names them in several rows, so
    judgements of queries are a table too. None uses the collection's captions; words of an image's own caption do not
    count then where it is the query. Queries of each kind (words, words with ``by="image"``, and pictures, of texts
    with several images) are calibrated by at most 1,000 texts. Afterwards, a list with a cutoff of 10 % loses on
    average at most a tenth of the relevant images, for queries like these.

    Raises QueryError (no captions, fewer than 100 different texts), UsageError (an unreadable table), whatever loading
    an encoder raises, CollectionNotFoundError, CorruptCollectionError, LockedError, ReadOnlyError, StorageError.
    """
    root, task = path_of(collection), Task(progress, stop)
    calibration, report = cutoff_calibration.calibrate(
        root, captions, caption_column, runtime=runtime, task=task, notify=notify
    )
    if calibration is None:
        return report
    from imseek.data.catalog import model_files
    from imseek.data.writing.writer_wait import open_writer

    facts = {"encoder": report.encoder, "captions_from": report.captions_from}
    with open_writer(root, "evaluate cutoff") as writer:
        return replace(report, generation=model_files.put(writer, calibration.model(facts)))


def compare(
    collection: AnyCollection,
    *,
    encoders: tuple[int | str | None, int | str | None] | None = None,
    against: AnyCollection | None = None,
    captions: CaptionSource | None = None,
    caption_column: str | None = None,
    where: str | None = None,
    ks: Sequence[int] | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> CompareReport:
    """Compare two encoders on the same pictures and captions: the difference in R@k and average precision.

    Differences are second minus first, with 95 % intervals of a paired bootstrap. ``report.verdict`` names the better
    one, or is None if no difference is shown. ``encoders`` are space ids, references, or None for the first space.
    Vectors come from a space of the collection if there is one; otherwise its pictures are decoded once and encoded for
    this call, and nothing is stored. ``against`` compares with another collection instead, by the first space of each,
    on the pictures that both have (by content). Captions are as for :func:`retrieval`; both encoders embed them.

    Memory: 4 · dim bytes per caption; new vectors are kept in a temporary file. Raises UsageError, QueryError, whatever
    loading an encoder raises, CollectionNotFoundError, CorruptCollectionError.
    """
    if (encoders is None) == (against is None):
        raise UsageError("two encoders, or another collection, are what can be compared")
    if encoders is not None and len(encoders) != 2:
        raise UsageError(f"two encoders are compared, not {len(encoders)}")
    request = comparison.ComparisonRequest(encoders, captions, caption_column, where, ks)

    def work(reader: Reader, other: Reader | None) -> CompareReport:
        return comparison.compare(reader, other, request, Task(progress, stop), notify)

    if against is None:
        return run_with_reader(collection, lambda reader: work(reader, None))
    return run_with_reader(collection, lambda reader: run_with_reader(against, lambda other: work(reader, other)))


def agreement(
    collection: AnyCollection,
    a: str,
    b: str,
    *,
    sample: int = 200,
    where: str | None = None,
    texts: Sequence[str] | None = None,
    seed: int = 0,
    runtime: Runtime | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> AgreementReport:
    """Try the encoders ``a`` and ``b`` on a sample of the collection's pictures: speed, agreement, where they differ.

    ``sample`` images are drawn at random (``seed``) from those that meet ``where``, and encoded by both. For each
    image, and each of ``texts`` (default: common words), the nearest images by either encoder are compared. If the
    sample has captions, ``report.better`` says which encoder finds more pictures by them, as :func:`compare` does on
    the whole collection. Nothing is stored.

    Memory: the sample's vectors. Raises UsageError (fewer than 5 readable pictures, the same encoder twice), QueryError
    (``where``, an empty text), Cancelled, whatever loading an encoder raises, CollectionNotFoundError,
    CorruptCollectionError.
    """
    request = AgreementRequest((a, b), sample, where, None if texts is None else tuple(texts), seed)
    return run_with_reader(
        collection, lambda reader: encoder_agreement.measure(reader, request, runtime, Task(progress, stop), notify)
    )


def aesthetic_scores(
    collection: AnyCollection,
    weights: str | os.PathLike[str],
    *,
    where: str | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> AestheticScores:
    """Predict how much people like each picture with a LAION aesthetic predictor, about 1 to 10.

    ``weights`` is a file from christophschuhmann/improved-aesthetic-predictor or LAION-AI/aesthetic-predictor. The
    pictures must be encoded with OpenAI's ViT-L/14 (or, for version 1, ViT-B/32 or ViT-B/16). Memory: 17 bytes per
    image. Raises UsageError for another network or a collection with other vectors, UntrustedWeightsError for a file
    that could run code, EncoderError for a damaged one, QueryError (``where``), CollectionNotFoundError,
    CorruptCollectionError.
    """
    predictor = aesthetic.load(expand_user(weights))
    return run_with_reader(collection, lambda reader: aesthetic.score(reader, predictor, where, Task(progress, stop)))


def save(collection: AnyCollection, scores: AestheticScores, name: str) -> int:
    """Store scores as the derived column ``name``, for filters (``--where``) and hits; returns the generation.

    Raises UsageError for an invalid name, LockedError, ReadOnlyError, StorageError.
    """
    facts = {"version": scores.version, "encoder": scores.encoder, "generation": scores.generation}
    return save_scores(path_of(collection), name, scores.ids, scores.scores, "aesthetic", facts)
