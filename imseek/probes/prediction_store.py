"""Stored predictions of a probe: derived columns, and tags."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from imseek.analysis.score_columns import BY_PROBE, check_name
from imseek.data.catalog import tag_reader, tags
from imseek.data.catalog.models import Model
from imseek.data.reader import Reader
from imseek.data.shards import derived_results
from imseek.data.writing.writer_wait import open_writer
from imseek.probes.inference import Predictions
from imseek.probes.probe_store import KIND, Probe

#: Kind of the record that says how columns were made.
RECORD_KIND: Final = "labels"
#: Longest name of columns; the suffix `_score` still fits.
_MAX_NAME_LENGTH: Final = 58


def check_columns(root: Path, name: str, probe: str) -> None:
    """Raise UsageError where a probe's columns cannot have this name."""
    kind = KIND if name == probe else BY_PROBE
    columns = (name, f"{name}_score")
    check_name(Reader(root), name, kind, columns, replace=True, longest=_MAX_NAME_LENGTH)


def save_columns(
    root: Path, name: str, probe: Probe, predictions: Predictions, where: str | None, threshold: float
) -> int:
    """Store the two columns and return the generation.

    Under a name other than the probe's own, a record of their origin is stored too.
    """
    info = probe.info
    model = probe.model
    if name != info.name:
        facts = {
            "probe": info.name,
            "probe_created": info.created,
            "where": where,
            "threshold": threshold if info.several else None,
            "encoder": info.encoder,
            "fingerprint": info.fingerprint,
            "classes": list(info.classes),
        }
        model = Model(name, RECORD_KIND, facts)
    values = {name: predictions.labels(info.classes), f"{name}_score": predictions.chances()}
    return derived_results.store(root, values, model)


def provenance(probe: str) -> str:
    """Provenance of the tags that a probe gives."""
    return f"{KIND} {probe}"


def apply_tags(root: Path, probe: Probe, predictions: Predictions, threshold: float) -> tuple[int, int, int]:
    """Add the probe's tags and remove its outdated ones.

    Returns the numbers of tags added and removed, and of images left alone because they have a tag from elsewhere.
    """
    classes = probe.info.classes
    own_source = provenance(probe.info.name)
    if predictions.marks is None:
        confident = np.flatnonzero(predictions.chance >= threshold)
        proposed = [(int(predictions.ids[row]), classes[predictions.best[row]]) for row in confident.tolist()]
    else:
        rows, marks = np.nonzero(predictions.marks)
        proposed = [
            (int(predictions.ids[row]), classes[k]) for row, k in zip(rows.tolist(), marks.tolist(), strict=True)
        ]
    others = {
        image_id: tag
        for image_id, tag, source in tag_reader.rows(Reader(root), classes)
        if source != own_source and (predictions.marks is None)
    }
    unclaimed = [one for one in proposed if one[0] not in others]
    with open_writer(root, "probe apply") as writer:
        _, added, removed = tags.set_provenance_tags(writer, own_source, set(predictions.ids.tolist()), unclaimed)
    return added, removed, len(proposed) - len(unclaimed)


def drop(root: Path, name: str) -> int:
    """Delete a probe with its columns and tags in one commit; return the number of tags removed."""
    _, removed = derived_results.forget(root, name, "probe drop", given_by=provenance(name))
    return removed
