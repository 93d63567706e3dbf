"""Lies in records beside the catalog: addresses of servers, undo journals, logs of jobs, names that strangers chose."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote

from hostile.documents import value_lies
from hostile.forge import Document, Forge
from hostile.lies import Lie, Tell, gather
from imseek.data import layout


def address_lies() -> list[Lie]:
    """A ``catalog.json`` that leads to somebody else's server, or to a file of the user."""
    urls = {
        "a server": [
            "postgresql://u@127.0.0.1:PORT/x",
            "postgresql://127.0.0.1:PORT,127.0.0.1:PORT/x?target_session_attrs=any",
            "postgresql:///x?host=127.0.0.1&port=PORT",
            "postgresql:///x?hostaddr=127.0.0.1&port=PORT&gssencmode=require",
        ],
        "a file of the user": [
            "postgresql://127.0.0.1:PORT/x?sslkey=HOME/.ssh/id_rsa&sslcert=HOME/thesis.txt&sslmode=require",
            "postgresql://127.0.0.1:PORT/x?passfile=HOME/.pgpass",
            "postgresql:///x?service=s&servicefile=HOME/thesis.txt",
            "postgresql://127.0.0.1:PORT/x?sslrootcert=HOME/thesis.txt&sslmode=verify-full",
        ],
        "a socket": ["postgresql:///x?host=" + quote("HOME", safe=""), "postgresql:///x?host=@abstract"],
        "no server of ours": [
            "http://127.0.0.1:PORT/x",
            "file://HOME/thesis.txt",
            "sqlite:///HOME/thesis.txt",
            "",
        ],
    }

    def put(url: str, *, alone: bool) -> Tell:
        def tell(forge: Forge) -> None:
            text = url.replace("PORT", str(forge.port)).replace("HOME", str(forge.arena.home))
            uuid = forge.read(layout.COLLECTION)["uuid"]
            forge.write(layout.ADDRESS, {"format": 2, "uuid": uuid, "url": text})
            if alone:
                forge.edit(layout.COLLECTION, lambda d: d.update(format=2))
                for name in (layout.CATALOG, layout.CURRENT, layout.CHECKSUMS, *layout.BACKUPS):
                    forge.clear(name)

        return tell

    return [
        Lie(
            layout.ADDRESS,
            name,
            {f"{url}{' alone' if alone else ''}": put(url, alone=alone) for url in found for alone in (True, False)},
        )
        for name, found in urls.items()
    ]


# -- undo journals ---------------------------------------------------------------------------------------------

_PATHS: Final = ("path", "full", "keeper", "to", "to_base")


def journal_lies(name: str, lines: list[Document]) -> list[Lie]:
    """Lies in the journal ``name``, whose lines are these: where files were, where they are now, and what they were."""
    intent = next(line for line in lines if line["do"] == "mean")
    triples = [
        *value_lies(name, {k: v for k, v in intent.items() if k not in ("do", *_PATHS)}, edit=_edit),
        *_paths(name),
        *_lines(name),
    ]
    return gather("undo", triples, verify=False)


def _put(forge: Forge, name: str, lines: list[Document]) -> None:
    forge.path(name).write_bytes(b"".join(_line(line) for line in lines))


def _line(members: Document) -> bytes:
    """A line of a journal with its checksum, as docs/format.md says; what only the user can sign stays as it is."""
    digest = hashlib.sha256(json.dumps(members, sort_keys=True).encode()).hexdigest()[:16]
    return json.dumps({**members, "sum": digest}, sort_keys=True).encode() + b"\n"


def _read(forge: Forge, name: str) -> list[Document]:
    found = [json.loads(line) for line in forge.mirror(name).read_bytes().splitlines()]
    return [{key: value for key, value in line.items() if key != "sum"} for line in found]


def _edit(forge: Forge, name: str, change: Callable[[Document], object]) -> None:
    lines = _read(forge, name)
    for line in lines:
        if line["do"] == "mean":
            change(line)
    _put(forge, name, lines)


def _paths(name: str) -> Iterator[tuple[str, str, Tell]]:
    """A file put away at ``to`` goes back to ``path`` of its source; a file of the user goes wherever ``full`` says."""

    def put(content: str = "", **members: bytes) -> Tell:
        """``content``: a file in the home whose content the journal knows."""

        def tell(forge: Forge) -> None:
            home = bytes(forge.arena.home)
            text = {key: value.replace(b"HOME", home) for key, value in members.items()}
            coded = {key: base64.b64encode(value).decode() for key, value in text.items()}
            facts: dict[str, Any] = {"mode": 0o104755}
            if content:
                data = (forge.arena.home / content).read_bytes()
                facts |= {"content_hash": hashlib.sha256(data).hexdigest(), "size": len(data)}
            _edit(forge, name, lambda line: line.update({**coded, **facts}))

        return tell

    autostart = b"HOME/.config/autostart/evil.desktop"
    yield "outside path", "path", put(path=b"../home/.config/autostart/evil.desktop")
    yield "outside path", "path and full", put(path=b"../home/evil.desktop", full=b"HOME/evil.desktop")
    yield "outside path", "within", put(path=b"red/../../home/evil.desktop", full=b"HOME/evil.desktop")
    yield "absolute path", "path", put(path=autostart)
    yield "absolute path", "path and full", put(path=autostart, full=autostart)
    yield "absolute path", "full", put(full=autostart)
    yield "takes a file of the user", "to", put(to=b"HOME/thesis.txt")
    yield "takes a file of the user", "to and base", put(to=b"HOME/thesis.txt", to_base=b"HOME")
    yield "takes a file of the user", "key", put(to=b"HOME/.ssh/id_rsa", to_base=b"HOME/.ssh")
    yield "takes a file of the user", "keeper", put(keeper=b"HOME/thesis.txt")
    for base in (b"HOME", b"/", b"HOME/../photos"):
        yield (
            "takes a file of the user",
            f"known content, base {base.decode()}",
            put("thesis.txt", to=b"HOME/thesis.txt", to_base=base),
        )
    for n, odd in enumerate((b"", b".", b"..", b"/", b"a\0b", b"//red/copy.png", b"red//copy.png", b"\xff" * 5000)):
        yield "odd path", f"path {n}", put(path=odd)
        yield "odd path", f"to {n}", put(to=odd)
        yield "odd path", f"base {n}", put(to_base=odd)


def _lines(name: str) -> Iterator[tuple[str, str, Tell]]:
    def put(line: dict[str, Any]) -> Tell:
        return lambda forge: _put(forge, name, [*_read(forge, name), line])

    yield "odd line", "unknown", put({"do": "explode"})
    yield "odd line", "no do", put({"n": 1})
    yield "odd line", "do is a list", put({"do": []})
    yield "odd line", "begin", put({"do": "begin"})
    yield "odd line", "later format", put({"do": "begin", "format": 2, "created": "", "plan": ""})
    yield "odd line", "intent of nothing", put({"do": "mean"})
    yield "odd line", "note of a list", put({"do": "note", "n": [], "state": "done"})
    yield "odd line", "odd state", put({"do": "note", "n": 0, "state": "exploded"})
    yield "odd line", "trashed", put({"do": "trashed", "n": 0, "to": 7})
    yield (
        "odd line",
        "trashed outside",
        put({"do": "trashed", "n": 0, "to": base64.b64encode(b"/etc/x").decode()}),
    )
    yield "odd line", "copied", put({"do": "copied", "n": {}, "inode": []})
    yield "odd line", "nested", lambda forge: forge.path(name).write_bytes(b"[" * 100_000 + b"\n")


# -- logs and strange names ------------------------------------------------------------------------------------


def log_lies(name: str) -> list[Lie]:
    """Lies in the log of a job, which people are shown."""
    contents = {
        "escapes": b"\x1b]0;x\x07\x1b[2J\nimseek: \x1b[31mfailed\nhint: \x1b[2J\n",
        "error": b'{"error": {"type": "SystemExit", "message": ["x"], "hint": {}}}\n',
        "progress": b'{"progress": {"done": "x", "total": [], "phase": 7}}\n',
        "nested": b"[" * 100_000 + b"\n",
        "digits": b"1" * 100_000 + b"\n",
    }

    def put(content: bytes) -> Tell:
        return lambda forge: forge.path(name).write_bytes(content)

    return [Lie(layout.JOBS, "odd content", {label: put(c) for label, c in contents.items()}, verify=False)]


def name_lies() -> list[Lie]:
    """Names that imseek would not give, in each folder of a collection and beside its files."""
    names = {
        "number too large": ["metadata/" + "9" * 30 + ".parquet", "dead/" + "9" * 30 + ".1.npy"],
        "other digits": [
            "metadata/٠٠٠٠٠٩.parquet",
            "dead/000009.²",
            "judgements/all.²².json",
            "spaces/²/x.npy",
        ],
        "escapes": ["metadata/\x1b[2J.parquet", "models/\n.1.json", "x\x1b[2J"],
        "not UTF-8": ["metadata/\udcff.npy", "models/\udcff.1.json", "undo/\udcff.jsonl", "jobs/\udcff"],
        "hidden": [".hidden", "dead/.hidden", "models/.x.1.json"],
        "of a later time": [
            "judgements/all.999999.json",
            "models/warmth.999999.json",
            "dead/000000.999999.npy",
        ],
        "set aside": ["catalog.sqlite.damaged.x", "catalog.sqlite-wal.damaged.x"],
    }

    def put(name: str) -> Tell:
        def tell(forge: Forge) -> None:
            path = forge.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"stray")

        return tell

    return [Lie("names", label, {ascii(n): put(n) for n in found}, verify=False) for label, found in names.items()]
