"""CLIPScore, RefCLIPScore, and the filters of DataComp: against the formulas, and at their edges."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from templates import Templates

import imseek
from imseek import captions, maintenance
from imseek.captions import pair_filters, scores
from imseek.encoders import registry
from imseek.errors import QueryError, UsageError

ENCODER = "fake:64"
#: Name → colour, size, caption.
PICTURES = {
    "red.png": ("red", (300, 200), "something very red"),
    "green.png": ("green", (640, 200), "a wide green meadow"),
    "blue.png": ("blue", (220, 240), "blue"),
    "wrong.png": ("blue", (400, 400), "a yellow dog"),
    "small.png": ("red", (199, 300), "a red picture"),
    "silent.png": ("grey", (300, 300), None),
    "blank.png": ("white", (300, 300), "   "),
}


@pytest.fixture
def indexed(tmp_path: Path, templates: Templates) -> Iterator[imseek.Collection]:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, (colour, size, caption) in PICTURES.items():
        Image.new("RGB", size, colour).save(folder / name)
        if caption is not None:
            (folder / name).with_suffix(".txt").write_text(caption)
    templates.indexed(tmp_path / "c", folder, encoder=ENCODER)
    with imseek.open(tmp_path / "c") as made:
        yield made


def ids_of(collection: imseek.Collection) -> dict[str, int]:
    hits = collection.search(np.ones(64), limit=100, metadata=False)
    return {Path(str(hit.path)).name: hit.image_id for hit in hits}


def by_name(collection: imseek.Collection, found: captions.CaptionScores) -> dict[str, float]:
    names = {image_id: name for name, image_id in ids_of(collection).items()}
    return {names[i]: s for i, s in zip(found.ids.tolist(), found.scores.tolist(), strict=True)}


def cosine(collection: imseek.Collection, name: str, text: str) -> float:
    stored = collection.search(ids_of(collection)[name], limit=1, vectors=True)[0].vector
    assert stored is not None
    row, said = stored.astype(float), registry.load(ENCODER).encode_texts([text])[0].astype(float)
    return float(row @ said / np.linalg.norm(row) / np.linalg.norm(said))


CAPTIONED = [name for name, (_, _, caption) in PICTURES.items() if caption and caption.strip()]


def test_clipscore_is_the_formula(indexed: imseek.Collection) -> None:
    found = captions.clip_scores(indexed)
    expected = {name: 2.5 * max(cosine(indexed, name, f"A photo depicts {PICTURES[name][2]}"), 0) for name in CAPTIONED}
    assert by_name(indexed, found) == pytest.approx(expected, abs=1e-6)
    assert (found.measure, found.prefix, found.images) == ("clipscore", "A photo depicts", 7)
    assert max(expected.values()) > 1, "more than a cosine, else the factor is not seen"
    assert found.ids.tolist() == sorted(found.ids.tolist())


def test_without_prefix_and_embedded_before_or_now(indexed: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh, cosines = captions.clip_scores(indexed, prefix=""), captions.cosines(indexed)
    expected = {name: cosine(indexed, name, str(PICTURES[name][2])) for name in CAPTIONED}
    assert by_name(indexed, cosines) == pytest.approx(expected, abs=1e-6)
    clipped = {name: 2.5 * max(score, 0) for name, score in expected.items()}
    assert by_name(indexed, fresh) == pytest.approx(clipped, abs=1e-6)
    maintenance.embed_captions(indexed.path)
    monkeypatch.setattr("imseek.captions.load_text_encoder", lambda *_: pytest.fail("no encoder is needed"))
    assert by_name(indexed, captions.clip_scores(indexed, prefix=" ")) == pytest.approx(clipped, abs=2e-3)
    assert by_name(indexed, captions.cosines(indexed)) == pytest.approx(
        {row.place.display.rpartition("/")[2]: row.score for row in captions.agreement(indexed) if row.place}
    )


def test_refclipscore_is_the_formula(indexed: imseek.Collection) -> None:
    ids = ids_of(indexed)
    references = {
        ids["red.png"]: ["red as can be", "a fire"],
        ids["wrong.png"]: ["blue"],
        ids["silent.png"]: ["grey"],
    }
    found = captions.ref_clip_scores(indexed, references, prefix="")
    encode = registry.load(ENCODER).encode_texts
    expected = {}
    for name in ("red.png", "wrong.png"):
        said = str(PICTURES[name][2])
        clip = 2.5 * max(cosine(indexed, name, said), 0)
        near = max(0.0, float((encode([said]) @ encode(references[ids[name]]).T).max()))
        expected[name] = 2 * clip * near / (clip + near) if clip + near else 0.0
    assert by_name(indexed, found) == pytest.approx(expected, abs=1e-5)
    assert found.left_out.unreferenced == 3
    assert expected["red.png"] > 0


def test_scores_by_hand() -> None:
    cosines = np.array([0.4, -0.2, 0.0], np.float32)
    assert scores.clip_score(cosines).tolist() == pytest.approx([1.0, 0.0, 0.0])
    both = scores.ref_clip_score(np.array([1, 1, 0, 1], np.float32), np.array([0.5, -0.5, 0.9, 1], np.float32))
    assert both.tolist() == pytest.approx([2 / 3, 0, 0, 1])
    assert scores.ref_clip_score(np.zeros(1, np.float32), np.zeros(1, np.float32)).tolist() == [0]
    assert scores.cosines(np.zeros((1, 3)), np.ones((1, 3))).tolist() == [0]


def test_given_captions_and_the_worst(indexed: imseek.Collection) -> None:
    ids = ids_of(indexed)
    given = {ids["red.png"]: ["red", "blue"], ids["blue.png"]: ["blue"], 999: ["nothing"]}
    found = captions.clip_scores(indexed, captions=given, prefix="")
    assert found.ids.tolist() == sorted([ids["red.png"]] * 2 + [ids["blue.png"]])
    assert (found.left_out.unknown, found.left_out.names) == (1, ("999",))
    (least,) = captions.worst(indexed, found, limit=1)
    assert least.caption == "blue"
    assert (least.image_id, least.score) == (ids["red.png"], pytest.approx(float(found.scores.min())))
    with pytest.raises(UsageError, match="several scores"):
        captions.save(indexed, found, "clipscore")
    first = captions.worst(indexed, captions.clip_scores(indexed), limit=2)
    assert first[0].place is not None
    assert first[0].place.display.endswith("/wrong.png")


def test_saved_as_a_column(indexed: imseek.Collection) -> None:
    found = captions.clip_scores(indexed)
    captions.save(indexed, found, "clipscore")
    stored = {h.image_id: h.metadata.get("clipscore") for h in indexed.search(np.ones(64), limit=100)}
    assert {i: s for i, s in stored.items() if s is not None} == pytest.approx(
        dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
    )
    bar = float(np.median(found.scores))
    asked = imseek.Query((imseek.Term(text="red"),), limit=100, where=f"clipscore > {bar}")
    hits = indexed.search(asked)
    assert {hit.image_id for hit in hits} == set(found.ids[found.scores > bar].tolist())
    for name in ("Bad Name", "with-dash", "width"):
        with pytest.raises(UsageError):
            captions.save(indexed, found, name)


def test_the_top_share() -> None:
    ids = np.array([5, 9, 2, 7, 1, 8], np.int64)
    values = np.array([0.5, 0.9, 0.5, 0.1, 0.5, 0.2], np.float32)
    order = np.argsort(ids)
    ids, values = ids[order], values[order]
    for share, kept in (
        (1, {1, 2, 5, 7, 8, 9}),
        (0.5, {9, 1, 2}),
        (0.34, {9, 1}),
        (0.2, {9}),
        (4 / 6, {9, 1, 2, 5}),
    ):
        assert set(ids[pair_filters.top_share(ids, values, share)].tolist()) == kept, share
    hundred = np.arange(100)
    assert pair_filters.top_share(hundred, hundred.astype(np.float32), 0.29).sum() == 29  # .29 · 100 is 28.999…96
    for share in (0, -0.1, 1.01, float("nan"), "30%"):
        with pytest.raises(UsageError, match="not a share"):
            pair_filters.top_share(ids, values, share)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="less than one caption"):
        pair_filters.top_share(ids, values, 0.1)
    with pytest.raises(UsageError, match="no image has a caption"):
        pair_filters.top_share(ids[:0], values[:0], 0.5)


def test_the_filter_of_datacomp(indexed: imseek.Collection) -> None:
    found = captions.cosines(indexed)
    names = {image_id: name for name, image_id in ids_of(indexed).items()}
    everything = captions.keep(indexed, found, 1)
    assert {names[i] for i in everything.ids.tolist()} == set(CAPTIONED)
    passing = captions.keep(indexed, found, 1, basic=True)
    # green.png is wider than 3:1, blue.png has one word, small.png is 199 pixels wide.
    assert {names[i] for i in passing.ids.tolist()} == {"red.png", "wrong.png"}
    assert (passing.share_kept, passing.captions, passing.threshold) == (
        5,
        5,
        pytest.approx(found.scores.min()),
    )
    best = captions.keep(indexed, found, 0.4, basic=True)
    top = sorted(by_name(indexed, found).items(), key=lambda item: -item[1])[:2]
    assert {names[i] for i in best.ids.tolist()} == {name for name, _ in top} & {"red.png", "wrong.png"}
    assert best.threshold == pytest.approx(top[-1][1])
    rows = list(captions.pairs(indexed, everything))
    assert [row.image_id for row in rows] == sorted(everything.ids.tolist())
    assert {row.place.display.rpartition("/")[2] for row in rows if row.place} == set(CAPTIONED)
    assert {row.uid for row in rows} == {None}


def test_given_captions_pass_the_basic_filter_by_themselves(indexed: imseek.Collection) -> None:
    ids = ids_of(indexed)
    given = {
        ids["red.png"]: ["red", "it is very red"],
        ids["blue.png"]: ["blue as the sea"],
        ids["small.png"]: ["a b c d"],
    }
    found = captions.clip_scores(indexed, captions=given, prefix="")
    kept = captions.keep(indexed, found, 1, basic=True)
    # "red" is one word; small.png is too small; the stored caption of blue.png has one word, the given one has four.
    assert kept.ids.tolist() == sorted([ids["red.png"], ids["blue.png"]])
    texts = dict(zip(found.scores.tolist(), found.texts or (), strict=True))
    assert {texts[score] for score in kept.scores.tolist()} == {"it is very red", "blue as the sea"}


def test_what_is_kept_has_the_uid_of_its_table(tmp_path: Path) -> None:
    lines = ["image,caption,uid"]
    for n, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (40, 40), colour).save(tmp_path / f"{n}.png")
        lines.append(f"{n}.png,something {colour},u{n:04}")
    (tmp_path / "pool.csv").write_text("\n".join(lines))
    with imseek.create(tmp_path / "c", encoder=ENCODER, captions=True) as made:
        made.index([tmp_path / "pool.csv"])
        kept = captions.keep(made, captions.cosines(made), 1)
        assert [row.uid for row in captions.pairs(made, kept)] == ["u0000", "u0001", "u0002"]


def test_what_has_no_score(indexed: imseek.Collection, tmp_path: Path) -> None:
    found = captions.cosines(indexed, where="width > 10000")
    assert (len(found.ids), found.median, found.images) == (0, None, 0)
    with pytest.raises(UsageError, match="no image has a caption"):
        captions.keep(indexed, found, 0.5)
    with pytest.raises(QueryError):
        captions.cosines(indexed, where="nothing =")
    with pytest.raises(UsageError, match="cannot be read"):
        captions.ref_clip_scores(indexed, tmp_path / "none.csv")
    stop = threading.Event()
    stop.set()
    stopped = captions.clip_scores(indexed, stop=stop)
    assert (stopped.interrupted, len(stopped.ids)) == (True, 0)


def test_another_encoder_is_refused(indexed: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    from imseek.encoders.fake import FakeEncoder
    from imseek.errors import EncoderMismatchError

    monkeypatch.setattr(FakeEncoder, "fingerprint", lambda _: "0" * 64)
    with pytest.raises(EncoderMismatchError):
        captions.clip_scores(indexed)
