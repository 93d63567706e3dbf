"""Maps of few images, of equal ones, work that is stopped, and what is refused."""

from __future__ import annotations

import builtins
import threading
from pathlib import Path

import numpy as np
import pytest
from mapping import painted, places
from PIL import Image

import imseek
from imseek import maps
from imseek.errors import MissingExtraError, QueryError, UsageError
from imseek.maps import neighbours
from imseek.ui.demo_photographs import photographs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The photographs of the demo: nineteen."""
    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        collection.index(photographs())
    return tmp_path / "made"


class TestSmall:
    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
    @pytest.mark.parametrize("method", ["pca", "umap"])
    def test_few_images(self, tmp_path, count, method) -> None:
        with imseek.create(tmp_path / "c", encoder="fake") as collection:
            collection.index([painted(tmp_path / "few", count)])
        report = maps.lay_out(tmp_path / "c", method=method)
        at = np.array(list(places(tmp_path / "c").values()))
        assert at.shape == (count, 2)
        assert np.isfinite(at).all()
        assert len(np.unique(at, axis=0)) == count
        assert (report.info.trustworthiness is None) == (count < 3)
        if method == "umap":
            few = f"so few images ({count}) lie by their principal components"
            assert report.notes == (
                few if count < 4 else f"{count - 1} neighbours instead of 15: there are only {count} images",
            )

    @pytest.mark.parametrize("method", ["pca", "umap"])
    def test_all_are_equal(self, tmp_path, method) -> None:
        (tmp_path / "same").mkdir()
        for n in range(30):
            Image.new("RGB", (16, 16), "red").save(tmp_path / "same" / f"{n}.png", pnginfo=_text(str(n)))
        with imseek.create(tmp_path / "c", encoder="fake") as collection:
            collection.index([tmp_path / "same"])
        maps.lay_out(tmp_path / "c", method=method)
        at = np.array(list(places(tmp_path / "c").values()))
        assert at.shape == (30, 2)
        assert np.isfinite(at).all()

    def test_few_can_be_added_to(self, tmp_path) -> None:
        with imseek.create(tmp_path / "c", encoder="fake") as collection:
            collection.index([painted(tmp_path / "few", 2)])
            maps.lay_out(tmp_path / "c")
            collection.index([painted(tmp_path / "more", 3, seed=5)])
        report = maps.lay_out(tmp_path / "c")
        assert (report.placed, report.missing) == (3, 0)


def _text(value: str):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("n", value)
    return info


class TestStopping:
    def stop_in(self, phase: str):
        stop = threading.Event()
        seen: list[str] = []

        def progress(now) -> None:
            seen.append(now.phase)
            if now.phase == phase:
                stop.set()

        return {"progress": progress, "stop": stop}, seen

    @pytest.mark.parametrize("phase", ["reading vectors", "finding neighbours", "laying out"])
    def test_a_layout_that_is_not_ready_is_not_kept(self, root, phase) -> None:
        given, seen = self.stop_in(phase)
        report = maps.lay_out(root, **given)
        assert seen[-1] == phase
        assert report.interrupted
        assert report.missing == 19
        assert maps.find(root) is None
        maps.lay_out(root)
        before = places(root)
        report = maps.lay_out(root, refit=True, seed=3, **self.stop_in(phase)[0])
        assert report.interrupted
        assert (report.info.seed, report.missing) == (0, 0)
        assert places(root) == before

    def test_images_placed_by_then_are_kept(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(neighbours, "BLOCK", 8)
        with imseek.create(tmp_path / "c", encoder="fake") as collection:
            collection.index([painted(tmp_path / "many", 130)])
        done = 0
        stop = threading.Event()

        def progress(now) -> None:
            nonlocal done
            if now.phase == "placing" and now.total == 30:
                done = now.done
                stop.set()

        report = maps.lay_out(tmp_path / "c", sample=100, progress=progress, stop=stop)
        assert report.interrupted
        assert (report.laid_out, report.placed, report.missing) == (100, 8, 22)
        assert done == 8
        report = maps.lay_out(tmp_path / "c")
        assert (report.laid_out, report.placed, report.missing) == (0, 22, 0)


class TestRefused:
    def test_no_images(self, collection) -> None:
        with pytest.raises(UsageError, match="no images to lay out") as caught:
            maps.lay_out(collection)
        assert caught.value.hint == "imseek index FOLDER"

    def test_a_condition_that_leaves_nothing(self, root) -> None:
        with pytest.raises(UsageError, match="no image meets the condition"):
            maps.lay_out(root, where="width > 1000000")
        maps.lay_out(root, method="pca")
        with pytest.raises(UsageError, match="no image on the map meets the condition"):
            maps.table(root, where="width > 1000000")
        with pytest.raises(QueryError, match="no column 'widht'"):
            maps.lay_out(root, where="widht > 3")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"method": "tsne"}, "is not a way to lay out"),
            ({"neighbours": 1}, "1 neighbours would fall to pieces"),
            ({"min_dist": 1.5}, "cannot be kept 1.5 apart"),
            ({"min_dist": float("nan")}, "cannot be kept nan apart"),
            ({"seed": -1}, "-1 cannot be a seed"),
            ({"sample": 3}, "3 images are too few"),
            ({"method": "pca", "neighbours": 5}, "know no neighbours"),
            ({"name": "My Map"}, "cannot be a name"),
            ({"name": "my-map"}, "cannot name columns"),
        ],
    )
    def test_what_makes_no_sense(self, root, given, message) -> None:
        with pytest.raises(UsageError, match=message) as caught:
            maps.lay_out(root, **given)
        assert caught.value.hint

    def test_names_that_are_taken(self, root) -> None:
        from imseek.data.catalog.models import Model
        from imseek.data.shards import derived_results

        derived_results.store(root, {"other": {0: "a"}}, Model("kinds", "labels"))
        with pytest.raises(UsageError, match=r"kinds is the name of something else \(labels\)"):
            maps.lay_out(root, name="kinds")
        with pytest.raises(UsageError, match="no map 'kinds'"):
            maps.table(root, "kinds")
        derived_results.store(root, {"map_x": {0: 1.5}}, Model("scores", "labels"))
        with pytest.raises(UsageError, match="there is a column map_x already"):
            maps.lay_out(root, method="pca")

    def test_an_unknown_column(self, root) -> None:
        maps.lay_out(root, method="pca")
        for ask in (
            lambda: maps.table(root, columns=["fodler"]),
            lambda: maps.check_columns(root, ["fodler"]),
        ):
            with pytest.raises(QueryError, match="no column 'fodler'") as caught:
                ask()
            assert "folder" in caught.value.hint

    def test_without_umap(self, root, monkeypatch) -> None:
        real = builtins.__import__

        def missing(name, *rest):
            if name.partition(".")[0] in ("umap", "sklearn", "scipy"):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", missing)
        with pytest.raises(MissingExtraError, match="UMAP") as caught:
            maps.lay_out(root)
        assert "explore" in str(caught.value) + str(caught.value.hint)
        assert maps.lay_out(root, method="pca").laid_out == 19

    def test_all_that_were_laid_out_are_gone(self, tmp_path, later) -> None:
        folder = painted(tmp_path / "old", 6)
        with imseek.create(tmp_path / "c", encoder="fake") as collection:
            collection.index([folder])
            maps.lay_out(tmp_path / "c")
            for path in folder.iterdir():
                path.unlink()
            painted(folder, 5, seed=9)
            later(10)
            collection.index([folder])
        table = maps.table(tmp_path / "c", columns=["path", "width"])
        assert table.to_pylist() == []
        assert table.column_names == ["image_id", "x", "y", "fitted", "path", "width"]
        with pytest.raises(UsageError, match="all images that map 'map' was computed from have been removed"):
            maps.lay_out(tmp_path / "c")
        assert maps.lay_out(tmp_path / "c", refit=True).laid_out == 5
