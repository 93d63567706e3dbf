"""Flags that set how sources are read, and lists of file names and URLs."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from imseek.errors import UsageError
from imseek.input_file import missing_path_hint
from imseek.tilde_expansion import expand_user
from imseek.ui.cli.common_options import rare
from imseek.ui.cli.flag_groups import flag_group, given_flags
from imseek.ui.cli.image_arguments import STDIN, read_file

if TYPE_CHECKING:
    from imseek import SourceOptions


@dataclass(frozen=True, slots=True)
class SourceFlags:
    """The flags, by the field of :class:`imseek.SourceOptions` that each sets."""

    kind: Annotated[
        str | None,
        rare(
            "--kind",
            metavar="KIND",
            help="Kind of source: folder, imagefolder, archive, table, vectors, list, or that of a "
            "plugin (default: guessed from the path).",
        ),
    ] = None
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="GLOB", help="Index only files that match; may be repeated."),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="GLOB", help="Leave out files and folders that match; may be repeated."),
    ] = None
    hidden: Annotated[
        bool,
        typer.Option("--hidden", help="Include hidden files, and folders such as @eaDir and node_modules."),
    ] = False
    columns: Annotated[
        str | None,
        rare(
            "--columns",
            metavar="NAMES",
            help="Metadata to keep (a,b) or to drop (-a,-b), such as --columns=-latitude,-longitude.",
        ),
    ] = None
    image_column: Annotated[
        str | None,
        rare(
            "--image-column",
            metavar="NAME",
            help="For a table: the column of the pictures, as bytes, paths or URLs.",
        ),
    ] = None
    caption_column: Annotated[
        str | None, rare("--caption-column", metavar="NAME", help="For a table: the column of the captions.")
    ] = None
    vector_column: Annotated[
        str | None,
        rare(
            "--vector-column",
            metavar="NAME",
            help="For a Parquet file: the column of vectors to import (docs/sources.md).",
        ),
    ] = None
    allow_private: Annotated[
        bool,
        rare("--allow-private", help="Also fetch URLs from addresses in the local network."),
    ] = False

    def options(self) -> SourceOptions | None:
        """Return the options, or None if no flag is given."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given_flags(self).items()
            if value
        }
        if not values:
            return None
        from imseek import SourceOptions

        if "columns" in values:
            names = (name.strip() for name in values["columns"].split(","))
            values["columns"] = tuple(name for name in names if name)
        return SourceOptions(**values)


#: Flags that yield SourceOptions, or None if none is given.
SOURCE_FLAGS: Final = flag_group(SourceFlags, SourceFlags.options)


def with_named_encoder(
    source: SourceOptions | None, paths: list[str], encoder: str | None
) -> tuple[SourceOptions | None, str | None]:
    """Complete the options for vectors made by another tool; also returns the encoder for a new collection.

    If ``paths`` hold such vectors, that is the encoder named by the user, or else by the file. Raises UsageError if
    neither names one, or if other sources are given as well.
    """
    from imseek.collection import is_url
    from imseek.indexer import source_kind

    kind = None if source is None else source.kind or (source.vector_column and "vectors")
    local = [expand_user(path) for path in paths if not is_url(os.fsencode(path))]
    kinds = [kind or source_kind(os.fsencode(path.absolute())) for path in local if path.exists()]
    if "vectors" not in kinds:
        return source, encoder
    if len(paths) > 1:
        raise UsageError("vectors made by another tool must be imported on their own", hint="import one at a time")
    from imseek import SourceOptions
    from imseek.indexer import open_vectors

    options = source or SourceOptions()
    if encoder in (None, "auto"):
        claim = open_vectors(os.fsencode(local[0].absolute()), options).claim()
        if claim is None:
            raise UsageError(
                f"{paths[0]} holds vectors, and nothing in it says which encoder made them",
                hint="name it with --encoder REFERENCE (`imseek encoders` lists them)",
            )
        _check_claim(paths[0], claim.encoder)
        return source, claim.encoder
    return replace(options, encoder=encoder), encoder


def _check_claim(path: str, encoder: str) -> None:
    """Raise UsageError if a file names an encoder outside the catalogue.

    Its author could otherwise choose whose weights are downloaded and which local files are read.
    """
    from imseek.encoders import canonical, find_encoder
    from imseek.ui.render.words import printable

    reference = canonical(encoder)
    if reference.partition(":")[0] not in ("builtin", "fake") and find_encoder(reference) is None:
        raise UsageError(
            f"{path} says that {printable(encoder)} made its vectors, which is not in imseek's catalogue",
            hint="if you trust that encoder, name it: --encoder REFERENCE",
        )


def read_names(files: list[str], *, null: bool) -> list[bytes]:
    """Read file names and URLs from lists, one a line or with ``null`` each followed by NUL; ``-`` is standard input.

    Raises UsageError for an unreadable list.
    """
    names: list[bytes] = []
    for file in files:
        data = read_file(file, "the list")
        lines = data.split(b"\0") if null else data.splitlines()
        names += [name for name in lines if name.strip()]
    if any(b"\0" in name for name in names):
        raise UsageError("a name on the list contains a NUL byte", hint="if names end in a NUL byte, add -0")
    return names


def split_stdin(paths: list[str]) -> tuple[list[str], bool]:
    """Split ``-`` off the paths; also returns whether it was there."""
    return [path for path in paths if path != STDIN], STDIN in paths


def check_paths(paths: list[str]) -> None:
    """Raise UsageError for a local path that does not exist."""
    from imseek.collection import is_url

    for path in paths:
        if not is_url(os.fsencode(path)) and not os.path.lexists(expand_user(path)):
            raise UsageError(f"no such file or folder: {path}", hint=missing_path_hint(path))


def check_quotes(paths: list[str]) -> None:
    """Raise UsageError for a path with spaces that the shell has split, since it was not in quotes."""
    whole = " ".join(paths)
    # Path.exists would raise for a path that is too long, as many names in one are.
    if len(paths) > 1 and os.path.lexists(expand_user(whole)):
        missing = next((path for path in paths if not os.path.lexists(expand_user(path))), None)
        if missing is not None:
            hint = f"a path with spaces stands in quotes: {shlex.quote(whole)}"
            raise UsageError(f"no such file or folder: {missing}", hint=hint)
