"""Making a collection beside the page: an encoder may have to be fetched first. Then its pictures are indexed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import imseek
from imseek import jobs, library
from imseek.encoders import PRESETS
from imseek.errors import CollectionExistsError, UsageError
from imseek.showing.words import size
from imseek.types import IndexReport, SourceOptions
from imseek.ui.web import background
from imseek.ui.web.background import Task

#: The kind of work that makes a collection; it is about its name.
KIND: Final = "create"
AUTO: Final = "auto"
BUILTIN: Final = "builtin"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A collection to be made, and what to put into it: ``index`` is a command line for :func:`imseek.jobs.start`."""

    name: str
    encoder: str = AUTO
    captions: bool = False
    index: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """An encoder to choose; ``facts`` are lines on what it costs and brings."""

    reference: str
    label: str
    facts: tuple[str, ...]


def problem(name: str, environ: Mapping[str, str]) -> str | None:
    """Why a name as typed cannot be that of a new collection; None where it can."""
    if not name:
        return "Give it a name"
    try:
        path = library.path_for(name, environ)
    except UsageError as error:
        return f"This cannot be a name: {error.hint}"
    if os.path.lexists(path):
        return "There is a collection of that name already: choose another"
    work = background.find(KIND, name)
    return "It is being made" if work is not None and work.running else None


def free_name(environ: Mapping[str, str]) -> str:
    """A name to propose."""
    numbered = (f"{library.DEFAULT_NAME}-{n}" if n > 1 else library.DEFAULT_NAME for n in range(1, 1000))
    return next((name for name in numbered if problem(name, environ) is None), "")


def choices() -> tuple[Choice, ...]:
    """Those to choose from, the one to begin with first. Looks into the hub's cache, and asks nobody."""
    from imseek.encoders.catalogue import find_encoder

    found = [
        Choice(
            AUTO,
            "Automatic",
            ("Takes Default if its weights are here or can be fetched now, else Built-in.",),
        )
    ]
    for preset in PRESETS.values():
        entry = find_encoder(preset.reference)
        if entry is None:
            continue
        here = (
            "Its weights are on this machine."
            if entry.is_cached
            else f"Downloads {size(entry.download_bytes)} before the first use."
        )
        languages = "pictures only" if entry.languages is None else f"words in: {entry.languages}"
        found.append(
            Choice(
                preset.name,
                preset.name.capitalize(),
                (
                    f"{preset.reference} ({preset.why})",
                    f"{here} Licence: {entry.licence_name or entry.licence}. Speed: {entry.speed}; {languages}.",
                ),
            )
        )
    found.append(
        Choice(BUILTIN, "Built-in", ("Needs no download; finds plain things, and is the least exact.",))
    )
    return tuple(found)


def start(wanted: Wanted, environ: Mapping[str, str], runtime: imseek.Runtime | None = None) -> Task[Any]:
    """Make it in the background, where ``runtime`` says how vectors are computed. The work's result is the job that
    indexes, None where nothing is to be indexed.

    Raises UsageError for a name that cannot be one, CollectionExistsError.
    """
    path = library.path_for(wanted.name, environ)
    if os.path.lexists(path):
        raise CollectionExistsError(f"there is already a {wanted.name!r}", hint="choose another name")

    def make(work: Task[Any]) -> jobs.Job | None:
        from imseek.encoders.hub import Transfer, watched

        def fetched(now: Transfer) -> None:
            share = now.done / now.total if now.total else None
            work.say(f"Downloading {now.file}: {size(now.done)} of {size(now.total)}", share)

        work.say("Preparing the encoder")
        with watched(fetched):
            imseek.create(
                path,
                encoder=wanted.encoder,
                captions=wanted.captions,
                runtime=runtime,
                notify=lambda line: work.say(line),
            ).close()
        if not wanted.index:
            return None
        work.say("Starting to index")
        return jobs.start(path, with_runtime(wanted.index, runtime))

    return background.start(KIND, wanted.name, make, wanted.name)


def demo() -> Wanted:
    """The photographs that scikit-image and scikit-learn bring. Raises MissingExtraError where they are not there."""
    from imseek.ui import demo as demo_photos

    paths = [str(path) for path in demo_photos.photographs()]
    return Wanted(library.DEMO_NAME, demo_photos.ENCODER, index=Adding(tuple(paths)).command())


@dataclass(frozen=True, slots=True)
class Adding:
    """Pictures to be added, with the options of the page; without paths, all sources again."""

    paths: tuple[str, ...] = ()
    skip_known: bool = False
    rehash: bool = False
    retry_failed: bool = False
    follow_symlinks: bool = False
    hidden: bool = False
    limit: int | None = None

    def command(self) -> tuple[str, ...]:
        """As ``imseek index``, for :func:`imseek.jobs.start`."""
        flags = {
            "--skip-known": self.skip_known,
            "--rehash": self.rehash,
            "--retry-failed": self.retry_failed,
            "--follow-symlinks": self.follow_symlinks,
            "--hidden": self.hidden,
        }
        limited = () if self.limit is None else ("--limit", str(self.limit))
        # What follows `--` is a path, whatever it begins with.
        given = ("--", *self.paths) if self.paths else ()
        return ("index", *(flag for flag, wanted in flags.items() if wanted), *limited, *given)

    def plan(self, collection: imseek.Collection) -> IndexReport:
        """What the command would do. Raises as :meth:`imseek.Collection.index`."""
        return collection.index(
            self.paths,
            source=SourceOptions(hidden=True) if self.hidden else None,
            dry_run=True,
            rehash=self.rehash,
            retry_failed=self.retry_failed,
            follow_symlinks=self.follow_symlinks,
            skip_known=self.skip_known,
        )


def with_runtime(command: Sequence[str], runtime: imseek.Runtime | None) -> tuple[str, ...]:
    """A command line that computes vectors as these pages do; others stay as they are."""
    if runtime is None or command[0] not in ("index", "maintain"):
        return tuple(command)
    usual = imseek.Runtime()
    flags = [
        f"--{name}={value}"
        for name in ("device", "precision", "threads")
        if (value := getattr(runtime, name)) != getattr(usual, name)
    ]
    return (command[0], *flags, *command[1:])
