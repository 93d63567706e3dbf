"""What is alike, what is like nothing else, and what stands for all: ``imseek.clusters.find(collection)``.

>>> report = imseek.clusters.find("photos.imseek", save="kinds")      # doctest: +SKIP
>>> for cluster in report.clusters:
...     print(cluster.number, cluster.size, cluster.name, cluster.medoids[0].place)

All of it works on stored vectors, of the space that words are searched in; no picture is opened.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import get_args

from imseek.data import models
from imseek.data.snapshot_progress import Telling
from imseek.errors import UsageError
from imseek.explore import outliers as looking
from imseek.explore import sampling
from imseek.explore.clusters import cluster_store, pipeline
from imseek.explore.clusters.pipeline import Wanted
from imseek.explore.clusters.vocabulary import IMAGENET, words_of
from imseek.explore.snapshot_session import reading
from imseek.types import (
    AnyCollection,
    AssignReport,
    ClusterReport,
    GroupWord,
    OutlierMethod,
    OutlierReport,
    ProgressCallback,
    SampleMethod,
    SampleReport,
    path_of,
)


def find(
    collection: AnyCollection,
    *,
    k: int | None = None,
    density: bool = False,
    smallest: int | None = None,
    where: str | None = None,
    names: str | Path | Iterable[str] = IMAGENET,
    save: str | None = None,
    replace: bool = False,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> ClusterReport:
    """Groups of images that are alike, the largest first.

    By spherical k-means, with ``k`` clusters or, without it, as many as come out most alike from two halves of the
    images; or by ``density``, with at least ``smallest`` images in each, where what lies between is noise. ``where``
    leaves out images that do not meet a condition (docs/where.md). ``names`` are the words that clusters may be
    called by: ``"imagenet"``, ``"none"``, a file with one a line, or the words themselves.

    With ``save``, each image gets the derived columns ``<save>`` (number; 0: in none), ``<save>_name`` and
    ``<save>_score`` (cosine to the centre), which filters can ask for, and :func:`again` can add to; ``replace`` lets
    clusters of that name be replaced. Else nothing is changed. The same seed gives the same clusters.

    Raises UsageError, QueryError (``where``), MissingExtraError, CollectionNotFoundError, CorruptCollectionError,
    InterruptedError once ``stop`` is set (nothing is stored then); with ``save``, LockedError, ReadOnlyError,
    StorageError.
    """
    if density and k is not None:
        raise UsageError("groups by density come in a number of their own", hint="leave out -k")
    if smallest is not None and not density:
        raise UsageError("only groups by density have a smallest size", hint="add --density")
    wanted = Wanted(k, density, smallest, where, words_of(names), save, replace, seed)
    return reading(collection, partial(pipeline.find, wanted=wanted, telling=Telling(progress, stop)))


def again(
    collection: AnyCollection,
    name: str,
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> AssignReport:
    """Assign the images that have come since to the clusters stored under a name. Nothing is fitted anew, and no
    other image changes its cluster.

    Raises UsageError where there are none of that name, or they were found with another encoder; InterruptedError,
    LockedError, ReadOnlyError, StorageError.
    """
    return reading(collection, partial(pipeline.again, name=name, telling=Telling(progress, stop)))


def stored(collection: AnyCollection) -> tuple[str, ...]:
    """The names under which clusters are stored. Raises CorruptCollectionError."""
    return tuple(model.name for model in models.of_kind(path_of(collection), cluster_store.KIND))


def word_for(
    collection: AnyCollection,
    images: Iterable[int],
    *,
    names: str | Path | Iterable[str] = IMAGENET,
    where: str | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> GroupWord:
    """The word that tells a group of images best from all others (of those that meet a condition), as clusters are
    named: :attr:`GroupWord.text` is None where none stands out, with the reason in ``note``. Raises UsageError,
    QueryError, InterruptedError."""
    chosen = tuple(images)
    return reading(
        collection,
        lambda reader: pipeline.word_for(reader, chosen, words_of(names), where, Telling(progress, stop)),
    )


def outliers(
    collection: AnyCollection,
    *,
    limit: int = 20,
    method: OutlierMethod = "knn",
    neighbours: int = looking.NEIGHBOURS,
    where: str | None = None,
    save: str | None = None,
    replace: bool = False,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> OutlierReport:
    """The ``limit`` images that are least like any others, the strangest first.

    By the mean distance to the nearest ``neighbours`` (``"knn"``), by how much sparser it is around an image than
    around these (``"lof"``: what lies beside a dense group stands out, too), or by an isolation forest
    (``"isolation"``; no neighbours). Copies of a picture are one. Of many images, neighbours are looked for among those
    of the nearest cells. With ``where`` only images that meet a condition are looked at, and are neighbours. With
    ``save``, each image gets its score as the derived column of that name.

    Raises UsageError, QueryError (``where``), MissingExtraError, CollectionNotFoundError, CorruptCollectionError,
    InterruptedError; with ``save``, LockedError, ReadOnlyError, StorageError.
    """
    if method not in get_args(OutlierMethod):
        raise UsageError(
            f"{method!r} is no way to find outliers", hint=f"one of {', '.join(get_args(OutlierMethod))}"
        )
    if not 1 <= neighbours <= looking.MOST_NEIGHBOURS:
        raise UsageError(f"{neighbours} neighbours", hint=f"from 1 to {looking.MOST_NEIGHBOURS}")
    if limit < 0:
        raise UsageError(f"so many images cannot be shown: {limit}")
    asked = looking.Asked(method, limit, neighbours, where, save, replace, seed)
    return reading(collection, partial(looking.find, asked=asked, telling=Telling(progress, stop)))


def sample(
    collection: AnyCollection,
    count: int,
    *,
    method: SampleMethod = "facility",
    where: str | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> SampleReport:
    """At most ``count`` images that stand for all, and how well they do.

    ``"facility"`` takes the image that brings the sample nearest to all images, each time: it has what is common, and
    of many images it looks at 4,096. ``"k-centre"`` takes the one farthest from those taken before: no image is far
    from the sample, and what is odd comes first. ``"random"`` is for comparison. Of copies, one is taken. The same
    seed gives the same images.

    Raises UsageError, QueryError (``where``), CollectionNotFoundError, CorruptCollectionError, InterruptedError.
    """
    if method not in get_args(SampleMethod):
        raise UsageError(
            f"{method!r} is no way to choose a sample", hint=f"one of {', '.join(get_args(SampleMethod))}"
        )
    if not 1 <= count <= sampling.MOST:
        raise UsageError(f"a sample of {count:,} images", hint=f"from 1 to {sampling.MOST}")
    asked = sampling.Asked(count, method, where, seed)
    return reading(collection, partial(sampling.find, asked=asked, telling=Telling(progress, stop)))
