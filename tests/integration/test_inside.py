"""Pictures inside pictures, with the built-in encoder: a crop, a collage, a screenshot; what is none; what is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imseek
from imseek.data.reader import Reader
from imseek.data.vectors import open_index
from imseek.duplicates import unique_contents
from imseek.duplicates.crops import crop_search
from imseek.duplicates.crops.tile_vectors import (
    BLOCK,
    TILES,
    TileEncoder,
    TileStore,
    cut_tile,
    grid_tiles,
    overlapping_tiles,
)
from imseek.encoders import load
from imseek.encoders.fake import FakeEncoder
from imseek.progress import Task
from imseek.search.backend import unit_rows


@pytest.fixture
def album(tmp_path: Path, photo_files: list[Path]) -> Path:
    """The photographs; a crop of one (15 % of its area), a collage of four, and a window with one in it."""
    folder = tmp_path / "album"
    folder.mkdir()
    found = {}
    for path in photo_files:
        with Image.open(path) as picture:
            found[path.stem] = picture.convert("RGB")
        found[path.stem].save(folder / f"{path.stem}.png")
    width, height = found["china"].size
    left, top = round(0.3 * width), round(0.25 * height)
    box = (left, top, left + round(0.39 * width), top + round(0.39 * height))
    found["china"].crop(box).resize((300, 200)).save(folder / "crop.jpg", quality=80)
    collage = Image.new("RGB", (840, 640), (90, 20, 40))
    for n, name in enumerate(("astronaut", "rocket", "flower", "chelsea")):
        tile = found[name].copy()
        tile.thumbnail((400, 300))
        collage.paste(tile, (10 + n % 2 * 420, 10 + n // 2 * 320))
    collage.save(folder / "collage.png")
    window = Image.new("RGB", (1000, 700), (235, 235, 238))
    window.paste((60, 90, 160), (0, 0, 1000, 50))
    window.paste((250, 250, 250), (0, 50, 180, 700))
    window.paste(found["coffee"].resize((630, 420)), (260, 140))
    window.save(folder / "window.png")
    return folder


EXPECTED = {
    ("china", "crop"),
    ("collage", "astronaut"),
    ("collage", "rocket"),
    ("collage", "flower"),
    ("collage", "chelsea"),
    ("window", "coffee"),
}


def search(
    collection: imseek.Collection, root: Path | None, **options: object
) -> tuple[crop_search.CropResult, dict[tuple[str, str], crop_search.CropPair]]:
    reader = Reader(collection.path)
    held = unique_contents.load_contents(reader)
    space = reader.current.image_spaces[0]
    read: Callable[[int], bytes] = lambda n: collection.read(int(held.ids[n]))  # noqa: E731
    tiler = TileEncoder(TileStore(root, space.fingerprint, space.dim), load("builtin"), read)
    found = crop_search.find(
        held.ids,
        held.hashes,
        lambda ids: unit_rows(reader, ids, space),
        open_index("faiss", reader.segments(space.space_id), space.dim),
        tiler,
        read,
        keep=root,
        **options,  # type: ignore[arg-type]
    )
    places = reader.places(held.ids.tolist())
    names = [Path(places[int(i)].display).stem for i in held.ids]
    reader.close()
    return found, {(names[one.whole], names[one.part]): one for one in found.pairs}


def test_found_where_it_lies_and_encoded_once(tmp_path: Path, album: Path) -> None:
    with imseek.create(tmp_path / "c", encoder="builtin") as collection:
        collection.index([album])
        told: list[int] = []
        first, pairs = search(collection, collection.path, task=Task(lambda p: told.append(p.done), interval=0))
        assert set(pairs) == EXPECTED
        assert first.encoded == 11 * len(TILES)
        assert (first.missing, first.interrupted, told[-1]) == (0, False, 11)
        assert pairs["window", "coffee"].box == pytest.approx((0.26, 0.2, 0.89, 0.8), abs=0.03)
        assert pairs["collage", "rocket"].box[0] == pytest.approx(430 / 840, abs=0.03)
        assert pairs["china", "crop"].box == pytest.approx((0.3, 0.25, 0.69, 0.64), abs=0.03)
        assert all(one.visible > 0.89 for one in pairs.values())

        assert first.looked_at > len(EXPECTED)
        again, same = search(collection, collection.path)
        assert (again.encoded, again.looked_at, set(same)) == (0, 0, set(pairs))
        assert same["window", "coffee"].box == pytest.approx(pairs["window", "coffee"].box)
        # Damage is not believed, and does no harm.
        (kept,) = (collection.path / "cache" / "tiles").rglob("*.npz")
        data = bytearray(kept.read_bytes())
        data[-5000] ^= 1
        kept.write_bytes(data)
        for looked in (collection.path / "cache" / "duplicates").rglob("inside-*.npz"):
            looked.write_bytes(looked.read_bytes()[:-200])
        mended, same = search(collection, collection.path)
        assert (mended.encoded, mended.looked_at, set(same)) == (11 * len(TILES), first.looked_at, EXPECTED)
        assert search(collection, collection.path)[0].encoded == 0


def test_what_cannot_be_read_any_more(tmp_path: Path, album: Path) -> None:
    with imseek.create(tmp_path / "c", encoder="builtin") as collection:
        collection.index([album])
        (album / "window.png").unlink()
        (album / "collage.png").write_bytes(b"not a picture")
        found, pairs = search(collection, None)
        assert (set(pairs), found.missing) == ({("china", "crop")}, 2)


def test_other_rules(tmp_path: Path, album: Path) -> None:
    with imseek.create(tmp_path / "c", encoder="builtin") as collection:
        collection.index([album])
        assert set(search(collection, collection.path)[1]) == EXPECTED
        _, strict = search(collection, collection.path, rules=replace(crop_search.CropRules(), largest=0.3))
        assert set(strict) == EXPECTED - {("window", "coffee")}, "it takes 38 % of the window"


def test_one_picture_more(tmp_path: Path, album: Path) -> None:
    """Only pairs with it are looked at."""
    with imseek.create(tmp_path / "c", encoder="builtin") as collection:
        collection.index([album])
        first, _ = search(collection, collection.path)
        with Image.open(album / "coffee.png") as picture:
            picture.crop((60, 60, 400, 300)).save(album / "cup.png")
        collection.index()
        second, pairs = search(collection, collection.path)
        assert ("coffee", "cup") in pairs
        assert second.encoded == len(TILES)
        every, _ = search(collection, None)
        assert 0 < second.looked_at == every.looked_at - first.looked_at


def test_stopped_it_keeps_what_was_encoded(tmp_path: Path) -> None:
    """With a store on disk, pictures that were encoded are not encoded again, whatever their place and order."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (BLOCK + 5, 32), np.uint8)
    pictures = [_png(rng) for _ in hashes]
    store = TileStore(tmp_path, "f", FakeEncoder().info.dim)
    tiler = TileEncoder(store, FakeEncoder(), lambda n: pictures[n])
    stop = threading.Event()
    blocks = []
    for block in tiler(hashes, Task(stop=stop)):
        blocks.append(block)
        stop.set()
    assert [len(block.at) for block in blocks] == [BLOCK]
    later = TileEncoder(TileStore(tmp_path, "f", FakeEncoder().info.dim), FakeEncoder(), lambda n: pictures[::-1][n])
    rows = np.concatenate([block.rows for block in later(hashes[::-1])])
    assert later.encoded == 5 * len(TILES)
    assert (rows[::-1][:BLOCK] == blocks[0].rows).all()
    assert hashes[0].tobytes() in TileStore(tmp_path, "f", FakeEncoder().info.dim)
    assert hashes[0].tobytes() not in TileStore(tmp_path, "another encoder", FakeEncoder().info.dim)
    assert hashes[0].tobytes() not in TileStore(tmp_path, "f", FakeEncoder().info.dim, grid_tiles(2))


def test_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    rng = np.random.default_rng(0)
    pictures = [_png(rng) for _ in range(2)]
    hashes = rng.integers(0, 256, (2, 32), np.uint8)
    tiler = TileEncoder(TileStore(tmp_path, "f", 64), FakeEncoder(), lambda n: pictures[n])
    (block,) = tiler(hashes)
    assert block.rows.shape == (2, len(TILES), FakeEncoder().info.dim)
    assert np.linalg.norm(block.rows.astype(np.float32), axis=2) == pytest.approx(1, abs=2e-3)


def test_tiles() -> None:
    assert len(TILES) == 14
    assert grid_tiles(2)[3] == (0.5, 0.5, 0.5, 0.5)
    assert overlapping_tiles(0.6)[3] == pytest.approx((0.4, 0.4, 0.6, 0.6))
    pixels = np.arange(90 * 60 * 3, dtype=np.uint32).reshape(60, 90, 3).astype(np.uint8)
    assert (cut_tile(pixels, grid_tiles(3)[4]) == pixels[20:40, 30:60]).all()
    assert cut_tile(pixels[:4, :5], grid_tiles(3)[0]).shape == (4, 5, 3)


def _png(rng: np.random.Generator) -> bytes:
    import io

    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((80, 60)).save(buffer, "PNG")
    return buffer.getvalue()
