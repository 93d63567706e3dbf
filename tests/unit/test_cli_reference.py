"""Help and documentation: every command has an example, and docs/cli.md is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from imseek._version import __version__
from imseek.ui.cli.app import command, main
from imseek.ui.cli.reference import WIDTH, commands, reference

ROOT = Path(__file__).parents[2]
COMMANDS = list(commands(command()))


def test_the_commands_of_the_design_are_there() -> None:
    assert {" ".join(words) for words in COMMANDS} == {
        "",
        "index",
        "search",
        "similar",
        "browse",
        "captions",
        "facets",
        "config",
        "config list",
        "config get",
        "config set",
        "config unset",
        "extract",
        "album",
        "album add",
        "album arrange",
        "album create",
        "album delete",
        "album list",
        "album remove",
        "album rename",
        "album show",
        "export",
        "encode",
        "duplicates",
        "duplicates find",
        "duplicates judge",
        "duplicates apply",
        "duplicates undo",
        "map",
        "clusters",
        "outliers",
        "sample",
        "coverage",
        "report",
        "label",
        "moderate",
        "aesthetic",
        "info",
        "maintain",
        "backup",
        "backup create",
        "backup verify",
        "backup restore",
        "tune",
        "watch",
        "serve",
        "mcp",
        "publish",
        "ui",
        "doctor",
        "demo",
        "tag",
        "tag add",
        "tag remove",
        "tag rename",
        "tag list",
        "tag write-sidecars",
        "dataset",
        "dataset quality",
        "dataset balance",
        "dataset leakage",
        "probe",
        "probe fit",
        "probe apply",
        "probe propose",
        "probe evaluate",
        "probe list",
        "probe show",
        "probe drop",
        "evaluate",
        "evaluate retrieval",
        "evaluate zeroshot",
        "evaluate ann",
        "evaluate compare",
        "evaluate cutoff",
        "collection",
        "collection list",
        "collection create",
        "collection rename",
        "collection delete",
        "collection verify",
        "collection trust",
        "collection repair",
        "source",
        "source list",
        "source remove",
        "source relocate",
        "jobs",
        "jobs list",
        "jobs cancel",
        "encoders",
        "encoders list",
        "encoders get",
        "encoders check",
        "encoders compare",
    }


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_an_example(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    _, _, after = capsys.readouterr().out.partition("Example")
    example = after.splitlines()[1].strip()
    assert example.startswith(" ".join(["imseek", *words]))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"imseek {__version__}\n"


def test_docs_cli_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", WIDTH)
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == reference(), "run `make cli-docs`"
