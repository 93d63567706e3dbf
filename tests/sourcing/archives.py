"""Archives of every make for the contract suite: zips, tars, compressed tars, shards, here and elsewhere."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imseek.types.indexing_runs import SourceOptions

if TYPE_CHECKING:
    from imseek.testing.sources import Picture


def members(pictures: Mapping[str, Picture]) -> dict[str, bytes]:
    """Names and bytes of what an archive of these pictures holds, texts beside each picture."""
    held: dict[str, bytes] = {}
    for name, picture in pictures.items():
        held[name] = picture.data
        stem = Path(name).stem
        if picture.caption is not None:
            held[f"{stem}.txt"] = picture.caption.encode()
        if picture.extra:
            held[f"{stem}.json"] = json.dumps(dict(picture.extra)).encode()
    return held


def zip_of(held: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in held.items():
            out.writestr(zipfile.ZipInfo(name), data)  # Always of 1980: equal content, equal bytes.
    return buffer.getvalue()


def tar_of(held: Mapping[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as out:
        for name, data in held.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def put(path: Path, data: bytes) -> None:
    """Write a file, unless it is there with the same content: then it keeps its times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or _plain(path.read_bytes()) != _plain(data):
        path.write_bytes(data)


def _plain(data: bytes) -> bytes:
    """Without the time that gzip puts into its header."""
    return data[:4] + bytes(4) + data[8:] if data[:2] == b"\x1f\x8b" else data


@dataclass(frozen=True)
class OneArchive:
    name: str
    options: SourceOptions | None = None
    tells: bool = True
    numbered: bool = False
    opens: bool = True
    named: bool = True

    def write(self, at: Path, pictures: Mapping[str, Picture]) -> Path:
        path = at / f"pictures.{self.name}"
        held = members(pictures)
        data = zip_of(held) if self.name == "zip" else tar_of(held, "w:gz" if "gz" in self.name else "w")
        put(path, data)
        return path

    def lose(self, at: Path) -> None:
        (at / f"pictures.{self.name}").unlink()


@dataclass(frozen=True)
class Shards:
    """Two shards of a WebDataset, as img2dataset leaves them."""

    name: str = "webdataset"
    options: SourceOptions | None = None
    tells: bool = True
    numbered: bool = False
    opens: bool = True
    named: bool = True

    def write(self, at: Path, pictures: Mapping[str, Picture]) -> Path:
        for shard in range(2):
            held = members({name: one for name, one in pictures.items() if sum(name.encode()) % 2 == shard})
            put(at / f"shards/{shard:05}.tar", tar_of(held))
            put(at / f"shards/{shard:05}_stats.json", b"{}")
        return at / "shards"

    def lose(self, at: Path) -> None:
        shutil.rmtree(at / "shards")


@dataclass(frozen=True)
class Elsewhere:
    """A tar in fsspec's memory, or on this disk by its URL."""

    name: str
    options: SourceOptions | None = None
    tells: bool = True
    numbered: bool = False
    opens: bool = True
    named: bool = True

    def write(self, at: Path, pictures: Mapping[str, Picture]) -> str:
        data = tar_of(members(pictures))
        if self.name == "file":
            put(at / "pictures.tar", data)
            return (at / "pictures.tar").as_uri()
        import fsspec

        memory = fsspec.filesystem("memory")
        path = f"{at}/pictures.tar"
        if not memory.exists(path) or memory.cat(path) != data:
            memory.pipe(path, data)
        return f"memory:/{path}"

    def lose(self, at: Path) -> None:
        if self.name == "file":
            (at / "pictures.tar").unlink()
        else:
            import fsspec

            fsspec.filesystem("memory").rm(f"{at}/pictures.tar")


CASES = [
    OneArchive("zip"),
    OneArchive("tar"),
    OneArchive("tar.gz"),
    Shards(),
    Elsewhere("memory"),
    Elsewhere("file"),
]
