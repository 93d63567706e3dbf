"""What is typed in the box of searches: words, or the picture that a path leads to."""

from __future__ import annotations

import errno
from hashlib import sha256
from pathlib import Path

import pytest

from imseek.errors import QueryError
from imseek.ui.web.search_state import QueryPart

pytest.importorskip("streamlit", reason="the extra ui is not installed")
from imseek.ui.web.pages.search.search_box import load_typed_picture

pytestmark = pytest.mark.slow


def test_a_path_is_the_picture_that_lies_there(tmp_path: Path, photo_files: list[Path]) -> None:
    file = photo_files[0]
    name = sha256(file.read_bytes()).hexdigest()
    for typed in (str(file), file.as_uri()):
        assert load_typed_picture(typed, tmp_path) == QueryPart("upload", name)
    assert (tmp_path / "uploads" / name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("text", ["a dog", "/ or \\", "/no/such/file", "/", "/tmp", "/\0", "/" + "word " * 200])
def test_anything_else_is_words(tmp_path: Path, text: str) -> None:
    assert load_typed_picture(text, tmp_path) is None


def test_what_cannot_be_read_is_told(tmp_path: Path, photo_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    # The file, and the folder that it lies in.
    for owner, function in (("imseek.input_file.os", "open"), ("pathlib.Path", "stat")):
        with monkeypatch.context() as unreadable:
            unreadable.setattr(f"{owner}.{function}", refused)
            with pytest.raises(QueryError, match="cannot read the picture"):
                load_typed_picture(str(photo_files[0]), tmp_path)
