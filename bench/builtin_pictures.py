"""Free pictures with names and keywords, for training version 2 of ``builtin``. None of them is committed.

    python bench/builtin_pictures.py DIR      # fetch the sources into DIR (about 250 MB)

Needs ``apt-get``, ``npm`` and the PyPI package ``resvg-py`` (MPL-2.0), which draws SVG. Licences as the packages state
them; every one allows training, and none demands its own licence for derived works (sets under CC BY-SA are left out).

======================== ================================================= =====================================
source                   what                                              licence
======================== ================================================= =====================================
Debian openclipart-png   clip art; titles and keywords in openclipart-svg  public domain dedication
iconify noto, noto-v1    Google's emoji                                    Apache-2.0
iconify fluent-emoji,    Microsoft's emoji                                 MIT
fluent-emoji-flat
iconify fxemoji          Mozilla's emoji                                   Apache-2.0
iconify twemoji          Twitter's emoji                                   CC BY 4.0, Twitter, Inc. and others
iconify emojione         EmojiTwo's emoji                                  CC BY 4.0, EmojiTwo's authors
iconify flat-color-icons icons by Icons8                                   MIT
iconify game-icons       silhouettes                                       CC BY 3.0, Lorc, Delapouite and others
iconify streamline-*     coloured icons                                    CC BY 4.0, Webalys (Streamline)
emojibase-data           CLDR's names and keywords of emoji                MIT; data Unicode-3.0
Debian wordnet-base      synonyms and hypernyms                            WordNet 3.0 licence
======================== ================================================= =====================================
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

DEBIAN = ("openclipart-png", "openclipart-svg", "wordnet-base")
ICONS = (
    *("noto", "noto-v1", "fluent-emoji", "fluent-emoji-flat", "twemoji", "emojione", "fxemoji"),
    *("game-icons", "flat-color-icons", "streamline-ultimate-color", "streamline-kameleon-color"),
)
#: Folders of clip art that show shapes, themes of desktops, cards, maps and flags in place of things.
ABSTRACT = (
    *("shapes", "computer", "special", "buttons", "logos", "decorations", "geography"),
    *("signs_and_symbols/flags", "signs_and_symbols/map_symbols", "signs_and_symbols/led"),
    *("recreation/games", "transportation/aiga-symbols"),
)
#: Folders without training pictures, chosen before training for their everyday things.
HELD_OUT = (
    *("animals/mammals", "food/fruit", "transportation/vehicles", "plants", "buildings"),
    *("recreation/music", "people/clothing", "tools"),
)
#: Keywords that say nothing about the content of a picture.
_EMPTY_WORDS = frozenset(
    """
    clip_art clipart clip art png svg externalsource external source color colour bw black_and_white outline vector
    image picture unsorted icon icons hash simple remix openclipart drawing line inkscape lineart line_art cartoon
    silhouette etiquette theme unchecked contour symbol sign misc other general
    """.split()  # noqa: SIM905
)
SIDE = 240
SIZE = 224


@dataclass(frozen=True)
class Picture:
    """A picture. ``texts`` say what it shows, best first; ``folder`` is the clip art's folder or the set of icons."""

    name: str
    folder: str
    texts: tuple[str, ...]
    load: object

    def rgba(self) -> Image.Image:
        return self.load()  # type: ignore[operator]

    @property
    def is_held_out(self) -> bool:
        return self.folder.startswith(HELD_OUT)


# -- sources -----------------------------------------------------------------------------------------------


def fetch(folder: Path) -> None:
    """Download all sources into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in DEBIAN:
        if not list(folder.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "-qq", "download", package], cwd=folder, check=True)
        (deb,) = folder.glob(f"{package}_*.deb")
        subprocess.run(["dpkg", "-x", deb, folder / "x"], check=True)
    for package in ("emojibase-data", *(f"@iconify-json/{name}" for name in ICONS)):
        target = folder / "npm" / package.rpartition("/")[2]
        if not target.is_dir():
            target.mkdir(parents=True)
            packed = subprocess.run(
                ["npm", "pack", "-s", package], cwd=target, check=True, capture_output=True, text=True
            )
            subprocess.run(["tar", "xzf", packed.stdout.split()[-1]], cwd=target, check=True)


def read_pictures(folder: Path) -> list[Picture]:
    """All pictures with at least one text: clip art, then icons set by set."""
    return [picture for picture in (*_clip_art(folder), *_icons(folder)) if picture.texts]


def _clip_art(folder: Path) -> Iterator[Picture]:
    root = folder / "x/usr/share/openclipart"
    for path in sorted((root / "png").rglob("*.png")):
        name = path.relative_to(root / "png").as_posix()
        parent = name.rpartition("/")[0]
        if parent.startswith(ABSTRACT):
            continue
        texts = _svg_texts(root / "svg" / name.replace(".png", ".svg"))
        yield Picture(name, parent, tuple(dict.fromkeys((*texts, _clean(path.stem)))), _PngFile(path))


def _svg_texts(path: Path) -> list[str]:
    """The title and keywords in the metadata of a drawing."""
    try:
        tree = ET.parse(path)
    except (OSError, ET.ParseError):
        return []
    texts = []
    for work in tree.iter("{http://web.resource.org/cc/}Work"):
        title = work.find("{http://purl.org/dc/elements/1.1/}title")
        texts += [title.text or ""] if title is not None else []
    texts += [item.text or "" for item in tree.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li")]
    return [text for text in map(_clean, texts) if text and text not in _EMPTY_WORDS and len(text) < 60]


def _icons(folder: Path) -> Iterator[Picture]:
    keywords = _emoji_keywords(folder)
    for name in ICONS:
        content = json.loads((folder / "npm" / name / "package/icons.json").read_text())
        side = content.get("width", 16), content.get("height", 16)
        for icon, drawing in content["icons"].items():
            words = re.sub(r"-(duo|\d+)$", "", icon)
            if drawing.get("hidden") or re.search(r"(tone|dark|light|medium|flag|keycap|clock-?\d)|^letter|^u1f", icon):
                continue
            texts = (words.replace("-", " "), *keywords.get(words, ()))
            box = drawing.get("width", side[0]), drawing.get("height", side[1])
            yield Picture(f"{name}/{icon}", name, tuple(dict.fromkeys(texts)), _SvgBody(drawing["body"], box))


def _emoji_keywords(folder: Path) -> dict[str, tuple[str, ...]]:
    """CLDR's keywords by the name of an emoji, in hyphens."""
    rows = json.loads((folder / "npm/emojibase-data/package/en/data.json").read_text())
    return {
        re.sub(r"[^a-z0-9]+", "-", row["label"].lower()).strip("-"): tuple(row.get("tags", ()))
        for row in rows
        if row.get("group") not in (2, 9)  # skin tones, flags
    }


def _clean(text: str) -> str:
    text = re.sub(r"[_\-\s]+", " ", re.sub(r"\d+|\.|[^\w\s'-]", " ", text)).strip().lower()
    return text if len(text) > 1 else ""


@dataclass(frozen=True)
class _PngFile:
    path: Path

    def __call__(self) -> Image.Image:
        with Image.open(self.path) as image:
            image.draft("RGB", (SIDE, SIDE))
            image = image.convert("RGBA")
        image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
        return image


@dataclass(frozen=True)
class _SvgBody:
    body: str
    box: tuple[float, float]

    def __call__(self) -> Image.Image:
        import resvg_py

        size = f'viewBox="0 0 {self.box[0]} {self.box[1]}" width="{SIDE}" height="{SIDE * self.box[1] / self.box[0]}"'
        names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        svg = f"<svg {names} {size}>{self.body}</svg>"
        image = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).convert("RGBA")
        box = image.getchannel("A").getbbox()
        return image.crop(box) if box else image


# -- words -------------------------------------------------------------------------------------------------


class WordNet:
    """Nouns of WordNet 3.0: synonyms and hypernyms of the commonest sense."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "x/usr/share/wordnet"

    @cached_property
    def _synsets(self) -> dict[str, tuple[list[str], list[str]]]:
        synsets = {}
        for line in (self._folder / "data.noun").read_text().splitlines():
            if line.startswith(" "):
                continue
            parts = line.split(" | ")[0].split()
            count = int(parts[3], 16)
            words = [parts[4 + 2 * i].replace("_", " ").lower() for i in range(count)]
            pointers = parts[5 + 2 * count :]
            above = [pointers[i + 1] for i, kind in enumerate(pointers) if kind in ("@", "@i")]
            synsets[parts[0]] = words, above
        return synsets

    @cached_property
    def _first_sense(self) -> dict[str, str]:
        lines = (self._folder / "index.noun").read_text().splitlines()
        rows = [line.split() for line in lines if not line.startswith(" ")]
        return {row[0].replace("_", " "): row[-int(row[2])] for row in rows}

    @property
    def nouns(self) -> dict[str, str]:
        """The synset of the commonest sense of each noun."""
        return self._first_sense

    def find(self, text: str) -> str | None:
        """Return the longest noun at the end of ``text``, in the singular."""
        words = text.lower().split()
        for start in range(len(words)):
            for form in _singulars(" ".join(words[start:])):
                if form in self._first_sense:
                    return form
        return None

    def levels(self, noun: str) -> list[list[str]]:
        """The synonyms of a noun, then the words of each hypernym up to ``entity``."""
        synset = self._first_sense[noun]
        levels: list[list[str]] = []
        while True:
            words, above = self._synsets[synset]
            levels.append(words)
            if not above:
                return levels
            synset = above[0]

    def names_above(self, noun: str) -> tuple[list[str], list[list[str]]]:
        """Synonyms of a noun, then the words of each hypernym upwards, without the four most general levels."""
        levels = self.levels(noun)
        return levels[0], levels[1:-5]


def _singulars(text: str) -> Iterator[str]:
    yield text
    for ending, replacement in (("ies", "y"), ("ves", "f"), ("es", ""), ("s", "")):
        if text.endswith(ending) and len(text) > len(ending) + 2:
            yield text[: -len(ending)] + replacement


# -- variants ----------------------------------------------------------------------------------------------


def variants(picture: Picture, count: int) -> list[np.ndarray]:
    """``count`` + 1 arrays (224, 224, 3) uint8: as it is on white, then on drawn grounds, blurred, with noise."""
    seed = int.from_bytes(hashlib.sha256(picture.name.encode()).digest()[:8], "big")
    random, image = np.random.default_rng(seed), picture.rgba()
    return [_squash(_flatten(image)), *(_vary(image, random) for _ in range(count))]


def _flatten(image: Image.Image) -> Image.Image:
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def _squash(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def _vary(image: Image.Image, random: np.random.Generator) -> np.ndarray:
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < 0.5:
        image = image.rotate(random.uniform(-20, 20), Image.Resampling.BICUBIC)
    longest = random.uniform(0.6, 1.0) * SIZE
    aspect = (image.width / image.height) ** random.uniform(
        0, 1
    )  # between its own and squashed, as the encoder does it
    size = tuple(max(8, int(longest * min(1.0, side))) for side in (aspect, 1 / aspect))
    image = image.resize(size, Image.Resampling.BICUBIC)
    if random.random() < 0.3:  # shading, as of a solid thing in light
        shade = np.asarray(image).astype(np.float32)
        shade[..., :3] *= _noise(random, low=0.6)[: size[1], : size[0], None]
        image = Image.fromarray(shade.astype(np.uint8))
    ground = _ground(random)
    ground.paste(image, tuple(int(random.integers(0, SIZE - side + 1)) for side in size), image.getchannel("A"))
    if random.random() < 0.4:
        ground = ground.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 2.5)))
    pixels = np.asarray(ground, np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + random.uniform(0.2, 1.3) * (pixels - grey)
    pixels = 128 + random.uniform(0.6, 1.2) * (pixels - 128) + random.uniform(-30, 30)
    pixels += random.normal(0, random.uniform(0, 14), (SIZE, SIZE, 1))
    return pixels.clip(0, 255).astype(np.uint8)


def _ground(random: np.random.Generator) -> Image.Image:
    """A white, plain or cloudy ground."""
    kind = random.random()
    colours = random.uniform(0, 255, (2, 3))
    if kind < 0.35:
        return Image.new("RGB", (SIZE, SIZE), "white")
    if kind < 0.55:
        return Image.new("RGB", (SIZE, SIZE), tuple(int(value) for value in colours[0]))
    share = _noise(random)[..., None]
    return Image.fromarray((colours[0] * share + colours[1] * (1 - share)).clip(0, 255).astype(np.uint8))


def _noise(random: np.random.Generator, low: float = 0.0) -> np.ndarray:
    """Clouds: noise of three scales in [low, 1], (224, 224) float32."""
    total = np.zeros((SIZE, SIZE), np.float32)
    for cells in (2, 5, 40):
        coarse = Image.fromarray(random.uniform(0, 255, (cells, cells)).astype(np.uint8))
        total += np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32) / cells**0.7
    total = (total - total.min()) / max(float(np.ptp(total)), 1e-6)
    return low + (1 - low) * total


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
