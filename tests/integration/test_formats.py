"""Every format that is read goes all the way: from a file in a folder to an answer with its facts."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutations import seeds

import imseek

SUFFIXES = {
    "JPEG": (".jpg",),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "TIFF": (".tif",),
    "BMP": (".bmp",),
    "AVIF": (".avif",),
    "HEIC": (".heic", ".HIF"),
    "JPEG XL": (".jxl",),
    "camera raw": (".nef", ".cr3", ".raf"),
    "SVG": (".svg",),
}


def test_a_folder_with_a_file_of_every_format_is_indexed(collection: imseek.Collection, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    formats = {}
    for name, files in seeds().items():
        for number, (suffix, data) in enumerate(zip(SUFFIXES[name], files, strict=False)):
            path = pictures / f"{name} {number}{suffix}"
            path.write_bytes(data)
            formats[str(path)] = name
    report = collection.index([pictures])
    assert (report.seen, report.added, report.skipped) == (len(formats), len(formats), 0)
    for path, name in formats.items():
        best = collection.search(Path(path), limit=len(formats))
        assert best[0].score == pytest.approx(1, abs=1e-3)
        (own,) = [hit for hit in best if hit.path == path]
        metadata = collection.get(own.image_id).metadata
        assert metadata["format"] == name
        if name in ("JPEG", "WEBP", "AVIF", "camera raw") or path.endswith("HEIC 0.heic"):
            assert (metadata["caption"], metadata["orientation"]) in (("A heron", 6), ("A heron", 8))
