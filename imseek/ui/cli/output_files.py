"""Write output files named by the user: completely or not at all, and never over another file without consent."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO, cast

from imseek.errors import ImseekError, UsageError
from imseek.ui.cli.output import say
from imseek.ui.render.words import printable

#: Columns of CSV files that name an image.
IMAGE_COLUMNS: Final = ("image_id", "path", "path_b64", "uri")
_STREAMS: Final = {"stdout": 1, "stderr": 2}


def check_new(path: Path, *, force: bool) -> None:
    """Check a file before long work. Raises UsageError, and ImseekError if it cannot be written."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="name a file")
    if stream_of(path) is not None or (path.exists() and not path.is_file()):
        return  # A stream or a device, such as /dev/stdout.
    if os.path.lexists(path) and not force:
        raise UsageError(f"{path} is there already", hint="choose another name, or add --force")
    if not path.parent.is_dir():
        raise UsageError(f"no folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ImseekError(f"cannot write {path}: you may not write to the folder")


def check_csv(path: Path | None, *, force: bool, rivals: Mapping[str, bool]) -> None:
    """Check the CSV file of a command before long work; ``rivals`` are the flags that print on stdout, and whether
    they are given.

    Raises as :func:`check_new`, and UsageError where both would be on stdout.
    """
    if path is None:
        return
    if is_stdout(path) and any(rivals.values()):
        flags = [flag for flag, is_given in rivals.items() if is_given]
        raise UsageError(
            "CSV on stdout cannot be combined with other output there",
            hint=f"name a file, or leave out {' and '.join(flags)}",
        )
    check_new(path, force=force)


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[TextIO]:
    """Yield a UTF-8 text file that gets its name once the body succeeds. Raises as :func:`check_new`."""
    check_new(path, force=force)
    try:
        stream = stream_of(path)
        if stream is not None or (path.exists() and not path.is_file()):
            with _open_text(path if stream is None else os.dup(stream), "w") as file:
                yield file
            return
        temporary = path.with_name(f".imseek-{os.getpid()}.tmp")
        try:
            with _open_text(temporary, "x") as file:
                yield file
            check_new(path, force=force)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except BrokenPipeError:
        raise  # The reader has gone, as when printing to a closed pipe.
    except OSError as error:
        raise ImseekError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def new_path(path: Path, *, force: bool) -> Iterator[Path]:
    """Yield a temporary name for a library to write, renamed to ``path`` once the body has written it.

    Raises as :func:`check_new`, and UsageError if ``path`` is a stream.
    """
    check_new(path, force=force)
    if stream_of(path) is not None or (path.exists() and not path.is_file()):
        raise UsageError(f"{path} is not a file", hint="this format cannot be written to a stream")
    temporary = path.with_name(f".imseek-{os.getpid()}.tmp")
    try:
        yield temporary
        if temporary.exists():
            check_new(path, force=force)
            temporary.replace(path)
    except InterruptedError:
        raise  # The user has stopped the work.
    except OSError as error:
        raise ImseekError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_rows(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], file: TextIO) -> None:
    """Write these columns of rows as CSV (RFC 4180); unknown values are empty."""
    writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, force: bool) -> None:
    """Write rows as a CSV file, and tell the user. Raises as :func:`new_file`."""
    with new_file(path, force=force) as file:
        write_rows(columns, rows, file)
    say_written(path, "csv")


def say_written(path: Path, kind: str) -> None:
    """Tell the user which file was written; what went to stdout needs no words."""
    if not is_stdout(path):
        say(f"wrote {printable(str(path))} ({kind})")


def is_stdout(path: Path | None) -> bool:
    """Whether a file that the user names is stdout."""
    return path is not None and stream_of(path) == 1


def stream_of(path: Path) -> int | None:
    """Return the file descriptor that ``-`` (stdout) or a name such as /dev/stdout stands for; None for other names.

    It may lead to a file, which opening by name would overwrite from its beginning.
    """
    if path == Path("-"):
        return _STREAMS["stdout"]
    folder, name = os.path.split(path.absolute())
    if folder == "/dev" and name in _STREAMS:
        return _STREAMS[name]
    return int(name) if folder in ("/dev/fd", "/proc/self/fd") and name.isdecimal() else None


def _open_text(path: Path | int, mode: str) -> TextIO:
    open_file = path.open if isinstance(path, Path) else partial(os.fdopen, path)
    return cast(TextIO, open_file(mode, encoding="utf-8", errors="backslashreplace", newline=""))
