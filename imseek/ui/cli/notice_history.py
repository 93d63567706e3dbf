"""Remember when a notice was given, so that it is not given with every command."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from imseek.home import home, make_home, write_atomically

_DAY: Final = 86_400
#: Notices that are remembered; the oldest are forgotten first.
_MAX_NOTICES: Final = 200


def is_due(notice: str, *, days: float = 1) -> bool:
    """Whether a notice was not recorded within the last ``days``. A damaged record counts as none."""
    age = time.time() - _read().get(notice, 0.0)
    return not 0 <= age < days * _DAY


def record(notice: str) -> None:
    """Record that a notice was given now; where the home cannot be written, it is given again next time."""
    times = {**_read(), notice: time.time()}
    newest = sorted(times, key=lambda one: times[one])[-_MAX_NOTICES:]
    with suppress(OSError):
        make_home(os.environ)
        write_atomically(_file(), json.dumps({one: times[one] for one in newest}).encode())


def due_notes(notes: Sequence[str]) -> list[str]:
    """Return the notes to give now; the note on a basic encoder, which every command repeats, only once a day."""
    from imseek.encoders import BASIC_NOTE

    others = [note for note in notes if not note.startswith(BASIC_NOTE)]
    if len(others) == len(notes) or not is_due(BASIC_NOTE):
        return others
    record_basic(notes)
    return list(notes)


def record_basic(notes: Iterable[str]) -> None:
    """Record that the note about the basic encoder was given, if it is among ``notes``."""
    from imseek.encoders import BASIC_NOTE

    if any(note.startswith(BASIC_NOTE) for note in notes):
        record(BASIC_NOTE)


def _file() -> Path:
    return home(os.environ) / "notices.json"


def _read() -> dict[str, float]:
    try:
        times = json.loads(_file().read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(times, dict):
        return {}
    return {one: time_given for one, time_given in times.items() if isinstance(time_given, int | float)}
