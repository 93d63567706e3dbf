"""Collections: where storage, encoders, indexing and searching are put together."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from imseek.curate.current_originals import CurrentOriginals
from imseek.data.diagnosis import diagnose
from imseek.data.milvus.address import is_address
from imseek.data.places import is_url
from imseek.data.summary import summarise
from imseek.encoders import registry, space_compatibility
from imseek.encoders.checks import check_knows_words
from imseek.encoders.runtime import Runtime
from imseek.errors import UsageError
from imseek.search.encoder_loader import load_encoder
from imseek.search.engine import Engine
from imseek.search.query import By, Question, as_query
from imseek.search.result_pages import Wanted
from imseek.showing.pictures import Folders
from imseek.types import (
    CollectionInfo,
    Image,
    IndexReport,
    ProgressCallback,
    Ray,
    SearchResult,
    SourceOptions,
    SpaceInfo,
)

if TYPE_CHECKING:
    from imseek.data.writer import Writer
    from imseek.encoders.base import Encoder

AnyPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def create(
    path: str | os.PathLike[str],
    *,
    encoder: str = "auto",
    also: Sequence[str] = (),
    captions: bool = False,
    here: bool = False,
    catalog: str | None = None,
    runtime: Runtime | None = None,
    notify: Callable[[str], None] | None = None,
) -> Collection:
    """Make an empty collection in the folder ``path`` and open it.

    ``encoder`` is a reference such as ``builtin`` or ``openclip:MODEL/TAG``; ``auto`` takes the default encoder
    where it can be had and else the built-in one, and says so in ``info().encoder.note``. The choice is made
    once. Each encoder of ``also`` (such as ``timm:vit_small_patch14_dinov2.lvd142m``) gives the collection one
    more space: pictures are compared in all spaces, words and vectors in the first. With ``captions`` the captions
    of pictures are embedded too, by the encoder of the first space, so that they can be searched (``by="caption"``)
    and compared with their pictures (:mod:`imseek.captions`). ``here`` is for a collection
    that lies inside the folder it describes (``<folder>/.imseek``): places below that folder are kept relative to
    it, so that both can be moved together. ``catalog`` is the URL of a PostgreSQL database, without a password, where
    several hosts are to share the collection: its catalog then lies there instead of in a SQLite file
    (docs/postgres.md). ``runtime`` is as for :func:`open`. ``notify`` is given a line before
    weights are downloaded: which, how large, under which licence.

    Raises CollectionExistsError, UnknownEncoderError, EncoderUnavailableError, MissingExtraError, StorageError where a
    server does not answer, and UsageError where two spaces would have the same encoder, or where ``encoder`` knows no
    words and one of ``also`` does, or ``captions`` are wanted.
    """
    from imseek.data.create import create as create_files

    if isinstance(also, str):
        raise UsageError(f"also is a list of references, not {also!r}")
    chosen = {}
    for reference in (encoder, *also):
        resolution = registry.resolve(reference)
        if resolution.reference in chosen:
            raise UsageError(
                f"two spaces with the encoder {resolution.reference}", hint=space_compatibility.ANOTHER
            )
        chosen[resolution.reference] = resolution
    loaded: dict[tuple[str, tuple[str, ...]], Encoder] = {}
    encoders: list[Encoder] = []
    spaces = []
    for space_id, resolution in enumerate(chosen.values()):
        modalities = ("image",) if space_id else ("image", "text")
        made = space_compatibility.load_resolved(resolution, modalities, runtime, notify)
        encoders.append(made)
        space_compatibility.check_joins([space_compatibility.Joined.of(encoder) for encoder in encoders])
        loaded[made.fingerprint(), modalities] = made
        spaces.append(space_compatibility.space_of(made, resolution.note))
    if captions:
        check_knows_words(encoders[0])
        spaces.append({**spaces[0], "modality": "text"})
    root = Path(path).expanduser().absolute()
    create_files(root, spaces, relative_places=here, catalog=catalog)
    return Collection(root, runtime, notify, _loaded=loaded)


@contextmanager
def temporary_collection() -> Iterator[Collection]:
    """An empty collection that is gone afterwards, for questions that no encoder answers."""
    from imseek.data.trust import trusted_meanwhile

    with TemporaryDirectory() as folder:
        path = Path(folder) / "collection"
        with trusted_meanwhile(path), create(path, encoder="fake") as collection:
            yield collection


def open(  # noqa: A001 - imseek.open, as in gzip.open
    path: str | os.PathLike[str],
    *,
    runtime: Runtime | None = None,
    notify: Callable[[str], None] | None = None,
) -> Collection:
    """Open the collection in the folder ``path``. Cheap: no encoder and no vectors are loaded yet.

    ``runtime`` says on which device, how precisely and in how many threads vectors are computed; cards that it names
    search vectors too, once there have been a few queries (docs/decisions/0016-gpu-search.md). ``notify`` is given
    a line before something that is done once and takes a while: the export of an encoder's text tower.

    Of a URL it is :func:`imseek.connect`: a collection that a server has, which can be searched. So can one that was
    published to Milvus, ``milvus://…`` (docs/milvus.md).

    Raises CollectionNotFoundError, FormatVersionError, CorruptCollectionError, and ServerError for a URL.
    """
    if is_address(path):
        from imseek.published import connect as connect_published

        return connect_published(str(path), runtime=runtime, notify=notify)  # type: ignore[return-value] # as below
    if isinstance(path, str) and path.lower().startswith(("http://", "https://")):
        from imseek.remote import connect

        # For those who write the same line for both; `connect` has the type of what it returns.
        return connect(path)  # type: ignore[return-value]
    return Collection(Path(path).expanduser().absolute(), runtime, notify)


class Collection:
    """A folder with everything imseek knows about some images. Make one with :func:`create` or :func:`open`.

    Reading methods may be called from several threads and while another process writes: each answers from one
    generation. Writing methods take the collection's lock and raise LockedError where another writer has it.
    """

    def __init__(
        self,
        path: Path,
        runtime: Runtime | None = None,
        notify: Callable[[str], None] | None = None,
        *,
        _loaded: Mapping[tuple[str, tuple[str, ...]], Encoder] | None = None,
    ) -> None:
        self.path = path
        self._runtime = runtime
        self._notify = notify
        #: By the fingerprint that is wanted and the modalities that they were loaded for.
        self._encoders = dict(_loaded or {})
        self._lock = threading.Lock()
        self._engine = Engine(path, self._encoder, device="auto" if runtime is None else runtime.device)
        self.uuid = self._engine.reader.identity.uuid
        #: Its pictures with their formats and digests.
        self.originals = CurrentOriginals(self._engine)
        #: Where its pictures can be read, for answers that show themselves and for `imseek.show`.
        self.pictures = Folders({self.uuid: path})

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises CorruptCollectionError in place of an error that damage of the catalog explains."""
        self.close()
        if error is not None and (damage := diagnose(error, self.path)) is not None:
            raise damage from error

    def close(self) -> None:
        """Free the encoder and the vectors. The collection may not be used after that."""
        self._encoders.clear()
        self._engine.close()

    # -- reading ---------------------------------------------------------------------------------------

    def search(
        self,
        query: Question,
        *,
        limit: int = 10,
        by: By = "image",
        metadata: bool = True,
        vectors: bool = False,
    ) -> SearchResult:
        """The images most like ``query``, best first.

        ``query`` is words (str), a picture (Path, or its bytes), a stored image (its id), a vector (dim,), or
        a :class:`Query` of several weighted terms, whose own ``limit`` and ``by`` then hold. It is compared with
        pictures, or, with ``by="caption"``, with the captions of those that have one. Scores are cosines, in several
        spaces their weighted mean (:attr:`SearchResult.spaces`). Without ``metadata`` hits carry id, score and
        place only, which is faster; with ``vectors`` they carry what is stored of them (:attr:`Hit.vector`).

        The hits after these are had by the same query with ``page=result.next_page`` (:func:`dataclasses.replace`).

        Raises QueryError, MediaError (unreadable picture bytes), ImageNotFoundError, EncoderMismatchError,
        MissingExtraError, and ExpiredPageError for a page of a generation that is no longer searched.
        """
        found = self._engine.search(as_query(query, limit, by), Wanted(metadata, vectors))
        return replace(found, pictures=self.pictures)

    def search_many(
        self,
        queries: Sequence[Question],
        *,
        limit: int = 10,
        by: By = "image",
        metadata: bool = True,
        vectors: bool = False,
    ) -> list[SearchResult]:
        """The answers to many queries, in their order, all of one generation.

        Much faster than one after the other where they ask alike: they go through the vector index together. Arguments
        and errors are those of :meth:`search`; the first query that cannot be answered raises.
        """
        asked = [as_query(query, limit, by) for query in queries]
        found = self._engine.search_many(asked, Wanted(metadata, vectors))
        return [replace(one, pictures=self.pictures) for one in found]

    def get(self, image_id: int) -> Image:
        """Everything known about one image. Raises ImageNotFoundError."""
        return self._engine.read(lambda reader: reader.image(image_id))

    def get_many(self, image_ids: Sequence[int]) -> dict[int, Image]:
        """Everything known about many images, by id and in the order given; ids that are not there are left out."""
        return self._engine.read(lambda reader: reader.images(image_ids))

    def read(self, image_id: int) -> bytes:
        """The picture itself as it was indexed: a file, a member of an archive, a cell of a table, from the web.

        Raises ImageNotFoundError, ContentChangedError where something else lies at its place now, and MediaError where
        it is not there any more or cannot be read.
        """
        return self.originals.load(image_id).data

    def info(self) -> CollectionInfo:
        """Counts, sources, failures, encoder."""
        return self._engine.read(summarise)

    # -- writing ---------------------------------------------------------------------------------------

    def index(
        self,
        paths: Sequence[AnyPath] = (),
        *,
        names: Sequence[AnyPath] = (),
        source: SourceOptions | None = None,
        limit: int | None = None,
        dry_run: bool = False,
        rehash: bool = False,
        retry_failed: bool = False,
        follow_symlinks: bool = False,
        skip_known: bool | Sequence[AnyPath] = False,
        untrusted: bool = False,
        executor: Ray | None = None,
        progress: ProgressCallback | None = None,
        stop: threading.Event | None = None,
    ) -> IndexReport:
        """Bring the collection in line with its sources: those at ``paths``, or all.

        A path is a folder of pictures, a single picture, an archive or a folder of such (WebDataset), a table (Parquet,
        Arrow, CSV, JSON Lines) with pictures, paths or URLs, an ``imagefolder`` data set, vectors that another tool has
        made, or a URL of any of these; docs/sources.md. ``names`` are single files and URLs, of which there may be
        many. ``source`` says how the sources that are named are read.

        New images are added, changed ones replaced, moved ones keep their id, vanished ones leave; what looks
        unchanged (size, times, inode) is not opened unless ``rehash``. Files that failed before are tried
        again when they change, or with ``retry_failed``. Setting ``stop`` ends the run after a clean flush, and so do
        ``limit`` pictures that were read; where it is a :class:`imseek.types.StopRequest`, the record of the run says
        with which exit code. A file that cannot be used is reported in ``failures``, never raised.

        With ``skip_known`` a picture that is new to its place is passed over where its content is stored already: with
        True, by this collection at another place; else by one of the collections in these folders, of which this one
        may be one. Live and quarantined images count. It is not decoded, not recorded, and listed in
        ``known_pictures``; a run without ``skip_known`` takes it up. What is in the collection stays, and a move is a
        move.

        With ``untrusted`` pictures of all formats are decoded in a confined process, not only those whose codecs need
        it (:class:`imseek.media.Limits`). It holds for this run, and is not remembered.

        With an ``executor`` pictures are read, decoded and encoded by workers of a Ray cluster (:class:`imseek.Ray`,
        docs/scale.md); what is stored is the same. The run itself stays in this process, which alone writes.

        With ``dry_run`` nothing is read or changed, and the report says what there is to do: ``added`` counts what is
        new, ``changed`` what may have changed, ``removed`` what is gone, before moves and copies are told apart.

        Raises UsageError (no such path), CollectionNotFoundError (of ``skip_known``), MissingExtraError, LockedError,
        ReadOnlyError, EncoderMismatchError, ExecutorError (workers cannot be had, or do not fit), and StorageError
        where the disk is full or fails: what was committed before stays.
        """
        from imseek.data import snapshots
        from imseek.data.run_progress import telling
        from imseek.indexer.dry_run import READ_TO_KNOW, plan
        from imseek.indexer.pipeline import Options, index
        from imseek.indexer.scan import Settings
        from imseek.indexer.source_selection import targets
        from imseek.media.decode import Limits

        if isinstance(skip_known, str | bytes | os.PathLike):
            raise UsageError(f"skip_known is a list of folders, not {skip_known!r}")
        others = () if isinstance(skip_known, bool) else skip_known
        known = [Path(os.fsdecode(_absolute(path))) for path in others] + [self.path] * (skip_known is True)
        settings = Settings(rehash=rehash, retry_failed=retry_failed, follow_symlinks=follow_symlinks)
        with self._writer("index") as writer:
            wanted = targets(
                writer,
                [_absolute(path) for path in paths],
                [_absolute(name) for name in names],
                source,
                follow_symlinks=follow_symlinks,
            )
            if dry_run:
                encoder = self._engine.reader.current.space.encoder
                planned = plan(writer, wanted, settings, encoder, stop)
                return replace(planned, notes=(*planned.notes, READ_TO_KNOW)) if known else planned
            encoders = self._engine.image_encoders()
            captions = self._engine.caption_encoders()
            limits = Limits(untrusted=untrusted)
            options = Options(settings, limit, known, executor, self._runtime, limits)
            with telling(writer, progress, stop) as tell:
                report = index(writer, encoders, wanted, options, captions=captions, progress=tell, stop=stop)
                if report.interrupted:
                    return report
                notes = report.notes + snapshots.renew_due(writer, tell, stop)
                return replace(report, notes=notes, generation=writer.generation)

    def remove_source(self, source_id: int) -> int:
        """Take a source and its images out of the collection; returns how many. Files are not touched.

        Raises SourceNotFoundError, LockedError.
        """
        from imseek.data import sources

        with self._writer("source remove") as writer:
            return sources.remove(writer, source_id)

    def relocate_source(self, source_id: int, path: AnyPath) -> int:
        """Tell the collection that a source's folder has moved to ``path``; images keep their ids.

        Returns the number of images. Raises SourceNotFoundError, UsageError, LockedError.
        """
        from imseek.data import sources

        with self._writer("source relocate") as writer:
            return sources.relocate(writer, source_id, _absolute(path))

    def _writer(self, kind: str) -> Writer:
        from imseek.data.writer import Writer

        return Writer(self.path, kind)

    def _borrow(self, other: Collection) -> None:
        """Use the encoders that another collection has loaded."""
        with other._lock:
            theirs = dict(other._encoders)
        with self._lock:
            self._encoders = {**theirs, **self._encoders}

    def _text_encoder(self, space: SpaceInfo | None = None) -> Encoder:
        """What encodes words as the pictures' vectors of a space (by default that which words are searched in); loaded
        once, and then shared with searches. It may know no words: ``info.modalities``. Raises as :func:`open`, and
        EncoderUnavailableError."""
        return self._encoder(self._engine.reader.current.space if space is None else space, ("text",))

    def _encoder(self, space: SpaceInfo, modalities: tuple[str, ...]) -> Encoder:
        with self._lock:
            for (fingerprint, loaded), encoder in self._encoders.items():
                if fingerprint == space.fingerprint and set(modalities) <= set(loaded):
                    return encoder
            encoder = load_encoder(self.path, space, modalities, self._runtime, self._notify)
            self._encoders[space.fingerprint, modalities] = encoder
            return encoder


def _absolute(path: AnyPath) -> bytes:
    """As sources are recorded; a URL stays as it is."""
    raw = os.fsencode(path)
    return raw if is_url(raw) else os.path.abspath(os.path.expanduser(raw))
