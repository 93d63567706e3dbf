"""Make a collection in the background, since an encoder may have to be downloaded first, then index its images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import imseek
from imseek import jobs, library
from imseek.encoders import PRESETS
from imseek.errors import CollectionExistsError, UsageError
from imseek.types.indexing_runs import IndexReport, SourceOptions
from imseek.ui.render.words import format_size
from imseek.ui.web import background
from imseek.ui.web.background import BackgroundTask

#: Kind of background task; its subject is the collection's name.
KIND: Final = "create"
AUTO: Final = "auto"
BUILTIN: Final = "builtin"


@dataclass(frozen=True, slots=True)
class CollectionRequest:
    """A collection to make. ``index`` is a command line for :func:`imseek.jobs.start` that fills it."""

    name: str
    encoder: str = AUTO
    captions: bool = False
    index: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """An encoder to choose; ``facts`` are lines about its costs and benefits."""

    reference: str
    label: str
    facts: tuple[str, ...]


def name_problem(name: str, environ: Mapping[str, str]) -> str | None:
    """Return why ``name`` cannot be that of a new collection, None if it can."""
    if not name:
        return "Enter a name"
    try:
        path = library.path_for(name, environ)
    except UsageError as error:
        return f"Not a valid name: {error.hint}"
    if os.path.lexists(path):
        return "A collection of this name already exists"
    work = background.find(KIND, name)
    return "It is being created" if work is not None and work.running else None


def free_name(environ: Mapping[str, str]) -> str:
    """Return a name to suggest."""
    numbered = (f"{library.DEFAULT_NAME}-{n}" if n > 1 else library.DEFAULT_NAME for n in range(1, 1000))
    return next((name for name in numbered if name_problem(name, environ) is None), "")


def encoder_choices() -> tuple[EncoderChoice, ...]:
    """List the encoders to choose from, the default first. Looks into the hub's cache, without network access."""
    from imseek.encoders import find_encoder

    choices = [
        EncoderChoice(
            AUTO,
            "Automatic",
            ("Uses the best model available: Default if it is here or can be downloaded, otherwise Built-in.",),
        )
    ]
    for preset in PRESETS.values():
        entry = find_encoder(preset.reference)
        if entry is None:
            continue
        cost = (
            "Already on this computer."
            if entry.is_cached
            else f"Downloads {format_size(entry.download_bytes)} before first use."
        )
        languages = "pictures only" if entry.languages is None else f"languages: {entry.languages}"
        choices.append(
            EncoderChoice(
                preset.name,
                preset.name.capitalize(),
                (
                    f"{preset.reference} ({preset.why})",
                    f"{cost} Licence: {entry.licence_name or entry.licence}. Speed: {entry.speed}; {languages}.",
                ),
            )
        )
    choices.append(EncoderChoice(BUILTIN, "Built-in", ("No download. Finds common things; the least accurate.",)))
    return tuple(choices)


def start(
    request: CollectionRequest, environ: Mapping[str, str], runtime: imseek.Runtime | None = None
) -> BackgroundTask[Any]:
    """Make a collection in the background; ``runtime`` says how vectors are computed.

    The result of the task is the job that indexes, None if nothing is to be indexed. Raises UsageError for an invalid
    name, CollectionExistsError.
    """
    path = library.path_for(request.name, environ)
    if os.path.lexists(path):
        raise CollectionExistsError(f"there is already a {request.name!r}", hint="choose another name")

    def make(work: BackgroundTask[Any]) -> jobs.Job | None:
        from imseek.encoders import Transfer, report_downloads

        def fetched(now: Transfer) -> None:
            share = now.done / now.total if now.total else None
            work.say(f"Downloading {now.file}: {format_size(now.done)} of {format_size(now.total)}", share)

        work.say("Preparing the encoder")
        with report_downloads(fetched):
            imseek.create(
                path,
                encoder=request.encoder,
                captions=request.captions,
                runtime=runtime,
                notify=lambda line: work.say(line),
            ).close()
        if not request.index:
            return None
        work.say("Starting to index")
        return jobs.start(path, with_runtime(request.index, runtime))

    return background.start(KIND, request.name, make, f"Creating {request.name}")


def demo_request() -> CollectionRequest:
    """Return a collection of the photographs in scikit-image and scikit-learn. Raises MissingExtraError if they are
    missing."""
    from imseek.ui import demo_photographs

    paths = [str(path) for path in demo_photographs.photographs()]
    return CollectionRequest(library.DEMO_NAME, demo_photographs.ENCODER, index=IndexRequest(tuple(paths)).command())


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """Images to index, with the options of the page; without paths, all sources are updated."""

    paths: tuple[str, ...] = ()
    skip_known: bool = False
    rehash: bool = False
    retry_failed: bool = False
    follow_symlinks: bool = False
    hidden: bool = False
    limit: int | None = None

    def command(self) -> tuple[str, ...]:
        """Return the command line of ``imseek index``, for :func:`imseek.jobs.start`."""
        flags = {
            "--skip-known": self.skip_known,
            "--rehash": self.rehash,
            "--retry-failed": self.retry_failed,
            "--follow-symlinks": self.follow_symlinks,
            "--hidden": self.hidden,
        }
        limit_arguments = () if self.limit is None else ("--limit", str(self.limit))
        # After `--`, everything is a path.
        path_arguments = ("--", *self.paths) if self.paths else ()
        return ("index", *(flag for flag, is_set in flags.items() if is_set), *limit_arguments, *path_arguments)

    def plan(self, collection: imseek.Collection) -> IndexReport:
        """Return what the command would do. Raises as :meth:`imseek.Collection.index`."""
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
    """Add this server's runtime options to commands that compute vectors; others stay unchanged."""
    if runtime is None or command[0] not in ("index", "maintain"):
        return tuple(command)
    usual = imseek.Runtime()
    flags = [
        f"--{name}={value}"
        for name in ("device", "precision", "threads")
        if (value := getattr(runtime, name)) != getattr(usual, name)
    ]
    return (command[0], *flags, *command[1:])
