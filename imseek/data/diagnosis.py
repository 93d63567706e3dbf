"""Tell damage of a collection from a fault of imseek's own, once an error has come that nobody expects.

Reading checks what it can at no cost: schema, small tables, documents. That each of a million rows has values of the
right types is not asked at every start. Where one has not, Python fails somewhere; then the whole catalog is looked at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from imseek.errors import CorruptCollectionError, ImseekError

#: What wrong types and ranges make Python raise, SQLAlchemy's ``NoResultFound`` among them.
_SUSPICIOUS: Final = (
    TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError, AssertionError,
)  # fmt: skip
#: Collections that this process has opened, of which any may be at fault.
_opened: Final[set[Path]] = set()


def note_opened(root: Path) -> None:
    """Remember a collection, for :func:`diagnose`."""
    _opened.add(root)


def diagnose(error: BaseException, root: Path | None = None) -> CorruptCollectionError | None:
    """Damage of a collection that explains an unexpected error: of that at ``root``, or of any that was opened.

    None where no collection is to blame.
    """
    from imseek.data import layout
    from imseek.data.catalog_check import find_any_fault
    from imseek.data.catalog_file import connect_file

    if isinstance(error, ImseekError) or not (
        isinstance(error, _SUSPICIOUS) or type(error).__module__.startswith("sqlalchemy")
    ):
        return None
    for opened in [root] if root is not None else sorted(_opened):
        if layout.is_elsewhere(opened) or not (opened / layout.CATALOG).exists():
            continue
        try:
            with connect_file(opened) as connection:
                fault = find_any_fault(connection)
            _check_ids(opened)
        except CorruptCollectionError as damage:
            return damage
        except (ImseekError, OSError):
            continue
        if fault is not None:
            return CorruptCollectionError(
                f"the catalog of {opened} is damaged: {fault}", hint=f"imseek collection repair {opened}"
            )
    return None


def _check_ids(root: Path) -> None:
    """Raise CorruptCollectionError where the ids of a shard are none."""
    from imseek.data import layout
    from imseek.data.collection_files import damaged_file, load_array
    from imseek.data.current_file import read_current

    for shard in read_current(root).shards:
        name = layout.ids(shard.shard_id)
        ids = load_array(root, name, rows=shard.rows)
        if len(ids) and (ids[0] < 0 or (ids[1:] <= ids[:-1]).any()):
            raise damaged_file(root, name, ValueError("its ids do not ascend"))
