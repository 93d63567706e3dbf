"""Compare our vectors with those of each encoder's own library: one member of each family, with random weights.

    python bench/parity.py [--most MILLIONS] [--family NAME]...

Pictures and words go through our preparation, tokens and towers on one side, and through the transform, tokenizer
and model of open_clip, transformers or timm on the other, in float32. Prints a Markdown table for docs/log.md. Models
with up to ``--most`` million parameters are of their true architecture, larger ones of a reduced configuration with
the same keys (tests/parity). "own" tokenizers are open_clip's; a "stand-in" is of the class of the one on the hub,
with another vocabulary. The last columns are the largest difference of a component of a unit vector, and the
largest cosine between the vectors of two different pictures or texts: near 1, a difference of 0 says little.

The exit code is 1 where a difference is over 1e-5. The true architectures need about 6 GB of memory, 4 GB of disk
in the temporary folder, and some minutes.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import recorder
import skimage.data
from huggingface_hub import constants
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from parity import align, dinov2, eva_clip, families, long_clip, sentence_models, sscd, standins, transformers_families

from imseek.encoders import Encoder, Runtime, catalogue, load
from imseek.encoders.openclip.encoder import OpenClipEncoder
from imseek.types.arrays import Float32, Pixels

TOLERANCE = 1e-5
PICTURES = [skimage.data.astronaut(), skimage.data.chelsea()[:, :300], skimage.data.rocket()]
COLUMNS = (
    "family",
    "model",
    "parameters",
    "architecture",
    "tokenizer",
    "words ran on",
    "max Δ image",
    "max Δ text",
    "closest",
)
TEXTS = [*standins.CORPUS, "A Photo of a zebra's 2nd crossing!"]


@dataclass(frozen=True)
class Member:
    """``write`` writes it to the hub's cache in the given folder and returns its reference.

    ``reduced_only`` members have no writer of their true architecture.
    """

    family: str
    model: str
    millions: float
    tokenizer: str
    write: Callable[[Path, bool], str]
    library: Callable[[str], tuple[Float32, Float32 | None]]
    reduced_only: bool = False


@dataclass(frozen=True)
class Result:
    parameters: int
    images: float
    texts: float | None
    closest: tuple[float, float | None]
    text_runtime: str
    seconds: float


def members() -> list[Member]:
    entries = []
    for family in families.FAMILIES:
        entry = catalogue.find_encoder(f"openclip:{family.model}/{family.tag}")
        assert entry is not None
        entries.append(
            Member(
                family.name,
                family.model,
                (entry.image_parameters + (entry.text_parameters or 0)) / 1e6,
                "stand-in" if family.tokenizer else "own",
                lambda folder, true_size, family=family: families.write(family, folder, true_size=true_size),
                lambda reference: families.library_vectors(reference, PICTURES, TEXTS),
            )
        )

    def write_align(folder: Path, true_size: bool) -> str:
        files = folder / "align"
        files.mkdir()
        align.write(files, true_size=true_size)
        return f"align:{files}"

    def align_vectors(reference: str) -> tuple[Float32, Float32]:
        return align.library_vectors(Path(reference.removeprefix("align:")), PICTURES, TEXTS)

    entries.append(Member("ALIGN", "align-base", 172.1, "stand-in", write_align, align_vectors))
    entries.append(
        Member(
            "DINOv2",
            dinov2.MODEL,
            22.1,
            "no words",
            lambda folder, true_size: dinov2.write(folder),
            lambda reference: (dinov2.library_vectors(PICTURES), None),
        )
    )
    for name in dinov2.V3_MODELS:
        entries.append(
            Member(
                "DINOv3",
                name,
                28.0,
                "no words",
                lambda folder, true_size, name=name: dinov2.write(folder, name),
                lambda reference: (dinov2.library_vectors(PICTURES, reference.removeprefix("timm:")), None),
            )
        )
    entries += [_transformers_member(model) for model in transformers_families.MODELS]

    def long_clip_vectors(reference: str) -> tuple[Float32, Float32]:
        return long_clip.library_vectors(_folder(reference), PICTURES, TEXTS)

    entries.append(
        Member(
            "Long-CLIP",
            "LongCLIP-B",
            149.7,
            "own",
            lambda folder, true_size: long_clip.write(_make_folder(folder), true_size=true_size),
            long_clip_vectors,
        )
    )
    entries.append(
        Member(
            "EVA-CLIP",
            "EVA-CLIP-18B",
            18325,
            "own",
            lambda folder, true_size: eva_clip.write(_make_folder(folder)),
            lambda reference: eva_clip.library_vectors(_folder(reference), PICTURES, TEXTS),
            reduced_only=True,
        )
    )
    entries.append(
        Member(
            "SSCD",
            "sscd_resnet50",
            24.6,
            "no words",
            lambda folder, true_size: sscd.write(folder),
            lambda reference: (sscd.library_vectors(PICTURES), None),
        )
    )
    entries.append(
        Member(
            "sentence-transformers",
            "Meta CLIP 2 in modules",
            0.1,
            "stand-in",
            lambda folder, true_size: sentence_models.save(folder / "model"),
            lambda reference: sentence_models.library_vectors(_folder(reference), PICTURES, TEXTS),
            reduced_only=True,
        )
    )
    return entries


def _transformers_member(model: transformers_families.Model) -> Member:
    def vectors(reference: str) -> tuple[Float32, Float32 | None]:
        return transformers_families.library_vectors(model, _folder(reference), PICTURES, TEXTS)

    return Member(
        model.name,
        f"transformers {model.kind}",
        model.millions,
        "no words" if model.tokenizer is None else "stand-in",
        lambda folder, true_size: transformers_families.write(model, _make_folder(folder)),
        vectors,
        reduced_only=True,
    )


def _make_folder(folder: Path) -> Path:
    files = folder / "model"
    files.mkdir()
    return files


def _folder(reference: str) -> Path:
    return Path(reference.partition(":")[2])


def measure(member: Member, folder: Path, *, true_size: bool) -> Result:
    start = time.monotonic()
    reference = member.write(folder, true_size)
    gc.collect()
    encoder = load(reference, runtime=Runtime(precision="fp32"))
    images, texts, text_runtime = encode_ours(encoder)
    del encoder
    gc.collect()
    their_images, their_texts = member.library(reference)
    return Result(
        parameters=count_parameters(folder),
        images=difference(images, their_images),
        texts=None if texts is None or their_texts is None else difference(texts, their_texts),
        closest=(closest(their_images), None if their_texts is None else closest(their_texts)),
        text_runtime=text_runtime,
        seconds=time.monotonic() - start,
    )


def encode_ours(encoder: Encoder) -> tuple[Float32, Float32 | None, str]:
    """Unit rows of pictures and of texts, and the runtime that encoded the texts."""
    prepared: list[Pixels] = [encoder.prepare(picture) for picture in PICTURES]
    images = encoder.encode_images(np.stack(prepared))
    if "text" not in encoder.info.modalities:
        return images, None, "–"
    texts = encoder.encode_texts(TEXTS)
    on_torch = not isinstance(encoder, OpenClipEncoder) or any("torch" in n for n in encoder.notes(TEXTS))
    return images, texts, "torch" if on_torch else "ONNX"


def count_parameters(folder: Path) -> int:
    """Count the parameters in the file of weights in ``folder``."""
    file = next(iter(folder.rglob("*.safetensors")))  # the first, if the weights are saved twice
    with safe_open(file, framework="np") as weights:
        return sum(int(np.prod(weights.get_slice(name).get_shape())) for name in weights.keys())  # noqa: SIM118 - no mapping


def difference(ours: Float32, theirs: Float32) -> float:
    return float(np.abs(ours - theirs).max())


def closest(rows: Float32) -> float:
    cosines = rows @ rows.T
    return float(cosines[~np.eye(len(rows), dtype=bool)].max())


def row(member: Member, result: Result, *, true_size: bool) -> str:
    texts = "–" if result.texts is None else f"{result.texts:.1e}"
    cosines = " / ".join("–" if cosine is None else f"{cosine:.3f}" for cosine in result.closest)
    cells = (
        member.family,
        member.model,
        f"{result.parameters / 1e6:.1f} M",
        "true" if true_size else f"reduced (true: {member.millions:.0f} M)",
        member.tokenizer,
        result.text_runtime,
        f"{result.images:.1e}",
        texts,
        cosines,
    )
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=float, default=510, help="millions of parameters of a true architecture")
    parser.add_argument("--family", action="append", help="only this one; repeatable")
    arguments = parser.parse_args()
    selected = [member for member in members() if not arguments.family or member.family in arguments.family]
    print(f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", sep="\n", flush=True)
    faithful = True
    for member in selected:
        folder = Path(tempfile.mkdtemp(prefix="imseek-parity-"))
        constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE = str(folder / "hub"), True
        os.environ["IMSEEK_CACHE"] = str(folder / "cache")
        true_size = member.millions <= arguments.most and not member.reduced_only
        try:
            (folder / "hub").mkdir()
            result = measure(member, folder / "hub", true_size=true_size)
        finally:
            shutil.rmtree(folder)
        print(row(member, result, true_size=true_size), flush=True)
        print(f"{member.family}: {result.seconds:.0f} s", file=sys.stderr)
        recorder.add_row(
            "members",
            family=member.family,
            model=member.model,
            parameters=result.parameters,
            true_size=true_size,
            ran_on=result.text_runtime,
            image_difference=result.images,
            text_difference=result.texts,
            closest=result.closest,
            seconds=result.seconds,
        )
        faithful &= max(result.images, result.texts or 0) <= TOLERANCE
        gc.collect()
    return 0 if faithful else 1


if __name__ == "__main__":
    sys.exit(recorder.run(main))
