"""Vectors cut to a length that the model was trained for, and refused for any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from parity.sentence_models import save
from PIL import Image

import imseek
from imseek.encoders import canonical, load, resolve
from imseek.encoders.recipes import Recipe
from imseek.errors import EncoderError, UnknownEncoderError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("matryoshka") / "model", matryoshka=[8, 16, 32])


def test_vectors_are_the_first_numbers_at_length_one(made: str) -> None:
    whole, cut = load(made), load(f"dim:8+{made}")
    assert (cut.info.dim, cut.info.reference) == (8, f"dim:8+{made}")
    batch = whole.prepare(skimage.data.chelsea())[None]
    for theirs, ours in (
        (whole.encode_images(batch), cut.encode_images(batch)),
        (whole.encode_texts(["a cat"]), cut.encode_texts(["a cat"])),
    ):
        expected = theirs[0, :8] / np.linalg.norm(theirs[0, :8])
        np.testing.assert_allclose(ours[0], expected, atol=1e-6)
        assert ours.dtype == np.float32
    fingerprints = {encoder.fingerprint() for encoder in (whole, cut, load(f"dim:16+{made}"))}
    assert len(fingerprints) == 3


@pytest.mark.parametrize("dim", [7, 31, 33, 1000])
def test_a_length_that_the_model_was_not_trained_for_is_refused(dim: int, made: str) -> None:
    with pytest.raises(EncoderError, match=f"was not trained for vectors of {dim} numbers, only of 8, 16, 32"):
        load(f"dim:{dim}+{made}")


@pytest.mark.parametrize("reference", ["builtin", "fake"])
def test_a_model_that_states_no_lengths_is_refused(reference: str) -> None:
    with pytest.raises(EncoderError, match="was not trained for vectors of 16 numbers, only whole ones"):
        load(f"dim:16+{reference}")


@pytest.mark.parametrize(
    "reference",
    ["dim:0+fake", "dim:x+fake", "dim:8", "dim:8+", "dim:8+dim:4+fake", "dim:-8+fake", f"dim:{'9' * 5000}+fake"],
)
def test_other_forms_are_no_references(reference: str) -> None:
    with pytest.raises(UnknownEncoderError, match="dim:"):
        canonical(reference)


@pytest.mark.parametrize("encoder", ["default", "openclip:ViT-L-14/datacomp_xl_s13b_b90k"])
def test_nothing_is_fetched_for_a_length_that_no_catalogued_model_has(encoder: str) -> None:
    with pytest.raises(EncoderError, match="was not trained for vectors of 256 numbers, only whole ones"):
        resolve(f"dim:256+{encoder}")


def test_the_reference_below_is_in_canonical_form(made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(made.removeprefix("local-dir:"))
    monkeypatch.chdir(folder.parent)
    assert canonical(f"dim:8+local-dir:{folder.name}") == f"dim:8+{made}"
    assert canonical("dim:8+default").startswith("dim:8+openclip:")
    assert resolve(f"dim:8+{made}").reference == f"dim:8+{made}"


def test_a_worker_loads_the_same_encoder(made: str) -> None:
    encoder = load(f"dim:8+{made}")
    assert Recipe.of(encoder).load(None).info == encoder.info


def test_a_collection_of_cut_vectors_answers(made: str, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("astronaut", "chelsea", "rocket"):
        Image.fromarray(getattr(skimage.data, name)()).save(pictures / f"{name}.png")
    with imseek.create(tmp_path / "collection", encoder=f"dim:16+{made}") as collection:
        collection.index([pictures])
        assert collection.info().encoder.dim == 16
        assert len(collection.search("a cat").hits) == 3
        (first, *_) = collection.search(pictures / "rocket.png").hits
        assert first.score == pytest.approx(1, abs=1e-4)
    with imseek.open(tmp_path / "collection") as collection:
        assert len(collection.search("a rocket").hits) == 3
