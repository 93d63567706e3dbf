"""Families of commands: defaults, other spellings, suggestions, completion; sections of help; words of options."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from masks import mask
from typer.core import TyperGroup

from imseek.ui.cli import main
from imseek.ui.cli.app import ALIASES, SECTIONS, command
from imseek.ui.cli.command_classes import CommandGroup
from imseek.ui.cli.common_options import RARELY_USED
from imseek.ui.cli.reference import commands


@pytest.fixture
def album(cli, indexed) -> Path:
    """The pictures of ``indexed`` and a copy of one, with a plan and a backup in the current folder."""
    shutil.copyfile(indexed / "red.png", indexed / "copy.png")
    for line in (
        f"index {indexed}",
        "duplicates find --plan plan.json --action quarantine",
        "backup create photos.tar",
    ):
        outcome = cli(*shlex.split(line))
        assert outcome.code == 0, outcome.err
    return indexed


def answer(cli, tmp_path: Path, line: str) -> tuple[int, str]:
    """Exit code and masked JSON of a command."""
    outcome = cli(*shlex.split(line), "--json")
    document: Any = json.loads(outcome.out or outcome.err)
    return outcome.code, mask(document, {str(tmp_path): "TMP"})


@pytest.mark.parametrize(
    ("earlier", "now"),
    [
        ("duplicates", "duplicates find"),
        ("duplicates --kind exact", "duplicates find --kind exact"),
        ("judge", "duplicates judge"),
        ("judge 0 --same", "duplicates judge 0 --same"),
        ("apply plan.json", "duplicates apply plan.json"),
        ("apply nowhere.json", "duplicates apply nowhere.json"),
        ("undo --list", "duplicates undo --list"),
        ("undo 5", "duplicates undo 5"),
        ("backup photos.tar", "backup create photos.tar"),
        ("backup --force photos.tar", "backup create --force photos.tar"),
        ("backup --verify photos.tar", "backup verify photos.tar"),
        ("backup photos.tar --verify", "backup verify photos.tar"),
        ("restore photos.tar default", "backup restore photos.tar default"),
        ("jobs", "jobs list"),
        ("encoders fake", "encoders list fake"),
        ("verify default", "collection verify default"),
        ("verify -c default", "collection verify -c default"),
    ],
)
def test_both_spellings_give_one_answer(cli, album, tmp_path, earlier, now) -> None:
    before = answer(cli, tmp_path, earlier)
    assert answer(cli, tmp_path, now) == before


def test_what_one_spelling_did_the_other_undoes(cli, album) -> None:
    assert cli("apply", "plan.json", "--yes").code == 0
    assert len(list(album.glob("*.png"))) == 2
    undone = cli("duplicates", "undo", "--yes")
    assert undone.code == 0, undone.err
    assert len(list(album.glob("*.png"))) == 3
    assert cli("restore", "photos.tar", "again").code == 0
    assert cli("info", "-c", "again").code == 0


@pytest.mark.parametrize(("earlier", "now"), ALIASES.items())
def test_help_of_an_earlier_spelling_names_the_new_one(cli, earlier, now) -> None:
    assert cli(earlier, "--help") == cli(*now.split(), "--help")
    assert f"imseek {now}" in cli(earlier, "--help").out
    listed = {words[0] for words in commands(command()) if words}
    assert earlier not in listed == {name for section in SECTIONS.values() for name in section}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("duplicates fnd", "No such command 'fnd'. Did you mean 'find'?"),
        ("duplicates 17", "No such command '17'."),
        ("duplicates --json apply x", "the command comes first: imseek duplicates apply"),
        ("duplicates --plan apply -n x", "Invalid value for '--limit' / '-n'"),
        ("backup verfy photos.tar now", "Did you mean 'imseek backup verify'?"),
        ("jobs -n 3 cancel 7", "the command comes first: imseek jobs cancel"),
        ("jobs 123", "the command comes before 123: imseek jobs cancel 123"),
        ("dedup", "No such command 'dedup'. Did you mean 'duplicates'?"),
        ("restor", "Did you mean 'backup restore'"),
        ("serch", "Did you mean 'search', 'serve'?"),
        ("xyzzy", "there is no collection yet"),
        ("repair -c photos", "Did you mean 'collection repair'"),
        ("verfy", "Did you mean 'collection verify'?"),
        ("-c photos search dog", "-c comes after the command: imseek search -c NAME …"),
        ("-cphotos dog", "-c comes after the command: imseek search -c NAME …"),
        ("--collection=photos tag list", "--collection comes after the command: imseek tag --collection NAME …"),
        ("--collection photos undo", "--collection comes after the command: imseek undo --collection NAME …"),
        ("beach", "Did you mean 'search', 'watch'? (To search for it: imseek search …)"),
    ],
)
def test_a_wrong_word_is_answered_by_the_right_one(cli, home, line, message) -> None:
    outcome = cli(*line.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


FAMILIES = sorted(
    name
    for name in command().commands
    if isinstance(found := command().commands[name], CommandGroup) and found.default is None
)


@pytest.mark.parametrize(
    "words", [[], ["--"], *([name] for name in FAMILIES)], ids=lambda words: " ".join(words) or "none"
)
def test_a_family_alone_shows_its_help(cli, home, words) -> None:
    outcome = cli(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == cli(*(word for word in words if word != "--"), "--help").out
    assert not home.exists()


#: Commands on no collection of one's own choice: on two, on one that is new or gets a new name, or on none.
WITHOUT_COLLECTION = {
    "coverage", "backup verify", "backup restore", "collection list", "collection create", "collection rename",
    "config list", "config get", "config set", "config unset", "demo", "encode",
    "encoders list", "encoders get", "encoders check",
}  # fmt: skip


def test_every_command_on_a_collection_takes_it_by_the_same_option() -> None:
    without = set()
    for words in commands(command()):
        found: Any = command()
        for word in words:
            found = found.commands[word]
        if isinstance(found, TyperGroup):
            continue
        option = next((one for one in found.params if "--collection" in one.opts), None)
        if option is None:
            without.add(" ".join(words))
        else:
            assert (option.opts, option.hidden) == (["--collection", "-c"], False), words
            assert option.metavar == "NAME|PATH", words
    assert without == WITHOUT_COLLECTION


@pytest.mark.parametrize(
    ("typed", "offered", "withheld"),
    [
        ("imseek dup", {"duplicates"}, set()),
        ("imseek ap", set(), {"apply"}),
        ("imseek duplicates ", {"find", "judge", "apply", "undo"}, set()),
        ("imseek duplicates --ki", {"--kind"}, set()),
        ("imseek duplicates apply --y", {"--yes"}, set()),
        ("imseek apply --y", {"--yes"}, set()),
        ("imseek backup --no", {"--no-index"}, set()),
        ("imseek backup --ver", set(), {"--verify"}),
    ],
)
def test_the_shell_completes_families(home, capsys, monkeypatch, typed, offered, withheld) -> None:
    words = typed.split(" ")
    monkeypatch.setenv("_IMSEEK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    with pytest.raises(SystemExit):
        main([])
    found = set(capsys.readouterr().out.split())
    assert offered <= found
    assert not withheld & found


@pytest.mark.parametrize("words", list(commands(command())), ids=" ".join)
def test_help_ends_with_what_is_everywhere_and_then_what_is_rare(words, capsys) -> None:
    found: Any = command()
    for word in words:
        found = found.commands[word]
    if isinstance(found, TyperGroup):
        return
    assert main([*words, "--help"]) == 0
    ordinary, _, rare = capsys.readouterr().out.partition(f"\n{RARELY_USED}:\n")
    options = [line.split()[0:2] for line in ordinary.partition("\nOptions:\n")[2].splitlines() if line[2:3] == "-"]
    flags = [second if first.endswith(",") else first for first, second in options]
    shared = [flag for flag in ("--collection", "--json", "--help") if flag in flags]
    assert flags[-len(shared) :] == shared
    for flag in ("--device", "--precision", "--executor", "--seed", "--space", "--looks"):
        assert flag not in flags
        declared = {option for one in found.params for option in one.opts}
        assert (f"  {flag} " in rare) == (flag in declared)


@pytest.mark.parametrize(
    "line",
    [
        "index ~no-such-user/x", "watch ~no-such-user", "export ~no-such-user/x.csv",
        "backup create ~no-such-user/x.tar",
        "duplicates --protect ~no-such-user", "info -c ~no-such-user/x",
        "tag add x ~no-such-user/x.png", "label --classes ~no-such-user/x.txt", "source relocate 0 ~no-such-user",
        "dataset leakage --folders ~no-such-user,x",
    ],
)  # fmt: skip
def test_an_unknown_user_in_a_path_is_said(cli, indexed, line) -> None:
    outcome = cli(*line.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert "there is no user 'no-such-user'" in outcome.err


def test_a_picture_is_named_as_elsewhere(cli, indexed) -> None:
    for said in ("0", "id:0"):
        outcome = cli("extract", said, "-o", f"{said.replace(':', '')}.png")
        assert outcome.code == 0, outcome.err
    assert Path("0.png").read_bytes() == Path("id0.png").read_bytes()
    marked = [cli("search", "red", "--more", said, "--json").json("search")["hits"] for said in ("1", "id:1")]
    assert marked[0] == marked[1]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("--min-score nan", "--min-score must be a finite number"),
        ("--diversity nan", "--diversity is a number from 0 to 1"),
        ("--where ''", "--where must not be empty"),
        ("--page ' '", "--page must not be empty"),
        ("--more 1 --less 1", "image 1 is in --more and in --less"),
        ("--more x", "Invalid value for '--more': 'x' is not an id of an image"),
    ],
)
def test_messages_name_the_flag(cli, indexed, value, message) -> None:
    outcome = cli("search", "red", *shlex.split(value))
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
