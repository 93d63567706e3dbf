"""One lie, one command: a fresh copy of the sound collection, the lie told in it, the command run, what it touched."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hostile import sample
from hostile.arena import Arena
from hostile.commands import MODULES, Command, expand
from hostile.corpus import ABSENT, corpus
from hostile.findings import Outcome
from hostile.forge import Forge
from hostile.lies import Lie
from hostile.runner import Runner
from hostile.strace import trace
from hostile.watch import Listener, observe


@dataclass(frozen=True, slots=True)
class Trial:
    """A lie in one of its variants, the command that met it, and what came of it.

    ``missed``: `verify` reported no problem where it must report one.
    """

    lie: Lie
    variant: str
    command: Command
    outcome: Outcome
    missed: bool

    def __str__(self) -> str:
        return f"{self.lie} [{self.variant}] × {self.command.name}: {self.outcome.worst}"


class Ground:
    """An arena with a sound collection that is copied for each trial. A context manager.

    ``base`` is an empty folder for all of it, best in memory.
    """

    def __init__(self, base: Path) -> None:
        self.arena = Arena(base / "arena")
        self.root = self.arena.shared / sample.NAME
        self.sound = base / "sound"
        self._photos = base / "photos"
        self._library = base / "library"

    def __enter__(self) -> Ground:
        self.arena.make()
        with ExitStack() as stack:
            self._listener = stack.enter_context(Listener())
            with Runner(self.arena, MODULES) as runner:
                self._make_sound(runner)
            modules = json.loads((self.arena.tools / sample.MODULES).read_text())
            self._runner = stack.enter_context(Runner(self.arena, [*MODULES, *modules]))
            self._plant()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        _remove(self.arena.root)

    def corpus(self) -> dict[str, list[Lie]]:
        """All lies about the sound collection, by part of the corpus."""
        return corpus(self.sound)

    def run(self, lie: Lie, variant: str, command: Command, call: int | None = None, *, trusted: bool = True) -> Trial:
        """Tell a lie in a fresh copy, and run a command over it, or one call of the command.

        ``trusted``: the user has said before that the collection is to be trusted; else it was never seen. A lie about
        what trust is for is told of a collection that was never seen.
        """
        self._renew(trusted=trusted and not lie.trust)
        lie.variants[variant](Forge(self.root, self.arena, self._listener.port))
        outcome = self._observe(command, call)
        if lie.scans:  # Looking where pictures are said to lie is what sources are for.
            findings = tuple(one for one in outcome.findings if one.kind not in ("canary read", "outside read"))
            outcome = replace(outcome, findings=findings)
        missed = command.name == "verify" and lie.verify and outcome.code == 0
        return Trial(lie, variant, command, outcome, missed)

    def run_sound(self, command: Command) -> Outcome:
        """Run a command over the sound collection: nothing may be found."""
        self._renew()
        return self._observe(command)

    def trace(self, lie: Lie, variant: str, command: Command) -> Trial:
        """As :meth:`run`, with the real program under strace; of the command, its first call."""
        self._renew()
        lie.variants[variant](Forge(self.root, self.arena, self._listener.port))
        assert not callable(command.calls)
        argv = [expand(argument, self._folders) for argument in command.calls[0].split()]
        program = [sys.executable, "-P", "-m", "imseek", *argv]
        outcome = trace(self.arena, self._listener, program, spare=self._spare(command))
        return Trial(lie, variant, command, outcome, command.name == "verify" and lie.verify and outcome.code == 0)

    # -- folders ---------------------------------------------------------------------------------------

    @property
    def _folders(self) -> dict[str, str]:
        arena = self.arena
        folders = {"ROOT": self.root, "OUT": arena.out, "PHOTOS": arena.photos, "TOOLS": arena.tools}
        return {name: str(path) for name, path in folders.items()}

    def _spare(self, command: Command) -> list[Path]:
        spare = [self.arena.shared if command.moves else self.root]
        return [*spare, self.arena.photos] if command.acts else spare

    def _observe(self, command: Command, call: int | None = None) -> Outcome:
        pictures = [] if command.acts else [path for path in self.arena.photos.rglob("*") if path.is_file()]
        return observe(
            self._runner,
            self._listener,
            self.arena,
            "hostile.commands:run",
            {"name": command.name, "folders": self._folders, "call": call},
            spare=self._spare(command),
            pictures=pictures,
        )

    def _make_sound(self, runner: Runner) -> None:
        arena, root = self.arena, self.root
        # Named as collections of the library are, and reached through a link that the user made.
        link = arena.library / "collections" / sample.NAME
        link.parent.mkdir()
        link.symlink_to(root)
        outcome = observe(
            runner,
            self._listener,
            arena,
            "hostile.sample:make",
            {"root": str(root), "photos": str(arena.photos), "out": str(arena.tools)},
            spare=[root, *arena.inputs],
            seconds=60,
        )
        assert not outcome.findings, (outcome.findings, outcome.err.decode())
        os.mkfifo(arena.tools / "pipe")
        root.rename(self.sound)
        shutil.copytree(arena.photos, self._photos)
        shutil.copytree(arena.library, self._library, symlinks=True)
        self._pictures = _signature(arena.photos)

    def _plant(self) -> None:
        """Canaries with the content and the names of a collection, and beside it."""
        arena = self.arena
        for folder in (arena.canary, arena.home):
            _remove(folder)
        shutil.copytree(self.sound, arena.canary / "mirror")
        strays = (
            "dead/000063.1.npy",
            "metadata/000063.parquet",
            "jobs/4194303-1.log",
            "undo/x",
            "staging/x",
            "x",
        )
        arena.plant({arena.canary / "mirror" / name: b"a canary" for name in (*strays, *ABSENT.values())})
        arena.make()
        self._canaries = self._signature()

    def _renew(self, *, trusted: bool = True) -> None:
        """A fresh copy of the collection; the library, pictures and canaries as they were."""
        for folder in self.arena.own:
            for path in folder.iterdir():
                _remove(path)
        shutil.copytree(self._library, self.arena.library, symlinks=True, dirs_exist_ok=True)
        if not trusted:
            for record in self.arena.library.glob("trusted/*"):
                record.unlink()
        for path in self.arena.shared.iterdir():
            if path.name != "canary.txt":
                _remove(path)
        if self._signature() != self._canaries:
            self._plant()
        if _signature(self.arena.photos) != self._pictures:
            _remove(self.arena.photos)
            shutil.copytree(self._photos, self.arena.photos)
            self._pictures = _signature(self.arena.photos)
        shutil.copytree(self.sound, self.root)

    def _signature(self) -> dict[str, Any]:
        return {str(path): _stat(path) for path in self.arena.canaries([self.root])}


def _signature(folder: Path) -> dict[str, Any]:
    return {str(path): _stat(path) for path in folder.rglob("*")}


def _stat(path: Path) -> tuple[int, ...]:
    info = path.lstat()
    return (info.st_mode,) if stat.S_ISDIR(info.st_mode) else (info.st_mode, info.st_size, info.st_mtime_ns)


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except RecursionError:
        subprocess.run(["rm", "-rf", path], check=True)
