"""Versions of ``builtin``: a collection made with an older one stays searchable, and can change over."""

from __future__ import annotations

from pathlib import Path

import pytest

import imseek
from imseek import maintenance
from imseek.encoders import load
from imseek.encoders.builtin import recipe, space
from imseek.encoders.builtin.head import BLOCK
from imseek.encoders.recipes import Recipe

pytestmark = pytest.mark.slow


def _first(collection: imseek.Collection, text: str) -> str:
    return Path(collection.search(text, limit=1)[0].path).stem


def test_a_collection_of_version_1_is_searched_grows_and_changes_over(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cat = photos / "chelsea.png"
    later = cat.read_bytes()
    cat.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "VERSION", 1)
        with imseek.create(tmp_path / "old", encoder="builtin") as made:
            made.index([photos])
    cat.write_bytes(later)
    with imseek.open(tmp_path / "old") as old:
        encoder = old.info().encoder
        assert (encoder.dim, encoder.fingerprint) == (space.DIM, recipe.fingerprint(1))
        assert "imseek maintain --reencode builtin" in (encoder.note or "")
        assert _first(old, "a cup of coffee") == "coffee"
        assert old.index([photos]).added == 1
        assert Path(old.search(cat, limit=1)[0].path).stem == "chelsea"
    report = maintenance.reencode(tmp_path / "old", "builtin")
    assert report.outcome == "switched"
    with imseek.open(tmp_path / "old") as new:
        encoder = new.info().encoder
        assert (encoder.dim, encoder.fingerprint) == (space.DIM + BLOCK, recipe.fingerprint())
        assert "older" not in (encoder.note or "")
        assert _first(new, "a cup of coffee") == "coffee"
        assert Path(new.search(cat, limit=1)[0].path).stem == "chelsea"


def test_version_1_has_the_fingerprint_that_collections_have() -> None:
    assert recipe.fingerprint(1) == "7b9c257a2a401167" + recipe.fingerprint(1)[16:]
    assert recipe.version_of(recipe.fingerprint(1)) == 1
    assert recipe.version_of(None) == recipe.version_of("0" * 64) == recipe.VERSION


def test_workers_load_the_version_of_the_collection() -> None:
    old = load("builtin", modalities=("image",), fingerprint=recipe.fingerprint(1))
    assert Recipe.of(old).load(None).fingerprint() == old.fingerprint() != recipe.fingerprint()
