"""Verify, repair and maintain collections. :func:`verify` and :func:`repair` also accept damaged ones."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from imseek.data.files.system_errors import translate_os_errors
from imseek.data.files.write_check import check_writable as check_writable
from imseek.data.files.write_check import file_system as file_system
from imseek.data.repair.error_diagnosis import diagnose as diagnose
from imseek.data.trust import trust_command as trust_command
from imseek.errors import ImseekError, UsageError
from imseek.maintenance.plugin_check import check_plugins as check_plugins
from imseek.progress import ProgressCallback
from imseek.tilde_expansion import expand_user
from imseek.types.collection_info import IndexPolicy
from imseek.types.maintenance_reports import (
    BuildReport,
    CaptionReport,
    CatalogReport,
    DiskUse,
    DropReport,
    Due,
    MeasureReport,
    MergeReport,
    PurgeReport,
    ReencodeReport,
    RepairReport,
    TokenReport,
    VerifyReport,
)

if TYPE_CHECKING:
    from imseek.data.writing.writer import Writer
    from imseek.encoders.runtime import Runtime
    from imseek.types.trust import TrustRecord


def verify(path: str | os.PathLike[str]) -> VerifyReport:
    """Read every file of a collection and compare it with what is recorded. Changes nothing.

    Raises CollectionNotFoundError, FormatVersionError for a newer format, LockedError while a writer is active.
    """
    from imseek.data.repair.verify import verify as verify_files

    root = expand_user(path).absolute()
    with translate_os_errors(root):
        return verify_files(root)


def is_trusted(path: str | os.PathLike[str]) -> bool:
    """Whether the user trusts a collection (docs/security.md). Collections that imseek made here are trusted.

    Raises CollectionNotFoundError, FormatVersionError.
    """
    from imseek.data import trust as trusting

    return trusting.is_trusted(expand_user(path).absolute())


def trust(path: str | os.PathLike[str], *, force: bool = False) -> VerifyReport:
    """Trust a collection that someone else made, after checking all its files.

    From then on it may be written to, its approximate index is used, and its encoder may come from the source it names.
    If there is a problem, neither the collection nor its catalog's server is trusted, unless ``force`` is true; the
    report lists the problems. Raises as :func:`verify`, and StorageError if the trust cannot be recorded.
    """
    from imseek.data import layout
    from imseek.data import trust as trusting

    root = expand_user(path).absolute()
    with ExitStack() as undo:
        if layout.has_server_catalog(root):
            from imseek.data.catalog.postgres.address import read_address
            from imseek.data.catalog.postgres.allowed_servers import allow_server, disallow_server

            address = read_address(root)
            if allow_server(address):
                undo.callback(disallow_server, address)
        report = verify(root)
        if report.ok or force:
            trusting.trust(root, damaged=force)
            undo.pop_all()
    return report


def trusted_collections() -> tuple[TrustRecord, ...]:
    """List the collections that the user trusts, by path."""
    from imseek.data import trust as trusting

    return trusting.trusted_collections()


def allow_server(uuid: str, url: str) -> bool:
    """Allow the catalog of the collection ``uuid`` to lie on the PostgreSQL server at ``url``; True if that is new.

    From then on, opening the collection connects to that server. Raises StorageError if it cannot be recorded.
    """
    from imseek.data.catalog.postgres.address import Address
    from imseek.data.catalog.postgres.allowed_servers import allow_server as allow

    return allow(Address(uuid, url))


def distrust(path: str | os.PathLike[str]) -> None:
    """Withdraw trust in a collection and in the server of its catalog. Raises StorageError."""
    from imseek.data import layout
    from imseek.data import trust as trusting

    root = expand_user(path).absolute()
    trusting.distrust(root)
    if layout.has_server_catalog(root):
        from imseek.data.catalog.postgres.address import read_address
        from imseek.data.catalog.postgres.allowed_servers import disallow_server

        address = None
        with suppress(ImseekError):  # It may be damaged or gone.
            address = read_address(root)
        if address is not None:
            disallow_server(address)


def repair(path: str | os.PathLike[str]) -> RepairReport:
    """Repair a collection from shards, backups and the catalog; the report lists what is lost.

    The next ``index`` re-encodes images whose vector is lost, under their old ids. Images whose files were put away are
    not treated as removed (:mod:`imseek.duplicates.actions.undo`). Raises CollectionNotFoundError, LockedError,
    ReadOnlyError.
    """
    from imseek.data.repair.repair import repair as repair_files
    from imseek.duplicates.actions.quarantine_recovery import recover_quarantine

    root = expand_user(path).absolute()
    with translate_os_errors(root):
        report = repair_files(root)
        if report.after.ok and (count := recover_quarantine(root)):
            line = f"{count} images as put away: their files are where `imseek duplicates undo` finds them"
            return replace(report, restored=(*report.restored, line), after=verify(root))
        return report


def due(path: str | os.PathLike[str]) -> Due:
    """Report the work that :func:`merge`, :func:`purge` and :func:`measure` would do now. Changes nothing.

    Opens no picture. Raises as :func:`imseek.open`.
    """
    from imseek.analysis.snapshot_session import run_with_reader
    from imseek.data.catalog.index_policy import policy_of
    from imseek.data.reader import Reader
    from imseek.data.shards import compaction
    from imseek.data.vectors import index_renewal
    from imseek.maintenance.missing_measures import count_unmeasured

    root = expand_user(path).absolute()

    def inspect(reader: Reader) -> Due:
        shards = reader.current.shards
        return Due(
            merge=bool(compaction.find_due_shards(shards)),
            index=tuple(index_renewal.pending_builds(reader, policy_of(root))),
            dead=sum(shard.dead_rows for shard in shards),
            unmeasured=count_unmeasured(reader),
        )

    with translate_os_errors(root):
        return run_with_reader(root, inspect)


def disk_use(path: str | os.PathLike[str]) -> tuple[DiskUse, ...]:
    """Report the disk usage of a collection by purpose, the largest first. Opens no file.

    Raises CollectionNotFoundError.
    """
    from imseek.data.collection_records import read_identity
    from imseek.data.files import disk_usage

    root = expand_user(path).absolute()
    read_identity(root)
    return disk_usage.disk_use(root)


def merge(
    path: str | os.PathLike[str],
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> MergeReport:
    """Merge small shards, delete unused files, and renew outdated approximate indexes.

    Indexing does the same as it goes. Raises CollectionNotFoundError, LockedError, ReadOnlyError, and
    CorruptCollectionError if a file of the collection is damaged.
    """
    from imseek.data.shards.compaction import merge_due
    from imseek.data.vectors import index_renewal

    with _open_writer(path, "maintain --merge") as writer:
        before = len(writer.current().shards)
        merges = merge_due(writer)
        notes = index_renewal.renew_due(writer, writer.begin_task(progress, stop))
        return MergeReport(merges, before, len(writer.current().shards), writer.swept, notes)


def purge(
    path: str | os.PathLike[str],
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> PurgeReport:
    """Remove all remains of deleted images from a collection: from shards, indexes, catalog, backups and cache.

    This covers vectors, metadata, places and tags of images that were removed or have changed. Images still in a source
    are kept: run ``index`` first if files were deleted. Judgements stay, because they refer to contents. Records of
    file actions are deleted once undone. Searches continue meanwhile. An approximate index that held such an image is
    dropped, and rebuilt at the end.

    Raises CollectionNotFoundError, LockedError, ReadOnlyError, and CorruptCollectionError if a file of the collection
    is damaged.
    """
    from imseek.data.vectors import index_renewal
    from imseek.data.writing.purge import purge as purge_files
    from imseek.duplicates.actions.quarantine_recovery import remove_undone_journals

    with _open_writer(path, "maintain --purge") as writer:
        remove_undone_journals(writer.root)
        report = purge_files(writer)
        notes = index_renewal.renew_due(writer, writer.begin_task(progress, stop))
        return replace(report, notes=report.notes + notes)


def measure(
    path: str | os.PathLike[str],
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> MeasureReport:
    """Measure the quality (``luma_…``, docs/dataset.md) of pictures indexed before indexing did so.

    Opens those pictures but encodes nothing. After an interruption, the next call continues. Pictures that are
    unreadable or have changed stay unmeasured. Raises CollectionNotFoundError, LockedError, ReadOnlyError, and
    CorruptCollectionError if a file of the collection is damaged.
    """
    from imseek.maintenance.missing_measures import measure as measure_pictures

    with _open_writer(path, "maintain --measure") as writer:
        return measure_pictures(writer, writer.begin_task(progress, stop))


def build_index(
    path: str | os.PathLike[str],
    policy: IndexPolicy | None = None,
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> tuple[BuildReport, ...]:
    """Rebuild the approximate indexes, and store ``policy`` for later builds (None: keep the current one).

    Returns one report per space. Searches use the old indexes meanwhile, and see the new ones as one generation. A
    killed or stopped (``stop``) run leaves the old ones in place. Raises UsageError for an infeasible policy,
    CollectionNotFoundError, LockedError, ReadOnlyError, StorageError if the disk is full or fails, and
    CorruptCollectionError if a file of the collection is damaged.
    """
    from imseek.data.vectors import index_renewal

    with _open_writer(path, "maintain --index") as writer, index_renewal.try_policy(writer, policy):
        return tuple(index_renewal.renew(writer, writer.begin_task(progress, stop), force=True))


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
    """Encode every picture again with the encoder ``reference``, then search the new vectors.

    The new space replaces the first image space, or the one with the id ``space``; with ``add`` it is appended instead.
    Searches use the old spaces meanwhile, and see the switch as one generation. The old space is kept until
    :func:`drop_space`; re-encoding with its encoder reuses it and encodes only what it lacks. If killed, stopped
    (``stop``) or refused, the same call continues from what was built; if the switch was already made, the report says
    so.

    Pictures that are unreadable or have changed get no vector in the new space. The switch is made if these are few and
    the next ``index`` would remove them anyway, or with ``allow_missing``: they cannot be found until ``index`` has
    read them again, and keep their ids. Otherwise the outcome is ``"refused"``.

    ``runtime`` and ``notify`` are as for :func:`imseek.open`. Raises UsageError if the spaces are incompatible (see
    :func:`imseek.create`), whatever loading an encoder raises, CollectionNotFoundError, LockedError, ReadOnlyError,
    StorageError if the disk is full or fails, and CorruptCollectionError if a file of the collection is damaged.
    """
    from imseek.data.current_generation import read_current
    from imseek.encoders import registry, space_compatibility
    from imseek.indexer.reencode import ReencodeRequest
    from imseek.maintenance.reencoding import run_reencode

    if add and space is not None:
        raise UsageError("a space is added behind all others: `add` and `space` exclude each other")
    root = expand_user(path).absolute()
    first = not add and space in (None, read_current(root).space.space_id)
    resolution = registry.resolve(reference)
    encoder = space_compatibility.load_resolved(resolution, ("image", "text") if first else ("image",), runtime, notify)
    request = ReencodeRequest(space_compatibility.space_of(encoder, resolution.note), space, add, allow_missing)
    kind = "maintain --add-space" if add else "maintain --reencode"
    return run_reencode(root, kind, encoder, request, progress, stop)


def embed_captions(
    path: str | os.PathLike[str],
    *,
    runtime: Runtime | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> CaptionReport:
    """Embed the collection's captions with the encoder of its first space. No picture is opened.

    From then on captions are searchable (``by="caption"``), and ``index`` embeds those of new images. A caption space
    of another encoder, left from before a re-encoding, is replaced. If killed or stopped (``stop``), the same call
    continues from what was built.

    ``runtime`` and ``notify`` are as for :func:`imseek.open`. Raises UsageError if that encoder has no text tower,
    EncoderMismatchError for other weights, whatever loading an encoder raises, CollectionNotFoundError, LockedError,
    ReadOnlyError, StorageError if the disk is full or fails, and CorruptCollectionError if a file of the collection is
    damaged.
    """
    from imseek.data.vectors import index_renewal
    from imseek.encoders import input_checks
    from imseek.indexer import caption_space
    from imseek.search.encoder_loader import load_encoder

    with _open_writer(path, "maintain --captions") as writer:
        space = writer.current().space
        encoder = load_encoder(writer.root, space, ("text",), runtime, notify)
        input_checks.check_encodes_text(encoder)
        input_checks.check_fingerprint(encoder, space.encoder, space.fingerprint)
        task = writer.begin_task(progress, stop)
        report = caption_space.embed(writer, encoder, task)
        if report.outcome != "switched":
            return report
        notes = report.notes + index_renewal.renew_due(writer, task)
        return replace(report, notes=notes, generation=writer.generation)


def make_tokens(
    path: str | os.PathLike[str],
    *,
    runtime: Runtime | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> TokenReport:
    """Make the tokens that the reranker ``tokens`` compares, for pictures that have none yet.

    The model is that of :func:`imseek.tune.train_reranker`. ``notify`` is told what they will take on disk before any
    is made. Pictures are read; what cannot be read gets no tokens, counts as average, and is tried again by the next
    call. Where a source is not mounted, or more than 10 pictures and 1 % of all cannot be read, the outcome is
    ``refused``. Tokens of an earlier model are dropped at the end. If killed or stopped (``stop``), the same call
    continues.

    Raises UsageError if there is no model, EncoderMismatchError for other weights, whatever loading an encoder raises,
    CollectionNotFoundError, LockedError, ReadOnlyError, StorageError if the disk is full or fails, and
    CorruptCollectionError if a file of the collection is damaged.
    """
    from imseek.encoders.input_checks import check_fingerprint
    from imseek.indexer import token_space
    from imseek.search.encoder_loader import load_encoder
    from imseek.search.token_reranker import checked_model

    with _open_writer(path, "maintain --tokens") as writer:
        space = writer.current().space
        model = checked_model(writer.root, token_space.find_model(writer), space).interaction
        encoder = load_encoder(writer.root, space, ("image",), runtime, notify)
        check_fingerprint(encoder, space.encoder, space.fingerprint)
        token_encoder = token_space.TokenEncoder(encoder, model)
        return token_space.make_tokens(
            writer, token_encoder, writer.begin_task(progress, stop), notify or (lambda _: None)
        )


def forget_tokens(path: str | os.PathLike[str]) -> bool:
    """Delete all tokens and the model that makes and compares them; return whether there were any.

    Raises CollectionNotFoundError, LockedError, ReadOnlyError, StorageError.
    """
    from imseek.indexer.token_space import forget_tokens as forget

    with _open_writer(path, "maintain --no-tokens") as writer:
        return forget(writer)


def drop_space(path: str | os.PathLike[str], space_id: int) -> DropReport:
    """Drop a space from a collection: one kept after a switch, an unfinished one, or one of several in use.

    Its files are deleted by :func:`merge` or ``index`` after an hour at the earliest, or at once by :func:`purge`.
    Raises UsageError if there is no such space or the remaining ones could not answer queries, CollectionNotFoundError,
    LockedError, ReadOnlyError, and CorruptCollectionError.
    """
    from imseek.data.catalog import spaces
    from imseek.indexer.space_change_checks import check_drop

    with _open_writer(path, "maintain --drop-space") as writer:
        spaces.find(writer, space_id)
        check_drop(spaces.list_spaces(writer), space_id)
        return spaces.drop(writer, space_id)


def move_catalog(path: str | os.PathLike[str], to: str) -> CatalogReport:
    """Move the catalog to the PostgreSQL database at the URL ``to``, or with ``sqlite`` back into the folder.

    A database lets several hosts share the collection (docs/postgres.md). If the catalog is already in a database, a
    URL only records its new address, and nothing is copied. Raises UsageError for an unacceptable URL,
    CollectionNotFoundError, UntrustedCollectionError, LockedError, ReadOnlyError, CorruptCollectionError if the catalog
    is damaged or missing, StorageError, and MissingExtraError.
    """
    from imseek.data.catalog.postgres import catalog_moves

    root = expand_user(path).absolute()
    with translate_os_errors(root):
        return catalog_moves.move(root, to)


@contextmanager
def _open_writer(path: str | os.PathLike[str], kind: str) -> Iterator[Writer]:
    """Open a collection for one run, with errors of its disk as StorageError."""
    from imseek.data.writing.writer import Writer

    root = expand_user(path).absolute()
    with translate_os_errors(root), Writer(root, kind) as writer:
        yield writer
