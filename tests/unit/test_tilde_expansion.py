"""Home folders in paths that a user writes: one's own, another's, nobody's."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

import imseek
from imseek.errors import QueryError, UsageError
from imseek.search.term_parser import parse_term
from imseek.tilde_expansion import expand_user

#: Those that let an unknown user be: lookups of places on record, files of which an OSError is told, lists of folders.
LENIENT = {"data/image_refs.py", "data/trust.py", "duplicates/actions/trash.py", "input_file.py", "tilde_expansion.py"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path


def test_a_home_folder_is_put_in(home: Path) -> None:
    root = Path(pwd.getpwuid(0).pw_dir)
    assert [expand_user(path) for path in ("~", "~/a b", b"~/\xff", Path("~/x"))] == [
        home, home / "a b", Path(os.fsdecode(os.fsencode(home) + b"/\xff")), home / "x"
    ]  # fmt: skip
    assert expand_user("~root/x") == root / "x"


def test_other_paths_stay() -> None:
    for path in ("", "a", "./~a", "a/~", "/~root", "a~"):
        assert expand_user(path) == Path(path)


def test_a_file_may_have_such_a_name() -> None:
    Path("~kept.jpg").touch()
    Path("~gone.jpg").symlink_to("nowhere")
    for name in ("~kept.jpg", "~gone.jpg"):
        assert expand_user(name) == Path(name)


@pytest.mark.parametrize("path", ["~no-such-user/x", "~no-such-user", b"~no-such-user/x", "~no-such-user\0"])
def test_an_unknown_user_is_said(path: str | bytes) -> None:
    with pytest.raises(UsageError, match="there is no user 'no-such-user") as caught:
        expand_user(path)
    assert "full path" in str(caught.value.hint)


def test_nobody_may_have_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    with pytest.raises(UsageError, match="your home folder is not known"):
        expand_user("~/x")
    with pytest.raises(QueryError, match="your home folder is not known"):
        parse_term("~/x.jpg")


def test_no_other_module_puts_home_folders_in() -> None:
    """`Path.expanduser` raises RuntimeError."""
    package = Path(imseek.__file__).parent
    others = {
        str(file.relative_to(package)) for file in package.rglob("*.py") if "expanduser" in file.read_text("utf-8")
    }
    assert others == LENIENT
