"""Stored labels: derived columns, tags and the recipe, in one commit."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from imseek.analysis.score_columns import kind_of
from imseek.data.catalog import models
from imseek.data.catalog.models import Model
from imseek.data.current_generation import read_current
from imseek.data.reader import Reader
from imseek.labels.recipe import KIND, Recipe
from imseek.labels.results import ForgetReport, Labels, Moderation, RecordKind, SavedLabels

if TYPE_CHECKING:
    from imseek.data.catalog.sql import Connection


def store(
    root: Path,
    name: str,
    kind: str,
    values: Mapping[str, Mapping[int, Any]],
    tags: Mapping[tuple[int, str], str] | None,
    prefix: str,
    record: Mapping[str, Any],
    arrays: Mapping[str, Any],
    *,
    replace: bool = True,
) -> tuple[int, int]:
    """Store columns, tags and a record; return the generation and the number of tags added.

    Raises LockedError, ReadOnlyError, StorageError.
    """
    from imseek.data.catalog.tags import add, end_by_provenance
    from imseek.data.shards import derived_results

    added = [0]

    def change(connection: Connection, generation: int) -> None:
        if replace:  # Without ``tags`` too: the labels of an earlier run no longer hold.
            end_by_provenance(connection, generation, prefix=prefix)
        added[0] = len(add(connection, generation, tags or {}))

    generation = derived_results.store(root, values, Model(name, kind, record, arrays), also=[change])
    return generation, added[0]


def store_model(root: Path, name: str, kind: str, record: Mapping[str, Any]) -> int:
    """Store a record alone and return the generation. Raises LockedError, ReadOnlyError, StorageError."""
    from imseek.data.catalog import model_files
    from imseek.data.writing.writer_wait import open_writer

    with open_writer(root, kind) as writer:
        return model_files.put(writer, Model(name, kind, record))


def last_id(reader: Reader) -> int:
    """Return the highest image id; images added later have higher ones."""
    return max((int(reader.shard_ids(shard)[-1]) for shard in reader.current.shards if shard.rows), default=-1)


def prefix_of(name: str) -> str:
    """Prefix of the provenance of tags given by labels."""
    return f"zero-shot {name}: "


def flag_prefix_of(name: str) -> str:
    """Prefix of the provenance of tags given by a policy."""
    return f"moderation {name}: "


def list_saved_labels(root: Path) -> tuple[SavedLabels, ...]:
    """List stored zero-shot labels, by name."""
    fingerprint = read_current(root).space.fingerprint
    saved = []
    for model in models.of_kind(root, KIND):
        if kind_of(model) == KIND:
            recipe, scale = Recipe.of(model.facts)
            saved.append(
                SavedLabels(
                    name=model.name,
                    classes=recipe.classes.names,
                    words=recipe.classes.words,
                    templates=recipe.templates,
                    none=recipe.none,
                    multi=recipe.multi,
                    threshold=recipe.threshold,
                    centred=recipe.centred,
                    where=recipe.where,
                    factor_source=scale.source,
                    encoder=model.facts["encoder"],
                    current=model.facts["fingerprint"] == fingerprint,
                    columns=model.facts["columns"],
                    tags=model.facts["tags"],
                    created=model.created,
                )
            )
    return tuple(saved)


def columns_of(name: str, recipe: Recipe) -> list[str]:
    """Names of the columns of a set of labels."""
    columns = [name, f"{name}_score"]
    if recipe.multi:
        columns.append(f"{name}_all")
    if recipe.caution:
        columns.append(f"{name}_caution")
    return columns


def values_of(name: str, labels: Labels, recipe: Recipe) -> dict[str, dict[int, Any]]:
    """Build the column values of labels, by image id."""
    ids = labels.image_ids.tolist()
    at = range(len(ids))
    values: dict[str, dict[int, Any]] = {
        name: dict(zip(ids, map(labels.label, at), strict=True)),
        f"{name}_score": dict(zip(ids, labels.probabilities[:, 0].astype(float).tolist(), strict=True)),
    }
    if recipe.multi:
        label_lists = (", ".join(labels.labels(n)) or None for n in at)
        values[f"{name}_all"] = dict(zip(ids, label_lists, strict=True))
    if labels.cautions is not None:
        values[f"{name}_caution"] = dict(zip(ids, labels.cautions.tolist(), strict=True))
    return values


def tags_of(name: str, labels: Labels) -> dict[tuple[int, str], str]:
    """Build the tags of labels, with their provenance."""
    provenances: dict[tuple[int, str], str] = {}
    for at in np.flatnonzero(labels.given).tolist():
        image_id = int(labels.image_ids[at])
        doubt = ", perhaps writing" if labels.cautions is not None and labels.cautions[at] else ""
        for label_, probability in zip(labels.labels(at), labels.probabilities[at].tolist(), strict=False):
            provenances[image_id, label_] = f"{prefix_of(name)}{probability:.3f}{doubt}"
    return provenances


def flagged_values(name: str, moderation: Moderation) -> dict[str, dict[int, Any]]:
    """Build the column values of a policy's flags, by image id."""
    ids = moderation.image_ids.tolist()
    names = [concept.name for concept in moderation.concepts]
    rows: list[list[bool]] = moderation.flagged.tolist()
    flag_texts = [", ".join(itertools.compress(names, row)) or None for row in rows]
    values: dict[str, dict[int, Any]] = {name: dict(zip(ids, flag_texts, strict=True))}
    for at, concept in enumerate(names):
        shares = moderation.probabilities[:, at].astype(float).tolist()
        values[f"{name}_{concept}"] = dict(zip(ids, shares, strict=True))
    if moderation.cautions is not None:
        doubts = (bool(row.any()) for row in moderation.cautions)
        values[f"{name}_caution"] = dict(zip(ids, doubts, strict=True))
    return values


def flagged_tags(prefix: str, moderation: Moderation) -> dict[tuple[int, str], str]:
    """Build the tags of a policy's flags, with their provenance."""
    provenances: dict[tuple[int, str], str] = {}
    for at, concept in np.argwhere(moderation.flagged).tolist():
        doubt = ", perhaps writing" if moderation.cautions is not None and moderation.cautions[at, concept] else ""
        tag = moderation.concepts[concept].name
        provenances[int(moderation.image_ids[at]), tag] = f"{prefix}{moderation.probabilities[at, concept]:.3f}{doubt}"
    return provenances


def forget(root: Path, model: Model, prefix: str | None) -> ForgetReport:
    """Delete a record, and, with the ``prefix`` of its tags, its columns and tags. Raises LockedError,
    ReadOnlyError."""
    from imseek.data.shards import derived_results

    generation, tags = derived_results.forget(root, model.name, "forget", prefix=prefix, columns_too=prefix is not None)
    return ForgetReport(model.name, cast(RecordKind, model.kind), tags, generation)
