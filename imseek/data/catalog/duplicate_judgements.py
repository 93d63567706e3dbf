"""Users' judgements on pairs of contents: the same picture, or not.

A judgement is about two content hashes, so it holds for every image that ever has them: after moves, new scans, other
encoders, and when a picture is removed and returns. It cannot be derived from anything else, so each change also writes
all judgements into a checksummed file beside the catalog (:mod:`imseek.data.catalog.duplicate_judgement_file`), for
repairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from imseek.data.catalog.read_connection import connect_read_only
from imseek.errors import UsageError
from imseek.types.duplicate_judgements import Judgement, Verdict

if TYPE_CHECKING:
    from imseek.data.writing.writer import Writer

VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)


def make_judgement(a: str, b: str, verdict: Verdict, provenance: str, decided_at: str | None = None) -> Judgement:
    """Build a judgement on two content hashes (hexadecimal sha256, in any order), dated now without ``decided_at``.

    Raises UsageError for equal or invalid hashes, or an unknown verdict.
    """
    lower, higher = sorted((_normalise_hash(a), _normalise_hash(b)))
    if lower == higher:
        raise UsageError("both files have the same content: there is nothing to judge")
    if verdict not in VERDICTS:
        raise UsageError(f"{verdict!r} is not a judgement", hint=f"one of {', '.join(VERDICTS)}")
    date = datetime.now(UTC).isoformat(timespec="seconds") if decided_at is None else decided_at
    return Judgement(lower, higher, verdict, provenance, date)


def record(writer: Writer, judgements: Iterable[Judgement]) -> int:
    """Store judgements in one commit; the last one of a pair wins. Returns how many change a verdict.

    One with the stored verdict leaves that and its date unchanged. Raises UsageError as :func:`make_judgement`, and as
    :meth:`~imseek.data.writing.writer.Writer.apply`.
    """
    from imseek.data.catalog import duplicate_judgement_file

    valid = (make_judgement(j.a, j.b, j.verdict, j.provenance, j.decided_at) for j in judgements)
    return duplicate_judgement_file.update_judgements(writer, {(j.a, j.b): j for j in valid})


def withdraw(writer: Writer, pairs: Iterable[tuple[str, str]]) -> int:
    """Delete the judgements on pairs of content hashes (hexadecimal sha256, in any order) in one commit.

    Returns how many were stored. Raises UsageError for an invalid hash, and as
    :meth:`~imseek.data.writing.writer.Writer.apply`.
    """
    from imseek.data.catalog import duplicate_judgement_file

    keys = ((_normalise_hash(a), _normalise_hash(b)) for a, b in pairs)
    return duplicate_judgement_file.update_judgements(writer, {(min(key), max(key)): None for key in keys})


def read(root: Path) -> tuple[Judgement, ...]:
    """Read all judgements, sorted by content hashes, except verdicts of a later imseek.

    Raises CorruptCollectionError, and StorageError where the catalog cannot be read now.
    """
    with connect_read_only(root) as connection:
        rows = connection.execute(
            "SELECT hash_a, hash_b, verdict, provenance, decided_at FROM judgements ORDER BY hash_a, hash_b"
        ).fetchall()
    return tuple(Judgement(a.hex(), b.hex(), *rest) for a, b, *rest in rows if rest[0] in VERDICTS)


def _normalise_hash(content_hash: str) -> str:
    """Validate a content hash and return it in lower case."""
    try:
        if len(content_hash) == 64 == 2 * len(bytes.fromhex(content_hash)):
            return content_hash.lower()
    except ValueError:
        pass
    raise UsageError(f"{content_hash!r} is not a content hash", hint="64 hexadecimal digits")
