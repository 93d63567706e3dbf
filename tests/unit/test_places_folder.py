"""Which folder an image lies in, wherever it lies."""

from __future__ import annotations

import pytest

from imseek.data.catalog.place_paths import folder, member_path


@pytest.mark.parametrize(
    ("kind", "root", "path", "expected"),
    [
        ("folder", b"/photos", b"a/b.jpg", b"/photos/a"),
        ("folder", b"/photos", b"b.jpg", b"/photos"),
        ("folder", b"/photos", b"caf\xe9/b.jpg", b"/photos/caf\xe9"),
        ("folder", b"/photos/b.jpg", b"", b"/photos"),
        ("archive", b"/a/b.zip", member_path(b"", b"c/d/e.jpg"), b"/a/b.zip!/c/d"),
        ("archive", b"/a/b.zip", member_path(b"", b"e.jpg"), b"/a/b.zip"),
        ("archive", b"/shards", member_path(b"x/0.tar", b"0001.jpg"), b"/shards/x/0.tar"),
        ("table", b"/t.parquet", member_path(b"", b"7"), b"/t.parquet"),
        ("table", b"/data/t.csv", member_path(b"", b"7", b"pictures/a.jpg"), b"/data/pictures"),
        (
            "table",
            b"/data/t.csv",
            member_path(b"", b"7", b"https://example.org/x/y.jpg?s=3/4"),
            b"https://example.org/x",
        ),
        ("vectors", b"/v.npy", member_path(b"", b"7"), b"/v.npy"),
        ("list", b"/list", b"https://example.org/a/b/c.jpg#top", b"https://example.org/a/b"),
        ("list", b"/list", b"https://example.org/c.jpg", b"https://example.org"),
        ("list", b"/list", b"https://example.org", b"https://example.org"),
        ("list", b"/list", b"/elsewhere/c.jpg", b"/elsewhere"),
    ],
)
def test_folder(kind: str, root: bytes, path: bytes, expected: bytes) -> None:
    assert folder(kind, root, path) == expected
