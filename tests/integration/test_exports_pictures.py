"""Exports that hold pictures: each byte for byte, or told with its reason; read back by `datasets` and by imseek."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shutil
import tarfile
import threading
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import imseek
import imseek.media
from imseek import export, tags
from imseek.data.reader import Reader
from imseek.errors import CorruptCollectionError, StorageError, UsageError
from imseek.exports.results import ExportOptions
from imseek.types.indexing_runs import SourceOptions

pytestmark = pytest.mark.full_size


@pytest.fixture
def root(tmp_path: Path, photos: Path) -> Path:
    """Eight photographs: six files, one with a caption, and two in an archive."""
    (photos / "chelsea.txt").write_text("a cat")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for path in (photos / "below").iterdir():
            archive.write(path, path.name)
    shutil.rmtree(photos / "below")
    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        collection.index([photos, tmp_path / "two.zip"])
    return tmp_path / "made"


def images_of(root: Path) -> dict[int, imseek.Image]:
    with imseek.open(root) as collection:
        return collection.get_many(range(100))


def id_of(root: Path, name: str) -> int:
    return next(i for i, image in images_of(root).items() if image.place.path.endswith(name.encode()))


def hashes(root: Path) -> Counter[str]:
    return Counter(image.content_hash for image in images_of(root).values())


def indexed_again(at: Path, source: Path) -> Path:
    with imseek.create(at, encoder="fake") as collection:
        report = collection.index([source])
    assert report.failures == ()
    return at


def members(tar: Path) -> dict[str, bytes]:
    with tarfile.open(tar) as file:
        return {info.name: file.extractfile(info).read() for info in file}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def loaded(tmp_path: Path, *arguments: object, **options: object):
    """The rows of the only split, pictures as they are."""
    import datasets

    datasets.disable_progress_bars()
    made = datasets.load_dataset(*map(str, arguments), cache_dir=str(tmp_path / "cache"), **options)
    assert list(made) == ["train"]
    rows = made["train"]
    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


def data_of(cell: dict) -> bytes:
    return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()


class TestWebDataset:
    def test_pictures_their_json_and_captions(self, root, tmp_path) -> None:
        cat = id_of(root, "chelsea.png")
        tags.add(root, "kept", [cat])
        report = export.write(root, tmp_path / "out", format="webdataset")
        assert (report.images, report.files, report.skipped) == (8, 2, ())
        found = members(tmp_path / "out" / "00000.tar")
        images = images_of(root)
        assert [name for name in found if name.endswith(".json")] == [f"{i:09d}.json" for i in images]
        for image_id, image in images.items():
            key = f"{image_id:09d}"
            (picture,) = [n for n in found if n.startswith(key) and not n.endswith((".json", ".txt"))]
            assert picture == key + Path(os.fsdecode(image.place.path)).suffix
            assert sha256(found[picture]) == image.content_hash
            told = json.loads(found[f"{key}.json"])
            assert (told["image_id"], told["content_hash"]) == (image_id, image.content_hash)
            assert told["uri"] == image.place.uri
            assert found[f"{key}.txt"].decode() == image.metadata.get("caption", "")
        told = json.loads(found[f"{cat:09d}.json"])
        assert (told["caption"], told["tags"], told["width"]) == ("a cat", ["kept"], 451)
        assert told["phash"] == f"{images[cat].metadata['phash']:016x}"

    def test_names_end_as_the_content_says_and_cells_of_tables_go_out(self, photos, tmp_path) -> None:
        cat, cup = ((photos / name).read_bytes() for name in ("chelsea.png", "coffee.png"))
        table = pa.table({"image": [cat, cup], "caption": ["a cat", None]})
        pq.write_table(table, tmp_path / "two.parquet")
        (photos / "camera.png").rename(photos / "camera.jpg")
        with imseek.create(tmp_path / "made", encoder="fake") as collection:
            collection.index([tmp_path / "two.parquet", photos / "camera.jpg"])
        report = export.write(tmp_path / "made", tmp_path / "out", format="webdataset")
        assert report.skipped == ()
        found = members(tmp_path / "out" / "00000.tar")
        pictures = {name: data for name, data in found.items() if not name.endswith((".json", ".txt"))}
        assert {*pictures.values()} == {cat, cup, (photos / "camera.jpg").read_bytes()}
        assert {Path(name).suffix for name in pictures} == {".png"}

    def test_the_same_images_make_the_same_bytes(self, root, tmp_path) -> None:
        for name in ("a", "b"):
            export.write(root, tmp_path / name, format="webdataset")
        a, b = ((tmp_path / name / "00000.tar").read_bytes() for name in ("a", "b"))
        assert a == b

    def test_by_count_and_by_size(self, root, tmp_path) -> None:
        export.write(root, tmp_path / "n", format="webdataset", options=ExportOptions(shard_images=3))
        tars = sorted((tmp_path / "n").glob("*.tar"))
        assert [tar.name for tar in tars] == ["00000.tar", "00001.tar", "00002.tar"]
        assert [len(members(tar)) for tar in tars] == [9, 9, 6]
        limit = 1_000_000
        export.write(root, tmp_path / "s", format="webdataset", options=ExportOptions(shard_size=limit))
        tars = sorted((tmp_path / "s").glob("*.tar"))
        found = [members(tar) for tar in tars]
        assert all(tar.stat().st_size <= limit or len(m) == 3 for tar, m in zip(tars, found, strict=True))
        for m, after in itertools.pairwise(found):  # the next one had no room
            sizes = [512 + -(-len(d) // 512) * 512 for d in [*m.values(), *list(after.values())[:3]]]
            assert sum(sizes) + 1024 > limit
        assert sum(len(m) for m in found) == 24

    def test_imseek_reads_it(self, root, tmp_path) -> None:
        options = ExportOptions(shard_images=3)
        export.write(root, tmp_path / "out", format="webdataset", options=options)
        again = indexed_again(tmp_path / "again", tmp_path / "out")
        assert hashes(again) == hashes(root)
        captions = {image.metadata.get("caption") for image in images_of(again).values()}
        assert captions == {None, "a cat"}

    def test_datasets_reads_it(self, root, tmp_path) -> None:
        """With its card, pictures of all kinds; without, those that are named alike."""
        export.write(root, tmp_path / "out", format="webdataset", options=ExportOptions(shard_images=3))
        rows = loaded(tmp_path, tmp_path / "out")
        assert Counter(sha256(data_of(row["jpg"] or row["png"])) for row in rows) == hashes(root)
        told = {row["json"]["image_id"]: row["json"]["caption"] for row in rows}
        assert told[id_of(root, "chelsea.png")] == "a cat"
        report = export.write(root, tmp_path / "alike", format="webdataset", options=ExportOptions(ending=".JPG"))
        assert report.notes == ()
        rows = loaded(tmp_path, "webdataset", data_files=str(tmp_path / "alike" / "*.tar"))
        assert Counter(sha256(data_of(row["jpg"])) for row in rows) == hashes(root)

    def test_what_it_does_not_take(self, root, tmp_path) -> None:
        for ending in ("json", "txt", "a/b", ""):
            with pytest.raises(UsageError, match="is not an ending for pictures"):
                export.write(root, tmp_path / "a", format="webdataset", options=ExportOptions(ending=ending))
        with pytest.raises(UsageError, match="shard_size"):
            export.write(root, tmp_path / "a", format="imagefolder", options=ExportOptions(shard_size=10))
        assert not (tmp_path / "a").exists()

    def test_nothing_at_all(self, root, tmp_path) -> None:
        report = export.write(root, tmp_path / "none", format="webdataset", where="width < 0")
        assert (report.images, report.files) == (0, 0)


class TestMissing:
    def test_each_with_its_reason(self, root, photos, tmp_path) -> None:
        gone, changed = id_of(root, "rocket.jpg"), id_of(root, "coffee.png")
        (photos / "rocket.jpg").unlink()
        shutil.copyfile(photos / "camera.png", photos / "coffee.png")
        for name in ("webdataset", "imagefolder", "fiftyone"):
            report = export.write(root, tmp_path / name, format=name)
            assert report.images == 6
            assert {one.image_id: one.reason for one in report.skipped} == {
                gone: "vanished",
                changed: "content_changed",
            }
            assert all(one.place is not None and one.message for one in report.skipped)
        report = export.write(root, tmp_path / "projector", format="projector")
        assert (report.images, len(report.skipped)) == (8, 2)
        assert report.notes == ("points without a picture are grey: 2",)

    def test_pictures_that_only_vectors_are_known_of(self, root, photos, tmp_path) -> None:
        """There is no content to compare them with."""
        with imseek.open(root) as collection:
            hit = collection.search(photos / "coffee.png", limit=1, vectors=True)[0]
        np.save(tmp_path / "rows.npy", np.stack([np.asarray(hit.vector), np.eye(64)[0]]).astype(np.float32))
        told = [{"image_path": str(photos / "coffee.png")}, {"caption": "nowhere"}]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told))
        with imseek.create(tmp_path / "taken", encoder="fake") as collection:
            collection.index([tmp_path / "rows.npy"], source=SourceOptions(encoder="fake"))
        for name in ("imagefolder", "fiftyone"):
            report = export.write(tmp_path / "taken", tmp_path / name, format=name)
            assert report.images == 1
            assert [(one.image_id, one.reason) for one in report.skipped] == [(1, "unreadable")]
            (made,) = (tmp_path / name).glob("*/*.png")
            assert made.read_bytes() == (photos / "coffee.png").read_bytes()

    def test_interrupted_it_leaves_nothing(self, root, tmp_path) -> None:
        for name in ("webdataset", "imagefolder", "fiftyone", "projector"):
            stop = threading.Event()
            with pytest.raises(InterruptedError):
                export.write(
                    root,
                    tmp_path / name,
                    format=name,
                    stop=stop,
                    progress=lambda progress: stop.set(),  # noqa: B023
                )
            assert not [one for one in tmp_path.iterdir() if name in one.name]


class TestImageFolder:
    def test_imseek_reads_it(self, root, tmp_path) -> None:
        tags.add(root, "kept", [id_of(root, "chelsea.png")])
        report = export.write(root, tmp_path / "out", format="imagefolder")
        assert (report.images, report.linked, report.notes) == (8, 0, ())
        again = indexed_again(tmp_path / "again", tmp_path / "out")
        with imseek.open(again) as collection:
            assert [source.kind for source in collection.info().sources] == ["imagefolder"]
        assert hashes(again) == hashes(root)
        before = images_of(root)
        for image in images_of(again).values():
            first = before[image.metadata["extra_image_id"]]
            assert image.content_hash == first.content_hash
            assert image.metadata.get("caption") == first.metadata.get("caption")

    def test_datasets_reads_it(self, root, tmp_path) -> None:
        export.write(root, tmp_path / "out", format="imagefolder")
        images = images_of(root)
        for rows in (
            loaded(tmp_path, "imagefolder", data_dir=str(tmp_path / "out")),
            loaded(tmp_path, tmp_path / "out"),
        ):
            assert {row["image_id"]: sha256(data_of(row["image"])) for row in rows} == {
                i: image.content_hash for i, image in images.items()
            }
            assert {row["image_id"]: row["caption"] for row in rows} == {
                i: image.metadata.get("caption") for i, image in images.items()
            }

    def test_hits_have_their_scores_and_order(self, root, tmp_path) -> None:
        export.write(root, tmp_path / "out", format="imagefolder", query="red", limit=3)
        with imseek.open(root) as collection:
            hits = collection.search("red", limit=3).hits
        lines = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()]
        assert [line["image_id"] for line in lines] == [hit.image_id for hit in hits]
        assert [line["score"] for line in lines] == pytest.approx([hit.score for hit in hits])

    @pytest.mark.parametrize("link", ["hard", "symbolic"])
    def test_links_to_files_and_copies_of_members(self, root, photos, tmp_path, link) -> None:
        for name in ("imagefolder", "fiftyone"):
            report = export.write(root, tmp_path / name, format=name, options=ExportOptions(link=link))
            assert (report.images, report.linked) == (8, 6)
            assert report.notes == ("2 pictures could not be linked, and are copied",)
            (made,) = (tmp_path / name).glob(f"*/{id_of(root, 'coffee.png'):09d}.png")
            assert made.samefile(photos / "coffee.png")
            assert made.is_symlink() == (link == "symbolic")

    @pytest.mark.parametrize("link", [None, "hard", "symbolic"])
    @pytest.mark.parametrize("form", ["imagefolder", "fiftyone"])
    def test_a_second_image_of_an_id_is_written_over_nothing(self, root, photos, tmp_path, form, link) -> None:
        (ids,) = (root / "metadata").glob("*.ids.npy")
        np.save(ids, np.zeros_like(np.load(ids)))
        before = {path: path.read_bytes() for path in photos.iterdir()}
        with pytest.raises(CorruptCollectionError, match=r"two images of the id 0|ids of a shard do not ascend"):
            export.write(root, tmp_path / "out", format=form, options=ExportOptions(link=link))
        assert {path: path.read_bytes() for path in photos.iterdir()} == before

    def test_a_folder_for_each_class(self, root, tmp_path) -> None:
        given = {
            "chelsea.png": ["Cat"],
            "coffee.png": ["cat", "mug"],
            "rocket.jpg": ["../../x"],
            "camera.png": ["test"],
        }
        ids = {name: id_of(root, name) for name in given}
        for name, said in given.items():
            for tag in said:
                tags.add(root, tag, [ids[name]])
        report = export.write(root, tmp_path / "out", format="imagefolder", options=ExportOptions(classes="tags"))
        lines = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()]
        folders = {line["image_id"]: Path(line["file_name"]).parent.as_posix() for line in lines}
        assert {name: folders[i] for name, i in ids.items()} == {
            "chelsea.png": "Cat",
            "coffee.png": "cat~2",
            "rocket.jpg": "______x",
            "camera.png": "test~",
        }
        assert Counter(folders.values())["none"] == 4
        assert "1 images have several tags: each lies in the folder of the first by name" in report.notes
        assert "the folder of 'test' is called 'test~'" in report.notes
        assert all((tmp_path / "out" / line["file_name"]).is_file() for line in lines)
        rows = loaded(tmp_path, "imagefolder", data_dir=str(tmp_path / "out"))
        assert len(rows) == 8
        assert {row["image_id"]: row["label"] for row in rows if row["label"] is not None} == {
            ids[name]: said[0] for name, said in given.items()
        }

    def test_by_a_column(self, root, tmp_path) -> None:
        export.write(root, tmp_path / "out", format="imagefolder", options=ExportOptions(classes="format"))
        found = {path.parent.name for path in (tmp_path / "out").glob("*/*")}
        assert found == {"JPEG", "PNG"}
        from torchvision.datasets import ImageFolder

        read = ImageFolder(str(tmp_path / "out"))
        assert (read.classes, len(read)) == (["JPEG", "PNG"], 8)
        with pytest.raises(UsageError, match="neither words nor whole numbers"):
            export.write(root, tmp_path / "a", format="imagefolder", options=ExportOptions(classes="luma_sd"))
        with pytest.raises(UsageError, match="no column 'formt'") as refused:
            export.write(root, tmp_path / "a", format="imagefolder", options=ExportOptions(classes="formt"))
        assert refused.value.hint == "did you mean format?"
        assert not (tmp_path / "a").exists()


class TestProjector:
    def test_vectors_metadata_and_sprite(self, root, photos, tmp_path) -> None:
        names = {name: id_of(root, name) for name in ("rocket.jpg", "chelsea.png", "coffee.png")}
        tags.add(root, "kept", [names["chelsea.png"]])
        (photos / "coffee.png").unlink()
        ids = list(names.values())
        export.write(root, tmp_path / "out", format="projector", ids=ids)
        rows = np.loadtxt(tmp_path / "out" / "vectors.tsv", delimiter="\t", dtype=np.float32)
        head, *lines = (tmp_path / "out" / "metadata.tsv").read_text().splitlines()
        assert head.split("\t")[:4] == ["name", "image_id", "tags", "path"]
        cells = [line.split("\t") for line in lines]
        assert [(one[0], int(one[1]), one[2]) for one in cells] == [
            ("rocket.jpg", ids[0], ""),
            ("chelsea.png", ids[1], "kept"),
            ("coffee.png", ids[2], ""),
        ]
        assert {len(one) for one in cells} == {len(head.split("\t"))}
        assert rows.shape == (3, 64)
        np.testing.assert_array_equal(rows.astype(np.float16), Reader(root).vectors(ids, 0))
        sheet = imseek.media.decode((tmp_path / "out" / "sprite.png").read_bytes()).pixels
        assert sheet.shape == (128, 128, 3)
        cat = imseek.media.decode((photos / "chelsea.png").read_bytes()).pixels
        tile = sheet[:64, 64:]
        assert np.abs(tile[12:52].mean((0, 1)) - cat.mean((0, 1))).max() < 6
        assert (sheet[64:, :64] == sheet[64, 0]).all()
        assert (sheet[64, 0] < 200).all()
        assert (sheet[64:, 64:] == 255).all()

    def test_text_in_cells_is_one_line(self, tmp_path, photos) -> None:
        (photos / "rocket.jpg").rename(photos / "a\tb\nc.jpg")
        with imseek.create(tmp_path / "made", encoder="fake") as collection:
            collection.index([photos / "a\tb\nc.jpg"])
        export.write(tmp_path / "made", tmp_path / "out", format="projector")
        head, line = (tmp_path / "out" / "metadata.tsv").read_text().splitlines()
        assert line.split("\t")[0] == "a b c.jpg"
        assert line.count("\t") == head.count("\t")

    def test_nothing_at_all(self, root, tmp_path) -> None:
        report = export.write(root, tmp_path / "out", format="projector", where="width < 0")
        assert (report.images, report.notes) == (0, ())
        assert not (tmp_path / "out" / "sprite.png").exists()


class TestPlacing:
    def test_what_the_next_run_would_index_is_told(self, root, photos, tmp_path) -> None:
        for name, told in (("imagefolder", 1), ("projector", 1), ("faiss", 0)):
            notes = export.write(root, photos / name, format=name).notes
            assert [f"it lies in the source {photos}" in note for note in notes] == [True] * told
        assert not export.write(root, tmp_path / "photos-too", format="imagefolder").notes

    @pytest.mark.parametrize("name", ["imagefolder", "fiftyone"])
    def test_a_full_disk_leaves_nothing(self, root, tmp_path, monkeypatch, name) -> None:
        opened = Path.open

        def full(path: Path, mode: str = "r", **options: Any) -> Any:
            if mode == "xb" and path.suffix in (".png", ".jpg"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return opened(path, mode, **options)

        monkeypatch.setattr(Path, "open", full)
        with pytest.raises(StorageError, match="No space left"):
            export.write(root, tmp_path / "out", format=name)
        assert not [one for one in tmp_path.iterdir() if "out" in one.name]

    def test_all_that_was_written_is_on_the_disk(self, root, photos, tmp_path, monkeypatch) -> None:
        """Each file and folder is fsynced before its folder takes its name; what links lead to is not."""
        synced = set[tuple[int, int]]()
        fsync = os.fsync

        def noting(fd: int) -> None:
            synced.add((os.fstat(fd).st_dev, os.fstat(fd).st_ino))
            fsync(fd)

        monkeypatch.setattr(os, "fsync", noting)
        out = tmp_path / "out"
        export.write(root, out, format="imagefolder", options=ExportOptions(link="symbolic", classes="format"))
        made = [out, *out.rglob("*")]
        links = [path for path in made if path.is_symlink()]
        assert len(links) == 6
        wanted = {(path.stat().st_dev, path.stat().st_ino) for path in made if path not in links}
        assert wanted <= synced
        assert (photos.stat().st_dev, (photos / "coffee.png").stat().st_ino) not in synced
