"""Where the files of one case lie: a folder that a stranger has filled, and what it may lie about."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from hostile.arena import Arena


@dataclass(frozen=True)
class Place:
    """A stranger's ``folder`` with sound pictures ``0.png`` to ``3.png`` in it.

    ``port`` is one that nobody may call; ``sound`` is a folder with a plan and a backup that imseek has made.
    """

    folder: Path
    arena: Arena
    port: int
    sound: Path

    @property
    def secret(self) -> Path:
        """A file of the user that nobody has named."""
        return self.arena.home / ".ssh/id_rsa"

    def write(self, name: str, data: bytes) -> str:
        """Write a file of the folder; returns its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return name

    def link(self, name: str, target: Path | str) -> str:
        """Make a link in the folder; returns its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
        return name

    def pipe(self, name: str) -> str:
        """Make a pipe that nobody writes to."""
        os.mkfifo(self.folder / name)
        return name


#: Makes the bytes of a file, or everything of a case, of which the file's name is returned.
Make: TypeAlias = Callable[[Place], bytes | str]


def fixed(data: bytes) -> Make:
    """A file of these bytes, wherever it lies."""
    return lambda _: data


@dataclass(frozen=True, slots=True)
class Input:
    """A lie about one kind of file: ``make`` tells it.

    Where ``looks`` is true, what it names is what the user has asked for: it may be looked at, but neither changed nor
    kept. ``large`` ones take seconds to make.
    """

    lie: str
    variant: str
    make: Make
    looks: bool = False
    large: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file that imseek is given, under ``name``, and the commands that read it, in which FILE stands for it.

    ``sound`` makes one that the commands take.
    """

    title: str
    name: str
    sound: Make
    calls: tuple[str, ...]
    lies: tuple[Input, ...]


def told(place: Place, kind: Kind, make: Make) -> str:
    """Make the files of a case; returns the name of the one that is read."""
    made = make(place)
    return made if isinstance(made, str) else place.write(kind.name, made)
