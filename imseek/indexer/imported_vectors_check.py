"""Check that imported vectors come from the collection's encoder.

Evidence is what the user and the file state, and a comparison of sample pictures with their vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.catalog.catalog_writer import Catalog
from imseek.data.catalog.place_paths import MEMBER_SEPARATOR, is_url, locate
from imseek.encoders.base import Encoder
from imseek.encoders.registry import canonical
from imseek.errors import MediaError, UsageError
from imseek.indexer.decode_stage import unit_rows
from imseek.indexer.scan import ScanSettings
from imseek.indexer.source_selection import Target
from imseek.indexer.sources.base import Container, FoundImage
from imseek.indexer.sources.encoder_claims import Claim
from imseek.indexer.sources.local_files import FileOpener, read_file
from imseek.indexer.sources.vectors import VectorRow, Vectors, open_vectors
from imseek.media.decode import Limits, decode

#: Pictures that are encoded and compared with their rows.
SAMPLES: Final = 8
#: Maximum rows tried per array to find readable pictures.
MAX_TRIES: Final = 256
#: Minimum median cosine for vectors to count as the same encoder's. Recomputed vectors differ only by rounding and by
#: how a picture is scaled down (0.99 and more); those of another encoder, even a related one, are far off.
MIN_COSINE: Final = 0.98
#: Pixel modes that may have transparency.
_TRANSPARENT: Final = frozenset({"RGBA", "RGBa", "LA", "La", "PA", "P"})


def check(
    catalog: Catalog,
    targets: Sequence[Target],
    encoders: Mapping[int, Encoder],
    settings: ScanSettings,
    limits: Limits,
) -> tuple[list[Target], tuple[str, ...]]:
    """Return the targets that can be scanned, and notes about vectors for the user.

    Arrays that need no opening are not checked. A recorded source of vectors that no longer fits the collection's
    encoder is left as it is. Raises UsageError if the encoder of a new source is not named, is not the only one of
    the collection, or did not make the vectors.
    """
    usable: list[Target] = []
    notes: list[str] = []
    for target in targets:
        if target.source.kind != "vectors":
            usable.append(target)
            continue
        source = open_vectors(target.root, target.options)
        claim = source.claim()
        try:
            proven = _check_named(target, claim, list(encoders.values()))
        except UsageError as error:
            if target.source.source_id < 0:
                raise
            notes.append(f"{error}: what was taken over is kept as it is")
            continue
        usable.append(target)
        (encoder,) = encoders.values()
        try:
            arrays = [entry for entry in source.scan() if isinstance(entry, Container)]
            to_open = [array for array in arrays if _is_opened(catalog, target, array, settings)]
            if to_open:
                notes += _check_evidence(target, source, to_open, encoder, limits, proven=proven)
        except OSError:
            continue  # the run reports what cannot be read
        finally:
            source.close()
    return usable, tuple(notes)


def _is_opened(catalog: Catalog, target: Target, array: Container, settings: ScanSettings) -> bool:
    """Return whether an array must be opened: it is new, has changed, lost vectors, or everything is read again."""
    source_id = target.source.source_id
    before = catalog.known_containers(source_id).get(array.path)
    is_unchanged = before is not None and before.same_as(array.stat)
    lost = catalog.count_within(source_id, array.path)[1]
    return not is_unchanged or lost > 0 or settings.rehash or settings.retry_failed


def _check_named(target: Target, claim: Claim | None, encoders: Sequence[Encoder]) -> bool:
    """Return whether the file states that this encoder, with these weights, made its vectors. Raises UsageError."""
    if len(encoders) > 1:
        raise UsageError(
            f"{target.shown}: vectors can be taken over only where a collection has one encoder of pictures",
            hint="make another collection for them",
        )
    (encoder,) = encoders
    reference = target.options.encoder or (None if claim is None else claim.encoder)
    if reference is None:
        raise UsageError(
            f"{target.shown} holds vectors, and nothing in it says which encoder made them",
            hint="name it with --encoder (SourceOptions.encoder)",
        )
    if canonical(reference) != encoder.info.reference:
        raise UsageError(
            f"{target.shown}: vectors of {reference} cannot join a collection that is encoded with "
            f"{encoder.info.reference}",
            hint="make another collection for them",
        )
    if claim is None or claim.fingerprint is None:
        return False
    if claim.fingerprint != encoder.fingerprint():
        raise UsageError(
            f"{target.shown}: its vectors were made by {claim.encoder}, with weights that are not this collection's",
            hint="make another collection for them, or index the pictures themselves",
        )
    return True


def _check_evidence(
    target: Target,
    source: Vectors,
    changed: Sequence[Container],
    encoder: Encoder,
    limits: Limits,
    *,
    proven: bool,
) -> list[str]:
    """Compare sample pictures with their vectors; return notes. Raises UsageError if another encoder made them."""
    cosines: list[float] = []
    for container in changed:
        try:
            dim = source.matrix(container.path).dim
        except (MediaError, OSError):
            continue  # Reported by the run.
        if dim != encoder.info.dim:
            raise UsageError(
                f"{target.shown}: its vectors have {dim} numbers, those of {encoder.info.reference} {encoder.info.dim}",
                hint="name the encoder that made them",
            )
        if len(cosines) < SAMPLES and not proven:
            cosines += _compare(target, source, container, encoder, limits, SAMPLES - len(cosines))
    if proven:
        return []
    if not cosines:
        return [
            f"{target.shown}: no picture could be read to compare: that {encoder.info.reference} made the "
            "vectors is taken on trust"
        ]
    median = float(np.median(cosines))
    if median < MIN_COSINE:
        raise UsageError(
            f"{target.shown}: {encoder.info.reference} did not make these vectors: the cosine to what it makes of "
            f"{len(cosines)} of the pictures is {median:.3f} in the median",
            hint="name the encoder that made them, with its weights",
        )
    return []


def _compare(
    target: Target, source: Vectors, container: Container, encoder: Encoder, limits: Limits, count: int
) -> list[float]:
    """Return the cosines between imported rows and what the encoder makes of their pictures.

    Uses the first rows whose pictures can be read from disk.
    """
    rows: list[npt.NDArray[np.float16]] = []
    prepared: list[npt.NDArray[Any]] = []
    try:
        for n, entry in enumerate(source.expand(container)):
            if n >= MAX_TRIES or len(rows) >= count:
                break
            if isinstance(entry, FoundImage) and isinstance(entry.where, VectorRow):
                picture = _picture(locate(target.root, entry.path), entry.path, encoder, limits)
                if picture is not None:
                    rows.append(entry.where.vector)
                    prepared.append(picture)
    except (MediaError, OSError):
        pass  # Reported by the run.
    encoded_rows = unit_rows(encoder, prepared)
    return [
        float(np.dot(row.astype(np.float32), other.astype(np.float32)))
        for row, other in zip(rows, encoded_rows, strict=True)
        if not isinstance(other, str)
    ]


def _picture(place: bytes, path: bytes, encoder: Encoder, limits: Limits) -> npt.NDArray[Any] | None:
    """Return a picture on disk, prepared for the encoder, or None if it cannot be read."""
    if path.count(MEMBER_SEPARATOR) < 2 or is_url(place):
        return None
    try:
        decoded = decode(read_file(FileOpener(place).open(b"")).data, limits=limits)
        # We show transparent areas as white, other tools may not, so such pictures prove nothing.
        return None if decoded.facts.mode in _TRANSPARENT else encoder.prepare(decoded.pixels)
    except (MediaError, OSError):
        return None
