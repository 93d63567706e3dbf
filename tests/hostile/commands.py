"""Commands that are run over each hostile collection, in a child: calls of the command line, or of the library."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from hostile.findings import EXIT_CODES

Kind: TypeAlias = Literal["read", "write", "care"]

#: What the fork server imports beside all that the making of the sample has imported, so that children need not.
MODULES: Final = (
    "hostile.warm",
    "imseek.backup",
    "imseek.export",
    "imseek.report",
    "imseek.ui.http.app",
    "imseek.maintenance",
    "starlette.testclient",
)


@dataclass(frozen=True, slots=True)
class Command:
    """``calls`` are arguments of ``imseek`` one after another, or a function of root and output folder.

    In arguments, ROOT, OUT, PHOTOS and TOOLS are the collection and folders of the arena. A command of kind ``read``
    must not change the collection, one that ``acts`` moves pictures, one that ``moves`` renames the collection.
    """

    name: str
    kind: Kind
    calls: Sequence[str] | Callable[[str, str], int]
    acts: bool = False
    moves: bool = False


def _http(root: str, out: str) -> int:
    """Everything that the HTTP service says of a collection."""
    from starlette.testclient import TestClient

    from imseek.ui.http.app import make_app
    from imseek.ui.server.settings import Settings

    settings = Settings((("stranger", Path(root)),), token="a-token-for-tests-0123456789", rate=0)
    base = "/collections/stranger"
    paths = [
        "/ready",
        "/collections",
        f"{base}",
        f"{base}/search?q=red&limit=60",
        f"{base}/search?like=3",
        *(f"{base}/images/{n}" for n in (0, 14)),
        *(f"{base}/images/{n}/file" for n in (0, 3, 14)),
        *(f"{base}/images/{n}/thumbnail" for n in (0, 3, 14)),
        f"{base}/images/0/similar",
        f"{base}/tags",
        f"{base}/jobs",
        "/metrics",
    ]
    code = 0
    with TestClient(make_app(settings), base_url="http://localhost:1234") as client:
        for n, path in enumerate(paths):
            response = client.get(path, headers={"Authorization": f"Bearer {settings.token}"})
            (Path(out) / f"http{n}").write_bytes(response.content)
            print(response.status_code, path)
            if response.status_code == 500:
                print("Internal Server Error:", response.text[:200])
    return code


def _library(root: str, out: str) -> int:
    """What a program asks of a collection, each question for itself: one that is refused must not end the others."""
    import numpy as np

    import imseek
    from imseek.errors import ImseekError

    questions: list[Callable[[imseek.Collection], Any]] = [
        lambda c: c.info(),
        lambda c: c.search("red", limit=100),
        lambda c: c.search(3, limit=5),
        lambda c: c.search(np.ones(16, np.float32), vectors=True),
        lambda c: c.search(imseek.Query((imseek.Term(text="red"),), where="sharpness > 3 and width > 1")),
        lambda c: c.get(0),
        lambda c: c.get(14),
        lambda _: imseek.jobs.list(root),
        lambda _: imseek.tags.counts(root),
    ]
    try:
        collection = imseek.open(root)
    except ImseekError as error:
        print(error)
        return error.exit_code
    code = 0
    try:
        with collection:
            for question in questions:
                try:
                    print(str(question(collection))[:300])
                except ImseekError as error:
                    print(type(error).__name__, error)
                    code = error.exit_code
    except ImseekError as error:
        print(error)
        code = error.exit_code
    Path(out).exists()
    return code


_C: Final = "-c ROOT"
COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        "search",
        "read",
        (
            f"search red {_C} --json",
            f"search --like id:3 {_C} -n 60",
            f"search --vector TOOLS/query.npy {_C} --exact",
            f"search red --by caption {_C}",
        ),
    ),
    Command(
        "search --where",
        "read",
        (
            f"search red --where sharpness>3 {_C}",
            f"search red --tag warm --where width>1 {_C}",
            f"search red --where colour='red' {_C} --json",
        ),
    ),
    Command(
        "info",
        "read",
        (
            f"info --failures {_C}",
            f"info {_C} --json",
            f"source list {_C}",
            f"jobs {_C}",
            f"tag list {_C}",
            "collection list",
        ),
    ),
    Command(
        "lists",
        "read",
        (
            f"judge {_C}",
            f"undo --list {_C}",
            f"probe list {_C}",
            f"probe show warmth {_C}",
            f"jobs list {_C} --json",
        ),
    ),
    Command("extract", "read", tuple(f"extract {n} -o OUT/extract{n} {_C}" for n in (0, 3, 14, 30))),
    Command("export tables", "read", tuple(f"export OUT/t.{e} {_C}" for e in ("csv", "jsonl", "parquet"))),
    Command(
        "export pictures",
        "read",
        (
            f"export OUT/folder --format imagefolder {_C}",
            f"export OUT/web --format webdataset {_C}",
            f"export OUT/links --format imagefolder --link hard {_C}",
            f"export OUT/symbolic --format imagefolder --link symbolic {_C}",
        ),
    ),
    Command(
        "export vectors",
        "read",
        (
            f"export OUT/clip --format clip-retrieval {_C}",
            f"export OUT/faiss.index --format faiss {_C}",
            f"export OUT/projector --format projector {_C}",
        ),
    ),
    Command("backup", "read", (f"backup OUT/backup.tar {_C}",)),
    Command("duplicates", "read", (f"duplicates --json {_C}", f"duplicates --kind exact --csv OUT/d.csv {_C}")),
    Command("duplicates --inside", "read", (f"duplicates --inside {_C}",)),
    Command(
        "explore",
        "read",
        (
            f"outliers {_C}",
            f"sample --diverse 3 {_C}",
            f"clusters -k 2 {_C}",
            f"label --classes red,blue {_C}",
            f"dataset quality {_C}",
            f"dataset balance --tags {_C}",
            f"captions {_C}",
        ),
    ),
    Command("report", "read", (f"report OUT/report.html {_C}",)),
    Command("HTTP", "read", _http),
    Command("library", "read", _library),
    Command("tag", "write", (f"tag add new 0 3 14 {_C}", f"tag remove warm 0 {_C}")),
    Command("judge", "write", (f"judge 1 9 --different {_C}",)),
    Command("index", "write", (f"index PHOTOS {_C}",)),
    Command("index more", "write", (f"index TOOLS/more {_C}",)),
    Command("index again", "write", (f"index {_C}",)),
    Command("maintain", "write", (f"maintain {_C}", f"maintain --merge {_C}")),
    Command("maintain --index", "write", (f"maintain --index IVF2,PQ4x4fs {_C}",)),
    Command("maintain --purge", "write", (f"maintain --purge {_C}",)),
    Command(
        "maintain spaces",
        "write",
        (f"maintain --captions {_C}", f"maintain --measure {_C}", f"maintain --drop-space 1 {_C}"),
    ),
    Command("maintain --reencode", "write", (f"maintain --reencode fake:32 {_C}",)),
    Command(
        "keep",
        "write",
        (
            f"label --classes red,lime --save kind {_C}",
            f"map --method pca {_C}",
            f"clusters -k 3 --save groups {_C}",
            f"probe apply warmth {_C}",
        ),
    ),
    Command("forget", "write", (f"probe drop warmth {_C}", f"source remove 1 {_C}")),
    Command("relocate", "write", (f"jobs cancel 1 {_C}", f"source relocate 1 TOOLS/more --yes {_C}")),
    Command("apply", "write", (f"apply TOOLS/plan.json --yes {_C}",), acts=True),
    Command("undo", "write", (f"undo --yes {_C}",), acts=True),
    Command("delete", "write", (f"undo --yes {_C}", "collection delete ROOT --yes"), acts=True, moves=True),
    Command(
        "rename",
        "write",
        ("collection rename stranger renamed", "collection rename renamed stranger"),
        moves=True,
    ),
    Command("verify", "care", ("collection verify ROOT --json",)),
    Command("repair", "care", ("collection repair ROOT", "collection verify ROOT", "tag add new 0 -c ROOT")),
)
BY_NAME: Final = {command.name: command for command in COMMANDS}


def run(name: str, folders: dict[str, str], call: int | None = None) -> int:
    """Run a command, or one ``call`` of it. The exit code is the first that is not documented, else the last."""
    from imseek.data.shards import compaction
    from imseek.data.vectors import index_renewal
    from imseek.ui.cli import main

    compaction.FACTOR, index_renewal.MAX_TAIL_ROWS = (
        2,
        2,
    )  # So few images would neither be merged nor indexed.
    calls = BY_NAME[name].calls
    if callable(calls):
        return calls(folders["ROOT"], folders["OUT"])
    code = 0
    for line in calls if call is None else calls[call : call + 1]:
        code = main([expand(argument, folders) for argument in line.split()])
        print(f"[{code}] {line}", flush=True)
        if code not in EXIT_CODES:
            break
    return code


def expand(argument: str, folders: dict[str, str]) -> str:
    """An argument of a call with the paths that it stands for."""
    for name, path in folders.items():
        argument = argument.replace(name, os.fspath(path))
    return argument
