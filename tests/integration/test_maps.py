"""Maps of real photographs: laid out, added to, kept with the collection, read back, refused."""

from __future__ import annotations

import builtins
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imseek
from imseek import maps, upkeep
from imseek.data.reader import Reader
from imseek.errors import MissingExtraError, QueryError, UsageError
from imseek.explore.maps import neighbours
from imseek.search.where import Filters
from imseek.ui.demo import photographs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The photographs of the demo: nineteen."""
    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        collection.index(photographs())
    return tmp_path / "made"


def painted(folder: Path, count: int, seed: int = 0) -> Path:
    """Pictures of one colour each, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(seed).integers(0, 256, (count, 3))
    for n, colour in enumerate(colours.tolist()):
        Image.new("RGB", (16, 16), tuple(colour)).save(folder / f"{seed}-{n:03}.png")
    return folder


def places(root: Path, name: str = "map") -> dict[int, tuple[float, float]]:
    table = maps.table(root, name)
    return dict(
        zip(
            table["image_id"].to_pylist(),
            zip(*(table[c].to_pylist() for c in "xy"), strict=True),
            strict=True,
        )
    )


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
        assert upkeep.verify(root).ok

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
        with pytest.raises(UsageError, match="no map first") as caught:
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
        upkeep.reencode(root, "fake:32")
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
        with pytest.raises(UsageError, match="was laid out with method pca, not umap") as caught:
            maps.lay_out(root, method="umap")
        assert "--refit" in caught.value.hint
        maps.lay_out(root, method="umap", refit=True)
        with pytest.raises(UsageError, match="was laid out with neighbours 15, not 7"):
            maps.lay_out(root, neighbours=7)
        assert maps.lay_out(root, neighbours=15, min_dist=0.1, seed=0).laid_out == 0


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
            ({"method": "tsne"}, "no way to lay out"),
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
        from imseek.data import derived
        from imseek.data.models import Model

        derived.store(root, {"other": {0: "a"}}, Model("kinds", "labels"))
        with pytest.raises(UsageError, match=r"kinds is the name of something else \(labels\)"):
            maps.lay_out(root, name="kinds")
        with pytest.raises(UsageError, match="no map kinds"):
            maps.table(root, "kinds")
        derived.store(root, {"map_x": {0: 1.5}}, Model("scores", "labels"))
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
        with pytest.raises(UsageError, match="none of the images that the map map was laid out with is left"):
            maps.lay_out(tmp_path / "c")
        assert maps.lay_out(tmp_path / "c", refit=True).laid_out == 5


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
