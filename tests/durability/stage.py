"""What is done to a collection while it is killed, cut off or damaged, and what must be true of it afterwards."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

#: Left over by a kill until the next writer comes.
PASSING = {"orphan", "current"}
COLUMN = "quality"
#: The encoder that pictures are encoded with again.
SECOND = "fake:32"


class Stage:
    """A collection and a folder of pictures, made for a scenario and copied for each trial."""

    def __init__(self, home: Path) -> None:
        self.photos = home / "photos"
        self.root = self.photos / ".imseek"  # Places are relative, so that a copy is as good as the original.
        self.acknowledged = home / "acknowledged"
        self.reports: list[str] = []

    def index(self) -> None:
        import imseek

        with imseek.open(self.root) as collection:
            report = collection.index([self.photos], progress=lambda p: self.note(p.done))
        self.reports += report.notes

    def note(self, done: int) -> None:
        # Only committed images are `done`. A plain write: the page cache outlives the kill.
        if done:
            self.acknowledged.write_text(str(done))


def small(*, merging: bool = True) -> None:
    """Commits of four images, merged by twos."""
    from imseek.data.shards import compaction
    from imseek.indexer import encode_stage, pipeline

    pipeline.COMMIT_IMAGES = 4
    encode_stage.ENCODE_BATCH = 4
    compaction.FACTOR = 2 if merging else 1000


def nothing(stage: Stage) -> None:
    pass


def made(stage: Stage) -> None:
    import imseek

    imseek.create(stage.root, encoder="fake", here=True).close()


def made_of_two(stage: Stage) -> None:
    """An empty collection of two spaces, and six pictures to index."""
    import imseek

    imseek.create(stage.root, encoder="fake:64", also=["fake:32"], here=True).close()
    for path in sorted(stage.photos.glob("*.png"))[6:]:
        path.unlink()


def indexed(stage: Stage) -> None:
    made(stage)
    small()
    stage.index()
    noted(stage)


def noted(stage: Stage) -> None:
    """Every image has a tag of its own, and neighbours have been judged: what only the catalog knows."""
    from imseek.data.catalog import duplicate_judgements
    from imseek.data.catalog.sql import Connection, insert
    from imseek.data.collection_records import FOREVER
    from imseek.data.writing.writer import Writer

    def change(connection: Connection, generation: int) -> None:
        query = "SELECT image_id, content_hash FROM images WHERE died = ?"
        images = connection.execute(query, (FOREVER,)).fetchall()
        tags = [
            {"image_id": image_id, "tag": f"number {image_id}", "provenance": "stage", "born": generation}
            for image_id, _ in images
        ]
        insert(connection, "tags", [{**tag, "died": FOREVER} for tag in tags])
        hashes.extend(sorted({content_hash.hex() for _, content_hash in images}))

    hashes: list[str] = []
    at = "2026-01-01T00:00:00+00:00"
    with Writer(stage.root, "note") as writer:
        writer.apply(change)
        neighbours = itertools.pairwise(hashes)
        duplicate_judgements.record(
            writer,
            (duplicate_judgements.make_judgement(a, b, "different", "stage", at) for a, b in neighbours),
        )


def in_pieces(stage: Stage) -> None:
    """Three shards, one with a dead row, and a derived column."""
    made(stage)
    small(merging=False)
    stage.index()
    (stage.photos / "05.png").unlink()
    stage.index()
    noted(stage)
    columns(stage)


def in_an_album(stage: Stage) -> None:
    """The source is a folder beside the collection, and has a new name that the collection does not know."""
    import imseek

    made(stage)
    small()
    album = stage.photos / "album"
    album.mkdir()
    for path in sorted(stage.photos.glob("*.png")):
        path.rename(album / path.name)
    with imseek.open(stage.root) as collection:
        collection.index([album])
    noted(stage)
    album.rename(stage.photos / "moved")


def changed(stage: Stage) -> None:
    """Files have come, gone, moved, been copied, been changed and swapped names."""
    indexed(stage)
    photos = stage.photos
    (photos / "00.png").unlink()
    (photos / "01.png").rename(photos / "zz.png")
    shutil.copy(photos / "02.png", photos / "copy.png")
    (photos / "03.png").rename(photos / "aside")
    (photos / "04.png").rename(photos / "03.png")
    (photos / "aside").rename(photos / "04.png")
    draw(photos / "05.png", 105)
    for n in range(4):
        draw(photos / f"new{n}.png", 200 + n)


def retired(stage: Stage) -> None:
    """Merged: the old shards wait for their grace time to pass."""
    in_pieces(stage)
    merged(stage)


def worn(stage: Stage) -> None:
    """Images, files and rows of the catalog that have died lie beside those that live."""
    changed(stage)
    stage.index()
    columns(stage)
    columns(stage)


def with_a_copy(stage: Stage) -> None:
    """Three shards, one with a dead row, and two images of one content."""
    made(stage)
    small(merging=False)
    shutil.copy(stage.photos / "03.png", stage.photos / "copy.png")
    stage.index()
    (stage.photos / "05.png").unlink()
    stage.index()
    noted(stage)


def half_built(stage: Stage) -> None:
    """Half of a second space is there, some of it in a part."""
    with_a_copy(stage)
    build_some(stage, SECOND, 6)
    assert list(stage.root.glob("spaces/1/parts/*.npy"))


def build_some(stage: Stage, encoder: str, rows: int) -> None:
    """As many rows of another space as were made before its build was stopped."""
    import imseek
    from imseek.indexer.reencode import PictureRows

    few_rows()
    make = PictureRows.__call__
    PictureRows.__call__ = lambda self, ids: make(self, itertools.islice(ids, rows))  # type: ignore[method-assign]
    assert imseek.maintenance.reencode(stage.root, encoder).outcome == "interrupted"
    PictureRows.__call__ = make  # type: ignore[method-assign]


def with_a_hole(stage: Stage) -> None:
    """All of a second space is built but for a picture that has gone: the switch takes its vector away."""
    import imseek
    from imseek.indexer import reencode

    half_built(stage)
    (stage.photos / "08.png").unlink()
    few, reencode.FEW_MISSING = reencode.FEW_MISSING, 0
    assert imseek.maintenance.reencode(stage.root, SECOND).outcome == "refused"
    reencode.FEW_MISSING = few


def switched(stage: Stage) -> None:
    """A space is kept after a switch, another one is half built, and an image has died that has a row in its part."""
    half_built(stage)
    run_reencode(stage)
    build_some(stage, "fake:16", 6)
    assert list(stage.root.glob("spaces/2/parts/*.npy"))
    (stage.photos / "04.png").unlink()
    stage.index()


def without_a_catalog_since_a_switch(stage: Stage) -> None:
    """The run that switched to another space was killed, and the catalog is damaged: the backups are from before."""
    half_built(stage)
    killed_at_its_end(run_reencode, stage)


def killed_at_its_end(run: Callable[[Stage], None], stage: Stage) -> None:
    """A run dies after its last commit, and then the catalog is damaged."""
    if (pid := os.fork()) == 0:
        from imseek.data.writing.writer import Writer

        Writer._end = lambda writer, *outcome: os._exit(0)  # type: ignore[method-assign]
        run(stage)
    os.waitpid(pid, 0)
    for name in ("catalog.sqlite-wal", "catalog.sqlite-shm"):
        (stage.root / name).unlink(missing_ok=True)
    with (stage.root / "catalog.sqlite").open("r+b") as file:
        file.write(bytes(4096))


def tuned_and_grown(stage: Stage) -> None:
    """A tuned space is searched, and pictures have come since, which the space that is kept lacks."""
    made(stage)
    small(merging=False)
    later = [stage.photos / f"{n:02}.png" for n in range(6)]
    for path in later:
        path.rename(path.with_suffix(".later"))
    stage.index()
    run_tune(stage)
    for path in later:
        path.with_suffix(".later").rename(path)
    stage.index()
    noted(stage)


def back_and_grown(stage: Stage) -> None:
    """The space of the encoder itself is searched again, and pictures have come since, which the tuned one lacks."""
    tuned_and_grown(stage)
    run_back(stage)
    for n in range(12, 18):
        draw(stage.photos / f"{n}.png", n)
    stage.index()
    noted(stage)


def without_a_catalog_since_it_was_tuned(stage: Stage) -> None:
    """The run that tuned it was killed after its commit, and the catalog is damaged: the backups are from before."""
    in_pieces(stage)
    killed_at_its_end(run_tune, stage)


def captioned(stage: Stage) -> None:
    """Every other picture has a caption."""
    for n in range(0, 12, 2):
        draw(stage.photos / f"{n:02}.png", n, caption=f"number {n}")


def made_for_captions(stage: Stage) -> None:
    """An empty collection that embeds captions."""
    import imseek

    captioned(stage)
    imseek.create(stage.root, encoder="fake", captions=True, here=True).close()


def in_pieces_with_captions(stage: Stage) -> None:
    """Three shards, one with a dead row; no caption is embedded yet."""
    captioned(stage)
    in_pieces(stage)


def without_a_file_of_captions(stage: Stage) -> None:
    """Three shards with captions embedded, the file of one is damaged."""
    in_pieces_with_captions(stage)
    embed(stage)
    flip(stage.root / "spaces/1/text_emb/000001.npy")


def packed(stage: Stage) -> None:
    """The pictures in a zip and in two shards, one of them compressed, and an empty collection."""
    pack(stage, {"a.zip": range(4), "b.tar": range(4, 8), "c.tar.gz": range(8, 12)})
    made(stage)


def repacked(stage: Stage) -> None:
    """They were indexed, and have since changed places: some within an archive, some to another; one is gone."""
    packed(stage)
    small(merging=False)
    index_archives(stage)
    noted(stage)
    (stage.photos / "05.png").unlink()
    pack(stage, {"a.zip": (3, 1, 0), "b.tar": (4, 2, 6), "d.tar": (7, 8), "c.tar.gz": (9, 10, 11)})


def pack(stage: Stage, contents: Mapping[str, Iterable[int]]) -> None:
    from sourcing.archives import tar_of, zip_of

    folder = stage.photos / "archives"
    folder.mkdir(exist_ok=True)
    for name, numbers in contents.items():
        names = [f"{n:02}.png" for n in numbers]
        held = {name: (stage.photos / name).read_bytes() for name in names}
        write = zip_of if name.endswith("zip") else tar_of
        data = write(held) if not name.endswith("gz") else tar_of(held, "w:gz")
        (folder / name).write_bytes(data)


def with_an_index(stage: Stage) -> None:
    """Three shards, all in an approximate index."""
    in_pieces(stage)
    build_index(stage)


def outgrown(stage: Stage) -> None:
    """The approximate index lacks half of the pictures, and holds some that have gone."""
    made(stage)
    small(merging=False)
    for n in range(6):
        (stage.photos / f"{n:02}.png").rename(stage.photos / f"{n:02}.later")
    stage.index()
    build_index(stage)
    for n in range(6):
        (stage.photos / f"{n:02}.later").rename(stage.photos / f"{n:02}.png")
    (stage.photos / "07.png").unlink()
    noted(stage)


def with_a_dead_row_in_its_index(stage: Stage) -> None:
    with_an_index(stage)
    (stage.photos / "07.png").unlink()
    stage.index()


def with_a_hole_in_its_index(stage: Stage) -> None:
    with_an_index(stage)
    (index,) = (stage.root / "spaces" / "0" / "index").rglob("faiss.index")
    flip(index)


def without_a_vector_file(stage: Stage) -> None:
    in_pieces(stage)
    flip(stage.root / "spaces/0/img_emb/000001.npy")


def without_a_catalog(stage: Stage) -> None:
    """The catalog is damaged, and one backup is gone: what the last run did is only in shards and current.json."""
    made(stage)
    small(merging=False)
    for n in range(6):
        (stage.photos / f"{n:02}.png").rename(stage.photos / f"{n:02}.later")
    stage.index()
    noted(stage)
    for n in range(6):
        (stage.photos / f"{n:02}.later").rename(stage.photos / f"{n:02}.png")
    stage.index()
    newest = max(stage.root.glob("catalog.bak.*"), key=generation_of)
    newest.unlink()
    with (stage.root / "catalog.sqlite").open("r+b") as file:
        file.write(bytes(4096))  # SQLite cannot open it any more.


def cut_short(stage: Stage) -> None:
    """A creation that died while SQLite wrote: its journal must never be applied to another catalog."""
    catalog = stage.root / "catalog.sqlite"
    stage.root.mkdir()
    if (pid := os.fork()) == 0:
        connection = sqlite3.connect(catalog, isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")  # So that pages are written before the transaction ends.
        connection.execute("CREATE TABLE rest AS SELECT zeroblob(100000) AS bytes")
        connection.execute("BEGIN")
        connection.execute("UPDATE rest SET bytes = randomblob(100000)")
        os._exit(0)
    os.waitpid(pid, 0)
    assert catalog.with_name("catalog.sqlite-journal").stat().st_size > 512


def with_a_log(stage: Stage) -> None:
    """A reader was at work when the last writer ended, and then died: SQLite's log lies there already."""
    changed(stage)
    if (pid := os.fork()) == 0:
        connection = sqlite3.connect(f"file:{stage.root}/catalog.sqlite?mode=ro", uri=True)
        connection.execute("BEGIN")
        connection.execute("SELECT COUNT(*) FROM images").fetchone()
        columns(stage)
        os._exit(0)
    os.waitpid(pid, 0)
    assert (stage.root / "catalog.sqlite-wal").stat().st_size > 0


def run_create(stage: Stage) -> None:
    import imseek

    if not (stage.root / "collection.json").exists():
        imseek.create(stage.root, encoder="fake", here=True).close()


def run_index(stage: Stage) -> None:
    small(merging=False)
    stage.index()


def run_index_and_merge(stage: Stage) -> None:
    small()
    stage.index()


def remove_source(stage: Stage) -> None:
    import imseek
    from imseek.errors import SourceNotFoundError

    with imseek.open(stage.root) as collection:
        for source in collection.info().sources:
            # Where the removal was committed, and not yet stated in current.json, a writer finds it done.
            with suppress(SourceNotFoundError):
                collection.remove_source(source.source_id)


def relocate(stage: Stage) -> None:
    import imseek

    with imseek.open(stage.root) as collection:
        collection.relocate_source(1, stage.photos / "moved")


def merged(stage: Stage) -> None:
    from imseek.data.shards.compaction import merge_due
    from imseek.data.writing.writer import Writer

    small()
    with Writer(stage.root, "merge") as writer:
        merge_due(writer)


def columns(stage: Stage) -> None:
    from imseek.data.reader import Reader
    from imseek.data.shards.derived_columns import put_columns
    from imseek.data.writing.writer import Writer

    ids = live_ids(Reader(stage.root))
    with Writer(stage.root, "columns") as writer:
        put_columns(writer, COLUMN, {COLUMN: {image_id: image_id / 2 for image_id in ids}})


def label(stage: Stage) -> None:
    """Columns, tags and the record of how they were made; the vectors of the classes are in the user's cache."""
    from imseek import labels

    labels.label(stage.root, ["red", "blue"], save="kind", tag=True)


def tag(stage: Stage) -> None:
    """Given to all, and taken away from some."""
    from imseek import tags
    from imseek.data.reader import Reader

    ids = live_ids(Reader(stage.root))
    tags.add(stage.root, "given", ids)
    tags.remove(stage.root, "given", ids[:2])


def learn_and_forget(stage: Stage) -> None:
    """A model with columns and tags, all gone again in one commit."""
    from imseek import tags
    from imseek.data.catalog.models import Model
    from imseek.data.reader import Reader
    from imseek.data.shards import derived_results

    ids = live_ids(Reader(stage.root))
    tags.add(stage.root, "kind", ids, provenance="probe kinds")
    derived_results.store(
        stage.root, {"kinds": dict.fromkeys(ids, "kind")}, Model("kinds", "probe", {"classes": ["kind"]})
    )
    derived_results.forget(stage.root, "kinds", "probe drop", given_by="probe kinds")


def save_scores(stage: Stage) -> None:
    """A column and the record of how it was made."""
    from imseek import captions

    captions.save(stage.root, captions.cosines(stage.root), "clip")


def judge(stage: Stage) -> None:
    """What was said of the first two pairs is withdrawn, of the last two it is turned round, and one is new."""
    from imseek.data.catalog import duplicate_judgements
    from imseek.data.catalog.read_connection import connect_read_only
    from imseek.data.writing.writer import Writer

    with connect_read_only(stage.root) as connection:
        rows = connection.execute("SELECT DISTINCT content_hash FROM images WHERE died = 9223372036854775807")
        hashes = sorted(row[0].hex() for row in rows)
    pairs = list(itertools.pairwise(hashes))
    at = "2026-01-02T00:00:00+00:00"
    with Writer(stage.root, "judge") as writer:
        duplicate_judgements.withdraw(writer, pairs[:2])
        new = [*pairs[-2:], (hashes[0], hashes[-1])]
        duplicate_judgements.record(
            writer, [duplicate_judgements.make_judgement(a, b, "same", "judge", at) for a, b in new]
        )


def lay_out(stage: Stage) -> None:
    """A map, laid out anew where there is one: columns, and the record of how they were made."""
    from imseek import maps

    maps.lay_out(stage.root, method="pca", refit=True)


def backed_up(stage: Stage) -> None:
    """Of a collection that was lost, a backup is left."""
    import imseek

    in_pieces(stage)
    imseek.backup.write(stage.root, stage.photos / "backup.tar")
    shutil.rmtree(stage.root)


def restore(stage: Stage) -> None:
    import imseek

    if not stage.root.exists():  # Killed when it was there already.
        imseek.backup.restore(stage.photos / "backup.tar", stage.root)


def sweep(stage: Stage) -> None:
    from imseek.data.writing import writer

    writer.GRACE_SECONDS = -1.0
    with writer.Writer(stage.root, "sweep"):
        pass


def index_archives(stage: Stage) -> None:
    import imseek

    small()
    with imseek.open(stage.root) as collection:
        collection.index([stage.photos / "archives"], progress=lambda p: stage.note(p.done))


def purge(stage: Stage) -> None:
    import imseek

    stage.reports += imseek.maintenance.purge(stage.root).notes


def small_index() -> None:
    """Snapshots of a few rows, and renewed when a few have come."""
    from imseek.data.vectors import index_renewal, tuning

    index_renewal.MAX_TAIL_ROWS = 2
    tuning.QUERIES = 4


def build_index(stage: Stage) -> None:
    import imseek
    from imseek.types.collection_info import IndexPolicy

    small_index()
    imseek.maintenance.build_index(stage.root, IndexPolicy(kind="IVF2,SQ8"))


def index_and_renew(stage: Stage) -> None:
    small_index()
    small(merging=False)
    stage.index()


def index_and_grow(stage: Stage) -> None:
    """What has come goes into a part of its own, beside the one that is there."""
    from imseek.data.vectors import snapshot_growth

    snapshot_growth.PART_ROWS = 5
    snapshot_growth.DEAD_SHARE = 0.5
    index_and_renew(stage)


def purge_and_renew(stage: Stage) -> None:
    small_index()
    purge(stage)


def few_rows() -> None:
    """Commits of a re-encoding after three rows each, of batches of two."""
    from imseek.data.writing import space_build, space_build_rows
    from imseek.indexer import reencode

    space_build.COMMIT_ROWS = space_build_rows.PART_ROWS = 3
    reencode.ENCODE_BATCH = 2


def run_reencode(stage: Stage) -> None:
    import imseek

    few_rows()
    imseek.maintenance.reencode(stage.root, SECOND)


def run_tune(stage: Stage) -> None:
    """With an adapter that was learned elsewhere: what is written is looked at here."""
    from imseek import tune
    from imseek.data.writing import adapter_spaces
    from imseek.errors import UsageError

    adapter_spaces.BLOCK = 3  # type: ignore[misc]
    tune._learn = learned  # type: ignore[assignment]
    try:
        tune.tune(stage.root)
    except UsageError:
        tidied(stage)  # It is tuned already.


def tidied(stage: Stage) -> None:
    """A writer has come."""
    from imseek.data.writing.writer import Writer

    with Writer(stage.root, "tidy"):
        pass


def learned(root: Path, *_: Any) -> Any:
    from imseek import tune
    from imseek.data.current_generation import read_current
    from imseek.encoders.vector_adapter import Adapter
    from imseek.metrics.estimate import Estimate
    from imseek.tune.results import Tuning
    from imseek.tune.training import TrainedAdapter

    space = read_current(root).space
    down = np.linspace(-1, 1, 2 * space.dim, dtype=np.float32).reshape(space.dim, 2)
    facts = Tuning(10, 2, 1.0, 14.0, 0.9, (), Estimate(0.2, 0.1, 0.3), helps=True)
    nothing_read = type("Nothing", (), {"source": "captions", "pairs": (), "notes": ()})()
    no_split = type("Split", (), {"train": (), "validation": (), "held_out": ()})()
    taught = TrainedAdapter(Adapter(down, np.ascontiguousarray(down.T[::-1])), facts)
    return tune._TrainingResult(space, nothing_read, no_split, taught)


def run_back(stage: Stage) -> None:
    from imseek import tune
    from imseek.errors import UsageError

    few_rows()
    try:
        tune.back(stage.root)
    except UsageError:
        tidied(stage)  # It is not tuned any more.


def run_use(stage: Stage) -> None:
    from imseek import tune
    from imseek.data.writing import adapter_spaces

    few_rows()
    adapter_spaces.BLOCK = 3  # type: ignore[misc]
    tune.use(stage.root)


def drop_space(stage: Stage) -> None:
    import imseek
    from imseek.errors import UsageError

    with suppress(UsageError):  # It is gone already.
        imseek.maintenance.drop_space(stage.root, 0)


def embed(stage: Stage) -> None:
    import imseek
    from imseek.data.writing import space_build, space_build_rows
    from imseek.indexer import caption_space

    space_build.COMMIT_ROWS = space_build_rows.PART_ROWS = 4
    caption_space.BATCH = 2  # type: ignore[misc]
    imseek.maintenance.embed_captions(stage.root)


def repair(stage: Stage) -> None:
    import imseek

    imseek.maintenance.repair(stage.root)


def unmeasured(stage: Stage) -> None:
    """Three shards of an early version, which did not measure pictures, and one that holds measures."""
    from imseek.data.shards.shard_files import LUMA_COLUMNS
    from imseek.indexer import encode_stage

    measuring = encode_stage.row_of

    def without(*facts: Any) -> dict[str, Any]:
        return {name: value for name, value in measuring(*facts).items() if name not in LUMA_COLUMNS.names}

    encode_stage.row_of = without
    try:
        in_pieces(stage)
    finally:
        encode_stage.row_of = measuring
    draw(stage.photos / "new.png", 99)
    stage.index()


def measure(stage: Stage) -> None:
    import imseek
    from imseek.maintenance import missing_measures

    missing_measures._COMMIT_IMAGES = 4
    imseek.maintenance.measure(stage.root)


class Reading:
    """Stands in for the recogniser: each picture says how bright it is."""

    def has_text(self, pixels: Any) -> bool:
        return True

    def read(self, pixels: Any, is_over: Callable[[], bool], is_late: Callable[[], bool]) -> Any:
        from imseek.ocr.results import TextLine

        return (TextLine(0.1, 0.1, 0.5, 0.1, 0.9, f"brightness {pixels.sum()}"),)


def read_texts(stage: Stage) -> None:
    """Read the text in pictures, four to a commit."""
    from imseek import ocr
    from imseek.ocr import collection_pass

    collection_pass.COMMIT_IMAGES = 4  # type: ignore[misc]
    collection_pass.Recogniser = Reading  # type: ignore[misc, assignment]
    collection_pass.recogniser_name = lambda: "reading 1"
    ocr.check_installed = nothing_missing
    assert ocr.recognise(stage.root).unreadable == 0


def nothing_missing() -> None:
    pass


def with_texts(stage: Stage) -> None:
    """Three shards, one with a dead row, whose pictures were read."""
    in_pieces(stage)
    read_texts(stage)


def forget_texts(stage: Stage) -> None:
    from imseek import ocr

    if ocr.is_active(stage.root):
        ocr.forget(stage.root)


def check_texts(stage: Stage, *, read: bool) -> None:
    """Each picture has its text, as a column and as words that find it; or none has any."""
    from imseek import ocr
    from imseek.data.reader import Reader
    from imseek.data.words.analysis import parse_words
    from imseek.data.words.matching import read_written_texts
    from imseek.media.decode import decode

    reader = Reader(stage.root)
    places = {image_id: Path(os.fsdecode(place.path)) for image_id, place in reader.places(live_ids(reader)).items()}
    assert ocr.is_active(stage.root) == read
    facts, written = reader.metadata(list(places)), read_written_texts(reader, list(places))
    for image_id, path in places.items():
        text = f"brightness {decode(path.read_bytes()).pixels.sum()}"
        found = reader.match_words(parse_words(f'"{text}"'), 99, ["text"]).ids.tolist()
        assert (image_id in found) == read
        assert facts[image_id].get("text") == (text if read else None)
        assert written.get(image_id) == (text if read else None)


SCENARIOS: dict[str, tuple[Callable[[Stage], None], Callable[[Stage], None]]] = {
    "create": (nothing, run_create),
    "create over a rest": (cut_short, run_create),
    "index": (made, run_index),
    "index into two spaces": (made_of_two, run_index_and_merge),
    "index again": (changed, run_index_and_merge),
    "index over a log": (with_a_log, run_index_and_merge),
    "remove a source": (indexed, remove_source),
    "relocate a source": (in_an_album, relocate),
    "merge": (in_pieces, merged),
    "put columns": (in_pieces, columns),
    "label": (in_pieces, label),
    "tag": (in_pieces, tag),
    "learn and forget": (in_pieces, learn_and_forget),
    "save scores": (in_pieces_with_captions, save_scores),
    "judge": (in_pieces, judge),
    "measure": (unmeasured, measure),
    "read texts": (in_pieces, read_texts),
    "forget texts": (with_texts, forget_texts),
    "sweep": (retired, sweep),
    "purge": (worn, purge),
    "reencode": (with_a_copy, run_reencode),
    "go on reencoding": (half_built, run_reencode),
    "switch over a missing picture": (with_a_hole, run_reencode),
    "drop a space": (switched, drop_space),
    "tune": (in_pieces, run_tune),
    "go back from a tuned space": (tuned_and_grown, run_back),
    "use a tuned space": (back_and_grown, run_use),
    "repair after tuning": (without_a_catalog_since_it_was_tuned, repair),
    "purge spaces": (switched, purge),
    "repair after a switch": (without_a_catalog_since_a_switch, repair),
    "index archives": (packed, index_archives),
    "index archives again": (repacked, index_archives),
    "index captions": (made_for_captions, run_index_and_merge),
    "embed captions": (in_pieces_with_captions, embed),
    "repair captions": (without_a_file_of_captions, repair),
    "build an index": (in_pieces, build_index),
    "renew an index": (outgrown, index_and_renew),
    "grow an index": (outgrown, index_and_grow),
    "purge an index": (with_a_dead_row_in_its_index, purge_and_renew),
    "repair an index": (with_a_hole_in_its_index, repair),
    "repair a shard": (without_a_vector_file, repair),
    "repair the catalog": (without_a_catalog, repair),
    "map": (in_pieces, lay_out),
    "restore": (backed_up, restore),
}


def prepare(name: str, home: str) -> None:
    """Make a folder in which the scenario can run."""
    stage = Stage(Path(home))
    stage.photos.mkdir(parents=True)
    for n in range(12):
        draw(stage.photos / f"{n:02}.png", n)
    SCENARIOS[name][0](stage)
    stage.acknowledged.unlink(missing_ok=True)


def perform(name: str, stage: Stage) -> None:
    SCENARIOS[name][1](stage)


def go_on(name: str, stage: Stage) -> None:
    """The same command again, and what brings the collection in line with its pictures; then all must be well."""
    import imseek

    perform(name, stage)
    if name.startswith(("create", "repair", "switch")):
        stage.index()
    if name == "repair captions":
        embed(stage)
    if name == "relocate a source":
        with imseek.open(stage.root) as collection:
            collection.index()
    if name in ("remove a source", "forget texts"):
        sweep(stage)  # Where nothing is left to remove, no writer has come yet.
    check(stage, removed=name == "remove a source")
    if name == "measure":
        assert imseek.dataset.quality(stage.root).unknown == 0
    if "texts" in name:
        check_texts(stage, read=name == "read texts")
    if "captions" in name:
        from imseek.data.current_generation import read_current

        assert read_current(stage.root).caption_space is not None


def traces(stage: Stage) -> list[str]:
    """Files of the collection that tell of a picture that was deleted before the scenario ``purge``."""
    files = [path for path in stage.root.rglob("*") if path.is_file()]
    return [str(path) for path in files if b"00.png" in path.read_bytes()]


def look(stage: Stage) -> list[str]:
    """The collection just after the kill. Returns the kinds of problems."""
    import imseek

    if not (stage.root / "collection.json").exists():
        return []
    report = imseek.maintenance.verify(stage.root)
    with imseek.open(stage.root) as collection:
        if not {"vectors", "catalog"} & {problem.kind for problem in report.problems}:
            hits = collection.search(ones(stage), limit=1000).hits
            found = {hit.image_id for hit in hits}
            assert len(found) == len(hits)
            if hits:  # A stored image is compared in every space.
                everywhere = collection.search(hits[0].image_id, limit=1000).hits
                assert {hit.image_id for hit in everywhere} == found
            acknowledged = int(stage.acknowledged.read_text()) if stage.acknowledged.exists() else 0
            assert len(hits) >= acknowledged, f"{acknowledged} were acknowledged, {len(hits)} are there"
    return [problem.kind for problem in report.problems]


def ones(stage: Stage) -> Any:
    """A query that every image answers, in the first space."""
    from imseek.data.current_generation import read_current

    return np.ones(read_current(stage.root).space.dim)


def check(stage: Stage, *, removed: bool) -> None:
    """Every picture is there exactly once, with its own vector, and nothing else is."""
    import imseek
    from imseek.data.reader import Reader

    report = imseek.maintenance.verify(stage.root)
    assert report.ok, report.problems
    reader = Reader(stage.root)
    ids = live_ids(reader)
    assert len(set(ids)) == len(ids)
    wanted = {} if removed else {path.name: path for path in stage.photos.rglob("*.png")}
    places = {image_id: Path(os.fsdecode(place.path)).name for image_id, place in reader.places(ids).items()}
    assert sorted(places.values()) == sorted(wanted)
    assert sorted(places) == sorted(ids)
    facts = reader.metadata(ids)
    for image_id, name in places.items():
        assert facts[image_id]["content_hash"] == hashlib.sha256(wanted[name].read_bytes()).hexdigest()
        for space in reader.current.image_spaces:
            vector = vector_of(wanted[name], stage.root, space)
            assert reader.vector(image_id, space.space_id) == pytest.approx(vector, abs=1e-3)
        if (space_of_captions := reader.current.caption_space) is not None:
            caption = facts[image_id].get("caption")
            assert reader.vector(image_id, space_of_captions.space_id) == pytest.approx(
                words_of(caption, space_of_captions.encoder), abs=1e-3
            )
    with closing(sqlite3.connect(stage.root / "catalog.sqlite")) as connection:
        alive = "died = 9223372036854775807"
        assert sorted(i for (i,) in connection.execute(f"SELECT image_id FROM images WHERE {alive}")) == sorted(ids)
        assert sorted(i for (i,) in connection.execute(f"SELECT image_id FROM places WHERE {alive}")) == sorted(ids)
    assert not (stage.root / "staging").exists()


def live_ids(reader: Any) -> list[int]:
    found = []
    for shard in reader.current.shards:
        found += np.delete(np.array(reader.shard_ids(shard)), reader.dead_rows(shard)).tolist()
    return found


def vector_of(path: Path, root: Path, space: Any) -> Any:
    from imseek.media.decode import decode
    from imseek.search.encoder_loader import load_encoder

    encoder = load_encoder(root, space, ("image",))
    return encoder.encode_images(encoder.prepare(decode(path.read_bytes()).pixels)[None])[0].astype(np.float16)


def words_of(caption: str | None, encoder_reference: str) -> Any:
    """The row of a caption: zeros where there is none."""
    from imseek.encoders import registry

    encoder = registry.load(encoder_reference)
    return np.zeros(encoder.info.dim) if caption is None else encoder.encode_texts([caption])[0]


def draw(path: Path, seed: int, caption: str | None = None) -> None:
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    exif = Image.Exif()
    if caption is not None:
        exif[0x010E] = caption
    Image.fromarray(pixels).save(path, exif=exif)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def generation_of(path: Path) -> int:
    from imseek.data.catalog.sqlite.catalog_backups import generation_of

    return generation_of(path)
