"""Write one row per image, as CSV or JSON Lines, without vectors."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Final

from imseek.data.shards.shard_files import to_json_row
from imseek.exports.base import ExportJob, WriteResult

#: Characters that start a formula in spreadsheets, even after white space.
_FORMULA_PREFIXES: Final = ("=", "+", "-", "@", "\t", "\r")
#: Separates the tags, or the entries of a list, in one cell.
_SEPARATOR: Final = "; "


def write_jsonl(job: ExportJob) -> WriteResult:
    """Write one object per line, in UTF-8; unknown values are left out."""
    count = 0
    with job.stream() as out:
        for block in job.selection.blocks():
            lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in block.rows())
            out.write("".join(f"{line}\n" for line in lines).encode())
            count += len(block)
            job.report(count)
    return WriteResult(count)


def write_csv(job: ExportJob) -> WriteResult:
    """Write CSV (RFC 4180) in UTF-8 with one header; unknown values are empty. Semicolons separate entries of lists."""
    names = _columns(job)
    count = 0
    with job.stream() as out:
        head = dict(zip(names, names, strict=True))  # Column names are untrusted, too.
        out.write(_encode_rows(names, [head], spreadsheet=job.options.spreadsheet))
        for block in job.selection.blocks():
            rows = [{name: _cell(value) for name, value in row.items()} for row in block.rows()]
            out.write(_encode_rows(names, rows, spreadsheet=job.options.spreadsheet))
            count += len(block)
            job.report(count)
    return WriteResult(count)


def _columns(job: ExportJob) -> list[str]:
    score = ["score"] if job.selection.scores is not None else []
    columns = ["image_id", "path", "path_b64", "uri", *score, "tags"]
    # ``to_json_row`` merges the zone into the time.
    return columns + list(to_json_row(dict.fromkeys(job.selection.schema.names)))


def _cell(value: Any) -> Any:
    return _SEPARATOR.join(value) if isinstance(value, list) else value


def _encode_rows(names: Sequence[str], rows: Sequence[dict[str, Any]], *, spreadsheet: bool) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows:
        values = [row.get(name) for name in names]
        cells = [str(value).lower() if isinstance(value, bool) else value for value in values]
        writer.writerow([_escape_formula(cell) for cell in cells] if spreadsheet else cells)
    return buffer.getvalue().encode("utf-8")


def _escape_formula(cell: Any) -> Any:
    """Escape a formula with an apostrophe, so that spreadsheets take the cell as text."""
    if isinstance(cell, str) and (cell.startswith(_FORMULA_PREFIXES) or cell.lstrip().startswith(_FORMULA_PREFIXES)):
        return "'" + cell
    return cell
