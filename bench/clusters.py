"""Clusters, their names, outliers and samples: quality on Tux Paint's stamps, and cost on a million vectors.

    python bench/clusters.py [--stamps DIR] [--half B]                      # quality; needs the extra explore
    python bench/clusters.py --scale DIR/collection [--only clusters outliers sample] [--threads 2]

Every stamp (PNG, letters and signs too) by the built-in encoder; halves are those of quality.py. A kind is the folder
of a stamp, a group the folder at the top. Agreement is mutual information adjusted for chance (AMI), as Rand's index
(ARI), as normalised mutual information (NMI), and as purity, the share of images whose kind is that of most in their
cluster: the last two rise with the number of clusters by themselves. Intervals are from 400 half-samples without
replacement (2.5 and 97.5 %), which vary as much as the whole does. Means of --seeds seeds; the brackets of names are
bootstrap intervals over clusters of all of them.

*Names*: a name is right if one of its words is in the caption or the path of a third of the cluster's images, or, for
ImageNet's names, if it belongs to the kind (birds, insects, food, vehicles …) of half of the images. Captioned stamps
outside symbols/ only. Controls: clusters of random images should get no name; names dealt out at random should not be
right.

*Outliers*: pictures of one kind are planted among many of another, and should come first: area under the curve.

*Samples*: distances of all images to a sample of 20, 50 and 100 images, and the number of kinds in it.

``--scale`` only reads a collection (bench/big.py makes them); each task runs in a process of its own. *own* is its peak
anonymous memory, which no file on disk backs.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import recorder

sys.path.insert(0, str(Path(__file__).parent))

from quality import brackets, find_stamps, half_of, stamp_names
from stamps import encode_stamps, kind_of

from imseek import clusters as public
from imseek.analysis.unique_vectors import find_unique_vectors
from imseek.clusters import (
    cluster_names,
    density_clusters,
    kmeans_clusters,
    outlier_scores,
    representative_sample,
)
from imseek.clusters.cluster_statistics import members_of
from imseek.encoders import load
from imseek.encoders.prompts import class_vectors, imagenet_classes
from imseek.progress import Task

QUIET = Task()
Array = np.ndarray


class MemoryVectors:
    """Unit rows (n, dim) in memory, read as :class:`imseek.analysis.space_vectors.Vectors` are."""

    def __init__(self, rows: Array) -> None:
        rows = rows.astype(np.float16).astype(np.float32)
        self.rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self.ids = np.arange(len(rows))
        self.dim = rows.shape[1]
        self.space = SimpleNamespace(encoder="builtin")

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, positions: Array) -> Array:
        return self.rows[positions].copy()

    def blocks(self, size: int = 8192) -> Iterator[tuple[slice, Array]]:
        for start in range(0, len(self), size):
            part = slice(start, min(start + size, len(self)))
            yield part, self.rows[part].copy()


@dataclass(frozen=True)
class Half:
    names: tuple[str, ...]
    captions: tuple[str, ...]
    vectors: MemoryVectors
    kinds: Array
    groups: Array


def read_half(half: str, folder: Path, *, with_captions: bool = False) -> Half:
    captions = {}
    for name in stamp_names(folder):
        text = (folder / name).with_suffix(".txt")
        caption = text.read_text("utf-8", "replace").partition("\n")[0].strip() if text.exists() else ""
        if half_of(name) == half and not (with_captions and (not caption or name.startswith("symbols/"))):
            captions[name] = caption
    names = tuple(captions)
    kinds = np.array([kind_of(name) for name in names])
    groups = np.array([name.split("/")[0] for name in names])
    return Half(names, tuple(captions.values()), MemoryVectors(encode_stamps(folder, names)), kinds, groups)


# -- clusters ----------------------------------------------------------------------------------------------


def fit_labels(vectors: Any, k: int | None, seed: int, *, dense: bool = False) -> Array:
    model = density_clusters.fit(vectors, None, seed, QUIET) if dense else kmeans_clusters.fit(vectors, k, seed, QUIET)
    return kmeans_clusters.order_by_size(model, kmeans_clusters.assign(vectors, model, QUIET))[1].label


def agreement_table(half: Half, seeds: Sequence[int]) -> None:
    from sklearn.metrics import adjusted_mutual_info_score as ami
    from sklearn.metrics import adjusted_rand_score as ari
    from sklearn.metrics import normalized_mutual_info_score as nmi

    print("| clusters | number | in none | AMI with kinds | ARI | NMI | purity | AMI with groups |")
    print("|---|---|---|---|---|---|---|---|")
    ways: list[tuple[str, Callable[[int], Array]]] = [
        (f"k-means, k = {k}", lambda seed, k=k: fit_labels(half.vectors, k, seed)) for k in (8, 16, 32, 64)
    ]
    ways.append(("k-means, k as chosen", lambda seed: fit_labels(half.vectors, None, seed)))
    ways.append(("density", lambda seed: fit_labels(half.vectors, None, seed, dense=True)))
    rng = np.random.default_rng(0)
    ways.append(("control: k = 32, shuffled", lambda s: rng.permutation(fit_labels(half.vectors, 32, s))))
    random = np.random.default_rng(0)
    halves = [random.choice(len(half.names), len(half.names) // 2, replace=False) for _ in range(400)]
    for name, way in ways:
        labels = [way(seed) for seed in seeds]
        low, high = np.percentile([ami(half.kinds[part], labels[0][part]) for part in halves], [2.5, 97.5])
        # Half as many images agree a little less by themselves: the width counts, about the value of all.
        width = (high - low) / 2
        cells = [
            f"{np.mean([label.max() + 1 for label in labels]):.0f}",
            f"{np.mean([(label < 0).mean() for label in labels]):.2f}",
            f"{np.mean([ami(half.kinds, label) for label in labels]):.3f} ± {width:.3f}",
            *(f"{np.mean([score(half.kinds, label) for label in labels]):.3f}" for score in (ari, nmi)),
            f"{np.mean([purity(half.kinds, label) for label in labels]):.3f}",
            f"{np.mean([ami(half.groups, label) for label in labels]):.3f}",
        ]
        print(f"| {name} | {' | '.join(cells)} |")
        recorder.add_row(
            "clusters",
            way=name,
            number=np.mean([label.max() + 1 for label in labels]),
            share_in_none=np.mean([(label < 0).mean() for label in labels]),
            ami_kinds=np.mean([ami(half.kinds, label) for label in labels]),
            ami_kinds_interval_width=width,
            ari_kinds=np.mean([ari(half.kinds, label) for label in labels]),
            nmi_kinds=np.mean([nmi(half.kinds, label) for label in labels]),
            purity=np.mean([purity(half.kinds, label) for label in labels]),
            ami_groups=np.mean([ami(half.groups, label) for label in labels]),
        )


def purity(kinds: Array, label: Array) -> float:
    """Purity of the images that are in a cluster."""
    right = sum(np.unique(kinds[label == n], return_counts=True)[1].max() for n in range(label.max() + 1))
    return right / max(1, int((label >= 0).sum()))


# -- names -------------------------------------------------------------------------------------------------

#: Labels of ImageNet by folder of stamps, from first to last.
RANGES = {
    "animals/birds": [(7, 24), (80, 100), (127, 146)],
    "animals/fish": [(0, 6), (389, 397)],
    "animals/insects": [(69, 79), (300, 326)],
    "animals/amphibians": [(25, 32)],
    "animals/lizards": [(33, 68)],
    "animals/dinosaur": [(33, 68)],
    "animals/shellfish": [(107, 126), (327, 329)],
    "animals/mammals": [(101, 106), (147, 299), (330, 388)],
    "animals/marsupials": [(101, 106)],
    "food": [(924, 969)],
    "plants": [(984, 998)],
}
VEHICLES = (
    *(403, 404, 405, 407, 408, 417, 436, 444, 450, 466, 468, 472, 484, 510, 511, 547, 554, 555, 569, 573),
    *(575, 576, 586, 595, 603, 609, 612, 625, 627, 628, 654, 656, 661, 665, 670, 671, 675, 690, 694, 705),
    *(717, 724, 734, 751, 757, 779, 780, 802, 803, 812, 814, 817, 820, 829, 833, 847, 856, 864, 866, 867),
    *(870, 871, 874, 880, 895, 914),
)
#: Smaller clusters do not count: a picture or two are easily told from others.
FEWEST = 3
STOP = {"a", "an", "the", "of", "and", "in", "or", "other", "this", "is", "on", "with"}


def kinds_of_names() -> dict[str, set[str]]:
    names, kinds = imagenet_classes(), {}
    for folder, ranges in RANGES.items():
        for first, last in ranges:
            for number in range(first, last + 1):
                kinds.setdefault(names[number], set()).add(folder)
    for number in VEHICLES:
        kinds.setdefault(names[number], set()).update(("vehicles", "military/vehicles"))
    return kinds


def words(text: str) -> set[str]:
    tokens = set(re.findall("[a-z]+", text.lower()))
    return (tokens | {word[:-1] for word in tokens if word.endswith("s")}) - STOP


def is_right(name: str, members: Array, half: Half, kinds: dict[str, set[str]]) -> bool:
    name = re.sub(r" \(\d+\)$", "", name)
    in_text = [bool(words(name) & (words(half.captions[n]) | words(half.names[n]))) for n in members]
    of_kind = [any((half.kinds[n] + "/").startswith(f"{kind}/") for kind in kinds.get(name, ())) for n in members]
    return np.mean(in_text) >= 1 / 3 or np.mean(of_kind) >= 1 / 2


def name_table(half: Half, other: Half, seeds: Sequence[int]) -> None:
    from nouns import noun

    encoder, kinds = load("builtin"), kinds_of_names()
    nouns = tuple(sorted({noun(caption) for caption in (*half.captions, *other.captions)}))
    random = np.random.default_rng(0)
    print("| vocabulary, clusters | clusters | named at contrast 2 | right of these | at 3 | right | at 4 | right |")
    print("|---|---|---|---|---|---|---|---|")
    for vocabulary, names in (("ImageNet", tuple(dict.fromkeys(imagenet_classes()))), ("nouns", nouns)):
        rows = class_vectors(encoder, names, ("{}",))
        ways: list[tuple[str, Callable[[int], Array]]] = [
            *((f"k = {k}", lambda seed, k=k: fit_labels(half.vectors, k, seed)) for k in (16, 32)),
            ("density", lambda seed: fit_labels(half.vectors, None, seed, dense=True)),
            ("control: images at random", lambda s: random.permutation(fit_labels(half.vectors, 32, s))),
            ("control: names at random", lambda seed: fit_labels(half.vectors, 32, seed)),
        ]
        for way, find in ways:
            outcomes: list[tuple[float, bool]] = []
            for seed in seeds:
                label = find(seed)
                members = members_of(label, label.max() + 1)
                name_list = cluster_names.name_clusters(
                    half.vectors, members, names, rows, rows.mean(axis=0), seed, QUIET, stands_out=-np.inf
                )
                texts = [name.text or "" for name in name_list]
                if "names" in way:
                    texts = [texts[n] for n in random.permutation(len(texts))]
                outcomes += [
                    (name.contrast or 0.0, is_right(text, cluster, half, kinds))
                    for name, text, cluster in zip(name_list, texts, members, strict=True)
                    if len(cluster) >= FEWEST
                ]
            contrast, right = np.array([one[0] for one in outcomes]), np.array([one[1] for one in outcomes])
            cells = []
            for least in (2, 3, 4):
                is_named = contrast >= least
                share = (
                    f"{right[is_named].mean():.2f} {brackets(right[is_named].astype(float), '.2f')}"
                    if is_named.any()
                    else "–"
                )
                cells += [f"{is_named.mean():.2f}", share]
                recorder.add_row(
                    "names",
                    vocabulary=vocabulary,
                    way=way,
                    least_contrast=least,
                    clusters=len(outcomes) / len(seeds),
                    share_named=is_named.mean(),
                    share_right=right[is_named].mean() if is_named.any() else None,
                )
            print(f"| {vocabulary}, {way} | {len(outcomes) / len(seeds):.0f} | {' | '.join(cells)} |")


# -- outliers ----------------------------------------------------------------------------------------------


def photographs() -> list[Array]:
    import skimage.io
    import sklearn.datasets

    names = (
        *("astronaut", "brick", "camera", "chelsea", "clock_motion", "coffee", "coins", "grass", "gravel"),
        *("hubble_deep_field", "ihc", "moon", "motorcycle_left", "retina", "rocket"),
    )
    folder = Path(skimage.__file__).parent / "data"
    pictures = [skimage.io.imread(next(folder.glob(f"{name}.*"))) for name in names]
    pictures += [sklearn.datasets.load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    return [one if one.ndim == 3 else np.repeat(one[..., None], 3, axis=2) for one in pictures]


def crops(pictures: Sequence[Array], each: int, seed: int) -> list[Array]:
    random, parts = np.random.default_rng(seed), []
    for picture in pictures:
        for _ in range(each):
            height, width = (round(side * random.uniform(0.4, 0.7)) for side in picture.shape[:2])
            top, left = random.integers(picture.shape[0] - height), random.integers(picture.shape[1] - width)
            parts.append(np.ascontiguousarray(picture[top : top + height, left : left + width, :3]))
    return parts


def outlier_table(half: Half, seed: int) -> None:
    from sklearn.metrics import roc_auc_score

    encoder = load("builtin")

    def encode(pictures: Sequence[Array]) -> Array:
        return encoder.encode_images(np.stack([encoder.prepare(picture) for picture in pictures]))

    photos, rows = photographs(), half.vectors.rows
    is_nature = np.isin(half.groups, ("animals", "food", "plants"))
    signs, drawings = rows[half.groups == "symbols"], rows[half.groups != "symbols"]
    sets = {
        "photographs among stamps": (rows, encode(photos)),
        "stamps among parts of photographs": (encode(crops(photos, 15, seed)), drawings),
        "letters and coins among animals, food, plants": (rows[is_nature], signs),
        "animals among letters and coins": (signs, rows[half.groups == "animals"]),
    }
    ways = [("knn", 5), ("knn", 10), ("knn", 20), ("lof", 10), ("lof", 20), ("lof", 50), ("isolation", 0)]
    print(f"| planted | {' | '.join(f'{name} {k}' if k else name for name, k in ways)} |")
    print(f"|---|{'---|' * len(ways)}")
    random = np.random.default_rng(seed)
    for name, (common, foreign) in sets.items():
        cells: list[list[float]] = [[] for _ in ways]
        for draw in range(20):
            sample = foreign[random.choice(len(foreign), min(10, len(foreign)), replace=False)]
            vectors = MemoryVectors(np.concatenate([common, sample]))
            differ = find_unique_vectors(vectors, QUIET)
            truth = differ.first >= len(common)
            for cell, (way, k) in zip(cells, ways, strict=True):
                if way == "isolation":
                    scores = outlier_scores.isolation_scores(vectors, differ, draw, QUIET) if draw < 5 else None
                else:
                    graph = exact_graph(vectors.rows[differ.first], k)
                    score = outlier_scores.mean_distances if way == "knn" else outlier_scores.local_outlier_factors
                    scores = score(graph)
                if scores is not None:
                    cell.append(roc_auc_score(truth, scores))
        print(f"| {name} | {' | '.join(f'{np.mean(cell):.3f} ± {np.std(cell):.3f}' for cell in cells)} |")
        for cell, (way, k) in zip(cells, ways, strict=True):
            recorder.add_row("outliers", planted=name, way=way, k=k, auc=np.mean(cell), auc_sd=np.std(cell))


def exact_graph(rows: Array, k: int) -> outlier_scores.NeighbourGraph:
    distance = np.maximum(0, 1 - rows @ rows.T)
    np.fill_diagonal(distance, np.inf)
    near = np.argsort(distance, axis=1, kind="stable")[:, : min(k, len(rows) - 1)]
    return outlier_scores.NeighbourGraph(near, np.take_along_axis(distance, near, axis=1))


# -- samples -----------------------------------------------------------------------------------------------


def sample_table(half: Half) -> None:
    print("| sample | images | mean distance | at most | kinds of them | groups |\n|---|---|---|---|---|---|")
    vectors, differ = half.vectors, find_unique_vectors(half.vectors, QUIET)
    for count in (count for count in (20, 50, 100) if count < len(differ.first)):
        for name in ("random", "k-centre", "facility"):
            rows = []
            for seed in range(10):
                if name == "random":
                    at = np.random.default_rng(seed).permutation(differ.first)[:count]
                elif name == "k-centre":
                    at, _ = representative_sample.k_centre(vectors, differ, count, seed, QUIET)
                else:
                    at, _ = representative_sample.facility_location(vectors, differ, count, seed, QUIET)
                _, farthest, mean = representative_sample.coverage(vectors, at, QUIET)
                rows.append((mean, farthest, len(set(half.kinds[at])), len(set(half.groups[at]))))
            means = np.mean(rows, axis=0)
            print(f"| {name} | {count} | {means[0]:.3f} | {means[1]:.3f} | {means[2]:.1f} | {means[3]:.1f} |")
            columns = ("mean_distance", "most_distance", "kinds", "groups")
            recorder.add_row("samples", way=name, images=count, **dict(zip(columns, means, strict=True)))


# -- scale -------------------------------------------------------------------------------------------------

TASKS: dict[str, Callable[[Path], Any]] = {
    "clusters -k 1000": lambda path: public.find(path, k=1000, names="none"),
    "clusters -k 1000, named": lambda path: public.find(path, k=1000),
    "clusters, k chosen": lambda path: public.find(path, names="none"),
    "clusters --density": lambda path: public.find(path, density=True, names="none"),
    "outliers": lambda path: public.outliers(path),
    "outliers, isolation": lambda path: public.outliers(path, method="isolation"),
    "sample --diverse 100": lambda path: public.sample(path, 100),
    "sample --diverse 100, k-centre": lambda path: public.sample(path, 100, method="k-centre"),
}


def scale(collection: Path, only: Sequence[str], threads: int) -> None:
    print("| task | wall s | CPU s | own MB, before | own MB, most | found |\n|---|---|---|---|---|---|")
    for task in TASKS:
        if only and not any(task.startswith(word) for word in only):
            continue
        command = [sys.executable, __file__, "--scale", str(collection), "--task", task]
        environment = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        import os

        run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
        if run.returncode:
            print(f"| {task} | failed: {run.stderr.strip().splitlines()[-1]} |||||", flush=True)
            recorder.add_row("scale", task=task, failed=run.stderr.strip().splitlines()[-1])
            continue
        row = json.loads(run.stdout)
        cells = (f"{row[name]:,.0f}" for name in ("wall", "cpu", "before", "most"))
        print(f"| {task} | {' | '.join(cells)} | {row['found']} |", flush=True)
        names = {"wall": "wall_s", "cpu": "cpu_s", "before": "own_before_mb", "most": "own_most_mb"}
        recorder.add_row("scale", task=task, found=row["found"], **{names[n]: row[n] for n in names})


def run_task(collection: Path, task: str) -> None:
    before, stop, most = anonymous(), threading.Event(), [0.0]

    def watch() -> None:
        while not stop.wait(0.1):
            most[0] = max(most[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.monotonic()
    report = TASKS[task](collection)
    wall = time.monotonic() - start
    stop.set()
    watcher.join()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    lists = [getattr(report, name, None) for name in ("clusters", "outliers", "chosen")]
    count = next(len(one) for one in lists if isinstance(one, tuple))
    line = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "before": before, "most": most[0]}
    print(json.dumps({**line, "found": f"{count:,} of {report.images:,}"}))


def anonymous() -> float:
    """MB of this process that no file backs."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    raise RuntimeError("no RssAnon: is this Linux?")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    parser.add_argument("--seeds", type=int, default=5, help="of clusters and names")
    parser.add_argument("--scale", type=Path, metavar="COLLECTION", help="measure time and memory on it")
    parser.add_argument("--only", nargs="*", default=[], help="tasks that begin so")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--tables", nargs="*", default=["clusters", "names", "outliers", "samples"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.task:
        run_task(arguments.scale, arguments.task)
        return 0
    if arguments.scale:
        scale(arguments.scale, arguments.only, arguments.threads)
        return 0
    folder = arguments.stamps or find_stamps()
    half = read_half(arguments.half, folder)
    print(f"{len(half.names)} stamps, half {arguments.half}: {len(set(half.kinds))} kinds, ", end="")
    print(f"{len(set(half.groups))} groups\n")
    recorder.put(half=arguments.half, stamps=len(half.names), kinds=len(set(half.kinds)))
    tables: dict[str, Callable[[], None]] = {
        "clusters": lambda: agreement_table(half, range(arguments.seeds)),
        "names": lambda: name_table(
            read_half(arguments.half, folder, with_captions=True),
            read_half("BA"["AB".index(arguments.half)], folder, with_captions=True),
            range(arguments.seeds),
        ),
        "outliers": lambda: outlier_table(half, "AB".index(arguments.half)),
        "samples": lambda: sample_table(half),
    }
    for table in arguments.tables:
        tables[table]()
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(recorder.run(main))
