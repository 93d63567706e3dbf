"""Cluster images, find outliers, and choose representative samples: ``imseek.clusters.find(collection)``.

>>> report = imseek.clusters.find("photos.imseek", save="kinds")      # doctest: +SKIP
>>> for cluster in report.clusters:
...     print(cluster.number, cluster.size, cluster.name, cluster.medoids[0].place)

Everything works on stored vectors of the space that text queries are searched in; no picture is opened.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import get_args

from imseek.analysis.snapshot_session import run_with_reader
from imseek.clusters import cluster_store, outlier_scores, pipeline, representative_sample
from imseek.clusters.pipeline import ClusterRequest
from imseek.clusters.results import (
    AssignReport,
    ClusterReport,
    GroupWord,
    OutlierMethod,
    OutlierReport,
    SampleMethod,
    SampleReport,
)
from imseek.clusters.vocabulary import IMAGENET, read_vocabulary
from imseek.data.catalog import models
from imseek.errors import UsageError
from imseek.progress import ProgressCallback, Task
from imseek.types.collection_arguments import AnyCollection, path_of


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
    """Cluster similar images, the largest cluster first.

    Uses spherical k-means with ``k`` clusters, or without ``k`` the number whose clusters agree best between two halves
    of the images. With ``density``, clusters are dense regions of at least ``smallest`` images, and images between them
    are noise. ``where`` restricts the images (docs/where.md). ``names`` is the vocabulary for naming clusters:
    ``"imagenet"``, ``"none"``, a file with one word a line, or the words themselves.

    With ``save``, each image gets the derived columns ``<save>`` (cluster number; 0: none), ``<save>_name`` and
    ``<save>_score`` (cosine with the centre), which filters can use and :func:`again` can extend; ``replace`` allows
    clusters of that name to be replaced. Without ``save`` nothing is changed. The same seed gives the same clusters.

    Raises UsageError, QueryError (``where``), MissingExtraError, CollectionNotFoundError, CorruptCollectionError,
    InterruptedError once ``stop`` is set (nothing is stored then); with ``save``, LockedError, ReadOnlyError,
    StorageError.
    """
    if density and k is not None:
        raise UsageError("--density finds the number of groups itself", hint="leave out -k")
    if smallest is not None and not density:
        raise UsageError("--smallest needs --density", hint="add --density")
    request = ClusterRequest(k, density, smallest, where, read_vocabulary(names), save, replace, seed)
    return run_with_reader(collection, partial(pipeline.find, request=request, task=Task(progress, stop)))


def again(
    collection: AnyCollection,
    name: str,
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> AssignReport:
    """Assign images added since to the clusters stored under ``name``.

    Nothing is refitted, and no other image changes its cluster. Raises UsageError if there are no clusters of that name
    or they were found with another encoder; InterruptedError, LockedError, ReadOnlyError, StorageError.
    """
    return run_with_reader(collection, partial(pipeline.assign_new_images, name=name, task=Task(progress, stop)))


def stored(collection: AnyCollection) -> tuple[str, ...]:
    """Return the names under which clusters are stored. Raises CorruptCollectionError."""
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
    """Find the word that best distinguishes a group of images from all others, as clusters are named.

    The others are all images, or those that meet ``where``. :attr:`GroupWord.text` is None if no word stands out;
    ``note`` then gives the reason. Raises UsageError, QueryError, InterruptedError.
    """
    group = tuple(images)
    return run_with_reader(
        collection,
        lambda reader: pipeline.word_for(reader, group, read_vocabulary(names), where, Task(progress, stop)),
    )


def outliers(
    collection: AnyCollection,
    *,
    limit: int = 20,
    method: OutlierMethod = "knn",
    neighbours: int = outlier_scores.NEIGHBOURS,
    where: str | None = None,
    save: str | None = None,
    replace: bool = False,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> OutlierReport:
    """Find the ``limit`` images that are least similar to any others, the strangest first.

    Methods: the mean distance to the nearest ``neighbours`` (``"knn"``); how much sparser an image's surroundings are
    than its neighbours' (``"lof"``: images beside a dense group stand out too); or an isolation forest
    (``"isolation"``, which ignores ``neighbours``). Copies of a picture count once. In large collections neighbours
    come from the nearest cells only. ``where`` restricts both the images and their neighbours. With ``save``, each
    image gets its score as the derived column of that name.

    Raises UsageError, QueryError (``where``), MissingExtraError, CollectionNotFoundError, CorruptCollectionError,
    InterruptedError; with ``save``, LockedError, ReadOnlyError, StorageError.
    """
    if method not in get_args(OutlierMethod):
        raise UsageError(f"{method!r} does not find outliers", hint=f"one of {', '.join(get_args(OutlierMethod))}")
    if not 1 <= neighbours <= outlier_scores.MAX_NEIGHBOURS:
        raise UsageError(f"{neighbours} neighbours", hint=f"from 1 to {outlier_scores.MAX_NEIGHBOURS}")
    if limit < 0:
        raise UsageError(f"the number of images to show cannot be {limit}")
    request = outlier_scores.OutlierRequest(method, limit, neighbours, where, save, replace, seed)
    return run_with_reader(
        collection, partial(outlier_scores.find_outliers, request=request, task=Task(progress, stop))
    )


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
    """Choose at most ``count`` images that represent the collection, and measure how well they do.

    ``"facility"`` repeatedly takes the image that brings the sample nearest to all images: it favours common pictures,
    and considers 4,096 candidates in large collections. ``"k-centre"`` repeatedly takes the image farthest from the
    sample: no image is then far from it, and odd images come first. ``"random"`` is a baseline. Of copies, one is
    taken. The same seed gives the same images.

    Raises UsageError, QueryError (``where``), CollectionNotFoundError, CorruptCollectionError, InterruptedError.
    """
    if method not in get_args(SampleMethod):
        raise UsageError(f"{method!r} does not choose samples", hint=f"one of {', '.join(get_args(SampleMethod))}")
    if not 1 <= count <= representative_sample.MAX_SAMPLE:
        raise UsageError(f"a sample of {count:,} images", hint=f"from 1 to {representative_sample.MAX_SAMPLE}")
    request = representative_sample.SampleRequest(count, method, where, seed)
    return run_with_reader(
        collection, partial(representative_sample.choose_sample, request=request, task=Task(progress, stop))
    )
