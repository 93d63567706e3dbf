"""Exported text towers in the user's cache: found, damaged, fought over, and what a query from one imports."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from text_towers import KINDS, TEXTS, Kind, Made, hub, light, register

import imseek
from imseek.encoders import load
from imseek.encoders.openclip import onnx_text
from imseek.encoders.openclip.encoder import OpenClipEncoder
from imseek.errors import EncoderError, EncoderUnavailableError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Kind], Made]]:
    models = tmp_path_factory.mktemp("models")
    with hub(tmp_path_factory.mktemp("hub")):
        yield lambda kind: register(kind, models)


def test_a_tower_is_found_by_reference_and_fingerprint_alone(make: Callable[[Kind], Made], tmp_path: Path) -> None:
    made = make(KINDS["clip"])
    encoder = load(made.reference)
    expected = encoder.encode_texts(TEXTS)
    weights = Path(made.reference.partition("@")[2])
    weights.rename(tmp_path / "away")
    try:
        assert np.abs(light(encoder).encode_texts(TEXTS) - expected).max() < 1e-6
        with pytest.raises(EncoderUnavailableError):
            load(made.reference, modalities=("text",), fingerprint="0" * 64)
        with pytest.raises(EncoderUnavailableError):
            load(made.reference, modalities=("text",))
    finally:
        (tmp_path / "away").rename(weights)


def test_a_collection_answers_words_without_the_checkpoint(
    make: Callable[[Kind], Made], photos: Path, tmp_path: Path
) -> None:
    made = make(KINDS["clip"])
    said: list[str] = []
    with imseek.create(tmp_path / "collection", encoder=made.reference) as collection:
        collection.index([photos])
    with imseek.open(tmp_path / "collection", notify=said.append) as collection:
        before = collection.search("a red apple")
    assert len(before.hits) == 8
    assert len(said) == 1
    weights = Path(made.reference.partition("@")[2])
    weights.rename(tmp_path / "away")
    try:
        with imseek.open(tmp_path / "collection", notify=said.append) as collection:
            after = collection.search("a red apple")
            with pytest.raises(EncoderUnavailableError):
                collection.search(photos / "astronaut.png")
    finally:
        (tmp_path / "away").rename(weights)
    assert [hit.image_id for hit in after.hits] == [hit.image_id for hit in before.hits]
    assert [hit.score for hit in after.hits] == pytest.approx([hit.score for hit in before.hits], abs=1e-6)
    assert len(said) == 1


def test_the_export_is_announced_once(make: Callable[[Kind], Made]) -> None:
    said: list[str] = []
    reference = make(KINDS["clip"]).reference
    load(reference, notify=said.append).encode_texts(["x"])
    load(reference, notify=said.append).encode_texts(["x"])
    assert said == [f"exporting the text tower of {reference}: once, some seconds"]


def test_a_truncated_file_is_made_again(make: Callable[[Kind], Made]) -> None:
    encoder = load(make(KINDS["clip"]).reference)
    before = encoder.encode_texts(TEXTS)
    folder = onnx_text.text_tower_folder(encoder.info.reference, encoder.fingerprint())
    for name in ("text.onnx", "text.onnx.data", "merges.txt", "encoder.json"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
        again = light(encoder)
        assert isinstance(again, OpenClipEncoder)
        np.testing.assert_allclose(again.encode_texts(TEXTS), before, atol=1e-6)
        assert isinstance(light(encoder), onnx_text.ExportedTextEncoder)


def test_damage_that_leaves_size_and_time_is_a_clear_error(make: Callable[[Kind], Made]) -> None:
    encoder = load(make(KINDS["clip"]).reference)
    encoder.encode_texts(TEXTS)
    folder = onnx_text.text_tower_folder(encoder.info.reference, encoder.fingerprint())
    for name in ("encoder.json", "text.onnx"):
        path = folder / name
        status, whole = path.stat(), path.read_bytes()
        path.write_bytes(b"\xff" * len(whole))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(EncoderError) as caught:
            light(encoder).encode_texts(TEXTS)
        assert str(folder) in (caught.value.hint or "")
        path.write_bytes(whole)


#: A process of its own: registers the tiny model, encodes a text, prints the vector's beginning and the notes.
QUERY = """
import sys
import open_clip
import imseek
from imseek.encoders import load
config, reference = sys.argv[1:]
open_clip.add_model_config(config)
encoder = load(reference, modalities=("text",), notify=lambda line: print(line, file=sys.stderr, flush=True))
print(encoder.encode_texts(["a red apple"])[0][:3].tolist(), *encoder.notes(["x"]), sep="|")
"""


@dataclass(frozen=True)
class Process:
    """A query of another process for the first kind's model."""

    made: Made

    def start(self) -> subprocess.Popen[str]:
        weights = self.made.reference.partition("@")[2]
        config = weights.replace(".safetensors", ".json")
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", QUERY, config, self.made.reference],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def check(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        """What it noted and what it said on stderr, once its answer has been found right."""
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        row, _, notes = out.strip().partition("|")
        expected = self.made.expected(["a red apple"])[0][:3]
        assert json.loads(row) == pytest.approx(expected.tolist(), abs=1e-5)
        return notes, err


def test_killed_while_exporting_and_two_at_once(make: Callable[[Kind], Made], cache: Path) -> None:
    process = Process(make(KINDS["clip"]))
    killed = process.start()
    deadline = time.monotonic() + 60
    while not list(cache.glob("encoders/*.tmp/*")):
        assert time.monotonic() < deadline, "no export began"
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.005)
    killed.kill()
    killed.communicate()
    assert list(cache.glob("encoders/*.tmp"))
    both = [process.start() for _ in range(2)]
    said = [process.check(one) for one in both]
    assert [notes for notes, _ in said] == ["", ""]
    assert sorted(err.count("exporting") for _, err in said) == [0, 1]
    assert [path.name for path in cache.glob("encoders/*") if not path.name.endswith(".lock")] == [
        path.name for path in cache.glob("encoders/openclip-text-*") if path.is_dir()
    ]


def test_a_full_disk_leaves_torch_in_use_and_says_so(make: Callable[[Kind], Made], cache: Path) -> None:
    made = make(KINDS["clip"])
    encoder = load(made.reference)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # the merges take 500 kB
    try:
        rows = encoder.encode_texts(TEXTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    np.testing.assert_allclose(rows, made.expected(TEXTS), atol=1e-5)
    (note,) = encoder.notes(TEXTS)
    assert "with torch" in note
    assert "cannot fill the cache folder" in note
    assert not [path for path in cache.glob("encoders/*") if path.is_dir()]
    assert load(made.reference).notes(TEXTS) == ()


COLD_QUERY = """
import json, sys
import imseek
from imseek.encoders import load
reference, fingerprint, texts = sys.argv[1:]
encoder = load(reference, modalities=("text",), fingerprint=fingerprint)
rows = encoder.encode_texts(json.loads(texts))
encoder.notes(json.loads(texts))
print(json.dumps({"rows": rows.tolist(), "modules": sorted({n.partition(".")[0] for n in sys.modules})}))
"""


@pytest.mark.parametrize(
    ("kind", "texts", "allowed"),
    [
        (KINDS["clip"], ["a red apple, 3 of 7"], set()),
        (KINDS["clip"], ["naïve café"], {"ftfy", "regex", "wcwidth"}),
        (KINDS["siglip"], ["a red apple, 3 of 7"], {"tokenizers"}),
    ],
    ids=["clip", "clip-beyond-ascii", "siglip"],
)
def test_a_cold_query_imports_nothing_heavy(
    make: Callable[[Kind], Made], kind: Kind, texts: list[str], allowed: set[str]
) -> None:
    made = make(kind)
    encoder = load(made.reference)
    encoder.encode_texts(["x"])
    command = [sys.executable, "-W", "error", "-c", COLD_QUERY]
    done = subprocess.run(
        [*command, encoder.info.reference, encoder.fingerprint(), json.dumps(texts)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    np.testing.assert_allclose(answer["rows"], made.expected(texts), atol=1e-5)
    third_party = {name for name in set(answer["modules"]) - set(sys.stdlib_module_names) if not name.startswith("_")}
    assert third_party <= {"imseek", "numpy", "onnxruntime", "platformdirs"} | allowed
