"""Fixtures for all tests: real photographs (those inside scikit-image and scikit-learn) and collections."""

from __future__ import annotations

import os

# For libraries in C, before any is loaded: two processes of tests have a core each. Threads of one that wait for each
# other, while the other one wants the core too, take up to three times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import databases
import object_store
import pytest
from PIL import Image
from session_seed import generator, session_seed
from templates import Templates

import imseek
from imseek import errors

# While tests are collected nearly all that is made stays: looking through it for garbage takes a third of that time.
gc.disable()

#: ``pytester`` is for the tests of the others.
pytest_plugins = ("pytester", "skip_policy", "samples", "hypothesis_profiles")

#: Photographs of different things, in different formats and modes.
NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "motorcycle_left.png")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Modules that are slow as a whole are not even imported by `make check`: torch alone takes seconds."""
    if config.option.markexpr == "not slow" and collection_path.suffix == ".py":
        return "\npytestmark = pytest.mark.slow\n" in collection_path.read_text() or None
    return None


def pytest_report_header() -> str:
    return f"samples: IMSEEK_SEED={session_seed()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Once more where it is needed: beside the failures."""
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"The same samples again: IMSEEK_SEED={session_seed()}")


def pytest_collection_finish() -> None:
    """Garbage is looked for seldom: millions of objects of libraries would be looked through each time."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Collections of the user are out of reach; the encoder cache may be shared (it is keyed by content)."""
    home = tmp_path_factory.mktemp("home")
    names = ("IMSEEK_HOME", "IMSEEK_COLLECTION", "IMSEEK_TRUSTED_FOLDERS", "HF_HUB_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    os.environ["IMSEEK_HOME"] = str(home)
    # Collections that a test copies are trusted; tests of trust take this away.
    os.environ["IMSEEK_TRUSTED_FOLDERS"] = "/"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.pop("IMSEEK_COLLECTION", None)
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session", autouse=True)
def _errors_say_something() -> Iterator[None]:
    """Each error that a test meets says what is wrong, and one of these kinds also what can be done."""
    kinds = (
        errors.CollectionNotFoundError,
        errors.FormatVersionError,
        errors.LockedError,
        errors.ReadOnlyError,
        errors.StaleGenerationError,
        errors.UntrustedCollectionError,
        errors.UntrustedJournalError,
        errors.UntrustedServerError,
    )
    real = errors.ImseekError.__init__

    def begin(self: errors.ImseekError, message: str, *, hint: str | None = None) -> None:
        assert isinstance(message, str), f"{type(self).__name__} says {message!r}"
        assert message.strip(), f"{type(self).__name__} says nothing"
        assert hint is None or hint.strip(), f"an empty hint: {message}"
        assert hint is not None or not isinstance(self, kinds), f"no hint: {message}"
        real(self, message, hint=hint)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(errors.ImseekError, "__init__", begin)
        yield


@pytest.fixture(scope="session", autouse=True)
def _hear_interrupts() -> None:
    """A shell's background job ignores SIGINT, and so would every process that a test starts and interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def seed() -> str:
    """Where chance begins in tests that draw a sample: by the commit, unless ``IMSEEK_SEED`` says another."""
    return session_seed()


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers for one test, others in each commit."""
    return generator(request.node.nodeid)


@pytest.fixture(scope="session")
def photo_files() -> list[Path]:
    """Real photographs, where scikit-image and scikit-learn keep them. Never to be changed."""
    import skimage
    import sklearn

    skimage_data = Path(skimage.__file__).parent / "data"
    sklearn_images = Path(sklearn.__file__).parent / "datasets" / "images"
    found = [skimage_data / name for name in NAMES] + [
        sklearn_images / "china.jpg",
        sklearn_images / "flower.jpg",
    ]
    assert all(path.exists() for path in found)
    return found


@pytest.fixture(scope="session")
def small_photo_files(photo_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same photographs at 160 pixels, for tests that do not look at pixels: decoding is most of their time."""
    folder = tmp_path_factory.mktemp("small")
    for path in photo_files:
        with Image.open(path) as image:
            image.thumbnail((160, 160))
            image.save(folder / path.name)
    return [folder / path.name for path in photo_files]


@pytest.fixture
def photos(
    request: pytest.FixtureRequest, tmp_path: Path, photo_files: list[Path], small_photo_files: list[Path]
) -> Path:
    """A folder with eight real photographs, two of them in a folder below.

    They have 160 pixels, and their own size in modules with ``pytestmark = pytest.mark.full_size``.
    """
    is_full_size = request.node.get_closest_marker("full_size") is not None
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for n, path in enumerate(photo_files if is_full_size else small_photo_files):
        shutil.copyfile(path, (folder / "below" if n > 5 else folder) / path.name)
    return folder


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the scan's clock go ahead, so that files written a moment ago are no longer too young to trust."""
    ahead = 0.0

    def move(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    real = time.time_ns
    monkeypatch.setattr("imseek.indexer.sources.local_files.time.time_ns", lambda: real() + int(ahead * 1e9))
    return move


@pytest.fixture(scope="session")
def postgres() -> Iterator[databases.Server]:
    """A PostgreSQL server of this process of tests. Without PostgreSQL these tests skip."""
    databases.require()
    with databases.started() as server:
        yield server


@pytest.fixture
def catalog(request: pytest.FixtureRequest) -> str | None:
    """Where collections of a test have their catalog: None in a file, else the URL of a database.

    ``pytestmark = BOTH_CATALOGS`` runs the tests of a module on both.
    """
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    server: databases.Server = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[object_store.Server]:
    """An S3 server of this process of tests. Without its program, or without s3fs, these tests skip."""
    object_store.require()
    with object_store.started() as server:
        yield server


@pytest.fixture
def bucket(s3_server: object_store.Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[object_store.Folder]:
    """An empty folder in a bucket, and in the environment what its user sets to reach it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    object_store.forget()
    yield s3_server.folder()
    object_store.forget()


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture
def collection(tmp_path: Path, catalog: str | None, templates: Templates) -> Iterator[imseek.Collection]:
    """An empty collection with the fake encoder."""
    if catalog is None:
        templates.empty(tmp_path / "collection")
    else:
        imseek.create(tmp_path / "collection", encoder="fake", catalog=catalog).close()
    with imseek.open(tmp_path / "collection") as opened:
        yield opened
