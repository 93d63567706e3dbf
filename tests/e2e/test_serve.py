"""``imseek serve`` as a process, and what talks to it: the command line, the library, clip-retrieval's own client."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from serving import TOKEN, Server, served

import imseek
from imseek import Query, Searchable, Term, overview
from imseek.errors import (
    CollectionNotFoundError,
    ImageNotFoundError,
    QueryError,
    ServerError,
    UsageError,
)
from imseek.media import decode
from imseek.types.word_completions import Suggestion

CLIENT = Path(sys.prefix) / "clip-client" / "clip_retrieval" / "clip_client.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    made = tmp_path_factory.mktemp("served") / "photos"
    with imseek.create(made, encoder="fake", captions=True) as collection:
        collection.index(names=photo_files)
    return made


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    with served(root, options=["--rate", "0"]) as running:
        yield running


@pytest.fixture(scope="module")
def published(root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    made = f"milvus://{tmp_path_factory.mktemp('milvus')}/photos.db"
    imseek.publish.to_milvus(root, made)
    return made


@pytest.fixture(params=["folder", "server", "milvus"])
def searchable(request: pytest.FixtureRequest, root: Path, server: Server, published: str) -> Iterator[Searchable]:
    """One suite over all: what is true of a folder is true of a server, and of what was published to Milvus."""
    opened = imseek.open({"folder": root, "server": server.url, "milvus": published}[request.param])
    yield opened
    opened.close()


def test_all_are_searchable(searchable: Searchable) -> None:
    assert isinstance(searchable, Searchable)
    assert searchable.info().uuid == searchable.uuid
    assert searchable.info().images == 8


def test_words_go_on_as_the_collection_of_the_server_knows_them(server: Server, root: Path) -> None:
    with imseek.connect(server.url) as remote:
        for text in ("roc", "a red roc", "ZÜ", "nothing like it", ""):
            assert overview.suggest(remote, text) == overview.suggest(root, text)
        assert overview.suggest(remote, "roc") == (Suggestion("rocket", "name"),)
        assert overview.suggest(remote, "roc", kinds=["word", "tag"]) == remote.suggest("roc", kinds=[]) == ()
        assert len(overview.suggest(remote, "c", limit=1)) == 1
        with pytest.raises(UsageError, match="no kind"):
            overview.suggest(remote, "roc", kinds=["colour"])  # type: ignore[list-item] # it is refused
        for refused in (lambda: remote.suggest("a" * 201), lambda: remote.suggest("a", limit=51)):
            with pytest.raises(UsageError):
                refused()


def test_a_published_collection_has_no_words_to_suggest(published: str) -> None:
    opened = imseek.open(published)
    with pytest.raises(UsageError, match="no words to suggest"):
        overview.suggest(opened, "roc")
    opened.close()


QUESTIONS: list[Callable[[list[Path]], Any]] = [
    lambda _: "red",
    lambda files: files[1],
    lambda files: files[3].read_bytes(),
    lambda _: 2,
    lambda _: np.eye(64, dtype=np.float32)[5],
    lambda files: Query((Term(text="red"), Term(picture=files[0], weight=-0.25)), 4, where="width > 300"),
    lambda files: Image.open(files[1]),
    lambda files: decode(files[2].read_bytes()).pixels,
    lambda _: [1.0, *[0] * 63],
    lambda _: Query("red"),
    lambda _: Query((Term(text="blue"),), 3, group_by="folder", per_group=2),
    lambda _: Query((Term(text="blue"),), 3, diversity=0.5, more=(1,), less=(2,)),
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_all_answer_as_the_folder_does(
    root: Path, searchable: Searchable, photo_files: list[Path], question: Callable[[list[Path]], Any]
) -> None:
    asked = question(photo_files)
    found = searchable.search(asked, vectors=True)
    with imseek.open(root) as collection:
        expected = collection.search(asked, vectors=True)
    assert [hit.image_id for hit in found] == [hit.image_id for hit in expected]
    assert np.allclose([hit.score for hit in found], [hit.score for hit in expected], atol=1e-6)
    assert [hit.place for hit in found] == [hit.place for hit in expected]
    assert [(g.name, g.size, len(g.hits)) for g in found.groups] == [
        (g.name, g.size, len(g.hits)) for g in expected.groups
    ]
    assert found[0].vector is not None
    assert expected[0].vector is not None
    assert np.allclose(found[0].vector, expected[0].vector, atol=1e-7)
    assert (found.searched, found.generation, found.encoder) == (
        expected.searched,
        expected.generation,
        expected.encoder,
    )


def test_options_are_keywords_for_all(root: Path, searchable: Searchable) -> None:
    found = searchable.search("red", by="image", where="width > 400", limit=3, diversity=0.2)
    with imseek.open(root) as collection:
        expected = collection.search("red", by="image", where="width > 400", limit=3, diversity=0.2)
    assert [hit.image_id for hit in found] == [hit.image_id for hit in expected]
    assert len(found) == 3
    (again,) = searchable.search_many([Query("red", 5, by="image", where="width > 400")], limit=2, diversity=0.2)
    assert again.hits == found.hits[:2]
    assert searchable.search("red", by="image", limit=2, page=searchable.search("red", by="image", limit=2).next_page)
    with pytest.raises(TypeError, match="a query has no option 'limits'"):
        searchable.search("red", limits=3)  # type: ignore[call-arg]
    assert repr(searchable).startswith(f"<imseek.{type(searchable).__name__} '")


def test_many_queries_images_and_pages(root: Path, searchable: Searchable, photo_files: list[Path]) -> None:
    many = searchable.search_many(["red", "blue"], limit=2)
    assert [one.hits for one in many] == [searchable.search(word, limit=2).hits for word in ("red", "blue")]
    first = searchable.search(Query((Term(text="red"),), 3))
    rest = searchable.search(Query((Term(text="red"),), 5, page=first.next_page))
    assert len({hit.image_id for hit in (*first, *rest)}) == 8
    with imseek.open(root) as collection:
        assert searchable.get(3) == collection.get(3)
    path = searchable.get(3).place
    assert path is not None
    assert searchable.read(3) == Path(os.fsdecode(path.path)).read_bytes()


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda c: c.get(999), ImageNotFoundError),
        (lambda c: c.read(999), ImageNotFoundError),
        (lambda c: c.search(999), ImageNotFoundError),
        (lambda c: c.search("red", limit=0), QueryError),
        (lambda c: c.search(Query((Term(text="red"),), where="nope = 1")), QueryError),
        (lambda c: c.search(b"no picture"), QueryError),
        (lambda c: c.search(Path("/nowhere/at/all.png")), QueryError),
    ],
)
def test_all_refuse_alike(searchable: Searchable, ask: Callable[[Searchable], object], error: type) -> None:
    with pytest.raises(error):
        ask(searchable)


def test_addresses_that_are_none(server: Server) -> None:
    for url in ("http://", f"{server.url}/nope", f"{server.url}/collections/a/b", "http://user@localhost:1"):
        with pytest.raises(UsageError):
            imseek.connect(url)
    with pytest.raises(CollectionNotFoundError):
        imseek.connect(f"{server.url}/collections/nope")
    with pytest.raises(ServerError, match="no answer"):
        imseek.connect("http://127.0.0.1:9")


def test_the_command_line_asks_a_server(server: Server, cli: Any, photo_files: list[Path]) -> None:
    found = cli("search", "--server", server.url, "red", "-n", "2", "--json").json("search")
    with imseek.connect(server.url) as remote:
        assert [hit["image_id"] for hit in found["hits"]] == [hit.image_id for hit in remote.search("red", limit=2)]
    assert found["collection"] == {"name": "photos", "path": server.url}
    outcome = cli("similar", "--server", server.url, photo_files[0], "-n", "1", "-p")
    assert (outcome.code, outcome.out.strip()) == (0, str(photo_files[0]))
    assert "collection: photos (--server)" in outcome.err
    refused = cli("search", "--server", server.url, "-c", "nope", "red")
    assert refused.code == 2
    assert "no collection 'nope'" in refused.err
    assert cli("search", "--server", server.url, "-c", "a", "-c", "b", "red").code == 2
    assert cli("search", "--server", "http://127.0.0.1:9", "red").code == 1


# -- clip-retrieval's client, unchanged ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip_client() -> ModuleType:
    """Its one module; the package around it would import what is not installed."""
    if not CLIENT.exists():
        pytest.skip(f"clip-retrieval's client is not installed ({CLIENT}; `make test` does that)")
    spec = importlib.util.spec_from_file_location("clip_client", CLIENT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_clip_retrievals_own_client_works(
    server: Server, root: Path, clip_client: ModuleType, photo_files: list[Path]
) -> None:
    client = clip_client.ClipClient(
        url=f"{server.url}/knn-service", indice_name="photos", num_images=3, deduplicate=False
    )
    with imseek.open(root) as collection:
        words = collection.search("red", limit=3)
        picture = collection.search(photo_files[1], limit=3)
    found = client.query(text="red")
    assert [item["id"] for item in found] == [hit.image_id for hit in words]
    assert np.allclose([item["similarity"] for item in found], [hit.score for hit in words], atol=1e-6)
    assert found[0]["image_path"] == words[0].path
    assert found[0]["image"].startswith("/9j/")
    assert [item["id"] for item in client.query(image=str(photo_files[1]))] == [h.image_id for h in picture]
    vector = collection_vector(root, "red")
    assert [item["id"] for item in client.query(embedding_input=vector)] == [hit.image_id for hit in words]


def collection_vector(root: Path, words: str) -> list[float]:
    from imseek.encoders import registry

    vector: list[float] = registry.load("fake", modalities=("text",)).encode_texts([words])[0].tolist()
    return vector


def test_errors_for_that_client_are_json(server: Server, clip_client: ModuleType) -> None:
    client = clip_client.ClipClient(url=f"{server.url}/knn-service", indice_name="nope", num_images=3)
    assert client.query(text="red")["status"] == 404
    unsafe = clip_client.ClipClient(url=f"{server.url}/knn-service", indice_name="photos")
    assert unsafe.query(image="http://127.0.0.1:9/x.png")["status"] in (422, 501)


def test_flags_without_a_model_are_named(server: Server) -> None:
    body = {
        "text": "red",
        "indice_name": "photos",
        "modality": "image",
        "num_images": 1,
        "use_safety_model": True,
        "aesthetic_score": 9,
    }
    request = urllib.request.Request(f"{server.url}/knn-service", json.dumps(body).encode(), method="POST")
    request.add_header("Content-Type", "text/plain")  # Nobody looks at it.
    with urllib.request.urlopen(request) as response:
        assert response.headers["X-Imseek-Ignored"] == "use_safety_model, aesthetic_score"
        assert len(json.load(response)) == 1


# -- the process ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_in_peace(root: Path, sent: signal.Signals, code: int) -> None:
    with served(root) as running:
        with imseek.connect(running.url, TOKEN) as remote:
            remote.search("red")
        assert running.end(sent) == code
        log = running.log.read_text()
    assert "Traceback" not in log
    assert '"path": "/collections/photos/search", "status": 200' in log
    assert TOKEN not in log


def test_a_port_that_is_taken(server: Server, root: Path, cli: Any) -> None:
    outcome = cli("serve", "-c", root, "--port", server.url.rpartition(":")[2])
    assert outcome.code == 1
    assert "cannot listen" in outcome.err


def test_it_serves_what_is_written_meanwhile(tmp_path: Path, photos: Path) -> None:
    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        collection.index([photos])
        with served(tmp_path / "made", options=["--rate", "0"]) as running:
            stop, errors, seen = threading.Event(), [], set()

            def ask() -> None:
                with imseek.connect(running.url) as remote:
                    while not stop.is_set():
                        try:
                            seen.add(remote.search("red", limit=50).searched)
                        except Exception as error:
                            errors.append(error)

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            for n in range(4):
                (photos / f"copy{n}.png").write_bytes((photos / "coffee.png").read_bytes())
                collection.index([photos])
            with imseek.connect(running.url) as remote:
                assert remote.search("red", limit=50).searched == 12
            stop.set()
            for thread in threads:
                thread.join()
            assert not errors
            assert 12 in seen
