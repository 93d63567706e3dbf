"""Text towers exported to ONNX: one of each kind that open_clip builds, beside open_clip's own vectors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import open_clip
import pytest
from open_clip.tokenizer import SigLipTokenizer
from text_towers import KINDS, TEXTS, Kind, Made, hub, light, own, register, t5

from imseek.encoders import chunking, load
from imseek.encoders.openclip import export, onnx_text, tokens
from imseek.encoders.openclip.encoder import OpenClipEncoder
from imseek.encoders.openclip.text import OnnxText
from imseek.errors import EncoderError, QueryError

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


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_of_tower_gives_open_clips_vectors(make: Callable[[Kind], Made], kind: Kind) -> None:
    made = make(kind)
    expected = made.expected(TEXTS)
    assert (expected @ expected.T - np.eye(len(TEXTS))).max() < 0.9999  # else any vectors would do
    encoder = load(made.reference)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected, atol=1e-5)
    assert encoder.notes(TEXTS) == ()
    facts = onnx_text.TextTowerMetadata.read(onnx_text.text_tower_folder(encoder.info.reference, encoder.fingerprint()))
    assert (facts.refused, facts.end) == (None, kind.end)
    again = light(encoder)
    assert isinstance(again, onnx_text.ExportedTextEncoder)
    np.testing.assert_allclose(again.encode_texts(TEXTS), expected, atol=1e-5)
    assert again.info == encoder.info
    assert again.fingerprint() == encoder.fingerprint()


def test_open_clips_own_wrapper_of_siglip_tokenizers_is_read_too(tmp_path: Path) -> None:
    """It fetches vocabularies from the web when it is made, so it is put together by hand here."""
    theirs = SigLipTokenizer.__new__(SigLipTokenizer)
    theirs.tokenizer, theirs.context_length = t5(), 9
    ours = tokens.read_tokenizer(tmp_path, export._write_tokenizer(tmp_path, theirs))
    texts = (*TEXTS, *export.CHECK_TEXTS)
    np.testing.assert_array_equal(ours(texts), theirs(list(texts)).numpy())
    assert ours.context_length == 9
    assert ours.fits("x")
    assert not ours.fits("this text has more than nine tokens")


def test_what_stands_behind_the_end_is_cut_off_before_the_network_runs(make: Callable[[Kind], Made]) -> None:
    encoder = load(make(KINDS["clip"]).reference)
    encoder.encode_texts(["x"])
    folder = onnx_text.text_tower_folder(encoder.info.reference, encoder.fingerprint())
    lengths = []
    tower = OnnxText(folder / onnx_text.NETWORK, end="highest", threads=1)
    network = tower._network

    def watched(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        lengths.append(inputs["ids"].shape[1])
        return network(inputs)

    tower._network = watched  # type: ignore[assignment]
    ids = np.array([[49406, 320, 49407, 0, 0, 0], [49406, 320, 736, 49407, 0, 0]])
    rows = tower(ids)
    assert lengths == [4]
    np.testing.assert_allclose(tower(ids[:1])[0], rows[0], atol=1e-6)
    assert lengths == [4, 3]


# -- long texts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [KINDS["clip"], KINDS["siglip"], KINDS["xlm-roberta"]], ids=lambda kind: kind.name)
def test_a_long_text_is_the_mean_direction_of_pieces_that_fill_the_window(
    make: Callable[[Kind], Made], kind: Kind
) -> None:
    made = make(kind)
    encoder = load(made.reference)
    theirs = export.TorchTokenizer(open_clip.get_tokenizer(made.name))
    words = [f"word{i}" for i in range(20)]
    pieces = chunking.split_text(" ".join(words), theirs.fits)
    assert " ".join(pieces).split() == words
    assert len(pieces) > 1
    for piece, following in itertools.pairwise(pieces):
        assert theirs.fits(piece)
        assert not theirs.fits(f"{piece} {following.split()[0]}")
    rows = made.expected(pieces)
    mean = rows.sum(axis=0) / np.linalg.norm(rows.sum(axis=0))
    np.testing.assert_allclose(encoder.encode_texts([" ".join(words)])[0], mean, atol=1e-5)
    (note,) = encoder.notes(["x", " ".join(words)])
    assert f"more than 20 tokens: it was cut into {len(pieces)} pieces" in note
    assert light(encoder).notes([" ".join(words)]) == (note,)


def test_a_window_holds_what_it_says(make: Callable[[Kind], Made]) -> None:
    encoder = load(make(KINDS["clip"]).reference)
    fits = "a b c d e f g h i j k l m n o p q r"  # 18 tokens and two at the ends
    assert encoder.notes([fits]) == ()
    assert encoder.notes([fits + " s"]) != ()


# -- what is refused ---------------------------------------------------------------------------------------


def test_a_tokenizer_that_cannot_be_copied_stays_with_open_clip(make: Callable[[Kind], Made]) -> None:
    text = own(hf_tokenizer_name="org/bert", tokenizer_mode="clips", no_causal_mask=True, pool_type="last")
    made = make(Kind("clips", text))
    said: list[str] = []
    encoder = load(made.reference, notify=said.append)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), made.expected(TEXTS), atol=1e-5)
    assert len(said) == 1
    (note,) = encoder.notes(TEXTS)
    assert "with torch" in note
    assert "tokens are not those of open_clip" in note
    again = load(made.reference, modalities=("text",), fingerprint=encoder.fingerprint(), notify=said.append)
    assert isinstance(again, OpenClipEncoder)  # it is not tried again
    assert again.notes(TEXTS) == (note,)
    assert len(said) == 1


def test_an_export_that_computes_something_else_is_refused(
    make: Callable[[Kind], Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = export._attention
    monkeypatch.setattr(export, "_attention", lambda layer, x, mask: right(layer, x, mask) * 1.001)
    made = make(KINDS["clip"])
    encoder = load(made.reference)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), made.expected(TEXTS), atol=1e-5)
    assert "differ from those of torch" in encoder.notes(TEXTS)[0]


def test_pictures_and_empty_texts_are_refused(make: Callable[[Kind], Made]) -> None:
    encoder = load(make(KINDS["clip"]).reference)
    encoder.encode_texts(["x"])
    words = light(encoder)
    picture = np.zeros((32, 32, 3), np.uint8)
    for refused in (words.prepare, words.encode_images):
        with pytest.raises(EncoderError, match="text only, not image"):
            refused(picture)
    with pytest.raises(QueryError, match="empty"):
        words.encode_texts(["a cat", " \n"])
