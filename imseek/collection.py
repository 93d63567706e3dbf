"""Collections: create, open, index and search them. This combines storage, encoders, indexing and search."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, Unpack

import numpy as np

from imseek.analysis.current_originals import CurrentOriginals, open_originals
from imseek.data.catalog.place_paths import is_url as is_url
from imseek.data.layout import is_collection
from imseek.data.repair.error_diagnosis import diagnose
from imseek.encoders import registry, space_compatibility
from imseek.encoders.input_checks import check_encodes_text, check_fingerprint
from imseek.encoders.runtime import Runtime
from imseek.errors import CollectionNotFoundError, ImseekError, UsageError
from imseek.home import COLLECTION_NAME, LOCAL_FOLDER, named_collections
from imseek.media.decode import DEFAULT_LIMITS, Limits
from imseek.progress import ProgressCallback
from imseek.search.encoder_loader import load_encoder
from imseek.search.generations import GenerationCache
from imseek.search.query_options import QueryKeywords, with_query_keywords
from imseek.showing.folder_pictures import FolderPictures
from imseek.tilde_expansion import expand_user
from imseek.types.arrays import ImageVectors
from imseek.types.collection_arguments import path_of
from imseek.types.pictures import Image
from imseek.types.spaces import SpaceInfo

if TYPE_CHECKING:
    import pyarrow as pa

    from imseek.data.reader import Reader
    from imseek.data.writing.writer import Writer
    from imseek.embedding import Embedder
    from imseek.encoders.base import Encoder
    from imseek.search.engine import Engine
    from imseek.search.query import Question
    from imseek.types.collection_info import CollectionInfo
    from imseek.types.executors import Ray
    from imseek.types.indexing_runs import IndexReport, SourceOptions
    from imseek.types.search_results import SearchResult

#: Images read together by iteration.
_BLOCK: Final = 1024
T = TypeVar("T")
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
    """Create an empty collection in the folder ``path`` and open it.

    ``encoder`` is a reference such as ``builtin`` or ``openclip:MODEL/TAG``. ``auto`` takes the default encoder if it
    is available, else the built-in one, and says so in ``info().encoder.note``. The choice is final. Each encoder in
    ``also`` (such as ``timm:vit_small_patch14_dinov2.lvd142m``) adds a space: picture queries are compared in all
    spaces, text and vector queries in the first. With ``captions``, captions are embedded too, with the first space's
    encoder, so that they can be searched (``by="caption"``) and compared with their pictures (:mod:`imseek.captions`).

    ``here`` is for a collection inside the folder it describes (``<folder>/.imseek``): places below that folder are
    stored relative to it, so that both can be moved together. ``catalog`` is the URL of a PostgreSQL database, without
    a password; the catalog is then stored there instead of in a SQLite file, so that several hosts can share the
    collection (docs/postgres.md). ``runtime`` is as for :func:`open`. ``notify`` receives a line before weights are
    downloaded, with their name, size and licence.

    Raises CollectionExistsError, UnknownEncoderError, EncoderUnavailableError, MissingExtraError, StorageError if a
    server does not answer, and UsageError if two spaces would have the same encoder, or if ``encoder`` has no text
    tower although ``captions`` is set or an encoder in ``also`` has one.
    """
    from imseek.data.writing.create import create as create_files

    if isinstance(also, str):
        raise UsageError(f"also is a list of references, not {also!r}")
    resolutions = {}
    for reference in (encoder, *also):
        resolution = registry.resolve(reference)
        if resolution.reference in resolutions:
            raise UsageError(
                f"two spaces with the encoder {resolution.reference}",
                hint=space_compatibility.ANOTHER_ENCODER_HINT,
            )
        resolutions[resolution.reference] = resolution
    loaded: dict[tuple[str, tuple[str, ...]], Encoder] = {}
    encoders: list[Encoder] = []
    spaces = []
    for space_id, resolution in enumerate(resolutions.values()):
        modalities = ("image",) if space_id else ("image", "text")
        model = space_compatibility.load_resolved(resolution, modalities, runtime, notify)
        encoders.append(model)
        space_compatibility.check_compatible([space_compatibility.SpaceEncoder.of(encoder) for encoder in encoders])
        loaded[model.fingerprint(), modalities] = model
        spaces.append(space_compatibility.space_of(model, resolution.note))
    if captions:
        check_encodes_text(encoders[0])
        spaces.append({**spaces[0], "modality": "text"})
    root = expand_user(path).absolute()
    create_files(root, spaces, relative_places=here, catalog=catalog)
    return Collection(root, runtime, notify, _loaded=loaded)


@contextmanager
def temporary_collection() -> Iterator[Collection]:
    """Yield an empty collection that is deleted on exit, for work that needs no encoder."""
    from tempfile import TemporaryDirectory

    from imseek.data.trust import trust_temporarily

    with TemporaryDirectory() as folder:
        path = Path(folder) / "collection"
        with trust_temporarily(path), create(path, encoder="fake") as collection:
            yield collection


def open(  # noqa: A001 - imseek.open, as in gzip.open
    path: str | os.PathLike[str],
    *,
    runtime: Runtime | None = None,
    notify: Callable[[str], None] | None = None,
) -> Collection:
    """Open the collection in the folder ``path``, or the one named so. No encoder and no vectors are loaded yet.

    ``path`` may also be a folder with a collection in ``.imseek``, or, as a str without a slash, the name of a
    collection (as ``-c`` takes it). Where both a folder and a collection have the name, it means the folder.

    ``runtime`` sets the device, precision and threads for computing vectors. GPUs that it names also search vectors
    after the first few queries (docs/decisions/0016-gpu-search.md). ``notify`` receives a line before slow one-off
    work, such as exporting an encoder's text tower.

    For an HTTP URL this is :func:`imseek.connect`: it opens a collection on a server for searching. A ``milvus://…``
    address opens a collection published to Milvus (docs/milvus.md).

    Raises CollectionNotFoundError, FormatVersionError, CorruptCollectionError, and ServerError for a URL.
    """
    if isinstance(path, str) and "://" in path:
        from imseek.data.milvus.address import is_address

        if is_address(path):
            from imseek.published import connect as connect_published

            return connect_published(path, runtime=runtime, notify=notify)  # type: ignore[return-value] # as below
    if isinstance(path, str) and path.lower().startswith(("http://", "https://")):
        from imseek.remote import connect

        # For callers that accept both; `connect` has the precise return type.
        return connect(path)  # type: ignore[return-value]
    return Collection(_find_folder(path), runtime, notify)


def _find_folder(reference: str | os.PathLike[str]) -> Path:
    """Return the folder of the collection that a path, or a str without a slash as a name, stands for.

    Raises CollectionNotFoundError where a name is neither a folder with a collection nor a collection's name.
    """
    path = path_of(reference)
    if is_collection(path):
        return path
    if is_collection(path / LOCAL_FOLDER):
        return path / LOCAL_FOLDER
    if not isinstance(reference, str) or not COLLECTION_NAME.fullmatch(reference):
        return path
    if not path.exists():
        raise CollectionNotFoundError(
            f"no folder {path}, and no collection named {reference!r}", hint="`imseek collection list` shows the names"
        )
    folder = named_collections(os.environ) / reference
    raise CollectionNotFoundError(
        f"{path} holds no collection",
        hint=f"the collection named {reference!r} is at {folder}" if is_collection(folder) else None,
    )


class Collection:
    """A folder with everything imseek knows about some images. Get one from :func:`create` or :func:`open`.

    ``len()`` is the number of images; iterating yields each :class:`Image` in the order of their ids, from one
    generation; ``image_id in collection`` says whether there is such an image.

    Reading methods may be called from several threads and while another process writes; each answers from one
    generation. Writing methods take the collection's lock, and raise LockedError if another writer has it.
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
        #: Keyed by the requested fingerprint and the loaded modalities.
        self._encoders = dict(_loaded or {})
        self._lock = threading.Lock()
        self._generations = GenerationCache(path, "auto", "auto" if runtime is None else runtime.device)
        self._engine: Engine | None = None
        self._originals = CurrentOriginals(self._generations)
        self._closed = False
        self.uuid = self._generations.reader.identity.uuid
        #: Reads pictures for results that display themselves and for `imseek.show`.
        self.pictures = FolderPictures({self.uuid: path})

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the collection. Raises CorruptCollectionError instead of an error that catalog damage explains."""
        self.close()
        if error is not None and (damage := diagnose(error, self.path)) is not None:
            raise damage from error

    def close(self) -> None:
        """Free the encoders and the vectors. Using the collection afterwards raises UsageError."""
        self._closed = True
        self._encoders.clear()
        (self._engine or self._generations).close()

    @property
    def engine(self) -> Engine:
        """Answers queries; for features that search by themselves. Only they import what a search takes."""
        self._check_open()
        with self._lock:
            if self._engine is None:
                from imseek.search.engine import Engine

                self._engine = Engine(self._generations, self._encoder, open_originals, self._runtime, self._notify)
            return self._engine

    @property
    def _reader(self) -> Reader:
        self._check_open()
        return self._generations.reader

    def _read(self, question: Callable[[Reader], T]) -> T:
        """Call ``question`` with the reader of the newest generation, again if that is purged meanwhile."""
        self._check_open()
        return self._generations.read(question)

    @property
    def originals(self) -> CurrentOriginals:
        """Reads pictures, with their formats and digests."""
        self._check_open()
        return self._originals

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the collection {self.path} is closed", hint="open it again with imseek.open")

    def __repr__(self) -> str:
        if self._closed:
            return f"<imseek.Collection {str(self.path)!r}, closed>"
        try:
            now = self._generations.reader.current
        except (ImseekError, OSError) as error:
            return f"<imseek.Collection {str(self.path)!r}, {error}>"
        return f"<imseek.Collection {str(self.path)!r}, {now.images:,} images, {now.space.encoder}>"

    # -- reading ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._reader.current.images

    def __bool__(self) -> bool:
        """Whether there is a collection, empty or not."""
        return True

    def __contains__(self, image_id: object) -> bool:
        if not isinstance(image_id, Integral) or not 0 <= (number := int(image_id)) < 1 << 63:
            return False
        return bool(self._read(lambda reader: reader.live_ids([number])))

    def __iter__(self) -> Iterator[Image]:
        """Yield every image of the newest generation, in the order of their ids; they are read in blocks.

        Raises StaleGenerationError if a purge erases files of that generation meanwhile.
        """
        from imseek.exports.selection import live_ids

        reader = self._reader
        return self._iter_images(reader, live_ids(reader).tolist())

    def _iter_images(self, reader: Reader, image_ids: Sequence[int]) -> Iterator[Image]:
        for start in range(0, len(image_ids), _BLOCK):
            self._check_open()
            yield from reader.images(image_ids[start : start + _BLOCK]).values()

    @with_query_keywords
    def search(
        self,
        query: Question,
        *,
        metadata: bool = True,
        vectors: bool = False,
        **options: Unpack[QueryKeywords],
    ) -> SearchResult:
        """Return the images most similar to ``query``, best first.

        ``query`` is text (str), a picture (the path or bytes of a file, an image of Pillow, or pixels (h, w, 3) uint8),
        an indexed image (its id), a vector (dim,), or a :class:`Query` of several weighted terms. ``options`` are the
        options of a query (:class:`imseek.search.QueryOptions`): ``limit=20``, ``where="year > 2020"``,
        ``cutoff="auto"``…; they replace those of a :class:`Query`.

        The query is compared with pictures, its words with those of names, captions, keywords and text in pictures,
        and its texts with captions if they are embedded (:attr:`Hit.matches`); with ``by="image"``, with pictures
        alone, with ``by="caption"``, with captions of the images that have one, and with ``by="text"``, only words are
        looked up. Scores are cosines; over several spaces, their weighted mean (:attr:`SearchResult.spaces`); by text,
        shares of the query's words. Without ``metadata``, hits carry only id, score and place, which is faster; with
        ``vectors``, they carry their stored vector (:attr:`Hit.vector`).

        For the next page, repeat the query with ``page=result.next_page``.

        Raises QueryError, MediaError (unreadable picture bytes), ImageNotFoundError, EncoderMismatchError,
        MissingExtraError, ExpiredPageError if the page's generation is no longer searched, and TypeError for an unknown
        option.
        """
        from imseek.search.query import as_query
        from imseek.search.result_pages import HitOptions

        (result,) = self.engine.search([as_query(query, **options)], HitOptions(metadata, vectors, self.pictures))
        return result

    @with_query_keywords
    def search_many(
        self,
        queries: Iterable[Question],
        *,
        metadata: bool = True,
        vectors: bool = False,
        **options: Unpack[QueryKeywords],
    ) -> list[SearchResult]:
        """Search many queries in one generation; results are in the order of the queries.

        Much faster than separate searches if the queries have the same options: they share passes over the vector
        index. Arguments and errors are those of :meth:`search`; the first query that fails raises.
        """
        from imseek.search.query import as_queries
        from imseek.search.result_pages import HitOptions

        parsed = as_queries(queries, **options)
        return self.engine.search(parsed, HitOptions(metadata, vectors, self.pictures))

    def get(self, image_id: int) -> Image:
        """Return everything known about one image. Raises ImageNotFoundError."""
        return self._read(lambda reader: reader.image(image_id))

    def get_many(self, image_ids: Sequence[int]) -> dict[int, Image]:
        """Return everything known about many images, by id in the given order; unknown ids are left out."""
        return self._read(lambda reader: reader.images(image_ids))

    def read(self, image_id: int) -> bytes:
        """Read the original bytes of a picture: a file, an archive member, a table cell, or a download.

        Raises ImageNotFoundError, ContentChangedError if its content has changed since indexing, and MediaError if it
        is gone or unreadable.
        """
        return self.originals.load(image_id).data

    def vectors(self, space: int | None = None, *, where: str | None = None) -> ImageVectors:
        """Return the vectors of all images, or of those that meet ``where``, in the order of their ids.

        ``space`` is the id of an image space (``info().spaces``), by default the one that text queries search. Images
        without a vector there are left out; a vector of zeros stays zeros. Takes 4 · dim bytes for each image; see
        :meth:`vector_blocks` for more than fit into memory.

        Raises UsageError (no such space), QueryError (``where``), CorruptCollectionError.
        """
        from imseek.analysis.snapshot_session import filter_ids
        from imseek.analysis.space_vectors import Vectors, image_space

        def read(reader: Reader) -> ImageVectors:
            space_vectors = Vectors(reader, image_space(reader, space), filter_ids(reader, where))
            rows = np.empty((len(space_vectors), space_vectors.dim), np.float32)
            for part, block in space_vectors.blocks():
                rows[part] = block
            return ImageVectors(space_vectors.ids, rows)

        return self._read(read)

    def vector_blocks(
        self, space: int | None = None, *, where: str | None = None, size: int = 8192
    ) -> Iterator[ImageVectors]:
        """Yield what :meth:`vectors` returns, ``size`` images at a time, all from one generation.

        Also raises StaleGenerationError if a purge erases files of that generation meanwhile.
        """
        from imseek.analysis.snapshot_session import filter_ids
        from imseek.analysis.space_vectors import Vectors, image_space

        if size < 1:
            raise UsageError("a block holds at least one image")
        reader = self._reader
        space_vectors = Vectors(reader, image_space(reader, space), filter_ids(reader, where))
        return (ImageVectors(space_vectors.ids[part], rows) for part, rows in space_vectors.blocks(size))

    def metadata(self, columns: Sequence[str] | None = None, *, where: str | None = None) -> pa.Table:
        """Return the metadata of all images, or of those that meet ``where``, as an Arrow table in the order of ids.

        Columns are ``image_id``, ``path``, ``path_b64`` (where a path is not UTF-8), ``uri``, ``tags`` and everything
        that is stored (docs/where.md); with ``columns``, ``image_id`` and these alone, which is faster. Hashes are
        hexadecimal. ``.to_pandas()``, ``polars.from_arrow`` and DuckDB read the table (docs/python.md).

        Raises UsageError (no such column), QueryError (``where``), CorruptCollectionError.
        """
        from imseek.exports.arrow_tables import metadata_table

        return self._read(lambda reader: metadata_table(reader, columns, where))

    def info(self) -> CollectionInfo:
        """Return counts, sources, failures and encoders."""
        from imseek.data.summary import summarise

        details = self._read(summarise)
        with_note = space_compatibility.with_upgrade_note
        spaces = tuple(replace(summary, space=with_note(summary.space)) for summary in details.spaces)
        return replace(details, encoder=with_note(details.encoder), spaces=spaces)

    # -- writing ---------------------------------------------------------------------------------------

    def index(
        self,
        paths: AnyPath | Iterable[AnyPath] = (),
        *,
        names: Iterable[AnyPath] = (),
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
        """Index the sources at ``paths`` (one or several), or update all sources of the collection.

        A path is a folder of pictures, a single picture, an archive or a folder of archives (WebDataset), a table
        (Parquet, Arrow, CSV, JSON Lines) with pictures, paths or URLs, an ``imagefolder`` data set, vectors made by
        another tool, or a URL of any of these; see docs/sources.md. ``names`` are single files and URLs, possibly many.
        ``source`` sets how the named sources are read.

        New images are added, changed ones replaced, moved ones keep their id, and vanished ones are removed. Files that
        look unchanged (size, times, inode) are not opened unless ``rehash`` is true. Files that failed before are
        retried when they change, or with ``retry_failed``. The run ends after a clean flush once ``stop`` is set or
        ``limit`` pictures have been read; if ``stop`` is a :class:`imseek.types.StopRequest`, the run is recorded with
        its exit code. Unusable files are reported in ``failures``, never raised.

        ``skip_known`` skips pictures at new places whose content is already stored: True means in this collection;
        otherwise it lists folders of collections, which may include this one. Live and quarantined images count.
        Skipped pictures are neither decoded nor recorded, only listed in ``known_pictures``; a later run without
        ``skip_known`` indexes them. Images in the collection stay, and moves are still recognised.

        With ``untrusted``, pictures of all formats are decoded in a sandboxed process, not only those whose codecs need
        it (:class:`imseek.media.Limits`). This applies to the current run only.

        With an ``executor``, workers of a Ray cluster read, decode and encode pictures (:class:`imseek.Ray`,
        docs/scale.md); the result is the same. The run itself stays in this process, the only writer.

        The text in pictures is not read, even where the collection's pictures are: that takes many times as long, and
        :func:`imseek.ocr.recognise` does it, for all that were not read before.

        With ``dry_run``, nothing is read or changed. The report says what a run would do, before it can recognise moves
        and copies: ``added`` counts new files, ``changed`` those that may have changed, ``removed`` those that are
        gone.

        Raises UsageError (no such path), CollectionNotFoundError (``skip_known``), MissingExtraError, LockedError,
        ReadOnlyError, EncoderMismatchError, ExecutorError (workers are unavailable or do not match), and StorageError
        if the disk is full or fails; commits made before remain.
        """
        from imseek.data.catalog.index_policy import is_scanned, policy_of
        from imseek.indexer.dry_run import DRY_RUN_NOTE, plan
        from imseek.indexer.pipeline import IndexOptions, index
        from imseek.indexer.scan import ScanSettings
        from imseek.indexer.source_selection import select_targets

        self._check_open()
        if isinstance(skip_known, str | bytes | os.PathLike):
            raise UsageError(f"skip_known is a list of folders, not {skip_known!r}")
        if isinstance(names, str | bytes | os.PathLike):
            raise UsageError(f"names is a list of files, not {names!r}")
        path_list = [paths] if isinstance(paths, str | bytes | os.PathLike) else paths
        others = () if isinstance(skip_known, bool) else skip_known
        skip_folders = [Path(os.fsdecode(_absolute_path(path))) for path in others] + [self.path] * (skip_known is True)
        settings = ScanSettings(rehash=rehash, retry_failed=retry_failed, follow_symlinks=follow_symlinks)
        with self._writer("index") as writer:
            targets = select_targets(
                writer,
                [_absolute_path(path) for path in path_list],
                [_absolute_path(name) for name in names],
                source,
                follow_symlinks=follow_symlinks,
            )
            if dry_run:
                encoder = self._reader.current.space.encoder
                planned = plan(writer, targets, settings, encoder, stop)
                return replace(planned, notes=(*planned.notes, DRY_RUN_NOTE)) if skip_folders else planned
            current = self._reader.current
            encoders = {space.space_id: self._checked_encoder(space, "image") for space in current.image_spaces}
            texts = current.caption_space
            captions = {} if texts is None else {texts.space_id: self._checked_encoder(texts, "text")}
            limits = Limits(untrusted=untrusted)
            options = IndexOptions(settings, limit, skip_folders, executor, self._runtime, limits)
            task = writer.begin_task(progress, stop)
            report = index(writer, encoders, targets, options, captions=captions, task=task)
            if report.interrupted or is_scanned(writer.current(), policy_of(self.path)):
                return report
            from imseek.data.vectors import index_renewal  # FAISS

            notes = report.notes + index_renewal.renew_due(writer, task)
            return replace(report, notes=notes, generation=writer.generation)

    def remove_source(self, source_id: int) -> int:
        """Remove a source and its images from the collection; returns the number of images. Files are not touched.

        Raises SourceNotFoundError, LockedError.
        """
        from imseek.data.catalog import sources

        with self._writer("source remove") as writer:
            return sources.remove(writer, source_id)

    def relocate_source(self, source_id: int, path: AnyPath) -> int:
        """Record that a source's folder has moved to ``path``; images keep their ids.

        Returns the number of images. Raises SourceNotFoundError, UsageError, LockedError.
        """
        from imseek.data.catalog import sources

        with self._writer("source relocate") as writer:
            return sources.relocate(writer, source_id, _absolute_path(path))

    def _writer(self, kind: str) -> Writer:
        from imseek.data.writing.writer import Writer

        self._check_open()
        return Writer(self.path, kind)

    def _encoder(self, space: SpaceInfo, modalities: tuple[str, ...]) -> Encoder:
        with self._lock:
            for (fingerprint, loaded_modalities), encoder in self._encoders.items():
                if fingerprint == space.fingerprint and set(modalities) <= set(loaded_modalities):
                    return encoder
            encoder = load_encoder(self.path, space, modalities, self._runtime, self._notify)
            self._encoders[space.fingerprint, modalities] = encoder
            return encoder

    def _checked_encoder(self, space: SpaceInfo, *modalities: str) -> Encoder:
        """Load the encoder of a space. Raises EncoderMismatchError if another made the vectors."""
        encoder = self._encoder(space, modalities)
        check_fingerprint(encoder, space.encoder, space.fingerprint)
        return encoder


def share_encoders(first: Collection, other: Collection) -> None:
    """Let a collection use the encoders that another has loaded, so that none is loaded twice."""
    with first._lock:
        encoders = dict(first._encoders)
    with other._lock:
        other._encoders = {**encoders, **other._encoders}


def text_encoder(collection: Collection, space: SpaceInfo | None = None) -> Encoder:
    """Load the encoder of a space for text, by default of the first space; it is cached and shared with searches.

    It may lack a text tower: see ``info.modalities``. Raises as :func:`open`, and EncoderUnavailableError.
    """
    return collection._encoder(collection._reader.current.space if space is None else space, ("text",))


def embedder(collection: Collection, limits: Limits = DEFAULT_LIMITS) -> Embedder:
    """Return the encoder of the newest generation's first space, to encode pictures and texts as queries are encoded.

    Raises as :func:`open`, EncoderUnavailableError and EncoderMismatchError.
    """
    from imseek.embedding import Embedder

    return Embedder(collection._checked_encoder(collection._reader.current.space, "image", "text"), limits)


def _absolute_path(path: AnyPath) -> bytes:
    """Return a path as sources record it: absolute, or unchanged if it is a URL."""
    raw = os.fsencode(path)
    return raw if is_url(raw) else os.path.abspath(os.fsencode(expand_user(raw)))
