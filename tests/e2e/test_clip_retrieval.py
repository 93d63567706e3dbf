"""The real clip-retrieval (2.45.0, in an environment of its own) indexes and serves what was exported.

`make test` makes that environment. The model that `clip-retrieval back` wants to load is a tiny one with random
numbers: it is never asked anything, since queries are vectors.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imseek
from imseek import export
from imseek.data.reader import Reader

HOME = Path(sys.prefix) / "clip-retrieval"
PYTHON = HOME / "bin" / "python"

#: Writes the tiny model.
_MODEL = """
import sys, torch, transformers as t
torch.manual_seed(0)
sizes = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
config = t.CLIPConfig(
    text_config=dict(sizes, projection_dim=8), vision_config=dict(sizes, projection_dim=8), projection_dim=8
)
t.CLIPModel(config).save_pretrained(sys.argv[1])
t.CLIPImageProcessor().save_pretrained(sys.argv[1])
"""
#: `clip-retrieval`, which would be heard on all addresses of the machine.
_LOOPBACK = """
import sys, flask
run = flask.Flask.run
flask.Flask.run = lambda self, **named: run(self, **{**named, "host": "127.0.0.1"})
from clip_retrieval.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    if not PYTHON.exists():
        without = pytest.fail if os.environ.get("IMSEEK_CI") else pytest.skip
        without(f"{PYTHON} is missing; `make test` installs it")


def run(*arguments: object) -> None:
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
    environ.pop("PYTHONPATH", None)
    done = subprocess.run(
        [PYTHON, *map(str, arguments)], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


class Service:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self._url}/{path}", data, timeout=30) as answer:
            return json.load(answer)

    def knn(self, modality: str, vector: np.ndarray, count: int) -> list[dict[str, Any]]:
        usual: dict[str, Any] = dict.fromkeys(("text", "image", "image_url"))
        more = dict.fromkeys(("deduplicate", "use_safety_model", "use_violence_detector", "use_mclip"), False)
        body = {**usual, **more, "embedding_input": vector.tolist(), "modality": modality}
        return self.ask(
            "knn-service", {**body, "indice_name": "ours", "num_images": count, "num_result_ids": count}
        )


@pytest.fixture(scope="module")
def exported(tmp_path_factory, photo_files) -> Path:
    """Photographs and parts of them in two shards, one of which has lost a row; some have captions."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("clip-retrieval")
    photos = folder / "photos"
    photos.mkdir()
    with imseek.create(folder / "made", encoder="builtin", captions=True) as collection:
        for part in range(2):
            for path in photo_files[part::2]:
                with Image.open(path) as opened:
                    picture = opened.convert("RGB")
                    picture.thumbnail((192, 192))  # Each is sent with each answer.
                    picture.save(photos / f"{path.stem}.png")
                    for n, box in enumerate(((0, 0), (picture.width // 2, 0), (0, picture.height // 2))):
                        size = (picture.width // 2, picture.height // 2)
                        cut = picture.crop((*box, box[0] + size[0], box[1] + size[1]))
                        cut.save(photos / f"{path.stem}-{n}.png")
            (photos / "coffee.txt").write_text("a cup of coffee on a table")
            (photos / "chelsea.txt").write_text("a tabby cat")
            collection.index([photos])
        (photos / "camera-1.png").unlink()
        collection.index()
    report = export.write(folder / "made", folder / "out", format="clip-retrieval")
    assert report.images == 31
    return folder


@pytest.fixture(scope="module")
def service(exported: Path) -> Iterator[Service]:
    """`clip-retrieval index`, then `clip-retrieval back`."""
    run("-c", _MODEL, exported / "model")
    run("-m", "clip_retrieval.cli", "index", exported / "out", exported / "index")
    (exported / "indices.json").write_text(json.dumps({"ours": str(exported / "index")}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        PYTHON,
        "-c",
        _LOOPBACK,
        "back",
        f"--indices_paths={exported / 'indices.json'}",
        f"--port={port}",
        f"--clip_model=hf_clip:{exported / 'model'}",
        "--enable_mclip_option=False",
        "--provide_aesthetic_embeddings=False",
        "--use_jit=False",
        '--columns_to_return=["image_id","image_path","caption"]',
    ]
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
    environ.pop("PYTHONPATH", None)
    with (exported / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        found = Service(port)
        end = time.monotonic() + 300
        while True:
            try:
                assert found.ask("indices-list") == ["ours"]
                break
            except OSError:
                said = (exported / "log").read_text(errors="replace")[-2000:]
                assert process.poll() is None, said
                assert time.monotonic() < end, said
                time.sleep(0.2)
        yield found
    finally:
        process.terminate()
        process.wait()


def same(found: list[dict[str, Any]], expected: list[tuple[int, float]]) -> None:
    """The same ids in the same order, but among scores that rounding may swap: clip-retrieval takes stored rows for
    unit ones, and they are within 0.0005."""
    scores = [one["similarity"] for one in found]
    assert scores == pytest.approx([score for _, score in expected], abs=1e-3)
    known = dict(expected)
    for one, (image_id, score) in zip(found, expected, strict=True):
        assert one["image_id"] == image_id or abs(known[one["image_id"]] - score) < 1e-3


def test_the_same_images_in_the_same_order(exported, service) -> None:
    reader = Reader(exported / "made")
    with imseek.open(exported / "made") as collection:
        ids = sorted(hit.image_id for hit in collection.search("a cat", limit=40).hits)
        assert len(ids) == 31
        for image_id in ids[::4]:
            vector = reader.vector(image_id, 0).astype(np.float32)
            query = imseek.Query((imseek.Term(vector=vector),), limit=31, exact=True)
            hits = collection.search(query).hits
            found = service.knn("image", vector, 31)
            same(found, [(hit.image_id, hit.score) for hit in hits])
            places = {hit.image_id: hit.place.display for hit in hits}
            assert [one["image_path"] for one in found] == [places[one["image_id"]] for one in found]
            assert all(one["image"] for one in found), "it finds and sends the pictures themselves"


def test_words_and_captions(exported, service) -> None:
    with imseek.open(exported / "made") as collection:
        for words in ("a cat", "a cup of coffee", "a rocket"):
            vector = collection._text_encoder().encode_texts([words])[0]
            for by in ("image", "caption"):
                hits = collection.search(
                    imseek.Query((imseek.Term(text=words),), limit=31, by=by, exact=True)
                ).hits
                found = service.knn("image" if by == "image" else "text", vector, 31)
                if by == "caption":
                    found = [one for one in found if one["caption"] is not None]
                    assert [one["caption"] for one in found] == [hit.metadata["caption"] for hit in hits]
                same(found, [(hit.image_id, hit.score) for hit in hits])
