"""Pictures that are dropped on the page: kept by content, bounded, checked before."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from imseek.errors import QueryError
from imseek.ui.web import uploads

pytestmark = pytest.mark.slow


def test_a_picture_comes_back_by_its_hash(tmp_path: Path, photo_files: list[Path]) -> None:
    data = photo_files[1].read_bytes()
    name = uploads.save_upload(tmp_path, data)
    assert name == sha256(data).hexdigest()
    assert uploads.save_upload(tmp_path, data) == name
    assert uploads.load_upload(tmp_path, name) == data
    assert (tmp_path / "uploads" / name).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [name]


@pytest.mark.parametrize("data", [b"", b"words", b"\x89PNG\r\n\x1a\nbroken", b"<svg"])
def test_what_is_no_picture_is_not_kept(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(QueryError, match=r"cannot search with notes\.txt") as refused:
        uploads.save_upload(tmp_path, data, "notes.txt")
    assert refused.value.hint
    assert not (tmp_path / "uploads").exists()


def test_a_picture_that_is_too_large_is_refused(
    tmp_path: Path, photo_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_LIMITS", uploads.Limits(max_bytes=1000))
    with pytest.raises(QueryError, match="more than the limit of 1,000"):
        uploads.save_upload(tmp_path, photo_files[0].read_bytes())


def test_those_asked_for_least_recently_go(
    tmp_path: Path, photo_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (path.read_bytes() for path in photo_files[1:4])
    monkeypatch.setattr(uploads, "MAX_TOTAL_BYTES", len(first) + len(second) + len(third) - 1)
    names = [uploads.save_upload(tmp_path, first), uploads.save_upload(tmp_path, second)]
    for n, name in enumerate(names):
        os.utime(tmp_path / "uploads" / name, (1000 + n, 1000 + n))
    assert uploads.load_upload(tmp_path, names[0]) == first  # and so it is no longer the oldest
    names.append(uploads.save_upload(tmp_path, third))
    assert uploads.load_upload(tmp_path, names[0]) == first
    assert uploads.load_upload(tmp_path, names[2]) == third
    with pytest.raises(QueryError, match="not on this machine any more") as refused:
        uploads.load_upload(tmp_path, names[1])
    assert refused.value.hint == "drop it on the page again, or remove it"


@pytest.mark.parametrize("name", ["../token", "0" * 64, "", "0a" * 32])
def test_only_what_was_kept_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "token").write_text("secret")
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / ("0a" * 32)).write_text("of another content")
    with pytest.raises(QueryError):
        uploads.load_upload(tmp_path, name)
