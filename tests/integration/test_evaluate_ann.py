"""Recall of approximate indexes, as evaluated and as counted here from all scores."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from snapshotting import clustered, collection_of, index_of, remove

from imseek import evaluate, maintenance
from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.data.vectors import tuning
from imseek.encoders import registry
from imseek.errors import EncoderMismatchError, QueryError, UsageError
from imseek.types.collection_info import IndexPolicy

ROWS = 2000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index that is too coarse to find everything."""
    root = collection_of(tmp_path_factory.mktemp("ann") / "c", clustered(ROWS, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "QUERIES", 100)
        maintenance.build_index(root, IndexPolicy(kind="IVF64,SQ8", recall=0.6))
    remove(root, [3, 4, 5])
    return root


@pytest.fixture(scope="module")
def unbuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collection_of(tmp_path_factory.mktemp("exact") / "c", clustered(100, 2))


def counted(root: Path, rows: np.ndarray, own: np.ndarray, k: int, text: bool) -> float:
    """The mean share of the exact k best that the index finds, by all scores; queries are not found themselves."""
    vectors = Vectors(Reader(root))
    everything = vectors.of(vectors.ids)
    shares = []
    for row, mine in zip(rows, own, strict=True):
        order = np.argsort(-(everything @ row), kind="stable")
        best = [i for i in vectors.ids[order].tolist() if i != mine][:k]
        (found,) = index_of(root).search(row[None], k + (mine >= 0), text=text)
        shares.append(len({*[i for i in found.ids.tolist() if i != mine][:k]} & {*best}) / k)
    return float(np.mean(shares))


@pytest.mark.parametrize("k", [1, 10])
def test_recall_is_what_is_found(built: Path, k: int) -> None:
    report = evaluate.ann(built, queries=60, ks=(k, 20))
    image, text = report.kinds
    vectors = Vectors(Reader(built))
    drawn = vectors.ids[np.sort(np.random.default_rng(20).choice(len(vectors), 60, replace=False))]
    rows = vectors.of(drawn)
    assert image.recall[k].value == pytest.approx(counted(built, rows, drawn, k, text=False), abs=1e-9)
    sample = vectors.of(vectors.ids[np.sort(np.random.default_rng(20).choice(len(vectors), 1000, replace=False))])
    across = tuning.text_like_queries(sample, seed=20)[np.linspace(0, 999, 60).astype(int)]
    nobody = np.full(60, -1)
    assert text.recall[k].value == pytest.approx(counted(built, across, nobody, k, text=True), abs=1e-9)
    assert text.recall[k].value < 0.99, "an index that misses nothing shows nothing"
    assert (report.images, report.index, report.encoder) == (ROWS - 3, "IVF64,SQ8", "fake")
    assert (image.kind, image.came, image.queries) == ("image", "stored", 60)
    assert (text.kind, text.came) == ("text", "made from pictures")
    assert image.stated is not None
    assert 0 < image.stated <= 1
    assert image.recall[20].low <= image.recall[20].value <= image.recall[20].high
    assert 0 < image.median_ms <= image.p99_ms
    assert image.exact_ms > 0
    assert image.cpu_ms > 0


def test_behind_a_filter(built: Path) -> None:
    report = evaluate.ann(built, queries=20, filtered=0.005, ks=(3,))
    assert [kind.recall[3].value for kind in report.kinds] == [1, 1], "so few are scored one by one"
    assert [kind.stated for kind in report.kinds] == [None, None]
    half = evaluate.ann(built, queries=40, filtered=0.5)
    assert half.kinds[0].recall[10].value > 0.3
    with pytest.raises(UsageError, match=r"leaves \d images"):
        evaluate.ann(built, filtered=0.001)
    for share in (0, -1, 1.5):
        with pytest.raises(UsageError, match="not a share"):
            evaluate.ann(built, filtered=share)


def test_own_queries(built: Path, tmp_path: Path) -> None:
    rows = clustered(30, 9)
    np.save(tmp_path / "q.npy", 3 * rows.astype(np.float64))
    (kind,) = evaluate.ann(built, own_queries=tmp_path / "q.npy", query_kind="image").kinds
    assert (kind.kind, kind.came, kind.queries) == ("image", "given", 30)
    nobody = np.full(30, -1)
    assert kind.recall[10].value == pytest.approx(counted(built, rows, nobody, 10, text=False), abs=1e-9)
    texts = ["a red car", "blue sky", "blue sky"]
    (tmp_path / "q.txt").write_text("a red car\n\nblue sky\nblue sky\n")
    (said,) = evaluate.ann(built, own_queries=tmp_path / "q.txt").kinds
    assert (said.kind, said.queries) == ("text", 3)
    encode = registry.load("fake").encode_texts
    assert said.recall[10].value == pytest.approx(counted(built, encode(texts), np.full(3, -1), 10, text=True))
    assert evaluate.ann(built, own_queries=texts).kinds[0].recall == said.recall


def test_the_earlier_names_of_own_queries(built: Path) -> None:
    rows = clustered(5, 9)
    with (
        pytest.warns(DeprecationWarning, match="given is deprecated: use own_queries"),
        pytest.warns(DeprecationWarning, match="given_kind is deprecated: use query_kind"),
    ):
        (kind,) = evaluate.ann(built, given=rows, given_kind="image").kinds
    assert (kind.kind, kind.queries) == ("image", 5)


def test_without_an_index_every_search_is_exact(unbuilt: Path) -> None:
    report = evaluate.ann(unbuilt, queries=20)
    assert report.index is None
    assert [kind.recall[10].value for kind in report.kinds] == [1, 1]
    assert [kind.stated for kind in report.kinds] == [None, None]
    assert report.notes == ("there is no approximate index: every search is exact",)


def test_what_cannot_be_asked(unbuilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for ks in ((0,), (100,), ()):
        with pytest.raises(UsageError, match="k lies between 1 and 99"):
            evaluate.ann(unbuilt, ks=ks)
    with pytest.raises(UsageError, match="so many queries"):
        evaluate.ann(unbuilt, queries=0)
    with pytest.raises(QueryError, match=r"shape \(2, 5\)"):
        evaluate.ann(unbuilt, own_queries=np.ones((2, 5)))
    for bad in (np.zeros((1, 64)), np.full((1, 64), np.nan)):
        with pytest.raises(QueryError, match="all zeros, or not finite"):
            evaluate.ann(unbuilt, own_queries=bad)
    with pytest.raises(QueryError, match="no query"):
        evaluate.ann(unbuilt, own_queries=[" "])
    (tmp_path / "bad.npy").write_bytes(b"no array")
    for name in ("bad.npy", "none.txt"):
        with pytest.raises(UsageError, match="cannot be read"):
            evaluate.ann(unbuilt, own_queries=tmp_path / name)
    with pytest.raises(UsageError, match="is not a kind of query"):
        evaluate.ann(unbuilt, query_kind="sound")  # type: ignore[arg-type]
    one = collection_of(tmp_path / "one", clustered(1, 3))
    with pytest.raises(UsageError, match="no neighbours"):
        evaluate.ann(one)
    stop = threading.Event()
    stop.set()
    assert evaluate.ann(unbuilt, stop=stop).interrupted
    monkeypatch.setattr("imseek.encoders.fake.FakeEncoder.fingerprint", lambda _: "0" * 64)
    with pytest.raises(EncoderMismatchError):
        evaluate.ann(unbuilt, own_queries=["red"])
