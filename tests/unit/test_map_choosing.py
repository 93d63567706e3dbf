"""What the page of maps works out without a browser: lassos, colours, how long it takes."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import points_in_poly
from starlette.applications import Starlette
from starlette.testclient import TestClient

import imseek
from imseek import clusters, maps, tags
from imseek.errors import QueryError
from imseek.ui.render.map_page.colouring import Colouring
from imseek.ui.web import blobs
from imseek.ui.web.components.scatter import Lasso, PointData, read_lasso, store_colours, store_points
from imseek.ui.web.pages.map import colours, lasso_selection, layout_job, map_points
from imseek.ui.web.pages.map.colours import ColourBy
from imseek.ui.web.pages.map.map_points import MapPoints

pytestmark = pytest.mark.slow


def numbers(found: blobs.Blob, kind: str) -> list:
    data = blobs.blob_cache.get(found.address.rpartition("/")[2])
    assert data is not None
    return np.frombuffer(data, kind).tolist()


class TestInside:
    @pytest.mark.parametrize("seed", range(6))
    def test_as_scikit_image_says(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        places = generator.uniform(-1, 1, (3000, 2)).astype(np.float32)
        corners = generator.uniform(-0.9, 0.9, (3 + 4 * seed, 2))  # It may cross itself.
        assert lasso_selection.inside_polygon(places, corners).tolist() == points_in_poly(places, corners).tolist()

    def test_level_sides_and_points_at_the_height_of_corners(self) -> None:
        places = np.array([[0.5, 0.5], [0.5, 0], [-0.5, 0.5], [0.2, 0.9], [1.5, 1]], np.float32)
        square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
        assert lasso_selection.inside_polygon(places, square).tolist() == [True, True, False, True, False]

    def test_nothing_there(self) -> None:
        assert lasso_selection.inside_polygon(np.empty((0, 2), np.float32), np.eye(3, 2)).tolist() == []

    def test_of_one_colour_alone(self) -> None:
        of = MapPoints(np.array([3, 5, 8]), np.zeros((3, 2), np.float32), PointData(*2 * [blobs.Blob("")], 3), 3)
        shades = np.array([0, 1, 1], np.uint8)
        colouring = Colouring(shades, ("#000000",) * 4, {}, np.zeros(3, np.uint32))
        data = store_colours(colouring).data
        assert data is not None
        corners = np.array([[-1, -1], [1, -1], [0, 1]], np.float64)

        def taken(shade: tuple[int, ...] | None, address: str | None) -> list[int]:
            return lasso_selection.ids_in_lasso(of, Lasso(corners, shade, address, add=False)).tolist()

        assert taken((1,), data.address) == [5, 8]
        assert taken(None, data.address) == [3, 5, 8]
        assert taken((1,), "/arrays/gone") == [3, 5, 8], "colours that are not kept any more"

    def test_adding_and_toggling(self) -> None:
        before, found = np.array([1, 4]), np.array([4, 9])
        assert lasso_selection.update_selection(before, found, add=False).tolist() == [4, 9]
        assert lasso_selection.update_selection(before, found, add=True).tolist() == [1, 4, 9]
        assert lasso_selection.toggle_id(before, 4).tolist() == [1]
        assert lasso_selection.toggle_id(before, 2).tolist() == [1, 2, 4]


class TestWhatBrowsersSend:
    def test_a_lasso(self) -> None:
        found = read_lasso({"corners": [0, 0, 1, 0.5, 0, 1], "only": [2, 3], "colours": "/arrays/x", "add": True})
        assert found is not None
        assert found.corners.tolist() == [[0, 0], [1, 0.5], [0, 1]]
        assert (found.shades, found.colours, found.add) == ((2, 3), "/arrays/x", True)
        every = read_lasso({"corners": [0, 0, 1, 1, 0, 1], "only": None, "colours": None, "add": False})
        assert every is not None
        assert (every.shades, every.add) == (None, False)

    @pytest.mark.parametrize(
        "value",
        [
            None,
            7,
            {},
            {"corners": []},
            {"corners": [0, 0, 1, 1]},
            {"corners": [0, 0, 1, 1, 2]},
            {"corners": [0, 0, 1, 1, 2, "x"]},
            {"corners": [0, 0, 1, 1, 2, None]},
            {"corners": [0, 0, 1, 1, 2, float("inf")]},
            {"corners": [0, 0, 1, 1, 2, float("nan")]},
            {"corners": [0.0] * 40_002},
        ],
    )
    def test_what_is_none(self, value) -> None:
        assert read_lasso(value) is None


class TestSent:
    def test_points(self) -> None:
        made = store_points(np.array([7, 1 << 40]), np.array([[0.5, -1], [0.25, 1]], np.float32), [1])
        data = blobs.blob_cache.get(made.data.address.rpartition("/")[2])
        assert data is not None
        assert np.frombuffer(data, "<i8", 2).tolist() == [7, 1 << 40]
        assert np.frombuffer(data, "<f4", offset=16).tolist() == [0.5, 0.25, -1, 1]
        assert numbers(made.pictured, "<u4") == [1]

    def test_equal_arrays_have_one_address_and_the_oldest_go(self) -> None:
        kept = blobs.BlobCache(most=10)
        first = kept.put(b"12345")
        assert kept.put(b"12345") == first
        second = kept.put(b"6789")
        assert kept.get(first.address.rpartition("/")[2]) == b"12345"
        kept.put(b"abc")  # `second` was asked for least lately.
        assert kept.get(second.address.rpartition("/")[2]) is None
        assert kept.get(first.address.rpartition("/")[2]) == b"12345"
        large = kept.put(b"x" * 20)
        assert kept.get(large.address.rpartition("/")[2]) == b"x" * 20, "one is kept, however large"

    def test_over_http(self, photographed) -> None:
        from imseek.ui.server.service import Service
        from imseek.ui.server.settings import Settings

        kept = blobs.BlobCache()
        address = kept.put(b"\0\1").address
        with TestClient(Starlette(routes=blobs.routes(Service(Settings((("a b", photographed),))), kept))) as client:
            found = client.get(address)
            assert (found.content, found.headers["cache-control"]) == (
                b"\0\1",
                "private, max-age=31536000, immutable",
            )
            assert client.get(address, headers={"If-None-Match": found.headers["etag"]}).status_code == 304
            assert client.get("/arrays/no").status_code == 404
            names = blobs.names_url("a b")
            with imseek.open(photographed) as collection:
                (hit,) = collection.search("red", limit=1)
            told = client.get(f"{names}/{hit.image_id}").json()
            assert f"{told['folder']}/{told['name']}" == hit.place.display
            for wrong in ("99", "x", "-1", "9" * 30, "²"):
                assert client.get(f"{names}/{wrong}").status_code == 404
            assert client.get(f"/names/other/{hit.image_id}").status_code == 404


@pytest.fixture(scope="module")
def photographed(tmp_path_factory, photo_files):
    root = tmp_path_factory.mktemp("map") / "c"
    with imseek.create(root, encoder="fake") as collection:
        collection.index(names=photo_files)
    maps.lay_out(root, method="pca")
    return root


class TestColours:
    def test_what_can_be_chosen(self, photographed) -> None:
        with imseek.open(photographed) as collection:
            found = colours.choices(collection)
        assert found[:4] == (
            ColourBy("none"),
            ColourBy("words"),
            ColourBy("column", "folder"),
            ColourBy("column", "taken_at"),
        )
        assert ColourBy("column", "width") in found
        assert not {"image_id", "path", "phash", "content_hash"} & {one.what for one in found}
        assert len({one.title for one in found}) == len(found), "they stand in the address by their titles"

    def test_by_folder_with_names_on_the_map(self, photographed, photo_files) -> None:
        shown = map_points.current_view(photographed, "map", None)
        by = ColourBy("column", "folder")
        made = colours.colours(shown, by).colouring
        assert made.legend is not None
        folders = [str(path.parent) for path in photo_files]
        assert sorted(entry["count"] for entry in made.legend["legend"]) == sorted(
            folders.count(one) for one in set(folders)
        )
        assert colours.regions(shown, by) is colours.colours(shown, by)
        assert colours.regions(shown, ColourBy("none")) is colours.colours(shown, by), "there are no clusters"

    def test_one_folder_names_no_region(self, photographed, photo_files) -> None:
        shown = map_points.current_view(photographed, "map", f"folder = '{photo_files[0].parent}'")
        assert colours.colours(shown, ColourBy("column", "folder")).colouring.legend is not None
        assert colours.regions(shown, ColourBy("none")) is None

    def test_by_tags(self, tmp_path, photo_files) -> None:
        root = tmp_path / "c"
        with imseek.create(root, encoder="fake") as collection:
            collection.index(names=photo_files)
        maps.lay_out(root, method="pca")
        ids = maps.table(root).column("image_id").to_pylist()
        tags.add(root, "rare", ids[:2])
        tags.add(root, "often", ids[1:5])
        shown = map_points.current_view(root, "map", None)

        def given(what: str) -> list[str]:
            made = colours.colours(shown, ColourBy("tags", what)).colouring
            return [made.legend["labels"][at] for at in made.values]

        none = "no value"
        assert given("") == ["rare", "often", "often", "often", "often", none, none, none]
        assert given("rare") == ["rare", "rare", *[none] * 6]

    def test_by_clusters(self, tmp_path, photo_files) -> None:
        root = tmp_path / "c"
        with imseek.create(root, encoder="fake") as collection:
            collection.index(names=photo_files)
            maps.lay_out(root, method="pca")
            report = clusters.find(root, k=2, save="kinds", names="none")
            assert ColourBy("clusters", "kinds") in colours.choices(collection)
        made = colours.colours(map_points.current_view(root, "map", None), ColourBy("clusters", "kinds")).colouring
        assert {entry["label"]: entry["count"] for entry in made.legend["legend"]} == {
            f"group {cluster.number}": cluster.size for cluster in report.clusters
        }

    def test_by_words(self, photographed) -> None:
        shown = map_points.current_view(photographed, "map", None)
        with imseek.open(photographed) as collection:
            made = colours.by_words(collection, shown, "red")
            scores = {hit.image_id: hit.score for hit in collection.search("red", limit=50)}
        ids = map_points.load_points(shown).ids.tolist()
        assert made.colouring.values.tolist() == pytest.approx([scores[one] for one in ids], abs=1e-6)
        best = int(np.argmax(made.colouring.values))
        assert made.colouring.shades[best] == 254
        assert (made.colouring.shades == 0).sum() >= len(ids) // 2, "no more than usual"
        assert numbers(made.pictured, "<u4")[0] == best

    def test_a_column_that_is_none(self, photographed) -> None:
        with pytest.raises(QueryError, match="no column"):
            colours.colours(map_points.current_view(photographed, "map", None), ColourBy("column", "widht"))


def test_how_long_it_takes() -> None:
    assert layout_job._takes("pca", 1000) == "a moment"
    assert layout_job._takes("umap", 10_000) == "about 16 s"
    assert layout_job._takes("umap", 100_000) == "about 3 min"


def test_umap_missing_names_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(layout_job, "find_spec", lambda name: None)
    lacks = layout_job.missing_extra("umap")
    assert lacks is not None
    assert ".[explore]" in str(lacks.hint)
    assert layout_job.missing_extra("pca") is None
