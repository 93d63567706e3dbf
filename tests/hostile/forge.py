"""What an attacker does to a collection: any change, with every seal and checksum made again as imseek makes them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from hostile.arena import Arena
from imseek.data import layout
from imseek.data.catalog.sqlite import catalog_checksums
from imseek.data.files import durable_files
from imseek.data.files.durable_files import FileDigest
from imseek.data.vectors.index_metadata import METADATA_FILE

Document: TypeAlias = dict[str, Any]

#: ``died`` of a row that lives.
FOREVER = 2**63 - 1


class Forge:
    """A copy of the sound collection that lies are told in.

    ``arena`` has the canaries; ``port`` is one that nobody may connect to.
    """

    def __init__(self, root: Path, arena: Arena, port: int) -> None:
        self.root, self.arena, self.port = root, arena, port

    def path(self, name: str) -> Path:
        """A file or folder of the collection."""
        return self.root / name

    def mirror(self, name: str) -> Path:
        """A canary with the content that the collection has under this name."""
        return self.arena.canary / "mirror" / name

    @property
    def thesis(self) -> Path:
        """A canary that no part of imseek can make sense of."""
        return self.arena.home / "thesis.txt"

    def clear(self, name: str) -> Path:
        """Remove what lies at a name, and make the folder for something else there."""
        path = self.path(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    # -- sealed files ----------------------------------------------------------------------------------

    def read(self, name: str) -> Document:
        """A sealed JSON file, without its seal."""
        return durable_files.strip_checksum(self.path(name).read_bytes())

    def write(self, name: str, document: Document) -> None:
        """Seal a document and put it in place of a file."""
        self.replace(name, durable_files.add_checksum(document))

    def edit(self, name: str, change: Callable[[Document], object]) -> None:
        """Change a sealed JSON file in place."""
        document = self.read(name)
        change(document)
        self.write(name, document)

    def replace(self, name: str, data: bytes) -> None:
        """Put these bytes in place of a file, and make whatever is recorded of it agree."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.relist(name)

    def relist(self, name: str) -> None:
        """Make what catalog, snapshots and checksums record of a file agree with it."""
        path = self.path(name)
        facts = path.parent / METADATA_FILE
        if path.name != METADATA_FILE and facts.exists():
            inner = str(facts.relative_to(self.root))
            self.edit(inner, lambda document: document["sizes"].update({path.name: path.stat().st_size}))
        if name in (layout.CATALOG, *layout.BACKUPS):
            self.seal()
        elif "/" in name:
            written = durable_files.digest_of(path)
            with self.catalog() as connection:
                connection.execute(
                    "UPDATE files SET size = ?, sha256 = ? WHERE path = ?",
                    (written.size, written.sha256, name),
                )

    def seal(self) -> None:
        """Make ``checksums.json`` agree with the catalog and its backups."""
        names = [name for name in (layout.CATALOG, *layout.BACKUPS) if self.path(name).is_file()]
        files: dict[str, FileDigest] = {name: durable_files.digest_of(self.path(name)) for name in names}
        uuid = self.read(layout.COLLECTION)["uuid"]
        self.path(layout.CHECKSUMS).write_bytes(
            catalog_checksums.encode_checksums(catalog_checksums.Checksums(uuid, files))
        )

    # -- the catalog -----------------------------------------------------------------------------------

    @contextmanager
    def catalog(self, name: str = layout.CATALOG) -> Iterator[sqlite3.Connection]:
        """A connection that may do anything to the catalog; its checksum agrees afterwards."""
        with closing(sqlite3.connect(self.path(name), isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("PRAGMA synchronous = OFF")
            yield connection
        self.seal()

    def follow(self) -> None:
        """Write ``current.json`` from the catalog, as a writer would, where that can be done."""
        from imseek.data.catalog.backend import backend_of
        from imseek.data.catalog.catalog_writer import current_of
        from imseek.data.collection_records import encode_record

        try:
            with backend_of(self.root).freeze() as connection:
                self.path(layout.CURRENT).write_bytes(encode_record(current_of(connection)))
        except Exception:  # It is a lie: the one in the catalog stands alone then.
            return


def listing(path: str, *, died: int, retired_at: float | None, kind: str = "dead") -> tuple[Any, ...]:
    """A row of ``files`` in the order of its columns: of a file that nobody needs, or that lives."""
    return (path, kind, None, None, None, 0, 0, "0" * 64, 0, died, retired_at)
