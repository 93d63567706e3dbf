"""Quality of the built-in encoder: words to pictures, over the captioned stamps of Tux Paint.

    python bench/quality.py [--stamps DIR] [--half B]

Prints a Markdown table for docs/log.md. A caption is a query and its own picture the only right answer: of the
three stamps called "An orange." two are wrong. Encoders see pixels only, never names. Stamps are split by a
hash of their relative path: choices were made on half A, half B is for reporting. Intervals are 95 % bootstrap
intervals over queries; the last column is the difference from the shipped encoder in mean reciprocal rank (the
most sensitive of these figures), paired query by query.

A negative control must be worse than the shipped encoder by more than chance, else the exit code is 1: a
measurement that cannot tell a broken pipeline from a sound one says nothing about the sound one either.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
import recorder
import torch
from torch_networks import EfficientNetLite0

from imseek.encoders import load
from imseek.encoders.base import Encoder
from imseek.encoders.builtin import BuiltinEncoder, onnx_cache, space
from imseek.encoders.builtin.head import load_head
from imseek.encoders.builtin.recipe import PREPROCESSING
from imseek.encoders.builtin.text import TextTower
from imseek.encoders.builtin.weights import LITE0, class_names
from imseek.encoders.cache import cache_dir
from imseek.encoders.input_checks import available_cpus, unit_rows
from imseek.encoders.onnx_network import Network
from imseek.encoders.preprocess import Preprocessing
from imseek.media import decode
from imseek.media.resize import resize
from imseek.types.arrays import Float32, Pixels

INSTALLED = Path("/usr/share/tuxpaint/stamps")
PACKAGE = "tuxpaint-stamps-default"
RESAMPLES = 5000
SHIPPED = "**builtin, as shipped**"
BATCH = 16


@dataclass(frozen=True)
class Stamp:
    pixels: Pixels
    caption: str


@dataclass(frozen=True)
class Result:
    """``ranks`` holds, per caption, the rank of its own picture, from 1."""

    name: str
    ranks: np.ndarray
    control: bool = False

    def hits(self, k: int) -> np.ndarray:
        """(n,) float: 1 where the rank is at most ``k``."""
        return (self.ranks <= k).astype(float)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    arguments = parser.parse_args()
    stamps = list(read_stamps(arguments.stamps or find_stamps(), arguments.half))
    results = [*compare(stamps), *controls(stamps)]
    shipped = next(result for result in results if result.name == SHIPPED)
    print(f"{len(stamps)} captioned stamps, half {arguments.half}; 95 % intervals in brackets\n")
    print("| representation | R@1 | R@5 | R@10 | median rank | MRR − shipped |\n|---|---|---|---|---|---|")
    sound = True
    for result in results:
        cells = [f"{result.hits(k).mean():.3f} {brackets(result.hits(k), '.3f')}" for k in (1, 5, 10)]
        cells.append(f"{np.median(result.ranks):.0f} {brackets(result.ranks, '.0f', np.median)}")
        difference = 1 / result.ranks - 1 / shipped.ranks
        cells.append("" if result is shipped else f"{difference.mean():+.3f} {brackets(difference, '+.3f')}")
        print(f"| {'control: ' if result.control else ''}{result.name} | {' | '.join(cells)} |")
        recorder.add_row(
            "representations",
            name=result.name,
            control=result.control,
            **{f"r_at_{k}": result.hits(k).mean() for k in (1, 5, 10)},
            **{f"r_at_{k}_interval": interval(result.hits(k)) for k in (1, 5, 10)},
            median_rank=np.median(result.ranks),
            mrr_less_shipped=difference.mean(),
            mrr_less_shipped_interval=interval(difference),
        )
        sound &= not result.control or interval(difference)[1] < 0
    recorder.put(half=arguments.half, stamps=len(stamps), sound=sound)
    if not sound:
        print("a negative control is no worse than the shipped encoder", file=sys.stderr)
    return 0 if sound else 1


# -- stamps ------------------------------------------------------------------------------------------------


def find_stamps() -> Path:
    """Debian's folder of stamps; where it is not installed, the package's content in the cache folder."""
    if INSTALLED.is_dir():
        return INSTALLED
    folder = cache_dir() / "bench" / PACKAGE
    stamps = folder / INSTALLED.relative_to("/")
    if not stamps.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "-qq", "download", PACKAGE], cwd=folder, check=True)
        (package,) = folder.glob("*.deb")
        subprocess.run(["dpkg", "-x", package, folder], check=True)
    return stamps


def half_of(name: str) -> str:
    """``A``, for choosing settings, or ``B``, for reporting figures."""
    return "AB"[hashlib.sha256(name.encode()).digest()[0] & 1]


def stamp_names(folder: Path) -> list[str]:
    """Paths below the folder of stamps, in order."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def read_stamps(folder: Path, half: str) -> Iterator[Stamp]:
    """The stamps outside symbols/ whose text file starts with an English caption, in order of path."""
    for path in sorted(folder.rglob("*.png")):
        relative = path.relative_to(folder).as_posix()
        text = path.with_suffix(".txt")
        if relative.startswith("symbols/") or not text.exists():
            continue
        caption = text.read_text("utf-8", "replace").partition("\n")[0].strip()
        if caption and half_of(relative) == half:
            yield Stamp(decode(path.read_bytes()).pixels, caption)


# -- representations ---------------------------------------------------------------------------------------


def compare(stamps: Sequence[Stamp]) -> Iterator[Result]:
    """Yield representations from the first trial to the shipped encoder, one change at a time."""
    captions = [stamp.caption for stamp in stamps]
    network = Network(onnx_cache.image_network(), threads=available_cpus())
    text_file, classes_file = onnx_cache.text_network()
    tower = TextTower(text_file, threads=available_cpus())
    queries = tower(captions)
    plain, prompted = tower(class_names()), np.load(classes_file)

    def texts(classes: Float32, sharpness: float = space.TEXT_SHARPNESS) -> Float32:
        return np.sqrt(space.softmax(np.float32(sharpness) * (queries @ classes.T)))

    def images(logits: Float32, temperature: float = 1.0) -> Float32:
        return np.sqrt(space.softmax(logits / temperature))

    whole = logits_of(network, [PREPROCESSING.prepare(stamp.pixels) for stamp in stamps])
    crop = logits_of(network, [central_crop(stamp.pixels, 256) for stamp in stamps])
    middle = logits_of(network, [central_crop(stamp.pixels, 224) for stamp in stamps])
    yield rank("first trial: ConSE, T = 2, top 50", queries, conse(crop, plain))
    yield rank("ConSE with three prompts", queries, conse(crop, prompted))
    yield rank("Bhattacharyya, one prompt", texts(plain), images(crop))
    yield rank("Bhattacharyya, three prompts", texts(prompted), images(crop))
    yield rank("the same, whole short side", texts(prompted), images(middle))
    yield rank("the same, whole picture squashed", texts(prompted), images(whole))
    yield rank("the same, sharpness 30, T = 1.5", texts(prompted, 30.0), images(whole, 1.5))
    pixels = [stamp.pixels for stamp in stamps]
    old = BuiltinEncoder(version=1)
    yield rank("version 1 (+ colour)", old.encode_texts(captions), encode(pixels, old))
    yield rank(SHIPPED, load("builtin").encode_texts(captions), encode(pixels))


def controls(stamps: Sequence[Stamp]) -> Iterator[Result]:
    """The shipped encoder, with one thing broken."""
    captions = [stamp.caption for stamp in stamps]
    pixels = [stamp.pixels for stamp in stamps]
    texts = load("builtin").encode_texts(captions)

    def control(name: str, rows: Float32) -> Result:
        return replace(rank(name, texts, rows), control=True)

    small = [resize(picture, (16, 16)) for picture in pixels]
    yield control("pictures of 16 × 16", encode(small))
    yield control("channels swapped", encode([picture[..., ::-1] for picture in pixels]))
    squares = np.stack([PREPROCESSING.prepare(picture) for picture in pixels])
    logits, features = wrongly_normalised(squares)
    rows = space.image_rows(logits, squares, load_head().image_rows(features))
    yield control("mean and deviation of torchvision", rows)
    permutation = np.random.default_rng(0).permutation(len(pixels))
    yield control("captions shuffled", encode(pixels)[permutation])


def conse(logits: Float32, classes: Float32) -> Float32:
    """Norouzi et al. 2013: the class vectors of the 50 likeliest classes, weighted by probability, T = 2."""
    shares = space.softmax(logits / np.float32(2))
    least = np.sort(shares, axis=1)[:, -50, None]
    return unit_rows(np.where(shares >= least, shares, 0) @ classes)


def central_crop(pixels: Pixels, short_side: int) -> Pixels:
    """The short side resized to ``short_side``, then the central 224 × 224; 256 is how Lite0 was tested."""
    preprocessing: Preprocessing = replace(PREPROCESSING, size=short_side, resize="shortest")
    edge = (short_side - PREPROCESSING.size) // 2
    return preprocessing.square(pixels)[edge : short_side - edge, edge : short_side - edge]


def encode(pictures: Sequence[Pixels], encoder: Encoder | None = None) -> Float32:
    encoder = encoder or load("builtin")
    return encoder.encode_images(np.stack([encoder.prepare(picture) for picture in pictures]))


def logits_of(network: Network, squares: Sequence[Pixels]) -> Float32:
    batches = [np.stack(squares[i : i + BATCH]) for i in range(0, len(squares), BATCH)]
    return np.concatenate([network({"pixels": batch}) for batch in batches])


def wrongly_normalised(squares: Pixels) -> tuple[Float32, Float32]:
    """Logits and features of Lite0 behind the constants that most networks for ImageNet were trained with."""
    state = torch.load(LITE0.locate(), map_location="cpu", weights_only=True)
    network = EfficientNetLite0(state, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)).eval()
    with torch.inference_mode():
        batches = torch.from_numpy(squares).split(BATCH)
        features = torch.cat([network.features(batch) for batch in batches])
        logits = torch.nn.functional.linear(features, network.fc_weight, network.fc_bias)
    return logits.numpy(), features.numpy()


# -- figures -----------------------------------------------------------------------------------------------


def rank(name: str, texts: Float32, images: Float32) -> Result:
    """Rank the pictures, (n, dim), for each text, (n, dim). Ties count against the right one."""
    scores = texts @ images.T
    return Result(name, (scores >= np.diag(scores)[:, None]).sum(axis=1))


def interval(values: np.ndarray, figure: Callable[..., np.ndarray] = np.mean) -> tuple[float, float]:
    """The 95 % bootstrap interval of ``figure`` over (n,) values, by resampling queries."""
    draws = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(figure(values[draws], axis=1), [2.5, 97.5])
    return float(low), float(high)


def brackets(values: np.ndarray, form: str, figure: Callable[..., np.ndarray] = np.mean) -> str:
    low, high = interval(values, figure)
    return f"[{low:{form}}, {high:{form}}]"


if __name__ == "__main__":
    sys.exit(recorder.run(main))
