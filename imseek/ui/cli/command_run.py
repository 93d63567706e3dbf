"""One run of a command on a collection: choose the collection, do work that can be stopped, print the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from imseek.library import ResolvedCollection
from imseek.progress import StopRequest
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.common_options import CollectionOption, JsonOption
from imseek.ui.cli.flag_groups import flag_group
from imseek.ui.cli.output import say
from imseek.ui.cli.output_files import is_stdout, say_written
from imseek.ui.cli.progress import NOTHING_STORED, Controls, stoppable
from imseek.ui.render.result_json import print_answer


@dataclass(frozen=True, slots=True)
class _RunFlags:
    collection: CollectionOption = None
    as_json: JsonOption = False


@dataclass(slots=True)
class Run:
    """One run of a command on a collection: a command with a parameter ``run`` has the options for it.

    ``interrupted`` is what the user reads when a signal has ended the work.
    """

    collection: ResolvedCollection | str | None
    as_json: bool
    interrupted: str = NOTHING_STORED
    stop: StopRequest = field(default_factory=StopRequest)

    @classmethod
    def on(cls, collection: str | None, *, as_json: bool, interrupted: str = NOTHING_STORED) -> Run:
        """Return a run whose collection is chosen now."""
        return cls(choose_collection(collection, quiet=as_json), as_json, interrupted)

    def choose(self) -> ResolvedCollection:
        """Choose the collection on first use, as :func:`choose_collection`, and tell the user unless ``as_json``."""
        if not isinstance(self.collection, ResolvedCollection):
            self.collection = choose_collection(self.collection, quiet=self.as_json)
        return self.collection

    @property
    def target(self) -> ResolvedCollection:
        return self.choose()

    @property
    def path(self) -> Path:
        return self.target.path

    @contextmanager
    def work(self) -> Iterator[Controls]:
        """Yield the arguments of functions for progress and cancellation, as :func:`stoppable`."""
        self.choose()  # before there is progress to show
        with stoppable(self.interrupted) as controls:
            self.stop = controls["stop"]
            yield controls

    def exit_code(self, interrupted: bool) -> int:
        """Return the exit code of work that ended well, or that a signal has interrupted."""
        return self.stop.exit_code if interrupted else 0

    def print_lines(self, lines: Iterable[str]) -> None:
        """Print text for people; with ``--json`` nothing."""
        if not self.as_json:
            print("\n".join(lines))

    def finish(
        self,
        answer: Any,
        lines: Callable[[], list[str]],
        *,
        written: Mapping[Any, Path | None] | None = None,
        notes: Iterable[str] = (),
        uuid: str | None = None,
        interrupted: bool = False,
    ) -> int:
        """Print the result, as JSON or as ``lines`` with ``notes`` on stderr; returns the exit code.

        ``written`` maps kinds of files to those that were written, or to None.
        """
        if self.as_json:
            print_answer(answer, self.target, uuid)
        else:
            files = {kind: path for kind, path in (written or {}).items() if path is not None}
            if text := "\n".join(lines()):
                # Output for other programs must be alone on stdout.
                show = say if any(map(is_stdout, files.values())) else print
                show(text)
            for kind, path in files.items():
                say_written(path, kind)
            for note in notes:
                say(note)
        if interrupted:
            say(self.interrupted)
        return self.exit_code(interrupted)


#: Flags that yield a :class:`Run`.
RUN_FLAGS: Final = flag_group(_RunFlags, lambda flags: Run(flags.collection, flags.as_json))
