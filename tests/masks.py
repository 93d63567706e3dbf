"""Snapshots in files of their own, and what differs in each run or on each machine taken out of them."""

from __future__ import annotations

import json
import re
from typing import Any

from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

KEYS = re.compile(
    r"(^|_)(seconds|ms|ns|bytes|bytes_on_disk|bytes_checked|size|version|versions|uuid|started|ended|made|created|"
    r"updated|at|since|when|time|pid|"
    r"queries_per_second|page|threads|cpus|speed|speedup|per_second|faster|freed|undo_id|memory)$"
)
WORDS = (
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?([+-]\d\d:\d\d|Z)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "DIGEST"),
)


class TextFile(SingleFileSnapshotExtension):
    """One file of text for each snapshot."""

    file_extension = "txt"
    _write_mode = WriteMode.TEXT


class JsonFile(TextFile):
    """One file of JSON for each snapshot."""

    file_extension = "json"


def mask(answer: Any, paths: dict[str, str]) -> str:
    """The answer as indented JSON, keys in order; types stand for the values of ``KEYS``, names for ``paths``."""
    text = json.dumps(_mask(answer), indent=1, ensure_ascii=False, sort_keys=True)
    for path, name in paths.items():
        text = text.replace(path, name)
    for pattern, word in WORDS:
        text = pattern.sub(word, text)
    return text


def _mask(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _mask(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_mask(one, key) for one in value]
    if value is not None and KEYS.search(key):
        return type(value).__name__
    return round(value, 4) if isinstance(value, float) else value
