"""Propose images to label next (:mod:`imseek.probes.active_learning`), without copies of labelled ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from imseek.analysis.space_vectors import BLOCK, Vectors
from imseek.data.catalog import tag_reader
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.probes import active_learning, calibration, holdout_groups, model_selection
from imseek.probes.labels import LabelledImages, Labels, NoLabels, read_labels
from imseek.probes.probe_store import Probe
from imseek.probes.results import Proposal, Proposals
from imseek.probes.training import limit_labelled, train_probe
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

PHASE: Final = "looking"
#: Maximum number of images to cluster, evenly spaced.
_MAX_CLUSTERED: Final = 20_000
#: Spare candidates per requested image, because copies are dropped.
_SPARE: Final = 1


@dataclass(frozen=True, slots=True, eq=False)
class _Classifier:
    """A classifier of unit rows."""

    names: tuple[str, ...]
    several: bool
    centre: Float32
    scorer: model_selection.Scorer
    temperature: float

    def chances(self, rows: Float32) -> Float32:
        """Probabilities (m, classes)."""
        logits = self.scorer.logits(model_selection.centre_rows(rows, self.centre))
        return calibration.probabilities(logits, self.temperature, self.several)


def propose(
    reader: Reader,
    vectors: Vectors,
    labels: Labels,
    probe: Probe | None,
    n: int,
    task: Task = SILENT,
) -> Proposals:
    """Propose up to n images to label next. Raises UsageError, MissingExtraError, Cancelled."""
    labelled, notes = _read_known_labels(reader, labels, vectors)
    classifier = _find_classifier(reader, vectors, labels, labelled, probe)
    known = np.empty(0, np.int64) if labelled is None else labelled.ids
    free = np.flatnonzero(~np.isin(vectors.ids, known))
    if classifier is None:
        if labelled is not None:
            notes += (f"only {labelled.classes[0]} is labelled: what is like no labelled image comes first",)
    elif len(free):
        margin = np.empty(len(vectors), np.float32)
        for part, rows in vectors.blocks(BLOCK if probe is None else probe.block):
            task.check()
            margin[part] = active_learning.margins(classifier.chances(rows), classifier.several)
            task.report(PHASE, part.stop, len(vectors))
        free = free[active_learning.select_unsure(margin[free], n)]
    fresh, copies = _drop_copies(reader, vectors, known, vectors.ids[_select_typical(vectors, known, free, n)])
    return replace(
        _build_proposals(reader, vectors, fresh[:n], classifier),
        labelled=len(known),
        looked=len(vectors) - len(known),
        copies=copies,
        notes=notes,
    )


def _read_known_labels(
    reader: Reader, labels: Labels, vectors: Vectors
) -> tuple[LabelledImages | None, tuple[str, ...]]:
    """Read the present labels; a tag without images is not an error here."""
    notes: tuple[str, ...] = ()
    if labels.kind == "tags" and labels.names:
        present = {tag for tag, _, _ in tag_reader.count_tags(reader.root)}
        missing = tuple(name for name in labels.names if name not in present)
        if missing:
            notes = (f"no image has the tag {', '.join(missing)} yet",)
            labels = replace(labels, names=tuple(name for name in labels.names if name in present))
            if not labels.names:
                return None, notes
    try:
        labelled = read_labels(reader, labels, vectors.ids)
    except NoLabels:
        return None, (*notes, "nothing is labelled yet: what stands for many images comes first")
    return labelled, (*notes, *labelled.notes)


def _find_classifier(
    reader: Reader, vectors: Vectors, labels: Labels, labelled: LabelledImages | None, probe: Probe | None
) -> _Classifier | None:
    """Return the given probe, or one trained now; None where the labels cannot distinguish classes."""
    if probe is not None:
        probe.check_time(len(vectors))
        info = probe.info
        return _Classifier(info.classes, info.several, probe.centre, probe.scorer, info.temperature)
    if labelled is None or not _is_learnable(labelled):
        return None
    trained = train_probe(reader, vectors, limit_labelled(labelled), even=labels.even)
    return _Classifier(
        labelled.classes, labelled.several, trained.centre, trained.learned.scorer, trained.learned.best.temperature
    )


def _is_learnable(labelled: LabelledImages) -> bool:
    """Return whether the labels suffice for training: two classes, or, with several per image, examples for and against
    each."""
    if labelled.several:
        return all(0 < count < len(labelled) for count in labelled.counts())
    return len(labelled.classes) > 1


def _select_typical(vectors: Vectors, known: Ids, free: Ids, n: int) -> Ids:
    """Choose n of the positions ``free``, and some to spare."""
    if not len(free):
        return free
    even = np.unique(np.linspace(0, len(free) - 1, min(len(free), _MAX_CLUSTERED)).astype(np.int64))
    known_at = vectors.positions(known)
    known_at = known_at[known_at >= 0][:_MAX_CLUSTERED]
    at = np.concatenate([known_at, free[even]])
    rows = model_selection.centre_rows(vectors.at(at), model_selection.centre_of(vectors))
    selected: Ids = at[active_learning.select_typical(rows, np.arange(len(known_at)), n, spare=_SPARE * n)]
    return selected


def _drop_copies(reader: Reader, vectors: Vectors, known: Ids, ids: Ids) -> tuple[Ids, int]:
    """Drop copies and near-duplicates of labelled images and of earlier candidates; also return how many were
    dropped."""
    if not len(ids):
        return ids, 0
    contents, hashes = holdout_groups.hashes_of(reader, ids)
    rows = vectors.of(ids)
    is_copy = np.zeros(len(ids), np.bool_)
    if len(known):
        is_copy = holdout_groups.find_copies(
            (*holdout_groups.hashes_of(reader, known), vectors.of(known)), (contents, hashes, rows)
        )
    _, first = np.unique(holdout_groups.group_copies(contents, hashes, rows), return_index=True)
    is_first = np.isin(np.arange(len(ids)), first)
    return ids[is_first & ~is_copy], int((~is_first | is_copy).sum())


def _build_proposals(reader: Reader, vectors: Vectors, ids: Ids, classifier: _Classifier | None) -> Proposals:
    places = reader.places(ids.tolist())
    chances = None if classifier is None or not len(ids) else classifier.chances(vectors.of(ids))
    proposals = []
    for row, image_id in enumerate(ids.tolist()):
        if classifier is None or chances is None:
            proposals.append(Proposal(image_id, "typical", None, None, places.get(image_id)))
            continue
        at = int(chances[row].argmax())
        if classifier.several:
            at = int(np.abs(chances[row] - 0.5).argmin())
        proposals.append(
            Proposal(image_id, "unsure", classifier.names[at], float(chances[row, at]), places.get(image_id))
        )
    return Proposals(tuple(proposals), 0, 0, 0, () if classifier is None else classifier.names)


def check_count(n: int) -> None:
    """Raise UsageError unless 1 to 1,000 images are requested."""
    if not 0 < n <= 1000:
        raise UsageError(f"so many images cannot be proposed: {n}", hint="from 1 to 1,000")
