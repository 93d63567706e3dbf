"""What every encoder promises: a class to derive the tests of an encoder from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pytest

from imseek.encoders import Encoder, Runtime, load
from imseek.errors import EncoderError, QueryError, UsageError

#: Pixels and vectors.
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

TEXTS = ("a red apple on a table", "an astronaut", "cup of coffee", "Ein Hund läuft", "猫", "x" * 3)
#: Photographs that ship inside scikit-image.
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")


@dataclass(frozen=True)
class EncoderCase:
    """An encoder, and a function that loads it ``again`` (``threads``, ``modalities``)."""

    encoder: Encoder
    again: Callable[..., Encoder]


@cache
def encoder_case(reference: str) -> EncoderCase:
    """Load the encoder of a reference, once."""

    def again(*, threads: int | None = None, modalities: Sequence[str] = ("image", "text")) -> Encoder:
        # fp32: in half precision a row depends on its batch by more than the last bits.
        return load(reference, modalities=modalities, runtime=Runtime(precision="fp32", threads=threads))

    return EncoderCase(again(), again)


def reads_texts(encoder: Encoder) -> bool:
    """Whether an encoder has a text tower."""
    return "text" in encoder.info.modalities


def encode_all(encoder: Encoder, batch: Array, texts: Sequence[str] = TEXTS) -> list[Array]:
    """Return the rows of pictures, and those of texts if the encoder reads any."""
    return [encoder.encode_images(batch), *([encoder.encode_texts(texts)] if reads_texts(encoder) else [])]


class EncoderContract:
    """Tests that an encoder keeps its promises: derive a class ``Test…`` from it, and set ``reference``.

    Tests of texts are skipped for an encoder that knows only pictures.
    """

    reference: str

    @pytest.fixture
    def case(self) -> EncoderCase:
        return encoder_case(self.reference)

    @pytest.fixture
    def encoder(self, case: EncoderCase) -> Encoder:
        return case.encoder

    @pytest.fixture
    def photos(self) -> list[Array]:
        import skimage.data

        return [getattr(skimage.data, name)() for name in PHOTOS]

    @pytest.fixture
    def batch(self, encoder: Encoder, photos: list[Array]) -> Array:
        return np.stack([encoder.prepare(photo) for photo in photos])

    @pytest.fixture
    def text_encoder(self, encoder: Encoder) -> Encoder:
        """The encoder, for tests of texts."""
        if not reads_texts(encoder):
            pytest.skip("it knows pictures only")
        return encoder

    def test_keeps_the_protocol_and_states_its_facts(self, encoder: Encoder) -> None:
        assert isinstance(encoder, Encoder)
        info = encoder.info
        assert info.modalities in (("image", "text"), ("image",))
        assert info.quality in {"full", "basic", "test"}
        assert info.preprocessing["size"] == info.image_size
        assert encoder.precision == "fp32"

    def test_rows_are_float32_of_norm_one(self, encoder: Encoder, batch: Array) -> None:
        for rows, count in zip(encode_all(encoder, batch), (len(batch), len(TEXTS)), strict=False):
            assert rows.dtype == np.float32
            assert rows.shape == (count, encoder.info.dim)
            for row in rows:
                assert math.sqrt(math.fsum(float(x) ** 2 for x in row)) == pytest.approx(1, abs=1e-5)

    def test_different_inputs_get_different_rows(self, encoder: Encoder, batch: Array) -> None:
        for rows in encode_all(encoder, batch):
            cosines = rows @ rows.T - np.eye(len(rows))
            assert cosines.max() < 0.9999

    def test_repeats_itself_in_another_instance(self, case: EncoderCase, batch: Array) -> None:
        other = case.again(threads=1)
        for rows, again in zip(encode_all(case.encoder, batch), encode_all(other, batch), strict=True):
            assert np.abs(rows - again).max() < 1e-5

    def test_a_row_does_not_depend_on_its_batch_or_place(self, encoder: Encoder, batch: Array) -> None:
        repeated = np.concatenate([batch] * 5)[:19]
        together = encoder.encode_images(repeated)
        for i, one in enumerate(repeated):
            assert np.abs(encoder.encode_images(one[None])[0] - together[i]).max() < 1e-5

    def test_the_row_of_a_text_does_not_depend_on_the_others(self, text_encoder: Encoder) -> None:
        texts = [*TEXTS, "a much longer text that makes all of the others padded, " * 3] * 12
        together = text_encoder.encode_texts(texts)
        for i in range(7):
            assert np.abs(text_encoder.encode_texts([texts[i]])[0] - together[i]).max() < 1e-5
        backwards = text_encoder.encode_texts(texts[::-1])
        assert np.abs(backwards[::-1] - together).max() < 1e-5

    def test_no_input_no_rows(self, encoder: Encoder, batch: Array) -> None:
        for rows in encode_all(encoder, batch[:0], []):
            assert rows.shape == (0, encoder.info.dim)

    def test_prepare_is_pure_and_thread_safe(self, encoder: Encoder, photos: list[Array], batch: Array) -> None:
        before = [photo.copy() for photo in photos]
        with ThreadPoolExecutor(8) as pool:
            prepared = list(pool.map(encoder.prepare, photos * 20))
        for i, one in enumerate(prepared):
            np.testing.assert_array_equal(one, batch[i % len(photos)])
        for photo, original in zip(photos, before, strict=True):
            np.testing.assert_array_equal(photo, original)

    def test_encoding_is_thread_safe_from_the_first_call_on(self, case: EncoderCase, batch: Array) -> None:
        fresh = case.again()
        expected = encode_all(case.encoder, batch)
        with ThreadPoolExecutor(4) as pool:
            for arrays in pool.map(lambda _: encode_all(fresh, batch), range(12)):
                for rows, again in zip(expected, arrays, strict=True):
                    assert np.abs(rows - again).max() < 1e-5

    @pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (7, 5), (3, 4000)])
    def test_pictures_of_any_shape(self, encoder: Encoder, shape: tuple[int, int]) -> None:
        picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
        row = encoder.encode_images(encoder.prepare(picture)[None])[0]
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)

    def test_views_with_other_strides_are_pictures_too(self, encoder: Encoder, photos: list[Array]) -> None:
        mirrored = photos[0][:, ::-1]
        np.testing.assert_array_equal(encoder.prepare(mirrored), encoder.prepare(mirrored.copy()))

    @pytest.mark.parametrize("text", ["", "  ", "\n\t"])
    def test_an_empty_text_is_refused(self, text_encoder: Encoder, text: str) -> None:
        with pytest.raises(QueryError):
            text_encoder.encode_texts(["a cat", text])

    @pytest.mark.parametrize("texts", ["dog", [b"a dog"], ["a dog", None]])
    def test_a_single_text_and_what_is_none_are_refused(self, text_encoder: Encoder, texts: Sequence[str]) -> None:
        with pytest.raises(UsageError, match="sequence of str"):
            text_encoder.encode_texts(texts)

    def test_arrays_that_prepare_does_not_give_are_refused(self, encoder: Encoder, batch: Array) -> None:
        for wrong in (batch[0], batch.astype(np.float64) / 255, batch[:, :-1], batch[..., :2], list(batch)):
            with pytest.raises(UsageError, match="pictures are an array"):
                encoder.encode_images(wrong)  # type: ignore[arg-type]

    def test_odd_texts_have_vectors(self, text_encoder: Encoder) -> None:
        rows = text_encoder.encode_texts(["!?", "a\x00b", "\U0001f600", "word " * 2000, "w" * 5000])
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(5), abs=1e-5)

    def test_a_long_text_is_reported_and_its_end_counts(self, text_encoder: Encoder) -> None:
        long = "a cat sits on the mat and looks out of the window. " * 60
        assert text_encoder.notes(["a cat"]) == ()
        if text_encoder.info.context_length is None:  # it reads texts of any length
            assert text_encoder.notes([long]) == ()
            return
        (note,) = text_encoder.notes(["a cat", long])
        assert str(text_encoder.info.context_length) in note
        plain, with_end = text_encoder.encode_texts([long, long + "rockets and planets in outer space " * 20])
        assert plain @ with_end < 0.999

    def test_refuses_the_modality_it_was_not_loaded_for(self, case: EncoderCase, batch: Array) -> None:
        if not reads_texts(case.encoder):
            with pytest.raises(EncoderError):
                case.encoder.encode_texts(TEXTS)
            return
        with pytest.raises(EncoderError, match="text only"):
            case.again(modalities=("text",)).encode_images(batch)
        with pytest.raises(EncoderError, match="image only"):
            case.again(modalities=("image",)).encode_texts(TEXTS)
        texts = case.again(modalities=("text",)).encode_texts(TEXTS)
        assert np.abs(texts - case.encoder.encode_texts(TEXTS)).max() < 1e-5

    def test_the_fingerprint_is_a_stable_sha256(self, case: EncoderCase) -> None:
        fingerprint = case.encoder.fingerprint()
        assert len(bytes.fromhex(fingerprint)) == 32
        assert case.again(modalities=("text",)).fingerprint() == fingerprint

    def test_finds_a_retouched_picture_with_the_scores_of_brute_force(
        self, encoder: Encoder, photos: list[Array], batch: Array
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
        self, encoder: Encoder, photos: list[Array], batch: Array
    ) -> None:
        """Negative controls: were these to pass unnoticed, a wrong pipeline would as well."""
        rows = encoder.encode_images(batch)
        for i, photo in enumerate(photos):
            swapped = encoder.encode_images(encoder.prepare(photo[..., ::-1].copy())[None])[0]
            upside_down = encoder.encode_images(encoder.prepare(photo[::-1].copy())[None])[0]
            for changed in (swapped, upside_down):
                assert rows[i] @ changed < 0.9999
