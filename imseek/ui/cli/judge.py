"""``imseek duplicates judge``: record whether pictures are duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from imseek.errors import UsageError
from imseek.types.duplicate_judgements import Judgement, Verdict
from imseek.types.json_form import Count, Json
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.command_run import Run
from imseek.ui.cli.image_arguments import parse_image
from imseek.ui.render.text import format_place, table

#: Pictures judged at once, all pairs of them.
_MAX_IMAGES: Final = 100


@dataclass(frozen=True, slots=True)
class JudgedContents:
    """A judgement, and the images that it is about."""

    judgement: Annotated[Judgement, Json(inline=True)]
    images_a: tuple[Count, ...]
    """Images that have the content now."""
    images_b: tuple[Count, ...]


@dataclass(frozen=True, slots=True)
class JudgementList:
    """Judgements that were made or taken back, or all."""

    forgotten: bool
    """Whether these do not hold any more (``--forget``)."""
    judgements: tuple[JudgedContents, ...]


app = Group()


@app.command(
    "imseek duplicates judge 17 23 --different",
    "imseek duplicates judge holiday.jpg backup/IMG_0042.jpg --same",
    "imseek duplicates judge",
)
def judge(
    run: Run,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE]...",
            help="Two or more images, as ids or files; each pair is judged. Without any: list all judgements.",
        ),
    ] = None,
    same: Annotated[bool, typer.Option("--same", help="They are the same picture.")] = False,
    different: Annotated[bool, typer.Option("--different", help="They are not duplicates.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Delete the judgement.")] = False,
) -> int:
    """Record whether pictures are duplicates. The answer is remembered by content, and applies to later runs."""
    from imseek import duplicates

    choices = [same, different, forget].count(True)
    if not images and choices:
        raise UsageError("no images are given", hint="imseek duplicates judge 17 23 --different")
    if images and len(set(images)) < 2:
        raise UsageError("a judgement needs at least two images", hint="imseek duplicates judge 17 23 --different")
    if images and len(images) > _MAX_IMAGES:
        raise UsageError(f"{len(images)} images are too many to judge at once ({_MAX_IMAGES})")
    if images and choices != 1:
        raise UsageError("choose one of --same, --different and --forget")
    if not images:
        judgements = duplicates.judgements(run.path)
    elif forget:
        judgements = duplicates.forget(run.path, [parse_image(image) for image in images])
    else:
        verdict: Verdict = "same" if same else "different"
        judgements = duplicates.judge(run.path, [parse_image(image) for image in images], verdict)
    holders = duplicates.images_of(run.path, {content for one in judgements for content in (one.a, one.b)})
    contents = (JudgedContents(one, tuple(holders.get(one.a, ())), tuple(holders.get(one.b, ()))) for one in judgements)
    absence = "not all of these contents are in the collection; what you have said is kept all the same"
    return run.finish(
        JudgementList(forget, tuple(contents)),
        lambda: [_lines(run.path, judgements, holders, forgotten=forget)],
        notes=[absence] if images and not all(holders.values()) else [],
    )


def _lines(
    root: Path, judgements: Sequence[Judgement], holders: Mapping[str, Sequence[int]], *, forgotten: bool
) -> str:
    """Format judgements as a table; each content is shown by its first image."""
    from imseek import overview

    if not judgements:
        return "nothing was said of them" if forgotten else "no judgements yet"
    places = overview.find_places(root, [ids[0] for ids in holders.values() if ids])

    def format_content(content: str) -> str:
        if not (ids := holders.get(content)):
            return f"(sha256 {content[:12]}…: not in the collection)"
        return f"id:{ids[0]} {format_place(places.get(ids[0]), ids[0])}"

    rows = [
        ("forgotten" if forgotten else one.verdict, one.decided_at, format_content(one.a), format_content(one.b))
        for one in judgements
    ]
    return table(("verdict", "when", "image", "and"), rows)
