"""Lies in the rows of a catalog by which files are found: of the collection, of pictures, of encoders."""

from __future__ import annotations

from typing import Any

from hostile.forge import FOREVER, Forge, listing
from hostile.lies import Lie, Tell
from imseek.data import layout


def place_lies() -> list[Lie]:
    """Lies about files that a catalog lists, folders of snapshots, sources and places of pictures, and encoders."""
    return [*_files(), *_snapshots(), *_sources(), *_places(), *_encoders()]


def expand(forge: Forge, value: Any) -> Any:
    """A text with the home and the port that HOME and PORT stand for in it; anything else as it is."""
    if not isinstance(value, str):
        return value
    return value.replace("HOME", str(forge.arena.home)).replace("PORT", str(forge.port))


def _files() -> list[Lie]:
    """Files that the catalog lists: retired long ago, in the future, or live, with each kind of path."""
    paths = {
        "absolute path": ["HOME/thesis.txt", "CANARY/mirror/metadata/000000.parquet"],
        "outside path": ["../../../home/thesis.txt", "../../../canary/mirror/dead/000000.3.npy"],
        "outside path through the layout": [
            "dead/../../../../home/thesis.txt",
            "spaces/0/../../../../canary.txt",
        ],
        "a file of the collection itself": [layout.CATALOG, layout.COLLECTION, layout.LOCK, layout.CURRENT],
        "no file": [
            "",
            ".",
            "..",
            "dead",
            "dead/",
            "//",
            "metadata/000000.parquet/",
            "./metadata/000000.parquet",
        ],
        "odd name": [
            "a\0b",
            "dead/000000.x.npy",
            "dead/\ud8ff",
            "undo/x.jsonl",
            "x" * 5000,
            "DEAD/000000.1.npy",
        ],
        "URL": ["http://127.0.0.1:PORT/x", "file://HOME/thesis.txt"],
    }
    states: dict[str, tuple[int, float | None]] = {
        "retired long ago": (0, 1.0),
        "retired in the future": (0, 1e18),
        "never retired": (0, None),
        "live": (FOREVER, None),
    }
    return [
        Lie(f"files: {state}", name, {path: _list(path, died, at) for path in found})
        for state, (died, at) in states.items()
        for name, found in paths.items()
    ]


def _list(path: str, died: int, retired_at: float | None) -> Tell:
    def tell(forge: Forge) -> None:
        text = expand(forge, path).replace("CANARY", str(forge.arena.canary))
        row = listing(text, died=died, retired_at=retired_at)
        with forge.catalog() as connection:
            if "\ud8ff" in text:
                connection.execute("DELETE FROM files WHERE path = x'edb0bf'")
                row = (b"dead/\xed\xb0\xbf", *row[1:])
            marks = ",".join("?" * len(row))
            connection.execute(f"INSERT OR REPLACE INTO files VALUES ({marks})", row)

    return tell


def _snapshots() -> list[Lie]:
    folders = {
        "absolute path": ["CANARY/mirror/spaces/0/index/15", "/"],
        "outside path": ["../../../canary/mirror/spaces/0/index/15", "spaces/0/index/../../../../.."],
        "no folder": ["", ".", "metadata/000000.parquet", "a\0b", "spaces/0/index/99"],
        "another space's": ["spaces/1/index/16", "spaces/2/index/17"],
    }

    def put(folder: str) -> Tell:
        def tell(forge: Forge) -> None:
            text = folder.replace("CANARY", str(forge.arena.canary))
            with forge.catalog() as connection:
                connection.execute("UPDATE snapshots SET folder = ? WHERE space_id = 0", (text,))
            forge.follow()
            forge.edit(layout.CURRENT, lambda d: d["snapshots"].update({"0": text}))

        return tell

    return [Lie("snapshots.folder", name, {folder: put(folder) for folder in found}) for name, found in folders.items()]


def _sources() -> list[Lie]:
    """Where pictures are said to lie. Nobody can tell a lie from the truth here: looking there is what sources are."""
    roots: dict[str, list[tuple[bytes, int]]] = {
        "home": [(b"HOME", 0), (b"HOME/.ssh", 0), (b"~", 0)],
        "outside path": [(b"../../../home", 1), (b"..", 1), (b"", 1)],
        "relative flag": [(b"HOME", 2), (b"HOME", -1)],
        "pipe": [(b"PIPE", 0)],
        "device": [(b"/dev/zero", 0)],
        "odd bytes": [(b"a\0b", 0), (b"\xff\xfe", 0), (b"x" * 100_000, 0), (b"\n", 0)],
        "URL": [(b"http://127.0.0.1:PORT/x.zip", 0), (b"http://127.0.0.1:PORT/x.png", 0)],
    }
    kinds = ["folder", "listed", "archive", "table", "vectors", "imagefolder", "web", "exported", "", "evil"]

    def put(root: bytes, relative: int, kind: str | None) -> Tell:
        def tell(forge: Forge) -> None:
            pipe = forge.arena.tools / "pipe"
            text = root.replace(b"HOME", bytes(forge.arena.home))
            text = text.replace(b"PORT", str(forge.port).encode()).replace(b"PIPE", bytes(pipe))
            with forge.catalog() as connection:
                connection.execute("UPDATE sources SET root = ?, relative = ?", (text, relative))
                if kind is not None:
                    connection.execute("UPDATE sources SET kind = ?", (kind,))

        return tell

    lies = [
        Lie(
            "sources.root",
            name,
            {
                f"{root.decode('latin-1')[:60]} {relative} {kind}": put(root, relative, kind)
                for root, relative in found
                for kind in ("folder", "archive", "table", "listed", "vectors")
            },
            verify=False,
            scans=True,
            trust=name == "URL",
        )
        for name, found in roots.items()
    ]
    odd = {kind: put(b"HOME", 0, kind) for kind in kinds}
    return [*lies, Lie("sources.kind", "odd value", odd, verify=False, scans=True)]


def _places() -> list[Lie]:
    """Pictures that lie where secrets do: nobody may give them out."""
    paths = {
        "secret": [b".ssh/id_rsa", b"thesis.txt"],
        "absolute path": [b"HOME/.ssh/id_rsa", b"/dev/zero"],
        "outside path": [b"../../home/.ssh/id_rsa", b"../../../../../etc/passwd"],
        "inside": [b"thesis.txt\0member", b"thesis.txt\x001\0../.ssh/id_rsa", b"a\0b\0c\0d", b"\0"],
        "URL": [b"http://127.0.0.1:PORT/x.png", b"a.csv\x001\0http://127.0.0.1:PORT/x.png"],
        "pipe": [b"PIPE"],
        "odd bytes": [b"", b".", b"\xff", b"x" * 100_000, b"\x1b[2J"],
    }

    def put(path: bytes, kind: str) -> Tell:
        def tell(forge: Forge) -> None:
            text = path.replace(b"HOME", bytes(forge.arena.home)).replace(b"PORT", str(forge.port).encode())
            text = text.replace(b"PIPE", bytes(forge.arena.tools / "pipe"))
            with forge.catalog() as connection:
                connection.execute("UPDATE sources SET root = ?, kind = ?", (bytes(forge.arena.home), kind))
                connection.execute("UPDATE places SET path = ?", (text,))

        return tell

    return [
        Lie(
            "places.path",
            name,
            {f"{p.decode('latin-1')[:60]!r} {k}": put(p, k) for p in found for k in ("folder", "archive", "table")},
            verify=False,
            scans=True,
        )
        for name, found in paths.items()
    ]


def _encoders() -> list[Lie]:
    """Encoders that a collection names: files of the user, a hub, an adapter that is none."""
    references = {
        "file of the user": [
            "openclip:ViT-B-32@HOME/thesis.txt",
            "local-dir:HOME",
            "timm:resnet18@HOME/thesis.txt",
        ],
        "hub": ["hf-hub:evil/model", "align:evil/model"],
        "adapter": ["adapter:map+fake:16", "adapter:../../x+fake:16", "adapter:+", "adapter:warmth+fake:16"],
        "size": ["fake:0", "fake:-1", "fake:99999999999", "fake:7"],
        "no reference": ["", "fake", "\x1b[2J", "x" * 100_000],
    }

    def put(reference: str) -> Tell:
        def tell(forge: Forge) -> None:
            text = expand(forge, reference)
            with forge.catalog() as connection:
                connection.execute("UPDATE spaces SET encoder = ?", (text,))
            forge.edit(layout.CURRENT, lambda d: [s.update(encoder=text) for s in d["spaces"]])

        return tell

    return [
        Lie("spaces.encoder", name, {r[:60]: put(r) for r in found}, verify=False, trust=True)
        for name, found in references.items()
    ]
