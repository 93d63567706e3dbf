"""Which collection a command means, and the care for the library's folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from imseek import library
from imseek.data.catalog.sqlite.lock import WriterLock
from imseek.errors import (
    AmbiguousCollectionError,
    CollectionExistsError,
    CollectionNotFoundError,
    LockedError,
    UsageError,
)
from imseek.home import home


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"IMSEEK_HOME": str(tmp_path / "home")}


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures" / "2024" / "May"
    folder.mkdir(parents=True)
    return folder


def make(path: Path) -> Path:
    path.mkdir(parents=True)
    for name in ("collection.json", "current.json", "catalog.sqlite"):
        (path / name).write_text("{}")
    return path


def make_named(name: str, environ: dict[str, str]) -> Path:
    return make(library.path_for(name, environ))


class TestResolve:
    def test_none_exists(self, cwd: Path, environ: dict[str, str]) -> None:
        with pytest.raises(CollectionNotFoundError) as caught:
            library.resolve(None, cwd=cwd, environ=environ)
        assert "imseek index" in (caught.value.hint or "")

    def test_the_only_one_is_meant(self, cwd: Path, environ: dict[str, str]) -> None:
        path = make_named("scans", environ)
        found = library.resolve(None, cwd=cwd, environ=environ)
        assert (found.path, found.name, found.how) == (path, "scans", "the only one")

    def test_default_is_meant_among_several(self, cwd: Path, environ: dict[str, str]) -> None:
        make_named("scans", environ)
        path = make_named("default", environ)
        found = library.resolve(None, cwd=cwd, environ=environ)
        assert (found.path, found.how) == (path, "the default one")

    def test_several_without_default_are_listed(self, cwd: Path, environ: dict[str, str]) -> None:
        make_named("scans", environ)
        make_named("holidays", environ)
        with pytest.raises(AmbiguousCollectionError, match="holidays, scans"):
            library.resolve(None, cwd=cwd, environ=environ)

    def test_nearest_local_one_beats_the_library(self, cwd: Path, environ: dict[str, str]) -> None:
        make_named("default", environ)
        make(cwd.parents[1] / ".imseek")
        near = make(cwd.parent / ".imseek")
        found = library.resolve(None, cwd=cwd, environ=environ)
        assert (found.path, found.how) == (near, "nearest .imseek")

    def test_a_local_folder_without_marker_is_none(self, cwd: Path, environ: dict[str, str]) -> None:
        path = make_named("scans", environ)
        (cwd / ".imseek").mkdir()
        assert library.resolve(None, cwd=cwd, environ=environ).path == path

    def test_environment_beats_nearest(self, cwd: Path, environ: dict[str, str]) -> None:
        path = make_named("scans", environ)
        make(cwd / ".imseek")
        found = library.resolve(None, cwd=cwd, environ={**environ, "IMSEEK_COLLECTION": "scans"})
        assert (found.path, found.how) == (path, "IMSEEK_COLLECTION")

    def test_option_beats_environment(self, cwd: Path, environ: dict[str, str]) -> None:
        path = make_named("holidays", environ)
        make_named("scans", environ)
        found = library.resolve("holidays", cwd=cwd, environ={**environ, "IMSEEK_COLLECTION": "scans"})
        assert (found.path, found.how) == (path, "--collection")

    def test_a_path_relative_to_the_current_folder(self, cwd: Path, environ: dict[str, str]) -> None:
        path = make(cwd / "mine")
        assert library.resolve("./mine", cwd=cwd, environ=environ).path == path

    def test_a_folder_that_keeps_its_collection(self, cwd: Path, environ: dict[str, str]) -> None:
        path = make(cwd / ".imseek")
        found = library.resolve(".", cwd=cwd, environ=environ)
        assert (found.path, found.name) == (path, str(path))

    def test_unknown_name_lists_the_known(self, cwd: Path, environ: dict[str, str]) -> None:
        make_named("scans", environ)
        with pytest.raises(CollectionNotFoundError, match="'hols'") as caught:
            library.resolve("hols", cwd=cwd, environ=environ)
        assert caught.value.hint == "there are: scans"

    def test_unknown_name_in_the_environment_says_where_it_is_from(self, cwd: Path, environ: dict[str, str]) -> None:
        with pytest.raises(CollectionNotFoundError, match="IMSEEK_COLLECTION"):
            library.resolve(None, cwd=cwd, environ={**environ, "IMSEEK_COLLECTION": "gone"})


class TestResolveForIndex:
    def test_default_is_made_where_there_is_none(self, cwd: Path, environ: dict[str, str]) -> None:
        found = library.resolve_for_index(None, cwd=cwd, environ=environ)
        assert (found.path, found.exists) == (library.path_for("default", environ), False)

    def test_the_demo_is_never_chosen_by_itself(self, cwd: Path, environ: dict[str, str]) -> None:
        demo = make_named("demo", environ)
        assert library.resolve_for_index(None, cwd=cwd, environ=environ).name == "default"
        assert library.resolve_for_index("demo", cwd=cwd, environ=environ).path == demo
        assert library.resolve(None, cwd=cwd, environ=environ).path == demo

    def test_a_named_one_may_be_new(self, cwd: Path, environ: dict[str, str]) -> None:
        found = library.resolve_for_index("scans", cwd=cwd, environ=environ)
        assert (found.path, found.exists) == (library.path_for("scans", environ), False)


@pytest.mark.parametrize("name", ["", "-x", ".x", "..", "a/b", "a b", "a\n", "x" * 65, "a\0b", "\x1b[2J"])
def test_bad_names_are_refused(name: str, environ: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        library.path_for(name, environ)


@pytest.mark.parametrize("name", ["a", "default", "2024", "Schnappschüsse", "写真", "a.b-c_d", "x" * 64])
def test_good_names_lie_in_the_home(name: str, environ: dict[str, str]) -> None:
    assert library.path_for(name, environ) == Path(environ["IMSEEK_HOME"]) / "collections" / name


def test_home_is_the_platforms_folder_without_the_variable() -> None:
    assert home({}).name == "imseek"


class TestListing:
    def test_empty_library(self, environ: dict[str, str]) -> None:
        assert library.list_collections(environ) == ()

    def test_sorted_and_only_collections(self, environ: dict[str, str]) -> None:
        make_named("b", environ)
        make_named("a", environ)
        (library.path_for("not-one", environ)).mkdir()
        make(library.path_for("a", environ).with_name(".imseek-deleting-c-1"))
        assert [c.name for c in library.list_collections(environ)] == ["a", "b"]


class TestRename:
    def test_moves_the_folder(self, environ: dict[str, str]) -> None:
        make_named("old", environ)
        path = library.rename("old", "new", environ)
        assert library.is_collection(path)
        assert [c.name for c in library.list_collections(environ)] == ["new"]

    def test_unknown(self, environ: dict[str, str]) -> None:
        with pytest.raises(CollectionNotFoundError):
            library.rename("old", "new", environ)

    def test_taken(self, environ: dict[str, str]) -> None:
        make_named("old", environ)
        make_named("new", environ)
        with pytest.raises(CollectionExistsError):
            library.rename("old", "new", environ)
        assert [c.name for c in library.list_collections(environ)] == ["new", "old"]


class TestDelete:
    def test_removes_it_and_what_an_interrupted_deletion_left(self, environ: dict[str, str]) -> None:
        path = make_named("old", environ)
        leftover = make(path.with_name(".imseek-deleting-older-1"))
        library.delete(path, "old")
        assert not path.exists()
        assert not leftover.exists()

    def test_unknown(self, environ: dict[str, str]) -> None:
        with pytest.raises(CollectionNotFoundError):
            library.delete(library.path_for("old", environ), "old")

    def test_any_other_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "photo.jpg").write_bytes(b"x")
        with pytest.raises(CollectionNotFoundError):
            library.delete(tmp_path, str(tmp_path))
        assert (tmp_path / "photo.jpg").exists()

    def test_a_folder_with_somebody_elses_collection_json_is_no_collection(self, tmp_path: Path) -> None:
        (tmp_path / "collection.json").write_text('{"name": "holidays"}')
        (tmp_path / "photo.jpg").write_bytes(b"x")
        with pytest.raises(CollectionNotFoundError):
            library.delete(tmp_path, str(tmp_path))
        assert (tmp_path / "photo.jpg").exists()

    def test_pictures_put_into_a_collection_are_never_deleted(self, environ: dict[str, str]) -> None:
        path = make_named("old", environ)
        (path / "photo.jpg").write_bytes(b"x")
        with pytest.raises(UsageError, match=r"not imseek's: photo\.jpg"):
            library.delete(path, "old")
        assert (path / "photo.jpg").exists()
        assert library.is_collection(path)

    def test_a_link_goes_with_what_it_leads_to(self, environ: dict[str, str], tmp_path: Path) -> None:
        real = make(tmp_path / "elsewhere")
        link = library.path_for("linked", environ)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(real)
        library.delete(link, "linked")
        assert not link.is_symlink()
        assert not real.exists()

    def test_refused_while_a_writer_is_at_work(self, environ: dict[str, str]) -> None:
        path = make_named("busy", environ)
        lock = WriterLock(path)
        lock.acquire()
        try:
            with pytest.raises(LockedError):
                library.delete(path, "busy")
            with pytest.raises(LockedError):
                library.rename("busy", "idle", environ)
        finally:
            lock.release()
        assert library.is_collection(path)


def test_only_the_standard_library_at_import() -> None:
    code = (
        "import sys; before = set(sys.modules); import imseek.library;"
        "new = {m.partition('.')[0] for m in set(sys.modules) - before};"
        "print(sorted(new - set(sys.stdlib_module_names) - {'imseek'}))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
