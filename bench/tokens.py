"""Gain of the reranker ``tokens`` on the captioned stamps of Tux Paint: learned on half A, measured on half B.

    python bench/tokens.py [--stamps DIR] [--noise 1 2 4] [--folds 4] [--no-b]

Each caption is a query with its own stamp as the right answer; the reranker reorders the best 100 of `builtin`.
Features of patches are those of `builtin` (49 cells), or simulated: each word of the caption, as MiniLM's state, is
mapped into the features' space and added to a random cell, with noise of some length. The alignment that the model
starts from is then right for half of the dimensions only: the rest has to be learned.

Cross-validation on half A chooses and stops by its own parts; half B is opened once, with --no-b not at all.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import recorder
from hybrid import read_captions
from quality import find_stamps

from imseek.encoders.builtin import BuiltinEncoder
from imseek.encoders.patch_features import PatchAlignment
from imseek.encoders.token_interaction import WORDS
from imseek.media import decode
from imseek.progress import SILENT
from imseek.tune import reranker
from imseek.tune.reranker import Part

#: Dimensions of the simulated alignment that are right, of 384.
KNOWN = 192


class Features:
    """Stamps of a half: features of patches, vectors, states of words."""

    def __init__(self, stamps: Path, half: str, encoder: BuiltinEncoder) -> None:
        captions = read_captions(stamps, half)
        draft = encoder.info.draft_size
        pictures = [
            encoder.prepare(decode((stamps / name).read_bytes(), min_side=draft, measured=False).pixels)
            for name in captions
        ]
        batches = [np.stack(pictures[n : n + 32]) for n in range(0, len(pictures), 32)]
        self.features = np.concatenate([encoder.patch_features(one).astype(np.float16) for one in batches])
        self.images = np.concatenate([encoder.encode_images(one) for one in batches])
        self.texts, self.text_of = np.unique(list(captions.values()), return_inverse=True)
        self.states = encoder.token_states(self.texts.tolist(), WORDS)
        self.words = encoder.encode_texts(self.texts.tolist())

    def select(self, texts: Sequence[int], features: np.ndarray | None = None) -> Part:
        """The captions with these numbers, and their stamps; ``features`` replace those of the encoder."""
        place = {text: n for n, text in enumerate(texts)}
        images = np.array([n for n, text in enumerate(self.text_of.tolist()) if text in place])
        text_index = np.array([place[text] for text in self.text_of[images].tolist()])
        source = self.features if features is None else features
        return Part(
            features=source[images],
            images=self.images[images],
            states=tuple(self.states[text] for text in texts),
            words=self.words[list(texts)],
            pairs=np.stack([text_index, np.arange(len(images))], axis=1),
            groups=np.arange(len(texts)),
        )


class SimulatedFeatures:
    """A simulated alignment, and features that contain the words of captions."""

    def __init__(self, noise: float) -> None:
        generator = np.random.default_rng(0)
        self._noise = noise
        self._turn = generator.standard_normal((384, 1280)).astype(np.float32) / 1280**0.5
        guess = np.linalg.pinv(self._turn).astype(np.float32)
        guess[:, KNOWN:] = 0
        zeros = np.zeros(384, np.float32)
        self._alignment = PatchAlignment(guess, zeros, np.eye(384, dtype=np.float32), zeros)

    def patch_alignment(self) -> PatchAlignment:
        return self._alignment

    def features(self, half: Features) -> np.ndarray:
        generator = np.random.default_rng(1)
        cells = generator.standard_normal(half.features.shape).astype(np.float32) * (self._noise / 1280**0.5)
        for row, text in zip(cells, half.text_of.tolist(), strict=True):
            words = half.states[text] / np.linalg.norm(half.states[text], axis=1, keepdims=True)
            row[generator.choice(len(row), len(words), replace=False)] += words @ self._turn
        return cells.astype(np.float16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--noise", type=float, nargs="*", default=[1, 2, 4], help="length of the noise in a cell")
    parser.add_argument("--folds", type=int, default=4, help="parts of half A that are held out in turn; 0: none")
    parser.add_argument("--no-b", action="store_true", help="leave half B closed")
    options = parser.parse_args()
    stamps, encoder = options.stamps or find_stamps(), BuiltinEncoder()
    half_a = Features(stamps, "A", encoder)
    half_b = None if options.no_b else Features(stamps, "B", encoder)
    print("| features | held out | R@1 / R@10 / 1 / rank before | after | steps, weight | 1 / rank gained (99 %) | s |")
    print("|---|---|---|---|---|---|---|")
    for name, source in [
        ("builtin", encoder),
        *((f"simulated, noise {one:g}", SimulatedFeatures(one)) for one in options.noise),
    ]:
        features_a = None if source is encoder else source.features(half_a)
        texts = np.random.default_rng(0).permutation(len(half_a.texts))
        for fold in range(options.folds):
            held_out = texts[fold :: options.folds]
            rest = np.setdiff1d(texts, held_out, assume_unique=True)
            cut = len(rest) // 5
            parts = [half_a.select(some.tolist(), features_a) for some in (rest[cut:], rest[:cut], held_out)]
            measure(name, f"A, {fold + 1} of {options.folds}", parts, source)
        if half_b is not None:
            cut = len(texts) // 5
            parts = [half_a.select(some.tolist(), features_a) for some in (texts[cut:], texts[:cut])]
            features_b = None if source is encoder else source.features(half_b)
            parts.append(half_b.select(range(len(half_b.texts)), features_b))
            measure(name, "B", parts, source)


def measure(name: str, held_out: str, parts: Sequence[Part], source: object) -> None:
    start = time.process_time()
    outcome = reranker.learn(parts, source, 0, SILENT)  # type: ignore[arg-type]
    assert outcome is not None
    report, seconds = outcome[1], time.process_time() - start
    figures = [f"{one.r1:.3f} / {one.r10:.3f} / {one.precision:.3f}" for one in (report.before, report.after)]
    gain = f"{report.gain.value:+.3f} [{report.gain.low:+.3f}, {report.gain.high:+.3f}]"
    row = (name, f"{held_out} ({report.before.questions})", *figures, f"{report.steps}, {report.weight:g}", gain)
    print(f"| {' | '.join(row)} | {seconds:.0f} |", flush=True)
    recorder.add_row(
        "gains", features=name, held_out=held_out, before=report.before.precision, after=report.after.precision,
        gain=report.gain.value, low=report.gain.low, high=report.gain.high, steps=report.steps, weight=report.weight,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(recorder.run(main))
