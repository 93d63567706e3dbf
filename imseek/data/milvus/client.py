"""A connection to Milvus: Milvus Lite in this process, or a cluster. Translates its errors into ours."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.milvus.address import TOKEN_VARIABLE, Address
from imseek.data.milvus.layout import Field
from imseek.errors import (
    CollectionNotFoundError,
    LockedError,
    MissingExtraError,
    ServerError,
    StorageError,
    UsageError,
)
from imseek.types.arrays import Float32

#: Seconds allowed for a request, and for one that writes, during which Milvus Lite may sort all its data.
TIMEOUT: Final = 60.0
_WRITE_TIMEOUT: Final = 600.0
#: Seconds allowed for the first answer.
_CONNECT_TIMEOUT: Final = 10.0
#: Maximum rows of one search or query (`quotaAndLimits.limits.topK` and `maxQueryResultWindow` of a cluster).
MAX_ROWS: Final = 16_384
#: Maximum ids in one filter.
_MAX_IDS: Final = 4096


class Client:
    """A thread-safe client of Milvus.

    Raises MissingExtraError, UsageError, ServerError, LockedError, StorageError. With ``create`` a missing Milvus Lite
    is created; otherwise it raises CollectionNotFoundError.
    """

    def __init__(self, address: Address, *, create: bool = False) -> None:
        client_class = _client_class()
        self.address = address
        self._loaded: set[str] = set()
        self._closed = False
        if address.path is not None:
            uri = _LITE_POOL.take(address.path, create=create)
            arguments: dict[str, Any] = {}
        else:
            uri = address.uri
            arguments = {"db_name": address.database, "token": os.environ.get(TOKEN_VARIABLE, "")}
        try:
            with self._translate_errors():
                self._client = client_class(uri=uri, timeout=_CONNECT_TIMEOUT, dedicated=True, **arguments)
        except BaseException:
            if address.path is not None:
                _LITE_POOL.give_back(address.path)
            raise

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._client.close()
            if self.address.path is not None:
                _LITE_POOL.give_back(self.address.path)

    # -- collections of Milvus -----------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        with self._translate_errors():
            return bool(self._client.has_collection(name, timeout=TIMEOUT))

    def create(self, name: str, fields: Sequence[Field], *, strong: bool = False) -> None:
        """Create a Milvus collection.

        With ``strong``, reads see all earlier writes; otherwise they may miss recent ones.
        """
        from pymilvus import DataType

        with self._translate_errors():
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
            indexes = self._client.prepare_index_params()
            for field in fields:
                kind = getattr(DataType, field.kind)
                options = dict(field.options)
                if "element_type" in options:
                    options["element_type"] = getattr(DataType, options["element_type"])
                schema.add_field(field.name, kind, **options)
                if field.kind == "FLOAT_VECTOR":
                    indexes.add_index(field.name, index_type="FLAT", metric_type="COSINE")
            self._client.create_collection(
                name,
                schema=schema,
                index_params=indexes,
                num_shards=1,
                consistency_level="Strong" if strong else "Bounded",
                timeout=TIMEOUT,
            )

    def drop(self, name: str) -> None:
        self._loaded.discard(name)
        with self._translate_errors():
            self._client.drop_collection(name, timeout=TIMEOUT)

    def flush(self, name: str) -> None:
        """Make all writes so far durable."""
        with self._translate_errors():
            self._client.flush(name, timeout=_WRITE_TIMEOUT)

    # -- rows ----------------------------------------------------------------------------------------------

    def upsert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        with self._translate_errors():
            self._client.upsert(name, [dict(row) for row in rows], timeout=_WRITE_TIMEOUT)

    def delete(self, name: str, ids: Sequence[int | str]) -> None:
        for start in range(0, len(ids), _MAX_IDS):
            with self._translate_errors():
                self._client.delete(name, ids=list(ids[start : start + _MAX_IDS]), timeout=_WRITE_TIMEOUT)

    def get(self, name: str, ids: Sequence[int | str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Return the existing rows of these primary keys, in no particular order."""
        rows: list[dict[str, Any]] = []
        for start in range(0, len(ids), 1000):
            part = list(ids[start : start + 1000])
            with self._ensure_loaded(name):
                rows += self._client.query(name, ids=part, output_fields=list(fields), timeout=TIMEOUT)
        return rows

    def query(self, name: str, filter_: str, fields: Sequence[str], limit: int = MAX_ROWS) -> list[dict[str, Any]]:
        with self._ensure_loaded(name):
            return list(
                self._client.query(name, filter=filter_, output_fields=list(fields), limit=limit, timeout=TIMEOUT)
            )

    def count(self, name: str, filter_: str = "") -> int:
        with self._ensure_loaded(name):
            rows = self._client.query(name, filter=filter_, output_fields=["count(*)"], timeout=TIMEOUT)
            return int(rows[0]["count(*)"])

    def everything(self, name: str, fields: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """Yield all rows once each, in batches of some thousands."""
        with self._ensure_loaded(name):
            rows = self._client.query_iterator(name, batch_size=MAX_ROWS, output_fields=list(fields), timeout=TIMEOUT)
        try:
            while True:
                with self._translate_errors():
                    batch = rows.next()
                if not batch:
                    return
                yield list(batch)
        finally:
            rows.close()

    def search(
        self, name: str, field: str, queries: Float32, limit: int, filter_: str
    ) -> list[tuple[npt.NDArray[np.int64], Float32, Float32]]:
        """For each of ``queries`` (q, dim), return ids (m,), Milvus' cosines (m,) and the stored vectors (m, dim)."""
        with self._ensure_loaded(name):
            results = self._client.search(
                name,
                data=list(queries),
                anns_field=field,
                limit=limit,
                filter=filter_,
                output_fields=[field],
                search_params={"metric_type": "COSINE"},
                timeout=TIMEOUT,
            )
        dim = queries.shape[1]
        return [
            (
                np.array(hits.ids, np.int64),
                np.array(hits.distances, np.float32),
                np.array([hit["entity"][field] for hit in hits], np.float32).reshape(-1, dim),
            )
            for hits in results
        ]

    # -- errors --------------------------------------------------------------------------------------------

    @contextmanager
    def _ensure_loaded(self, name: str) -> Iterator[None]:
        """Context for a read: loads the collection first, as Milvus requires, and translates errors."""
        if name not in self._loaded:
            with self._translate_errors():
                self._client.load_collection(name, timeout=_WRITE_TIMEOUT)
            self._loaded.add(name)
        with self._translate_errors():
            yield

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        from grpc import RpcError
        from pymilvus.exceptions import MilvusException

        if self._closed:
            raise UsageError("the connection to Milvus was closed", hint="open it again")
        try:
            yield
        except (MilvusException, RpcError) as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> Exception:
        text = " ".join(str(getattr(error, "message", error)).split())[:300]
        token = os.environ.get(TOKEN_VARIABLE)
        if token:
            text = text.replace(token, "…")
        if self.address.path is not None:
            return StorageError(f"Milvus Lite at {self.address.path}: {text}")
        hint = f"is a Milvus running there? A token is read from {TOKEN_VARIABLE}"
        return ServerError(f"{self.address.uri}: {text}", hint=hint)


def _client_class() -> Any:
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise MissingExtraError("pymilvus", "milvus") from error
    # pymilvus also logs tracebacks for what it raises.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return MilvusClient


class _LitePool:
    """Milvus Lite servers in this process: one per folder, shared by all connections to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[Path, tuple[int, str]] = {}

    def take(self, path: Path, *, create: bool) -> str:
        try:
            from milvus_lite.server_manager import server_manager_instance
        except ImportError as error:
            raise MissingExtraError("milvus-lite", "milvus") from error
        with self._lock:
            users, uri = self._users.get(path, (0, None))
            if uri is None:
                _check_folder(path, create=create)
                _remove_incomplete_indexes(path)
                # They log tracebacks for a failed start and for features that Lite lacks.
                for name in ("milvus_lite", "grpc._server"):
                    logging.getLogger(name).setLevel(logging.CRITICAL)
                uri = server_manager_instance.start_and_get_uri(str(path))
                if uri is None:
                    raise StorageError(
                        f"Milvus Lite cannot open {path}", hint="is it damaged, or on a read-only medium?"
                    )
            self._users[path] = users + 1, uri
            return uri

    def give_back(self, path: Path) -> None:
        from milvus_lite.server_manager import server_manager_instance

        with self._lock:
            users, uri = self._users.pop(path)
            if users > 1:
                self._users[path] = users - 1, uri
            else:
                server_manager_instance.release_server(str(path))


_LITE_POOL: Final = _LitePool()


def _check_folder(path: Path, *, create: bool) -> None:
    """Check that a path is, or may become, a Milvus Lite folder, since Milvus Lite accepts or creates any."""
    if path.is_file():
        raise UsageError(
            f"{path} is a file: Milvus Lite 3 stores a folder, and cannot read files of earlier versions",
            hint="choose another name",
        )
    if not path.exists():
        if not create:
            raise CollectionNotFoundError(f"no Milvus Lite at {path}", hint="imseek publish creates one")
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}")
        return
    names = {entry.name for entry in path.iterdir()}
    if not names and create:
        return
    if not {"LOCK", "collections"} <= names:
        raise UsageError(f"{path} is not a folder of Milvus Lite", hint="choose another name")
    if _is_locked(path / "LOCK"):
        raise LockedError(
            f"another process has {path} open, and Milvus Lite allows only one",
            hint="wait until it has finished, or publish to a Milvus server",
        )


def _remove_incomplete_indexes(path: Path) -> None:
    """Remove incomplete index files, which Milvus Lite rebuilds from the rows.

    Milvus Lite (3.0) writes an index directly under its final name. If it is killed while doing so, neither that index
    nor its collection can be loaded again.
    """
    for index in path.glob("**/indexes/*.flat.idx"):
        try:
            np.load(index, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError):  # The header is invalid, or the file is too short for it.
            with suppress(OSError):
                index.unlink()


def _is_locked(lock: Path) -> bool:
    import fcntl

    try:
        fd = os.open(lock, os.O_RDWR)
    except OSError as error:
        raise StorageError(f"cannot open {lock}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
