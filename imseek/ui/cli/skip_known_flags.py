"""Flags that skip pictures whose content is already stored."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from imseek import library
from imseek.ui.cli.common_options import current_folder
from imseek.ui.cli.flag_groups import flag_group


@dataclass(frozen=True, slots=True)
class SkipKnown:
    """The flags: one for this collection, and one for others, since a flag with an optional value would swallow the
    path after it."""

    skip_known: Annotated[
        bool,
        typer.Option("--skip-known", help="Skip pictures that the collection already has in another place."),
    ] = False
    skip_known_in: Annotated[
        list[str] | None,
        typer.Option(
            "--skip-known-in",
            metavar="NAME|PATH",
            help="Skip pictures that this other collection has; may be repeated.",
        ),
    ] = None

    def folders(self, own: Path) -> tuple[Path, ...]:
        """Return the folders of these collections; ``own``, the one to index into, need not exist yet.

        Raises CollectionNotFoundError for one of the others.
        """
        names = self.skip_known_in or ()
        cwd = current_folder() if names else own
        find = partial(library.resolve, cwd=cwd, environ=os.environ, option="--skip-known-in")
        return (own,) * self.skip_known + tuple(find(name).path for name in names)


SKIP_KNOWN_FLAGS: Final = flag_group(SkipKnown)
