"""Tell a damaged collection from a bug in imseek after an unexpected error.

Reading checks what is cheap: schema, small tables, documents. It does not check the types in each of a million rows;
where one is wrong, Python fails somewhere, and only then the whole catalog is checked.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from imseek.errors import CorruptCollectionError, ImseekError, repair_command

#: Errors that wrong types and ranges cause in Python and SQLite.
_SUSPICIOUS: Final = (
    TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError, AssertionError, sqlite3.Error,
)  # fmt: skip
#: Collections that this process has opened; any of them may be damaged.
_opened_roots: Final[set[Path]] = set()


def note_opened(root: Path) -> None:
    """Remember an opened collection for :func:`diagnose`."""
    _opened_roots.add(root)


def diagnose(error: BaseException, root: Path | None = None) -> CorruptCollectionError | None:
    """Find damage that explains an unexpected error, in the collection at ``root`` or in any that was opened.

    None where every collection is sound.
    """
    from imseek.data import layout
    from imseek.data.catalog.backend import backend_of
    from imseek.data.catalog.catalog_check import find_any_fault
    from imseek.data.catalog.sqlite.catalog_file import connect_file

    if isinstance(error, ImseekError) or not isinstance(error, _SUSPICIOUS):
        return None
    for collection in [root] if root is not None else sorted(_opened_roots):
        if not backend_of(collection).is_file or not (collection / layout.CATALOG).exists():
            continue
        try:
            with connect_file(collection) as connection:
                fault = find_any_fault(connection)
            _check_ids(collection)
        except CorruptCollectionError as damage:
            return damage
        except (ImseekError, OSError):
            continue
        if fault is not None:
            return CorruptCollectionError(
                f"the catalog of {collection} is damaged: {fault}", hint=repair_command(collection)
            )
    return None


def _check_ids(root: Path) -> None:
    """Raise CorruptCollectionError where the ids of a shard are invalid."""
    from imseek.data import layout
    from imseek.data.current_generation import read_current
    from imseek.data.files.collection_files import damaged_file_error, load_array

    for shard in read_current(root).shards:
        name = layout.ids(shard.shard_id)
        ids = load_array(root, name, rows=shard.rows)
        if len(ids) and (ids[0] < 0 or (ids[1:] <= ids[:-1]).any()):
            raise damaged_file_error(root, name, ValueError("its ids do not ascend"))
