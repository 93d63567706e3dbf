"""Vectors made elsewhere, for the contract suite: a folder as clip-retrieval writes it, and one array."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imseek.encoders.fake import FakeEncoder
from imseek.media.decode import decode
from imseek.types.indexing_runs import SourceOptions
from sourcing.archives import put

if TYPE_CHECKING:
    from imseek.testing.sources import Picture


def vectors_of(pictures: list[bytes]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What the fake encoder makes of pictures."""
    encoder = FakeEncoder()
    return encoder.encode_images(np.stack([encoder.prepare(decode(data).pixels) for data in pictures]))


def npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


@dataclass(frozen=True)
class Export:
    """``single``: one array with its metadata beside it, whose paths are relative; with ``column``, one Parquet file
    that holds both."""

    name: str
    single: bool = False
    column: bool = False
    options: SourceOptions | None = None
    tells: bool = True
    numbered: bool = True
    opens: bool = False
    named: bool = True

    def write(self, at: Path, pictures: Mapping[str, Picture]) -> Path:
        export = at / "export"
        folder = export if self.single else at / "seen"
        for name, picture in pictures.items():
            put(folder / name, picture.data)
        shards = [list(pictures)] if self.single else [list(pictures)[::2], list(pictures)[1::2]]
        for n, names in enumerate(shards):
            array, metadata = export / f"img_emb/img_emb_{n}.npy", export / f"metadata/metadata_{n}.parquet"
            if self.single:
                array, metadata = export / "all.npy", export / "all.parquet"
            if not names:
                (metadata if self.column else array).unlink(missing_ok=True)
                continue
            rows = [
                {
                    "image_path": name if self.single else str(folder / name),
                    "caption": pictures[name].caption,
                    **pictures[name].extra,
                }
                for name in names
            ]
            columns = dict.fromkeys(column for row in rows for column in row)
            vectors = vectors_of([pictures[name].data for name in names]).astype(np.float16)
            whole = [{column: row.get(column) for column in columns} for row in rows]
            if self.column:
                put(
                    metadata,
                    parquet([{**row, "emb": vector} for row, vector in zip(whole, vectors, strict=True)]),
                )
                continue
            put(metadata, parquet(whole))
            put(array, npy(vectors))
        if self.column:
            return export / "all.parquet"
        return export / "all.npy" if self.single else export

    def lose(self, at: Path) -> None:
        shutil.rmtree(at / "export")


_FAKE = SourceOptions(encoder="fake")
CASES = [
    Export("clip-retrieval", options=_FAKE),
    Export("npy", single=True, options=_FAKE),
    Export("column", single=True, column=True, options=SourceOptions(encoder="fake", vector_column="emb")),
]
