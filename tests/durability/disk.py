"""A disk with a cache: what a power cut may leave of a folder, given the operations that were done to it.

The model is stricter than file systems are: data is durable once its file was fsynced, a name once its folder was,
and what is not yet durable may survive or not, each write and each name for itself, a write also in part. One thing
it grants, as all journaling file systems do: a rename never loses the file, though it may leave both names.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeAlias

#: Torn writes tear between these.
SECTOR = 512

#: Content of files by their path; None stands for an empty folder.
Tree: TypeAlias = dict[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Create:
    path: str


@dataclass(frozen=True, slots=True)
class Write:
    path: str
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Truncate:
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """Of a file or a folder. ``ours`` where imseek asked for it, not SQLite."""

    path: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Rename:
    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """Two names that are swapped; each may survive without the other."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Link:
    """A second name of a file."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Unlink:
    path: str


@dataclass(frozen=True, slots=True)
class MakeFolder:
    path: str


@dataclass(frozen=True, slots=True)
class RemoveFolder:
    path: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """No operation of the disk: from here on the generation may not be lost."""

    generation: int


@dataclass(frozen=True, slots=True)
class Return:
    """Nor is this: the command has ended."""


Operation: TypeAlias = (
    Create
    | Write
    | Truncate
    | Sync
    | Rename
    | Exchange
    | Link
    | Unlink
    | MakeFolder
    | RemoveFolder
    | Acknowledge
    | Return
)


@dataclass(eq=False)
class File:
    durable: bytes = b""
    pending: list[Write | Truncate] = field(default_factory=list)

    def sync(self) -> None:
        self.durable = patched(self.durable, self.pending)
        self.pending.clear()


@dataclass(eq=False)
class Entry:
    """A name given (None: taken away) and not yet durable. Where it was taken by a rename: what gave the new one."""

    name: str
    node: File | Folder | None
    renamed: Entry | None = None
    is_durable: bool = False


@dataclass(eq=False)
class Folder:
    names: dict[str, File | Folder] = field(default_factory=dict)
    durable: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[Entry] = field(default_factory=list)

    def enter(self, name: str, node: File | Folder | None, renamed: Entry | None = None) -> Entry:
        entry = Entry(name, node, renamed)
        apply_entry(self.names, entry)
        self.pending.append(entry)
        return entry

    def sync(self) -> None:
        for entry in self.pending:
            apply_entry(self.durable, entry)
            entry.is_durable = True
        self.pending.clear()


def apply_entry(names: dict[str, File | Folder], entry: Entry) -> None:
    if entry.node is None:
        names.pop(entry.name, None)
    else:
        names[entry.name] = entry.node


def patched(data: bytes, changes: list[Write | Truncate]) -> bytes:
    result = bytearray(data)
    for change in changes:
        if isinstance(change, Truncate):
            del result[change.size :]
            result.extend(bytes(change.size - len(result)))
        else:
            result.extend(bytes(max(0, change.offset - len(result))))
            result[change.offset : change.offset + len(change.data)] = change.data
    return bytes(result)


# -- what survives -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """One way in which a power cut may go: which names that are not durable survive, and what of the data."""

    name: str
    keeps: Callable[[Entry], bool]
    data: Callable[[File], bytes]


def _durable(file: File) -> bytes:
    return file.durable


def _whole(file: File) -> bytes:
    return patched(file.durable, file.pending)


def _torn(chance: random.Random, file: File) -> bytes:
    kept: list[Write | Truncate] = []
    for change in file.pending:
        if isinstance(change, Truncate):
            kept += [change] if chance.random() < 0.5 else []
            continue
        for start in range(0, len(change.data), SECTOR):
            if chance.random() < 0.5:
                kept.append(Write(change.path, change.offset + start, change.data[start : start + SECTOR]))
    return patched(file.durable, kept)


def _zeros(file: File) -> bytes:
    """The lengths are there, the data is not."""
    return patched(
        file.durable,
        [c if isinstance(c, Truncate) else Write(c.path, c.offset, bytes(len(c.data))) for c in file.pending],
    )


def _mixed(chance: random.Random, file: File) -> bytes:
    lot = chance.randrange(4)
    if lot == 0:
        return file.durable
    if lot == 1:
        return patched(file.durable, file.pending)
    return _zeros(file) if lot == 2 else _torn(chance, file)


def cuts(seeds: int, of: object = 0) -> Iterator[Cut]:
    """The regular ways, and ``seeds`` random ones of each kind; ``of`` is mixed into the seeds."""
    yield Cut("nothing", lambda _: False, _durable)
    yield Cut("names only", lambda _: True, _durable)
    yield Cut("names and lengths", lambda _: True, _zeros)
    yield Cut("data only", lambda _: False, _whole)
    yield Cut("everything", lambda _: True, _whole)
    for seed in range(seeds):
        torn, mixed = random.Random(f"{of} {seed}"), random.Random(f"mixed {of} {seed}")
        yield Cut(f"torn {seed}", lambda _: True, lambda file, chance=torn: _torn(chance, file))
        yield Cut(
            f"mixed {seed}",
            lambda _, chance=mixed: chance.random() < 0.5,
            lambda file, chance=mixed: _mixed(chance, file),
        )


EVERYTHING = next(cut for cut in cuts(0) if cut.name == "everything")


class Disk:
    """A folder on a disk. It starts with durable content; :meth:`do` does operations to it."""

    def __init__(self, content: Mapping[str, bytes | None]) -> None:
        self.root = Folder()
        for path, data in content.items():
            folder = self._make_folders(path if data is None else str(PurePosixPath(path).parent))
            if data is not None:
                folder.names[PurePosixPath(path).name] = File(data)
        self._settle(self.root)

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """As a folder is now, all of it durable."""
        return cls(read_tree(folder))

    def do(self, operation: Operation) -> None:
        match operation:
            case Acknowledge() | Return():
                pass
            case Create(path):
                folder, name = self._place(path)
                folder.enter(name, File())
            case Write(path) | Truncate(path):
                self._file(path).pending.append(operation)
            case Sync(path):
                self._node(path).sync()
            case Rename(path, target) if path != target:
                folder, name = self._place(path)
                new_folder, new_name = self._place(target)
                given = new_folder.enter(new_name, folder.names[name])
                folder.enter(name, None, given)
            case Exchange(path, target):
                folder, name = self._place(path)
                other_folder, other_name = self._place(target)
                node, other = folder.names[name], other_folder.names[other_name]
                folder.enter(name, other)
                other_folder.enter(other_name, node)
            case Link(path, target):
                folder, name = self._place(path)
                new_folder, new_name = self._place(target)
                new_folder.enter(new_name, folder.names[name])
            case Unlink(path) | RemoveFolder(path):
                folder, name = self._place(path)
                assert name in folder.names
                folder.enter(name, None)
            case MakeFolder(path):
                folder, name = self._place(path)
                folder.enter(name, Folder())

    def changes_nothing(self, operation: Sync) -> bool:
        """Whether there is nothing that an fsync would make durable."""
        return not self._node(operation.path).pending

    def alone(self) -> Iterator[Cut]:
        """For each name that is not durable: it alone survives, with its data and without."""
        for entry in self._pending(self.root):
            for data, what in ((_whole, "and its data"), (_durable, "without data")):
                yield Cut(f"the name {entry.name} alone {what}", lambda e, only=entry: e is only, data)

    def _pending(self, folder: Folder) -> Iterator[Entry]:
        yield from folder.pending
        for node in folder.names.values():
            if isinstance(node, Folder):
                yield from self._pending(node)

    def exists(self, path: str) -> bool:
        try:
            self._node(path)
        except KeyError:
            return False
        return True

    def after(self, cut: Cut) -> Tree:
        """What is found when the power is back."""
        found: Tree = {}
        self._collect(self.root, "", cut, found, {})
        return found

    def _collect(self, folder: Folder, prefix: str, cut: Cut, found: Tree, kept: dict[int, bool]) -> None:
        names = dict(folder.durable)
        for entry in folder.pending:
            if self._survives(entry, cut, kept):
                apply_entry(names, entry)
        if not names and prefix:
            found[prefix.rstrip("/")] = None
        for name, node in sorted(names.items()):
            if isinstance(node, Folder):
                self._collect(node, f"{prefix}{name}/", cut, found, kept)
            else:
                found[prefix + name] = cut.data(node)

    def _survives(self, entry: Entry, cut: Cut, kept: dict[int, bool]) -> bool:
        if id(entry) not in kept:
            given = entry.renamed
            possible = given is None or given.is_durable or self._survives(given, cut, kept)
            kept[id(entry)] = possible and cut.keeps(entry)
        return kept[id(entry)]

    def _settle(self, folder: Folder) -> None:
        folder.durable = dict(folder.names)
        folder.pending.clear()
        for node in folder.names.values():
            if isinstance(node, Folder):
                self._settle(node)

    def _make_folders(self, path: str) -> Folder:
        folder = self.root
        for name in PurePosixPath(path).parts:
            node = folder.names.setdefault(name, Folder())
            assert isinstance(node, Folder)
            folder = node
        return folder

    def _place(self, path: str) -> tuple[Folder, str]:
        pure = PurePosixPath(path)
        folder = self._node(str(pure.parent))
        assert isinstance(folder, Folder)
        return folder, pure.name

    def _file(self, path: str) -> File:
        node = self._node(path)
        assert isinstance(node, File)
        return node

    def _node(self, path: str) -> File | Folder:
        node: File | Folder = self.root
        for name in PurePosixPath(path).parts:
            assert isinstance(node, Folder)
            node = node.names[name]
        return node


def read_tree(folder: Path) -> Tree:
    tree: Tree = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            tree[str(path.relative_to(folder))] = path.read_bytes()
        elif not any(path.iterdir()):
            tree[str(path.relative_to(folder))] = None
    return tree


def write_tree(folder: Path, tree: Mapping[str, bytes | None]) -> None:
    for name, data in tree.items():
        path = folder / name
        if data is None:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
