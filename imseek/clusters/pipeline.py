"""The steps of ``imseek clusters``: fit, assign, describe, name, store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imseek.analysis.score_columns import check_name
from imseek.analysis.snapshot_session import filter_ids
from imseek.analysis.space_vectors import Vectors
from imseek.clusters import (
    cluster_names,
    cluster_statistics,
    cluster_store,
    density_clusters,
    kmeans_clusters,
    vocabulary,
)
from imseek.clusters.cluster_names import ClusterName
from imseek.clusters.cluster_statistics import ClusterStatistics, members_of
from imseek.clusters.kmeans_clusters import Assignment, Fit
from imseek.clusters.results import AssignReport, Cluster, ClusterMethod, ClusterReport, GroupWord, Shown
from imseek.data.catalog import models
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids, IdSet
from imseek.errors import UsageError
from imseek.progress import Task
from imseek.types.pictures import Place


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """The arguments of :func:`imseek.clusters.find`; ``words`` is the vocabulary, empty for no names."""

    k: int | None
    density: bool
    smallest: int | None
    where: str | None
    words: tuple[str, ...]
    save: str | None
    replace: bool
    seed: int


def find(reader: Reader, request: ClusterRequest, task: Task) -> ClusterReport:
    """Find clusters and report them; raises like :func:`imseek.clusters.find`."""
    if request.save is not None:
        columns = cluster_store.columns_of(request.save)
        check_name(reader, request.save, cluster_store.KIND, columns, replace=request.replace)
    vectors = Vectors(reader, allowed=filter_ids(reader, request.where))
    notes: list[str] = []
    if not len(vectors):
        if request.save is not None:
            raise UsageError("there are no images to cluster", hint="index some, or widen --where")
        method: ClusterMethod = "density" if request.density else "k-means"
        empty_fit = Fit(method, np.zeros((0, vectors.dim), np.float32), None, "there are no images")
        return _build_report(vectors, empty_fit, [], None, [], {}, notes)
    if request.density:
        fitted = density_clusters.fit(vectors, request.smallest, request.seed, task)
    else:
        fitted = kmeans_clusters.fit(vectors, request.k, request.seed, task)
    fitted, assignment = kmeans_clusters.order_by_size(fitted, kmeans_clusters.assign(vectors, fitted, task))
    members = members_of(assignment.label, len(fitted.centres))
    facts = cluster_statistics.describe_clusters(vectors, assignment, members, request.seed, task)
    names = _name_clusters(vectors, request, members, task, notes)
    noise = np.flatnonzero(assignment.label < 0)
    _add_notes(fitted, vectors, notes)
    examples = np.concatenate([*(one.medoids for one in facts), noise[: cluster_statistics.MEDOID_COUNT]]).astype(
        np.int64
    )
    places = reader.places(vectors.ids[examples].tolist())
    report = _build_report(vectors, fitted, facts, noise, names, places, notes, assignment)
    return report if request.save is None else _save(vectors, request, fitted, assignment, report)


def _name_clusters(
    vectors: Vectors, request: ClusterRequest, members: Sequence[Ids], task: Task, notes: list[str]
) -> list[ClusterName]:
    no_names = [ClusterName(None, None)] * len(members)
    if not request.words or not members:
        return no_names
    if len(members) == 1:
        notes.append("no names: one cluster has nothing to stand out from")
        return no_names
    encoded = vocabulary.encode_vocabulary(vectors, request.words, task, notes)
    if encoded is None:
        return no_names
    return cluster_names.name_clusters(vectors, members, request.words, *encoded, request.seed, task)


def word_for(reader: Reader, images: Sequence[int], words: tuple[str, ...], where: str | None, task: Task) -> GroupWord:
    """Find the word that distinguishes a group of images; raises like :func:`imseek.clusters.word_for`."""
    vectors = Vectors(reader, allowed=filter_ids(reader, where))
    at = vectors.positions(np.unique(np.array(images, np.int64)))
    at = at[at >= 0]
    rest = np.setdiff1d(np.arange(len(vectors)), at, assume_unique=True)
    if not len(at) or not len(rest):
        return GroupWord(None, None, "there is nothing to tell them from")
    notes: list[str] = []
    encoded = vocabulary.encode_vocabulary(vectors, words, task, notes)
    if encoded is None:
        return GroupWord(None, None, notes[-1])
    name = cluster_names.name_clusters(vectors, [at, rest], words, *encoded, 0, task)[0]
    return GroupWord(name.text, name.contrast, "" if name.text else "no word stands out")


def _add_notes(fit: Fit, vectors: Vectors, notes: list[str]) -> None:
    if fit.method == "density" and not len(fit.centres):
        notes.append("no group is dense enough: fewer images each (--smallest), or k-means (-k)")
    if fit.method == "density" and len(vectors) > density_clusters.SAMPLE:
        notes.append(
            f"density was looked for among {density_clusters.SAMPLE:,} images; the others went to the nearest centre"
        )


def _build_report(
    vectors: Vectors,
    fit: Fit,
    facts: Sequence[ClusterStatistics],
    noise: Ids | None,
    names: Sequence[ClusterName],
    places: dict[int, Place],
    notes: Sequence[str],
    assignment: Assignment | None = None,
) -> ClusterReport:
    def images_at(at: Ids) -> tuple[Shown, ...]:
        assert assignment is not None
        ids, cosines = vectors.ids[at].tolist(), assignment.own[at].tolist()
        return tuple(Shown(i, score, places.get(i)) for i, score in zip(ids, cosines, strict=True))

    clusters = tuple(
        Cluster(
            number,
            statistics.size,
            statistics.cohesion,
            statistics.separation,
            None if statistics.neighbour is None else statistics.neighbour + 1,
            images_at(statistics.medoids),
            name.text,
            name.contrast,
        )
        for number, (statistics, name) in enumerate(zip(facts, names, strict=True), start=1)
    )
    outside = None
    if noise is not None and len(noise):
        outside = Cluster(0, len(noise), None, None, None, images_at(noise[: cluster_statistics.MEDOID_COUNT]))
    reader = vectors.reader
    return ClusterReport(
        reader.identity.uuid,
        reader.generation,
        vectors.space.encoder,
        fit.method,
        len(vectors),
        clusters,
        outside,
        fit.chosen,
        None,
        tuple(notes),
    )


def _save(
    vectors: Vectors, request: ClusterRequest, fit: Fit, assignment: Assignment, report: ClusterReport
) -> ClusterReport:
    from imseek.data.shards import derived_results

    assert request.save is not None
    words = [cluster.name for cluster in report.clusters]
    facts: dict[str, Any] = {"where": request.where, "seed": request.seed, "images": report.images}
    model = cluster_store.model_of(request.save, vectors, fit, words, facts)
    values = cluster_store.values_of(request.save, vectors.ids.tolist(), assignment, words)
    generation = derived_results.store(vectors.reader.root, values, model)
    return replace(report, generation=generation, saved=request.save)


def assign_new_images(reader: Reader, name: str, task: Task) -> AssignReport:
    """Assign new images to stored clusters; raises like :func:`imseek.clusters.again`."""
    from imseek.data.shards import derived_columns, derived_results

    model = models.find(reader.root, name)
    if model is None:
        names = [one.name for one in models.of_kind(reader.root, cluster_store.KIND)]
        hint = f"there are: {', '.join(names)}" if names else "imseek clusters --save NAME stores some"
        raise UsageError(f"no clusters are stored as {name!r}", hint=hint)
    fitted, words = cluster_store.fit_of(model, reader.current.space)
    before = derived_columns.read_columns(reader, name)
    number, _, _ = cluster_store.columns_of(name)
    inside = Vectors(reader, allowed=filter_ids(reader, model.facts["where"]))
    old_numbers = before.get(number, {})
    new_ids = np.array([i for i in inside.ids.tolist() if i not in old_numbers], np.int64)
    if not len(new_ids):
        return AssignReport(name, reader.generation, len(inside))
    new_vectors = Vectors(reader, allowed=IdSet(new_ids))
    assignment = kmeans_clusters.assign(new_vectors, fitted, task)
    values = cluster_store.values_of(name, new_ids.tolist(), assignment, words)
    columns = {column: {**before.get(column, {}), **values.get(column, {})} for column in {**before, **values}}
    generation = derived_results.store(reader.root, columns, model)
    numbers, counts = np.unique(assignment.label + 1, return_counts=True)
    added = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    return AssignReport(name, generation, len(inside), added)
