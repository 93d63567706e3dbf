"""The current folder as what a search is about: narrow a search to it, and offer to index it."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

import imseek
from imseek.errors import UsageError
from imseek.ui.cli import confirmation_prompt, notice_history
from imseek.ui.cli.common_options import current_folder
from imseek.ui.cli.output import say
from imseek.ui.render.words import printable

if TYPE_CHECKING:
    from imseek import Runtime
    from imseek.library import ResolvedCollection
    from imseek.types.collection_info import SourceInfo

#: Entries of a folder among which a picture is looked for.
_MAX_ENTRIES: Final = 2_000
#: Days before a user who declined to index a folder is asked about it again.
_DAYS_OF_SILENCE: Final = 30


def narrow(where: str | None, sources: Sequence[SourceInfo]) -> str:
    """Return a filter for the images below the current folder that also meet ``where``.

    Raises UsageError if the folder is not indexed.
    """
    folder = current_folder()
    starts = _starts(sources, folder)
    if any(not source.path for source in sources):  # A list of files, which may lie anywhere.
        from imseek.types.pictures import display_path

        starts = [*starts, display_path(_slashed(os.path.realpath(os.fsencode(folder))))]
    if not starts:
        raise UsageError(
            f"{folder} is not indexed in this collection", hint="`imseek index .` indexes the current folder"
        )
    condition = " OR ".join(f"starts_with(path, '{start}')" for start in (start.replace("'", "''") for start in starts))
    return f"({condition})" if where is None else f"({where}) AND ({condition})"


def _starts(sources: Iterable[SourceInfo], folder: Path) -> list[str]:
    """Return what paths of images below ``folder`` start with, as filters know them, one for each source.

    A source may have been indexed under another name of its folder, by a symbolic link.
    """
    from imseek.types.pictures import display_path

    real_path = os.fsencode(os.path.realpath(folder))
    starts = []
    for source in sources:
        if not source.path.startswith(b"/"):  # a list, or on the web
            continue
        root = os.path.realpath(source.path)
        if real_path == root or root.startswith(_slashed(real_path)):
            starts.append(source.path if not Path(os.fsdecode(source.path)).is_dir() else _slashed(source.path))
        elif real_path.startswith(_slashed(root)):
            starts.append(_slashed(source.path) + real_path[len(_slashed(root)) :] + b"/")
    return [display_path(start) for start in dict.fromkeys(starts)]


def _slashed(path: bytes) -> bytes:
    return path if path.endswith(b"/") else path + b"/"


def has_pictures(folder: Path) -> bool:
    """Whether a folder, or one directly below, seems to hold pictures, by the first names in it."""
    try:
        entries = list(islice(folder.iterdir(), _MAX_ENTRIES))
        below = (one for entry in entries if entry.is_dir() and not entry.name.startswith(".") for one in _list(entry))
        return any(_is_picture(one) for one in islice((*entries, *islice(below, _MAX_ENTRIES)), 2 * _MAX_ENTRIES))
    except OSError:
        return False


def _list(folder: Path) -> Iterable[Path]:
    try:
        return list(islice(folder.iterdir(), _MAX_ENTRIES))
    except OSError:
        return ()


def _is_picture(path: Path) -> bool:
    return (mimetypes.guess_type(path.name)[0] or "").startswith("image/")


def offer_first_index(runtime: Runtime) -> ResolvedCollection | None:
    """Ask whether to index the current folder, as there is no collection; None if nobody can be asked, or declines.

    Only a folder with pictures is asked about.
    """
    folder = current_folder()
    if not confirmation_prompt.can_ask() or not has_pictures(folder):
        return None
    if not typer.confirm(f"No pictures are indexed yet. Index {printable(str(folder))} and search it?", err=True):
        return None
    return _index(folder, None, runtime)


def offer_index(target: ResolvedCollection, reference: str | None, runtime: Runtime) -> bool:
    """If the current folder has pictures and is not indexed in ``target``, ask whether to index it there.

    Without a terminal, and for a month after the answer no, print the command instead. Returns whether it was indexed.
    """
    folder = current_folder()
    if not has_pictures(folder):
        return False
    with imseek.open(target.path) as collection:
        sources = collection.info().sources
    if _starts(sources, folder):
        return False
    name = printable(str(folder))
    notice = f"unindexed {target.path} {folder}"
    if not confirmation_prompt.can_ask() or not notice_history.is_due(notice, days=_DAYS_OF_SILENCE):
        say(f"note: {name} is not indexed: `imseek index .` adds it")
        return False
    if not typer.confirm(f"{name} is not indexed. Add it to {printable(target.name)}, then search?", err=True):
        notice_history.record(notice)
        return False
    _index(folder, reference or target.name, runtime)
    return True


def _index(folder: Path, collection: str | None, runtime: Runtime) -> ResolvedCollection:
    from imseek.ui.cli.index import index_folder

    return index_folder(folder, collection, runtime)
