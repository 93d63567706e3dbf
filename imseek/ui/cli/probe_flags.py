"""Flags of ``imseek probe``, and their conversion to labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imseek.errors import UsageError
from imseek.ui.cli import common_options as options

if TYPE_CHECKING:
    from imseek.probes import Labels

#: The same as imseek.probes.training.MethodChoice, whose import would load NumPy.
MethodChoice = Literal["auto", "linear", "cache", "coop", "cocoop", "all"]

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of the probe.")]
TagsOption = Annotated[
    str | None, typer.Option("--tags", metavar="A,B,…", help="The tags to use as classes (default: all).")
]
ColumnOption = Annotated[
    str | None,
    typer.Option("--column", metavar="COLUMN", help="Take the classes from a column instead of tags."),
]
FolderOption = Annotated[
    str | None,
    typer.Option(
        "--folder",
        metavar="inner|N",
        help="Take the classes from folder names: the innermost folder, or the Nth below the source.",
    ),
]
BinaryOption = Annotated[
    str | None,
    typer.Option("--binary", metavar="TAG", help="Separate images with this tag from images with other tags."),
]
SeveralOption = Annotated[bool, typer.Option("--several", help="Allow an image to have several of the tags, or none.")]
NegativesOption = Annotated[
    str | None,
    typer.Option(
        "--negatives",
        metavar="TAG",
        help="With --binary or --several: the tag of images that belong to no class.",
    ),
]
SpaceOption = Annotated[
    str | None,
    options.space("Which vector space to use, if there are several (default: the first).", metavar="N|ENCODER"),
]
WordsOption = Annotated[
    bool,
    typer.Option(
        "--words/--no-words",
        help="Also learn from the names of the classes, if the encoder understands text.",
    ),
]
MethodOption = Annotated[
    MethodChoice,
    typer.Option(
        "--method",
        metavar="METHOD",
        help="linear, cache; coop or cocoop (learn the words before the class names; refused where that does not "
        "help); all (the best of these by cross-validation); auto is linear or cache.",
    ),
]
ContextsOption = Annotated[
    int | None,
    options.rare("--contexts", metavar="N", help="How many vectors a prompt that learns begins with (default: 4)."),
]
PerClassOption = Annotated[
    bool, options.rare("--per-class", help="Learn the vectors of prompts for each class separately.")
]


def labels_of(
    tags: str | None,
    column: str | None,
    folder: str | None,
    binary: str | None,
    several: bool,
    negatives: str | None,
) -> Labels:
    """Build labels from the flags of the same names. Raises UsageError if flags conflict."""
    from imseek.probes import Labels

    choices = [one for one in (tags, column, folder, binary) if one is not None]
    if len(choices) > 1:
        raise UsageError("choose the classes in only one way", hint="one of --tags, --column, --folder and --binary")
    if (several or negatives) and (column is not None or folder is not None):
        raise UsageError("--several and --negatives go with tags")
    if negatives is not None and not several and binary is None:
        raise UsageError("--negatives goes with --binary or --several")
    if negatives is not None:
        negatives = _check_tag(negatives, "--negatives other")
    if binary is not None and several:
        raise UsageError("--binary and --several exclude each other", hint="--tags a,b --several")
    if column is not None:
        return Labels.parse(f"column:{column}")
    if folder is not None:
        return Labels.parse("folder" if folder == "inner" else f"folder:{folder}")
    if binary is not None:
        return Labels("tags", (_check_tag(binary, "--binary cat"),), several=True, negatives=negatives)
    names = Labels.parse(f"tags:{tags or ''}").names
    if tags is not None and not names:
        raise UsageError("no tag is named", hint="--tags cat,dog")
    return Labels("tags", names, several=several, negatives=negatives)


def _check_tag(tag: str, hint: str) -> str:
    if not tag.strip():
        raise UsageError("no tag is named", hint=hint)
    return tag.strip()


def parse_shots(text: str | None) -> tuple[int, ...]:
    """Parse ``--curve``. Raises UsageError."""
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"{text!r} is not a list of image counts", hint="--curve 1,2,4,8")
    return tuple(int(part) for part in parts)
