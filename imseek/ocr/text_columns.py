"""Names and contents of the columns that store the texts of pictures.

``text`` is all lines, joined by newlines; null where there are none. ``has_text`` is null until a picture was read.
``text_lines`` is JSON: for each line [x, y, width, height, confidence, text], as :class:`imseek.ocr.results.TextLine`.
Importing this loads nothing that writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from imseek.data.catalog import models
from imseek.data.files.checked_json import check_number, check_text
from imseek.errors import CorruptCollectionError
from imseek.ocr.results import TextLine

#: The name of the column set and of its record.
NAME: Final = "text"
KIND: Final = "ocr"
COLUMNS: Final = ("text", "has_text", "text_lines")
_DIGITS: Final = 4


def is_active(root: Path) -> bool:
    """Whether this collection stores texts of pictures, so that new pictures are to be read too."""
    model = models.find(root, NAME)
    return model is not None and model.kind == KIND


def lines_of(metadata: Mapping[str, Any]) -> tuple[TextLine, ...] | None:
    """Return the lines in an image's metadata; None where the picture was not read.

    Raises CorruptCollectionError where the columns hold something else.
    """
    if metadata.get("has_text") is None:
        return None
    if (stored := metadata.get("text_lines")) is None:
        return ()
    try:
        return tuple(_decode(one) for one in json.loads(check_text(stored, "text_lines")))
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptCollectionError(
            f"the column text_lines of an image is damaged: {error}",
            hint="`imseek maintain --no-ocr` deletes the text of pictures, and --ocr reads them again",
        ) from error


def encode_lines(lines: Sequence[TextLine]) -> str:
    """Encode lines for the column ``text_lines``."""
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
