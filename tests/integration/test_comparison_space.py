"""Of several spaces, `duplicates` takes that of an encoder trained on copies, where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imseek
from imseek import duplicates
from imseek.data.reader import Reader
from imseek.duplicates import comparison_space
from imseek.duplicates.results import DuplicateKind, DuplicatePair, DuplicateReport
from imseek.duplicates.thresholds import choose_space, resolve_thresholds
from imseek.duplicates.unique_contents import load_contents
from imseek.encoders.base import Encoder
from imseek.encoders.registry import load
from imseek.errors import EncoderUnavailableError
from imseek.search.backend import unit_rows
from imseek.types.collection_info import SpaceInfo

TRAINED = "pictures were compared by the vectors of {} only, which was trained on copies"
FIRST = "pictures were compared by the vectors of {} only, the first space"


@pytest.fixture
def copies(photos: Path) -> Path:
    """Photographs, and a smaller copy of two."""
    for name in ("coffee", "chelsea"):
        save_smaller(photos / f"{name}.png", photos / f"{name}-small.jpg")
    return photos


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> str:
    """An encoder that counts as trained on copies."""
    monkeypatch.setattr(comparison_space, "_COPY_DETECTORS", ("fake:32",))
    return "fake:32"


def save_smaller(picture: Path, copy: Path) -> None:
    with Image.open(picture) as opened:
        opened.convert("RGB").resize((opened.width // 2, opened.height // 2)).save(copy, quality=70)


def make(path: Path, folder: Path, *also: str, encoder: str = "fake") -> Path:
    with imseek.create(path, encoder=encoder, also=list(also)) as collection:
        collection.index([folder])
    return path


def pairs_of(report: DuplicateReport) -> list[DuplicatePair]:
    return [one.pair for group in report.groups for one in group.others if one.pair is not None]


def vector(root: Path, image_id: int, space: int) -> np.ndarray:
    reader = Reader(root)
    return unit_rows(reader, np.array([image_id]), reader.current.image_spaces[space])[0]


def cosine(root: Path, pair: DuplicatePair, space: int) -> float:
    return float(vector(root, pair.a, space) @ vector(root, pair.b, space))


@pytest.mark.parametrize(("kinds", "space"), [(("same",), 1), (("same", "scene"), 0), (("same", "inside"), 1)])
def test_the_space_trained_on_copies_comes_first(
    tmp_path: Path, copies: Path, trained: str, kinds: tuple[DuplicateKind, ...], space: int
) -> None:
    """To such an encoder another shot of a scene is another picture."""
    root = make(tmp_path / "c", copies, trained)
    report = duplicates.find(root, kinds=kinds)
    pairs = pairs_of(report)
    assert len(pairs) == 2
    for pair in pairs:
        assert pair.cosine == pytest.approx(cosine(root, pair, space), abs=1e-5)
        assert pair.cosine != pytest.approx(cosine(root, pair, 1 - space), abs=1e-5)
    assert (TRAINED.format(trained) if space else FIRST.format("fake")) in report.notes


def test_without_one_nothing_changes(tmp_path: Path, copies: Path) -> None:
    alone, both = (
        duplicates.find(make(tmp_path / name, copies, *also)) for name, also in (("one", ()), ("two", ("fake:32",)))
    )
    assert pairs_of(both) == pairs_of(alone)
    assert [note for note in both.notes if note not in alone.notes] == [FIRST.format("fake")]


def test_where_it_cannot_be_loaded_the_first_space_is_taken(tmp_path: Path, copies: Path, trained: str) -> None:
    def load_space(space: SpaceInfo) -> Encoder:
        if space.encoder == trained:
            raise EncoderUnavailableError("its weights are gone")
        return load(space.encoder)

    reader = Reader(make(tmp_path / "c", copies, trained))
    spaces = reader.current.image_spaces
    space, limits, notes = choose_space(reader, spaces, ("same",), load_contents(reader), load_space)
    assert space is spaces[0]
    assert limits == resolve_thresholds(reader, spaces[0], load_contents(reader), load_space)[0]
    assert notes == (f"{trained} cannot be asked (its weights are gone): pictures are compared by fake",)


def test_between_collections_both_must_have_it(tmp_path: Path, copies: Path, trained: str) -> None:
    (tmp_path / "card").mkdir()
    save_smaller(copies / "coffee.png", tmp_path / "card/coffee.jpg")
    (copies / "coffee-small.jpg").unlink()
    card = make(tmp_path / "c", tmp_path / "card", trained)
    for name, also, space in (("both", (trained,), 1), ("lacks", (), 0)):
        other = make(tmp_path / name, copies, *also)
        (group,) = duplicates.find(card, against=other).groups
        (mine,) = group.others
        assert mine.pair is not None
        expected = vector(card, mine.image_id, space) @ vector(other, group.keeper.image_id, space)
        assert mine.pair.cosine == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.slow
def test_sscd_beside_builtin(tmp_path: Path, copies: Path) -> None:
    """With random weights."""
    from parity import sscd

    reference = sscd.write(tmp_path)
    root = make(tmp_path / "c", copies, reference, encoder="builtin")
    report = duplicates.find(root)
    assert TRAINED.format(reference) in report.notes
    pairs = pairs_of(report)
    assert len(pairs) == 2
    assert all(pair.cosine == pytest.approx(cosine(root, pair, 1), abs=1e-5) for pair in pairs)
