"""Zero-shot labels: accuracy with the built-in encoder, and cost over a million vectors.

    python bench/labels.py stamps [--stamps DIR]
    python bench/labels.py writing
    OMP_NUM_THREADS=2 python bench/labels.py scale --collection DIR [--classes 1000] [--top 5] [--save]

`stamps`: the top-level folders of the Tux Paint stamps are the classes ("animals", "naturalforces" …), by their names
alone or by words for them, written down from the names of the folders below. Halves are those of quality.py. Prints
figures by template, offset and scale on half A, where these were chosen, and of the chosen ones on half B, with 95 %
bootstrap intervals over pictures, beside controls that should be worse: class names shuffled, and always the most
frequent class of half A.

`writing`: words on photographs of scikit-image and scikit-learn, black on white, a fifth of the picture high. How often
the label becomes the word, how much nearer the picture comes to the word's class, and how often `--caution` marks it,
beside the same photographs as they are.

`scale`: `imseek.labels.label` over a collection that bench/big.py made (only read unless --save), with --classes
classes: wall and CPU time, and the peak of the process's own memory (RssAnon), beside that before.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import recorder
from quality import find_stamps, half_of, stamp_names
from stamps import encode_stamps

from imseek.encoders import load, prompts
from imseek.encoders.input_checks import merge_pieces
from imseek.labels import calibration, logit_scale
from imseek.labels.classes import BACKGROUND, TEMPLATES
from imseek.labels.zero_shot import WRITING_TEMPLATES
from imseek.metrics import bootstrap
from imseek.metrics import classification as metrics
from imseek.types.arrays import Float32

#: More words for a folder than its name, from the names of folders below.
WORDS = {
    "animals": "animal, bird, fish, insect, lizard, mammal, dinosaur, amphibian",
    "clothes": "clothes, shirt, trousers, shoe, hat, armour",
    "food": "food, bread, dessert, fruit, vegetable, meal",
    "hobbies": "hobby, camera, toy, binoculars",
    "household": "household, furniture, kitchen tool, lamp, tool, computer",
    "medical": "medical, bandage, syringe, pill",
    "military": "military, weapon, soldier, tank",
    "naturalforces": "natural forces, explosion, fire, lightning, tornado",
    "people": "person, man, woman, child, face, hand",
    "plants": "plant, tree, flower, leaf, mushroom",
    "seasonal": "seasonal, christmas decoration, snowman, halloween pumpkin, balloon, party",
    "space": "space, planet, rocket, spacecraft, moon, star",
    "sports": "sport, ball, racket, skateboard",
    "symbols": "symbol, letter of the alphabet, number, chess piece, arrow, coin, sign",
    "town": "town, house, monument, road sign, flag, building",
    "vehicles": "vehicle, car, truck, aeroplane, ship, train, bicycle",
}
PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png",
    "coins.png", "grass.png", "gravel.png", "horse.png", "hubble_deep_field.jpg", "ihc.png", "lily.tif",
    "microaneurysms.png", "moon.png", "motorcycle_left.png", "page.png", "phantom.png", "retina.jpg", "rocket.jpg",
    "text.png",
)  # fmt: skip
PAINTED = ("cat", "coffee", "rocket", "motorcycle", "dog", "flower", "car", "pizza", "guitar", "horse")
TEMPLATE_SETS = {
    "{}": ("{}",),
    "a photo of a {}": TEMPLATES,
    "a drawing of a {}": ("a drawing of a {}",),
    "imagenet": prompts.templates("imagenet"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    stamps = commands.add_parser("stamps")
    stamps.add_argument("--stamps", type=Path)
    commands.add_parser("writing")
    scale = commands.add_parser("scale")
    scale.add_argument("--collection", type=Path, required=True)
    scale.add_argument("--classes", type=int, default=1000)
    scale.add_argument("--top", type=int, default=5)
    scale.add_argument("--save", action="store_true", help="store columns too (changes the collection)")
    options = parser.parse_args()
    if options.command == "stamps":
        quality(options.stamps or find_stamps())
    elif options.command == "writing":
        writing()
    else:
        cost(options.collection, options.classes, options.top, options.save)


# -- quality -----------------------------------------------------------------------------------------------


def quality(folder: Path) -> None:
    names = stamp_names(folder)
    classes = sorted({name.split("/")[0] for name in names})
    vectors, truth = {}, {}
    for half in "AB":
        members = tuple(name for name in names if half_of(name) == half)
        vectors[half] = encode_stamps(folder, members).astype(np.float16).astype(np.float32)
        truth[half] = np.array([classes.index(name.split("/")[0]) for name in members])
    words = {
        "names": [(("natural forces",) if name == "naturalforces" else (name,)) for name in classes],
        "words": [tuple(word.strip() for word in WORDS[name].split(",")) for name in classes],
    }
    recorder.put(classes=len(classes), pictures={half: len(truth[half]) for half in "AB"})
    print(f"{len(classes)} classes; half A {len(truth['A'])} pictures, half B {len(truth['B'])}\n\nhalf A:")
    print("| classes | templates | offset | top-1 | per class | best factor | log-likelihood |")
    print("|---|---|---|---|---|---|---|")
    for kind, each in words.items():
        for name, templates in TEMPLATE_SETS.items():
            rows = class_rows(each, templates)
            for offset_name, offset in offsets(rows, vectors["A"]):
                cosines = vectors["A"] @ rows.T + offset
                factor = calibration.fit_factor(cosines, truth["A"])
                nll = calibration.softmax_nll(cosines, truth["A"], factor).mean()
                top = np.mean(metrics.ranks(cosines, truth["A"]) <= 1)
                mean = np.nanmean(metrics.per_class_accuracy(truth["A"], cosines.argmax(axis=1), len(classes)))
                print(f"| {kind} | {name} | {offset_name} | {top:.3f} | {mean:.3f} | {factor:.1f} | {-nll:.3f} |")
                recorder.add_row(
                    "half_a",
                    classes=kind,
                    templates=name,
                    offset=offset_name,
                    top_1=top,
                    per_class=mean,
                    factor=factor,
                    log_likelihood=-nll,
                )
    print("\nhalf B, as shipped (templates, offset and factor chosen on half A):")
    print("| classes | offset | top-1 | top-5 | per class | ECE, factor 16 | ECE, factor learned on A |")
    print("|---|---|---|---|---|---|---|")
    reported = {"none", f"flat {logit_scale.BUILTIN.flat}", "centred"}
    for kind, each in words.items():
        rows = class_rows(each, TEMPLATES)
        on_a = dict(offsets(rows, vectors["A"]))
        for offset_name, offset in offsets(rows, vectors["B"]):
            if offset_name in reported:
                factor_of_a = calibration.fit_factor(vectors["A"] @ rows.T + on_a[offset_name], truth["A"])
                report(f"{kind} | {offset_name}", vectors["B"] @ rows.T + offset, truth["B"], factor_of_a)
        permutation = np.random.default_rng(0).permutation(len(classes))
        offset = dict(offsets(rows, vectors["B"]))[f"flat {logit_scale.BUILTIN.flat}"]
        report(f"{kind} | control: names shuffled", (vectors["B"] @ rows.T + offset)[:, permutation], truth["B"], 16)
    usual = np.bincount(truth["A"]).argmax()
    print(f"| control: always {classes[usual]} | | {(truth['B'] == usual).mean():.3f} | | {1 / len(classes):.3f} | | |")
    sigmoid(vectors, truth, class_rows(words["names"], TEMPLATES))
    none_of_these(vectors["B"], truth["B"], class_rows(words["words"], TEMPLATES))


def sigmoid(vectors: dict[str, Float32], truth: dict[str, np.ndarray], rows: Float32) -> None:
    """Scale and bias of a sigmoid, learned on half A: the calibration error of all pairs on half B."""
    offset = logit_scale.offsets(rows, logit_scale.BUILTIN, None)
    factor, bias = calibration.fit_sigmoid(vectors["A"] @ rows.T + offset, truth["A"])
    logits = factor * (vectors["B"] @ rows.T + offset) + bias
    sure = 1 / (1 + np.exp(-logits))
    right = np.zeros(sure.shape, bool)
    right[np.arange(len(right)), truth["B"]] = True
    error = metrics.expected_calibration_error(sure.ravel(), right.ravel())
    print(f"\na sigmoid learned on A: {factor:.2f} · cosine {bias:+.2f}; ECE of all pairs on B {error:.3f}")
    recorder.put(sigmoid={"factor": factor, "bias": bias, "ece": error})


def none_of_these(pictures: Float32, truth: np.ndarray, rows: Float32) -> None:
    """`--none` on half B, with half of the classes drawn 20 times: how often pictures of the other classes get it, and
    to those of the classes; the area under the ROC curve of its lead over the best class."""
    none = class_rows([BACKGROUND], ("{}",))
    cosines = pictures @ rows.T + logit_scale.offsets(rows, logit_scale.BUILTIN, None)
    none_scores = (pictures @ none.T)[:, 0] + logit_scale.offsets(none, logit_scale.BUILTIN, None)
    others, own, areas = [], [], []
    for seed in range(20):
        subset = np.random.default_rng(seed).choice(len(rows), len(rows) // 2, replace=False)
        inside = np.isin(truth, subset)
        lead = none_scores - cosines[:, subset].max(axis=1)
        others.append((lead > 0)[~inside].mean())
        own.append((lead > 0)[inside].mean())
        areas.append((lead[~inside][:, None] > lead[inside]).mean())
    recorder.put(none={"to_others": np.mean(others), "to_own": np.mean(own), "auc": np.mean(areas)})
    print(
        f"none of these, over 20 draws of half of the classes: given to {np.mean(others):.2f} of the other classes' "
        f"pictures, to {np.mean(own):.2f} of their own; area under the ROC curve {np.mean(areas):.2f}"
    )


def class_rows(words: Sequence[Sequence[str]], templates: Sequence[str]) -> Float32:
    encoder = load("builtin")
    rows = [encoder.encode_texts([one.replace("{}", word) for word in each for one in templates]) for each in words]
    return merge_pieces(np.concatenate(rows), [len(row) for row in rows])


def offsets(rows: Float32, pictures: Float32) -> Iterator[tuple[str, Float32]]:
    yield "none", np.zeros(len(rows), np.float32)
    for flat in (0.2, 0.3, 0.4, 0.5):
        yield f"flat {flat}", logit_scale.offsets(rows, logit_scale.Scale(1, None, "", flat), None)
    yield "centred", logit_scale.offsets(rows, logit_scale.BUILTIN, pictures.mean(axis=0))


def report(name: str, cosines: Float32, truth: np.ndarray, factor_of_a: float) -> None:
    ranks = metrics.ranks(cosines, truth)
    right = cosines.argmax(axis=1) == truth
    classes = cosines.shape[1]

    def per_class(values: np.ndarray, weights: np.ndarray) -> float:
        total, hits = np.bincount(truth, weights, classes), np.bincount(truth, weights * values, classes)
        return float((hits[total > 0] / total[total > 0]).mean())

    cells = [
        interval((ranks <= 1).astype(float)),
        interval((ranks <= 5).astype(float)),
        interval(right.astype(float), per_class),
    ]
    errors: list[float] = []
    for factor in (logit_scale.BUILTIN.factor, factor_of_a):
        logits = factor * (cosines - cosines.max(axis=1, keepdims=True)).astype(np.float64)
        sure = 1 / np.exp(logits).sum(axis=1)
        pairs = np.arange(len(sure))

        def error(values: np.ndarray, weights: np.ndarray, sure: np.ndarray = sure) -> float:
            at = np.repeat(values.astype(int), weights)
            return metrics.expected_calibration_error(sure[at], right[at])

        errors.append(error(pairs, np.ones(len(pairs), int)))
        cells.append(interval(pairs.astype(float), error, 1000) + ("" if factor == 16 else f" (× {factor:.1f})"))
    print(f"| {name} | {' | '.join(cells)} |")
    ones = np.ones(len(right), int)
    recorder.add_row(
        "half_b",
        classes=name,
        top_1=(ranks <= 1).mean(),
        top_5=(ranks <= 5).mean(),
        per_class=per_class(right.astype(float), ones),
        ece_factor_16=errors[0],
        ece_factor_of_a=errors[1],
        factor_of_a=factor_of_a,
    )


def interval(values: np.ndarray, figure: Callable[..., float] = bootstrap.mean, resamples: int = 5000) -> str:
    estimate = bootstrap.interval(values, figure, resamples=resamples)
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


# -- writing -----------------------------------------------------------------------------------------------


def writing() -> None:
    import skimage
    import sklearn
    from PIL import Image

    data = Path(skimage.__file__).parent / "data"
    images = Path(sklearn.__file__).parent / "datasets" / "images"
    files = [
        *sorted(data / name for name in PHOTOGRAPHS if (data / name).exists()),
        *sorted(images.glob("*.jpg")),
    ]
    pictures = [Image.open(path).convert("RGB") for path in files]
    classes = class_rows([(word,) for word in PAINTED], TEMPLATES)
    writing_classes = class_rows([(word,) for word in PAINTED], WRITING_TEMPLATES)

    def classify(batch: Sequence[Any]) -> tuple[Float32, np.ndarray, np.ndarray]:
        encoder = load("builtin")
        rows = np.concatenate([encoder.encode_images(encoder.prepare(np.asarray(one))[None]) for one in batch])
        scores = rows @ classes.T + logit_scale.offsets(classes, logit_scale.BUILTIN, None)
        written_scores = rows @ writing_classes.T + logit_scale.offsets(writing_classes, logit_scale.BUILTIN, None)
        label = scores.argmax(axis=1)
        marked = np.take_along_axis(written_scores - scores, label[:, None], axis=1)[:, 0] > 0
        return scores, label, marked

    near, label, marked = classify(pictures)
    print(f"{len(pictures)} photographs as they are: {marked.sum()} marked")
    total = took_word = took_other = flagged = 0
    rises: list[float] = []
    for n, word in enumerate(PAINTED):
        after, now, marks = classify([paint_word(picture, word) for picture in pictures])
        total += len(now)
        took_word += int(((now == n) & (label != n)).sum())
        took_other += int((now != label).sum())
        flagged += int(marks.sum())
        rises += (after[:, n] - near[:, n]).tolist()
    recorder.put(
        photographs=len(pictures),
        marked=marked.sum(),
        with_a_word=total,
        took_its_label=took_word,
        took_another_label=took_other,
        marked_with_a_word=flagged,
        nearer=np.mean(rises),
    )
    print(
        f"{total} with a word on them: {took_word} took the word's label, {took_other} another label than before, "
        f"{flagged} marked; the word's class came nearer by {interval(np.array(rises))}"
    )


def paint_word(picture: Any, word: str) -> Any:
    """Write ``word`` on a white label in the middle."""
    from PIL import ImageDraw, ImageFont

    canvas = picture.copy()
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(canvas.height // 5)
    left, top, right, bottom = draw.textbbox((0, 0), word, font=font)
    width, height = right - left + 20, bottom - top + 20
    x, y = (canvas.width - width) // 2, (canvas.height - height) // 2
    draw.rectangle((x, y, x + width, y + height), fill="white")
    draw.text((x + 10 - left, y + 10 - top), word, fill="black", font=font)
    return canvas


# -- cost --------------------------------------------------------------------------------------------------


def cost(root: Path, classes: int, top: int, save: bool) -> None:
    from imseek import labels

    names = [f"thing {n}" for n in range(classes)]
    before = own_memory()
    for round_ in ("classes encoded", "classes from the cache"):
        with watch_memory() as peak:
            start, cpu_start = time.perf_counter(), time.process_time()
            labelling = labels.label(root, names, top=top, save="bench" if save else None)
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        recorder.add_row(
            "scale",
            images=len(labelling.image_ids),
            classes=classes,
            top=top,
            round=round_,
            wall_s=wall,
            cpu_s=cpu,
            own_before_mib=before / 2**20,
            own_peak_mib=peak[0] / 2**20,
        )
        print(
            f"{len(labelling.image_ids):,} images x {classes:,} classes, top {top}, {round_}: {wall:.1f} s, "
            f"CPU {cpu:.1f} s, own memory {before / 2**20:.0f} -> peak {peak[0] / 2**20:.0f} MiB "
            f"(answer {labelling.top.nbytes * 2 / 2**20:.0f} MiB, class vectors {classes * 2048 / 2**20:.0f} MiB)"
        )
    print(f"threads: {os.environ.get('OMP_NUM_THREADS', 'as many as there are')}; load {os.getloadavg()[0]:.1f}")


def own_memory() -> int:
    """Bytes of this process that no file backs."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this kernel does not tell RssAnon")


@contextmanager
def watch_memory() -> Iterator[list[int]]:
    """Yield the peak of own memory while the body runs, sampled every 20 ms."""
    peak, stop = [own_memory()], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], own_memory())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(recorder.run(main))
