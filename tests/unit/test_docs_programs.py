"""Python in the documentation runs. The blocks of a page are one session, in a folder with what they name.

Whether names in them exist, in those that are not run too, is in test_docs.py.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import documentation
import pytest
from documentation import CURRENT, ROOT, Piece
from labelling import COLOURS, paint
from retriever_stand_ins import missing_modules
from serving import served

import imseek
from imseek.encoders.cache import cache_dir
from imseek.media import http_fetcher
from imseek.media.fetcher import FetchResult

pytestmark = pytest.mark.slow

#: Pictures of each of three colours.
EACH = 12
#: Blocks that are not run, by a part of them, with the reason.
NOT_RUN = {
    "fo.Dataset.from_dir(": "FiftyOne has an environment of its own",
    "fob.compute_similarity(": "FiftyOne has an environment of its own",
    "webdataset.WebDataset(": "webdataset is not installed for tests",
    "imseek.Ray(": "needs a Ray cluster of several machines",
}
PAGES = [page for page in CURRENT if any(block.language == "python" for block in documentation.blocks(page))]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home: pictures with captions, and a collection of them."""
    home = tmp_path_factory.mktemp("prepared")
    for colour in COLOURS:
        for n in range(EACH):
            paint(home / "Pictures", colour, n)
            (home / "Pictures" / colour / f"{colour}{n}.txt").write_text(f"a {colour} picture, number {n}")
    with imseek.create(home / "photos.imseek", encoder="fake") as made:
        made.index([home / "Pictures"])
    return home


@dataclass
class Session:
    """What the blocks of a page run with: ``names`` that they use, and what stands for what is elsewhere."""

    stack: ExitStack
    names: dict[str, Any] = field(default_factory=lambda: {"imseek": imseek})
    stand_ins: dict[str, str] = field(default_factory=dict)


def no_collection(_: Session) -> None:
    shutil.rmtree("photos.imseek")


def a_folder_called_photos(_: Session) -> None:
    Path("photos.imseek").rename("photos")
    shutil.copy("Pictures/red/red3.png", "night.jpg")


def a_pool(session: Session) -> None:
    """And encoders that are here, and a filter that leaves enough of the few pictures."""
    shutil.copytree("photos.imseek", "pool.imseek")
    session.stand_ins |= {'("builtin", "default")': '("fake", "fake:32")', "filtered=0.05": "filtered=0.5"}


def an_open_collection(session: Session) -> None:
    collection = session.stack.enter_context(imseek.open("photos.imseek"))
    session.names |= {"collection": collection, "photos": collection}


def a_file_of_milvus(session: Session) -> None:
    an_open_collection(session)
    session.stand_ins["milvus:///srv"] = f"milvus://{Path.cwd()}"


def a_server(session: Session) -> None:
    Path("photos.imseek").rename("photos")
    session.stand_ins["http://127.0.0.1:1234"] = session.stack.enter_context(served(Path.cwd() / "photos")).url


def an_export_for_faiss(session: Session) -> None:
    import faiss
    import numpy

    with imseek.open("photos.imseek") as collection:
        imseek.export.write(collection, "out", format="faiss")
        vectors = numpy.stack([hit.vector for hit in collection.search("red", vectors=True)])
    session.names |= {"faiss": faiss, "numpy": numpy, "unit_queries": vectors.astype("float32")}


def an_export_for_datasets(session: Session) -> None:
    import datasets  # type: ignore[import-untyped] # it ships no types

    imseek.export.write("photos.imseek", "cats", format="imagefolder")
    session.names["datasets"] = datasets


def nothing_but_pictures(session: Session) -> None:
    """And the fake encoder in place of others; retrievers of libraries that may not be here."""
    shutil.rmtree("photos.imseek")
    shutil.copy("Pictures/red/red3.png", "night.jpg")
    Path("notes.txt").write_text("no picture")
    session.stand_ins |= {
        f'create("{name}.imseek")': f'create("{name}.imseek", encoder="fake")' for name in ("photos", "study")
    }
    session.stand_ins["width > 1000"] = "width > 10"
    session.stand_ins['load_encoder("default")'] = 'load_encoder("fake")'
    # patch.dict would also forget modules that the page imports, and polars cannot be imported twice.
    patches = session.stack.enter_context(pytest.MonkeyPatch.context())
    for name, module in missing_modules().items():
        patches.setitem(sys.modules, name, module)


def python_page_finds_pictures(session: Session) -> None:
    with imseek.open("photos.imseek") as photos:
        expected = [hit.image_id for hit in photos.search("a red picture", limit=3, cutoff="auto")]
    assert len(expected) > 0
    documents, nodes = session.names["documents"], session.names["nodes"]
    assert [one.metadata["image_id"] for one in documents] == expected
    assert [one.node.metadata["image_id"] for one in nodes] == expected
    assert all("picture, number" in one.page_content for one in documents)
    assert len(session.names["answers"]) == 3
    assert Path("suspects.csv").read_text().count("\n") == 11
    assert session.names["pictures"].shape == (3, 64)


#: What a page needs beside the prepared home; made in the current folder, which is a copy of that.
PREPARATIONS: dict[str, Callable[[Session], None]] = {
    "README.md": no_collection,
    "docs/backup.md": a_folder_called_photos,
    "docs/evaluate.md": a_pool,
    "docs/exports.md": an_export_for_faiss,
    "docs/exports-datasets.md": an_export_for_datasets,
    "docs/http.md": a_server,
    "docs/maps.md": an_open_collection,
    "docs/milvus.md": a_file_of_milvus,
    "docs/python.md": nothing_but_pictures,
    "docs/queries.md": a_folder_called_photos,
}
#: What is looked at when the blocks of a page have run.
CHECKS: dict[str, Callable[[Session], None]] = {"docs/python.md": python_page_finds_pictures}


def runs(block: Piece) -> bool:
    return block.language == "python" and not any(part in block.text for part in NOT_RUN)


def test_what_is_not_run_is_still_there() -> None:
    text = "".join(block.text for page in PAGES for block in documentation.blocks(page))
    assert [part for part in NOT_RUN if part not in text] == []
    assert PREPARATIONS.keys() <= {str(page.relative_to(ROOT)) for page in PAGES}


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(map(runs, documentation.blocks(page)))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_programs_run(page: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    shutil.copytree(prepared, home)
    # What the README's encoder needs is made once for all tests; the fake one leaves nothing behind.
    monkeypatch.setenv("IMSEEK_CACHE", str(cache_dir() if page.name == "README.md" else tmp_path / "cache"))
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    picture = (home / "Pictures" / "green" / "green1.png").read_bytes()
    monkeypatch.setattr(http_fetcher.HttpFetcher, "fetch", lambda _, url: FetchResult(picture, url))
    with ExitStack() as stack:
        session = Session(stack)
        if prepare := PREPARATIONS.get(str(page.relative_to(ROOT))):
            prepare(session)
        for block in filter(runs, documentation.blocks(page)):
            code = block.text
            for name, stand_in in session.stand_ins.items():
                code = code.replace(name, stand_in)
            # Empty lines before it: a traceback names the line of the page.
            exec(compile("\n" * (block.line - 1) + code, str(page), "exec", dont_inherit=True), session.names)
        if check := CHECKS.get(str(page.relative_to(ROOT))):
            check(session)
