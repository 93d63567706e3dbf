"""Versions of ``builtin``: a collection made with an older one stays searchable, and can change over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import imseek
from imseek import maintenance, tune
from imseek.clusters import cluster_store
from imseek.data.catalog.models import Model
from imseek.data.writing import adapter_spaces
from imseek.data.writing.writer import Writer
from imseek.encoders import load
from imseek.encoders.builtin import recipe, space
from imseek.encoders.builtin.head import BLOCK
from imseek.encoders.recipes import Recipe
from imseek.encoders.vector_adapter import Adapter
from imseek.errors import UsageError
from imseek.progress import SILENT
from imseek.search.cutoff import BUILTIN_NEUTRAL_MARGIN, _neutral_margin
from imseek.types.adapters import ADAPTER
from imseek.types.spaces import SpaceInfo

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
        with imseek.create(tmp_path / "new", encoder="builtin") as other:
            with pytest.raises(UsageError, match="builtin of other weights") as caught:
                imseek.search_all([old, other], "a cat")
            assert "imseek maintain --reencode builtin" in str(caught.value.hint)
    report = maintenance.reencode(tmp_path / "old", "builtin")
    assert report.outcome == "switched"
    with imseek.open(tmp_path / "old") as new:
        encoder = new.info().encoder
        assert (encoder.dim, encoder.fingerprint) == (space.DIM + BLOCK, recipe.fingerprint())
        assert "older" not in (encoder.note or "")
        assert _first(new, "a cup of coffee") == "coffee"
        assert Path(new.search(cat, limit=1)[0].path).stem == "chelsea"


def test_tuned_vectors_go_back_to_the_version_that_they_were_made_of(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "old"
    later = (photos / "chelsea.png").read_bytes()
    (photos / "chelsea.png").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "VERSION", 1)
        with imseek.create(root, encoder="builtin") as made:
            made.index([photos])
    adapter = Adapter(np.zeros((space.DIM, 1), np.float32), np.zeros((1, space.DIM), np.float32))
    with Writer(root, "tune") as writer:
        base = writer.current().space
        model = Model("tuned", ADAPTER, {"encoder": "builtin", "fingerprint": base.fingerprint}, adapter.arrays)
        adapter_spaces.create_adapted_space(writer, base, model, adapter.fingerprint(base.fingerprint), adapter, SILENT)
    (photos / "chelsea.png").write_bytes(later)
    with imseek.open(root) as tuned:
        assert tuned.index([photos]).added == 1
    report = tune.back(root)
    assert (report.outcome, report.encoded) == ("switched", 1)
    with imseek.open(root) as back:
        assert back.info().encoder.fingerprint == recipe.fingerprint(1)
    maintenance.reencode(root, "builtin")
    with pytest.raises(UsageError, match="tuned is an adapter of builtin, and builtin of other weights is searched"):
        tune.use(root)


def test_version_1_has_the_fingerprint_that_collections_have() -> None:
    assert recipe.fingerprint(1) == "7b9c257a2a401167" + recipe.fingerprint(1)[16:]
    assert recipe.version_of(recipe.fingerprint(1)) == 1
    assert recipe.version_of(None) == recipe.version_of("0" * 64) == recipe.VERSION


def test_workers_load_the_version_of_the_collection() -> None:
    old = load("builtin", modalities=("image",), fingerprint=recipe.fingerprint(1))
    assert Recipe.of(old).load(None).fingerprint() == old.fingerprint() != recipe.fingerprint()


@pytest.mark.parametrize("reference", ["builtin", "adapter:tuned+builtin"])
def test_the_cutoff_knows_the_learned_head_with_an_adapter_too(reference: str) -> None:
    old, new = (SpaceInfo(0, reference, "", dim, "image", "basic") for dim in (space.DIM, space.DIM + BLOCK))
    assert (_neutral_margin(old), _neutral_margin(new)) == (0.0, BUILTIN_NEUTRAL_MARGIN)
    assert not _neutral_margin(SpaceInfo(0, "openclip:a/b", "", 2048, "image", "full"))


def test_what_was_made_of_older_vectors_tells_the_versions_apart() -> None:
    now = SpaceInfo(0, "builtin", recipe.fingerprint(), space.DIM + BLOCK, "image", "basic")
    model = Model("kinds", cluster_store.KIND, {"encoder": "builtin", "fingerprint": recipe.fingerprint(1)})
    with pytest.raises(UsageError, match="found with builtin, and vectors are of builtin of other weights now"):
        cluster_store.fit_of(model, now)
