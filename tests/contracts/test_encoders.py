"""What every encoder promises, checked on each of them: the fake, the built-in one, tiny open_clip and ALIGN models."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from imseek.encoders import Encoder, Runtime, load
from imseek.errors import EncoderError, QueryError, UsageError

TEXTS = ("a red apple on a table", "an astronaut", "cup of coffee", "Ein Hund läuft", "猫", "x" * 3)
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMSEEK_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def tiny_reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An open_clip model of a tiny architecture, its random weights in a file."""
    import open_clip
    import safetensors.torch
    import torch

    folder = tmp_path_factory.mktemp("tiny")
    config = folder / "imseek-contract-tiny.json"
    config.write_text(json.dumps(TINY))
    open_clip.add_model_config(config)
    torch.manual_seed(7)
    model = open_clip.create_model("imseek-contract-tiny")
    safetensors.torch.save_file(model.state_dict(), folder / "tiny.safetensors")
    return f"openclip:imseek-contract-tiny@{folder / 'tiny.safetensors'}"


@dataclass(frozen=True)
class Case:
    encoder: Encoder
    again: Callable[..., Encoder]


@pytest.fixture(scope="module")
def align_reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reduced ALIGN model, its random weights in a folder."""
    import parity.align  # transformers takes seconds

    folder = tmp_path_factory.mktemp("align")
    parity.align.write(folder)
    return f"align:{folder}"


@pytest.fixture(scope="module", params=["fake", "fake:5", "builtin", "openclip", "align"])
def case(request: pytest.FixtureRequest) -> Case:
    name = request.param
    fixture = {"openclip": "tiny_reference", "align": "align_reference"}.get(name)
    reference = request.getfixturevalue(fixture) if fixture else name

    def again(*, threads: int | None = None, modalities: Sequence[str] = ("image", "text")) -> Encoder:
        # fp32: in half precision a row depends on its batch by more than the last bits.
        return load(reference, modalities=modalities, runtime=Runtime(precision="fp32", threads=threads))

    return Case(again(), again)


@pytest.fixture(scope="module")
def encoder(case: Case) -> Encoder:
    return case.encoder


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [getattr(skimage.data, name)() for name in PHOTOS]


@pytest.fixture(scope="module")
def batch(encoder: Encoder, photos: list[np.ndarray]) -> np.ndarray:
    return np.stack([encoder.prepare(photo) for photo in photos])


def test_keeps_the_protocol_and_states_its_facts(encoder: Encoder) -> None:
    assert isinstance(encoder, Encoder)
    info = encoder.info
    assert info.modalities == ("image", "text")
    assert info.quality in {"full", "basic", "test"}
    assert info.preprocessing["size"] == info.image_size
    assert encoder.precision == "fp32"


def test_rows_are_float32_of_norm_one(encoder: Encoder, batch: np.ndarray) -> None:
    for rows, count in (
        (encoder.encode_images(batch), len(batch)),
        (encoder.encode_texts(TEXTS), len(TEXTS)),
    ):
        assert rows.dtype == np.float32
        assert rows.shape == (count, encoder.info.dim)
        for row in rows:
            assert math.sqrt(math.fsum(float(x) ** 2 for x in row)) == pytest.approx(1, abs=1e-5)


def test_different_inputs_get_different_rows(encoder: Encoder, batch: np.ndarray) -> None:
    for rows in (encoder.encode_images(batch), encoder.encode_texts(TEXTS)):
        cosines = rows @ rows.T - np.eye(len(rows))
        assert cosines.max() < 0.9999


def test_repeats_itself_in_another_instance(case: Case, batch: np.ndarray) -> None:
    other = case.again(threads=1)
    assert np.abs(other.encode_images(batch) - case.encoder.encode_images(batch)).max() < 1e-5
    assert np.abs(other.encode_texts(TEXTS) - case.encoder.encode_texts(TEXTS)).max() < 1e-5


def test_a_row_does_not_depend_on_its_batch_or_place(encoder: Encoder, batch: np.ndarray) -> None:
    many = np.concatenate([batch] * 5)[:19]
    together = encoder.encode_images(many)
    for i, one in enumerate(many):
        assert np.abs(encoder.encode_images(one[None])[0] - together[i]).max() < 1e-5
    texts = [*TEXTS, "a much longer text that makes all of the others padded, " * 3] * 12
    together = encoder.encode_texts(texts)
    for i in range(7):
        assert np.abs(encoder.encode_texts([texts[i]])[0] - together[i]).max() < 1e-5
    backwards = encoder.encode_texts(texts[::-1])
    assert np.abs(backwards[::-1] - together).max() < 1e-5


def test_no_input_no_rows(encoder: Encoder, batch: np.ndarray) -> None:
    assert encoder.encode_images(batch[:0]).shape == (0, encoder.info.dim)
    assert encoder.encode_texts([]).shape == (0, encoder.info.dim)


def test_prepare_is_pure_and_thread_safe(encoder: Encoder, photos: list[np.ndarray], batch: np.ndarray) -> None:
    before = [photo.copy() for photo in photos]
    with ThreadPoolExecutor(8) as pool:
        prepared = list(pool.map(encoder.prepare, photos * 20))
    for i, one in enumerate(prepared):
        np.testing.assert_array_equal(one, batch[i % len(photos)])
    for photo, original in zip(photos, before, strict=True):
        np.testing.assert_array_equal(photo, original)


def test_encoding_is_thread_safe_from_the_first_call_on(case: Case, batch: np.ndarray) -> None:
    fresh = case.again()
    images, texts = case.encoder.encode_images(batch), case.encoder.encode_texts(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        some = [(pool.submit(fresh.encode_images, batch), pool.submit(fresh.encode_texts, TEXTS)) for _ in range(6)]
        for image_rows, text_rows in some:
            assert np.abs(image_rows.result() - images).max() < 1e-5
            assert np.abs(text_rows.result() - texts).max() < 1e-5


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (7, 5), (3, 4000)])
def test_pictures_of_any_shape(encoder: Encoder, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    row = encoder.encode_images(encoder.prepare(picture)[None])[0]
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


def test_views_with_other_strides_are_pictures_too(encoder: Encoder, photos: list[np.ndarray]) -> None:
    mirrored = photos[0][:, ::-1]
    np.testing.assert_array_equal(encoder.prepare(mirrored), encoder.prepare(mirrored.copy()))


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_an_empty_text_is_refused(encoder: Encoder, text: str) -> None:
    with pytest.raises(QueryError):
        encoder.encode_texts(["a cat", text])


@pytest.mark.parametrize("texts", ["dog", [b"a dog"], ["a dog", None]])
def test_a_single_text_and_what_is_none_are_refused(encoder: Encoder, texts: Sequence[str]) -> None:
    with pytest.raises(UsageError, match="sequence of str"):
        encoder.encode_texts(texts)


def test_arrays_that_prepare_does_not_give_are_refused(encoder: Encoder, batch: np.ndarray) -> None:
    for wrong in (batch[0], batch.astype(np.float64) / 255, batch[:, :-1], batch[..., :2], list(batch)):
        with pytest.raises(UsageError, match="pictures are an array"):
            encoder.encode_images(wrong)  # type: ignore[arg-type]


def test_odd_texts_have_vectors(encoder: Encoder) -> None:
    rows = encoder.encode_texts(["!?", "a\x00b", "\U0001f600", "word " * 2000, "w" * 5000])
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(5), abs=1e-5)


def test_a_long_text_is_reported_and_its_end_counts(encoder: Encoder) -> None:
    long = "a cat sits on the mat and looks out of the window. " * 60
    assert encoder.notes(["a cat"]) == ()
    if encoder.info.context_length is None:  # it reads texts of any length
        assert encoder.notes([long]) == ()
        return
    (note,) = encoder.notes(["a cat", long])
    assert str(encoder.info.context_length) in note
    plain, with_end = encoder.encode_texts([long, long + "rockets and planets in outer space " * 20])
    assert plain @ with_end < 0.999


def test_refuses_the_modality_it_was_not_loaded_for(case: Case, batch: np.ndarray) -> None:
    with pytest.raises(EncoderError, match="text only"):
        case.again(modalities=("text",)).encode_images(batch)
    with pytest.raises(EncoderError, match="image only"):
        case.again(modalities=("image",)).encode_texts(TEXTS)
    texts = case.again(modalities=("text",)).encode_texts(TEXTS)
    assert np.abs(texts - case.encoder.encode_texts(TEXTS)).max() < 1e-5


def test_the_fingerprint_is_a_stable_sha256(case: Case) -> None:
    fingerprint = case.encoder.fingerprint()
    assert len(bytes.fromhex(fingerprint)) == 32
    assert case.again(modalities=("text",)).fingerprint() == fingerprint


def test_fingerprints_differ_among_encoders(tiny_reference: str) -> None:
    references = ("fake", "fake:5", "builtin", tiny_reference)
    assert len({load(reference).fingerprint() for reference in references}) == len(references)


def test_finds_a_retouched_picture_with_the_scores_of_brute_force(
    encoder: Encoder, photos: list[np.ndarray], batch: np.ndarray
) -> None:
    noise = np.random.default_rng(3)
    rows = encoder.encode_images(batch)
    for i, photo in enumerate(photos):
        grainy = np.clip(photo * 0.95 + noise.normal(0, 4, photo.shape), 0, 255).astype(np.uint8)
        query = encoder.encode_images(encoder.prepare(grainy)[None])[0]
        scores = rows @ query
        exact = [math.fsum(float(a) * float(b) for a, b in zip(row, query, strict=True)) for row in rows]
        assert scores == pytest.approx(exact, abs=1e-5)
        assert int(np.argmax(scores)) == int(np.argmax(exact)) == i


def test_swapped_channels_and_a_turned_picture_change_the_vector(
    encoder: Encoder, photos: list[np.ndarray], batch: np.ndarray
) -> None:
    """Negative controls: were these to pass unnoticed, a wrong pipeline would as well."""
    rows = encoder.encode_images(batch)
    for i, photo in enumerate(photos):
        swapped = encoder.encode_images(encoder.prepare(photo[..., ::-1].copy())[None])[0]
        upside_down = encoder.encode_images(encoder.prepare(photo[::-1].copy())[None])[0]
        for changed in (swapped, upside_down):
            assert rows[i] @ changed < 0.9999


@pytest.mark.parametrize(
    ("reference", "fingerprint", "image", "text", "cosine"),
    [
        (
            "fake",
            "c52af90f9cb1b0353462800ac561c9dacda5f0ca77e80f7244909509d1007e1b",
            {43: 0.32395, 24: -0.32098, 5: -0.2628, 41: -0.24409},
            {53: -0.30123, 43: 0.26614, 21: 0.26126, 22: -0.24674},
            0.13918,
        ),
        (
            "builtin",
            "7b9c257a2a4011673c214da27ebaf8915f55d15c00a68072c4223101ade29702",
            # football helmet, bobsleigh, black, brown
            {560: 0.36548, 450: 0.39732, 1000: 0.21206, 1010: 0.20704},
            # Granny Smith apple, red, custard apple, red wine
            {948: 0.64173, 1003: 0.44721, 956: 0.40124, 966: 0.3095},
            0.09191,
        ),
    ],
)
def test_canonical_vectors(
    reference: str,
    fingerprint: str,
    image: dict[int, float],
    text: dict[int, float],
    cosine: float,
) -> None:
    """Pinned 2026-11-24 (onnxruntime 1.32, Pillow 13.0): who changes vectors must change the fingerprint."""
    encoder = load(reference)
    assert encoder.fingerprint() == fingerprint
    image_row = encoder.encode_images(encoder.prepare(skimage.data.astronaut())[None])[0]
    text_row = encoder.encode_texts([TEXTS[0]])[0]
    assert [image_row[i] for i in image] == pytest.approx(list(image.values()), abs=1e-3)
    assert [text_row[i] for i in text] == pytest.approx(list(text.values()), abs=1e-3)
    assert float(image_row @ text_row) == pytest.approx(cosine, abs=1e-3)


def test_the_builtin_encoder_understands_photographs(photos: list[np.ndarray]) -> None:
    encoder = load("builtin")
    rows = encoder.encode_images(np.stack([encoder.prepare(photo) for photo in photos]))
    questions = ("a cat", "a cup of coffee", "a missile on its launch pad")
    best = (encoder.encode_texts(questions) @ rows.T).argmax(axis=1)
    assert [PHOTOS[i] for i in best] == ["chelsea", "coffee", "rocket"]
