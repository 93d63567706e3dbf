"""Clusters, outliers and samples of collections: stored, filtered by, added to; and what makes no sense."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from snapshotting import clustered, collection_of
from templates import Templates

import imseek
from imseek import clusters, maintenance
from imseek.analysis.score_columns import save_scores
from imseek.analysis.space_vectors import Vectors
from imseek.clusters.results import ClusterReport
from imseek.data.catalog import models
from imseek.data.reader import Reader
from imseek.errors import (
    CorruptCollectionError,
    MissingExtraError,
    QueryError,
    UsageError,
)

COLOURS = ("red", "lime", "blue")


def draw(folder: Path, colour: str, count: int, seed: int) -> None:
    """Pictures mostly of a colour, each with noise of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    plain = np.asarray(Image.new("RGB", (32, 32), colour), np.int16)
    for n in range(count):
        pixels = np.clip(plain + random.integers(-40, 40, plain.shape), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{colour}-{n}.png")


@pytest.fixture
def root(tmp_path: Path, templates: Templates) -> Path:
    """Nine red, six lime and four blue pictures."""
    for seed, (colour, count) in enumerate(zip(COLOURS, (9, 6, 4), strict=True)):
        draw(tmp_path / "pictures", colour, count, seed)
    return templates.indexed(tmp_path / "made", tmp_path / "pictures")


def colours_of(root: Path, ids: list[int]) -> set[str]:
    places = Reader(root).places(ids)
    return {places[i].path.rpartition(b"/")[2].partition(b"-")[0].decode() for i in ids}


def stored(root: Path, name: str) -> dict[str, set[int | None]]:
    """By colour the numbers that its images have."""
    reader = Reader(root)
    found: dict[str, set[int | None]] = {}
    ids = [int(i) for shard in reader.current.shards for i in reader.shard_ids(shard)]
    for i, facts in reader.metadata(ids).items():
        (colour,) = colours_of(root, [i])
        found.setdefault(colour, set()).add(facts.get(name))
    return found


def test_each_colour_is_a_cluster_with_its_name(root: Path) -> None:
    report = clusters.find(root, k=3, names=["red", "green", "blue", *(f"word {n}" for n in range(20))])
    assert [one.size for one in report.clusters] == [9, 6, 4]
    assert [colours_of(root, [image.image_id for image in one.medoids]) for one in report.clusters] == [
        {colour} for colour in COLOURS
    ]
    assert report.noise is None
    assert report.chosen == "as asked for"
    assert (report.images, report.encoder, report.saved) == (19, "fake", None)
    for one in report.clusters:
        assert one.cohesion is not None
        assert 0.9 < one.cohesion <= 1
        assert one.separation is not None
        assert one.separation > 0.5
        assert one.neighbour in {1, 2, 3} - {one.number}
        assert one.medoids[0].score == max(image.score for image in one.medoids)
    assert models.names(root) == ()


def test_names_are_those_of_the_colours(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imseek.clusters.cluster_names.name_clusters.__defaults__", (1.0,))
    report = clusters.find(root, k=3, names=["red", "blue", "yellow", "black", "white"], save="kinds")
    assert report.clusters[0].name == "red"
    assert report.clusters[2].name == "blue"
    assert stored(root, "kinds_name")["red"] == {"red"}
    assert clusters.find(root, k=1, names="none", where="kinds_name = 'blue'").images == 4


def test_stored_clusters_can_be_filtered_by_and_added_to(root: Path, tmp_path: Path) -> None:
    report = clusters.find(root, k=3, names="none", save="kinds")
    assert report.saved == "kinds"
    assert stored(root, "kinds") == {"red": {1}, "lime": {2}, "blue": {3}}
    some = clusters.find(root, k=1, names="none", where="kinds = 3")
    assert some.images == 4
    assert colours_of(root, [image.image_id for image in some.clusters[0].medoids]) == {"blue"}
    assert Reader(root).metadata([1])[1]["kinds_score"] == pytest.approx(1, abs=0.1)

    model = models.find(root, "kinds")
    assert model is not None
    assert model.kind == "clusters"
    assert model.arrays["centres"].shape == (3, 64)
    assert clusters.again(root, "kinds").added == {}

    draw(tmp_path / "pictures" / "new", "blue", 5, 11)
    with imseek.open(root) as collection:
        collection.index([tmp_path / "pictures"])
    before = Reader(root).generation
    found = clusters.again(root, "kinds")
    assert dict(found.added) == {3: 5}
    assert (found.images, found.generation) == (24, before + 1)
    assert stored(root, "kinds") == {"red": {1}, "lime": {2}, "blue": {3}}
    same = models.find(root, "kinds")
    assert same is not None
    assert np.array_equal(same.arrays["centres"], model.arrays["centres"])
    assert clusters.again(root, "kinds").generation == before + 1
    assert maintenance.verify(root).ok


def test_what_was_left_out_by_a_condition_stays_out(root: Path, tmp_path: Path) -> None:
    clusters.find(root, k=2, names="none", save="some", where="path NOT LIKE '%lime%'")
    draw(tmp_path / "pictures" / "new", "lime", 2, 12)
    draw(tmp_path / "pictures" / "new", "red", 2, 13)
    with imseek.open(root) as collection:
        collection.index([tmp_path / "pictures"])
    assert dict(clusters.again(root, "some").added) == {1: 2}
    assert stored(root, "some") == {"red": {1}, "lime": {None}, "blue": {2}}


def test_density_keeps_what_is_in_no_group(root: Path, tmp_path: Path) -> None:
    report = clusters.find(root, density=True, smallest=3, names="none", save="dense")
    sizes = [one.size for one in report.clusters]
    outside = 0 if report.noise is None else report.noise.size
    assert sum(sizes) + outside == 19
    assert len(sizes) >= 2
    for one in report.clusters:
        assert len(colours_of(root, [image.image_id for image in one.medoids])) == 1
    model = models.find(root, "dense")
    assert model is not None
    assert model.arrays["least"].shape == (len(sizes),)
    black = tmp_path / "pictures" / "chess.png"
    pattern = (np.indices((32, 32)).sum(axis=0) // 8 % 2 * 255).astype(np.uint8)
    Image.fromarray(pattern).save(black)
    with imseek.open(root) as collection:
        collection.index([tmp_path / "pictures"])
    assert dict(clusters.again(root, "dense").added) == {0: 1}


def test_a_name_that_is_there(root: Path) -> None:
    clusters.find(root, k=3, names="none", save="kinds")
    with pytest.raises(UsageError, match="there are clusters 'kinds' already") as caught:
        clusters.find(root, k=2, names="none", save="kinds")
    assert "--force" in (caught.value.hint or "")
    clusters.find(root, k=2, names="none", save="kinds", replace=True)
    assert {n for numbers in stored(root, "kinds").values() for n in numbers} == {1, 2}
    with pytest.raises(UsageError, match="'kinds' is the name of clusters already"):
        clusters.outliers(root, save="kinds", replace=True)
    clusters.outliers(root, save="kinds_odd")
    with pytest.raises(UsageError, match="is the name of outliers already"):
        clusters.find(root, k=2, names="none", save="kinds_odd", replace=True)
    with pytest.raises(UsageError, match="there is a column 'kinds_score' already"):
        clusters.outliers(root, save="kinds_score")
    with pytest.raises(UsageError, match="there is a column 'width' already"):
        clusters.outliers(root, save="width")
    with pytest.raises(UsageError, match="column set of `imseek maintain --measure`"):
        clusters.find(root, k=2, names="none", save="measured")
    for name in ("year", "ratio"):
        with pytest.raises(UsageError, match=f"'{name}' is reserved"):
            clusters.find(root, k=2, names="none", save=name)
    for name in ("Kinds", "1st", "a-b", "", "x" * 42):
        with pytest.raises(UsageError, match="cannot be a name of columns"):
            clusters.find(root, k=2, names="none", save=name)


def test_adding_to_what_is_not_there(root: Path) -> None:
    with pytest.raises(UsageError, match="no clusters are stored as 'kinds'"):
        clusters.again(root, "kinds")
    clusters.outliers(root, save="odd")
    with pytest.raises(UsageError, match="'odd' is the name of outliers, not of clusters"):
        clusters.again(root, "odd")
    clusters.find(root, k=2, names="none", save="kinds")
    with pytest.raises(UsageError, match="no clusters are stored as 'none'") as caught:
        clusters.again(root, "none")
    assert caught.value.hint == "there are: kinds"


def test_another_encoder_since(root: Path) -> None:
    clusters.find(root, k=2, names="none", save="kinds")
    maintenance.reencode(root, "fake:32")
    with pytest.raises(UsageError, match="found with fake, and vectors are of fake:32 now") as caught:
        clusters.again(root, "kinds")
    assert "--save kinds --force" in (caught.value.hint or "")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_so_few_images(tmp_path: Path, count: int) -> None:
    if count:
        draw(tmp_path / "pictures", "red", count, 0)
    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        if count:
            collection.index([tmp_path / "pictures"])
    root = tmp_path / "made"
    report = clusters.find(root)
    assert (report.images, len(report.clusters)) == (count, min(count, 1))
    assert sum(one.size for one in report.clusters) == count
    dense = clusters.find(root, density=True)
    assert dense.clusters == ()
    assert (0 if dense.noise is None else dense.noise.size) == count
    odd = clusters.outliers(root)
    assert len(odd.outliers) == (2 if count == 2 else 0)
    assert len(clusters.outliers(root, method="lof").outliers) == len(odd.outliers)
    assert len(clusters.outliers(root, method="isolation").outliers) == len(odd.outliers)
    for method in ("k-centre", "facility", "random"):
        some = clusters.sample(root, 5, method=method)
        assert len(some.chosen) == count
        assert (some.farthest is None) == (count == 0)
        assert sum(some.weights) == count
    if not count:
        with pytest.raises(UsageError, match="no images"):
            clusters.find(root, save="kinds")
        with pytest.raises(UsageError, match="no images"):
            clusters.outliers(root, save="odd")


def test_where_that_leaves_nothing_and_where_that_is_none(root: Path) -> None:
    assert clusters.find(root, where="width > 9999").notes == ()
    assert clusters.outliers(root, where="width > 9999").outliers == ()
    assert clusters.sample(root, 3, where="width > 9999").chosen == ()
    with pytest.raises(QueryError):
        clusters.find(root, where="nonsense = ")


def test_all_vectors_equal(tmp_path: Path) -> None:
    draw(tmp_path / "pictures", "red", 1, 0)
    for n in range(6):
        shutil.copyfile(tmp_path / "pictures" / "red-0.png", tmp_path / "pictures" / f"copy-{n}.png")
    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        collection.index([tmp_path / "pictures"])
    root = tmp_path / "made"
    report = clusters.find(root, k=4, names="none")
    (only,) = report.clusters
    assert (only.size, only.separation, len(only.medoids)) == (7, None, 1)
    assert report.chosen == "as asked for, but no more vectors differ"
    assert len(clusters.find(root, names="none").clusters) == 1
    assert clusters.find(root).notes == ("no names: one cluster has nothing to stand out from",)
    odd = clusters.outliers(root)
    assert (odd.images, odd.contents, odd.outliers) == (7, 1, ())
    some = clusters.sample(root, 3)
    assert (len(some.chosen), some.weights, some.farthest) == (1, (7,), pytest.approx(0, abs=1e-5))
    assert some.notes == ("there are no more than 1 contents that differ",)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"k": 0}, "cannot be put into 0 clusters"),
        ({"k": 20}, "19 images cannot be put into 20 clusters"),
        ({"k": 2, "density": True}, "finds the number of groups itself"),
        ({"smallest": 3}, "--smallest needs"),
        ({"smallest": 1, "density": True}, "is none"),
        ({"names": "nowhere.txt"}, "cannot read the names in nowhere.txt"),
    ],
)
def test_clusters_that_make_no_sense(root: Path, asked: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        clusters.find(root, **asked)  # type: ignore[arg-type]


def test_outliers_and_samples_that_make_no_sense(root: Path) -> None:
    for asked in ({"method": "best"}, {"neighbours": 0}, {"neighbours": 101}, {"limit": -1}):
        with pytest.raises(UsageError):
            clusters.outliers(root, **asked)  # type: ignore[arg-type]
    for count, asked in ((0, {}), (10_001, {}), (3, {"method": "best"})):
        with pytest.raises(UsageError):
            clusters.sample(root, count, **asked)  # type: ignore[arg-type]


def test_an_encoder_without_words_gives_no_names(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from imseek.encoders.base import EncoderInfo
    from imseek.encoders.fake import FakeEncoder

    class Wordless(FakeEncoder):
        @property
        def info(self) -> EncoderInfo:
            return replace(super().info, modalities=("image",))

    monkeypatch.setattr("imseek.labels.class_vectors.load_encoder", lambda *args, **more: Wordless())
    report = clusters.find(root, k=3, names=["a word that no cache has"])
    assert [one.name for one in report.clusters] == [None] * 3
    assert len(report.notes) == 1
    assert report.notes[0].startswith("no names: the encoder")


def test_scores_replace_only_their_like(root: Path) -> None:
    clusters.find(root, k=2, names="none", save="kinds")
    ids, scores = np.array([1, 2]), np.array([0.25, 0.5], np.float32)
    with pytest.raises(UsageError, match="'kinds' is the name of clusters already"):
        save_scores(root, "kinds", ids, scores, "aesthetic", {})
    for worth in (scores, scores / 2):
        save_scores(root, "worth", ids, worth, "aesthetic", {})
        with imseek.open(root) as collection:
            assert collection.get(2).metadata["worth"] == worth[1]
    with pytest.raises(UsageError, match="'year' is reserved"):
        save_scores(root, "year", ids, scores, "aesthetic", {})


def test_a_missing_extra_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module in ("sklearn", "sklearn.cluster", "sklearn.ensemble", "sklearn.metrics"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("imseek.clusters.kmeans_clusters._CANDIDATE_COUNTS", (2, 3))
    monkeypatch.setattr("imseek.clusters.kmeans_clusters._MIN_IMAGES_PER_CLUSTER", 1)
    for ask in (
        lambda: clusters.find(root, density=True, smallest=3),
        lambda: clusters.outliers(root, method="isolation"),
    ):
        with pytest.raises(MissingExtraError) as caught:
            ask()
        assert caught.value.extra == "explore"
    assert len(clusters.find(root, k=3, names="none").clusters) == 3  # FAISS is enough
    assert clusters.find(root, names="none").chosen.startswith("the most stable of 2, 3 (")


def test_the_end_that_is_asked_for_stores_nothing(root: Path) -> None:
    stop = threading.Event()
    stop.set()
    for ask in (
        lambda: clusters.find(root, k=2, save="kinds", stop=stop),
        lambda: clusters.outliers(root, save="odd", stop=stop),
        lambda: clusters.sample(root, 3, stop=stop),
    ):
        with pytest.raises(InterruptedError):
            ask()
    assert models.names(root) == ()


def test_progress_is_told(root: Path) -> None:
    phases: list[str] = []
    clusters.find(root, k=2, names="none", progress=lambda now: phases.append(now.phase))
    assert list(dict.fromkeys(phases)) == ["finding clusters", "assigning images", "describing clusters"]


def test_the_same_seed_gives_the_same(root: Path) -> None:
    def sizes(report: ClusterReport) -> list[tuple[int, int]]:
        return [(one.size, one.medoids[0].image_id) for one in report.clusters]

    assert sizes(clusters.find(root, k=7, names="none", seed=3)) == sizes(
        clusters.find(root, k=7, names="none", seed=3)
    )
    for method in ("k-centre", "facility", "random"):
        one, two = (clusters.sample(root, 6, method=method, seed=5) for _ in range(2))
        assert one == two


class TestOutliers:
    @pytest.fixture
    def odd(self, root: Path, tmp_path: Path) -> int:
        """A chess board among plain colours, twice; its id."""
        pattern = (np.indices((32, 32)).sum(axis=0) // 8 % 2 * 255).astype(np.uint8)
        for name in ("zz-chess.png", "zz-copy.png"):
            Image.fromarray(pattern).save(tmp_path / "pictures" / name)
        with imseek.open(root) as collection:
            collection.index([tmp_path / "pictures"])
        return 19

    @pytest.mark.parametrize("method", ["knn", "lof", "isolation"])
    def test_a_copy_does_not_hide_one(self, root: Path, odd: int, method: str) -> None:
        found = clusters.outliers(root, limit=3, method=method, neighbours=3)  # type: ignore[arg-type]
        assert found.outliers[0].image_id == odd
        assert dict(found.copies) == {odd: 1}
        assert (found.images, found.contents) == (21, 20)
        assert found.typical is not None
        assert found.outliers[0].score > found.typical
        scores = [one.score for one in found.outliers]
        assert scores == sorted(scores, reverse=True)

    def test_scores_are_stored_for_copies_too(self, root: Path, odd: int) -> None:
        found = clusters.outliers(root, save="odd", neighbours=3)
        values = Reader(root).metadata([odd, odd + 1])
        assert values[odd]["odd"] == values[odd + 1]["odd"] == pytest.approx(found.outliers[0].score, abs=1e-5)
        assert clusters.sample(root, 9, where="odd > 0.3").images == 2
        clusters.outliers(root, save="odd", neighbours=5, replace=True)

    def test_fewer_contents_than_neighbours(self, root: Path) -> None:
        found = clusters.outliers(root, neighbours=50)
        assert found.neighbours == 18
        assert found.notes == ("only 19 contents differ: each has 18 neighbours",)

    @pytest.mark.parametrize("cells", [False, True])
    def test_the_farthest_are_exact_among_many_too(
        self, tmp_path: Path, cells: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = clustered(3000, 1)
        rows[7] = -rows[7]
        root = collection_of(tmp_path / "made", rows)
        if cells:
            monkeypatch.setattr("imseek.clusters.outlier_scores.MAX_EXACT", 100)
            monkeypatch.setattr("imseek.clusters.outlier_scores._CELL_SIZE", 100)
            monkeypatch.setattr("imseek.clusters.outlier_scores._CELLS_SEARCHED", 3)
            monkeypatch.setattr("imseek.clusters.outlier_scores._BATCH", 64)
        found = clusters.outliers(root, limit=30)
        stored_rows = rows.astype(np.float16).astype(np.float32)
        stored_rows /= np.linalg.norm(stored_rows, axis=1, keepdims=True)
        cosines = stored_rows @ stored_rows.T
        np.fill_diagonal(cosines, -2)
        distance = 1 - np.sort(cosines, axis=1)[:, -10:].mean(axis=1)
        order = np.argsort(-distance)[:30]
        ids = np.array(Vectors(Reader(root)).ids)
        assert [one.image_id for one in found.outliers] == ids[order].tolist()
        assert [one.score for one in found.outliers] == pytest.approx(distance[order].tolist(), abs=1e-5)
        assert found.notes == ()

    def test_what_is_not_proved_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = collection_of(tmp_path / "made", clustered(3000, 1))
        for name, value in (
            ("MAX_EXACT", 100),
            ("_CELL_SIZE", 30),
            ("_CELLS_SEARCHED", 1),
            ("_FIRST_VERIFIED", 1),
            ("_MAX_VERIFIED", 1),
        ):
            monkeypatch.setattr(f"imseek.clusters.outlier_scores.{name}", value)
        found = clusters.outliers(root, limit=50)
        assert found.notes == ("there may be others as far from everything: not all were compared with all",)
        assert clusters.outliers(root, method="lof").notes == (
            "neighbours were looked for among the nearest cells: a few may have been missed",
        )


def test_a_vector_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    root = collection_of(tmp_path / "made", clustered(20, 1))
    (path,) = root.glob("spaces/0/img_emb/*.npy")
    rows = np.load(path)
    rows[3, 5] = np.inf
    path.chmod(0o644)
    np.save(path, rows)
    for ask in (
        lambda: clusters.find(root, k=2, names="none"),
        lambda: clusters.find(root, density=True, names="none"),
        lambda: clusters.outliers(root),
        lambda: clusters.sample(root, 3),
    ):
        with pytest.raises(CorruptCollectionError):
            ask()
