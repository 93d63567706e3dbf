"""Checking, mending and tidying collections; the first two also where they do not open."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imseek.data.system_errors import explained
from imseek.errors import ImseekError, UsageError
from imseek.types import (
    BuildReport,
    CaptionReport,
    CatalogReport,
    DiskUse,
    DropReport,
    Due,
    IndexPolicy,
    MeasureReport,
    MergeReport,
    Progress,
    ProgressCallback,
    PurgeReport,
    ReencodeReport,
    RepairReport,
    VerifyReport,
)

if TYPE_CHECKING:
    from imseek.data.trust import TrustRecord
    from imseek.encoders.runtime import Runtime


def verify(path: str | os.PathLike[str]) -> VerifyReport:
    """Read every file of a collection and compare it with what is recorded. Changes nothing.

    Raises CollectionNotFoundError where there is none, FormatVersionError for a later format, LockedError while a
    writer is at work.
    """
    from imseek.data.verify import verify as verify_files

    root = Path(path).expanduser().absolute()
    with explained(root):
        return verify_files(root)


def is_trusted(path: str | os.PathLike[str]) -> bool:
    """Whether you trust a collection (docs/security.md); those that imseek made here you do.

    Raises CollectionNotFoundError, FormatVersionError.
    """
    from imseek.data import trust as trusting

    return trusting.is_trusted(Path(path).expanduser().absolute())


def trust(path: str | os.PathLike[str], *, force: bool = False) -> VerifyReport:
    """Say that you trust a collection that somebody else made: from now on it may be written to, its approximate index
    is used, and its encoder may come from where it says. Every file of it is checked first.

    Where there is a problem, nothing is remembered unless with ``force``, neither the collection nor the server of its
    catalog; the report says which. Raises as :func:`verify`, and StorageError where it cannot be remembered.
    """
    from imseek.data import layout
    from imseek.data import trust as trusting

    root = Path(path).expanduser().absolute()
    with ExitStack() as undo:
        if layout.is_elsewhere(root):
            from imseek.data.postgres.address import read_address
            from imseek.data.postgres.allowed_servers import allow_server, withdraw_server

            address = read_address(root)
            if allow_server(address):
                undo.callback(withdraw_server, address)
        report = verify(root)
        if report.ok or force:
            trusting.trust(root, damaged=force)
            undo.pop_all()
    return report


def trusted_collections() -> tuple[TrustRecord, ...]:
    """The collections that you trust, by path."""
    from imseek.data import trust as trusting

    return trusting.trusted_collections()


def distrust(path: str | os.PathLike[str]) -> None:
    """Forget that a collection is trusted, and that the server of its catalog is allowed. Raises StorageError."""
    from imseek.data import layout
    from imseek.data import trust as trusting

    root = Path(path).expanduser().absolute()
    trusting.distrust(root)
    if layout.is_elsewhere(root):
        from imseek.data.postgres.address import read_address
        from imseek.data.postgres.allowed_servers import withdraw_server

        address = None
        with suppress(ImseekError):  # It is damaged, or may be gone.
            address = read_address(root)
        if address is not None:
            withdraw_server(address)


def repair(path: str | os.PathLike[str]) -> RepairReport:
    """Mend what can be mended, from shards, backups and the catalog; the report names what is lost.

    Images whose vector is lost are encoded again by the next ``index``, under their old ids; those whose files are put
    away are not taken for gone (:mod:`imseek.curate.actions.undo`). Raises
    CollectionNotFoundError, LockedError, ReadOnlyError.
    """
    from imseek.curate.actions.quarantine_recovery import recall
    from imseek.data.repair import repair as repair_files

    root = Path(path).expanduser().absolute()
    with explained(root):
        report = repair_files(root)
        if report.after.ok and (recalled := recall(root)):
            line = f"{recalled} images as put away: their files are where `imseek undo` finds them"
            return replace(report, restored=(*report.restored, line), after=verify(root))
        return report


def due(path: str | os.PathLike[str]) -> Due:
    """What :func:`merge`, :func:`purge` and :func:`measure` would find to do now. Changes nothing, opens no picture.

    Raises as :func:`imseek.open`.
    """
    from imseek.curate.missing_measures import count_unmeasured
    from imseek.data import compaction as merging
    from imseek.data import snapshots
    from imseek.data.index_info import policy_of
    from imseek.data.reader import Reader
    from imseek.explore.snapshot_session import reading

    root = Path(path).expanduser().absolute()

    def look(reader: Reader) -> Due:
        shards = reader.current.shards
        return Due(
            merge=bool(merging.due(shards)),
            index=tuple(snapshots.pending(reader, policy_of(root))),
            dead=sum(shard.dead_rows for shard in shards),
            unmeasured=count_unmeasured(reader),
        )

    with explained(root):
        return reading(root, look)


def disk_use(path: str | os.PathLike[str]) -> tuple[DiskUse, ...]:
    """What the files of a collection take of the disk, by what they are for, the largest first. Opens no file.

    Raises CollectionNotFoundError.
    """
    from imseek.data import disk_usage
    from imseek.data.current_file import read_identity

    root = Path(path).expanduser().absolute()
    read_identity(root)
    return disk_usage.disk_use(root)


def merge(
    path: str | os.PathLike[str],
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> MergeReport:
    """Merge small shards until nothing is due, clear away files that nobody uses any more, and renew approximate
    indexes that lack too much.

    Indexing does the same along the way. Raises CollectionNotFoundError, LockedError, ReadOnlyError, and
    CorruptCollectionError where a file of the collection is damaged.
    """
    from imseek.data import snapshots
    from imseek.data.compaction import merge_due
    from imseek.data.run_progress import telling
    from imseek.data.writer import Writer

    root = Path(path).expanduser().absolute()
    with explained(root), Writer(root, "maintain --merge") as writer, telling(writer, progress, stop) as tell:
        before = len(writer.current().shards)
        merges = merge_due(writer)
        notes = snapshots.renew_due(writer, tell, stop)
        return MergeReport(merges, before, len(writer.current().shards), writer.swept, notes)


def purge(
    path: str | os.PathLike[str],
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> PurgeReport:
    """Remove the last bytes of what has left a collection: from shards, indexes, catalog, backups and cache.

    Gone are vectors, metadata, places and tags of images that were removed or have changed. Of what still lies in a
    source, nothing is gone: ``index`` first where files have been deleted. Judgements stay: they speak of contents.
    Records of what was done to files go once it has been undone. Searches go on meanwhile.
    An approximate index that held such an image is dropped, and built again at the end.

    Raises CollectionNotFoundError, LockedError, ReadOnlyError, and CorruptCollectionError where a file of the
    collection is damaged.
    """
    from imseek.curate.actions.quarantine_recovery import forget
    from imseek.data import snapshots
    from imseek.data.purge import purge as purge_files
    from imseek.data.run_progress import telling
    from imseek.data.writer import Writer

    root = Path(path).expanduser().absolute()
    with explained(root), Writer(root, "maintain --purge") as writer, telling(writer, progress, stop) as tell:
        forget(root)
        report = purge_files(writer)
        return replace(report, notes=report.notes + snapshots.renew_due(writer, tell, stop))


def measure(
    path: str | os.PathLike[str],
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> MeasureReport:
    """Measure the quality of pictures (``luma_…``, docs/dataset.md) that were indexed before that was part of indexing.

    Opens those pictures, encodes nothing, and can be interrupted: the next call goes on. Pictures that cannot be read,
    or have changed since, stay without. Raises CollectionNotFoundError, LockedError, ReadOnlyError, and
    CorruptCollectionError where a file of the collection is damaged.
    """
    from imseek.curate.missing_measures import measure as measure_pictures
    from imseek.data.run_progress import telling
    from imseek.data.writer import Writer

    root = Path(path).expanduser().absolute()
    stop = stop or threading.Event()
    started = time.monotonic()
    with (
        explained(root),
        Writer(root, "maintain --measure") as writer,
        telling(writer, progress, stop) as tell,
    ):

        def count(done: int, total: int, unreadable: int) -> None:
            tell(Progress("measuring", done, total, unreadable, time.monotonic() - started))

        return measure_pictures(writer, count, stop)


def build_index(
    path: str | os.PathLike[str],
    policy: IndexPolicy | None = None,
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> tuple[BuildReport, ...]:
    """Build the approximate indexes of a collection anew, and from now on as ``policy`` says (None: as it said before).

    One report for each space. Searches go on in what there was, and see the new index as one generation. Killed or
    stopped (``stop``), what there was stays. Raises UsageError where the policy cannot be followed,
    CollectionNotFoundError, LockedError, ReadOnlyError, StorageError where the disk is full or fails, and
    CorruptCollectionError where a file of the collection is damaged.
    """
    from imseek.data import snapshots
    from imseek.data.run_progress import telling
    from imseek.data.writer import Writer

    root = Path(path).expanduser().absolute()
    with (
        explained(root),
        Writer(root, "maintain --index") as writer,
        telling(writer, progress, stop) as tell,
        snapshots.trying(writer, policy),
    ):
        return tuple(snapshots.renew(writer, snapshots.told(writer, tell, stop), force=True))


def reencode(
    path: str | os.PathLike[str],
    reference: str,
    *,
    space: int | None = None,
    add: bool = False,
    allow_missing: bool = False,
    runtime: Runtime | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> ReencodeReport:
    """Encode every picture again with the encoder ``reference``, then search in the new vectors.

    The new space takes the place of the first image space, or of that with the id ``space``; with ``add`` it comes
    behind all others instead. Searches go on in the old spaces meanwhile, and see the switch as one generation. The
    old space is kept until :func:`drop_space`, and encoding with its encoder again takes it up: only what it lacks is
    encoded. Killed, stopped (``stop``) or refused, the same call goes on with what was built; where the switch was
    made before, it says so.

    A picture that cannot be read now, or has changed, has no vector in the new space. Where these are few, and the
    next ``index`` would take them out of the collection anyway, or with ``allow_missing``, the switch is made: they
    are not found until ``index`` has read them again, and keep their ids. Else the outcome is ``"refused"``.

    ``runtime`` and ``notify`` are as for :func:`imseek.open`. Raises UsageError where the spaces would be of no use
    beside each other (see :func:`imseek.create`), what loading an encoder raises, CollectionNotFoundError,
    LockedError, ReadOnlyError, StorageError where the disk is full or fails, and CorruptCollectionError where a file
    of the collection is damaged.
    """
    from imseek.data import snapshots
    from imseek.data.current_file import read_current
    from imseek.data.run_progress import telling
    from imseek.data.writer import Writer
    from imseek.encoders import registry, space_compatibility
    from imseek.indexer import reencode as runner

    if add and space is not None:
        raise UsageError("a space is added behind all others: `add` and `space` exclude each other")
    root = Path(path).expanduser().absolute()
    first = not add and space in (None, read_current(root).space.space_id)
    resolution = registry.resolve(reference)
    encoder = space_compatibility.load_resolved(
        resolution, ("image", "text") if first else ("image",), runtime, notify
    )
    order = runner.Order(space_compatibility.space_of(encoder, resolution.note), space, add, allow_missing)
    kind = "maintain --add-space" if add else "maintain --reencode"
    with explained(root), Writer(root, kind) as writer, telling(writer, progress, stop) as tell:
        report = runner.reencode(writer, encoder, order, progress=tell, stop=stop)
        if report.outcome != "switched":
            return report
        notes = report.notes + snapshots.renew_due(writer, tell, stop)
        return replace(report, notes=notes, generation=writer.generation)


def embed_captions(
    path: str | os.PathLike[str],
    *,
    runtime: Runtime | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> CaptionReport:
    """Embed the captions that a collection holds, with the encoder of its first space, and no picture is opened.

    From then on they are searched (``by="caption"``), and ``index`` embeds those of new pictures too. Where they are
    embedded with another encoder, since pictures were encoded again, that space makes room for the new one. Killed or
    stopped (``stop``), the same call goes on with what was built.

    ``runtime`` and ``notify`` are as for :func:`imseek.open`. Raises UsageError where that encoder knows no words,
    EncoderMismatchError for other weights, what loading an encoder raises, CollectionNotFoundError, LockedError,
    ReadOnlyError, StorageError where the disk is full or fails, and CorruptCollectionError where a file of the
    collection is damaged.
    """
    from imseek.data import snapshots
    from imseek.data.run_progress import telling
    from imseek.data.writer import Writer
    from imseek.encoders import checks
    from imseek.indexer import caption_space
    from imseek.search.encoder_loader import load_encoder

    root = Path(path).expanduser().absolute()
    with explained(root), Writer(root, "maintain --captions") as writer:
        space = writer.current().space
        encoder = load_encoder(root, space, ("text",), runtime, notify)
        checks.check_knows_words(encoder)
        checks.check_fingerprint(encoder, space.encoder, space.fingerprint)
        with telling(writer, progress, stop) as tell:
            report = caption_space.embed(writer, encoder, progress=tell, stop=stop)
            if report.outcome != "switched":
                return report
            notes = report.notes + snapshots.renew_due(writer, tell, stop)
            return replace(report, notes=notes, generation=writer.generation)


def drop_space(path: str | os.PathLike[str], space_id: int) -> DropReport:
    """Take a space out of a collection: one that is kept after a switch, half built, or one of several in use.

    Its files go an hour later at the earliest, with :func:`merge` or the next ``index``, or at once with
    :func:`purge`. Raises UsageError where there is no such space, or the others could not answer what is asked of
    it, CollectionNotFoundError, LockedError, ReadOnlyError, and CorruptCollectionError.
    """
    from imseek.data import spaces
    from imseek.data.writer import Writer
    from imseek.indexer.space_changes import check_drop

    root = Path(path).expanduser().absolute()
    with explained(root), Writer(root, "maintain --drop-space") as writer:
        spaces.find(writer, space_id)
        check_drop(spaces.stored(writer), space_id)
        return spaces.drop(writer, space_id)


def move_catalog(path: str | os.PathLike[str], to: str) -> CatalogReport:
    """Move the catalog to the PostgreSQL database with the URL ``to``, where several hosts are to share the collection
    (docs/postgres.md), or with ``sqlite`` back into its folder.

    Where it is in a database already, a URL tells the collection where that is now, and nothing is copied. Raises
    UsageError for a URL that cannot be kept, CollectionNotFoundError, UntrustedCollectionError, LockedError,
    ReadOnlyError, CorruptCollectionError where the catalog is damaged or none is there, StorageError, and
    MissingExtraError.
    """
    from imseek.data.postgres import catalog_moves

    root = Path(path).expanduser().absolute()
    with explained(root):
        return catalog_moves.move(root, to)
