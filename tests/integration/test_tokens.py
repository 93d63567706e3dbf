"""``imseek tune --reranker``, ``maintain --tokens`` and ``search --rerank tokens``: what they store, and bad input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import imseek
from imseek import backup, maintenance, tune
from imseek.data import layout
from imseek.data.catalog import model_files, models, shard_catalog
from imseek.data.catalog.models import Model
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, EncoderError, QueryError, UsageError
from imseek.indexer import token_space
from imseek.progress import StopRequest
from imseek.search.token_reranker import TokenReranker
from imseek.tune import reranker
from imseek.types.token_spaces import KIND, NAME
from imseek.ui.cli import main
from imseek.ui.http.app import make_app
from imseek.ui.server.settings import Settings

#: What colours are called here: words that the fake encoder does not know.
NAMES = {
    "zorp": (255, 0, 0), "quux": (0, 255, 0), "flim": (0, 0, 255), "brol": (255, 255, 0), "tarn": (0, 255, 255),
    "mive": (255, 0, 255), "doke": (0, 0, 0), "wexa": (255, 255, 255),
}  # fmt: skip
COUNT = 240


def draw(folder: Path, n: int, caption: str | None = None) -> None:
    """Cells of two colours in random places, which a mean over all cells hardly tells apart, with noise."""
    generator = np.random.default_rng(n)
    two = generator.choice(list(NAMES), 2, replace=False).tolist()
    cells = np.array([NAMES[name] for name in two])[generator.integers(0, 2, (8, 8))]
    pixels = np.clip(cells.repeat(4, 0).repeat(4, 1) + generator.integers(-60, 60, (32, 32, 3)), 0, 255)
    Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{n:03}.png")
    (folder / f"{n:03}.txt").write_text(" ".join(two) + f" number{n}" if caption is None else caption)


def make(home: Path, count: int, caption: str | None = None, encoder: str = "fake") -> Path:
    folder = home / "pictures"
    folder.mkdir(parents=True)
    for n in range(count):
        draw(folder, n, caption)
    with imseek.create(folder / ".imseek", encoder=encoder, here=True) as collection:
        collection.index([folder])
    return folder


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection with a model and tokens, and what was said of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reranker, "STEPS", 120)
        folder = make(tmp_path_factory.mktemp("tokens"), COUNT)
        assert tune.train_reranker(folder / ".imseek").outcome == "stored"
    said: list[str] = []
    report = maintenance.make_tokens(folder / ".imseek", notify=said.append)
    assert (report.outcome, report.encoded, report.missing, report.bytes_each) == ("made", COUNT, (), 2 * 64 * 64)
    assert said == [f"tokens take 8 kB a picture: {2 * 64 * 64 * COUNT / 1e6:.1f} MB for {COUNT} pictures"]
    return folder


@pytest.fixture
def root(taught: Path, tmp_path: Path) -> Path:
    shutil.copytree(taught, tmp_path / "pictures")
    with imseek.open(tmp_path / "pictures" / ".imseek") as collection:  # Its source has moved.
        collection.index([tmp_path / "pictures"])
    return tmp_path / "pictures" / ".imseek"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures, one of them with a caption, no model."""
    folder = make(tmp_path_factory.mktemp("plain"), 5, "")
    (folder / "003.txt").write_text("zorp")
    with imseek.open(folder / ".imseek") as collection:
        collection.index([folder])
    return folder / ".imseek"


def right(root: Path, rerank: str | None) -> float:
    """The share of first hits, for pairs of colours, that have both."""
    queries = [f"{a} {b}" for a in NAMES for b in NAMES if a < b]
    with imseek.open(root) as collection:
        found = [collection.search(query, by="image", limit=1, rerank=rerank)[0] for query in queries]
    captions = [set(hit.metadata["caption"].split()) for hit in found]
    return float(np.mean([set(query.split()) <= caption for query, caption in zip(queries, captions, strict=True)]))


def test_hits_are_ordered_by_tokens(taught: Path) -> None:
    root = taught / ".imseek"
    assert right(root, None) < 0.4
    assert right(root, "tokens") > right(root, None) + 0.2
    with imseek.open(root) as collection:
        before, after = (collection.search("zorp flim", by="image", limit=200, rerank=one) for one in (None, "tokens"))
    assert {hit.image_id: hit.score for hit in before} == {hit.image_id: hit.score for hit in after}
    assert after.notes[-1] == "the best 100 are in the order of the reranker tokens 1"
    assert after[0].matches[0].field == "reranker"


def test_servers_and_commands_know_it(taught: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = taught / ".imseek"
    with imseek.open(root) as collection:
        wanted = [hit.image_id for hit in collection.search("zorp flim", rerank="tokens", limit=5)]
    app = make_app(Settings((("colours", root),), token="a-token-for-tests-0123456789", rate=0))
    with TestClient(app, base_url="http://localhost:1234") as client:
        body = {"text": "zorp flim", "rerank": "tokens", "limit": 5}
        found = client.post("/collections/colours/search", json=body).json()
    assert [hit["image_id"] for hit in found["hits"]] == wanted
    assert main(["search", "zorp flim", "-c", str(root), "--rerank", "tokens", "-n", "5", "--json"]) == 0
    assert [hit["image_id"] for hit in json.loads(capsys.readouterr().out)["hits"]] == wanted
    assert main(["maintain", "--tokens", "-c", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"]["outcome"] == "already"
    assert main(["info", "-c", str(root)]) == 0
    assert f"for --rerank tokens: {COUNT} images" in " ".join(capsys.readouterr().out.split())


def test_pictures_that_came_later_get_tokens_of_their_own(root: Path) -> None:
    draw(root.parent, COUNT)
    with imseek.open(root) as collection:
        collection.index([root.parent])
        found = collection.search("zorp flim", by="image", limit=COUNT + 1, rerank="tokens", rerank_limit=COUNT + 1)
        assert len(found) == COUNT + 1
    report = maintenance.make_tokens(root)
    assert (report.outcome, report.before, report.encoded) == ("made", COUNT, 1)


def test_tokens_are_verified_repaired_backed_up_and_purged(root: Path, tmp_path: Path) -> None:
    before = right(root, "tokens")
    archive = tmp_path / "archive.tar"
    backup.write(root, archive)
    backup.restore(archive, tmp_path / "restored")
    assert right(tmp_path / "restored", "tokens") == before
    space = Reader(root).unused_space(models_fingerprint(root))
    assert space is not None
    (path,) = (root / layout.SPACES / str(space[0]) / "img_emb").glob("*.npy")
    path.write_bytes(path.read_bytes()[:-9] + b"\0damaged\0")
    assert [problem.file for problem in maintenance.verify(root).problems] == [str(path.relative_to(root))]
    assert maintenance.repair(root).after.ok
    with imseek.open(root) as collection:
        assert collection.search("zorp", rerank="tokens").notes[-1].startswith("no hit has tokens")
    assert maintenance.make_tokens(root).encoded == COUNT
    assert right(root, "tokens") == before
    (root.parent / "007.png").unlink()
    with imseek.open(root) as collection:
        collection.index([root.parent])
    maintenance.purge(root)
    (path,) = path.parent.glob("*.npy")
    assert len(np.load(path)) == COUNT - 1
    assert maintenance.verify(root).ok


def models_fingerprint(root: Path) -> str:
    from imseek.encoders.token_interaction import Interaction

    model = models.find(root, NAME)
    assert model is not None
    return Interaction.of(model.arrays).fingerprint(Reader(root).current.space.fingerprint)


def test_an_interrupted_run_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (space_id, _) = Reader(root).unused_space(models_fingerprint(root)) or (0, 0)
    maintenance.drop_space(root, space_id)
    monkeypatch.setattr("imseek.data.writing.space_build.COMMIT_ROWS", 32)
    stop = StopRequest()
    first = maintenance.make_tokens(root, stop=stop, progress=lambda now: stop.set())
    assert first.outcome == "interrupted"
    assert 0 < first.encoded < COUNT
    second = maintenance.make_tokens(root)
    assert (second.outcome, second.before) == ("made", first.encoded)
    assert first.encoded + second.encoded == COUNT


def test_a_picture_that_is_gone_holds_up_no_other(root: Path, taught: Path) -> None:
    (space_id, _) = Reader(root).unused_space(models_fingerprint(root)) or (0, 0)
    maintenance.drop_space(root, space_id)
    (root.parent / "011.png").write_bytes(b"no picture")
    sound = (taught / "011.png").read_bytes()
    report = maintenance.make_tokens(root)
    assert (report.outcome, report.encoded, len(report.missing)) == ("made", COUNT - 1, 1)
    with imseek.open(root) as collection:
        found = collection.search("zorp", by="image", limit=COUNT, rerank="tokens", rerank_limit=COUNT)
    assert len(found) == COUNT
    again = maintenance.make_tokens(root)
    assert (again.outcome, again.before, again.encoded, len(again.missing)) == ("made", COUNT - 1, 0, 1)
    # It is there again, and so are its tokens, in a file that is whole.
    (root.parent / "011.png").write_bytes(sound)
    last = maintenance.make_tokens(root)
    assert (last.outcome, last.before, last.encoded, last.missing) == ("made", COUNT - 1, 1, ())
    assert maintenance.make_tokens(root).outcome == "already"
    assert all(row.any() for path in token_files(root) for row in np.load(path))
    assert maintenance.verify(root).ok
    assert right(root, "tokens") == right(taught / ".imseek", "tokens")


def test_a_run_that_dies_while_it_replaces_a_file_loses_nothing_for_good(
    root: Path, taught: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root.parent / "011.png").write_bytes(b"no picture")
    (path,) = token_files(root)
    maintenance.drop_space(root, int(path.parent.parent.name))
    maintenance.make_tokens(root)
    shutil.copy(taught / "011.png", root.parent)

    def die(folders: object, connection: object, generation: int, shard_id: int, files: Sequence[object]) -> None:
        publish(folders, connection, generation, shard_id, files)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    publish = shard_catalog.publish
    with monkeypatch.context() as patch:
        patch.setattr(shard_catalog, "publish", die)
        with pytest.raises(KeyboardInterrupt):
            maintenance.make_tokens(root)
    # The new file is there, and the catalog has the checksum of the old one.
    with imseek.open(root) as collection:
        assert len(collection.search("zorp", by="image", limit=9, rerank="tokens")) == 9
    assert maintenance.repair(root).after.ok
    assert maintenance.make_tokens(root).missing == ()
    assert maintenance.verify(root).ok
    assert right(root, "tokens") == right(taught / ".imseek", "tokens")


def token_files(root: Path) -> list[Path]:
    found = Reader(root).unused_space(models_fingerprint(root))
    return [] if found is None else sorted((root / layout.SPACES / str(found[0]) / "img_emb").glob("*.npy"))


def test_a_source_that_is_not_mounted_costs_no_tokens(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    draw(disk, COUNT)
    with imseek.open(root) as collection:
        collection.index([disk])
    disk.rename(tmp_path / "unmounted")
    assert main(["maintain", "--tokens", "-c", str(root)]) == 1
    assert "not finished: 0 pictures got tokens, 1 could not be read" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "unmounted").rename(disk)
    report = maintenance.make_tokens(root)
    assert (report.outcome, report.before, report.encoded, report.missing) == ("made", COUNT, 1, ())


def test_an_encoder_that_fails_once_costs_no_tokens(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (space_id, _) = Reader(root).unused_space(models_fingerprint(root)) or (0, 0)
    maintenance.drop_space(root, space_id)
    encode = token_space.TokenEncoder.encode_images

    def fail(self: token_space.TokenEncoder, batch: np.ndarray) -> np.ndarray:
        calls.append(len(batch))
        if len(calls) <= 33:  # A batch, and each of its pictures alone.
            raise RuntimeError("out of memory")
        return encode(self, batch)

    calls: list[int] = []
    monkeypatch.setattr(token_space.TokenEncoder, "encode_images", fail)
    first = maintenance.make_tokens(root)
    assert (first.outcome, token_files(root)) == ("refused", [])
    second = maintenance.make_tokens(root)
    assert (second.outcome, second.before, second.encoded) == ("made", first.encoded, len(first.missing))


def test_zeros_are_not_copied_to_a_picture_of_the_same_content(root: Path, taught: Path, tmp_path: Path) -> None:
    (root.parent / "011.png").write_bytes(b"no picture")
    (path,) = token_files(root)
    maintenance.drop_space(root, int(path.parent.parent.name))
    assert len(maintenance.make_tokens(root).missing) == 1
    # Its content comes again, as another picture.
    (tmp_path / "more").mkdir()
    shutil.copy(taught / "011.png", tmp_path / "more")
    with imseek.open(root) as collection:
        collection.index([tmp_path / "more"])
    report = maintenance.make_tokens(root)
    assert (report.encoded, report.copied, report.missing) == (1, 1, ())
    assert all(row.any() for path in token_files(root) for row in np.load(path))


def test_it_is_refused_where_it_does_not_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reranker, "STEPS", 20)
    folder = make(tmp_path, 70)
    captions = [path.read_text() for path in sorted(folder.glob("*.txt"))]
    for path, caption in zip(sorted(folder.glob("*.txt")), captions[35:] + captions[:35], strict=True):
        path.write_text(caption)
    root = folder / ".imseek"
    with imseek.open(root) as collection:
        collection.index([folder])
    assert main(["tune", "--reranker", "-c", str(root)]) == 1
    out = capsys.readouterr().out
    assert "refused: on held-out captions it does not help beyond chance, so nothing was changed" in out
    assert models.find(root, NAME) is None
    assert main(["tune", "--reranker", "-c", str(root), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reranker"]["outcome"] == "refused"


def test_too_few_captions_are_refused(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="all captions are the same"):
        tune.train_reranker(plain)
    folder = make(tmp_path, 2, "")
    with pytest.raises(UsageError, match="has a caption"):
        tune.train_reranker(folder / ".imseek")


def test_without_a_model_there_are_no_tokens(plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="no model that makes tokens"):
        maintenance.make_tokens(plain)
    with imseek.open(plain) as collection, pytest.raises(QueryError, match="has no tokens"):
        collection.search("zorp", rerank="tokens")
    assert main(["maintain", "--no-tokens", "-c", str(plain)]) == 0
    assert capsys.readouterr().out.strip().endswith("nothing to delete")


def test_an_encoder_of_whole_pictures_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path, 2)
    with imseek.open(folder / ".imseek") as collection, Writer(collection.path, "test") as writer:
        info = writer.current().space
    model = Model(NAME, KIND, {"version": 1, "weight": 1.0, "encoder": "fake", "fingerprint": info.fingerprint}, {})

    class Whole:
        info = type("Info", (), {"reference": "whole"})

    with pytest.raises(EncoderError, match="whole pictures only"):
        token_space.TokenEncoder(Whole(), type("M", (), {"shape": (64, 64)})())  # type: ignore[arg-type]
    with Writer(folder / ".imseek", "test") as writer:
        model_files.put(writer, model)
    with pytest.raises(CorruptCollectionError, match="it lacks queries"):
        maintenance.make_tokens(folder / ".imseek")


def test_several_collections_are_searched_one_at_a_time(taught: Path, plain: Path) -> None:
    with (
        imseek.open(taught / ".imseek") as one,
        imseek.open(plain) as other,
        pytest.raises(QueryError, match="one at a time"),
    ):
        imseek.search_all([one, other], "zorp", rerank="tokens")


@pytest.mark.parametrize("damage", ["a bit", "arrays", "another encoder", "a later version", "facts"])
def test_a_model_that_cannot_be_used_says_so(root: Path, damage: str, tmp_path: Path) -> None:
    model = models.find(root, NAME)
    assert model is not None
    facts, arrays = dict(model.facts), dict(model.arrays)
    error: type[Exception] = CorruptCollectionError
    if damage == "a bit":
        (file,) = (root / layout.MODELS).glob("tokens.*.json")
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "arrays":
        arrays["values"] = arrays["values"][:, 1:]
    elif damage == "another encoder":
        facts["fingerprint"], error = "0" * 64, UsageError
    elif damage == "a later version":
        facts["version"], error = 2, UsageError
    else:
        del facts["weight"]
    if damage != "a bit":
        with Writer(root, "test") as writer:
            model_files.put(writer, Model(NAME, KIND, facts, arrays))
    with imseek.open(root) as collection, pytest.raises(error):
        collection.search("zorp", rerank="tokens")
    with pytest.raises(error):
        maintenance.make_tokens(root)
    assert maintenance.forget_tokens(root)
    assert models.find(root, NAME) is None
    assert not any(one.space.encoder.startswith("tokens:") for one in imseek.open(root).info().other_spaces)
    assert not maintenance.forget_tokens(root)


@pytest.mark.parametrize("name", ["keys", "positions", "text"])
def test_a_model_of_other_features_is_refused(root: Path, name: str) -> None:
    model = models.find(root, NAME)
    assert model is not None
    arrays = dict(model.arrays)
    for one in {"keys": ("keys", "values"), "positions": ("positions",), "text": ("text",)}[name]:
        arrays[one] = np.concatenate([arrays[one], arrays[one]], axis=int(name == "positions"))
    with Writer(root, "test") as writer:
        model_files.put(writer, Model(NAME, KIND, model.facts, arrays))
    with imseek.open(root) as collection, pytest.raises(CorruptCollectionError, match="is not for"):
        collection.search("zorp", rerank="tokens") if name == "text" else maintenance.make_tokens(root)


def test_tokens_of_an_earlier_model_go_even_if_the_last_run_was_killed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models.find(root, NAME)
    assert model is not None
    with Writer(root, "test") as writer:
        model_files.put(
            writer, Model(NAME, KIND, model.facts, {**model.arrays, "queries": model.arrays["queries"] + 1})
        )

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(token_space, "_drop_spaces", die)
        with pytest.raises(KeyboardInterrupt):
            maintenance.make_tokens(root)
    with imseek.open(root) as collection:
        assert len(collection.info().other_spaces) == 2
    assert maintenance.make_tokens(root).outcome == "already"
    with imseek.open(root) as collection:
        assert len(collection.info().other_spaces) == 1


def test_a_purge_takes_the_model_that_learned_from_what_is_purged(root: Path) -> None:
    model = models.find(root, NAME)
    assert model is not None
    with imseek.open(root) as collection:
        names = {hit.image_id: hit.path for hit in collection.search("zorp", limit=COUNT)}
        learned = model.arrays["learned"].tolist()
        assert 0 < len(learned) < COUNT
        held_out = sorted(names.keys() - set(learned))
        for image_id, is_there in ((held_out[0], True), (learned[0], False)):
            Path(str(names[image_id])).unlink()
            collection.index([root.parent])
            maintenance.purge(root)
            assert (models.find(root, NAME) is not None) == is_there


def test_a_probe_of_that_name_is_left_alone(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain.parent, tmp_path / "copy")
    root = tmp_path / "copy" / ".imseek"
    with Writer(root, "test") as writer:
        model_files.put(writer, Model(NAME, "probe", {}, {}))
    with pytest.raises(UsageError, match="a probe of this collection has the name"):
        tune.train_reranker(root)
    assert not maintenance.forget_tokens(root)
    assert models.find(root, NAME) is not None
    (file,) = (root / layout.MODELS).glob("tokens.*.json")
    file.write_bytes(file.read_bytes().replace(b'"created": "2', b'"created": "3'))
    with pytest.raises(CorruptCollectionError):
        models.find(root, NAME)
    assert not maintenance.forget_tokens(root)
    assert file.exists()


def test_a_copy_of_a_collection_has_a_model_of_its_own(root: Path, tmp_path: Path) -> None:
    model = models.find(root, NAME)
    assert model is not None
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    for path, weight in ((root, 1.0), (copy, 2.0)):
        with Writer(path, "test") as writer:
            model_files.put(writer, Model(NAME, KIND, {**model.facts, "weight": weight}, model.arrays))
    readers = [Reader(root), Reader(copy)]
    assert readers[0].generation == readers[1].generation
    shared = TokenReranker()
    assert [shared._model(reader).weight for reader in readers] == [1.0, 2.0]


@pytest.mark.parametrize("options", [["--from", "tags"], ["--back"], ["--loss", "sigmoid"], ["--name", "other"]])
def test_options_of_an_adapter_do_not_go_with_it(
    plain: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "--reranker", *options, "-c", str(plain)]) == 2
    assert "reranker" in capsys.readouterr().err
