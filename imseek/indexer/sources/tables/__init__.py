"""Tables read row by row, from any kind of file. ``base`` defines their common protocol."""

from __future__ import annotations

from typing import IO, Final

from imseek.data.catalog.place_paths import container_suffix
from imseek.errors import MediaError
from imseek.indexer.sources.tables.base import Sheet, check_column_count
from imseek.types.pictures import SkipReason

_PARQUET: Final = b"PAR1"
_ARROW: Final = (b"ARROW1", b"\xff\xff\xff\xff")
_OLD_FEATHER: Final = b"FEA1"


def open_sheet(path: bytes, raw: IO[bytes]) -> Sheet:
    """Open the table in an open file, which is closed with it. The content counts more than the file ending.

    Raises MediaError where it cannot be read, OSError.
    """
    try:
        head = raw.read(8)
        raw.seek(0)
        if not head:
            raise MediaError(SkipReason.EMPTY_FILE, "the table is empty")
        sheet = _sheet(container_suffix(path), head, raw)
        check_column_count(len(sheet.columns))
        return sheet
    except BaseException:
        raw.close()
        raise


def _sheet(suffix: bytes, head: bytes, raw: IO[bytes]) -> Sheet:
    if head.startswith(_OLD_FEATHER):
        raise MediaError(SkipReason.CORRUPT, "Feather version 1 is not read: write it anew")
    if head.startswith((_PARQUET, *_ARROW)) or suffix in (b".parquet", b".pq", b".arrow", b".feather"):
        # Imported here, so that a run without tables does not load pyarrow's readers.
        from imseek.indexer.sources.tables.arrow import ArrowSheet, ParquetSheet

        is_parquet = head.startswith(_PARQUET) or suffix in (b".parquet", b".pq")
        return ParquetSheet(raw) if is_parquet else ArrowSheet(raw)
    from imseek.indexer.sources.tables.text import CsvSheet, JsonSheet

    if suffix in (b".jsonl", b".ndjson") or head.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"{"):
        return JsonSheet(raw)
    return CsvSheet(raw, "\t" if suffix == b".tsv" else None)
