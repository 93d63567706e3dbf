"""Logs of jobs, with JSON output (``--json``) turned into readable lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from imseek import jobs
from imseek.ui.render.words import printable

#: Maximum bytes shown of a log, from its end.
MAX_BYTES: Final = 64 * 1024


def read_end(log: Path) -> str | None:
    """Return the end of a log; None if it cannot be read, or is no regular file."""
    end = jobs.read_log(log, MAX_BYTES)
    if end is None:
        return None
    text, is_whole = end
    lines = text.splitlines()
    if not is_whole:
        lines = ["…", *lines[1:]]
    elif lines and lines[0].startswith("collection: "):
        del lines[0]  # The page shows it already.
    return "\n".join(map(printable, describe_lines(lines)))


def describe_lines(lines: Sequence[str]) -> list[str]:
    """Return lines as they are, and JSON objects in words: the last progress of each phase, errors, results."""
    described: list[str] = []
    phase = None
    for part in _parts(lines):
        if isinstance(part, str):
            new = [part]
        elif isinstance(progress := part.get("progress"), dict) and "phase" in progress:
            if phase is not None and progress.get("phase") == phase:
                described.pop()
            phase = progress.get("phase")
            described.append(_progress(progress))
            continue
        elif isinstance(error := part.get("error"), dict):
            new = [f"imseek: {error.get('message')}"]
            new += [f"hint: {error['hint']}"] if error.get("hint") else []
        else:
            new = list(_facts({k: v for k, v in part.items() if k not in ("schema", "collection")}))
        phase = None
        described += new
    return described


def _parts(lines: Sequence[str]) -> Iterator[str | Mapping[str, Any]]:
    """Yield JSON objects, written on one line or on several, and the other lines."""
    start = 0
    while start < len(lines):
        end = start + 1
        if lines[start] == "{":
            end = next((n + 1 for n in range(start, len(lines)) if lines[n] == "}"), start + 1)
        try:
            value = json.loads("\n".join(lines[start:end]))
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            yield value
        else:
            yield from lines[start:end]
        start = end


def _progress(progress: Mapping[str, Any]) -> str:
    done, total, skipped = (progress.get(name) for name in ("done", "total", "skipped"))
    line = f"{progress.get('phase')}: {_value(done)}" + ("" if total is None else f" of {_value(total)}")
    return f"{line}, {_value(skipped)} skipped" if skipped else line


def _facts(result: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in result.items():
        label = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            yield from _facts(value, f"{label} ")
        elif isinstance(value, list):
            if value and not any(isinstance(one, dict | list) for one in value):
                yield f"{label}: {', '.join(map(_value, value))}"
        elif value is not None:
            yield f"{label}: {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
