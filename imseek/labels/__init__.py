"""Zero-shot labels: label images by class names, evaluate the labels, and moderate by a policy.

>>> labels = imseek.labels.label("photos.imseek", ["cat", "dog"], none=True, save="pet")     # doctest: +SKIP
>>> for count in labels.counts():
...     print(count.label, count.images)
>>> query = imseek.Query((imseek.Term("asleep"),), where="pet = 'cat'")      # doctest: +SKIP

Pictures are not opened: stored vectors are compared with text vectors of the classes (docs/labels.md).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from imseek.analysis.score_columns import check_name, kind_of
from imseek.analysis.snapshot_session import filter_ids, run_with_reader
from imseek.analysis.space_vectors import Vectors
from imseek.collection import Collection, text_encoder
from imseek.data.catalog import models
from imseek.data.reader import Reader
from imseek.encoders.prompts import template_sets as template_sets
from imseek.errors import UsageError
from imseek.labels import classes as wording
from imseek.labels import evaluation, ground_truth, label_store, logit_scale, moderation, moderation_policies, zero_shot
from imseek.labels.classes import Classes as Classes
from imseek.labels.classes import normalise_name as normalise_name
from imseek.labels.logit_scale import Scale
from imseek.labels.logit_scale import known_scales as known_scales
from imseek.labels.moderation_policies import Policy
from imseek.labels.recipe import KIND, MULTI_TOP, Recipe
from imseek.labels.results import ForgetReport, LabelEvaluation, LabelPreview, Labels, Moderation, SavedLabels
from imseek.labels.zero_shot import LabelContext
from imseek.progress import ProgressCallback, Task
from imseek.tilde_expansion import expand_user
from imseek.types.collection_arguments import AnyCollection, path_of
from imseek.types.spaces import name_beside

AnyClasses: TypeAlias = str | os.PathLike[str] | Sequence[str] | Classes
#: Default name of labels that are given as tags.
NAME: Final = "labels"
#: Default name of moderation flags that are given as tags.
MODERATION: Final = "moderation"
#: The kind of model that records an applied policy.
POLICY: Final = "policy"


def read_classes(classes: AnyClasses) -> Classes:
    """Read classes: ``"imagenet"``, a file (lines ``name`` or ``name: word, word``), ``"cat,dog"``, or names.

    Raises UsageError: no classes, an empty or duplicate name, an unreadable file (with the line).
    """
    if isinstance(classes, Classes):
        return classes
    if isinstance(classes, str):
        return wording.parse_classes(classes)
    if isinstance(classes, os.PathLike):
        return wording.read_classes(Path(classes))
    return wording.classes_from_names(classes)


def parse_classes(text: str) -> Classes:
    """Parse classes in the file format: lines ``name`` or ``name: word, word``. Raises UsageError with the line."""
    return wording.parse_class_lines(text)


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
    """Label each live image (that meets ``where``) with some of ``classes``, with probabilities.

    ``templates`` is a sentence with ``{}``, the name of a set, a file, or sentences. ``none`` adds a class for "none of
    these", described by sentences (True: :data:`imseek.labels.classes.BACKGROUND`). With ``multi``, each class
    is decided independently by a sigmoid, and all classes with a probability of at least ``threshold`` (0.5) become
    labels. ``temperature`` is the name of a learned one, or a number that divides cosines. ``centred`` subtracts the
    mean cosine of each class, to offset differences between classes: for collections that contain some of each class.
    ``caution`` marks pictures that may contain writing.

    Nothing is stored without ``save`` or ``tag``. ``save`` stores the columns NAME (the label), NAME_score (its
    probability) and, if requested, NAME_all and NAME_caution. ``tag`` adds each label as a tag with the provenance
    ``zero-shot NAME: probability``. Both replace the earlier results of that name.

    Raises UsageError, QueryError (``where``), EncoderError (the first space has no text tower), EncoderMismatchError,
    LockedError, InterruptedError (``stop``; nothing is stored).
    """
    parsed_classes = read_classes(classes)
    recipe = Recipe(
        parsed_classes,
        wording.resolve_templates(templates),
        wording.background_sentences(none),
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
            check_name(reader, name, KIND, label_store.columns_of(name, recipe), replace=True)
        scale = logit_scale.resolve_scale(root, space, temperature)
        context = LabelContext(Task(progress, stop))
        if caution and (doubt := zero_shot.caution_caveat(space)):
            context.note(doubt)
        vectors = Vectors(reader, space, filter_ids(reader, where))
        encoded_classes = zero_shot.encode_classes(reader, space, recipe, scale, context, vectors)
        labels = zero_shot.label_images(reader, vectors, recipe, scale, encoded_classes, context)
        labels = replace(labels, notes=tuple(context.notes))
        if name is None:
            return labels
        record = {
            **recipe.facts(scale),
            "encoder": space.encoder,
            "fingerprint": space.fingerprint,
            "columns": save is not None,
            "tags": tag,
            "last_image_id": label_store.last_id(reader),
        }
        arrays = {} if encoded_classes.mean is None else {"mean": encoded_classes.mean}
        values = label_store.values_of(name, labels, recipe) if save is not None else {}
        tags = label_store.tags_of(name, labels) if tag else None
        generation, tag_count = label_store.store(
            root, name, KIND, values, tags, label_store.prefix_of(name), record, arrays
        )
        return replace(labels, stored=generation, tagged=tag_count)

    return run_with_reader(collection, work)


def preview(
    collection: Collection,
    classes: AnyClasses,
    *,
    images: int = 5000,
    templates: str | Sequence[str] | None = None,
    none: bool | str | Sequence[str] = False,
    multi: bool = False,
    threshold: float | None = None,
    temperature: str | float | None = None,
    centred: bool = False,
    where: str | None = None,
) -> LabelPreview:
    """Label an even sample of at most ``images`` images. Stores nothing.

    Fast enough to repeat while a user types classes, because it uses the encoder already loaded by the open collection.
    Raises as :func:`label`.
    """
    recipe = Recipe(
        read_classes(classes),
        wording.resolve_templates(templates),
        wording.background_sentences(none),
        multi,
        MULTI_TOP if multi else 1,
        threshold,
        centred,
        where=where,
    ).checked()
    if images < 1:
        raise UsageError(f"the number of images to show cannot be {images}")

    def work(reader: Reader) -> LabelPreview:
        space = reader.current.space
        scale = logit_scale.resolve_scale(collection.path, space, temperature)
        context = LabelContext(load=partial(text_encoder, collection))
        vectors = Vectors(reader, space, filter_ids(reader, where))
        n = len(vectors)
        ids = vectors.ids if n <= images else vectors.ids[np.linspace(0, n - 1, images).astype(np.int64)]
        encoded_classes = zero_shot.encode_classes(reader, space, recipe, scale, context, vectors)
        labels = zero_shot.label_images(reader, vectors, recipe, scale, encoded_classes, context, ids)
        return LabelPreview(replace(labels, notes=tuple(context.notes)), n, scale.bias is not None)

    return run_with_reader(collection, work)


def again(
    collection: AnyCollection,
    name: str = NAME,
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> Labels:
    """Label images added since :func:`label` stored labels under ``name``, in the same way. Returns the new labels.

    Raises UsageError if nothing is stored under the name or the collection's encoder has changed, and as :func:`label`.
    """
    from imseek.data.shards import derived_columns

    root = path_of(collection)

    def work(reader: Reader) -> Labels:
        model = models.find(root, name)
        if model is None or kind_of(model) != KIND:
            names = [one.name for one in models.of_kind(root, KIND) if kind_of(one) == KIND]
            raise UsageError(
                f"no labels are stored as {name!r}",
                hint=f"there are: {', '.join(names)}" if names else "imseek label --classes … --save NAME",
            )
        space = reader.current.space
        if model.facts["fingerprint"] != space.fingerprint:
            label_encoder = model.facts["encoder"]
            raise UsageError(
                f"the labels {name!r} were made with {label_encoder}, and the collection has "
                f"{name_beside(space.encoder, label_encoder)} now",
                hint=f"label all images anew: imseek label --classes … --save {name}",
            )
        recipe, scale = Recipe.of(model.facts)
        context = LabelContext(Task(progress, stop))
        vectors = Vectors(reader, space, filter_ids(reader, recipe.where))
        before = derived_columns.read_columns(reader, name) if model.facts["columns"] else {}
        if model.facts["columns"]:
            known_ids = np.fromiter(before.get(f"{name}_score", {}), np.int64)
            new_ids = vectors.ids[~np.isin(vectors.ids, known_ids)]
        else:
            new_ids = vectors.ids[vectors.ids > model.facts["last_image_id"]]
        encoded_classes = zero_shot.encode_classes(
            reader, space, recipe, scale, context, vectors, model.arrays.get("mean")
        )
        labels = zero_shot.label_images(reader, vectors, recipe, scale, encoded_classes, context, new_ids)
        if not len(new_ids):
            return replace(labels, stored=reader.generation, notes=tuple(context.notes))
        record = {**model.facts, "last_image_id": label_store.last_id(reader)}
        values = label_store.values_of(name, labels, recipe) if model.facts["columns"] else {}
        values = {column: {**before.get(column, {}), **new_values} for column, new_values in values.items()}
        tags = label_store.tags_of(name, labels) if model.facts["tags"] else None
        generation, tag_count = label_store.store(
            root, name, KIND, values, tags, label_store.prefix_of(name), record, model.arrays, replace=False
        )
        return replace(labels, stored=generation, tagged=tag_count, notes=tuple(context.notes))

    return run_with_reader(collection, work)


def evaluate(
    collection: AnyCollection,
    classes: AnyClasses | None = None,
    *,
    truth: str = ground_truth.FOLDER,
    templates: str | Sequence[str] | None = None,
    none: bool | str | Sequence[str] = False,
    multi: bool = False,
    temperature: str | float | None = None,
    centred: bool = False,
    where: str | None = None,
    save_temperature: str | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> LabelEvaluation:
    """Evaluate the labels that :func:`label` would give against ground truth.

    ``truth`` is ``"folder"`` (the innermost folder whose name is a class), ``"tags"`` (except zero-shot tags), or a
    column name. Without ``classes``, the classes of the ground truth are used. Images without ground truth are left
    out.

    ``save_temperature`` learns a temperature from half of these images, reports its effect on the other half, and
    stores it under that name for ``temperature``. It changes probabilities, but no label.

    Raises UsageError (no ground truth, a single class, a name that is taken), and as :func:`label`.
    """
    root = path_of(collection)
    classes_read = None if classes is None else read_classes(classes)

    def work(reader: Reader) -> LabelEvaluation:
        space = reader.current.space
        if save_temperature is not None:
            logit_scale.check_name(root, save_temperature)
        scale = logit_scale.resolve_scale(root, space, temperature)
        context = LabelContext(Task(progress, stop))
        vectors = Vectors(reader, space, filter_ids(reader, where))
        truths = ground_truth.read_truth(reader, vectors.ids, truth, classes_read)
        recipe = Recipe(
            truths.classes,
            wording.resolve_templates(templates),
            wording.background_sentences(none),
            multi,
            centred=centred,
            where=where,
        ).checked()
        learning = multi and scale.bias is None and save_temperature is not None
        encoded_classes = zero_shot.encode_classes(
            reader, space, recipe if not learning else replace(recipe, multi=False), scale, context, vectors
        )
        fitted = None
        if save_temperature is not None:
            fitted = evaluation.learn_temperature(
                save_temperature, vectors, truths, recipe, scale, encoded_classes, context
            )
            fitted_scale = Scale(fitted.factor, fitted.bias, f"temperature {save_temperature!r}", scale.flat)
            record = {**logit_scale.scale_facts(fitted_scale, space), "multi": multi, "images": fitted.images}
            generation = label_store.store_model(root, save_temperature, logit_scale.KIND, record)
            fitted = replace(fitted, generation=generation)
            if learning:
                scale = fitted_scale
        report = evaluation.evaluate(vectors, truths, truth, recipe, scale, encoded_classes, context)
        return replace(report, calibration=fitted, notes=(*report.notes, *context.notes))

    return run_with_reader(collection, work)


def read_policy(path: str | os.PathLike[str]) -> Policy:
    """Read a policy from a YAML file (docs/labels.md). Raises UsageError with file and line, MissingExtraError."""
    return moderation_policies.load_policy(expand_user(path))


def moderate(
    collection: AnyCollection,
    policy: str | os.PathLike[str] | Policy,
    *,
    temperature: str | float | None = None,
    where: str | None = None,
    caution: bool = False,
    save: str | None = None,
    tag: bool = False,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> Moderation:
    """Score each live image (that meets ``where``) for each concept of a policy, and flag images.

    Nothing is stored without ``save`` or ``tag``. ``save`` stores the columns NAME (the flagged concepts, separated by
    commas) and NAME_CONCEPT (a probability) for each concept. ``tag`` adds each flagged concept as a tag with the
    provenance ``moderation NAME: probability``. Both replace the earlier results of that name. Other arguments and
    errors are as for :func:`label`.
    """
    parsed_policy = policy if isinstance(policy, Policy) else read_policy(policy)
    root = path_of(collection)
    name = save or (MODERATION if tag else None)

    def work(reader: Reader) -> Moderation:
        space = reader.current.space
        if name is not None:
            columns = [name, *(f"{name}_{one.name}" for one in parsed_policy.concepts), f"{name}_caution"]
            check_name(reader, name, POLICY, columns, replace=True)
        scale = logit_scale.resolve_scale(root, space, temperature)
        context = LabelContext(Task(progress, stop))
        if caution and (doubt := zero_shot.caution_caveat(space)):
            context.note(doubt)
        vectors = Vectors(reader, space, filter_ids(reader, where))
        flags = moderation.moderate(reader, vectors, parsed_policy, scale, context, cautious=caution)
        flags = replace(flags, notes=tuple(context.notes))
        if name is None:
            return flags
        record = {
            "policy": parsed_policy.name,
            "sha256": parsed_policy.sha256,
            "concepts": [asdict(one) for one in parsed_policy.concepts],
            "where": where,
            "factor_source": scale.source,
            **logit_scale.scale_facts(scale, space),
        }
        prefix = label_store.flag_prefix_of(name)
        values = label_store.flagged_values(name, flags) if save is not None else {}
        tags = label_store.flagged_tags(prefix, flags) if tag else None
        generation, tag_count = label_store.store(root, name, POLICY, values, tags, prefix, record, {})
        return replace(flags, stored=generation, tagged=tag_count)

    return run_with_reader(collection, work)


def saved(collection: AnyCollection) -> tuple[SavedLabels, ...]:
    """List the labels stored by :func:`label`, by name."""
    return label_store.list_saved_labels(path_of(collection))


def forget(collection: AnyCollection, name: str) -> ForgetReport:
    """Remove what :func:`label`, :func:`moderate` or :func:`evaluate` stored under a name: columns, tags, record.

    Raises UsageError if there is nothing of theirs, LockedError, ReadOnlyError.
    """
    root = path_of(collection)
    model = models.find(root, name)
    if model is None or model.kind not in (KIND, POLICY, logit_scale.KIND):
        names = [one.name for kind in (KIND, POLICY, logit_scale.KIND) for one in models.of_kind(root, kind)]
        hint = f"there are: {', '.join(names)}" if names else "nothing is stored yet"
        raise UsageError(f"no labels are stored as {name!r}", hint=hint)
    prefixes = {KIND: label_store.prefix_of(name), POLICY: label_store.flag_prefix_of(name)}
    return label_store.forget(root, model, prefixes.get(model.kind))
