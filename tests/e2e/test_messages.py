"""What each command says, word by word: one file for each in __snapshots__, so that a better sentence costs one line.

Other tests look at the type of an error, the exit code and what is named. After a change of words:
``pytest tests/e2e/test_messages.py --snapshot-update``, and read the difference.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from masks import WORDS, TextFile
from typer.core import TyperGroup

from imseek.data.user_files import file_stat
from imseek.ui.cli.app import command

#: By command: arguments that it is given, in this order, over a collection of three pictures. Every command is here.
LINES: dict[str, tuple[str, ...]] = {
    "index": ("{pictures}", "{pictures} --dry-run", "nowhere", "{pictures} --encoder none",
              "{pictures} -c new --encoder none", "--batch 0 {pictures}", "{pictures} --executor mars",
              "{pictures} {pictures}", "notes.txt", "copy.png"),
    "search": ("", "red -c none", "red -n 0", "red --min-score nan",
               "red --where 'width >'", "red --where 'colour = 1'", "red --near id:9",
               "red --cutoff 7", "red --top 5", "red -n many", "red --min-score many", "red --json -n 0",
               "red -n 1", "-- --"),
    "similar": ("", "nowhere.png", "id:9", "id:x", "notes.txt", "id:0 -n 1", "id:0 --where 1"),
    "captions": ("", "-c none", "--keep 30", "--keep 0"),
    "browse": ("red",),
    "extract": ("9", "id:9", "x", "notes.txt"),
    "export": ("out.xyz", "out.csv", "out.csv", "out.csv --force --ids 9", "{pictures} --format webdataset"),
    "encode": ("", "--texts red", "-o v.npy", "red -o v.csv", "--texts ' ' -o v.npy", "{pictures} -o v.npy",
               "notes.txt -o v.npy --encoder none", "{pictures}/red.png notes.txt no.png -o v.npy --encoder fake",
               "--texts red -o v.npy --encoder fake"),
    "duplicates find": ("", "--against none", "--where 'width >'"),
    "duplicates judge": ("", "0", "0 1", "0 9 --same", "0 1 --same --different", "0 1 --same", "0 1 --same",
                         "0 1 --forget"),
    "duplicates apply": ("nowhere.json", "notes.txt"),
    "duplicates undo": ("", "5", "--list"),
    "map": ("--neighbours 0", "--method pca", "--method none", "-c none"),
    "clusters": ("-k 0", "-k 9", "--k 2 --names none", "--k 2 --names none --save path", "--where 'width >'"),
    "outliers": ("-n 0", "-c none"),
    "sample": ("--random 2 --where 'width > 9999'", "--random 0"),
    "coverage": ("default none", "default default"),
    "report": ("out.html -c none", "{pictures}"),
    "label": ("", "--classes ''", "--classes red,red", "--classes red"),
    "moderate": ("", "--policy nowhere.yaml", "--policy notes.txt"),
    "aesthetic": ("", "--weights nowhere.pth"),
    "info": ("-c none",),
    "maintain": ("", "--index none", "--index Flat,Flat", "--recall 2", "--catalog nowhere"),
    "backup create": ("nowhere/out.tar", "{pictures}"),
    "backup verify": ("nowhere.tar", "notes.txt"),
    "backup restore": ("nowhere.tar again", "notes.txt again", "nowhere.tar default"),
    "tune": ("", "--from none"),
    "watch": ("nowhere", "-c none"),
    "serve": ("-c none", "--port 99999", "--allow-tags"),
    "mcp": ("-c none", "--port 1"),
    "publish": ("", "elsewhere"),
    "ui": ("none",),
    "doctor": ("--none",),
    "demo": ("--encoder none",),
    "tag add": ("", "x", "x id:9", "'' id:0", "x id:0", "x id:0", "x --where 'width >'"),
    "tag remove": ("x", "none id:0", "none"),
    "tag rename": ("none other", "none ''"),
    "tag list": ("", "id:9", "-c none"),
    "album create": ("''", "best id:9", "best id:0", "best", "--where 1"),
    "album add": ("best id:0", "best"),
    "album remove": ("best id:0", "best"),
    "album arrange": ("best", "best id:0"),
    "album rename": ("best other",),
    "album delete": ("best",),
    "album list": ("", "-c none"),
    "facets": ("none", "--where 'width >'", "-c none"),
    "album show": ("best",),
    "tag write-sidecars": ("", "--undo x", "--undo x --apply", "--where 'width >'", "-c none"),
    "dataset quality": ("-c none",),
    "dataset balance": ("", "--by none"),
    "dataset leakage": ("", "--split none"),
    "probe fit": ("x", "x -c none"),
    "probe apply": ("none", "''"),
    "probe propose": ("none", ""),
    "probe evaluate": ("none", ""),
    "probe list": ("", "-c none"),
    "probe show": ("none",),
    "probe drop": ("none",),
    "evaluate retrieval": ("", "--captions nowhere.csv"),
    "evaluate zeroshot": ("", "--classes nowhere"),
    "evaluate ann": ("", "-c none"),
    "evaluate compare": ("", "--encoder none"),
    "evaluate cutoff": ("", "--captions nowhere.csv"),
    "config list": ("",),
    "config get": ("device", "devise"),
    "config set": ("device cpu", "device ''", "index.ocr perhaps", "index.threads 0", "colour red"),
    "config unset": ("device", "colour"),
    "collection list": ("",),
    "collection create": ("default", "''", "new --encoder none", "a/b --encoder fake", "new --encoder fake"),
    "collection rename": ("none other", "default ''"),
    "collection delete": ("none --yes",),
    "collection verify": ("", "none"),
    "collection trust": ("none",),
    "collection repair": ("", "none"),
    "source list": ("", "-c none"),
    "source remove": ("9", "x", "nowhere"),
    "source relocate": ("9 {pictures}", "{pictures} nowhere"),
    "jobs list": ("-c none",),
    "jobs cancel": ("9", "x"),
    "encoders list": ("zzzz", "builtin"),
    "encoders get": ("none", "fake"),
    "encoders check": ("none",),
    "encoders compare": ("", "fake fake", "fake none", "fake fake:8 -c none", "fake fake:8 --text ''"),
}  # fmt: skip

#: What is different in each run, and what stands for it.
CHANGING = (
    (re.compile(r"\b\d+([.,]\d+)? ?(ms|s|seconds?)\b"), "SECONDS"),
    *WORDS,
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
    (re.compile(r"(?<=\S) {2,}"), "  "),  # columns are as wide as paths
)


@pytest.fixture
def words(snapshot: Any) -> Any:
    return snapshot.use_extension(TextFile)


@pytest.mark.parametrize("name", LINES, ids=lambda name: name.replace(" ", "-"))
def test_words(
    name: str,
    cli: Callable[..., Any],
    indexed: Path,
    tmp_path: Path,
    words: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(file_stat, "RACY_NS", 0)  # Otherwise a run reads again what was written just before.
    (Path.cwd() / "notes.txt").write_text("no picture\n")
    shutil.copy(indexed / "red.png", "copy.png")
    said = []
    for line in LINES[name]:
        arguments = shlex.split(line.format(pictures=indexed))
        outcome = cli(*name.split(), *arguments)
        said.append(f"$ imseek {name} {line}\n{outcome.out}{outcome.err}[{outcome.code}]\n")
    text = "\n".join(said).replace(str(tmp_path), "TMP")
    for pattern, instead in CHANGING:
        text = pattern.sub(instead, text)
    assert text == words


def test_every_command_is_here() -> None:
    assert set(LINES) == set(_commands(cast(TyperGroup, command())))


def _commands(group: TyperGroup, before: str = "") -> Iterator[str]:
    for name, inner in group.commands.items():
        if isinstance(inner, TyperGroup):
            yield from _commands(inner, f"{before}{name} ")
        else:
            yield f"{before}{name}"
