"""``imseek moderate``: flag images by a policy of concepts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imseek.showing.words import format_count, printable
from imseek.ui.cli import jsonout, labeljson
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.common_options import CollectionOption, JsonOption, examples
from imseek.ui.cli.label import TemperatureOption, WhereOption
from imseek.ui.cli.output import say, table
from imseek.ui.cli.progress import stoppable

if TYPE_CHECKING:
    from imseek.library import ResolvedCollection
    from imseek.types import Moderation


def register(app: typer.Typer) -> None:
    app.command(
        "moderate",
        epilog=examples(
            "imseek moderate --policy policy.yaml",
            "imseek moderate --policy policy.yaml --save flags",
            "imseek search 'a street' --where \"flags IS NULL\"",
        ),
    )(moderate)


def moderate(
    policy: Annotated[
        Path, typer.Option("--policy", metavar="FILE", help="What is to be flagged (docs/labels.md).")
    ],
    temperature: TemperatureOption = None,
    where: WhereOption = None,
    caution: Annotated[
        bool, typer.Option("--caution", help="Mark what writing in the picture may have caused.")
    ] = False,
    save: Annotated[
        str | None, typer.Option("--save", metavar="NAME", help="Store columns NAME and NAME_CONCEPT.")
    ] = None,
    tag: Annotated[bool, typer.Option("--tag", help="Store each flagged concept as a tag.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=0, help="How many images are shown.")
    ] = 20,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Flag images by a policy that you write: concepts, what they look like, and from which probability on."""
    from imseek import labels

    rules = labels.read_policy(policy)
    chosen = choose_collection(collection, quiet=as_json)
    with stoppable() as (progress, stop):
        found = labels.moderate(
            chosen.path,
            rules,
            temperature=temperature,
            where=where,
            caution=caution,
            save=save,
            tag=tag,
            progress=progress,
            stop=stop,
        )
    name = save or (labels.MODERATION if tag else None)
    if as_json:
        jsonout.print_json(labeljson.moderation(found, chosen, name, limit))
        return 0
    for note in found.notes:
        say(printable(note))
    print("\n".join(_lines(found, chosen, limit)))
    if found.stored is not None:
        what = format_count(found.tagged, "tag") if tag else "columns"
        say(f"stored as {name} ({what}); run it again after indexing")
    return 0


def _lines(found: Moderation, chosen: ResolvedCollection, limit: int) -> list[str]:
    from imseek.explore import snapshot_session

    out = [
        table(
            ("concept", "threshold", "images"),
            [(one.name, f"{one.threshold:g}", f"{one.images:,}") for one in found.concepts],
            right=(1,),
        )
    ]
    flagged = labeljson.flagged_first(found)
    if flagged and limit:
        places = snapshot_session.find_places(chosen.path, found.image_ids[flagged[:limit]].tolist())
        rows = []
        for at in flagged[:limit]:
            image_id = int(found.image_ids[at])
            place = places.get(image_id)
            where = f"(image {image_id}: place unknown)" if place is None else place.display
            rows.append((str(image_id), _concepts(found, at), where))
        out += ["", table(("id", "flagged as", "image"), rows, right=(0,))]
        if len(flagged) > len(rows):
            out.append(f"and {format_count(len(flagged) - len(rows), 'more image')} (-n shows more)")
    out.append("")
    head = f"{len(flagged):,} of {format_count(len(found.image_ids), 'image')} flagged by {found.policy}"
    out.append(printable(f"{head}; cosines × {found.factor:.4g} ({found.factor_source})"))
    return out


def _concepts(found: Moderation, at: int) -> str:
    parts = []
    for n, concept in enumerate(found.concepts):
        if found.flagged[at, n]:
            doubt = " (writing?)" if found.cautions is not None and found.cautions[at, n] else ""
            parts.append(f"{concept.name} {found.probabilities[at, n]:.2f}{doubt}")
    return ", ".join(parts)
