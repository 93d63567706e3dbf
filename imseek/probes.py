"""Classes learned from a few labelled images, over stored vectors: ``imseek.probes.fit(collection, "pets")``.

>>> imseek.tags.add("photos.imseek", "cat", [3, 17, 23])             # doctest: +SKIP
>>> imseek.tags.add("photos.imseek", "dog", [5, 11, 40])             # doctest: +SKIP
>>> imseek.probes.fit("photos.imseek", "pets", "tags:cat,dog")       # doctest: +SKIP
>>> imseek.probes.apply("photos.imseek", "pets", save="pets")        # doctest: +SKIP

No picture is opened. What each step does, and where it comes from: docs/probes.md.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from imseek.data import models
from imseek.data.reader import Reader
from imseek.errors import UsageError
from imseek.explore.probes import evaluation, inference, predictions, probe_store, proposals, training
from imseek.explore.probes.inference import Said
from imseek.explore.probes.labels import Labels, read
from imseek.explore.probes.probe_store import Probe
from imseek.explore.snapshot_session import allowed, reading
from imseek.explore.space_vectors import Vectors
from imseek.types import AnyCollection, ProgressCallback, path_of
from imseek.types.probes import ProbeApplied, ProbeEvaluation, ProbeInfo, ProbeLabel, Proposals

__all__ = ["Labels", "apply", "drop", "evaluate", "fit", "get", "list_", "propose"]

#: The probability from which on a probe gives tags.
SURE: Final = 0.9
#: The one from which on an image has a class, where it may have several.
EVEN: Final = 0.5
#: So many of the surest and of the least sure images are shown.
_SHOWN: Final = 5


def fit(
    collection: AnyCollection,
    name: str,
    labels: Labels | str = "tags",
    *,
    where: str | None = None,
    space: str | None = None,
    words: bool = True,
    force: bool = False,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> ProbeInfo:
    """Learn classes from labelled images, and keep that under a name: a linear probe or a cache model, whichever is
    better by cross-validation.

    ``labels`` are ``"tags"`` (all that people gave), ``"tags:cat,dog"``, a column of text, ``"folder"``,
    ``"folder:1"``, or :class:`Labels`; of the images that meet ``where`` (docs/where.md). ``space`` is the number or
    the encoder of one of several spaces. With ``words`` the names of the classes speak too, where the encoder knows
    words. ``force`` puts it in the place of a probe of the name. The same labels and vectors give the same probe.

    Raises UsageError (fewer than two classes, an image of two, a name that is taken …), QueryError, MissingExtraError,
    LockedError; InterruptedError where it was stopped: nothing is stored then.
    """
    from imseek.data import model_files
    from imseek.data.writer_wait import writing

    wanted = Labels.parse(labels) if isinstance(labels, str) else labels
    root = path_of(collection)
    probe_store.check_free(root, name, replace=force)
    training.check_installed()
    steps = training.Steps(progress, stop)

    def learn(reader: Reader) -> models.Model:
        chosen = probe_store.chosen_space(reader, space)
        vectors = Vectors(reader, chosen, allowed(reader, where))
        labelled = training.thinned(read(reader, wanted, vectors.ids))
        training.check_classes(labelled)
        taught = training.taught(reader, vectors, labelled, words=words, even=wanted.even, step=steps)
        return probe_store.made(name, taught, labelled, wanted, where, chosen)

    model = reading(collection, learn)
    with writing(root, "probe fit") as writer:
        probe_store.check_free(root, name, replace=force)
        model_files.put(writer, model)
    return get(collection, name)


def get(collection: AnyCollection, name: str) -> ProbeInfo:
    """Raises UsageError, with near matches, where there is no probe of the name."""
    return probe_store.find(path_of(collection), name).info


def list_(collection: AnyCollection) -> tuple[ProbeInfo, ...]:
    """All probes, by name."""
    found = models.of_kind(path_of(collection), probe_store.KIND)
    return tuple(probe_store.probe_of(model).info for model in found)


def drop(collection: AnyCollection, name: str) -> int:
    """Forget a probe, with the columns of its name and the tags that it gave. Returns how many tags went.

    Raises UsageError as :func:`get`, LockedError.
    """
    root = path_of(collection)
    probe_store.find(root, name)
    return predictions.drop(root, name)


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
) -> ProbeApplied:
    """Say of all images, or of those that meet ``where``, which class they are of. In blocks: memory does not depend on
    how large vectors are, but some bytes for each image.

    Nothing is stored but for ``save``, a set of two columns (``<save>``: the class, ``<save>_score``: its probability),
    which replaces one of the name, and ``tag``: images get their class as a tag, given by ``probe <name>``, where its
    probability is ``threshold`` (by default 0.9) or more and nobody else has given them one of the classes; tags that
    the probe gave to these images before and would not now are taken away. Where an image may have several classes, it
    has those at ``threshold`` (0.5) or more.

    Raises UsageError, QueryError, EncoderMismatchError (the vectors are those of another encoder now), LockedError.
    """
    root = path_of(collection)
    probe = probe_store.find(root, name)
    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError(f"no probability: {threshold}", hint="a number above 0, and 1 at most")
    if threshold is not None and not tag and not probe.info.several:
        raise UsageError(
            "a threshold is for tags, or where images may have several classes", hint="add --tag"
        )
    if save is not None:
        predictions.check_columns(root, save, name)
    level = threshold if threshold is not None else EVEN if probe.info.several else SURE

    def look(reader: Reader) -> tuple[ProbeApplied, Said | None]:
        vectors = Vectors(reader, probe_store.space_of(reader, probe.info), allowed(reader, where))
        said = inference.say(reader, vectors, probe, level, progress, stop)
        if said is None:
            return ProbeApplied(name, 0, {}, 0, (), (), interrupted=True), None
        return _told(reader, probe, said), said

    told, said = reading(collection, look)
    if said is None:
        return told
    if save is not None:
        predictions.save(root, save, probe, said, where, level)
        told = replace(told, saved=save)
    if tag:
        given, taken, kept = predictions.tag(root, probe, said, level)
        told = replace(told, tagged=given, untagged=taken, kept=kept)
    return told


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
    """Images that are worth labelling next: of those that the probe ``name`` is least sure of some that are far from
    each other and from what is labelled. Without a name, a probe is learned from ``labels``; where not even two classes
    are labelled, images that stand for many others which are like no labelled one.

    No copy or near-duplicate of what is labelled, nor of another proposal. Changes nothing. Raises as :func:`fit`, and
    InterruptedError where it was stopped.
    """
    proposals.check_count(n)
    training.check_installed()
    root = path_of(collection)
    probe = None if name is None else probe_store.find(root, name)
    wanted = Labels.parse(labels) if isinstance(labels, str) else labels

    def look(reader: Reader) -> Proposals:
        mine = None if probe is None else probe_store.space_of(reader, probe.info)
        vectors = Vectors(reader, mine or probe_store.chosen_space(reader, space), allowed(reader, where))
        return proposals.propose(
            reader, vectors, wanted if probe is None else probe.labels, probe, n, progress, stop
        )

    return reading(collection, look)


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
    """How good the probe ``name`` is on images with a ``truth`` that it did not learn from, nor from a copy or a
    near-duplicate of. Without a name, half of what is labelled is held out, copies on one side, and a probe learns from
    the rest; with ``curve`` also from so many images of each class alone, drawn five times.

    Raises UsageError where nothing is held out, or the two have no class in common; as :func:`fit`; InterruptedError.
    """
    root = path_of(collection)
    wanted = Labels.parse(truth) if isinstance(truth, str) else truth
    if name is not None and curve:
        raise UsageError("a learning curve learns probes of its own", hint="leave out the name of the probe")
    if any(shots < 1 for shots in curve):
        raise UsageError("so few images cannot be learned from", hint="--curve 1,2,4,8")
    training.check_installed()
    probe = None if name is None else probe_store.find(root, name)

    def look(reader: Reader) -> ProbeEvaluation:
        if probe is None:
            vectors = Vectors(reader, probe_store.chosen_space(reader, space), allowed(reader, where))
            return evaluation.of_labels(
                reader, vectors, wanted, curve, words=words, seed=seed, progress=progress, stop=stop
            )
        vectors = Vectors(reader, probe_store.space_of(reader, probe.info))
        chosen = allowed(reader, where)
        searchable = vectors.ids if chosen is None else vectors.ids[chosen.marks(vectors.ids)]
        return evaluation.of_probe(reader, vectors, probe, wanted, searchable)

    return reading(collection, look)


def _told(reader: Reader, probe: Probe, said: Said) -> ProbeApplied:
    classes = probe.info.classes
    counts = said.counts(len(classes))
    order = np.argsort(-said.chance, kind="stable")
    surest, unsurest = order[:_SHOWN], order[_SHOWN:][::-1][:_SHOWN]
    places = reader.places(said.ids[np.concatenate([surest, unsurest])].tolist())

    def shown(row: int) -> ProbeLabel:
        image_id = int(said.ids[row])
        return ProbeLabel(image_id, classes[said.best[row]], float(said.chance[row]), places.get(image_id))

    none = 0 if said.marks is None else int((~said.marks.any(axis=1)).sum())
    return ProbeApplied(
        probe.info.name,
        len(said.ids),
        dict(zip(classes, counts, strict=True)),
        none,
        tuple(map(shown, surest.tolist())),
        tuple(map(shown, unsurest.tolist())),
        examples=said.examples(classes),
    )
