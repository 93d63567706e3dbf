"""Models of transformers through our interface, against its own processors, tokenizers and models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from parity.transformers_families import BY_KIND, MODELS, Model, library_vectors, write

from imseek.encoders import Runtime, load
from imseek.encoders.exported_images import ExportedEncoder
from imseek.encoders.naflex_preprocess import PatchPreprocessing
from imseek.errors import EncoderError, EncoderUnavailableError, UsageError

pytestmark = pytest.mark.slow

FP32 = Runtime(precision="fp32")
#: Of several proportions: a panorama, a column, a square, one that cannot be cut to its middle evenly.
PICTURES = [
    skimage.data.astronaut()[100:180],
    skimage.data.rocket()[:, 200:255],
    skimage.data.astronaut(),
    skimage.data.chelsea()[:201, :300],
]
TEXTS = ["a red apple", "Two  dogs AND a cat!", "naïve café", "unbelievable zebra"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A reduced model of every kind."""
    made = {}
    for model in MODELS:
        made[model.kind] = tmp_path_factory.mktemp(model.kind)
        write(model, made[model.kind])
    return made


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.kind)
def test_vectors_equal_those_of_transformers(
    model: Model, folders: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    encoder = load(f"local-dir:{folders[model.kind]}", runtime=FP32)
    images = encoder.encode_images(np.stack([encoder.prepare(picture) for picture in PICTURES]))
    texts = None if model.tokenizer is None else encoder.encode_texts(TEXTS)
    assert capfd.readouterr() == ("", ""), "nothing is printed while weights are loaded"
    expected = library_vectors(model, folders[model.kind], PICTURES, TEXTS)
    for ours, theirs in zip((images, texts), expected, strict=True):
        if ours is None or theirs is None:
            assert ours is theirs is None
            continue
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        assert (theirs @ theirs.T - np.eye(len(theirs))).max() < 0.9999, "else any vectors would do"


@pytest.mark.parametrize("kind", ["dinov3_convnext", "dinov3_vit", "metaclip_2", "tipsv2"])
def test_image_towers_of_squares_are_exported(
    kind: str, folders: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """As soon as a collection uses them for few pictures; and nothing is printed of it but one line."""
    on_cpu = Runtime(device="cpu", precision="fp32")
    reference, lines = f"local-dir:{folders[kind]}", list[str]()
    first = load(reference, runtime=on_cpu)
    batch = first.prepare(PICTURES[0])[None]
    expected = first.encode_images(batch)
    load(reference, runtime=on_cpu, fingerprint=first.fingerprint(), notify=lines.append).encode_images(batch)
    exported = load(reference, runtime=on_cpu, fingerprint=first.fingerprint(), notify=lines.append)
    assert isinstance(exported, ExportedEncoder)
    np.testing.assert_allclose(exported.encode_images(batch), expected, atol=1e-4)
    assert len(lines) == 1
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("shape", [(1, 10_000), (10_000, 1), (1, 60_000), (1, 1), (2, 3), (40, 4000), (3000, 3000)])
def test_naflex_pictures_of_any_proportions_have_a_bounded_number_of_patches(
    shape: tuple[int, int], folders: dict[str, Path]
) -> None:
    model = BY_KIND["siglip2"]
    encoder = load(f"local-dir:{folders['siglip2']}", runtime=FP32)
    picture = np.random.default_rng(3).integers(0, 256, (*shape, 3), dtype=np.uint8)
    prepared = encoder.prepare(picture)
    assert prepared.shape == (257, 16 * 16 * 3), "whatever the picture: 197 kB"
    rows = encoder.encode_images(prepared[None])
    np.testing.assert_allclose(rows, library_vectors(model, folders["siglip2"], [picture], TEXTS)[0], atol=1e-5)


def test_a_naflex_strip_too_long_for_the_search_of_its_size_has_one_row_of_patches() -> None:
    """Transformers' search ends at the scale 10⁻⁶."""
    preprocessing = PatchPreprocessing(16, 4, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    strip = np.broadcast_to(np.uint8(200), (1, 100_000_000, 3))
    from imseek.encoders import naflex_preprocess

    assert naflex_preprocess._grid(*strip.shape[:2], 16, 4) == (1, 4)
    assert preprocessing.size == 32


def test_naflex_keeps_proportions_that_squares_squeeze(folders: dict[str, Path]) -> None:
    encoder = load(f"local-dir:{folders['siglip2']}", runtime=FP32)
    picture = skimage.data.astronaut()[:256]
    rows, columns = encoder.prepare(picture)[0, [1, 3]]
    assert columns == pytest.approx(2 * rows, abs=1)
    assert encoder.info.preprocessing["patches"] == 256


def test_naflex_rows_do_not_depend_on_the_sizes_of_others(folders: dict[str, Path]) -> None:
    encoder = load(f"local-dir:{folders['siglip2']}", runtime=FP32)
    batch = np.stack([encoder.prepare(picture) for picture in (PICTURES * 9)[:33]])
    together = encoder.encode_images(batch)
    for i in (0, 1, 2, 3, 32):
        np.testing.assert_allclose(encoder.encode_images(batch[i : i + 1])[0], together[i], atol=1e-5)


def test_naflex_arrays_without_a_grid_are_refused(folders: dict[str, Path]) -> None:
    encoder = load(f"local-dir:{folders['siglip2']}", runtime=FP32)
    for value in (0, 255):
        with pytest.raises(UsageError, match="with the grid in the first row"):
            encoder.encode_images(np.full((2, 257, 768), value, dtype=np.uint8))


def test_naflex_in_int8_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(EncoderUnavailableError, match="int8 is for encoders of square pictures"):
        load(f"local-dir:{folders['siglip2']}", runtime=Runtime(precision="int8"))


@pytest.mark.parametrize("kind", ["dinov3_vit", "dinov3_convnext"])
def test_a_model_of_pictures_only_refuses_words(kind: str, folders: dict[str, Path]) -> None:
    encoder = load(f"local-dir:{folders[kind]}", runtime=FP32)
    assert (encoder.info.modalities, encoder.info.context_length) == (("image",), None)
    assert encoder.notes(["a cat"]) == ()
    with pytest.raises(EncoderError, match="knows pictures only, no words"):
        encoder.encode_texts(["a cat"])
    with pytest.raises(EncoderError, match="knows pictures only, no words"):
        load(f"local-dir:{folders[kind]}", modalities=("text",))


def test_scales_of_cosines(folders: dict[str, Path]) -> None:
    infos = {kind: load(f"local-dir:{folder}").info for kind, folder in folders.items()}
    assert infos["siglip2"].logit_bias is not None
    assert infos["metaclip_2"].logit_scale is not None
    assert infos["metaclip_2"].logit_bias is None
    assert infos["tipsv2"].logit_scale is not None
    assert infos["dinov3_vit"].logit_scale is None


@pytest.mark.parametrize(
    ("kind", "file", "change", "message"),
    [
        ("siglip2", "config.json", {"vision_config": {"vision_use_head": False}}, "without a vector per picture"),
        ("siglip2", "config.json", {"model_type": "siglip2_vision_model"}, "which is none of"),
        ("siglip2", "preprocessor_config.json", {"patch_size": 14}, "takes 16 pixels a side, and its .* gives 14"),
        ("siglip2", "preprocessor_config.json", {"max_num_patches": -1}, "is not an image processor"),
        ("metaclip_2", "preprocessor_config.json", {"crop_size": {"height": 48, "width": 48}}, "takes 64 .* gives 48"),
        ("metaclip_2", "preprocessor_config.json", {"do_center_crop": False}, "is not supported"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(
    kind: str, file: str, change: dict[str, object], message: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    for path in folders[kind].iterdir():
        (tmp_path / path.name).symlink_to(path)
    described = json.loads((tmp_path / file).read_text())
    (tmp_path / file).unlink()
    (tmp_path / file).write_text(json.dumps(described | change))
    with pytest.raises(EncoderError, match=message):
        load(f"local-dir:{tmp_path}")


def test_code_that_a_folder_names_is_not_run(folders: dict[str, Path], tmp_path: Path) -> None:
    for path in folders["dinov3_vit"].iterdir():
        (tmp_path / path.name).symlink_to(path)
    described = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    described["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (tmp_path / "config.json").write_text(json.dumps(described))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    encoder = load(f"local-dir:{tmp_path}", runtime=FP32)
    assert encoder.encode_images(encoder.prepare(PICTURES[0])[None]).shape == (1, 48)
    assert not (tmp_path / "run").exists()
