"""Train a probe from labelled images of a collection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import EncoderError, MissingExtraError, QueryError, UnknownEncoderError, UsageError, did_you_mean
from imseek.labels.class_vectors import class_vectors
from imseek.probes import holdout_groups, model_selection
from imseek.probes.labels import LabelledImages
from imseek.probes.model_selection import DEFAULT_METHODS, SelectedModel, ValidationResult
from imseek.probes.prompt_learning import DEFAULT_CONTEXTS, PromptLearner, check_options
from imseek.probes.results import ProbeMethod
from imseek.progress import SILENT, Task
from imseek.search.encoder_loader import load_prompt_tower
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo

#: ``auto`` is linear or cache, ``all`` any of the four: whichever is better by cross-validation. ``coop`` and
#: ``cocoop`` are refused where linear or cache does as well.
MethodChoice: TypeAlias = Literal["auto", "linear", "cache", "coop", "cocoop", "all"]
METHOD_CHOICES: Final[tuple[MethodChoice, ...]] = get_args(MethodChoice)
#: Names of methods in messages.
METHOD_NAMES: Final = {"linear": "the linear probe", "cache": "the cache model", "coop": "CoOp", "cocoop": "CoCoOp"}

#: Maximum number of classes to name in a note.
_MAX_NAMED: Final = 5
#: Maximum number of labelled images whose vectors are held in memory; larger sets are sampled.
MAX_LABELLED: Final = 50_000
#: Tags are free text, for which three plain templates suffice.
TEMPLATES: Final = ("{}", "a photo of {}", "a picture of {}")


def check_installed() -> None:
    """Raise MissingExtraError where scikit-learn (which brings SciPy) is missing."""
    if find_spec("sklearn") is None:
        raise MissingExtraError("scikit-learn", "explore")


def limit_labelled(labelled: LabelledImages, seed: int = 0) -> LabelledImages:
    """Limit the labelled images to what fits in memory, stratified by class, with a note."""
    if len(labelled) <= MAX_LABELLED:
        return labelled
    note = f"{len(labelled):,} images are labelled: a sample of {MAX_LABELLED:,} counts"
    sample = labelled.take(model_selection.stratified_sample(labelled.targets, MAX_LABELLED, seed))
    return replace(sample, notes=(*labelled.notes, note))


def check_classes(labelled: LabelledImages) -> None:
    """Raise UsageError where the labels distinguish nothing."""
    classes = labelled.classes
    if labelled.several:
        for name, count in zip(classes, labelled.counts(), strict=True):
            if count in (0, len(labelled)):
                subject = "no image" if count == 0 else "every labelled image"
                raise UsageError(
                    f"{subject} has the tag {name!r}: there is nothing to tell it from",
                    hint="tag some images otherwise, or name a tag for those that lack it (--negatives TAG)",
                )
    elif len(classes) < 2:
        raise UsageError(
            f"only one class is labelled, {classes[0]!r} ({len(labelled):,}): there is nothing to tell it from",
            hint="label a second one (imseek probe propose shows where it may be), or --binary TAG against others",
        )


@dataclass(frozen=True, slots=True, eq=False)
class TrainedProbe:
    """A trained model for rows minus ``centre`` (dim,), the ``contents`` of its training images, and notes for the
    user."""

    learned: model_selection.SelectedModel
    centre: Float32
    contents: list[bytes]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MethodOptions:
    """The method to learn by, and for prompts that learn the number of ``contexts`` (None: 4), for each class its own
    or not."""

    method: MethodChoice = "auto"
    contexts: int | None = None
    per_class: bool = False

    def check(self, *, words: bool, several: bool) -> None:
        """Raise UsageError for an unknown method, and for options that do not go together."""
        if self.method not in METHOD_CHOICES:
            raise UsageError(f"no method is called {self.method!r}", hint=did_you_mean(self.method, METHOD_CHOICES))
        check_options(self.method, self.contexts, self.per_class, words)
        if several and self.kinds:
            raise UsageError(
                "prompts that learn tell classes apart of which an image has one",
                hint="leave out --method, --several or --binary",
            )

    @property
    def kinds(self) -> tuple[ProbeMethod, ...]:
        """The kinds of prompts to learn."""
        kinds: dict[str, tuple[ProbeMethod, ...]] = {
            "coop": ("coop",),
            "cocoop": ("cocoop",),
            "all": ("coop", "cocoop"),
        }
        return kinds.get(self.method, ())


def _prompt_learners(
    reader: Reader, space: SpaceInfo, labelled: LabelledImages, options: MethodOptions
) -> tuple[PromptLearner, ...]:
    """Open what learns prompts. Raises EncoderError where the space's encoder cannot."""
    if not options.kinds:
        return ()
    if space.space_id != reader.current.space.space_id:
        raise EncoderError(
            f"prompts are learned in the space that words are encoded in, not in that of {space.encoder}",
            hint="leave out --space, or --method",
        )
    tower = load_prompt_tower(reader.root, space.encoder, space.fingerprint)
    contexts = options.contexts or DEFAULT_CONTEXTS
    return tuple(PromptLearner(tower, labelled.classes, kind, contexts, options.per_class) for kind in options.kinds)


def _refuse_useless(selection: SelectedModel, method: str) -> None:
    """Raise UsageError where prompts were to be learned and another kind of probe is better by cross-validation."""
    result = next((one for one in selection.results if one.method == method), None)
    if result is None or result is selection.best:
        return
    raise UsageError(
        f"{METHOD_NAMES[method]} does not help here: held-out images have {_scores(result)} with it, and "
        f"{_scores(selection.best)} with {METHOD_NAMES[selection.best.method]}",
        hint=f"leave out --method, which learns {METHOD_NAMES[selection.best.method]}; or label more images",
    )


def _scores(one: ValidationResult) -> str:
    accuracy = "" if one.accuracy is None else f" and accuracy {one.accuracy.value:.3f}"
    return f"log loss {one.log_loss:.3f}{accuracy}"


def encode_class_names(
    reader: Reader, space: SpaceInfo, labelled: LabelledImages, *, words: bool
) -> tuple[Float32 | None, tuple[str, ...]]:
    """Encode class names as (classes, dim) centred unit rows, with notes for the user.

    None without ``words``, where images may have several classes, where the space is not the one for text, or its
    encoder is unavailable.
    """
    if not words or labelled.several or space.space_id != reader.current.space.space_id:
        return None, ()
    try:
        rows = class_vectors(reader.root, space, labelled.classes, TEMPLATES)
        return model_selection.centre_rows(rows, rows.mean(axis=0)), ()
    except (EncoderError, MissingExtraError, UnknownEncoderError, QueryError) as error:
        return None, (f"the names of the classes are not used: {error}",)


def train_probe(
    reader: Reader,
    vectors: Vectors,
    labelled: LabelledImages,
    *,
    words: bool = True,
    even: bool = True,
    options: MethodOptions = MethodOptions(),
    task: Task = SILENT,
) -> TrainedProbe:
    """Train a probe on the labelled images among ``vectors``; ``even`` and ``task`` as for
    :func:`model_selection.select_model`. Raises UsageError where prompts that learn are asked for and do not help."""
    learners = _prompt_learners(reader, vectors.space, labelled, options)
    rows = vectors.of(labelled.ids)
    contents, hashes = holdout_groups.hashes_of(reader, labelled.ids)
    groups = holdout_groups.group_copies(contents, hashes, rows)
    centre = model_selection.centre_of(vectors)
    word_rows, notes = encode_class_names(reader, vectors.space, labelled, words=words)
    selection = model_selection.select_model(
        model_selection.centre_rows(rows, centre),
        labelled.targets,
        len(labelled.classes),
        groups,
        word_rows,
        even=even,
        methods=DEFAULT_METHODS if learners or options.method == "auto" else (options.method,),
        learners=learners,
        task=task,
    )
    if options.method != "all":
        _refuse_useless(selection, options.method)
    return TrainedProbe(
        selection, centre, contents, (*labelled.notes, *selection.notes, *_training_notes(labelled, groups), *notes)
    )


def _training_notes(labelled: LabelledImages, groups: Ids) -> list[str]:
    """Describe problems of the labels: copies, classes with one image, contradictions."""
    kinds = model_selection.strata(labelled.targets)
    notes = []
    if copies := len(groups) - len(np.unique(groups)):
        notes.append(f"{copies:,} of the labelled images are copies or near-duplicates of others")
    if not labelled.several:
        single = [name for number, name in enumerate(labelled.classes) if len(np.unique(groups[kinds == number])) == 1]
        if single:
            more = f" and {len(single) - _MAX_NAMED:,} more" if len(single) > _MAX_NAMED else ""
            notes.append(
                "only one image (or copies of one) is labelled "
                f"{', '.join(single[:_MAX_NAMED])}{more}: never held out, "
                "so not measured"
            )
        pairs = np.unique(np.stack([groups, kinds]), axis=1)[0]
        numbers, times = np.unique(pairs, return_counts=True)
        if (times > 1).any():
            examples = [str(i) for i in labelled.ids[np.isin(groups, numbers[times > 1])][:6].tolist()]
            notes.append(f"copies or near-duplicates have different labels: images {', '.join(examples)} …")
    return notes
