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
    found = jobs.read_log(log, MAX_BYTES)
    if found is None:
        return None
    text, whole = found
    lines = text.splitlines()
    if not whole:
        lines = ["…", *lines[1:]]
    elif lines and lines[0].startswith("collection: "):
        del lines[0]  # The page shows it already.
    return "\n".join(map(printable, describe_lines(lines)))


def describe_lines(lines: Sequence[str]) -> list[str]:
    """Return lines as they are, and JSON objects in words: the last progress of each phase, errors, results."""
    said: list[str] = []
    phase = None
    for found in _parts(lines):
        if isinstance(found, str):
            new = [found]
        elif isinstance(progress := found.get("progress"), dict) and "phase" in progress:
            if phase is not None and progress.get("phase") == phase:
                said.pop()
            phase = progress.get("phase")
            said.append(_progress(progress))
            continue
        elif isinstance(error := found.get("error"), dict):
            new = [f"imseek: {error.get('message')}"]
            new += [f"hint: {error['hint']}"] if error.get("hint") else []
        else:
            new = list(_facts({k: v for k, v in found.items() if k not in ("schema", "collection")}))
        phase = None
        said += new
    return said


def _parts(lines: Sequence[str]) -> Iterator[str | Mapping[str, Any]]:
    """Yield JSON objects, written on one line or on several, and the other lines."""
    at = 0
    while at < len(lines):
        end = at + 1
        if lines[at] == "{":
            end = next((n + 1 for n in range(at, len(lines)) if lines[n] == "}"), at + 1)
        try:
            found = json.loads("\n".join(lines[at:end]))
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            yield found
        else:
            yield from lines[at:end]
        at = end


def _progress(progress: Mapping[str, Any]) -> str:
    done, total, skipped = (progress.get(name) for name in ("done", "total", "skipped"))
    line = f"{progress.get('phase')}: {_value(done)}" + ("" if total is None else f" of {_value(total)}")
    return f"{line}, {_value(skipped)} skipped" if skipped else line


def _facts(result: Mapping[str, Any], within: str = "") -> Iterator[str]:
    for name, value in result.items():
        called = f"{within}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            yield from _facts(value, f"{called} ")
        elif isinstance(value, list):
            if value and not any(isinstance(one, dict | list) for one in value):
                yield f"{called}: {', '.join(map(_value, value))}"
        elif value is not None:
            yield f"{called}: {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
