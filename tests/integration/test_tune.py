"""``imseek tune``: learned, measured, refused or switched to, gone back from, and what goes on meanwhile."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imseek
from imseek import maintenance, tune
from imseek.data.catalog import duplicate_judgements, model_files, models, tags
from imseek.data.catalog.models import Model
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.encoders.vector_adapter import Adapter
from imseek.errors import (
    CorruptCollectionError,
    LockedError,
    QueryError,
    UnknownEncoderError,
    UsageError,
)
from imseek.progress import StopRequest
from imseek.search.encoder_loader import load_encoder
from imseek.tune import data_split, examples

#: What the pictures of a colour are called here: words that the fake encoder does not know.
NAMES = {
    "zorp": (255, 0, 0),
    "quux": (0, 255, 0),
    "flim": (0, 0, 255),
    "brol": (255, 255, 0),
    "tarn": (0, 255, 255),
    "mive": (255, 0, 255),
    "doke": (0, 0, 0),
    "wexa": (255, 255, 255),
    "yulp": (255, 128, 0),
    "gant": (0, 128, 255),
    "hobb": (128, 255, 128),
    "snee": (128, 0, 128),
}
EACH = 9
ALL = EACH * len(NAMES)


def draw(path: Path, colour: tuple[int, int, int], seed: int, caption: str | None = None) -> None:
    """A colour with noise over it; every picture is another one."""
    noise = np.random.default_rng(seed).integers(-90, 90, (24, 24, 3))
    exif = Image.Exif()
    if caption is not None:
        exif[0x010E] = caption
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(path, exif=exif)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """108 pictures of twelve colours, each with a caption of its own that says what its colour is called here."""
    home = tmp_path_factory.mktemp("tune")
    (home / "pictures").mkdir()
    for n in range(ALL):
        name = list(NAMES)[n % len(NAMES)]
        draw(home / "pictures" / f"{n:03}.png", NAMES[name], n, f"{name} number{n}")
    with imseek.create(home / "pictures" / ".imseek", encoder="fake", here=True) as collection:
        collection.index([home / "pictures"])
        given = {
            (image_id, tag): "test"
            for image_id in range(ALL)
            if (tag := collection.get(image_id).metadata["caption"].split()[0])
        }
    with Writer(home / "pictures" / ".imseek", "test") as writer:
        tags.put(writer, given)
    return home / "pictures"


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "pictures")
    return tmp_path / "pictures" / ".imseek"


@pytest.fixture(scope="module")
def taught(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, tuned from tags."""
    folder = tmp_path_factory.mktemp("tuned") / "pictures"
    shutil.copytree(made, folder)
    assert tune.tune(folder / ".imseek", source="tags").outcome == "switched"
    return folder


@pytest.fixture
def tuned(taught: Path, tmp_path: Path) -> Path:
    shutil.copytree(taught, tmp_path / "tuned")
    return tmp_path / "tuned" / ".imseek"


def right(root: Path, name: str) -> float:
    """The share of right ones among the first hits for a name."""
    with imseek.open(root) as collection:
        hits = collection.search(name, limit=EACH, by="image").hits
        return np.mean([hit.metadata["caption"].startswith(name) for hit in hits])


def rows(root: Path) -> dict[int, np.ndarray]:
    reader = Reader(root)
    space = reader.current.space.space_id
    return {int(i): row for s in reader.segments(space) for i, row in zip(s.ids, s.rows, strict=True)}


@pytest.mark.parametrize(("source", "loss"), [("captions", "infonce"), ("tags", "infonce"), ("tags", "sigmoid")])
def test_it_learns_what_words_mean_here(root: Path, source: str, loss: str) -> None:
    before = np.mean([right(root, name) for name in NAMES])
    report = tune.tune(root, source=source, loss=loss)  # type: ignore[arg-type]
    assert report.outcome == "switched"
    assert report.taught is not None
    assert report.taught.gain.low > 0
    assert [gain.direction for gain in report.taught.gains] == ["text to image", "image to text"]
    assert report.train + report.validation + report.held_out == ALL
    after = np.mean([right(root, name) for name in NAMES])
    assert after > before + 0.5, (before, after)
    assert maintenance.verify(root).ok


def test_the_same_seed_learns_the_same_and_another_does_not(root: Path) -> None:
    first, again, other = (tune.tune(root, source="tags", seed=s, dry_run=True) for s in (3, 3, 4))
    assert first.taught == again.taught
    assert first.taught != other.taught
    assert first.outcome == "tried"
    assert Reader(root).generation == first.generation
    assert models.names(root) == ()


def test_the_new_space_is_the_old_one_through_the_adapter(root: Path) -> None:
    before = rows(root)
    assert tune.tune(root, source="tags", name="ours").outcome == "switched"
    model = models.find(root, "ours")
    assert model is not None
    adapter = Adapter.of(model.arrays)
    after = rows(root)
    assert after.keys() == before.keys()
    for image_id, row in before.items():
        assert after[image_id] == pytest.approx(adapter(row[None])[0], abs=1e-3)
    space = Reader(root).current.space
    assert space.encoder == "adapter:ours+fake"
    assert space.fingerprint == adapter.fingerprint(load_encoder(root, _kept(root), ("text",)).fingerprint())
    assert model.facts["fingerprint"] == _kept(root).fingerprint
    assert model.facts["helps"] is True


def _kept(root: Path) -> imseek.SpaceInfo:
    with imseek.open(root) as collection:
        (other,) = collection.info().other_spaces
    assert other.state == "kept"
    return other.space


def test_random_captions_are_refused_and_change_nothing(root: Path) -> None:
    words = np.random.default_rng(0).permutation(ALL).tolist()
    with Writer(root, "test") as writer:
        tags.put(writer, {(image_id, f"nonsense{n % 9}"): "test" for image_id, n in enumerate(words)})
        gone = [(i, tag) for i, of in _tags(root).items() for tag in of if tag in NAMES]
        writer.apply(lambda connection, generation: tags.end_tags(connection, generation, gone))
    generation, before = Reader(root).generation, rows(root)
    report = tune.tune(root, source="tags")
    assert report.outcome == "refused"
    assert report.taught is not None
    assert not report.taught.helps
    assert (report.space_id, report.replaced) == (None, None)
    assert Reader(root).generation == generation
    assert models.names(root) == ()
    assert rows(root).keys() == before.keys()


def _tags(root: Path) -> dict[int, tuple[str, ...]]:
    with imseek.open(root) as collection:
        return {i: collection.get(i).tags for i in range(ALL)}


def test_new_pictures_go_through_the_adapter(tuned: Path) -> None:
    draw(tuned.parent / "new.png", NAMES["flim"], 1000, "flim number1000")
    with imseek.open(tuned) as collection:
        assert collection.index().added == 1
        (found,) = [hit for hit in collection.search("flim", limit=100).hits if hit.image_id >= ALL]
        space = Reader(tuned).current.space
        encoder = load_encoder(tuned, space, ("image",))
        pixels = np.asarray(Image.open(tuned.parent / "new.png"))
        expected = encoder.encode_images(encoder.prepare(pixels)[None])[0]
        assert rows(tuned)[found.image_id] == pytest.approx(expected, abs=1e-3)
        assert collection.search(tuned.parent / "new.png", limit=1).hits[0].image_id == found.image_id


def test_back_and_forth_without_reading_a_picture(tuned: Path) -> None:
    with_adapter = rows(tuned)
    for path in tuned.parent.glob("*.png"):
        path.rename(path.with_suffix(".away"))
    report = tune.back(tuned)
    assert (report.outcome, report.encoder, report.encoded) == ("switched", "fake", 0)
    assert Reader(tuned).current.space.encoder == "fake"
    assert not np.array_equal(rows(tuned)[0], with_adapter[0])
    assert tune.use(tuned).outcome == "switched"
    assert all(np.array_equal(row, with_adapter[i]) for i, row in rows(tuned).items())
    assert tune.use(tuned).outcome == "already"
    assert maintenance.verify(tuned).ok


def test_back_and_forth_with_pictures_that_came_meanwhile(tuned: Path) -> None:
    draw(tuned.parent / "later.png", NAMES["zorp"], 2000)
    with imseek.open(tuned) as collection:
        collection.index()
    report = tune.back(tuned)
    assert (report.outcome, report.encoder, report.encoded) == ("switched", "fake", 1)
    draw(tuned.parent / "last.png", NAMES["quux"], 2001)
    with imseek.open(tuned) as collection:
        collection.index()
    for path in tuned.parent.glob("*.png"):
        path.rename(path.with_suffix(".away"))
    assert tune.use(tuned).outcome == "switched"
    assert len(rows(tuned)) == ALL + 2
    model = models.find(tuned, "tuned")
    assert model is not None
    kept = {i: row for i, row in rows(tuned).items() if i >= ALL}
    assert all(np.linalg.norm(row.astype(np.float32)) == pytest.approx(1, abs=1e-2) for row in kept.values())
    assert maintenance.verify(tuned).ok


def test_several_spaces_keep_their_order(root: Path) -> None:
    maintenance.reencode(root, "fake:32", add=True)
    assert tune.tune(root, source="tags").outcome == "switched"
    assert [s.encoder for s in Reader(root).current.spaces] == ["adapter:tuned+fake", "fake:32"]
    draw(root.parent / "new.png", NAMES["brol"], 3000)
    with imseek.open(root) as collection:
        collection.index()
        assert {share.encoder for share in collection.search(0, limit=5).spaces} == {
            "adapter:tuned+fake",
            "fake:32",
        }
        assert len(collection.search("brol").spaces) == 1
    assert tune.back(root).outcome == "switched"
    assert [s.encoder for s in Reader(root).current.spaces] == ["fake", "fake:32"]


def test_captions_that_are_embedded(root: Path) -> None:
    maintenance.embed_captions(root)
    report = tune.tune(root)
    assert (report.source, report.outcome) == ("captions", "switched")
    assert "maintain --captions" in report.notes[-1]
    with imseek.open(root) as collection:
        (hit,) = collection.search("flim number2", by="caption", limit=1).hits
        assert hit.metadata["caption"] == "flim number2"
        with pytest.raises(QueryError):
            imseek.captions.summary(root)
        draw(root.parent / "new.png", NAMES["flim"], 999, "flim number999")
        collection.index()
        assert maintenance.embed_captions(root).outcome == "switched"
        (hit,) = collection.search("flim number999", by="caption", limit=1).hits
        assert hit.metadata["caption"] == "flim number999"
    agreement = imseek.captions.summary(root)
    assert (agreement.captions, agreement.encoder) == (ALL + 1, "adapter:tuned+fake")
    assert maintenance.verify(root).ok


def test_duplicates_are_found_behind_an_adapter(tuned: Path) -> None:
    shutil.copy(tuned.parent / "003.png", tuned.parent / "copy.png")
    Image.open(tuned.parent / "004.png").resize((48, 48)).save(tuned.parent / "larger.png")
    with imseek.open(tuned) as collection:
        collection.index()
        report = imseek.duplicates.find(collection)
    names = [sorted(Path(m.place.display).name for m in g.members) for g in report.groups]
    assert ["003.png", "copy.png"] in names


def test_reencoding_and_dropping(tuned: Path) -> None:
    report = maintenance.reencode(tuned, "fake:32")
    assert report.outcome == "switched"
    assert models.names(tuned) == ("tuned",)
    with Writer(tuned, "test") as writer:
        with pytest.raises(UsageError, match="space 1"):
            model_files.drop(writer, "tuned")
        with pytest.raises(UsageError, match="space 1"):
            model_files.put(writer, Model("tuned", "probe"))
    maintenance.purge(tuned)
    assert models.names(tuned) == ("tuned",)
    with pytest.raises(UsageError, match="fake:32 is searched"):
        tune.use(tuned)
    maintenance.drop_space(tuned, 1)
    assert models.names(tuned) == ()
    assert maintenance.verify(tuned).ok
    with pytest.raises(UsageError, match="no adapter 'tuned'"):
        tune.use(tuned)


def test_purge_keeps_what_is_searched(tuned: Path) -> None:
    (tuned.parent / "000.png").unlink()
    with imseek.open(tuned) as collection:
        collection.index()
    maintenance.purge(tuned)
    assert len(rows(tuned)) == ALL - 1
    assert right(tuned, "zorp") > 0.8
    assert tune.back(tuned).outcome == "switched"


def test_repair_without_a_catalog(tuned: Path) -> None:
    before = rows(tuned)
    for path in [tuned / "catalog.sqlite", *tuned.glob("catalog.bak.*")]:
        path.write_bytes(bytes(4096))
    assert maintenance.repair(tuned).after.ok
    assert models.names(tuned) == ("tuned",)
    assert all(np.array_equal(row, before[i]) for i, row in rows(tuned).items())
    assert right(tuned, "zorp") > 0.8


def test_a_damaged_adapter_is_named_and_there_is_a_way_back(tuned: Path) -> None:
    (path,) = (tuned / "models").glob("tuned.*.json")
    path.write_bytes(path.read_bytes().replace(b"adapter", b"adaptor", 1))
    assert [problem.kind for problem in maintenance.verify(tuned).problems] == ["model"]
    with imseek.open(tuned) as collection, pytest.raises(CorruptCollectionError):
        collection.search("zorp")
    report = maintenance.repair(tuned)
    assert report.after.ok
    assert "imseek tune --back" in report.lost[0]
    with (
        imseek.open(tuned) as collection,
        pytest.raises(CorruptCollectionError, match="is not there") as error,
    ):
        collection.search("zorp")
    assert "--back" in str(error.value.hint)
    assert tune.back(tuned).outcome == "switched"
    assert len(rows(tuned)) == ALL


def test_stopped_nothing_has_happened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = Reader(root).generation
    stop = StopRequest()
    report = tune.tune(root, source="tags", stop=stop, progress=lambda now: stop.set())
    assert (report.outcome, report.taught) == ("interrupted", None)
    stop = StopRequest()
    monkeypatch.setattr("imseek.data.writing.adapter_spaces.BLOCK", 8)
    late = tune.tune(
        root, source="tags", stop=stop, progress=lambda now: stop.set() if now.phase == "vectors" else None
    )
    assert late.outcome == "interrupted"
    assert late.taught is not None
    assert Reader(root).generation == generation
    assert models.names(root) == ()
    assert tune.tune(root, source="tags").outcome == "switched"


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """Eighty pairs that look different to the encoder: a motif in two different lights, judged the same."""
    folder = tmp_path / "judged"
    folder.mkdir()
    generator = np.random.default_rng(5)
    for n in range(80):
        motif = generator.integers(-40, 40, (8, 8, 3))
        for side in "ab":
            pixels = motif + generator.integers(40, 216, 3)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{n:02}{side}.png")
    with imseek.create(folder / ".imseek", encoder="fake", here=True) as collection:
        collection.index([folder])
        images = [collection.get(i) for i in range(160)]
        of = {Path(one.place.display).name: one.content_hash for one in images if one.place}
    with Writer(folder / ".imseek", "test") as writer:
        said = [
            duplicate_judgements.make_judgement(of[f"{n:02}a.png"], of[f"{n:02}b.png"], "same", "test")
            for n in range(80)
        ]
        said += [
            duplicate_judgements.make_judgement(of[f"{n:02}a.png"], of[f"{n + 1:02}b.png"], "different", "test")
            for n in range(79)
        ]
        duplicate_judgements.record(writer, said)
    return folder / ".imseek"


def test_judgements_teach_what_is_alike(judged: Path) -> None:
    report = tune.tune(judged)
    assert (report.source, report.outcome) == ("judgements", "switched")
    assert report.pairs == 160
    assert report.taught is not None
    (gain,) = report.taught.gains
    assert gain.direction == "image to image"
    assert gain.after.r1 > gain.before.r1
    assert maintenance.verify(judged).ok


def test_what_cannot_be_learned_from(root: Path, judged: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no two images"):
        tune.tune(root, source="judgements")
    with pytest.raises(UsageError, match="no image of this collection has a caption"):
        tune.tune(judged, source="captions")
    with pytest.raises(UsageError, match="no image of this collection has a tag"):
        tune.tune(judged, source="tags")
    with pytest.raises(UsageError, match="is not a loss"):
        tune.tune(root, loss="hinge")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="nothing is learned from"):
        tune.tune(root, source="dreams")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot be a name"):
        tune.tune(root, name="No Name")
    with Writer(root, "test") as writer:
        model_files.put(writer, Model("mine", "probe"))
    with pytest.raises(UsageError, match="already"):
        tune.tune(root, name="mine")
    with pytest.raises(UsageError, match="nothing to go back from"):
        tune.back(root)
    imseek.create(tmp_path / "empty", encoder="fake").close()
    with pytest.raises(UsageError, match="no captions, tags or judgements"):
        tune.tune(tmp_path / "empty")


def test_too_few_and_all_the_same(tmp_path: Path) -> None:
    for n in range(10):
        draw(tmp_path / f"{n}.png", NAMES["zorp"], n, f"number {n}")
    with imseek.create(tmp_path / ".imseek", encoder="fake", here=True) as collection:
        collection.index([tmp_path])
    with pytest.raises(UsageError, match="needs 60 pictures with captions of their own, and found 10"):
        tune.tune(tmp_path / ".imseek")
    for n in range(80):
        draw(tmp_path / f"{n}.png", NAMES["zorp"], n, "a picture")
    with imseek.open(tmp_path / ".imseek") as collection:
        collection.index()
    with pytest.raises(UsageError, match="all captions are the same"):
        tune.tune(tmp_path / ".imseek")


def test_a_collection_that_is_written_and_one_that_is_tuned(root: Path, tuned: Path) -> None:
    with Writer(root, "index"), pytest.raises(LockedError):
        tune.tune(root, source="tags")
    with pytest.raises(UsageError, match="tuned already, by tuned") as error:
        tune.tune(tuned, name="other")
    assert "--back" in str(error.value.hint)
    with pytest.raises(UnknownEncoderError, match="tuned is an adapter of a collection"):
        imseek.create(root.parent / "other", encoder="adapter:tuned+fake")


def test_rows_that_are_not_finite_are_passed_over(root: Path) -> None:
    (path,) = (root / "spaces/0/img_emb").glob("*.npy")
    stored = np.load(path)
    stored[7] = np.nan
    np.save(path, stored)
    report = tune.tune(root, source="tags", dry_run=True)
    assert report.outcome == "tried"
    assert report.train + report.validation + report.held_out == ALL - 1
    assert "1 images have no finite vector" in report.notes[0]


def test_copies_and_pictures_of_one_caption_are_on_one_side(root: Path) -> None:
    for n in range(20):
        shutil.copy(root.parent / f"{n:03}.png", root.parent / f"copy{n}.png")
        Image.open(root.parent / f"{n + 20:03}.png").resize((48, 48), Image.Resampling.NEAREST).save(
            root.parent / f"larger{n}.png"
        )
        draw(root.parent / f"alike{n}.png", NAMES["zorp"], 5000 + n, f"the same text {n % 4}")
    with imseek.open(root) as collection:
        collection.index()
        where = {i: Path(p.display).stem for i, p in Reader(root).places(list(rows(root))).items()}
    with Writer(root, "test") as writer:
        tags.put(writer, {(i, "all of them"): "test" for i in where})
    reader = Reader(root)
    found = examples.read_examples(reader, "tags", lambda: load_encoder(root, reader.current.space, ("text",)), 0)
    split = data_split.split_examples(reader, found, 0)
    side = {
        where[int(found.ids[at])]: n
        for n, part in enumerate((split.train, split.validation, split.held_out))
        for at in part
    }
    assert len(side) == ALL + 60
    assert {side[f"{n:03}"] == side[f"copy{n}"] for n in range(20)} == {True}
    assert {side[f"{n + 20:03}"] == side[f"larger{n}"] for n in range(20)} == {True}
    captioned = examples.read_examples(
        reader, "captions", lambda: load_encoder(root, reader.current.space, ("text",)), 0
    )
    groups = data_split.split_examples(reader, captioned, 0).groups
    of = {where[int(i)]: int(group) for i, group in zip(captioned.ids, groups, strict=True)}
    assert [of[f"alike{n}"] for n in range(4)] == [of[f"alike{n + 4}"] for n in range(4)]
    assert len({of[f"alike{n}"] for n in range(4)}) == 4


def test_a_collection_that_is_open_goes_over_to_the_new_space(root: Path) -> None:
    """As `imseek watch` has it open all the while."""
    with imseek.open(root) as collection:
        assert collection.search("zorp").encoder == "fake"
        assert tune.tune(root, source="tags").outcome == "switched"
        draw(root.parent / "new.png", NAMES["zorp"], 6000)
        assert collection.index().added == 1
        found = collection.search(root.parent / "new.png", limit=1)
        assert (found.encoder, found.hits[0].image_id) == ("adapter:tuned+fake", max(rows(root)))
        assert collection.search("zorp").encoder == "adapter:tuned+fake"
        assert tune.back(root).outcome == "switched"
        assert collection.search(root.parent / "new.png", limit=1).hits[0].score == pytest.approx(1, abs=1e-3)
    assert maintenance.verify(root).ok
