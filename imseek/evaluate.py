"""How good search is, by captions that say what should be found: ``imseek.evaluate.retrieval(collection)``.

>>> report = imseek.evaluate.retrieval("photos.imseek")      # doctest: +SKIP
>>> report.text_to_image.recall[10]
Estimate(value=0.474, low=0.42, high=0.529)

R@k is what CLIP_benchmark calls ``image_retrieval_recall@k`` (words find pictures) and ``text_retrieval_recall@k``;
`bench/parity_metrics.py` compares the two. Nothing is stored in the collection.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy.typing as npt

from imseek.data.reader import Reader
from imseek.errors import StaleGenerationError, UsageError
from imseek.explore import aesthetic
from imseek.explore.aesthetic import AestheticScores
from imseek.explore.captions.caption_pairs import Given
from imseek.explore.evaluation import ann_recall as neighbours
from imseek.explore.evaluation import comparison
from imseek.explore.evaluation import retrieval as retrieving
from imseek.explore.evaluation.retrieval import Among, Wanted
from imseek.explore.score_columns import save_scores
from imseek.explore.snapshot_session import reading
from imseek.search.generations import Editions
from imseek.types import AnyCollection, ProgressCallback, path_of
from imseek.types.evaluate import CompareReport, NeighbourReport, RetrievalReport


def retrieval(
    collection: AnyCollection,
    *,
    captions: Given | None = None,
    caption_column: str | None = None,
    space: int | str | None = None,
    where: str | None = None,
    among: Among = "captioned",
    ks: Sequence[int] | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> RetrievalReport:
    """Ask for each picture by its captions, and for each caption by its picture.

    ``captions`` is a table (CSV, JSON Lines, Parquet) that names images by ``image_id`` or path, or captions by image
    id; None takes those of the collection: as they are embedded, or else embedded for this. Rank is among the images
    with a caption, or (``among="all"``) all that meet ``where``. ``ks`` are those of R@k (default 1, 5 and 10).
    Intervals are 95 % bootstrap intervals over questions; captions of one picture are drawn together.

    Memory: 12 bytes for each image, and 4 · dim for each caption that is embedded for this. Raises UsageError
    (unreadable table, an encoder without words, k beyond what is ranked), QueryError (no captions, ``where``), what
    loading an encoder raises, CollectionNotFoundError, CorruptCollectionError.
    """
    if among not in get_args(Among):
        raise UsageError(f"{among!r} is nothing to rank among", hint=f"one of {', '.join(get_args(Among))}")
    wanted = Wanted(captions, caption_column, space, where, among, ks)
    return reading(collection, lambda reader: retrieving.evaluate(reader, wanted, progress, stop, notify))


def ann(
    collection: AnyCollection,
    *,
    space: int | str | None = None,
    queries: int = neighbours.QUERIES,
    ks: Sequence[int] = (10,),
    filtered: float | None = None,
    given: str | os.PathLike[str] | Sequence[str] | npt.NDArray[Any] | None = None,
    given_kind: Literal["text", "image"] = "text",
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> NeighbourReport:
    """Recall of the approximate index of a space against exact search, and the time that a query takes, by kind of
    query.

    Queries are stored rows, which must find their neighbours, not themselves, and text-like ones: captions where they
    are embedded, else made from rows across the gap between words and pictures. ``given`` is asked instead: vectors
    (n, dim), a ``.npy`` file of them (``given_kind`` says how they are searched), texts, or a file with a text a
    line. ``filtered`` lets a random share of the images through. Intervals are 95 % bootstrap intervals over queries.

    Raises UsageError (k beyond the images, an unreadable file), QueryError (queries of another width), what loading an
    encoder raises where texts are given, CollectionNotFoundError, CorruptCollectionError, MissingExtraError (FAISS).
    """
    if isinstance(given, str | os.PathLike):
        given = Path(given).expanduser()
    if given_kind not in ("text", "image"):
        raise UsageError(f"{given_kind!r} is no kind of query", hint="text or image")
    wanted = neighbours.Asking(space, queries, tuple(ks), filtered, given, given_kind)
    editions = Editions(path_of(collection), "faiss")
    try:
        while True:
            generation = editions.newest().reader.generation
            try:
                return neighbours.evaluate(editions, wanted, progress, stop, notify)
            except StaleGenerationError:  # A writer has taken files away meanwhile.
                if editions.renew() == generation:
                    raise
    finally:
        editions.close()


def compare(
    collection: AnyCollection,
    *,
    encoders: tuple[int | str | None, int | str | None] | None = None,
    against: AnyCollection | None = None,
    captions: Given | None = None,
    caption_column: str | None = None,
    where: str | None = None,
    ks: Sequence[int] | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> CompareReport:
    """Two encoders over the same pictures and captions: the difference in R@k and average precision, second less first,
    with 95 % intervals of a paired bootstrap. ``report.verdict`` says which is better, or None: no difference is shown.

    ``encoders`` are ids of spaces, references, or None for the first space. Vectors are taken from a space of the
    collection where one has them; else its pictures are read, decoded once and encoded for this, and nothing is
    stored. ``against`` compares with another collection instead, by the first space of each, over the pictures that
    both have (by content). Captions are as for :func:`retrieval`, and are embedded for this by both.

    Memory: 4 · dim for each caption; vectors that are made lie in a temporary file. Raises UsageError, QueryError, what
    loading an encoder raises, CollectionNotFoundError, CorruptCollectionError.
    """
    if (encoders is None) == (against is None):
        raise UsageError("two encoders, or another collection, are what can be compared")
    if encoders is not None and len(encoders) != 2:
        raise UsageError(f"two encoders are compared, not {len(encoders)}")
    contest = comparison.Contest(encoders, captions, caption_column, where, ks)

    def work(reader: Reader, other: Reader | None) -> CompareReport:
        return comparison.compare(reader, other, contest, progress, stop, notify)

    if against is None:
        return reading(collection, lambda reader: work(reader, None))
    return reading(collection, lambda reader: reading(against, lambda other: work(reader, other)))


def aesthetic_scores(
    collection: AnyCollection,
    weights: str | os.PathLike[str],
    *,
    where: str | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> AestheticScores:
    """How much people might like each picture, by one of LAION's aesthetic predictors, about 1 to 10.

    ``weights`` is a file of the projects christophschuhmann/improved-aesthetic-predictor or
    LAION-AI/aesthetic-predictor: OpenAI's ViT-L/14 (or, version 1, ViT-B/32 and ViT-B/16) must have encoded the
    pictures. Memory: 17 bytes for each image. Raises UsageError for another network or a collection of other vectors,
    UntrustedWeightsError for a file that could run code, EncoderError for a damaged one, QueryError (``where``),
    CollectionNotFoundError, CorruptCollectionError.
    """
    predictor = aesthetic.load(Path(weights).expanduser())
    return reading(collection, lambda reader: aesthetic.score(reader, predictor, where, progress, stop))


def save(collection: AnyCollection, found: AestheticScores, name: str) -> int:
    """Store scores as the derived column ``name``, for conditions (``--where``) and with hits; returns the generation.

    Raises UsageError for a name that cannot be one, LockedError, ReadOnlyError, StorageError.
    """
    facts = {"version": found.version, "encoder": found.encoder, "generation": found.generation}
    return save_scores(path_of(collection), name, found.ids, found.scores, "aesthetic", facts)
