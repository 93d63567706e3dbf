"""How many files and functions a query and an image pass through: docs/architecture.md describes both walks.

The bounds are a little above what was measured (docs/log.md). Where one is exceeded, the message names the whole walk:
see which step is new, and whether it must be a step of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from walks import record

import imseek
from imseek.indexer import encode_stage

#: Beneath these a commit begins, where an image has its vector.
COMMIT = ("commit", "merge_due")


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    import skimage

    with Image.open(Path(skimage.__file__).parent / "data" / "rocket.jpg") as opened:
        opened.load()
        return opened


def _add(photograph: Image.Image, folder: Path, numbers: range) -> None:
    """Save parts of a photograph as a camera would."""
    exif = photograph.getexif()
    exif.update({0x010E: "A rocket", 0x010F: "Canon", 0x0132: "2020:01:02 03:04:05"})
    for n in numbers:
        photograph.crop((n, n, 400 + n, 400 + n)).save(folder / f"{n}.jpg", exif=exif)


@contextmanager
def _album(photograph: Image.Image, root: Path) -> Iterator[tuple[imseek.Collection, Path]]:
    """Yield a collection of two pictures, and their folder."""
    folder = root / "album"
    folder.mkdir(parents=True)
    _add(photograph, folder, range(2))
    with imseek.create(root / "c", encoder="fake") as collection:
        collection.index([folder])
        yield collection, folder


def test_a_text_query(photograph: Image.Image, tmp_path: Path) -> None:
    with _album(photograph, tmp_path) as (collection, _):
        collection.search("a cat", by="image")  # loads the encoder, the vectors and the rows
        walk = record(lambda: collection.search("a dog", by="image"))
    assert len(walk.files) <= 26, str(walk)
    assert len(walk.named) <= 95, str(walk)


@pytest.mark.parametrize(
    ("beneath", "files", "functions"), [(COMMIT, 29, 105), ((), 33, 121)], ids=["to its vector", "to its rows"]
)
def test_an_image(
    photograph: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    beneath: tuple[str, ...],
    files: int,
    functions: int,
) -> None:
    """What is called four times more often for five new images than for one is what each of them passes."""
    monkeypatch.setattr(encode_stage, "ENCODE_BATCH", 1)
    walks = []
    for count in (1, 5):
        with _album(photograph, tmp_path / str(count)) as (collection, folder):
            _add(photograph, folder, range(2, 2 + count))
            walks.append(record(partial(collection.index, [folder]), beneath))
    walk = walks[1].beyond(walks[0], 4)
    assert len(walk.files) <= files, str(walk)
    assert len(walk.named) <= functions, str(walk)
    assert len(walk.values) <= 15, str(walk)
