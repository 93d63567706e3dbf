"""Train and measure the learned head of ``builtin``, version 2.

    python bench/builtin_pictures.py DIR                    # fetch the pictures (not committed; licences there)
    python bench/train_builtin.py features DIR              # once: 20 minutes of one core
    python bench/train_builtin.py train DIR [--output FILE] # half a minute; writes the head's weights
    python bench/train_builtin.py measure DIR --half B      # versions 1 and 2 beside each other

*What is learned.* A ridge regression takes the 1,280 features of EfficientNet-Lite0, standardised, to the mean of the
MiniLM vectors of a picture's texts: title, keywords, and WordNet's synonyms and hypernyms of its nouns, with weights.
No photograph is trained on; what the network knows of photographs comes in through its last layer. By linear
discriminant analysis the weights of a class are the inverse covariance of features times the mean of the class, so that
covariance times weights is a picture of the class, and its names are the text. The nouns are those with most pictures.
A projection of rank 256 (principal components of both sides) shortens distributions over nouns and joint vectors.

*Held out.* Whole folders of clip art (``HELD_OUT``), the stamps of Tux Paint, and photographs (photo_queries.py); from
the training pictures go those that look like one of the former (cosine of centred features above .93). Settings were
chosen on half A of the stamps. The stamps are under the GPL, and not trained on.

*measure* prints recall of captions among a half of the stamps, precision of nouns among the clip art held out, and the
mean reciprocal rank of the photographs, with 95 % bootstrap intervals over queries, of the differences paired.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import recorder
from builtin_pictures import HELD_OUT, ICONS, Picture, WordNet, read_pictures, variants
from photo_queries import QUERIES
from quality import find_stamps, half_of, interval, stamp_names
from scipy import sparse

from imseek.encoders.base import Encoder
from imseek.encoders.builtin import BuiltinEncoder, onnx_cache
from imseek.encoders.builtin.head import BLOCK, COSINE_WEIGHT, IMAGE_SHARPNESS, TEXT_SHARPNESS
from imseek.encoders.builtin.recipe import PREPROCESSING
from imseek.encoders.builtin.space import softmax
from imseek.encoders.builtin.text import TextTower
from imseek.encoders.builtin.torch_file import read_tensors
from imseek.encoders.builtin.weights import LITE0
from imseek.encoders.input_checks import unit_rows
from imseek.encoders.onnx_network import Network
from imseek.media import decode
from imseek.ui.demo_photographs import photographs

OUTPUT = Path(__file__).parent.parent / "imseek/encoders/builtin/head.npz"
PART = 200  # pictures in a file of features

# Chosen on half A of the stamps; docs/log.md has the neighbours.
NOUNS = 1500
MIN_PICTURES = 3  # that a noun needs
RIDGE = 2.0
CLASS_SHARE = 1.0  # weight of all classes of ImageNet beside that of all pictures
CLASS_LENGTH = 0.5  # of a class's mean beside a picture's length
WHITENING = 0.5  # of MiniLM's vectors: 0 none, 1 all directions alike
TEXT_POWER = 4.0  # of the weights of texts
LOOKS_ALIKE = 0.93
#: Hypernyms that are too general.
GENERAL = frozenset(
    ("organism", "being", "whole", "object", "instrumentality", "instrumentation", "artifact", "matter", "en")
)


# -- features ----------------------------------------------------------------------------------------------


def write_features(folder: Path) -> None:
    """Write features of all pictures on white, then of varied clip art; continue where an earlier run stopped."""
    network = Network(onnx_cache.image_network(), threads=1)
    pictures = sorted(read_pictures(folder), key=_order)
    training = [picture for picture in pictures if _is_clip_art(picture) and not picture.is_held_out]
    for kind, selection, count in (("plain", pictures, 0), ("varied", training, 2)):
        for start in range(0, len(selection), PART):
            file = folder / f"features-{kind}-{start:05}.npz"
            if file.exists():
                continue
            squares, names = [], []
            for picture in selection[start : start + PART]:
                try:
                    images = variants(picture, count)[min(count, 1) :]
                except (OSError, ValueError) as error:
                    print(f"{picture.name}: {error}", file=sys.stderr)
                    continue
                squares += images
                names += [picture.name] * len(images)
            np.savez(file, names=names, features=features_of(network, squares).astype(np.float16))
            print(file.name, flush=True)


def features_of(network: Network, squares: list[np.ndarray]) -> np.ndarray:
    batches = [np.stack(squares[i : i + 4]) for i in range(0, len(squares), 4)]
    return np.concatenate([network.outputs({"pixels": batch}, ("features",))[0] for batch in batches])


def _is_clip_art(picture: Picture) -> bool:
    return picture.folder not in ICONS


def _order(picture: Picture) -> tuple[int, str]:
    """Sort key: clip art, coloured icons, silhouettes; shuffled within each, so that an unfinished run is a sample."""
    kind = 0 if _is_clip_art(picture) else 2 if picture.folder == "game-icons" else 1
    return kind, hashlib.md5(picture.name.encode()).hexdigest()


def read_features(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Names (n,) and features (n, 1280) float32."""
    parts = [np.load(file) for file in sorted(folder.glob("features-*.npz"))]
    return np.concatenate([part["names"] for part in parts]), np.concatenate(
        [part["features"].astype(np.float32) for part in parts]
    )


# -- texts -------------------------------------------------------------------------------------------------


def weigh_texts(picture: Picture, words: WordNet) -> dict[str, float]:
    """Return texts on what a picture shows, from its names to the genus, each with a weight."""
    weights: dict[str, float] = defaultdict(float)

    def add(text: str, weight: float) -> None:
        weights[text] = max(weights[text], weight)

    clip_art = _is_clip_art(picture)
    texts = list(picture.texts[:10])
    for rank, text in enumerate(texts):
        if not (clip_art and rank == len(texts) - 1 and len(text.split()) > 3):  # a file name with its author
            add(text, 0.6 if rank else 1.0)
    for rank, text in enumerate(texts if clip_art else texts[:1]):
        if (noun := words.find(text)) is not None:
            weight = 0.5 if rank else 1.0
            add(noun, weight)
            synonyms, levels = words.names_above(noun)
            for synonym in synonyms[:3]:
                add(synonym, 0.7 * weight)
            for distance, level in enumerate(levels[:6]):
                for name in level[:2]:
                    if name not in GENERAL:
                        add(name, 0.6 * weight * 0.75**distance)
    if clip_art:
        add(picture.folder.rpartition("/")[2].replace("_", " "), 0.3)
    return dict(weights)


def is_thing(noun: str, words: WordNet) -> bool:
    """Return whether WordNet's commonest sense of ``noun`` is a physical thing."""
    return noun in words.nouns and any("physical entity" in level for level in words.levels(noun))


# -- training ----------------------------------------------------------------------------------------------


def train(folder: Path, output: Path) -> None:
    tower = TextTower(onnx_cache.text_network()[0], threads=1)
    network = Network(onnx_cache.image_network(), threads=1)
    words = WordNet(folder)
    pictures = {picture.name: picture for picture in read_pictures(folder)}
    names, features = read_features(folder)
    is_kept = ~np.isin(names, list(_find_excluded(names, features, pictures, network)))
    names, features = names[is_kept], features[is_kept]
    print(f"{len(set(names))} pictures, {len(names)} with variants")

    labels = {name: weigh_texts(pictures[name], words) for name in sorted(set(names))}
    vocabulary = sorted({text for texts in labels.values() for text in texts})
    vectors = load_vectors(folder, tower, vocabulary)
    weights = _weight_matrix(labels, vocabulary)
    counts = np.asarray((weights > 0.3).sum(axis=0)).ravel()
    nouns = [
        vocabulary[i]
        for i in np.argsort(-counts, kind="stable")
        if counts[i] >= MIN_PICTURES and is_thing(vocabulary[i], words)
    ][:NOUNS]
    arrays = _fit(names, features, weights, list(labels), vectors, np.load(onnx_cache.text_network()[1]))
    noun_vectors = vectors[[vocabulary.index(noun) for noun in nouns]]
    arrays["nouns"] = noun_vectors
    arrays["projection"] = _projection(arrays, features, vectors)
    np.savez(output, **{name: array.astype(np.float16) for name, array in sorted(arrays.items())})
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, sha256 {hashlib.sha256(output.read_bytes()).hexdigest()}")


def _find_excluded(names: np.ndarray, features: np.ndarray, pictures: dict[str, Picture], network: Network) -> set[str]:
    """Return names of pictures held out, and of those that look like one of them or like a stamp."""
    is_held_out = np.array([pictures[name].is_held_out for name in names])
    root = find_stamps()
    squares = [PREPROCESSING.prepare(pixels) for _, pixels in read_stamps(root)]
    stamps = features_of(network, squares)
    middle = features.mean(axis=0)
    references = unit_rows(np.concatenate([stamps, features[is_held_out]]) - middle)
    is_alike = (unit_rows(features - middle) @ references.T).max(axis=1) > LOOKS_ALIKE
    more = set(names[is_alike & ~is_held_out])
    print(f"{len(set(names[is_held_out]))} pictures held out, {len(more)} more look like one of them or a stamp")
    return set(names[is_held_out | is_alike])


def _weight_matrix(labels: dict[str, dict[str, float]], vocabulary: list[str]) -> sparse.csr_matrix:
    """(pictures, texts) float32."""
    column = {text: i for i, text in enumerate(vocabulary)}
    cells = [(row, column[text], weight) for row, texts in enumerate(labels.values()) for text, weight in texts.items()]
    rows, columns, values = zip(*cells, strict=True)
    return sparse.csr_matrix((values, (rows, columns)), (len(labels), len(vocabulary)), dtype=np.float32)


def _fit(
    names: np.ndarray,
    features: np.ndarray,
    weights: sparse.csr_matrix,
    order: list[str],
    vectors: np.ndarray,
    class_vectors: np.ndarray,
) -> dict[str, np.ndarray]:
    """The linear maps of both sides; ``order`` has the names of the rows of ``weights``."""
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 0.01
    x = (features - mean) / deviation
    powered = weights.power(TEXT_POWER)
    targets = sparse.diags(1 / np.asarray(powered.sum(axis=1)).ravel()) @ powered @ vectors
    row = {name: i for i, name in enumerate(order)}
    y = targets[[row[name] for name in names]]
    middle = y.mean(axis=0)
    length = np.linalg.norm(y, axis=1).mean()
    covariance, correlation = x.T @ x / len(x), x.T @ (y - middle) / len(x)

    last = read_tensors(LITE0.read())["_fc.weight"]
    classes = unit_rows(((last - last.mean(axis=0)) * deviation) @ covariance)
    classes *= CLASS_LENGTH * np.sqrt(np.trace(covariance))
    covariance = covariance + CLASS_SHARE * classes.T @ classes / len(classes)
    correlation = correlation + CLASS_SHARE * classes.T @ (length * class_vectors - middle) / len(classes)
    solution = np.linalg.solve(covariance + RIDGE * np.eye(len(covariance), dtype=np.float32), correlation)

    centred = vectors - vectors.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    whitening = (axes * np.maximum(values, 1e-5) ** (-WHITENING / 2)) @ axes.T
    image = (solution / deviation[:, None]) @ whitening
    scale = np.abs(image).max()  # rows are made unit rows: a factor keeps small weights above float16's subnormals
    return {
        "image": image / scale,
        "image_bias": -(mean @ image) / scale,
        "text": whitening,
        "text_bias": -(middle @ whitening),
    }


def _projection(arrays: dict[str, np.ndarray], features: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The principal axes of pictures and texts together, (nouns + 384, BLOCK)."""
    anchors = unit_rows(arrays["nouns"] @ arrays["text"] + arrays["text_bias"])

    def side(joint: np.ndarray, nearness: np.ndarray) -> np.ndarray:
        rows = np.hstack([np.sqrt(softmax(nearness)), COSINE_WEIGHT * joint])
        return rows.T @ rows / len(rows)

    images = unit_rows(features @ arrays["image"] + arrays["image_bias"])
    texts = unit_rows(vectors @ arrays["text"] + arrays["text_bias"])[::3]
    both = side(images, IMAGE_SHARPNESS * images @ anchors.T)
    both += side(texts, TEXT_SHARPNESS * vectors[::3] @ arrays["nouns"].T)
    axes: np.ndarray = np.linalg.eigh(both)[1][:, -BLOCK:]
    return axes


def load_vectors(folder: Path, tower: TextTower, texts: list[str]) -> np.ndarray:
    """MiniLM's vectors (n, 384), kept in ``folder`` for the next run."""
    mark = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
    file = folder / f"texts-{mark}.npy"
    if not file.exists():
        np.save(file, tower(texts))
    vectors: np.ndarray = np.load(file)
    return vectors


# -- measuring ---------------------------------------------------------------------------------------------


def measure(folder: Path, half: str) -> None:
    one, two = BuiltinEncoder(version=1), BuiltinEncoder()
    for name, figures in (
        (f"stamps, half {half}", _stamp_figures(half)),
        ("clip art held out", _clip_art_figures(folder)),
        ("photographs", _photograph_figures()),
    ):
        before, after = figures(one), figures(two)
        for figure in before:
            a, b = before[figure], after[figure]
            print(f"| {name} | {figure} | {_cell(a)} | {_cell(b)} | {_cell(b - a)} |", flush=True)
            recorder.add_row("figures", set=name, figure=figure, before=a.mean(), after=b.mean(), gain=interval(b - a))


def _cell(values: np.ndarray) -> str:
    low, high = interval(values)
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def read_stamps(root: Path):
    for name in stamp_names(root):
        try:
            yield name, decode((root / name).read_bytes()).pixels
        except Exception as error:  # a few stamps are no pictures
            print(f"{name}: {error}", file=sys.stderr)


def _rows(encoder: Encoder, pictures: list[np.ndarray]) -> np.ndarray:
    rows = [
        encoder.encode_images(np.stack([encoder.prepare(picture) for picture in pictures[i : i + 16]]))
        for i in range(0, len(pictures), 16)
    ]
    return np.concatenate(rows)


def _stamp_figures(half: str):
    root = find_stamps()
    captions, pictures = [], []
    for name, pixels in read_stamps(root):
        text = (root / name).with_suffix(".txt")
        if name.startswith("symbols/") or not text.exists() or half_of(name) != half:
            continue
        if caption := text.read_text("utf-8", "replace").partition("\n")[0].strip():
            captions.append(caption)
            pictures.append(pixels)

    def figures(encoder: Encoder) -> dict[str, np.ndarray]:
        scores = encoder.encode_texts(captions) @ _rows(encoder, pictures).T
        ranks = (scores >= np.diag(scores)[:, None]).sum(axis=1)
        return {**{f"R@{k}": (ranks <= k).astype(float) for k in (1, 5, 10)}, "MRR": 1 / ranks}

    return figures


def _clip_art_figures(folder: Path):
    """Precision of nouns of titles and keywords with 10 to 120 pictures, over all pictures of the folders held out."""
    words = WordNet(folder)
    held_out = [picture for picture in read_pictures(folder) if picture.is_held_out]
    pictures = [variants(picture, 0)[0] for picture in held_out]
    nouns = defaultdict(set)
    for i, picture in enumerate(held_out):
        for noun in {words.find(word) for text in picture.texts[:-1] for word in text.split()} - {None, "en", "simple"}:
            nouns[noun].add(i)
    queries = sorted(n for n, members in nouns.items() if 10 <= len(members) <= 120 and _is_object(n, words))
    print(f"{len(held_out)} pictures in {', '.join(HELD_OUT)}; {len(queries)} nouns: {', '.join(queries)}")

    def figures(encoder: Encoder) -> dict[str, np.ndarray]:
        best = np.argsort(-(encoder.encode_texts(queries) @ _rows(encoder, pictures).T), axis=1, kind="stable")
        return {
            f"P@{k}": np.array(
                [np.mean([i in nouns[n] for i in row[:k]]) for n, row in zip(queries, best, strict=True)]
            )
            for k in (1, 10)
        }

    return figures


def _is_object(noun: str, words: WordNet) -> bool:
    return any({"physical object", "body part"} & set(level) for level in words.levels(noun))


def _photograph_figures():
    """Reciprocal ranks of the queries of photo_queries.py; the better one of a stereo pair counts."""
    files = photographs()
    stems = [file.stem for file in files]
    pictures = [decode(file.read_bytes()).pixels for file in files]

    def figures(encoder: Encoder) -> dict[str, np.ndarray]:
        scores = encoder.encode_texts(list(QUERIES)) @ _rows(encoder, pictures).T
        right = np.array([[stem in answers for stem in stems] for answers in QUERIES.values()])
        best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
        return {"MRR": 1 / (1 + ((scores >= best) & ~right).sum(axis=1))}

    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("features", "train", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--half", choices="AB", default="A")
    options = parser.parse_args()
    if options.step == "features":
        write_features(options.folder)
    elif options.step == "train":
        train(options.folder, options.output)
    else:
        measure(options.folder, options.half)
    return 0


if __name__ == "__main__":
    sys.exit(recorder.run(main))
