"""What every export format promises: a class to derive the tests of a format from."""

from __future__ import annotations

import io
import threading
from functools import cache
from pathlib import Path

import pytest

from imseek import export
from imseek.collection import create
from imseek.errors import UsageError
from imseek.exports.formats import format_of

#: Photographs that ship inside scikit-image.
PHOTOS = ("astronaut.png", "coffee.png", "rocket.jpg")


@cache
def _make_collection(base: Path) -> Path:
    """Make a collection of three photographs, once in a session."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    root = base / "imseek-exported"
    with create(root, encoder="fake") as collection:
        collection.index(names=[folder / name for name in PHOTOS])
    return root


class ExportContract:
    """Tests that an export format keeps its promises: derive a class ``Test…`` from it, and set ``format``."""

    format: str

    @pytest.fixture
    def exported_collection(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return _make_collection(tmp_path_factory.getbasetemp())

    @pytest.fixture
    def target(self, tmp_path: Path) -> Path:
        """A file or a folder that does not exist."""
        return tmp_path / f"out{next(iter(format_of(self.format, None).endings), '')}"

    def test_the_format_states_its_facts(self) -> None:
        format_ = format_of(self.format, None)
        assert format_.name == self.format
        assert format_.shape in ("file", "folder")
        assert format_.summary
        assert all(ending.startswith(".") and ending == ending.lower() for ending in format_.endings)
        assert format_.shape == "file" or not format_.streams

    def test_all_images_are_exported(self, exported_collection: Path, target: Path) -> None:
        report = export.write(exported_collection, target, format=self.format)
        assert (report.format, report.images, report.skipped) == (self.format, len(PHOTOS), ())
        assert target.is_dir() == (format_of(self.format, None).shape == "folder")
        assert report.files >= 1
        assert report.bytes > 0

    def test_a_selection_is_exported(self, exported_collection: Path, target: Path) -> None:
        assert export.write(exported_collection, target, format=self.format, ids=[2, 0]).images == 2

    def test_hits_are_exported(self, exported_collection: Path, target: Path) -> None:
        assert export.write(exported_collection, target, format=self.format, query="red", limit=1).images == 1

    def test_no_images_are_an_export_too(self, exported_collection: Path, target: Path) -> None:
        report = export.write(exported_collection, target, format=self.format, where="width < 1")
        assert report.images == 0
        assert target.exists()

    def test_what_exists_is_not_written_over(self, exported_collection: Path, target: Path) -> None:
        export.write(exported_collection, target, format=self.format, ids=[0])
        before = _contents(target)
        with pytest.raises(UsageError):
            export.write(exported_collection, target, format=self.format)
        assert _contents(target) == before

    def test_an_export_that_is_stopped_leaves_nothing(self, exported_collection: Path, target: Path) -> None:
        stop = threading.Event()
        stop.set()
        with pytest.raises(InterruptedError):
            export.write(exported_collection, target, format=self.format, stop=stop)
        assert list(target.parent.iterdir()) == []

    def test_a_stream_gets_what_a_file_gets(self, exported_collection: Path, target: Path) -> None:
        out = io.BytesIO()
        if not format_of(self.format, None).streams:
            with pytest.raises(UsageError):
                export.write(exported_collection, out, format=self.format)
            return
        export.write(exported_collection, out, format=self.format)
        export.write(exported_collection, target, format=self.format)
        assert out.getvalue() == target.read_bytes()


def _contents(target: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (target, *target.rglob("*")) if path.is_file()}
