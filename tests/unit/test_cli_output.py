"""What the command line prints: escaped, aligned, counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imseek.types.indexing_runs import Failure, IndexReport
from imseek.ui.cli.app import main
from imseek.ui.cli.optional_values import insert_values
from imseek.ui.render import words
from imseek.ui.render.indexing_text import summary
from imseek.ui.render.text import table


def report(**changes: object) -> IndexReport:
    counts = dict.fromkeys(
        ("seen", "unchanged", "added", "changed", "moved", "copied", "removed", "skipped", "live"), 0
    )
    values = {**counts, "bytes_read": 0, "files_opened": 0, "seconds": 1.25, "generation": 1, **changes}
    return IndexReport(encoder="fake", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 写", "plain é 写"),
        ("two\nlines", r"two\nlines"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("\udcff", r"\xff"),
        ("half \ud83d of\na smile", r"half \ud83d of\na smile"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
    ],
)
def test_nothing_that_a_terminal_would_obey_is_printed(text: str, shown: str) -> None:
    assert words.printable(text) == shown


def test_table_aligns_all_but_the_last_column() -> None:
    text = table(("#", "score", "image"), [("1", "0.5", "a b"), ("10", "0.25", "")], right=(0, 1))
    assert text.splitlines() == [" #  score  image", " 1    0.5  a b", "10   0.25"]


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (2 * 10**15, "2000.0 TB")],
)
def test_sizes(n: int, text: str) -> None:
    assert words.format_size(n) == text


def test_counts() -> None:
    assert [words.format_count(n, "image") for n in (0, 1, 1234)] == ["0 images", "1 image", "1,234 images"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (5400, "1 h 30 min"), (-3, "0 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert words.format_duration(seconds) == text


@pytest.mark.parametrize(("text", "shown"), [("abc", "abc"), ("abcd", "ab…"), ("\n" * 9, r"\n…")])
def test_what_is_too_long_ends_with_dots(text: str, shown: str) -> None:
    assert words.shorten(text, 3) == shown


class TestSummary:
    def test_names_only_what_happened(self) -> None:
        lines = summary(report(added=3, unchanged=1200, live=1203))
        assert lines == ["3 added, 1,200 unchanged; 1,203 images in the collection (1.2 s)"]

    def test_nothing_found(self) -> None:
        assert summary(report())[0].startswith("no picture found; 0 images")

    def test_every_failure_has_its_reason(self) -> None:
        failure = Failure(1, b"/p/a\nb.jpg", "truncated", "it ends early")
        lines = summary(report(skipped=1, failures=(failure,)))
        assert lines[1] == "1 file skipped:"
        assert lines[2].splitlines()[1] == r"truncated  /p/a\nb.jpg: it ends early"

    def test_a_long_list_of_failures_says_where_the_rest_is(self) -> None:
        failures = tuple(Failure(1, b"/p/%d" % i, "corrupt", "x") for i in range(23))
        lines = summary(report(skipped=23, failures=failures))
        assert lines[2].count("corrupt") == 20
        assert lines[3] == "and 3 more: `imseek info --failures`"

    def test_an_interrupted_run_says_what_is_kept(self) -> None:
        assert "interrupted" in summary(report(added=1, interrupted=True))[-1]


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        (["search", "cat"], ["search", "cat"]),
        (["search", "cat", "--open"], ["search", "cat", "--open", "1"]),
        (["search", "--open", "cat"], ["search", "--open", "1", "cat"]),
        (["search", "--open", "3", "cat"], ["search", "--open", "3", "cat"]),
        (["search", "--open", "--json", "cat"], ["search", "--open", "1", "--json", "cat"]),
        (["search", "--", "--open"], ["search", "--", "--open"]),
    ],
)
def test_open_without_a_number_is_the_first_hit(given: list[str], parsed: list[str]) -> None:
    assert insert_values(given) == parsed


class TestUsageErrors:
    def test_one_line_and_a_hint(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["search"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        message, hint = err.splitlines()
        assert message.startswith("imseek: ")
        assert hint == "hint: imseek search --help"

    def test_one_object_with_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["search", "--json", "--bogus"]) == 2
        error = json.loads(capsys.readouterr().err)["error"]
        assert error["type"] == "UsageError"
        assert "--bogus" in error["message"]

    def test_json_after_dashes_is_no_option(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["similar", "--", "--json"]) == 2
        assert capsys.readouterr().err.startswith("imseek: no such file: --json\n")

    def test_no_command_shows_the_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([]) == 2
        assert "Usage: imseek" in capsys.readouterr().err


def test_a_current_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    assert main(["search", "a cat"]) == 2
    assert capsys.readouterr().err == "imseek: the current folder no longer exists\nhint: change to another folder\n"
    tmp_path.mkdir()
