"""``imseek label``: label images by class names (zero-shot)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from imseek.errors import UsageError
from imseek.labels.results import ForgetReport, LabelCount, Labels, Moderation
from imseek.types.json_form import Count, Json, Share
from imseek.types.pictures import ImagePlace
from imseek.ui.cli import common_options as options
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, WhereOption, rare
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.cli.optional_values import NONE_DEFAULT
from imseek.ui.cli.output import say
from imseek.ui.cli.output_files import IMAGE_COLUMNS
from imseek.ui.cli.progress import stoppable
from imseek.ui.render.result_json import print_answer, to_json
from imseek.ui.render.text import format_place, table
from imseek.ui.render.words import format_count, printable, shorten

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection

#: Labels counted in the table.
_MAX_LABELS: Final = 30
_WIDTH: Final = 40
_COLUMNS: Final = (*IMAGE_COLUMNS, "label", "probability", "caution")


@dataclass(frozen=True, slots=True)
class StoredResult:
    """The name under which a result was stored."""

    name: str
    generation: Count
    tags: Count
    """Number of tags that were given."""

    @classmethod
    def of(cls, labels: Labels | Moderation, name: str | None) -> StoredResult | None:
        return None if labels.stored is None or name is None else cls(name, labels.stored, labels.tagged)


@dataclass(frozen=True, slots=True)
class ClassProbability:
    """A class and the probability that an image is of it."""

    label: Annotated[str | None, Json(name="class")]
    """Null for none of the classes."""
    probability: Share


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """The labels of an image."""

    image_id: Count
    place: ImagePlace
    labels: tuple[str, ...]
    caution: bool | None
    """Writing in the picture may have caused them; null where this was not requested."""
    top: tuple[ClassProbability, ...]
    """The most probable classes, best first."""


@dataclass(frozen=True, slots=True)
class LabelAnswer:
    """Labels as ``imseek label`` shows them."""

    result: Annotated[Labels, Json(inline=True)]
    images: Count
    """Number of images that were labelled."""
    classes: Count
    counts: tuple[LabelCount, ...]
    """Images by label, the most frequent first."""
    cautions: Count | None
    """Number of images whose labels writing may have caused; null where this was not requested."""
    stored: StoredResult | None
    """Null where nothing was stored."""
    labels: tuple[ImageLabels, ...]
    """The first images by id, as many as ``--limit``."""


@dataclass(frozen=True, slots=True)
class ForgetAnswer:
    """What ``--forget`` deleted."""

    forgotten: ForgetReport


ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes",
        metavar="FILE|A,B,C|imagenet",
        help="The classes: a file with one per line (`name`, or `name: word, word`), a list of names, or imagenet.",
    ),
]
TemplatesOption = Annotated[
    str | None,
    typer.Option(
        "--templates",
        metavar="NAME|FILE|TEXT",
        help="Sentences to put a class name into: a set (imagenet, food, pets …), a file, or one "
        "sentence with {} (default: 'a photo of a {}').",
    ),
]
NoneOption = Annotated[
    list[str] | None,
    typer.Option(
        "--none",
        metavar="[TEXT]",
        help="Allow pictures of none of the classes, described by TEXT (default: 'a photo' and similar).",
    ),
]
MultiOption = Annotated[
    bool,
    typer.Option(
        "--multi",
        help="Allow any number of labels for each image, judged independently (encoders of the SigLIP family).",
    ),
]
TemperatureOption = Annotated[
    str | None,
    rare(
        "--temperature",
        metavar="NAME|T",
        help="The temperature, the number that cosines are divided by, or the name of a learned one.",
    ),
]
CentredOption = Annotated[
    bool,
    rare("--centred", help="Subtract each class's mean cosine; for collections that contain all the classes."),
]


app = Group()


@app.command(
    "imseek label --classes cat,dog,horse --none",
    "imseek label --classes kinds.txt --templates imagenet --save kind",
    "imseek search 'asleep' --where \"kind = 'cat'\"",
    "imseek label --classes cat,dog --csv labels.csv",
    "imseek label --again kind",
)
@with_groups(output=LIST_FLAGS)
def label(
    classes: ClassesOption = None,
    templates: TemplatesOption = None,
    top: Annotated[
        int | None, typer.Option("--top", metavar="K", min=1, help="How many classes to show for each image.")
    ] = None,
    none: NoneOption = None,
    multi: MultiOption = False,
    threshold: Annotated[float | None, options.threshold("Leave out labels less probable than this (0 to 1).")] = None,
    temperature: TemperatureOption = None,
    centred: CentredOption = False,
    where: WhereOption = None,
    caution: Annotated[bool, options.caution("Flag labels that may come from writing in the picture.")] = False,
    save: Annotated[str | None, options.save("Store the labels as the columns NAME and NAME_score.")] = None,
    tag: Annotated[bool, options.tag("Store each label as a tag.")] = False,
    again: Annotated[
        str | None, options.again("Label images added since, in the same way as those stored as NAME.")
    ] = None,
    forget: Annotated[
        str | None,
        typer.Option("--forget", metavar="NAME", help="Delete what `label` or `moderate` stored as NAME."),
    ] = None,
    limit: Annotated[int, options.limit("How many images to show.")] = 20,
    collection: CollectionOption = None,
    *,
    output: ListFlags,
) -> int:
    """Assign each image to one of the given classes, by their names alone, with probabilities. No picture is opened."""
    if [classes, again, forget].count(None) != 2:
        raise UsageError("give --classes, or --again NAME, or --forget NAME", hint="--classes cat,dog")
    if forget is not None and output.csv is not None:
        raise UsageError("--forget lists nothing", hint="leave out --csv")
    others = (templates, top, none, multi, threshold, temperature, centred, where, caution, save, tag)
    if classes is None and any(others):
        message = "--again labels as it was done before" if again is not None else "--forget takes all of a name back"
        raise UsageError(message, hint="without other options")
    target = choose_collection(collection, quiet=output.as_json)
    from imseek import labels

    if forget is not None:
        deletion = labels.forget(target.path, forget)
        if output.as_json:
            print_answer(ForgetAnswer(deletion), target)
        else:
            print(f"forgotten: {deletion.name} ({deletion.kind}), {format_count(deletion.tags, 'tag')}")
        return 0
    with stoppable("interrupted: nothing was stored; vectors of classes that were made are kept") as controls:
        if again is not None:
            labelling = labels.again(target.path, again, **controls)
        else:
            assert classes is not None
            labelling = labels.label(
                target.path,
                classes,
                templates=templates,
                top=top,
                none=none_sentences(none),
                multi=multi,
                threshold=threshold,
                temperature=temperature,
                centred=centred,
                where=where,
                caution=caution,
                save=save,
                tag=tag,
                **controls,
            )
    name = again or save or (labels.NAME if tag else None)
    output.write(_COLUMNS, _csv_rows(labelling, target))
    answer = _answer(labelling, target, name, limit)
    if output.as_json:
        print_answer(answer, target)
        return 0
    for note in labelling.notes:
        say(printable(note))
    output.print_list("\n".join(_lines(answer)))
    if labelling.stored is not None:
        assert name is not None
        _say_stored(labelling, name, save is not None, again is not None)
    return 0


def none_sentences(none: Sequence[str] | None) -> bool | list[str]:
    if not none:
        return False
    return True if list(none) == [NONE_DEFAULT] else [text for text in none if text != NONE_DEFAULT]


def _answer(labels: Labels, target: ResolvedCollection, name: str | None, limit: int) -> LabelAnswer:
    from imseek import overview

    ids = labels.image_ids[:limit].tolist()
    places = overview.find_places(target.path, ids)
    return LabelAnswer(
        labels,
        images=len(labels.image_ids),
        classes=len(labels.classes),
        counts=labels.counts(),
        cautions=None if labels.cautions is None else int(labels.cautions.sum()),
        stored=StoredResult.of(labels, name),
        labels=tuple(
            ImageLabels(
                image_id,
                places.get(image_id),
                labels.labels(row),
                None if labels.cautions is None else bool(labels.cautions[row]),
                _top(labels, row),
            )
            for row, image_id in enumerate(ids)
        ),
    )


def _top(labels: Labels, row: int) -> tuple[ClassProbability, ...]:
    """Return the most probable classes of an image, best first."""
    return tuple(
        ClassProbability(None if number < 0 else labels.classes[number], probability)
        for number, probability in zip(labels.top[row].tolist(), labels.probabilities[row].tolist(), strict=True)
    )


def _csv_rows(labels: Labels, target: ResolvedCollection) -> Iterator[dict[str, Any]]:
    """Yield one row per label of each image; an image without a label has one row."""
    for image in _answer(labels, target, None, len(labels.image_ids)).labels:
        probability = {one.label: one.probability for one in image.top}
        for name in image.labels or (None,):
            yield {**to_json(image), "label": name, "probability": probability.get(name)}


def _lines(answer: LabelAnswer) -> list[str]:
    labels, counts = answer.result, answer.counts
    label_rows = [
        (shorten(_name(one.label), _WIDTH), f"{one.images:,}", f"{one.probability:.2f}") for one in counts[:_MAX_LABELS]
    ]
    out = [table(("label", "images", "mean probability"), label_rows, right=(1,))]
    if len(counts) > _MAX_LABELS:
        out.append(f"and {len(counts) - _MAX_LABELS:,} more labels")
    if answer.labels:
        rows = [
            (str(one.image_id), _classes(one), "writing?" if one.caution else "", format_place(one.place, one.image_id))
            for one in answer.labels
        ]
        out += ["", table(("id", "classes", "", "image"), rows, right=(0,))]
        if answer.images > len(rows):
            out.append(f"and {format_count(answer.images - len(rows), 'more image')} (-n shows more)")
    out.append("")
    out.append(f"{format_count(answer.images, 'image')}, {format_count(answer.classes, 'class', 'classes')}")
    out[-1] += f"; cosines × {labels.factor:.4g} ({labels.factor_source})"
    if answer.cautions is not None:
        out.append(f"{format_count(answer.cautions, 'label')} may come from writing in the picture (docs/limits.md)")
    return out


def _classes(image: ImageLabels) -> str:
    """Format the classes of an image, labels first, others in brackets."""
    parts = []
    for n, one in enumerate(image.top):
        text = f"{shorten(_name(one.label), _WIDTH)} {one.probability:.2f}"
        parts.append(text if n < len(image.labels) else f"({text})")
    return ", ".join(parts[:5])


def _name(label: str | None) -> str:
    return "none of these" if label is None else label


def _say_stored(labels: Labels, name: str, columns: bool, again: bool) -> None:
    if again and not len(labels.image_ids):
        say(f"no images were added since {name} was stored: nothing to do")
        return
    parts = ["columns"] * columns
    if labels.tagged or not (columns or again):
        parts.append(format_count(labels.tagged, "tag"))
    contents = f" ({' and '.join(parts)})" if parts else ""
    say(f"stored as {name}{contents}; later images: imseek label --again {name}")
    if columns:
        say(f"imseek search … --where \"{name} = 'NAME'\"")
