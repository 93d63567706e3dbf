"""Flags that skip pictures whose content is already stored."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer

from imseek import library
from imseek.ui.cli.common_options import current_folder
from imseek.ui.cli.flag_groups import FlagGroup


@dataclass(frozen=True, slots=True)
class SkipKnown:
    """Values of the flags: ``here`` means this collection, ``names`` lists others."""

    here: bool
    names: tuple[str, ...]

    def folders(self, own: Path) -> tuple[Path, ...]:
        """Return the folders of these collections; ``own``, the one to index into, need not exist yet.

        Raises CollectionNotFoundError for one of the others.
        """
        cwd = current_folder() if self.names else own
        find = partial(library.resolve, cwd=cwd, environ=os.environ, option="--skip-known-in")
        return (own,) * self.here + tuple(find(name).path for name in self.names)


# Two flags, because one with an optional value would swallow the path after it.
SKIP_KNOWN_FLAGS: Final = FlagGroup(
    MappingProxyType(
        {
            "skip_known": (
                False,
                Annotated[
                    bool,
                    typer.Option(
                        "--skip-known", help="Pass over pictures that the collection has at another place."
                    ),
                ],
            ),
            "skip_known_in": (
                None,
                Annotated[
                    list[str] | None,
                    typer.Option(
                        "--skip-known-in",
                        metavar="NAME|PATH",
                        help="Pass over pictures that this collection has; may be repeated.",
                    ),
                ],
            ),
        }
    ),
    lambda values: SkipKnown(values["skip_known"], tuple(values["skip_known_in"] or ())),
)
