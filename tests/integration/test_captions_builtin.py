"""Captions of real pictures, with a trained encoder: exact captions are found, and true ones agree better."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imseek
from imseek import captions, evaluate
from imseek.captions import agreement
from imseek.data.reader import Reader

CAPTIONS = {
    "astronaut.png": "an astronaut in an orange space suit",
    "chelsea.png": "a tabby cat",
    "coffee.png": "a cup of coffee on a table",
    "rocket.jpg": "a rocket on its launch pad",
    "camera.png": "a photographer with a camera on a tripod",
    "motorcycle_left.png": "a motorcycle in a garage",
    "china.jpg": "a Chinese temple",
    "flower.jpg": "a red flower, a dahlia",
}


@pytest.fixture
def described(tmp_path: Path, photo_files: list[Path]) -> Path:
    folder = tmp_path / "described"
    folder.mkdir()
    for path in photo_files:
        exif = Image.Exif()
        exif[0x010E] = CAPTIONS[path.name]
        with Image.open(path) as picture:
            picture.convert("RGB").save(folder / f"{path.stem}.jpg", exif=exif)
    return folder


def test_true_captions_are_found_and_agree(tmp_path: Path, described: Path) -> None:
    with imseek.create(tmp_path / "c", encoder="builtin", captions=True) as made:
        assert made.index([described]).added == 8
        for name, caption in CAPTIONS.items():
            best = made.search(caption, by="caption")[0]
            assert (Path(str(best.path)).stem, best.score) == (Path(name).stem, pytest.approx(1, abs=1e-3))
        assert Path(str(made.search("a kitten", by="caption")[0].path)).stem == "chelsea"
        rows = [*agreement(made)]
        reader = Reader(made.path)
    ids = [row.image_id for row in rows]
    shown, said = (np.stack([reader.vector(i, n) for i in ids]).astype(float) for n in (0, 1))
    shown, said = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (shown, said))
    cosines = shown @ said.T
    assert [row.score for row in rows] == pytest.approx(np.diag(cosines), abs=1e-5)
    others = [cosines[a, b] for a, b in itertools.permutations(range(8), 2)]
    better = np.mean([true > other for true in np.diag(cosines) for other in others])
    assert better > 0.8, "the share of pairs in which the true caption agrees better"


def test_evaluations_see_true_captions(tmp_path: Path, described: Path) -> None:
    """Photographs find their captions better than colours do, exchanged captions have the lowest scores."""
    with imseek.create(tmp_path / "c", encoder="builtin", captions=True) as made:
        made.index([described])
        report = evaluate.retrieval(made)
        assert report.text_to_image is not None
        assert report.text_to_image.recall[1].value >= 0.75
        assert report.text_to_image.recall[5].value == 1
        compared = evaluate.compare(made, encoders=("fake", "builtin"))
        assert (compared.a.stored, compared.b.stored) == (False, True)
        assert compared.verdict == "b"
        assert compared.text_to_image is not None
        assert compared.text_to_image.b == report.text_to_image
        hits = made.search("anything", limit=8)
        ids = {Path(str(hit.path)).stem: hit.image_id for hit in hits}
        said = {ids[Path(name).stem]: [caption] for name, caption in CAPTIONS.items()}
        said[ids["chelsea"]], said[ids["rocket"]] = said[ids["rocket"]], said[ids["chelsea"]]
        scores = captions.clip_scores(made, captions=said)
        worst = captions.worst(made, scores, limit=3)
    assert {ids["chelsea"], ids["rocket"]} <= {row.image_id for row in worst}
