"""One lie about one file: a stranger's folder with it, fresh collections, the commands run, and what they touched."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from hostile.arena import Arena
from hostile.findings import Finding, Outcome, leaks
from hostile.inputs.any_file import any_file_lies
from hostile.inputs.archives import archive_kinds
from hostile.inputs.checkpoints import checkpoint_kinds
from hostile.inputs.place import Input, Kind, Place, told
from hostile.inputs.run import MODULES
from hostile.inputs.tables import table_kinds
from hostile.inputs.texts import text_kinds
from hostile.inputs.vector_files import vector_kinds
from hostile.runner import Runner
from hostile.watch import Listener, observe


@cache
def corpus() -> list[tuple[Kind, tuple[Input, ...]]]:
    """All kinds of files, and the lies about each: its own, and those about any file."""
    kinds = [*table_kinds(), *vector_kinds(), *text_kinds(), *archive_kinds(), *checkpoint_kinds()]
    return [(kind, (*kind.lies, *any_file_lies(kind))) for kind in kinds]


@dataclass(frozen=True, slots=True)
class Trial:
    """A lie, and what came of it."""

    kind: Kind
    lie: Input
    outcome: Outcome

    def __str__(self) -> str:
        return f"{self.kind.title}: {self.lie.lie} [{self.lie.variant}]: {self.outcome.worst}"


class Field:
    """An arena with sound collections that are copied for each trial. A context manager.

    ``base`` is an empty folder for all of it, best in memory.
    """

    def __init__(self, base: Path) -> None:
        self.arena = Arena(base / "arena")
        self._collections = self.arena.library / "collections"
        self._folder = self.arena.tools / "stranger"
        self._sound = base / "sound"
        self._photos = base / "photos"

    def __enter__(self) -> Field:
        self.arena.make()
        self._sound.mkdir()
        with ExitStack() as stack:
            self._runner = stack.enter_context(Runner(self.arena, MODULES))
            self._listener = stack.enter_context(Listener())
            self._make()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, kind: Kind, lie: Input) -> Trial:
        """Tell a lie, and run the commands of its kind over it."""
        self._renew()
        outcome = self._observe(kind, told(self._place, kind, lie.make))
        if lie.looks:
            given = leaks(path.read_bytes() for path in self.arena.out.rglob("*") if path.is_file())
            kept = tuple(one for one in outcome.findings if not _is_looking(one))
            outcome = replace(outcome, findings=(*kept, *given))
        return Trial(kind, lie, outcome)

    def run_sound(self, kind: Kind) -> Outcome:
        """Run the commands of a kind over a sound file."""
        self._renew()
        return self._observe(kind, told(self._place, kind, kind.sound))

    @property
    def _place(self) -> Place:
        return Place(self._folder, self.arena, self._listener.port, self._sound)

    def _observe(self, kind: Kind, name: str) -> Outcome:
        folders = {
            "FILE": self._folder / name,
            "FOLDER": self._folder,
            "COLLECTION": self._collections / "mine",
            "VECTORS": self._collections / "vectors",
            "NEW": self._collections / "new",
            "OUT": self.arena.out,
        }
        arena = self.arena
        return observe(
            self._runner,
            self._listener,
            arena,
            "hostile.inputs.run:commands",
            {"calls": kind.calls, "folders": {name: str(path) for name, path in folders.items()}},
            spare=[arena.library, Path("/dev/null"), *([arena.photos] if kind.title == "plan" else [])],
        )

    def _make(self) -> None:
        arena = self.arena
        self._collections.mkdir(parents=True)
        folders = {
            "photos": arena.photos,
            "collection": self._collections / "mine",
            "vectors": self._collections / "vectors",
        }
        made = observe(
            self._runner,
            self._listener,
            arena,
            "hostile.inputs.run:make",
            {"sound": str(self._sound), **{name: str(path) for name, path in folders.items()}},
            spare=[arena.library, arena.photos],
            seconds=60,
        )
        outside = [one for one in made.findings if str(self._sound) not in one.what]
        assert not outside, (outside, made.err.decode())
        for name in ("mine", "vectors"):
            shutil.move(self._collections / name, self._sound / name)
        shutil.copytree(arena.photos, self._photos)

    def _renew(self) -> None:
        """A fresh folder of the stranger's, and fresh collections; pictures as they were."""
        arena = self.arena
        for folder in (self._collections, self._folder, *arena.own):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        (arena.home / "keys.json").unlink(missing_ok=True)
        arena.make()
        for name in ("mine", "vectors"):
            shutil.copytree(self._sound / name, self._collections / name)
        shutil.rmtree(arena.photos)
        shutil.copytree(self._photos, arena.photos)
        pictures = sorted(self._photos.rglob("*.png"))
        for n in range(4):
            shutil.copy(pictures[n], self._folder / f"{n}.png")


def _is_looking(finding: Finding) -> bool:
    """Whether somebody has looked at a file and told the user, or asked where a host is, and no more."""
    return finding.kind in ("canary read", "outside read", "leak") or finding.what.startswith("socket.getaddrinfo")
