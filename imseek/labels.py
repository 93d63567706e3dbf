"""Labels by words: ``imseek.labels.label(collection, ["cat", "dog"])``, how good they are, and what a policy flags.

>>> found = imseek.labels.label("photos.imseek", ["cat", "dog"], none=True, save="pet")      # doctest: +SKIP
>>> for one in found.counts():
...     print(one.label, one.images)
>>> imseek.open("photos.imseek").search("asleep", where="pet = 'cat'")      # doctest: +SKIP

Pictures are not opened: their stored vectors are compared with vectors of the classes (docs/labels.md).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from imseek.data import columns as stored_columns
from imseek.data import models
from imseek.data.reader import Reader
from imseek.errors import UsageError
from imseek.explore.labels import classes as wording
from imseek.explore.labels import keeping, scales, zero_shot
from imseek.explore.labels.class_vectors import check_templates
from imseek.explore.labels.classes import Classes
from imseek.explore.labels.recipe import KIND, MULTI_TOP, Recipe
from imseek.explore.labels.zero_shot import Telling
from imseek.explore.reading import allowed, reading
from imseek.explore.vectors import Vectors
from imseek.types import AnyCollection, Labels, ProgressCallback, path_of

AnyClasses: TypeAlias = str | os.PathLike[str] | Sequence[str] | Classes
#: The name of labels that are given as tags and have no other.
NAME: Final = "labels"


def read_classes(classes: AnyClasses) -> Classes:
    """``"imagenet"``, a file (a line is ``name`` or ``name: word, word``), ``"cat,dog"``, or names.

    Raises UsageError: no classes, an empty name, two of the same name, a file that cannot be read (with the line).
    """
    if isinstance(classes, Classes):
        return classes
    if isinstance(classes, str):
        return wording.named(classes)
    if isinstance(classes, os.PathLike):
        return wording.read(Path(classes))
    return wording.of_names(classes)


def label(
    collection: AnyCollection,
    classes: AnyClasses,
    *,
    templates: str | Sequence[str] | None = None,
    top: int | None = None,
    none: bool | str | Sequence[str] = False,
    multi: bool = False,
    threshold: float | None = None,
    temperature: str | float | None = None,
    centred: bool = False,
    where: str | None = None,
    caution: bool = False,
    save: str | None = None,
    tag: bool = False,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> Labels:
    """Which of ``classes`` each live image (that meets ``where``) is of, with probabilities.

    ``templates`` is a sentence with ``{}``, a set's name, a file, or sentences. ``none`` adds a class for none of them,
    described by sentences (True: by :data:`imseek.explore.labels.classes.BACKGROUND`). ``multi``: each class by itself,
    by a sigmoid; all classes with a probability of at least ``threshold`` (0.5) are labels. ``temperature``: the name
    of a learned one, or a number that cosines are divided by. ``centred`` takes away the mean cosine of each class, so
    that none has a head start: for collections that hold something of each class. ``caution`` looks for writing.

    Nothing is stored, unless ``save`` names the columns NAME (the label), NAME_score (its probability), and, where they
    were asked for, NAME_all and NAME_caution; or ``tag`` gives each label as a tag with the provenance
    ``zero-shot NAME: probability``. Either takes the place of what that name gave before.

    Raises UsageError, QueryError (``where``), EncoderError (the first space knows no words), EncoderMismatchError,
    LockedError, InterruptedError (``stop``; nothing is stored).
    """
    wanted = read_classes(classes)
    recipe = Recipe(
        wanted,
        _templates(templates),
        _none(none),
        multi,
        (MULTI_TOP if multi else 1) if top is None else top,
        threshold,
        centred,
        caution,
        where,
    ).checked()
    root = path_of(collection)
    name = save or (NAME if tag else None)

    def work(reader: Reader) -> Labels:
        space = reader.current.space
        if name is not None:
            keeping.check_name(reader, name, KIND, [*_columns(name, recipe)])
        scale = scales.wanted(root, space, temperature)
        telling = Telling(progress, stop, [])
        vectors = Vectors(reader, space, allowed(reader, where))
        prepared = zero_shot.prepare(reader, space, recipe, scale, telling, vectors)
        found = zero_shot.label(reader, vectors, recipe, scale, prepared, telling)
        found = replace(found, notes=tuple(telling.notes or ()))
        if name is None:
            return found
        record = {
            **recipe.facts(scale),
            "encoder": space.encoder,
            "fingerprint": space.fingerprint,
            "columns": save is not None,
            "tags": tag,
            "next_image_id": reader.current.next_image_id,
        }
        arrays = {} if prepared.mean is None else {"mean": prepared.mean}
        values = _values(name, found, recipe) if save is not None else {}
        tags = _tags(name, found) if tag else None
        generation, tagged = keeping.store(root, name, KIND, values, tags, _prefix(name), record, arrays)
        return replace(found, stored=generation, tagged=tagged)

    return reading(collection, work)


def again(
    collection: AnyCollection,
    name: str = NAME,
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> Labels:
    """Label what has come since :func:`label` has stored labels under a name, in the same way. Returns the new ones.

    Raises UsageError where nothing is stored under the name, or the collection's encoder is another one now, and else
    as :func:`label`.
    """
    root = path_of(collection)

    def work(reader: Reader) -> Labels:
        model = models.find(root, name)
        if model is None or model.kind != KIND:
            known = [one.name for one in models.of_kind(root, KIND)]
            raise UsageError(
                f"no labels are stored as {name!r}",
                hint=f"there are: {', '.join(known)}" if known else "imseek label --classes … --save NAME",
            )
        space = reader.current.space
        if model.facts["fingerprint"] != space.fingerprint:
            raise UsageError(
                f"the labels {name!r} were made with {model.facts['encoder']}, and the collection has "
                f"{space.encoder} now",
                hint=f"label all images anew: imseek label --classes … --save {name}",
            )
        recipe, scale = Recipe.of(model.facts)
        telling = Telling(progress, stop, [])
        vectors = Vectors(reader, space, allowed(reader, recipe.where))
        before = stored_columns.stored(reader, name) if model.facts["columns"] else {}
        if model.facts["columns"]:
            known_ids = np.fromiter(before.get(f"{name}_score", {}), np.int64)
            new = vectors.ids[~np.isin(vectors.ids, known_ids)]
        else:
            new = vectors.ids[vectors.ids >= model.facts["next_image_id"]]
        prepared = zero_shot.prepare(reader, space, recipe, scale, telling, vectors, model.arrays.get("mean"))
        found = zero_shot.label(reader, vectors, recipe, scale, prepared, telling, new)
        record = {**model.facts, "next_image_id": reader.current.next_image_id}
        values = _values(name, found, recipe) if model.facts["columns"] else {}
        values = {column: {**before.get(column, {}), **made} for column, made in values.items()}
        tags = _tags(name, found) if model.facts["tags"] else None
        generation, tagged = keeping.store(
            root, name, KIND, values, tags, _prefix(name), record, model.arrays, replace=False
        )
        notes = tuple(telling.notes or ())
        return replace(found, stored=generation, tagged=tagged, notes=notes)

    return reading(collection, work)


def _templates(given: str | Sequence[str] | None) -> tuple[str, ...]:
    if given is None:
        return wording.TEMPLATES
    if isinstance(given, str):
        return wording.templates(given)
    check_templates(given)
    return tuple(given)


def _none(given: bool | str | Sequence[str]) -> tuple[str, ...]:
    if given is True:
        return wording.BACKGROUND
    if given is False:
        return ()
    found = (given,) if isinstance(given, str) else tuple(given)
    if not found or not all(text.strip() for text in found):
        raise UsageError("what none of the classes looks like is empty", hint='--none "a photo"')
    return found


def _prefix(name: str) -> str:
    return f"zero-shot {name}: "


def _columns(name: str, recipe: Recipe) -> list[str]:
    found = [name, f"{name}_score"]
    if recipe.multi:
        found.append(f"{name}_all")
    if recipe.caution:
        found.append(f"{name}_caution")
    return found


def _values(name: str, found: Labels, recipe: Recipe) -> dict[str, dict[int, Any]]:
    ids = found.image_ids.tolist()
    at = range(len(ids))
    values: dict[str, dict[int, Any]] = {
        name: dict(zip(ids, map(found.label, at), strict=True)),
        f"{name}_score": dict(zip(ids, found.probabilities[:, 0].astype(float).tolist(), strict=True)),
    }
    if recipe.multi:
        joined = (", ".join(found.labels(n)) or None for n in at)
        values[f"{name}_all"] = dict(zip(ids, joined, strict=True))
    if found.cautions is not None:
        values[f"{name}_caution"] = dict(zip(ids, found.cautions.tolist(), strict=True))
    return values


def _tags(name: str, found: Labels) -> dict[tuple[int, str], str]:
    given: dict[tuple[int, str], str] = {}
    for at in np.flatnonzero(found.given).tolist():
        image_id = int(found.image_ids[at])
        doubt = ", perhaps writing" if found.cautions is not None and found.cautions[at] else ""
        for label_, probability in zip(found.labels(at), found.probabilities[at].tolist(), strict=False):
            given[image_id, label_] = f"{_prefix(name)}{probability:.3f}{doubt}"
    return given
