"""A process that kills itself before its n-th durable operation, and the one that comes after it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from durability.stage import Stage, go_on, look, perform


class Operations:
    """Records the durable operations of this process, and kills it before one of them."""

    NAMES = ("rename", "unlink", "mkdir", "rmdir", "fsync")

    def __init__(self, die_before: int | None, *, count_all: bool) -> None:
        self.log: list[str] = []
        self.counted = 0
        self._die_before = die_before
        self._count_all = count_all

    def install(self) -> None:
        from imseek.data.catalog.sqlite.catalog_file import SqliteConnection
        from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog

        for name in self.NAMES:
            setattr(os, name, self._recorded(name, getattr(os, name)))
        SqliteConnection.commit = self._recorded("commit", SqliteConnection.commit)  # type: ignore[method-assign]
        SqliteCatalog.close = self._recorded("close", SqliteCatalog.close)  # type: ignore[method-assign]

    def _recorded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            is_staged = name in ("mkdir", "rmdir", "unlink") and "staging" in _place(args[0], kwargs)
            self.happens(name, *args, counts=name != "fsync" and not is_staged)
            return function(*args, **kwargs)

        return operation

    def happens(self, name: str, *args: Any, counts: bool = True) -> None:
        self.log.append(
            " ".join([name, *(Path(os.fsdecode(a)).name for a in args if isinstance(a, str | bytes | Path))])
        )
        if counts or self._count_all:
            if self.counted == self._die_before:
                os.kill(os.getpid(), signal.SIGKILL)
            self.counted += 1


def _place(path: Any, kwargs: dict[str, Any]) -> str:
    """A path with the folder that it is looked up in."""
    folder = kwargs.get("dir_fd")
    above = "" if folder is None else str(Path(f"/proc/self/fd/{folder}").readlink())
    return f"{above}/{os.fsdecode(path)}"


def victim(name: str, home: str, die_before: int | None, count_all: bool) -> dict[str, Any]:
    operations = Operations(die_before, count_all=count_all)
    operations.install()
    perform(name, Stage(Path(home)))
    return {"counted": operations.counted, "log": operations.log}


def heir(name: str, home: str) -> list[str]:
    """Looks at what is left and goes on. Returns the kinds of problems that it found."""
    stage = Stage(Path(home))
    kinds = look(stage)
    go_on(name, stage)
    return kinds
