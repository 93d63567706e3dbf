"""What the contract suite needs of each kind of source: that it can be written, and written anew with other pictures.

A case joins the suite by its place in ``CASES``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imseek.types.indexing_runs import SourceOptions
from sourcing import archives, exports
from sourcing.picture import Picture, draw
from sourcing.tables import TABLES

__all__ = ["CASES", "Case", "Picture", "draw", "opens_pictures"]


class Case(Protocol):
    """One kind of source. ``options`` are what ``index`` is told of it; ``tells`` whether it carries captions and
    extra columns; ``numbered``, whether a place is the number of a row, so that those after one that is taken out have
    moved; ``named``, whether a place has the name of the picture."""

    name: str
    options: SourceOptions | None
    tells: bool
    numbered: bool
    named: bool

    def write(self, at: Path, pictures: Mapping[str, Picture]) -> str | Path:
        """Make the source below ``at``, or write it anew; returns what `index` is given. Keys are file names."""
        ...

    def lose(self, at: Path) -> None:
        """Take the source away as a whole, as an unmounted disk does."""
        ...


@dataclass(frozen=True)
class FolderCase:
    name: str = "folder"
    options: SourceOptions | None = None
    tells: bool = True
    numbered: bool = False
    named: bool = True

    def write(self, at: Path, pictures: Mapping[str, Picture]) -> Path:
        """Only what differs is written, so that the rest keeps its times."""
        folder = at / "pictures"
        folder.mkdir(exist_ok=True)
        wanted: dict[str, bytes] = {}
        for name, picture in pictures.items():
            wanted[name] = picture.data
            if picture.caption is not None:
                wanted[f"{Path(name).stem}.txt"] = picture.caption.encode()
            if picture.extra:
                wanted[f"{Path(name).stem}.json"] = json.dumps(dict(picture.extra)).encode()
        for path in folder.iterdir():
            if path.name not in wanted:
                path.unlink()
        for name, data in wanted.items():
            path = folder / name
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)
        return folder

    def lose(self, at: Path) -> None:
        shutil.rmtree(at / "pictures")


CASES: list[Case] = [FolderCase(), *archives.CASES, *exports.CASES, *TABLES]


def opens_pictures(case: Case) -> bool:
    """Whether a run reads the pictures, and not only vectors that were made of them."""
    return case not in exports.CASES
