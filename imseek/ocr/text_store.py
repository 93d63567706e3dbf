"""Texts of pictures in a collection: a set of derived columns, and the record of who read them.

``text`` is all lines, joined by newlines; null where there are none. ``has_text`` is null until a picture was read.
``text_lines`` is JSON: for each line [x, y, width, height, confidence, text], as :class:`imseek.ocr.results.TextLine`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from imseek.analysis.score_columns import check_name
from imseek.data.catalog import model_files, models
from imseek.data.catalog.models import Model
from imseek.data.files.json_object import check_number, check_text
from imseek.data.reader import Reader
from imseek.data.shards import derived_results
from imseek.data.vectors.base import Ids
from imseek.data.writing.writer import Change, Writer
from imseek.ocr.results import TextLine
from imseek.search.where.column_values import list_columns, values

#: The name of the column set and of its record.
NAME: Final = "text"
KIND: Final = "ocr"
COLUMNS: Final = ("text", "has_text", "text_lines")
#: Characters of a picture's lines that are stored at most, with what surrounds each line.
_MAX_CHARACTERS: Final = 60_000
_LINE_OVERHEAD: Final = 50
_DIGITS: Final = 4


def is_active(root: Path) -> bool:
    """Whether texts of this collection have been read, so that those of new pictures are to be read too."""
    found = models.find(root, NAME)
    return found is not None and found.kind == KIND


def begin(writer: Writer, recogniser: str) -> None:
    """Record who reads the texts, unless that is recorded. Raises UsageError where the columns are something else."""
    check_name(Reader(writer.root), NAME, KIND, COLUMNS, replace=True)
    known = models.find(writer.root, NAME)
    recognisers = [] if known is None else list(known.facts.get("recognisers", []))
    if recogniser not in recognisers:
        model_files.put(writer, Model(NAME, KIND, {"recognisers": [*recognisers, recogniser]}))


def ids_without_text(reader: Reader) -> tuple[Ids, int]:
    """Return the ids (n,) of live images that were not read, shard by shard, and the number of all live images."""
    parts, total = [np.empty(0, np.int64)], 0
    wanted = ["has_text"] if "has_text" in list_columns(reader) else []
    for ids, columns in values(reader, wanted or ["image_id"]):
        total += len(ids)
        unread = np.asarray(pc.is_null(columns[0])) if wanted else np.ones(len(ids), np.bool_)
        parts.append(ids[unread])
    return np.concatenate(parts), total


def store(writer: Writer, found: Mapping[int, Sequence[TextLine]]) -> int:
    """Store the lines of pictures, by image id, in one commit; returns the generation."""
    found = {image_id: _fit(lines) for image_id, lines in found.items()}
    texts = {image_id: "\n".join(line.text for line in lines) or None for image_id, lines in found.items()}
    columns: dict[str, dict[int, Any]] = {
        "text": texts,
        "has_text": {image_id: text is not None for image_id, text in texts.items()},
        "text_lines": {image_id: _encode(lines) for image_id, lines in found.items() if lines},
    }
    return derived_results.update(writer, NAME, columns, also=_word_changes(texts))


def lines_of(metadata: Mapping[str, Any]) -> tuple[TextLine, ...] | None:
    """Return the lines in an image's metadata; None where the picture was not read.

    Raises ValueError for columns that somebody else wrote.
    """
    if metadata.get("has_text") is None:
        return None
    stored = metadata.get("text_lines")
    return () if stored is None else tuple(_decode(one) for one in json.loads(check_text(stored, "text_lines")))


def _word_changes(texts: Mapping[int, str | None]) -> Sequence[Change]:
    """Make the change that brings the words of texts into the index of words. Here branch ``words`` comes in."""
    return ()


def _fit(lines: Sequence[TextLine]) -> Sequence[TextLine]:
    """Return the first lines, as many as may be stored."""
    ends = itertools.accumulate(len(line.text) + _LINE_OVERHEAD for line in lines)
    return [line for line, end in zip(lines, ends, strict=True) if end <= _MAX_CHARACTERS]


def _encode(lines: Sequence[TextLine]) -> str:
    rows = [
        [*(round(value, _DIGITS) for value in (line.x, line.y, line.width, line.height, line.confidence)), line.text]
        for line in lines
    ]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def _decode(row: Any) -> TextLine:
    if not isinstance(row, list) or len(row) != 6:
        raise ValueError("text_lines is not what imseek writes")
    x, y, width, height, confidence = (check_number(value, "text_lines", least=0, most=1) for value in row[:5])
    return TextLine(x, y, width, height, confidence, check_text(row[5], "text_lines"))
