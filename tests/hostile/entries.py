"""Lies of names in folders: a link, a pipe, a device or a folder where a collection has a file, and the reverse."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from hostile.forge import Forge
from hostile.lies import Lie, Tell
from imseek.data import layout

Put: TypeAlias = Callable[[Forge, str], object]


def file_lies(files: Mapping[str, str]) -> list[Lie]:
    """Each thing that is no file of the collection's own, in place of each of ``files``: a path for each kind."""
    return [
        Lie(kind, name, {path: _bind(put, path)}, _is_file_seen(kind, name), family=_family(kind))
        for kind, path in files.items()
        for name, put in _FILE.items()
    ]


def content_lies(files: Mapping[str, str]) -> list[Lie]:
    """Content that is none, in each of ``files``."""
    return [
        Lie(kind, name, {path: _bind(put, path)}, verify=_is_content_seen(kind), family="content")
        for kind, path in files.items()
        for name, put in _CONTENT.items()
    ]


def folder_lies(folders: Sequence[str]) -> list[Lie]:
    """Links, pipes, files and strange content in place of each of ``folders``."""
    return [
        Lie(
            f"{folder}/",
            name,
            {folder: _bind(put, folder)},
            _is_folder_seen(folder, name),
            family="listed folders" if top in layout.LISTED_FOLDERS else f"{top}/",
        )
        for folder in folders
        for name, put in _FOLDER.items()
        for top in [folder.split("/")[0]]
    ]


def _is_file_seen(kind: str, name: str) -> bool:
    """Whether ``verify`` must see a lie about a file: not what a writer removes, whatever it is, nor a hard link to
    content that nobody can tell from the right one."""
    same = name == _SAME or (name.startswith("hard link") and kind in _ANY_CONTENT)
    if (kind, name) == (layout.UNDO, "folder"):  # It has the name of no journal then.
        return False
    return not same and kind not in _LEFTOVERS


def _is_content_seen(kind: str) -> bool:
    """Whether ``verify`` must see that a file holds something else; an index is derived, and who finds it damaged goes
    on without it."""
    return kind not in _ANY_CONTENT and not kind.startswith("index/")


def _is_folder_seen(folder: str, name: str) -> bool:
    """Whether ``verify`` must see a lie about a folder: in those of leftovers, odd names are as good as others."""
    holds = name.startswith("holds")
    if name == "file" and folder.startswith(f"{layout.CACHE}/"):
        return False
    return name != "holds deep folders" and not (holds and folder.split("/")[0] not in layout.LISTED_FOLDERS)


def _family(kind: str) -> str:
    """Kinds of files that are opened by the same code."""
    top = kind.split("/")[0]
    return next((family for family, kinds in _FAMILIES.items() if {kind, top} & kinds), kind)


def _bind(put: Put, path: str) -> Tell:
    return lambda forge: put(forge, path)


# -- in place of a file ----------------------------------------------------------------------------------------


def _to_mirror(forge: Forge, name: str) -> None:
    mirror = forge.mirror(name)
    forge.clear(name).symlink_to(mirror)


def _to_mirror_relative(forge: Forge, name: str) -> None:
    path = forge.clear(name)
    path.symlink_to(os.path.relpath(forge.mirror(name), path.parent))


def _to_thesis(forge: Forge, name: str) -> None:
    forge.clear(name).symlink_to(forge.thesis)


def _to_nothing(forge: Forge, name: str) -> None:
    forge.clear(name).symlink_to(forge.arena.home / ".config/autostart/new.desktop")


def _to_itself(forge: Forge, name: str) -> None:
    path = forge.clear(name)
    path.symlink_to(path.name)


def _to_zero(forge: Forge, name: str) -> None:
    forge.clear(name).symlink_to("/dev/zero")


def _fifo(forge: Forge, name: str) -> None:
    os.mkfifo(forge.clear(name))


def _to_fifo(forge: Forge, name: str) -> None:
    path = forge.clear(name)
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def _device(forge: Forge, name: str) -> None:
    path = forge.clear(name)
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:  # Only root makes one; a link leads to it as well.
        path.symlink_to("/dev/zero")


def _socket(forge: Forge, name: str) -> None:
    path = forge.clear(name)
    before = Path.cwd()
    os.chdir(path.parent)  # The address of a socket has about a hundred bytes.
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


def _folder(forge: Forge, name: str) -> None:
    path = forge.clear(name)
    path.mkdir()
    (path / "inside").write_bytes(b"")


def _hard_mirror(forge: Forge, name: str) -> None:
    mirror = forge.mirror(name)
    forge.clear(name).hardlink_to(mirror)


def _hard_thesis(forge: Forge, name: str) -> None:
    forge.clear(name).hardlink_to(forge.thesis)


_FILE: dict[str, Put] = {
    "link to a canary with its content": _to_mirror,
    "relative link to a canary": _to_mirror_relative,
    "link to any canary": _to_thesis,
    "link to a file that does not exist": _to_nothing,
    "link to itself": _to_itself,
    "link to /dev/zero": _to_zero,
    "pipe": _fifo,
    "link to a pipe": _to_fifo,
    "device": _device,
    "socket": _socket,
    "folder": _folder,
    "hard link to a canary with its content": _hard_mirror,
    "hard link to any canary": _hard_thesis,
}
#: A hard link to a file of the same content is that file as far as a reader can tell. It must not be written through.
_SAME: Final = "hard link to a canary with its content"
_FAMILIES: Final = {
    "arrays": frozenset({"ids", "img_emb", "text_emb", "parts", layout.DEAD}),
    "tables": frozenset({"metadata", "columns"}),
    "sealed documents": frozenset({layout.JUDGEMENTS, layout.MODELS}),
    "snapshots": frozenset({"index"}),
    "cache": frozenset({"cache"}),
    "backups": frozenset(layout.BACKUPS),
    "SQLite's logs": frozenset(layout.CATALOG_COMPANIONS),
}
#: Kinds of files that a writer removes, whatever they are, and nobody reads.
_LEFTOVERS: Final = frozenset(
    {"cache/duplicates", "cache/tiles", layout.JOBS, layout.STAGING, "catalog.sqlite.damaged"}
)


# -- content ---------------------------------------------------------------------------------------------------


def _empty(forge: Forge, name: str) -> None:
    forge.replace(name, b"")


def _half(forge: Forge, name: str) -> None:
    data = forge.mirror(name).read_bytes()
    forge.replace(name, data[: len(data) // 2])


def _noise(forge: Forge, name: str) -> None:
    size = len(forge.mirror(name).read_bytes())
    forge.replace(name, bytes((7 * n * n + 13) % 251 for n in range(size)))


def _sparse(forge: Forge, name: str) -> None:
    """A terabyte of zeros that takes no room."""
    path = forge.clear(name)
    path.write_bytes(b"")
    os.truncate(path, 1 << 40)


_CONTENT: dict[str, Put] = {"empty": _empty, "half": _half, "noise": _noise, "sparse terabyte": _sparse}
#: Kinds of files that are no part of what a collection says: their content may be anything.
_ANY_CONTENT: Final = frozenset({layout.LOCK, layout.UNDO, *layout.CATALOG_COMPANIONS, *_LEFTOVERS})


# -- in place of a folder --------------------------------------------------------------------------------------


def _folder_to_mirror(forge: Forge, name: str) -> None:
    mirror = forge.mirror(name)
    forge.clear(name).symlink_to(mirror)


def _folder_to_home(forge: Forge, name: str) -> None:
    forge.clear(name).symlink_to(forge.arena.home)


def _folder_of_link(forge: Forge, name: str) -> None:
    path = forge.path(name)
    path.mkdir(parents=True, exist_ok=True)
    (path / "000099.7").symlink_to(forge.arena.canary / "mirror")


def _folder_of_links(forge: Forge, name: str) -> None:
    path = forge.path(name)
    path.mkdir(parents=True, exist_ok=True)
    for label in _names_of(name):
        (path / label).symlink_to(forge.thesis)


def _names_of(folder: str) -> Iterator[str]:
    """Names that a writer takes for leftovers of its own, and removes."""
    yield from ("000000.7.npy", "000063.npy", "000063.ids.npy", "000063.parquet", "000063.7.parquet")
    if folder in (layout.JUDGEMENTS, layout.MODELS):
        yield from ("all.6.json", "warmth.8.json")
    if folder == layout.JOBS:
        yield from ("4194303-1.log", "starting-x.log")
    if folder == layout.UNDO:
        yield "20250101-000000-000000.jsonl"


def _deep(forge: Forge, name: str) -> None:
    path = forge.path(name)
    path.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    os.chdir(path)
    try:
        for _ in range(1200):  # Deeper than paths may be long, and than Python recurses.
            Path("deep").mkdir()
            os.chdir("deep")
    finally:
        os.chdir(before)


_FOLDER: dict[str, Put] = {
    "link to a canary folder with its content": _folder_to_mirror,
    "link to any canary folder": _folder_to_home,
    "link to a folder that does not exist": _to_nothing,
    "holds a link to a canary folder": _folder_of_link,
    "holds links to canaries": _folder_of_links,
    "holds deep folders": _deep,
    "pipe": _fifo,
    "file": lambda forge, name: forge.clear(name).write_bytes(b"a file"),
    "link to itself": _to_itself,
}
