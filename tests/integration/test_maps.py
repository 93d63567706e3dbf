"""Maps of real photographs: laid out, added to, kept with the collection, read back, refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mapping import painted, places
from PIL import Image

import imseek
from imseek import maintenance, maps
from imseek.data.reader import Reader
from imseek.errors import UsageError
from imseek.search.where import Filters
from imseek.ui.demo_photographs import photographs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The photographs of the demo: nineteen."""
    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        collection.index(photographs())
    return tmp_path / "made"


class TestLayingOut:
    def test_the_same_seed_gives_the_same_map(self, root) -> None:
        report = maps.lay_out(root, neighbours=5)
        first = places(root)
        assert (report.images, report.laid_out, report.placed, report.missing) == (19, 19, 0, 0)
        assert (report.info.method, report.info.neighbours, report.info.min_dist, report.info.seed) == (
            "umap",
            5,
            0.1,
            0,
        )
        assert 0.6 < report.info.trustworthiness <= 1
        assert np.isfinite(list(first.values())).all()
        maps.lay_out(root, refit=True)
        assert places(root) == first
        assert maps.lay_out(root, refit=True, seed=7).info.seed == 7
        assert places(root) != first

    def test_it_is_kept_and_can_be_filtered_by(self, root) -> None:
        report = maps.lay_out(root, method="pca")
        assert maps.find(root) == report.info
        assert report.info.encoder == "fake"
        reader = Reader(root)
        assert report.info.fingerprint == reader.current.space.fingerprint
        at = places(root)
        right = [image_id for image_id, (x, _) in at.items() if x > 0]
        assert 0 < len(right) < 19
        assert Filters().ids(reader, "map_x > 0 AND map_fitted").tolist() == sorted(right)
        assert maintenance.verify(root).ok

    def test_images_that_look_alike_lie_together(self, tmp_path) -> None:
        for name, colour in (("red", (220, 10, 10)), ("blue", (10, 10, 220))):
            (tmp_path / "p").mkdir(exist_ok=True)
            for n in range(12):
                shade = tuple(min(255, c + 2 * n) for c in colour)
                Image.new("RGB", (16, 16), shade).save(tmp_path / "p" / f"{name}{n}.png")
        with imseek.create(tmp_path / "c", encoder="fake") as collection:
            collection.index([tmp_path / "p"])
        maps.lay_out(tmp_path / "c", neighbours=6)
        table = maps.table(tmp_path / "c", columns=["name"])
        at = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
        red = np.array([name.startswith("red") for name in table["name"].to_pylist()])
        apart = np.linalg.norm(at[red].mean(axis=0) - at[~red].mean(axis=0))
        within = max(np.linalg.norm(at[who] - at[who].mean(axis=0), axis=1).mean() for who in (red, ~red))
        assert apart > 2 * within

    def test_a_condition(self, root) -> None:
        report = maps.lay_out(root, method="pca", name="wide", where="width > height")
        wide = Filters().ids(Reader(root), "width > height").tolist()
        assert report.images == report.laid_out == len(wide) < 19
        assert report.info.where == "width > height"
        assert sorted(places(root, "wide")) == wide
        again = maps.lay_out(root, name="wide")
        assert (again.images, again.placed, again.missing) == (len(wide), 0, 0)
        assert maps.lay_out(root, name="wide", refit=True).laid_out == len(wide)
        assert maps.lay_out(root, name="wide", where="true").placed == 19 - len(wide)

    def test_several_maps_and_dropping_one(self, root) -> None:
        maps.lay_out(root, method="pca", name="first")
        maps.lay_out(root, method="pca", name="second")
        assert [info.name for info in maps.maps(root)] == ["first", "second"]
        assert maps.drop(root, "first").name == "first"
        assert maps.find(root, "first") is None
        assert "first_x" not in Filters().columns(Reader(root))
        assert "second_x" in Filters().columns(Reader(root))
        with pytest.raises(UsageError, match="no map 'first'") as caught:
            maps.drop(root, "first")
        assert caught.value.hint == "there are: second"


class TestAdding:
    @pytest.mark.parametrize("method", ["pca", "umap"])
    def test_what_was_laid_out_stays(self, root, tmp_path, method) -> None:
        maps.lay_out(root, method=method)
        before = places(root)
        with imseek.open(root) as collection:
            collection.index([painted(tmp_path / "more", 5)])
        report = maps.lay_out(root)
        assert (report.laid_out, report.placed, report.images, report.missing) == (0, 5, 24, 0)
        assert (report.info.fitted, report.info.placed) == (19, 5)
        after = places(root)
        assert {image_id: after[image_id] for image_id in before} == before
        fitted = maps.table(root)["fitted"].to_pylist()
        assert fitted == [True] * 19 + [False] * 5
        again = maps.lay_out(root)
        assert (again.laid_out, again.placed) == (0, 0)
        assert places(root) == after

    def test_where_an_image_lands_does_not_depend_on_what_came_before(self, root, tmp_path) -> None:
        import shutil

        maps.lay_out(root)
        shutil.copytree(root, tmp_path / "other")
        with imseek.open(root) as one, imseek.open(tmp_path / "other") as other:
            one.index([painted(tmp_path / "a", 4, seed=1)])
            maps.lay_out(root)
            one.index([painted(tmp_path / "b", 4, seed=2)])
            maps.lay_out(root)
            other.index([tmp_path / "a", tmp_path / "b"])
            maps.lay_out(tmp_path / "other")
        found = [maps.table(where, columns=["name"]) for where in (root, tmp_path / "other")]
        by_name = [
            dict(
                zip(
                    t["name"].to_pylist(),
                    zip(t["x"].to_pylist(), t["y"].to_pylist(), strict=True),
                    strict=True,
                )
            )
            for t in found
        ]
        assert by_name[0].keys() == by_name[1].keys()
        for name, place in by_name[0].items():
            assert by_name[1][name] == pytest.approx(place, abs=1e-5), name

    def test_a_copy_lies_on_its_original(self, root, tmp_path) -> None:
        maps.lay_out(root)
        original = photographs()[3]
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy" / f"again{original.suffix}").write_bytes(original.read_bytes())
        with imseek.open(root) as collection:
            collection.index([tmp_path / "copy"])
        maps.lay_out(root)
        table = maps.table(root, columns=["name"])
        at = dict(
            zip(
                table["name"].to_pylist(),
                zip(table["x"].to_pylist(), table["y"].to_pylist(), strict=True),
                strict=True,
            )
        )
        assert at[f"again{original.suffix}"] == at[original.name]

    def test_a_sample_is_laid_out_and_the_rest_placed(self, tmp_path) -> None:
        with imseek.create(tmp_path / "c", encoder="fake") as collection:
            collection.index([painted(tmp_path / "many", 130)])
        report = maps.lay_out(tmp_path / "c", sample=100)
        assert (report.laid_out, report.placed, report.missing) == (100, 30, 0)
        assert report.notes == ("100 of 130 images were laid out, and the others placed among them",)
        table = maps.table(tmp_path / "c")
        assert table["fitted"].to_pylist().count(True) == 100
        at = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
        low, high = at[table["fitted"].to_numpy()].min(axis=0), at[table["fitted"].to_numpy()].max(axis=0)
        assert ((at >= low - 1e-3) & (at <= high + 1e-3)).all(), "placed among the others"

    def test_many_additions_say_that_a_layout_is_due(self, root, tmp_path) -> None:
        maps.lay_out(root)
        with imseek.open(root) as collection:
            collection.index([painted(tmp_path / "more", 30)])
        report = maps.lay_out(root)
        assert report.notes == ("30 images were placed among 19: --refit lays out all of them",)
        assert maps.lay_out(root, refit=True).info.fitted == 49

    def test_removed_images_leave_the_map(self, tmp_path, later) -> None:
        folder = painted(tmp_path / "many", 12)
        with imseek.create(tmp_path / "c", encoder="fake") as collection:
            collection.index([folder])
            maps.lay_out(tmp_path / "c")
            before = places(tmp_path / "c")
            for path in sorted(folder.iterdir())[:4]:
                path.unlink()
            later(10)
            collection.index([folder])
        left = places(tmp_path / "c")
        assert len(left) == 8
        assert left.items() <= before.items()


class TestStale:
    def test_vectors_of_another_encoder(self, root) -> None:
        maps.lay_out(root, method="pca")
        before = places(root)
        maintenance.reencode(root, "fake:32")
        report = maps.lay_out(root)
        assert report.stale
        assert report.laid_out == report.placed == 0
        assert report.notes[0].startswith(
            "it is stale: made of vectors of fake, where the collection has those of fake:32"
        )
        assert places(root) == before
        anew = maps.lay_out(root, refit=True)
        assert not anew.stale
        assert anew.info.encoder == "fake:32"
        assert anew.info.method == "pca"
        assert places(root) != before

    def test_another_way_is_refused(self, root) -> None:
        maps.lay_out(root, method="pca")
        with pytest.raises(UsageError, match="was computed with method pca, not umap") as caught:
            maps.lay_out(root, method="umap")
        assert "--refit" in caught.value.hint
        maps.lay_out(root, method="umap", refit=True)
        with pytest.raises(UsageError, match="was computed with neighbours 15, not 7"):
            maps.lay_out(root, neighbours=7)
        assert maps.lay_out(root, neighbours=15, min_dist=0.1, seed=0).laid_out == 0


class TestTable:
    def test_columns_of_every_kind(self, root) -> None:
        maps.lay_out(root, method="pca")
        table = maps.table(root, columns=["path", "Width", "folder", "year", "aspect", "map_y", "image_id"])
        assert table.column_names == [
            *("image_id", "x", "y", "fitted", "path", "Width", "folder", "year", "aspect", "map_y")
        ]
        reader = Reader(root)
        ids = table["image_id"].to_pylist()
        assert ids == sorted(ids)
        where = reader.places(ids)
        facts = reader.metadata(ids)
        for row in table.to_pylist():
            assert row["path"] == where[row["image_id"]].display
            assert row["folder"] == row["path"].rpartition("/")[0]
            assert row["Width"] == facts[row["image_id"]]["width"]
            assert row["aspect"] == pytest.approx(row["Width"] / facts[row["image_id"]]["height"])
            assert row["map_y"] == row["y"]

    def test_what_stands_for_all(self, root) -> None:
        maps.lay_out(root, method="pca")
        table = maps.table(root)
        rows = maps.representative(table, 5)
        assert len(set(rows)) == 5
        assert sorted(maps.representative(table, 100)) == list(range(19))


def test_an_approximate_index_that_knows_too_few_is_asked_exactly(root, monkeypatch) -> None:
    from imseek.data.vectors.faiss_index import FaissIndex

    expected = maps.lay_out(root, name="a")
    real = FaissIndex.search

    def forgetful(self, queries, k, *, exact=False, **rest):
        found = real(self, queries, k, exact=exact, **rest)
        return found if exact else [type(one)(one.ids[:2], one.scores[:2]) for one in found]

    monkeypatch.setattr(FaissIndex, "search", forgetful)
    assert maps.lay_out(root, name="b").info.trustworthiness == expected.info.trustworthiness
    assert list(places(root, "a").values()) == list(places(root, "b").values())
