"""Temporary image vectors: read and decode images once, and encode them with several encoders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.reader import Reader
from imseek.data.user_files.image_places import IndexedPlace
from imseek.data.vectors.base import Ids
from imseek.data.vectors.scores import unit_rows
from imseek.encoders.base import Encoder, shared_draft_size
from imseek.encoders.input_checks import available_cpus
from imseek.errors import ImseekError, MediaError
from imseek.indexer.ordered_map import OrderedMap
from imseek.indexer.sources.picture_reader import PlaceReader
from imseek.media.decode import decode
from imseek.progress import Task
from imseek.types.arrays import Float32

#: Images encoded at once, unless an encoder asks for more.
_BATCH: Final = 32
#: Ids whose places are looked up at once.
_LOOKUP_BATCH: Final = 500
#: Time limit for reading and decoding an image, in seconds.
_TIMEOUT: Final = 60.0


#: An image to encode, and where it is.
_Request: TypeAlias = tuple[int, IndexedPlace | None]


@dataclass(frozen=True, slots=True)
class _PreparedImage:
    """An image ``prepared`` for each encoder, or the ``trouble`` that prevented it."""

    image_id: int
    prepared: tuple[npt.NDArray[Any], ...] = ()
    trouble: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EncodedBatch:
    """A batch: ``ids`` (m,), the unit rows (m, dim) of each encoder, and ``troubles`` as (id, reason)."""

    ids: Ids
    rows: tuple[Float32, ...]
    troubles: tuple[tuple[int, str], ...]


def encode_stored_images(reader: Reader, ids: Ids, encoders: Sequence[Encoder], task: Task) -> Iterator[EncodedBatch]:
    """Encode images in batches, in the order of ``ids``. Rows are rounded to float16, as in a collection.

    An image that is missing, has changed, or cannot be decoded is reported in ``troubles``. Failures of an encoder as a
    whole are raised. Ends early where the task is cancelled.
    """
    draft, batch = shared_draft_size(encoders), max([_BATCH, *(image.info.batch_size for image in encoders)])
    workers = available_cpus()
    with PlaceReader() as places:

        def read(request: _Request) -> _PreparedImage:
            image_id, place = request
            try:
                return _PreparedImage(image_id, _prepare_image(place, places, encoders, draft))
            except FileNotFoundError:
                return _PreparedImage(image_id, trouble="it is not there any more")
            except (MediaError, OSError) as error:
                return _PreparedImage(image_id, trouble=str(getattr(error, "strerror", None) or error))

        reader_map: OrderedMap[_Request, _PreparedImage] = OrderedMap(
            read,
            workers=workers,
            lookahead=batch + 2 * workers,
            deadline=_TIMEOUT,
            late=lambda wanted: _PreparedImage(wanted[0], trouble="reading and decoding took too long"),
        )
        images = reader_map(_iter_requests(reader, ids, task))
        while batch_images := list(islice(images, batch)):
            readable = [image for image in batch_images if image.trouble is None]
            rows = tuple(
                _encode_batch(encoder, [image.prepared[n] for image in readable]) for n, encoder in enumerate(encoders)
            )
            troubles = tuple((image.image_id, image.trouble) for image in batch_images if image.trouble is not None)
            yield EncodedBatch(np.array([image.image_id for image in readable], np.int64), rows, troubles)


def _iter_requests(reader: Reader, ids: Ids, task: Task) -> Iterator[_Request]:
    for start in range(0, len(ids), _LOOKUP_BATCH):
        batch = ids[start : start + _LOOKUP_BATCH].tolist()
        places = reader.indexed_places(batch)
        for image_id in batch:
            if task.is_cancelled:
                return
            yield image_id, places.get(image_id)


def _prepare_image(
    place: IndexedPlace | None, places: PlaceReader, encoders: Sequence[Encoder], draft: int | None
) -> tuple[npt.NDArray[Any], ...]:
    if place is None:
        raise FileNotFoundError
    pixels = decode(places.load(place).data, min_side=draft).pixels
    try:
        return tuple(encoder.prepare(pixels) for encoder in encoders)
    except (ImseekError, OSError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _encode_batch(encoder: Encoder, prepared: list[npt.NDArray[Any]]) -> Float32:
    if not prepared:
        return np.zeros((0, encoder.info.dim), np.float32)
    return unit_rows(encoder.encode_images(np.stack(prepared)).astype(np.float16))
