"""Gates on everything that makes encoding faster: half precision, int8, reduced decoding.

    python bench/precision.py [--stamps DIR] [--half B]

Prints a Markdown table for docs/log.md. The networks have trained weights, which ship as packages: EfficientNet-Lite0
(convolutions; pictures are stamps) and MiniLM (a transformer; its token ids travel through the image tower as
pixels, texts are the stamps' captions). Every row goes through the classes that encode a user's pictures. Columns:
cosine to float32 vectors of the same inputs; the same after subtracting the mean, since all pictures have much in
common; how many of each input's ten nearest stay among them; recall of a caption's own stamp among the first ten
(by EfficientNet's classes and MiniLM, as in the built-in encoder).

Negative controls are float32 vectors of broken inputs and must fail the gate of int8, the loosest one. A row that
the product uses must pass its own gate. Else the exit code is 1.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
import recorder
import safetensors.torch
import torch
from PIL import Image
from quality import Stamp, find_stamps, rank, read_stamps
from torch import nn
from torch_networks import EfficientNetLite0, MiniLM

from imseek.encoders.builtin import BuiltinEncoder, space
from imseek.encoders.builtin.recipe import PREPROCESSING
from imseek.encoders.builtin.weights import LITE0, MINILM, TOKENIZER
from imseek.encoders.device import Plan
from imseek.encoders.input_checks import unit_rows
from imseek.encoders.int8 import Int8Images
from imseek.encoders.precision_check import MIN_MEAN_COSINE
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.encoders.torch_images import TorchImages
from imseek.media import decode
from imseek.media.resize import resize
from imseek.types.arrays import Float32, Pixels

DRAFT_GATE = 0.999
TORCHVISION = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
#: 64 tokens to a text: red × 256 + green, blue where there is one.
TOKENS = Preprocessing(8, "squash", "bicubic", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
CAMERA = (3000, 2250)  # 6.75 megapixels


@dataclass(frozen=True)
class Row:
    """``gate`` is the mean cosine to reach (a control: to miss); ``used`` tells whether the product relies on it."""

    name: str
    exact: Float32
    approximate: Float32
    gate: float
    recall: float | None = None
    control: bool = False
    used: bool = True

    @property
    def passes(self) -> bool:
        return float((self.exact * self.approximate).sum(axis=1).mean()) >= self.gate

    @property
    def sound(self) -> bool:
        return not self.passes if self.control else self.passes or not self.used

    def cells(self) -> list[str]:
        cosines = (self.exact * self.approximate).sum(axis=1)
        mean = self.exact.mean(axis=0)
        centred = (unit_rows(self.exact - mean) * unit_rows(self.approximate - mean)).sum(axis=1)
        verdict = "passes" if self.passes else "fails"
        return [
            f"{'control: ' if self.control else ''}{self.name}",
            f"{cosines.mean():.5f} / {cosines.min():.5f}",
            f"{centred.mean():.4f} / {centred.min():.4f}",
            f"{overlap(self.exact, self.approximate):.3f}",
            "" if self.recall is None else f"{self.recall:.3f}",
            f"{verdict} {self.gate}{'' if self.control or self.used else ', not used'}",
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B")
    options = parser.parse_args()
    stamps = list(read_stamps(options.stamps or find_stamps(), options.half))
    print(f"{len(stamps)} stamps and captions, half {options.half}; torch {torch.__version__}\n")
    print("| trained network, mode | cosine mean / min | centred | top-10 overlap | R@10 | gate |")
    print("|---|---|---|---|---|---|")
    sound = True
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IMSEEK_CACHE"] = folder  # a network in int8 is made anew, by the code as it is
        for rows in (lite0(stamps), minilm([stamp.caption for stamp in stamps]), reduced_decoding(stamps)):
            for row in rows:
                print(f"| {' | '.join(row.cells())} |", flush=True)
                cosines = (row.exact * row.approximate).sum(axis=1)
                recorder.add_row(
                    "modes",
                    name=row.name,
                    control=row.control,
                    used=row.used,
                    mean_cosine=cosines.mean(),
                    least_cosine=cosines.min(),
                    overlap_of_10=overlap(row.exact, row.approximate),
                    recall_at_10=row.recall,
                    gate=row.gate,
                    passes=row.passes,
                )
                sound &= row.sound
    recorder.put(half=options.half, stamps=len(stamps), sound=sound)
    if not sound:
        print("a mode in use fails its gate, or a negative control passes it", file=sys.stderr)
    return 0 if sound else 1


def overlap(exact: Float32, approximate: Float32) -> float:
    """Mean share of each row's ten nearest others that stay among them."""

    def nearest(rows: Float32) -> np.ndarray:
        scores = rows @ rows.T
        np.fill_diagonal(scores, -np.inf)
        return np.argpartition(-scores, 10, axis=1)[:, :10]

    pairs = zip(nearest(exact), nearest(approximate), strict=True)
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in pairs]))


def on_torch(
    module: nn.Module, pixels: Pixels, record: Preprocessing = PREPROCESSING, precision: str = "fp32"
) -> Float32:
    """Encode on the CPU even if it lacks instructions for the precision: slow, but no less precise."""
    return TorchImages(module, record, Runtime(), Plan("cpu", precision, 16))(pixels)


# -- EfficientNet-Lite0 ------------------------------------------------------------------------------------


class Features(nn.Module):
    """The (n, 1280) pooled features of EfficientNet-Lite0; ``pooled`` stores them unnormalised."""

    def __init__(self) -> None:
        super().__init__()
        state = torch.load(LITE0.locate(), map_location="cpu", weights_only=True)
        self.network = EfficientNetLite0(state, mean=PREPROCESSING.mean, std=PREPROCESSING.std)
        self.weight, self.bias = state["_fc.weight"], state["_fc.bias"]
        self.pooled: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        network = self.network
        rows = network.head(network.blocks(network.stem(x))).mean(dim=(2, 3))
        self.pooled.append(rows.float())
        return rows

    def logits(self) -> Float32:
        """(n, 1000), of all inputs so far."""
        return nn.functional.linear(torch.cat(self.pooled), self.weight, self.bias).numpy()


def lite0(stamps: Sequence[Stamp]) -> Iterator[Row]:
    # Version 1 uses EfficientNet's classes alone.
    texts = BuiltinEncoder(version=1).encode_texts([stamp.caption for stamp in stamps])
    squares = np.stack([PREPROCESSING.prepare(stamp.pixels) for stamp in stamps])
    exact = on_torch(Features(), squares)

    def row(
        name: str,
        gate: float,
        pixels: Pixels = squares,
        *,
        record: Preprocessing = PREPROCESSING,
        precision: str = "fp32",
        **kind: bool,
    ) -> Row:
        features = Features()
        vectors = on_torch(features, pixels, record, precision)
        recall = rank("", texts, space.image_rows(features.logits(), pixels)).hits(10).mean()
        return Row(f"EfficientNet-Lite0, {name}", exact, vectors, gate, float(recall), **kind)

    small = np.stack([PREPROCESSING.prepare(resize(stamp.pixels, (16, 16))) for stamp in stamps])
    wrong = replace(PREPROCESSING, **TORCHVISION)
    yield row("fp32", 1 - 1e-6)
    yield row("fp16", MIN_MEAN_COSINE["fp16"], precision="fp16")
    # The guard (imseek/encoders/precision_check.py) decides on its use; depthwise convolutions are the hardest case.
    yield row("bf16", MIN_MEAN_COSINE["bf16"], precision="bf16", used=False)
    yield row("pictures of 16 × 16", MIN_MEAN_COSINE["int8"], small, control=True)
    yield row("channels swapped", MIN_MEAN_COSINE["int8"], squares[..., ::-1], control=True)
    yield row("torchvision's mean and deviation", MIN_MEAN_COSINE["int8"], record=wrong, control=True)


# -- MiniLM ------------------------------------------------------------------------------------------------


class TokenTower(nn.Module):
    """MiniLM with pixels as inputs, which stand for its tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.network = MiniLM(safetensors.torch.load(MINILM.read()))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        red, green, blue = values.flatten(2).unbind(1)
        ids = (red.long() * 256 + green.long()) % len(self.network.words)  # the export tries random pixels
        return self.network(ids, (blue > 0).long())


def as_pixels(texts: Sequence[str]) -> Pixels:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(TOKENIZER.read().decode())
    tokenizer.enable_truncation(TOKENS.size**2)
    tokenizer.no_padding()
    pixels = np.zeros((len(texts), TOKENS.size**2, 3), dtype=np.uint8)
    for row, text in zip(pixels, texts, strict=True):
        ids = np.array(tokenizer.encode(text).ids)
        row[: len(ids)] = np.stack([ids >> 8, ids & 255, np.ones_like(ids)], axis=1)
    return pixels.reshape(-1, TOKENS.size, TOKENS.size, 3)


def minilm(captions: Sequence[str]) -> Iterator[Row]:
    captions = [caption for caption in dict.fromkeys(captions) if len(caption.split()) > 2]
    pixels = as_pixels(captions)
    exact = on_torch(TokenTower(), pixels, TOKENS)

    def row(name: str, gate: float, vectors: Float32, *, control: bool = False) -> Row:
        return Row(f"MiniLM, {name}", exact, vectors, gate, control=control)

    def encode_broken(change: Callable[[list[str]], list[str]]) -> Float32:
        return on_torch(TokenTower(), as_pixels([" ".join(change(text.split())) for text in captions]), TOKENS)

    yield row("fp16", MIN_MEAN_COSINE["fp16"], on_torch(TokenTower(), pixels, TOKENS, "fp16"))
    yield row("bf16", MIN_MEAN_COSINE["bf16"], on_torch(TokenTower(), pixels, TOKENS, "bf16"))
    yield row("int8", MIN_MEAN_COSINE["int8"], Int8Images(TokenTower, "minilm", TOKENS, Runtime())(pixels))
    yield row("last word missing", MIN_MEAN_COSINE["int8"], encode_broken(lambda words: words[:-1]), control=True)
    yield row("words in reverse", MIN_MEAN_COSINE["int8"], encode_broken(lambda words: words[::-1]), control=True)


# -- reduced decoding --------------------------------------------------------------------------------------


def reduced_decoding(stamps: Sequence[Stamp]) -> Iterator[Row]:
    """Stamps enlarged to a camera's size and stored as a camera does, with colour at half the resolution."""
    files = []
    for stamp in stamps[::6]:
        file = io.BytesIO()
        large = Image.fromarray(stamp.pixels).resize(CAMERA, Image.Resampling.LANCZOS)
        large.save(file, "jpeg", quality=92, subsampling="4:2:0")
        files.append(file.getvalue())

    def encode_files(min_side: int | None) -> Float32:
        squares = [PREPROCESSING.prepare(decode(data, min_side=min_side).pixels) for data in files]
        return on_torch(Features(), np.stack(squares))

    exact = encode_files(None)
    side = Runtime().draft_size(PREPROCESSING.size)
    assert side is not None
    yield Row(f"EfficientNet-Lite0, JPEGs decoded to {side} or more", exact, encode_files(side), DRAFT_GATE)
    yield Row("EfficientNet-Lite0, JPEGs decoded to 16 or more", exact, encode_files(16), DRAFT_GATE, control=True)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
