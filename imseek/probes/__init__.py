"""Learn classes from a few labelled images, over stored vectors: ``imseek.probes.fit(collection, "pets")``.

>>> imseek.tags.add("photos.imseek", "cat", [3, 17, 23])             # doctest: +SKIP
>>> imseek.tags.add("photos.imseek", "dog", [5, 11, 40])             # doctest: +SKIP
>>> imseek.probes.fit("photos.imseek", "pets", "tags:cat,dog")       # doctest: +SKIP
>>> imseek.probes.apply("photos.imseek", "pets", save="pets")        # doctest: +SKIP

No picture is opened. docs/probes.md explains each step and its source.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from imseek.analysis.snapshot_session import filter_ids, run_with_reader
from imseek.analysis.space_vectors import Vectors
from imseek.data.catalog import models
from imseek.data.reader import Reader
from imseek.errors import UsageError
from imseek.probes import evaluation, images_to_label, inference, prediction_store, probe_store, training
from imseek.probes.inference import Predictions
from imseek.probes.labels import Labels, read_labels
from imseek.probes.probe_store import Probe
from imseek.probes.results import ProbeApplyReport, ProbeEvaluation, ProbeInfo, ProbeLabel, Proposals
from imseek.probes.training import MethodChoice
from imseek.progress import ProgressCallback, Task
from imseek.types.collection_arguments import AnyCollection, path_of

__all__ = ["Labels", "apply", "drop", "evaluate", "fit", "get", "list_", "propose"]

#: Default probability threshold for tagging an image with its class.
TAG_THRESHOLD: Final = 0.9
#: Default probability threshold for each class if an image may have several.
MULTILABEL_THRESHOLD: Final = 0.5
#: How many of the most and of the least certain images the report lists.
_EXAMPLES: Final = 5


def fit(
    collection: AnyCollection,
    name: str,
    labels: Labels | str = "tags",
    *,
    where: str | None = None,
    space: str | None = None,
    words: bool = True,
    method: MethodChoice = "auto",
    contexts: int | None = None,
    per_class: bool = False,
    force: bool = False,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> ProbeInfo:
    """Learn classes from labelled images and store them as a probe.

    The probe is a linear probe or a cache model, whichever is better by cross-validation. ``labels`` are ``"tags"``
    (all given by people), ``"tags:cat,dog"``, a text column, ``"folder"``, ``"folder:1"``, or :class:`Labels`; only
    images that meet ``where`` count (docs/where.md). ``space`` is a space's number or encoder. With ``words``, class
    names also contribute if the encoder has a text tower. ``method`` names a kind: ``linear``, ``cache``, or prompts
    that learn, ``coop`` and ``cocoop`` (docs/probes.md), which are refused unless they are better by cross-validation
    than both others; ``all`` tries the four. ``contexts`` is the number of vectors that a prompt learns (4),
    ``per_class`` for each class its own. ``force`` replaces a probe of that name. The same labels and vectors give the
    same probe.

    Raises UsageError (fewer than two classes, an image with two classes, a name that is taken, prompts that do not help
    …), QueryError, EncoderError (the encoder cannot learn prompts), MissingExtraError, LockedError, and
    InterruptedError if stopped: nothing is stored then.
    """
    from imseek.data.catalog import model_files
    from imseek.data.writing.writer_wait import open_writer

    parsed_labels = Labels.parse(labels) if isinstance(labels, str) else labels
    root = path_of(collection)
    probe_store.check_name_free(root, name, replace=force)
    training.check_installed()
    options = training.MethodOptions(method, contexts, per_class)
    options.check(words=words, several=parsed_labels.several)
    task = Task(progress, stop)

    def learn(reader: Reader) -> models.Model:
        image_space = probe_store.find_space(reader, space)
        vectors = Vectors(reader, image_space, filter_ids(reader, where))
        labelled = training.limit_labelled(read_labels(reader, parsed_labels, vectors.ids))
        training.check_classes(labelled)
        trained = training.train_probe(
            reader, vectors, labelled, words=words, even=parsed_labels.even, options=options, task=task
        )
        return probe_store.build_model(name, trained, labelled, parsed_labels, where, image_space)

    model = run_with_reader(collection, learn)
    with open_writer(root, "probe fit") as writer:
        probe_store.check_name_free(root, name, replace=force)
        model_files.put(writer, model)
    return get(collection, name)


def get(collection: AnyCollection, name: str) -> ProbeInfo:
    """Describe a probe. Raises UsageError, with similar names, if there is none of that name."""
    return probe_store.find(path_of(collection), name).info


def list_(collection: AnyCollection) -> tuple[ProbeInfo, ...]:
    """List all probes, by name."""
    root = path_of(collection)
    stored = models.of_kind(root, probe_store.KIND)
    return tuple(probe_store.probe_of(root, model).info for model in stored)


def drop(collection: AnyCollection, name: str) -> int:
    """Delete a probe with its columns and the tags that it gave. Returns the number of tags removed.

    Raises UsageError as :func:`get`, LockedError.
    """
    root = path_of(collection)
    probe_store.find(root, name)
    return prediction_store.drop(root, name)


def apply(
    collection: AnyCollection,
    name: str,
    *,
    where: str | None = None,
    save: str | None = None,
    tag: bool = False,
    threshold: float | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> ProbeApplyReport:
    """Classify all images, or those that meet ``where``, with a probe.

    Works in blocks: memory is a few bytes per image, whatever the dimension of the vectors. Nothing is stored without
    ``save`` or ``tag``. ``save`` stores two columns, ``<save>`` (the class) and ``<save>_score`` (its probability), and
    replaces earlier ones of that name. ``tag`` tags each image with its class if the probability is at least
    ``threshold`` (0.9), with the provenance ``probe <name>``, unless someone else has tagged it with one of the
    classes; this probe's earlier tags that no longer hold are removed. If images may have several classes, they get all
    with a probability of at least ``threshold`` (0.5).

    Raises UsageError, QueryError, EncoderMismatchError (the vectors belong to another encoder), LockedError.
    """
    task = Task(progress, stop)
    root = path_of(collection)
    probe = probe_store.find(root, name)
    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError(f"no probability: {threshold}", hint="a number above 0, and 1 at most")
    if threshold is not None and not tag and not probe.info.several:
        raise UsageError("a threshold is for tags, or where images may have several classes", hint="add --tag")
    if save is not None:
        prediction_store.check_columns(root, save, name)
    level = threshold if threshold is not None else MULTILABEL_THRESHOLD if probe.info.several else TAG_THRESHOLD

    def predict(reader: Reader) -> tuple[ProbeApplyReport, Predictions | None]:
        vectors = Vectors(reader, probe_store.space_of(reader, probe.info), filter_ids(reader, where))
        predictions = inference.predict(vectors, probe, level, task)
        if predictions is None:
            return ProbeApplyReport(name, 0, {}, 0, (), (), interrupted=True), None
        return _applied_report(reader, probe, predictions), predictions

    report, predictions = run_with_reader(collection, predict)
    if predictions is None:
        return report
    if save is not None:
        prediction_store.save_columns(root, save, probe, predictions, where, level)
        report = replace(report, saved=save)
    if tag:
        added, removed, left_alone = prediction_store.apply_tags(root, probe, predictions, level)
        report = replace(report, tagged=added, untagged=removed, kept=left_alone)
    return report


def propose(
    collection: AnyCollection,
    name: str | None = None,
    labels: Labels | str = "tags",
    *,
    n: int = 20,
    where: str | None = None,
    space: str | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> Proposals:
    """Propose images to label next (active learning).

    With ``name``: images that the probe is least sure of, far from each other and from labelled ones. Without: the same
    with a probe learned from ``labels``, or, if fewer than two classes are labelled, images that represent many others
    unlike any labelled one. Proposals are no copies or near-duplicates of labelled images or of each other. Changes
    nothing. Raises as :func:`fit`, and InterruptedError if stopped.
    """
    task = Task(progress, stop)
    images_to_label.check_count(n)
    training.check_installed()
    root = path_of(collection)
    probe = None if name is None else probe_store.find(root, name)
    parsed_labels = Labels.parse(labels) if isinstance(labels, str) else labels

    def look(reader: Reader) -> Proposals:
        probe_space = None if probe is None else probe_store.space_of(reader, probe.info)
        vectors = Vectors(reader, probe_space or probe_store.find_space(reader, space), filter_ids(reader, where))
        return images_to_label.propose(
            reader, vectors, parsed_labels if probe is None else probe.labels, probe, n, task
        )

    return run_with_reader(collection, look)


def evaluate(
    collection: AnyCollection,
    name: str | None = None,
    truth: Labels | str = "tags",
    *,
    where: str | None = None,
    space: str | None = None,
    words: bool = True,
    curve: Sequence[int] = (),
    seed: int = 0,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> ProbeEvaluation:
    """Evaluate the probe ``name`` on held-out images with a ``truth``.

    Its training images and their copies and near-duplicates are excluded. Without ``name``, half of the labelled images
    are held out, with copies on one side, and a probe learns from the rest; ``curve`` adds probes learned from so many
    images per class, drawn five times. Raises UsageError if nothing is held out or no class is shared; as :func:`fit`;
    InterruptedError.
    """
    task = Task(progress, stop)
    root = path_of(collection)
    parsed_truth = Labels.parse(truth) if isinstance(truth, str) else truth
    if name is not None and curve:
        raise UsageError("a learning curve learns probes of its own", hint="leave out the name of the probe")
    if any(shots < 1 for shots in curve):
        raise UsageError("so few images cannot be learned from", hint="--curve 1,2,4,8")
    training.check_installed()
    probe = None if name is None else probe_store.find(root, name)

    def look(reader: Reader) -> ProbeEvaluation:
        if probe is None:
            vectors = Vectors(reader, probe_store.find_space(reader, space), filter_ids(reader, where))
            return evaluation.evaluate_labels(reader, vectors, parsed_truth, curve, words=words, seed=seed, task=task)
        vectors = Vectors(reader, probe_store.space_of(reader, probe.info))
        allowed = filter_ids(reader, where)
        searchable = vectors.ids if allowed is None else vectors.ids[allowed.marks(vectors.ids)]
        return evaluation.evaluate_probe(reader, vectors, probe, parsed_truth, searchable, task)

    return run_with_reader(collection, look)


def _applied_report(reader: Reader, probe: Probe, predictions: Predictions) -> ProbeApplyReport:
    classes = probe.info.classes
    counts = predictions.counts(len(classes))
    order = np.argsort(-predictions.chance, kind="stable")
    surest, unsurest = order[:_EXAMPLES], order[_EXAMPLES:][::-1][:_EXAMPLES]
    places = reader.places(predictions.ids[np.concatenate([surest, unsurest])].tolist())

    def example(row: int) -> ProbeLabel:
        image_id = int(predictions.ids[row])
        return ProbeLabel(
            image_id, classes[predictions.best[row]], float(predictions.chance[row]), places.get(image_id)
        )

    none = 0 if predictions.marks is None else int((~predictions.marks.any(axis=1)).sum())
    return ProbeApplyReport(
        probe.info.name,
        len(predictions.ids),
        dict(zip(classes, counts, strict=True)),
        none,
        tuple(map(example, surest.tolist())),
        tuple(map(example, unsurest.tolist())),
        examples=predictions.examples(classes),
    )
