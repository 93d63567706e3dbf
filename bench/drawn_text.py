"""Pictures with known words: pages, screenshots and words over photographs, in free fonts.

Fonts are Debian's (bench/README.md says which); the grounds are the photographs that ship in scikit-image and
scikit-learn. Shared by ocr.py.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import skimage.data
import sklearn.datasets
from PIL import Image, ImageDraw, ImageFilter, ImageFont

#: Words, by script. Those of English come from the guides in docs/.
GERMAN = ("Straße", "Brücke", "Öffnung", "für", "übermorgen", "größer", "weiß", "Mädchen", "Käse", "schön")
FRENCH = ("café", "élève", "garçon", "forêt", "où", "déjà", "français", "hôtel", "naïve", "même")
GREEK = (
    "ΑΘΗΝΑ", "ΘΕΣΣΑΛΟΝΙΚΗ", "αγορά", "δρόμος", "ημέρα", "θάλασσα", "ΚΑΦΕ", "λόγος", "μουσική", "νερό", "ουρανός",
    "πλατεία", "ΣΤΑΘΜΟΣ", "ΤΡΕΝΟ", "φως", "χώρα", "τιμολόγιο", "ΕΞΟΔΟΣ", "ΕΙΣΟΔΟΣ", "ψωμί", "εφημερίδα", "βιβλίο",
    "σύνολο", "πληρωμή", "τηλέφωνο", "διεύθυνση", "Δευτέρα", "Παρασκευή", "Ιανουάριος", "κωδικός", "εισιτήριο",
    "ξενοδοχείο", "φαρμακείο", "σήμερα", "καλημέρα", "ευχαριστώ", "γάλα", "ζάχαρη", "λάδι", "ώρα",
)  # fmt: skip
CYRILLIC = (
    "МОСКВА", "ВОКЗАЛ", "ВЫХОД", "ВХОД", "АПТЕКА", "КАФЕ", "РЕСТОРАН", "улица", "площадь", "река", "небо", "вода",
    "хлеб", "молоко", "сахар", "масло", "книга", "газета", "музыка", "счёт", "оплата", "итого", "сумма", "телефон",
    "адрес", "пароль", "билет", "гостиница", "понедельник", "пятница", "январь", "сегодня", "погода", "здравствуйте",
    "спасибо", "объявление", "щётка", "этаж", "юность", "яблоко",
)  # fmt: skip
CHINESE = (
    "北京", "上海", "火车站", "出口", "入口", "餐厅", "咖啡", "图书馆", "医院",
    "学校", "今天", "天气", "你好", "谢谢", "中国", "世界", "新闻", "价格",
    "发票", "日期", "电话", "地址", "公司", "银行", "超市", "水果",
)  # fmt: skip
WORDS = {"greek": GREEK, "cyrillic": CYRILLIC, "chinese": CHINESE}
FONTS = {
    "latin": (
        "dejavu/DejaVuSans.ttf", "dejavu/DejaVuSans-Bold.ttf", "dejavu/DejaVuSerif.ttf", "dejavu/DejaVuSansMono.ttf",
        "dejavu/DejaVuSansCondensed.ttf", "liberation/LiberationSans-Regular.ttf",
        "liberation/LiberationSans-Bold.ttf", "liberation/LiberationSerif-Regular.ttf",
        "liberation/LiberationSerif-Italic.ttf", "liberation/LiberationMono-Regular.ttf",
        "liberation/LiberationSansNarrow-Regular.ttf",
    ),
    "greek": (
        "dejavu/DejaVuSans.ttf", "dejavu/DejaVuSerif.ttf", "liberation/LiberationSans-Regular.ttf",
        "liberation/LiberationSerif-Regular.ttf",
    ),
    "cyrillic": (
        "dejavu/DejaVuSans.ttf", "dejavu/DejaVuSerif.ttf", "liberation/LiberationSans-Regular.ttf",
        "liberation/LiberationSerif-Regular.ttf",
    ),
    "chinese": ("wqy/wqy-microhei.ttc",),
}  # fmt: skip
FOLDER = Path("/usr/share/fonts/truetype")
KINDS = ("page", "screenshot", "sign", "plate")
SIZE = (640, 480)
DESKTOP = (1920, 1080)
CAMERA = (4000, 3000)
#: Shapes of unusual pages, and Debian's fonts that imitate handwriting.
SHAPES = ("light on dark", "small", "perspective", "curved", "sideways", "upside down", "handwriting")
HANDWRITING = ("breip/Breip.ttf", "femkeklaver/femkeklaver.ttf", "fifthhorseman/dkg.ttf", "kristi/Kristi.ttf")
DAMAGES = ("rotation", "blur", "jpeg", "noise")


@dataclass(frozen=True, slots=True)
class DrawnPicture:
    """A picture with the words on it. ``damages`` names its alterations, none for a clean one."""

    picture: Image.Image
    words: tuple[str, ...]
    script: str
    kind: str
    pixels: int
    """The height of the font."""
    damages: tuple[str, ...]


def missing_fonts() -> list[str]:
    """Names of font files that are not installed."""
    return sorted({name for names in FONTS.values() for name in names if not (FOLDER / name).is_file()})


def draw_all(count: int, seed: int, *, damaged: bool) -> Iterator[DrawnPicture]:
    """Draw ``count`` pictures: of every six, three in Latin, one each in Greek, Cyrillic, Chinese; all kinds alike."""
    chance = np.random.default_rng([seed, damaged])
    grounds = photographs()
    for number in range(count):
        script = ("latin", "latin", "latin", "greek", "chinese", "cyrillic")[number % 6]
        kind = KINDS[number // 6 % 4]
        sample = _draw(script, kind, grounds[chance.integers(len(grounds))], chance)
        if damaged:
            damages = tuple(d for d in DAMAGES if chance.random() < 0.4) or (DAMAGES[number % 4],)
            sample = _damage(sample, damages, chance)
        yield sample


def draw_desktops(count: int, seed: int) -> Iterator[DrawnPicture]:
    """Draw ``count`` screenshots of 1920 × 1080 with text of 11 to 20 pixels in Latin, beside a photograph."""
    chance = np.random.default_rng([seed, 3])
    for _ in range(count):
        pixels = int(chance.integers(11, 21))
        font = _font(str(chance.choice(FONTS["latin"])), pixels)
        picture = Image.new("RGB", DESKTOP, (248, 248, 246))
        picture.paste(_cut(photographs()[chance.integers(len(photographs()))], (640, 480), chance), (20, 60))
        pen = ImageDraw.Draw(picture)
        words: list[str] = []
        for row in range(int(chance.integers(4, 13))):
            line = _words("latin", chance, int(chance.integers(2, 10)))
            pen.text((700, 60 + round(row * pixels * 1.5)), " ".join(line), fill=(25, 25, 25), font=font)
            words += line
        yield DrawnPicture(picture, tuple(words), "latin", "desktop", pixels, ())


def draw_shapes(count: int, seed: int, handwriting: Path = FOLDER) -> Iterator[DrawnPicture]:
    """Draw ``count`` pages in Latin of each of the shapes; those in handwriting where its fonts are installed.

    Small letters have 8 to 11 pixels, others 18 to 32. Sheets in perspective lie on photographs, their corners moved by
    up to a quarter of their sides. Curved lines rise and fall by up to 60 pixels over the width of a page.
    """
    chance = np.random.default_rng([seed, 5])
    for number in range(count * len(SHAPES)):
        shape = SHAPES[number % len(SHAPES)]
        pixels = int(chance.integers(8, 12) if shape == "small" else chance.integers(18, 33))
        name = FOLDER / str(chance.choice(FONTS["latin"]))
        if shape == "handwriting":
            name, pixels = handwriting / str(chance.choice(HANDWRITING)), pixels + 8
            if not name.is_file():
                continue
        picture, words = _sheet(ImageFont.truetype(name, pixels), shape == "light on dark", chance)
        if shape == "perspective":
            picture = _project(picture, _cut(photographs()[chance.integers(len(photographs()))], SIZE, chance), chance)
        elif shape == "curved":
            rise = np.sin(np.linspace(0, np.pi, SIZE[0])) * chance.uniform(25, 60) * chance.choice([-1, 1])
            rows = np.arange(SIZE[1])[:, np.newaxis] + rise.astype(int)
            picture = Image.fromarray(np.asarray(picture)[rows.clip(0, SIZE[1] - 1), np.arange(SIZE[0])])
        elif shape in ("sideways", "upside down"):
            picture = picture.rotate(180 if shape == "upside down" else int(chance.choice([90, 270])), expand=True)
        yield DrawnPicture(picture, tuple(words), "latin", shape, pixels, ())


def _sheet(font: ImageFont.FreeTypeFont, dark: bool, chance: np.random.Generator) -> tuple[Image.Image, list[str]]:
    """Draw two to six lines with room around them; return the words, too."""
    ink, paper = ((235, 235, 230), (25, 28, 34)) if dark else ((20, 20, 25), (250, 249, 245))
    picture = Image.new("RGB", SIZE, paper)
    pen = ImageDraw.Draw(picture)
    words: list[str] = []
    for row in range(int(chance.integers(2, 7))):
        line: list[str] = []
        for word in _words("latin", chance, int(chance.integers(2, 8))):
            if pen.textlength(" ".join([*line, word]), font=font) > SIZE[0] - 100:
                break
            line.append(word)
        pen.text((50, 80 + row * round(font.size * 1.7)), " ".join(line), fill=ink, font=font)
        words += line
    return picture, words


def _project(sheet: Image.Image, ground: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Draw a sheet on a ground, seen from another viewpoint."""
    wide, high = SIZE
    corners = [(0, 0), (wide, 0), (wide, high), (0, high)]
    projected = [(abs(x - chance.uniform(0, 0.25) * wide), abs(y - chance.uniform(0, 0.25) * high)) for x, y in corners]
    equations = []
    for (x, y), (u, v) in zip(projected, corners, strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    coefficients = np.linalg.solve(np.array(equations), np.array(corners, float).ravel()).tolist()
    whole = Image.new("L", SIZE, 255)
    ground.paste(
        sheet.transform(SIZE, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC),
        mask=whole.transform(SIZE, Image.Transform.PERSPECTIVE, coefficients),
    )
    return ground


def photographs_without_text(count: int, seed: int, size: tuple[int, int] = SIZE) -> Iterator[Image.Image]:
    """Cut ``count`` parts of the photographs, at other sizes and in other light, with the noise of a camera."""
    chance = np.random.default_rng([seed, 7])
    grounds = photographs()
    for number in range(count):
        ground = _cut(grounds[number % len(grounds)], size, chance)
        noise = chance.normal(0, chance.uniform(1, 6), (size[1], size[0], 1))
        pixels = np.asarray(ground, np.float32) * chance.uniform(0.7, 1.2) + noise
        yield Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@cache
def photographs() -> tuple[Image.Image, ...]:
    """Photographs and textures without text."""
    names = ("astronaut", "camera", "chelsea", "rocket", "retina", "hubble_deep_field", "brick", "grass", "gravel",
             "coins", "immunohistochemistry", "moon", "coffee", "cell")  # fmt: skip
    pictures = [getattr(skimage.data, name)() for name in names]
    pictures += [sklearn.datasets.load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    return tuple(Image.fromarray(pixels).convert("RGB") for pixels in pictures)


@cache
def english() -> tuple[str, ...]:
    """Words of the guides in docs/, in their order."""
    text = "".join(path.read_text("utf-8") for path in sorted(Path(__file__).parents[1].glob("docs/*.md")))
    return tuple(re.findall(r"(?<![\w`./-])[A-Za-z]{3,12}(?![\w`/-])", text))


def _words(script: str, chance: np.random.Generator, count: int) -> list[str]:
    if script != "latin":
        return [str(word) for word in chance.choice(WORDS[script], count)]
    start = int(chance.integers(len(english()) - count))
    words = list(english()[start : start + count])
    for at in range(len(words)):
        draw = chance.random()
        if draw < 0.06:
            words[at] = str(chance.choice(GERMAN + FRENCH))
        elif draw < 0.12:
            words[at] = str(chance.integers(10, 99999))
    return words


def _draw(script: str, kind: str, ground: Image.Image, chance: np.random.Generator) -> DrawnPicture:
    pixels = int(chance.integers(12, 29) if kind in ("page", "screenshot") else chance.integers(18, 61))
    font = _font(str(chance.choice(FONTS[script])), pixels)
    dark = chance.random() < (0.2 if kind == "page" else 0.5)
    ink, paper = ((235, 235, 230), (25, 28, 34)) if dark else ((20, 20, 25), (250, 249, 245))
    outline = 0
    if kind == "page":
        picture = Image.new("RGB", SIZE, paper)
    elif kind == "screenshot":
        picture = _window(ground, paper, chance)
    else:
        picture = _cut(ground, SIZE, chance)
        outline = max(1, pixels // 12) if kind == "sign" else 0
    pen = ImageDraw.Draw(picture)
    words: list[str] = []
    step = round(pixels * 1.45)
    most = (SIZE[1] - 40) // step if kind in ("page", "screenshot") else int(chance.integers(1, 4))
    most = min(most, 9)
    left, right = (230 if kind == "screenshot" else 20), SIZE[0] - 20
    top = 20 if kind in ("page", "screenshot") else int(chance.integers(10, SIZE[1] - 10 - most * step))
    for row in range(most):
        line: list[str] = []
        for word in _words(script, chance, int(chance.integers(1, 8))):
            if left + pen.textlength(" ".join([*line, word]), font=font) > right:
                break
            line.append(word)
        if not line:
            continue
        text, at = " ".join(line), (left, top + row * step)
        if kind == "plate":
            box = pen.textbbox(at, text, font=font)
            pad = pixels // 4
            pen.rectangle((box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad), fill=paper)
        pen.text(at, text, fill=ink, font=font, stroke_width=outline, stroke_fill=paper)
        words += line
    return DrawnPicture(picture, tuple(words), script, kind, pixels, ())


def _window(ground: Image.Image, paper: tuple[int, int, int], chance: np.random.Generator) -> Image.Image:
    """Draw a window with a bar at its top, a picture at its left, and room for text."""
    picture = Image.new("RGB", SIZE, paper)
    picture.paste(_cut(ground, (200, 200), chance), (10, 30))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, SIZE[0], 14), fill=(90, 110, 160))
    for place in (600, 615, 630):
        pen.ellipse((place, 3, place + 8, 11), fill=(230, 120, 90))
    return picture


def _cut(ground: Image.Image, size: tuple[int, int], chance: np.random.Generator) -> Image.Image:
    """Cut a random part of a photograph, of the proportions of ``size``, and bring it to that size."""
    share = chance.uniform(0.5, 0.95)
    scale = share * min(ground.width / size[0], ground.height / size[1])
    width, height = size[0] * scale, size[1] * scale
    left, top = chance.uniform(0, ground.width - width), chance.uniform(0, ground.height - height)
    return ground.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))


def _damage(sample: DrawnPicture, names: Sequence[str], chance: np.random.Generator) -> DrawnPicture:
    picture = sample.picture
    if "rotation" in names:
        angle = chance.uniform(2, 8) * chance.choice([-1, 1])
        corner = picture.getpixel((2, SIZE[1] - 2))
        picture = picture.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=corner)
    if "blur" in names:
        picture = picture.filter(ImageFilter.GaussianBlur(min(1.2, sample.pixels / 18)))
    if "noise" in names:
        noisy = np.asarray(picture, np.float32) + chance.normal(0, 12, (picture.height, picture.width, 3))
        picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    if "jpeg" in names:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=40)
        picture = Image.open(file).convert("RGB")
    return DrawnPicture(picture, sample.words, sample.script, sample.kind, sample.pixels, tuple(names))


@cache
def _font(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FOLDER / name, pixels)
