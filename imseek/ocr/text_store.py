"""Write texts of pictures (:mod:`imseek.ocr.text_columns`), with the record of who read them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from imseek.analysis.score_columns import check_name
from imseek.data.catalog import model_files, models
from imseek.data.catalog.models import Model
from imseek.data.reader import Reader
from imseek.data.shards import derived_results
from imseek.data.vectors.base import Ids
from imseek.data.words import documents
from imseek.data.writing.writer import Writer
from imseek.ocr.results import TextLine
from imseek.ocr.text_columns import COLUMNS, KIND, NAME, encode_lines
from imseek.search.where.column_values import list_columns, values

#: Characters of a picture's lines that are stored at most, with what surrounds each line.
_MAX_CHARACTERS: Final = 30_000
_LINE_OVERHEAD: Final = 50


def begin(writer: Writer, recogniser: str, *, reads: bool = True) -> tuple[str, ...]:
    """Record who reads the texts, unless that is recorded, and return who else has read some.

    A recogniser that now ``reads`` nothing is recorded only where there is no other. Raises UsageError where the
    columns are something else.
    """
    check_name(Reader(writer.root), NAME, KIND, COLUMNS, replace=True)
    model = models.find(writer.root, NAME)
    recognisers = [] if model is None else list(model.facts.get("recognisers", []))
    others = [name for name in recognisers if name != recogniser]
    if model is None or (reads and recognisers != [*others, recogniser]):
        model_files.put(writer, Model(NAME, KIND, {"recognisers": [*others, recogniser]}))
    return tuple(others)


def ids_without_text(reader: Reader) -> tuple[Ids, int]:
    """Return the ids (n,) of live images that were not read, shard by shard, and the number of all live images."""
    parts, total = [np.empty(0, np.int64)], 0
    columns_read = ["has_text"] if "has_text" in list_columns(reader) else []
    for ids, columns in values(reader, columns_read or ["image_id"]):
        total += len(ids)
        unread = np.asarray(pc.is_null(columns[0])) if columns_read else np.ones(len(ids), np.bool_)
        parts.append(ids[unread])
    return np.concatenate(parts), total


def store(writer: Writer, lines_by_id: Mapping[int, Sequence[TextLine]]) -> int:
    """Store the lines of pictures, by image id, in one commit; returns the generation."""
    lines_by_id = {image_id: _fit(lines) for image_id, lines in lines_by_id.items()}
    texts = {image_id: "\n".join(line.text for line in lines) or None for image_id, lines in lines_by_id.items()}
    columns: dict[str, dict[int, Any]] = {
        "text": texts,
        "has_text": {image_id: text is not None for image_id, text in texts.items()},
        "text_lines": {image_id: encode_lines(lines) for image_id, lines in lines_by_id.items() if lines},
    }
    return derived_results.update(writer, NAME, columns, also=[partial(documents.replace_texts, texts=texts)])


def forget(root: Path) -> int:
    """Delete all texts, their words in documents, and the record, in one commit; returns the generation."""

    def clear_words(connection: Any, generation: int) -> None:
        ids = _ids_with_text(Reader(root))  # Here, where no other writer can add any.
        documents.replace_texts(connection, generation, dict.fromkeys(ids.tolist(), None))

    return derived_results.forget(root, NAME, "maintain --no-ocr", also=[clear_words])[0]


def _ids_with_text(reader: Reader) -> Ids:
    """Return the ids (n,) of live images with text."""
    parts = [np.empty(0, np.int64)]
    if "text" in list_columns(reader):
        parts += [ids[np.asarray(pc.is_valid(texts))] for ids, (texts,) in values(reader, ["text"])]
    return np.concatenate(parts)


def _fit(lines: Sequence[TextLine]) -> Sequence[TextLine]:
    """Return the first lines, as many as may be stored."""
    ends = itertools.accumulate(len(line.text) + _LINE_OVERHEAD for line in lines)
    return [line for line, end in zip(lines, ends, strict=True) if end <= _MAX_CHARACTERS]
