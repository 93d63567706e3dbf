"""How much `imseek dataset` and `imseek coverage` find of known flaws and gaps, and the cost of the measures.

    python bench/dataset.py [--part quality] [--part cost] [--part coverage] [--half B] [--stamps DIR] [--photos DIR]

quality   Photographs (scikit-image, scikit-learn, and quarters of the larger ones), stamps of Tux Paint, pages and
          charts, as they are and altered: out of focus (a Gaussian of σ pixels where the longer side has 256),
          shaken, under- and overexposed (in linear light), and pictures of nothing: blank pages, walls, lens caps. All
          as JPEG, with the noise of a sensor. Recall and precision of each list, with 95 % bootstrap intervals over
          originals. --choose prints the originals' quantiles, by which thresholds were chosen on half A.
cost      CPU time a picture of decoding with and without measures, by turns; DIR/small (640 × 480) and DIR/big (12 MP)
          of photos.py.
coverage  Stamps of one half as a collection, and of the other half, without one folder, as another one (builtin): the
          share of stamps listed as lacking, in that folder and in the rest, and the share of listed stamps that are in
          the folder; means over folders of at least six stamps, with 95 % bootstrap intervals over folders. Beside it
          a simpler rule, by the cosine with the nearest stamp alone, at the same expected share.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import recorder
from duplicating.originals import chart, page, photo_folders
from PIL import Image, ImageFilter
from quality import find_stamps, half_of, stamp_names

import imseek
from imseek.analysis.snapshot_session import SnapshotSession
from imseek.analysis.space_vectors import Vectors
from imseek.data.vectors import IdSet
from imseek.dataset.lacking_images import SetNeighbours, strangeness_to, threshold
from imseek.dataset.quality_flags import flag_images
from imseek.media import decode
from imseek.media.measures import SIDE
from imseek.types.pictures import Luma

PARTS = ("quality", "cost", "coverage")
RESAMPLES = 2000
#: Stamps drawn from a half.
STAMPS = 150


@dataclass(frozen=True)
class Original:
    """``source`` is shared by quarters of one photograph, which are resampled together."""

    family: str
    source: str
    picture: Image.Image


def originals(half: str, stamps: Path) -> Iterator[Original]:
    files = [p for folder in photo_folders() for p in sorted(folder.iterdir()) if p.suffix in (".png", ".jpg")]
    for path in files:
        name = path.stem.replace("_right", "_left").replace("_RGB", "_GRAY")
        if half_of(name) != half or path.stem == "chessboard_RGB":
            continue
        whole = Image.fromarray(decode(path.read_bytes()).pixels)
        yield Original("photograph", name, whole)
        width, height = whole.size
        for left, top in ((0, 0), (0, 1), (1, 0), (1, 1)) if min(whole.size) >= 300 else ():
            box = (left * width // 2, top * height // 2, (left + 1) * width // 2, (top + 1) * height // 2)
            yield Original("photograph", name, whole.crop(box))
    names = [name for name in stamp_names(stamps) if half_of(name) == half]
    for n in sorted(np.random.default_rng(7).permutation(len(names))[:STAMPS]):
        pixels = decode((stamps / names[n]).read_bytes()).pixels
        if max(pixels.shape) >= 100:
            yield Original("stamp", names[n], Image.fromarray(pixels))
    for n in range(12):
        seed = n + (1000 if half == "B" else 0)
        yield Original("page or chart", f"page-{n}", page(n % 3, seed))
        yield Original("page or chart", f"chart-{n}", chart(n % 3, seed))


# -- alterations -------------------------------------------------------------------------------------------


def blur(sigma: float) -> Callable[[Image.Image], Image.Image]:
    return lambda picture: picture.filter(ImageFilter.GaussianBlur(sigma * max(picture.size) / SIDE))


def shake(length: float) -> Callable[[Image.Image], Image.Image]:
    """Shake along the diagonal, over ``length`` pixels where the longer side has 256."""

    def alter(picture: Image.Image) -> Image.Image:
        steps = max(2, round(length * max(picture.size) / SIDE / np.sqrt(2)))
        pixels = np.asarray(picture, np.float32)
        total = np.zeros_like(pixels)
        for step in range(steps):
            total += np.roll(pixels, (step, step), (0, 1))
        cut = total[steps:, steps:] / steps
        return Image.fromarray(cut.clip(0, 255).astype(np.uint8))

    return alter


def expose(stops: float) -> Callable[[Image.Image], Image.Image]:
    """Expose by ``stops`` stops more, in linear light (sRGB)."""

    def alter(picture: Image.Image) -> Image.Image:
        value = np.asarray(picture, np.float32) / 255
        linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4) * 2**stops
        linear = linear.clip(0, 1)
        srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
        return Image.fromarray((srgb * 255).round().astype(np.uint8))

    return alter


ALTERATIONS = {
    "blurred": {
        "σ 1": blur(1),
        "σ 1.5": blur(1.5),
        "σ 2": blur(2),
        "σ 3": blur(3),
        "σ 5": blur(5),
        "shaken by 6": shake(6),
        "shaken by 12": shake(12),
    },
    "dark": {"−2 stops": expose(-2), "−3 stops": expose(-3), "−4 stops": expose(-4)},
    "bright": {"+2 stops": expose(2), "+3 stops": expose(3), "+4 stops": expose(4)},
}


def blank_pictures(seed: int, count: int) -> Iterator[tuple[str, Image.Image]]:
    """Blank pages, evenly lit or not, some with a speck; walls in a colour; lens caps."""
    chance = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:480, 0:640].astype(np.float32)
    for n in range(count):
        falloff = 1 - chance.uniform(0, 0.25) * (
            ((columns - chance.uniform(0, 640)) / 640) ** 2 + ((rows - chance.uniform(0, 480)) / 480) ** 2
        )
        kind = ("blank page", "wall", "lens cap")[n % 3]
        if kind == "blank page":
            pixels = falloff[..., None] * np.array([250, 248, 244], np.float32) * chance.uniform(0.8, 1.02)
            if n % 2:
                top, left = chance.integers(20, 440), chance.integers(20, 600)
                pixels[top : top + 6, left : left + 9] *= 0.5
        elif kind == "wall":
            pixels = falloff[..., None] * chance.uniform(60, 230, 3).astype(np.float32)
        else:
            pixels = np.full((480, 640, 3), chance.uniform(0, 12), np.float32)
        yield kind, Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def take_photograph(picture: Image.Image, seed: int, noise: float = 3) -> Luma:
    """Store a picture as a camera would, as JPEG of quality 85, and measure it as indexing does. ``noise`` is in levels
    where the longer side has 640 pixels; smaller pictures, which are parts or reductions of such, get less."""
    pixels = np.asarray(picture, np.float32)
    amplitude = noise * min(1.0, max(picture.size) / 640)
    grain = np.random.default_rng(seed).normal(0, amplitude, (*pixels.shape[:2], 1))
    buffer = io.BytesIO()
    Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    luma = decode(buffer.getvalue(), min_side=224).facts.luma
    assert luma is not None
    return luma


# -- quality ----------------------------------------------------------------------------------------------


def quality(options: argparse.Namespace) -> None:
    stamps = options.stamps or find_stamps()
    pictures = list(originals(options.half, stamps))
    if options.most:  # of each kind in proportion
        pictures = pictures[:: max(1, len(pictures) // options.most)]
    families = [one.family for one in pictures]
    unaltered = [take_photograph(one.picture, n) for n, one in enumerate(pictures)]
    empty = list(blank_pictures("AB".index(options.half), options.most or 90))
    recorder.put(half=options.half, originals={f: families.count(f) for f in dict.fromkeys(families)})
    print(f"half {options.half}: " + ", ".join(f"{families.count(f)} {f}s" for f in dict.fromkeys(families)))
    if options.choose:
        quantiles(families, unaltered, "as they are")
    wrong = {name: [name in flags_of(luma) for luma in unaltered] for name in (*ALTERATIONS, "empty")}
    print("\n| list | of what | listed | 95 % interval |\n|---|---|---|---|")
    for name, flagged in wrong.items():
        for family in dict.fromkeys(families):
            rows = [n for n, one in enumerate(families) if one == family]
            report(f"{name} | {family}s as they are", [flagged[n] for n in rows], [pictures[n].source for n in rows])
    for name, ways in ALTERATIONS.items():
        for way, alter in ways.items():
            for family in dict.fromkeys(families):
                rows = [n for n, one in enumerate(families) if one == family]
                lumas = [take_photograph(alter(pictures[n].picture), n) for n in rows]
                if options.choose:
                    quantiles([family] * len(lumas), lumas, way)
                flags = [flags_of(luma) for luma in lumas]
                listed = [name in one for one in flags]
                report(f"{name} | {family}s, {way}", listed, [pictures[n].source for n in rows])
                if name == "blurred":
                    either = [bool({"blurred", "empty"} & set(one)) for one in flags]
                    report(f"blurred or empty | {family}s, {way}", either, [pictures[n].source for n in rows])
                if family == "photograph":
                    right, others = sum(listed), sum(wrong[name][n] for n in rows)
                    if right + others:
                        precision = right / (right + others)
                        recorder.add_row("precision", list=name, way=way, precision=precision)
                        print(f"|  | of photographs listed, {way} | precision {right / (right + others):.3f} | |")
    lumas = [(kind, take_photograph(picture, n)) for n, (kind, picture) in enumerate(empty)]
    for kind in dict.fromkeys(kind for kind, _ in lumas):
        members = [luma for one, luma in lumas if one == kind]
        if options.choose:
            quantiles([kind] * len(members), members, "nothing")
        report(
            f"empty | {kind}s",
            ["empty" in flags_of(luma) for luma in members],
            [str(n) for n in range(len(members))],
        )


def flags_of(luma: Luma) -> list[str]:
    """Return the kinds that apply to one image."""
    flags = flag_images({name: np.array([value], np.float64) for name, value in asdict(luma).items()})
    return [kind for kind, flagged in flags.items() if flagged[0]]


def report(what: str, listed: list[bool], sources: list[str]) -> None:
    """Print the share of listed pictures, resampled by the photographs that they are parts of."""
    groups = [
        np.array([hit for hit, one in zip(listed, sources, strict=True) if one == name])
        for name in dict.fromkeys(sources)
    ]
    sums, sizes = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
    draws = np.random.default_rng(1).integers(0, len(groups), (RESAMPLES, len(groups)))
    shares = sums[draws].sum(1) / sizes[draws].sum(1)
    low, high = np.percentile(shares, [2.5, 97.5])
    print(f"| {what} | {sum(listed) / len(listed):.3f} | [{low:.3f}, {high:.3f}] |", flush=True)
    recorder.add_row("lists", what=what, share=sum(listed) / len(listed), share_interval=(low, high))


def quantiles(families: list[str], lumas: list[Luma], what: str) -> None:
    for family in dict.fromkeys(families):
        members = [luma for one, luma in zip(families, lumas, strict=True) if one == family]
        for name in ("mean", "sd", "dark", "bright", "edges", "blur"):
            values = [v for luma in members if (v := getattr(luma, name)) is not None]
            cuts = np.percentile(values, [0, 2, 5, 50, 95, 98, 100]) if values else []
            print(f"    {what}, {family}: {name:7}", " ".join(f"{cut:.3f}" for cut in cuts), f"({len(values)})")


# -- cost -------------------------------------------------------------------------------------------------


def cost(options: argparse.Namespace) -> None:
    """Decode with and without measures in turn, picture by picture, so that other programs disturb both alike."""
    print("\n| pictures | decoded to at least | decode, without measures | with | more |\n|---|---|---|---|---|")
    for name, count in (("small", 100), ("big", 20)):
        data = [path.read_bytes() for path in sorted((options.photos / name).iterdir())[:count]]
        for side in (224, 448):
            seconds: dict[bool, list[float]] = {True: [], False: []}
            for one in [one for one in data for _ in range(5)]:
                for with_measures, times in seconds.items():
                    start = time.process_time()
                    decode(one, min_side=side, measured=with_measures)
                    times.append(time.process_time() - start)
            with_them, without = (1e3 * float(np.median(times)) for times in seconds.values())
            more = with_them - without
            print(
                f"| {name} | {side} | {without:.2f} ms | {with_them:.2f} ms | {more:.2f} ms, {more / without:.1%} |",
                flush=True,
            )
            recorder.add_row("cost", pictures=name, side=side, without_ms=without, with_ms=with_them)


# -- coverage ---------------------------------------------------------------------------------------------


def coverage(options: argparse.Namespace) -> None:
    stamps = options.stamps or find_stamps()
    other = "A" if options.half == "B" else "B"
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imseek-bench-")))
        ours, theirs = (index_half(half, stamps, work, stack) for half in (options.half, other))
        index = ours.index(ours.reader.current.space)
        own = SetNeighbours(Vectors(ours.reader), index)
        places = {i: place.path.decode() for i, place in ours.reader.places(own.vectors.ids.tolist()).items()}
        their_paths = {
            i: place.path.decode() for i, place in theirs.reader.places(Vectors(theirs.reader).ids.tolist()).items()
        }
        print(f"\n{len(places)} stamps of half {options.half} beside {len(their_paths)} of half {other}")
        print("\n| folders | rule | listed of what is withheld | listed of the rest | of the listed, withheld |")
        print("|---|---|---|---|---|")
        for depth in (1, 2):
            folder = {i: "/".join(Path(path).relative_to(stamps).parts[:-1][:depth]) for i, path in places.items()}
            their_folders = {
                i: "/".join(Path(path).relative_to(stamps).parts[:-1][:depth]) for i, path in their_paths.items()
            }
            rows_of_rule: dict[str, list[tuple[float, float, float]]] = {"strangeness": [], "nearest alone": []}
            for name in sorted(set(folder.values())):
                withheld = np.array([folder[i] == name for i in own.vectors.ids.tolist()])
                if withheld.sum() < 6 or name.count("/") != depth - 1:
                    continue
                remaining = IdSet([i for i, one in their_folders.items() if one != name])
                rest = SetNeighbours(
                    Vectors(theirs.reader, None, remaining),
                    theirs.index(theirs.reader.current.space),
                )
                least = threshold(rest)
                strange = strangeness_to(own, rest, np.arange(len(own.vectors)), lambda _: False)
                assert least is not None
                assert strange is not None
                everything = np.arange(len(rest.vectors))
                nearest = rest.own(everything)[1][:, 0]
                for rule, listed in (
                    ("strangeness", strange[0] > least),
                    ("nearest alone", strange[1] < np.quantile(nearest, 0.05)),
                ):
                    precision = listed[withheld].sum() / max(1, listed.sum())
                    rows_of_rule[rule].append((listed[withheld].mean(), listed[~withheld].mean(), precision))
            for rule, rows in rows_of_rule.items():
                table = np.array(rows)
                draws = np.random.default_rng(1).integers(0, len(table), (RESAMPLES, len(table)))
                low, high = np.percentile(table[draws].mean(1), [2.5, 97.5], axis=0)
                cells = [f"{mean:.3f} [{a:.3f}, {b:.3f}]" for mean, a, b in zip(table.mean(0), low, high, strict=True)]
                print(f"| {len(table)} of level {depth} | {rule} | {' | '.join(cells)} |", flush=True)
                columns = ("listed_of_withheld", "listed_of_rest", "precision")
                shares = dict(zip(columns, table.mean(0), strict=True))
                recorder.add_row("coverage", folders=len(table), level=depth, rule=rule, **shares)


def index_half(half: str, stamps: Path, work: Path, stack: ExitStack) -> SnapshotSession:
    files = [stamps / name for name in stamp_names(stamps) if half_of(name) == half]
    with imseek.create(work / half, encoder="builtin") as collection:
        collection.index(files)
    return stack.enter_context(SnapshotSession(work / half))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--half", choices="AB", default="B", help="A to choose by, B to report (default)")
    parser.add_argument("--stamps", type=Path, help="folder of stamps (default: installed, or fetched by apt)")
    parser.add_argument("--photos", type=Path, default=Path("/tmp/peers/photos"), help="made by photos.py")
    parser.add_argument("--most", type=int, help="of quality: originals (default: all)")
    parser.add_argument("--choose", action="store_true", help="print quantiles of the measures too")
    options = parser.parse_args()
    for part in options.part or PARTS:
        {"quality": quality, "cost": cost, "coverage": coverage}[part](options)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
