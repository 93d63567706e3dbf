"""Text in pictures: words found, words invented, what the gate loses, and images a second, beside Tesseract.

    python bench/ocr.py [--pictures 120] [--photos 160] [--seed 2] [--no-tesseract] [--no-languages]
    python bench/ocr.py --shapes 20 [--handwriting FOLDER] [--seed 2] [--no-tesseract]

Pictures of 640 × 480 are drawn (drawn_text.py): pages, screenshots, words over photographs and on plates over them,
of 12 to 60 pixels, in Latin, Greek, Cyrillic and Chinese, clean and damaged (rotated, blurred, noisy, JPEG 40).
An eighth as many are screenshots of 1920 × 1080, and an eighth as many photographs without text have 12 megapixels.
``--shapes`` draws as many pages of each shape in their place: light on dark, small letters, perspective, curved lines,
sideways, upside down, and handwriting (fonts of Debian's fonts-breip, -dkg-handwriting, -femkeklaver and -kristi).
The least confidences of the gate and of lines were tuned with seeds 1 and 11. A word counts if it is found
as a word, case and accents aside; in Chinese, where its characters stand beside each other. Tesseract is Debian's, told
the language of each picture; its words below a confidence of 60 do not count.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import recorder
from drawn_text import (
    CAMERA,
    FOLDER,
    DrawnPicture,
    draw_all,
    draw_desktops,
    draw_shapes,
    missing_fonts,
    photographs_without_text,
)
from PIL import Image

from imseek.ocr import pp_ocr as networks
from imseek.ocr.picture_text import read_picture
from imseek.ocr.pp_ocr import Recogniser, recogniser_name

TESSERACT = {"latin": "eng", "greek": "ell", "cyrillic": "rus", "chinese": "chi_sim"}
#: Scripts that the shipped networks were trained on.
TRAINED = ("latin", "chinese")
MIN_CONFIDENCE = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=120)
    parser.add_argument("--photos", type=int, default=160)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--no-tesseract", action="store_true", help="Tesseract is not measured beside imseek")
    parser.add_argument("--no-languages", action="store_true", help="imseek has no Tesseract for Greek and Cyrillic")
    parser.add_argument("--shapes", type=int, default=0)
    parser.add_argument("--handwriting", type=Path, default=FOLDER, help="where fonts after handwriting are")
    options = parser.parse_args()
    if missing := missing_fonts():
        print(f"missing fonts: {', '.join(missing)} (bench/README.md says where they come from)", file=sys.stderr)
        return 1
    if options.no_languages:
        networks.find_tesseract = lambda: None  # type: ignore[assignment]
    recogniser = Recogniser()
    print(recogniser_name())
    recorder.put(recogniser=recogniser_name())
    ways: dict[str, Callable[[bytes, str], str]] = {
        "imseek": lambda data, _: "\n".join(line.text for line in read_picture(data, recogniser))
    }
    if shutil.which("tesseract") and not options.no_tesseract:
        ways["tesseract"] = read_by_tesseract
    if options.shapes:
        shapes = list(draw_shapes(options.shapes, options.seed, options.handwriting))
        files = [png(one.picture) for one in shapes]
        for way, read in ways.items():
            texts, speed = read_all(read, files, ["latin"] * len(files))
            report_words(way, "shapes", shapes, texts)
            report_speed(way, "shapes", len(files), *speed)
        return 0
    clean = list(draw_all(options.pictures, options.seed, damaged=False))
    damaged = list(draw_all(options.pictures, options.seed, damaged=True))
    desktops = list(draw_desktops(max(1, options.pictures // 8), options.seed))
    photos = list(photographs_without_text(options.photos, options.seed))
    large = list(photographs_without_text(max(1, options.photos // 8), options.seed, CAMERA))
    measure_gate("small", recogniser, [*clean, *damaged], photos)
    measure_gate("large", recogniser, desktops, large)
    sets = {
        name: ([png(one.picture) for one in drawn], drawn)
        for name, drawn in (("clean", clean), ("damaged", damaged), ("desktops", desktops))
    }
    for way, read in ways.items():
        for name, (files, samples) in sets.items():
            texts, speed = read_all(read, files, [one.script for one in samples])
            report_words(way, name, samples, texts)
            report_speed(way, name, len(files), *speed)
        for name, pictures in (("photos", photos), ("12 MP", large)):
            files = [jpeg(photo) for photo in pictures]
            texts, speed = read_all(read, files, ["latin"] * len(files))
            words = sum(len(re.findall(r"\w+", text)) for text in texts) / len(files)
            print(f"{way:10} {name:8}  {words:.3f} false words a photo")
            recorder.add_row("photos", way=way, set=name, false_words_per_photo=words)
            report_speed(way, name, len(files), *speed)
    return 0


def read_by_tesseract(data: bytes, script: str) -> str:
    with tempfile.NamedTemporaryFile(suffix=".img") as file:
        file.write(data)
        file.flush()
        command = ["tesseract", file.name, "-", "-l", TESSERACT[script], "tsv"]
        process = subprocess.run(
            command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_THREAD_LIMIT": "1"}
        )
    rows = csv.DictReader(io.StringIO(process.stdout), delimiter="\t", quoting=csv.QUOTE_NONE)
    return " ".join(row["text"] for row in rows if row["text"] and float(row["conf"]) >= MIN_CONFIDENCE)


def read_all(
    read: Callable[[bytes, str], str], files: Sequence[bytes], scripts: Sequence[str]
) -> tuple[list[str], tuple[float, float]]:
    """Read files in as many threads as cores; return texts, and wall and processor seconds."""
    read(files[0], scripts[0])
    before, start = processor_seconds(), time.perf_counter()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        texts = list(threads.map(read, files, scripts))
    return texts, (time.perf_counter() - start, processor_seconds() - before)


def measure_gate(
    name: str, recogniser: Recogniser, pictures: Iterable[DrawnPicture], photos: Iterable[Image.Image]
) -> None:
    lost = [not recogniser.has_text(np.asarray(one.picture)) for one in pictures]
    passes = [recogniser.has_text(np.asarray(photo)) for photo in photos]
    print(f"gate, {name}: {np.mean(lost):.3f} of pictures with text lost, {np.mean(passes):.3f} of photos passed")
    recorder.add_row("gate", set=name, lost_share=float(np.mean(lost)), passed_share=float(np.mean(passes)))


def report_words(way: str, name: str, pictures: Sequence[DrawnPicture], texts: Sequence[str]) -> None:
    """Report recall by script, kind, size and damage, and the share of found words that are right in Latin."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    right = word_count = 0
    for one, text in zip(pictures, texts, strict=True):
        hits = count_words(one, text)
        size = "12-15 px" if one.pixels < 16 else "16-60 px"
        groups = [one.script, *(("trained scripts", size, one.kind, *one.damages) if one.script in TRAINED else ())]
        for group in groups:
            counts[group][0] += hits
            counts[group][1] += len(one.words)
        if one.script == "latin":
            right, word_count = right + hits, word_count + len(re.findall(r"\w+", text))
    recalls = {group: hits / total for group, (hits, total) in counts.items()}
    precision = right / max(1, word_count)
    summary = ", ".join(f"{group} {recall:.3f}" for group, recall in sorted(recalls.items()))
    print(f"{way:10} {name:8}  word recall: {summary}; precision in Latin {precision:.3f}")
    for group, recall in recalls.items():
        recorder.add_row("recall", way=way, set=name, group=group, word_recall=recall, words=counts[group][1])
    recorder.add_row("precision", way=way, set=name, latin_word_precision=precision)


def report_speed(way: str, name: str, files: int, wall: float, processor: float) -> None:
    print(f"{way:10} {name:8}  {files / wall:.1f} images/s, {processor / files * 1000:.0f} ms of CPU an image")
    recorder.add_row("speed", way=way, set=name, images_per_s=files / wall, cpu_ms_per_image=processor / files * 1000)


def count_words(picture: DrawnPicture, text: str) -> int:
    """Count the words of the picture that were found, each as often as it occurs."""
    folded = fold(text)
    if picture.script == "chinese":
        whole = "".join(folded.split())
        return sum(fold(word) in whole for word in picture.words)
    words_read = Counter(re.findall(r"\w+", folded))
    expected = Counter(fold(word) for word in picture.words)
    return (words_read & expected).total()


def fold(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in plain if not unicodedata.combining(character))


def png(picture: Image.Image) -> bytes:
    return _save(picture, "PNG")


def jpeg(picture: Image.Image) -> bytes:
    return _save(picture, "JPEG", quality=90)


def _save(picture: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def processor_seconds() -> float:
    """Processor seconds of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usages)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
