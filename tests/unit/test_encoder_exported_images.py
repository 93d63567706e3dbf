"""Exported image towers in the user's cache: when they are made and used, and when torch is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import safetensors.torch
from PIL import Image
from text_towers import KINDS, Kind, Made, hub, register

import imseek
from imseek.encoders import Encoder, Runtime, load
from imseek.encoders import exported_images as exported
from imseek.encoders.exported_images import ExportedEncoder
from imseek.encoders.openclip.encoder import OpenClipEncoder
from imseek.errors import EncoderError, EncoderMismatchError, EncoderUnavailableError, UsageError

pytestmark = pytest.mark.slow

FP32 = Runtime(precision="fp32")
#: At full speed, a batch has this many pictures.
FULL = 8


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Kind], Made]]:
    models = tmp_path_factory.mktemp("models")
    with hub(tmp_path_factory.mktemp("hub")):
        yield lambda kind: register(kind, models)


@pytest.fixture
def reference(make: Callable[[Kind], Made]) -> str:
    return make(KINDS["clip"]).reference


@pytest.fixture
def squares(photos: Path) -> Any:
    """Eight photographs as the model takes them: (8, 32, 32, 3) uint8."""
    paths = files_of(photos)[:8]
    return np.stack([np.asarray(Image.open(path).convert("RGB").resize((32, 32))) for path in paths])


def files_of(photos: Path) -> list[Path]:
    return sorted(path for path in photos.rglob("*") if path.is_file())


def export_now(reference: str, squares: Any, notify: Callable[[str], None] | None = None) -> Encoder:
    """Use the encoder of a collection for a few pictures; returns it."""
    fingerprint = load(reference, modalities=("image",)).fingerprint()
    encoder = load(reference, modalities=("image",), runtime=FP32, fingerprint=fingerprint, notify=notify)
    encoder.encode_images(squares[:1])
    return encoder


def again(encoder: Encoder, runtime: Runtime = FP32, modalities: tuple[str, ...] = ("image",)) -> Encoder:
    fingerprint = encoder.fingerprint()
    return load(encoder.info.reference, modalities=modalities, runtime=runtime, fingerprint=fingerprint)


def test_a_small_use_for_a_collection_exports_and_says_so(reference: str, squares: Any, cache: Path) -> None:
    said: list[str] = []
    first = load(reference, modalities=("image",), runtime=FP32, notify=said.append)
    first.encode_images(squares[:1])
    assert said == [], "no collection has it: nobody knows whether it is used again"
    assert not list(cache.glob("encoders/images-*"))
    second = load(reference, modalities=("image",), runtime=FP32, fingerprint=first.fingerprint(), notify=said.append)
    with pytest.raises(UsageError, match="uint8"):
        second.encode_images(squares[:1].astype(np.float32))
    second.encode_images(squares[:0])
    assert said == [], "only pictures count"
    second.encode_images(squares[:1])
    second.encode_images(squares[:1])
    assert said == [f"exporting the image tower of {reference}: once, some seconds"]
    assert isinstance(again(second), ExportedEncoder)


def test_its_vectors_are_those_of_torch(reference: str, squares: Any) -> None:
    on_torch = export_now(reference, squares)
    light = again(on_torch)
    assert isinstance(light, ExportedEncoder)
    assert np.abs(light.encode_images(squares) - on_torch.encode_images(squares)).max() < 1e-4
    assert light.encode_images(squares[:0]).shape == (0, light.info.dim)
    assert light.info == on_torch.info
    assert (light.precision, light.fingerprint()) == ("fp32", on_torch.fingerprint())
    picture = np.asarray(Image.effect_mandelbrot((90, 60), (-2, -1, 1, 1), 50).convert("RGB"))
    np.testing.assert_array_equal(light.prepare(picture), on_torch.prepare(picture))
    with pytest.raises(UsageError, match="uint8"):
        light.encode_images(squares.astype(np.float32))


def test_many_pictures_go_to_torch(reference: str, squares: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exported, "cpu_batch", lambda runtime, size: FULL)
    on_torch = export_now(reference, squares)
    light = again(on_torch)
    assert isinstance(light, ExportedEncoder)
    expected = on_torch.encode_images(squares)
    for _ in range(3):
        light.encode_images(squares[: FULL - 1])
    assert light._torch_encoder is None, "batches that are not full never end"
    for turn in range(exported.FULL_BATCHES + 1):
        assert (light._torch_encoder is None) == (turn <= exported.FULL_BATCHES)
        assert np.abs(light.encode_images(squares) - expected).max() < 1e-4
    assert isinstance(light._torch_encoder, OpenClipEncoder)


def test_a_first_batch_that_is_full_exports_nothing(
    reference: str, squares: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint = load(reference, modalities=("image",)).fingerprint()
    runtime = Runtime(precision="fp32", batch_size=4, threads=2)
    encoder = load(reference, modalities=("image",), runtime=runtime, fingerprint=fingerprint)
    assert encoder.info.batch_size == 8
    encoder.encode_images(squares)
    encoder.encode_images(squares[:1])
    assert not list(cache.glob("encoders/images-*"))


def test_torch_takes_over_with_the_same_weights_only(
    reference: str, squares: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exported, "cpu_batch", lambda runtime, size: FULL)
    light = again(export_now(reference, squares))
    monkeypatch.setattr("imseek.encoders.weights._fingerprint", lambda *_: "0" * 64)
    for path in Path(os.environ["IMSEEK_CACHE"]).glob("fingerprints/*"):
        path.unlink()
    for _ in range(exported.FULL_BATCHES):
        light.encode_images(squares)
    with pytest.raises(EncoderMismatchError, match="other weights"):
        light.encode_images(squares)
    with pytest.raises(EncoderMismatchError, match="other weights"):
        light.encode_texts(["a red apple"])


def test_pictures_are_run_a_few_at_a_time(reference: str, squares: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    light = again(export_now(reference, squares), Runtime(precision="fp32", batch_size=3, threads=2))
    sizes: list[int] = []
    real = exported.Network.__call__

    def run(network: Any, inputs: Any) -> Any:
        sizes.append(len(inputs["pixels"]))
        return real(network, inputs)

    monkeypatch.setattr(exported.Network, "__call__", run)
    whole = light.encode_images(squares)
    assert sizes == [3, 3, 2]
    np.testing.assert_allclose(
        np.concatenate([light.encode_images(squares[n : n + 1]) for n in range(8)]), whole, atol=1e-5
    )


def test_torch_takes_over_where_the_cache_is_emptied(reference: str, squares: Any) -> None:
    light = again(export_now(reference, squares))
    folder = exported.image_tower_folder(reference, light.fingerprint())
    for path in folder.iterdir():
        path.unlink()
    assert light.encode_images(squares[:2]).shape == (2, light.info.dim)
    assert isinstance(light, ExportedEncoder)
    assert isinstance(light._torch_encoder, OpenClipEncoder)


def test_the_tower_goes_on_where_the_weights_are_gone(
    reference: str, squares: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exported, "cpu_batch", lambda runtime, size: FULL)
    light = again(export_now(reference, squares))
    weights = Path(reference.partition("@")[2])
    weights.rename(tmp_path / "away")
    try:
        rows = [light.encode_images(squares) for _ in range(2 * exported.FULL_BATCHES + 2)]
    finally:
        (tmp_path / "away").rename(weights)
    for some in rows[1:]:
        np.testing.assert_array_equal(some, rows[0])


def test_too_little_memory_is_no_refusal(reference: str, squares: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(exported, "write_network", fail)
        encoder = export_now(reference, squares)
        assert encoder.encode_images(squares[:1]).shape == (1, encoder.info.dim), "goes on"
    assert isinstance(again(encoder), OpenClipEncoder)
    assert isinstance(again(export_now(reference, squares)), ExportedEncoder), "another try is made"


def test_a_large_checkpoint_is_not_exported(
    reference: str, squares: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exported, "_LARGEST_CHECKPOINT", 1000)
    export_now(reference, squares)
    assert not list(cache.glob("encoders/images-*"))


def test_replaced_weights_are_not_passed_over(reference: str, squares: Any, tmp_path: Path) -> None:
    encoder = export_now(reference, squares)
    weights = Path(reference.partition("@")[2])
    status = weights.stat()
    try:
        os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert isinstance(again(encoder), OpenClipEncoder)
        # The same weights in a new file: exported again, by whoever needs it next.
        again(encoder).encode_images(squares[:1])
        assert isinstance(again(encoder), ExportedEncoder)
    finally:
        os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    export_now(reference, squares)
    weights.rename(tmp_path / "away")
    try:
        light = again(encoder)
        assert isinstance(light, ExportedEncoder), "as with texts, the tower stands for weights that are gone"
        assert light.encode_images(squares[:2]).shape == (2, light.info.dim)
        with pytest.raises(EncoderUnavailableError, match="there is no file"):
            light.encode_texts(["a red apple"])
    finally:
        (tmp_path / "away").rename(weights)


@pytest.mark.parametrize(
    "runtime",
    [Runtime(precision="int8"), Runtime(compile=True), Runtime(precision="bf16")],
    ids=["int8", "compile", "bf16"],
)
def test_what_the_user_chose_is_obeyed(reference: str, squares: Any, runtime: Runtime) -> None:
    encoder = export_now(reference, squares)
    if runtime.precision == "bf16" and not exported_bf16():
        pytest.skip("no bfloat16 on this CPU: refused by torch's plan, whatever is exported")
    assert isinstance(again(encoder, runtime), OpenClipEncoder)


def exported_bf16() -> bool:
    from imseek.encoders.device import this_machine

    return this_machine().cpu_bf16


def test_a_machine_that_may_have_a_gpu_asks_torch(
    reference: str, squares: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = export_now(reference, squares)
    monkeypatch.setattr(exported, "is_cpu_only", lambda: False)
    assert isinstance(again(encoder), OpenClipEncoder)
    assert isinstance(again(encoder, Runtime(device="cpu")), ExportedEncoder)


def test_texts_come_from_their_own_tower(reference: str, squares: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = export_now(reference, squares)
    both = again(encoder, modalities=("image", "text"))
    assert isinstance(both, ExportedEncoder)
    expected = both.encode_texts(["a red apple"])  # on torch, and exported by that
    assert isinstance(both._torch_encoder, OpenClipEncoder)
    both = again(encoder, modalities=("image", "text"))
    assert isinstance(both, ExportedEncoder)
    assert np.abs(both.encode_texts(["a red apple"]) - expected).max() < 1e-5
    assert both.notes(["a red apple"]) == ()
    assert both._torch_encoder is None


def test_what_cannot_be_exported_is_refused_once(reference: str, squares: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[Path] = []

    def refuse(path: Path, *_: Any) -> None:
        tries.append(path)
        path.write_bytes(b"half")
        raise EncoderError("it cannot be written as ONNX: no such operator")

    monkeypatch.setattr(exported, "write_network", refuse)
    encoder = export_now(reference, squares)
    again(encoder).encode_images(squares[:1])
    folder = exported.image_tower_folder(encoder.info.reference, encoder.fingerprint())
    assert len(tries) == 1
    assert isinstance(again(encoder), OpenClipEncoder)
    assert "no such operator" in str(exported.ImageTowerMetadata.read(folder).refused)
    assert sorted(path.name for path in folder.iterdir()) == ["encoder.json", "manifest.json"]


def test_an_unwritable_cache_costs_only_time(
    reference: str, squares: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Path:
        raise EncoderUnavailableError("cannot fill the cache folder")

    monkeypatch.setattr(exported, "build_once", refuse)
    encoder = export_now(reference, squares)
    assert encoder.encode_images(squares).shape == (8, encoder.info.dim)


def test_damage_is_a_clear_error_or_made_good(reference: str, squares: Any) -> None:
    encoder = export_now(reference, squares)
    folder = exported.image_tower_folder(encoder.info.reference, encoder.fingerprint())
    whole = (folder / "image.onnx").read_bytes()
    (folder / "image.onnx").write_bytes(whole[: len(whole) // 2])
    mended = again(encoder)
    assert isinstance(mended, OpenClipEncoder)
    mended.encode_images(squares[:1])
    assert isinstance(again(encoder), ExportedEncoder)
    for name in ("encoder.json", "image.onnx"):
        path = folder / name
        status, whole = path.stat(), path.read_bytes()
        path.write_bytes(b"\xff" * len(whole))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(EncoderError) as caught:
            again(encoder).encode_images(squares[:1])
        assert str(folder) in (caught.value.hint or "")
        path.write_bytes(whole)


def test_a_collection_takes_new_pictures_by_it(
    reference: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = files_of(photos)
    said: list[str] = []
    with imseek.create(tmp_path / "collection", encoder=reference) as collection:
        collection.index(paths[:2])
    for path in paths[2:5]:
        with imseek.open(tmp_path / "collection", runtime=FP32, notify=said.append) as collection:
            assert collection.index([path]).added == 1
    assert len(said) == 1
    with imseek.open(tmp_path / "collection", runtime=FP32) as collection:
        for path in paths[:5]:
            (hit,) = collection.search(path, limit=1).hits
            assert (hit.path, round(hit.score, 3)) == (str(path), 1.0)
    weights, model = Path(reference.partition("@")[2]), reference.partition(":")[2].partition("@")[0]
    whole, other = weights.read_bytes(), open_clip.create_model(model).state_dict()
    try:
        safetensors.torch.save_file({name: one.contiguous() for name, one in other.items()}, weights)
        collection = imseek.open(tmp_path / "collection", runtime=FP32)
        with collection, pytest.raises(EncoderMismatchError, match="other weights"):
            collection.index([paths[6]])
    finally:
        weights.write_bytes(whole)


#: A process of its own: encodes one picture and prints the modules that it took.
COLD = """
import json, sys
import numpy as np
from imseek.encoders import load
reference, fingerprint = sys.argv[1:]
encoder = load(reference, modalities=("image",), fingerprint=fingerprint)
rows = encoder.encode_images(np.full((1, 32, 32, 3), 99, dtype=np.uint8))
print(json.dumps({"rows": rows.tolist(), "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def test_a_process_that_encodes_one_picture_imports_nothing_heavy(reference: str, squares: Any) -> None:
    encoder = export_now(reference, squares)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", COLD, reference, encoder.fingerprint()],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    expected = encoder.encode_images(np.full((1, 32, 32, 3), 99, dtype=np.uint8))
    np.testing.assert_allclose(answer["rows"], expected, atol=1e-4)
    others = set(answer["modules"]) - set(sys.stdlib_module_names)
    assert {name for name in others if not name.startswith("_")} <= {
        "imseek",
        "numpy",
        "onnxruntime",
        "platformdirs",
    }
