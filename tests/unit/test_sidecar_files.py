"""Which files lie beside a picture, by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from imseek.indexer.sources.sidecar_files import SidecarNames, find_sidecars, pictures_beside, sidecars_of


@pytest.mark.parametrize(
    ("picture", "name"),
    [
        ("a.jpg", "a.json"),
        ("a.jpg", "a.jpg.json"),
        ("a.jpg", "a.jpg.supplemental-metadata.json"),
        ("a.jpg", "a.jpg.suppl.json"),
        ("a.jpg", "a.jpg..json"),
        ("a(1).jpg", "a.jpg(1).json"),
        ("a(1).jpg", "a.jpg.supplemental-metadata(1).json"),
        ("x" * 46 + "yz.jpg", "x" * 46 + ".json"),
        ("x" * 38 + ".jpg", "x" * 38 + ".jpg.sup.json"),
        ("d/a.jpg", "d/a.jpg.s.json"),
    ],
)
def test_names_of_json_beside_a_picture(picture: str, name: str) -> None:
    assert find_sidecars(picture.encode(), {name.encode()}) == {b".json": name.encode()}


@pytest.mark.parametrize(
    ("picture", "name"),
    [
        ("a.jpg", "ab.json"),
        ("a.jpg", "a.jp.json"),
        ("a.jpg", "a.jpg.other.json"),
        ("a(1).jpg", "a.jpg.json"),
        ("a.jpg", "a.jpg(1).json"),
        ("x" * 50 + ".jpg", "x" * 47 + ".json"),
    ],
)
def test_names_of_json_beside_other_pictures(picture: str, name: str) -> None:
    assert find_sidecars(picture.encode(), {name.encode()}) == {}


def test_the_more_specific_xmp_counts() -> None:
    assert find_sidecars(b"a.jpg", {b"a.xmp", b"a.jpg.xmp"}) == {b".xmp": b"a.jpg.xmp"}


@pytest.mark.parametrize(
    ("sidecar", "pictures"),
    [
        ("a.xmp", ["a.JPG", "a.png"]),
        ("a.JPG.xmp", ["a.JPG"]),
        ("a.png.supplemental-meta.json", ["a.png"]),
        ("b.xmp", []),
        ("a.png.other.json", []),
    ],
)
def test_the_pictures_that_a_file_lies_beside(tmp_path: Path, sidecar: str, pictures: list[str]) -> None:
    for name in ("a.JPG", "a.png", "a.txt", "ab.png"):
        (tmp_path / name).touch()
    found = pictures_beside(bytes(tmp_path / sidecar))
    assert sorted(found) == [bytes(tmp_path / name) for name in pictures]


def test_a_folder_offers_the_kinds_of_files_that_it_has() -> None:
    names = SidecarNames([b"a.jpg", b"a.txt", b"b.xmp", b"c.png"])
    assert (names, names.endings) == ({b"a.txt", b"b.xmp"}, [b".txt", b".xmp"])
    assert sidecars_of(b"/d/a.jpg", names) == (b"/d/a.txt",)
    assert sidecars_of(b"/d/b.jpg", names) == (b"/d/b.xmp",)
    assert sidecars_of(b"/d/c.png", names) == ()
    assert SidecarNames([b"a.jpg"]).endings == []
