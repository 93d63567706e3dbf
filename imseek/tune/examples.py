"""Training examples in a collection: captions, tags or judgements, with vectors."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.disjoint_sets import DisjointSets
from imseek.analysis.space_vectors import Vectors
from imseek.data.catalog import duplicate_judgements, tag_reader
from imseek.data.catalog.content_lookup import HashLookup
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.data.vectors.scores import unit_rows
from imseek.encoders import prompts
from imseek.encoders.base import Encoder
from imseek.errors import UsageError
from imseek.indexer.caption_encoder import CaptionEncoder
from imseek.tune.results import TuneSource
from imseek.types.arrays import Float32

#: Maximum number of pairs; larger sets are sampled.
MAX_PAIRS: Final = 20_000
#: Templates for tags: the bare words, and a caption.
TEMPLATES: Final = ("{}", "a photo of a {}.")

#: Loads the text encoder of the space.
EncoderLoader = Callable[[], Encoder]


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Training examples.

    ``ids`` (n,) are images, ascending, ``images`` (n, dim) their unit rows. ``texts`` are t distinct texts with unit
    rows ``words`` (t, dim); judgements have none, and their queries are images. ``pairs`` (p, 2) int64 are positions of
    a query and of a matching image. ``apart`` (k, 2) are pairs of images judged different. ``notes`` are lines for the
    user.
    """

    source: TuneSource
    ids: Ids
    images: Float32
    texts: tuple[str, ...]
    words: Float32 | None
    pairs: Ids
    apart: Ids
    notes: tuple[str, ...] = ()


def read_examples(reader: Reader, source: TuneSource, words: EncoderLoader, seed: int) -> Examples:
    """Read examples from one source.

    Raises UsageError where the collection has none, and errors of encoding text.
    """
    vectors = Vectors(reader)
    if source == "judgements":
        return _read_judgements(reader, vectors)
    labelled_texts = _iter_captions(reader, vectors) if source == "captions" else _iter_tags(reader)
    total = 0

    def iter_keys() -> Iterator[tuple[int, int, str]]:
        nonlocal total
        for image_id, text in labelled_texts:
            total += 1
            yield _draw_key(seed, image_id, text), image_id, text

    keys = heapq.nsmallest(MAX_PAIRS, iter_keys())
    selected = sorted((image_id, text) for _, image_id, text in keys)
    if not selected:
        raise UsageError(f"no image of this collection has {_WANT[source]}", hint=_HINTS[source])
    notes = (f"{MAX_PAIRS:,} of {total:,} {source} were drawn to learn from",) if total > MAX_PAIRS else ()
    return _build_examples(reader, vectors, source, selected, words, notes)


def default_source(reader: Reader) -> TuneSource:
    """Return the first of captions, tags and judgements that the collection has. Raises UsageError where it has
    none."""
    if next(_iter_captions(reader, Vectors(reader)), None) is not None:
        return "captions"
    if next(_iter_tags(reader), None) is not None:
        return "tags"
    if duplicate_judgements.read(reader.root):
        return "judgements"
    raise UsageError(
        "no captions, tags or judgements to learn from",
        hint="captions come with pictures (docs/sources.md); `imseek duplicates judge` says which are the same",
    )


_WANT: Final = {"captions": "a caption", "tags": "a tag"}
_HINTS: Final = {
    "captions": "captions come with pictures (docs/sources.md); --from tags or --from judgements learns from those",
    "tags": "--from captions or --from judgements learns from those",
}


def _iter_captions(reader: Reader, vectors: Vectors) -> Iterator[tuple[int, str]]:
    """Yield live images with their stripped caption."""
    for shard, segment in zip(reader.current.shards, reader.segments(vectors.space.space_id), strict=True):
        alive = segment.searchable()
        start = 0
        for captions in reader.texts(shard, "caption"):
            for row, caption in enumerate(captions, start):
                if caption and alive[row] and (text := caption.strip()):
                    yield int(segment.ids[row]), text
            start += len(captions)


def _iter_tags(reader: Reader) -> Iterator[tuple[int, str]]:
    return ((image_id, tag.strip()) for image_id, tag in tag_reader.manual_tags(reader) if tag.strip())


def _draw_key(seed: int, image_id: int, text: str) -> int:
    """Hash that decides which pairs are drawn, independent of the other pairs."""
    key = f"{seed} {image_id} {text}".encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest())


def _build_examples(
    reader: Reader,
    vectors: Vectors,
    source: TuneSource,
    selected: Sequence[tuple[int, str]],
    words: EncoderLoader,
    notes: tuple[str, ...],
) -> Examples:
    image_ids = np.array([image_id for image_id, _ in selected], np.int64)
    positions = vectors.positions(np.unique(image_ids))
    ids = vectors.ids[positions[positions >= 0]]
    images, is_usable = _usable_images(vectors, ids)
    texts = sorted({text for _, text in selected})
    image_by_text = {text: image_id for image_id, text in selected}
    if source == "captions":
        rows = _caption_rows(reader, vectors, [(text, image_by_text[text]) for text in texts], words)
    else:
        rows = prompts.class_vectors(words(), texts, TEMPLATES)
    has_vector = _usable_rows(rows)
    if not has_vector.all():
        notes += (f"{int((~has_vector).sum()):,} texts have no vector, and are passed over",)
    if not is_usable.all():
        notes += (f"{int((~is_usable).sum()):,} images have no finite vector, and are passed over",)
    number = {text: n for n, text in enumerate(texts)}
    position_by_id = {image_id: n for n, image_id in enumerate(ids.tolist())}
    pairs = [(number[text], position_by_id[image_id]) for image_id, text in selected if image_id in position_by_id]
    usable_pairs = [(a, b) for a, b in pairs if has_vector[a] and is_usable[b]]
    if not usable_pairs:
        raise UsageError(
            f"there are {source}, but no vectors of them and their images", hint=notes[-1] if notes else None
        )
    return _drop_unpaired(source, ids, images, tuple(texts), rows, usable_pairs, notes)


def _caption_rows(reader: Reader, vectors: Vectors, texts: Sequence[tuple[str, int]], words: EncoderLoader) -> Float32:
    """Return rows (t, dim) of captions, each given with an image that has it; zeros where there is no vector."""
    space = reader.current.caption_space
    if space is None or space.fingerprint != vectors.space.fingerprint:
        return CaptionEncoder(words())([text for text, _ in texts]).astype(np.float32)
    caption_vectors = Vectors(reader, space)
    ids = np.array([image_id for _, image_id in texts], np.int64)
    rows = np.zeros((len(ids), space.dim), np.float32)
    has_row = caption_vectors.positions(ids) >= 0
    rows[has_row] = caption_vectors.of(ids[has_row])
    return rows


def _usable_images(vectors: Vectors, ids: Ids) -> tuple[Float32, npt.NDArray[np.bool_]]:
    """Return unit rows of images, and which are usable: finite and not zero."""
    images = unit_rows(vectors.stored_rows(ids))
    return images, _usable_rows(images)


def _usable_rows(rows: Float32) -> npt.NDArray[np.bool_]:
    usable: npt.NDArray[np.bool_] = np.isfinite(rows).all(axis=1) & (rows != 0).any(axis=1)
    return usable


def _drop_unpaired(
    source: TuneSource,
    ids: Ids,
    images: Float32,
    texts: tuple[str, ...],
    rows: Float32,
    pairs: Sequence[tuple[int, int]],
    notes: tuple[str, ...],
) -> Examples:
    """Drop texts and images that are in no pair."""
    table = np.array(pairs, np.int64).reshape(-1, 2)
    used_texts, text_positions = np.unique(table[:, 0], return_inverse=True)
    used_images, image_positions = np.unique(table[:, 1], return_inverse=True)
    return Examples(
        source=source,
        ids=ids[used_images],
        images=images[used_images],
        texts=tuple(texts[n] for n in used_texts.tolist()),
        words=rows[used_texts],
        pairs=np.unique(np.stack([text_positions, image_positions], axis=1).reshape(-1, 2), axis=0),
        apart=np.empty((0, 2), np.int64),
        notes=notes,
    )


def _read_judgements(reader: Reader, vectors: Vectors) -> Examples:
    """Read pairs judged the same, with all that follow by transitivity, in both directions; one image per content."""
    judgements = duplicate_judgements.read(reader.root)
    lookup = HashLookup(reader.root)
    try:
        id_by_content = {
            content: lookup.find(bytes.fromhex(content)) for one in judgements for content in (one.a, one.b)
        }
    finally:
        lookup.close()
    ids = np.unique(np.array([i for i in id_by_content.values() if i is not None], np.int64))
    ids = ids[vectors.positions(ids) >= 0]
    images, is_usable = _usable_images(vectors, ids)
    position_by_id = {image_id: n for n, image_id in enumerate(ids[is_usable].tolist())}
    at = {content: position_by_id.get(image_id) for content, image_id in id_by_content.items() if image_id is not None}
    table: dict[str, list[tuple[int, int]]] = {"same": [], "different": []}
    for one in judgements:
        a, b = at.get(one.a), at.get(one.b)
        if a is not None and b is not None and a != b:
            table[one.verdict].append((a, b))
    if not table["same"]:
        raise UsageError(
            "no two images of this collection were judged the same",
            hint="imseek duplicates judge ID ID --same",
        )
    return Examples(
        source="judgements",
        ids=ids[is_usable],
        images=images[is_usable],
        texts=(),
        words=None,
        pairs=_all_pairs(connected_components(len(position_by_id), np.array(table["same"], np.int64))),
        apart=np.array(table["different"], np.int64).reshape(-1, 2),
    )


def _all_pairs(groups: Ids) -> Ids:
    """Return all ordered pairs (p, 2) within each group."""
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    squares = [np.stack(np.meshgrid(part, part), axis=-1).reshape(-1, 2) for part in parts if len(part) > 1]
    pairs = np.concatenate(squares)
    ordered_pairs: Ids = pairs[pairs[:, 0] != pairs[:, 1]]
    return ordered_pairs


def connected_components(n: int, edges: Ids) -> Ids:
    """Return the component of each node (n,), counted from 0, for ``edges`` (e, 2)."""
    components = DisjointSets()
    for a, b in edges.tolist():
        low, high = sorted((components.root(a), components.root(b)))  # The first node of each is its root.
        components.join(high, low)
    numbers: Ids = np.unique([components.root(node) for node in range(n)], return_inverse=True)[1].astype(np.int64)
    return numbers
