"""``imseek moderate``: flag images by a policy of concepts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from imseek.labels.results import Moderation
from imseek.types.json_form import Count, Json, Share
from imseek.types.pictures import ImagePlace
from imseek.ui.cli import common_options as options
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, WhereOption
from imseek.ui.cli.flag_groups import with_groups
from imseek.ui.cli.label import StoredResult, TemperatureOption
from imseek.ui.cli.list_output_flags import LIST_FLAGS, ListFlags
from imseek.ui.cli.output import say
from imseek.ui.cli.output_files import IMAGE_COLUMNS
from imseek.ui.cli.progress import stoppable
from imseek.ui.render.result_json import print_answer, to_json
from imseek.ui.render.text import format_place, table
from imseek.ui.render.words import format_count, printable

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection

_COLUMNS: Final = (*IMAGE_COLUMNS, "concept", "probability", "caution")


@dataclass(frozen=True, slots=True)
class ConceptProbability:
    """A concept of the policy, and the probability that an image shows it."""

    concept: str
    probability: Share
    flagged: bool
    caution: bool | None
    """Writing in the picture may have caused it; null where this was not requested."""


@dataclass(frozen=True, slots=True)
class FlaggedImage:
    """A flagged image with all concepts of the policy."""

    image_id: Count
    place: ImagePlace
    concepts: tuple[ConceptProbability, ...]


@dataclass(frozen=True, slots=True)
class ModerateAnswer:
    """Flags as ``imseek moderate`` shows them."""

    result: Annotated[Moderation, Json(inline=True)]
    images: Count
    """Number of images that were looked at."""
    flagged: Count
    """Number of images with a flagged concept."""
    stored: StoredResult | None
    """Null where nothing was stored."""
    hits: tuple[FlaggedImage, ...]
    """Flagged images, the most certain first, as many as ``--limit``."""


app = Group()


@app.command(
    "imseek moderate --policy policy.yaml",
    "imseek moderate --policy policy.yaml --save flags",
    "imseek search 'a street' --where \"flags IS NULL\"",
)
@with_groups(output=LIST_FLAGS)
def moderate(
    policy: Annotated[
        Path, typer.Option("--policy", metavar="FILE", help="The policy: what to flag (docs/labels.md).")
    ],
    temperature: TemperatureOption = None,
    where: WhereOption = None,
    caution: Annotated[bool, options.caution("Mark flags that may come from writing in the picture.")] = False,
    save: Annotated[str | None, options.save("Store the flags as the columns NAME and NAME_CONCEPT.")] = None,
    tag: Annotated[bool, options.tag("Store each flagged concept as a tag.")] = False,
    limit: Annotated[int, options.limit("How many images to show.")] = 20,
    collection: CollectionOption = None,
    *,
    output: ListFlags,
) -> int:
    """Flag images by a policy that you write: concepts, descriptions of them, and the least probability to flag."""
    from imseek import labels

    rules = labels.read_policy(policy)
    target = choose_collection(collection, quiet=output.as_json)
    with stoppable() as controls:
        moderation = labels.moderate(
            target.path,
            rules,
            temperature=temperature,
            where=where,
            caution=caution,
            save=save,
            tag=tag,
            **controls,
        )
    name = save or (labels.MODERATION if tag else None)
    output.write(_COLUMNS, _csv_rows(moderation, target))
    answer = _answer(moderation, target, name, limit)
    if output.as_json:
        print_answer(answer, target)
        return 0
    for note in moderation.notes:
        say(printable(note))
    output.print_list("\n".join(_lines(answer)))
    if moderation.stored is not None:
        contents = format_count(moderation.tagged, "tag") if tag else "columns"
        say(f"stored as {name} ({contents}); run it again after indexing")
    return 0


def _answer(moderation: Moderation, target: ResolvedCollection, name: str | None, limit: int) -> ModerateAnswer:
    from imseek import overview

    order = _flagged_first(moderation)
    ids = moderation.image_ids[order[:limit]].tolist()
    places = overview.find_places(target.path, ids)
    return ModerateAnswer(
        moderation,
        images=len(moderation.image_ids),
        flagged=len(order),
        stored=StoredResult.of(moderation, name),
        hits=tuple(
            FlaggedImage(
                image_id,
                places.get(image_id),
                tuple(
                    ConceptProbability(
                        concept.name,
                        float(moderation.probabilities[row, n]),
                        bool(moderation.flagged[row, n]),
                        None if moderation.cautions is None else bool(moderation.cautions[row, n]),
                    )
                    for n, concept in enumerate(moderation.concepts)
                ),
            )
            for row, image_id in zip(order, ids, strict=False)
        ),
    )


def _csv_rows(moderation: Moderation, target: ResolvedCollection) -> Iterator[dict[str, Any]]:
    """Yield one row per flagged concept of each image."""
    for image in _answer(moderation, target, None, len(moderation.image_ids)).hits:
        for concept in image.concepts:
            if concept.flagged:
                yield {**to_json(image), **to_json(concept)}


def _flagged_first(moderation: Moderation) -> list[int]:
    """Return the positions of flagged images, the most certain first."""
    import numpy as np

    certainty = np.where(moderation.flagged, moderation.probabilities, -1).max(axis=1, initial=-1)
    order = np.argsort(-certainty, kind="stable")
    return [int(at) for at in order[: int((certainty >= 0).sum())]]


def _lines(answer: ModerateAnswer) -> list[str]:
    moderation = answer.result
    concepts = [(one.name, f"{one.threshold:g}", f"{one.images:,}") for one in moderation.concepts]
    out = [table(("concept", "threshold", "images"), concepts, right=(1,))]
    if answer.hits:
        rows = [(str(one.image_id), _concepts(one), format_place(one.place, one.image_id)) for one in answer.hits]
        out += ["", table(("id", "flagged as", "image"), rows, right=(0,))]
        if answer.flagged > len(rows):
            out.append(f"and {format_count(answer.flagged - len(rows), 'more image')} (-n shows more)")
    out.append("")
    head = f"{answer.flagged:,} of {format_count(answer.images, 'image')} flagged by {moderation.policy}"
    out.append(printable(f"{head}; cosines × {moderation.factor:.4g} ({moderation.factor_source})"))
    return out


def _concepts(image: FlaggedImage) -> str:
    flags = (one for one in image.concepts if one.flagged)
    return ", ".join(f"{one.concept} {one.probability:.2f}{' (writing?)' if one.caution else ''}" for one in flags)
