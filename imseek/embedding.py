"""Encode pictures and texts without a collection: ``imseek.load_encoder("default")``.

>>> encoder = imseek.load_encoder("default")      # doctest: +SKIP
>>> encoder.images(["a.jpg", "b.jpg"]) @ encoder.texts(["a dog"]).T      # doctest: +SKIP
array([[0.31], [0.12]], dtype=float32)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.encoders import registry
from imseek.encoders.base import Encoder, EncoderInfo
from imseek.encoders.input_checks import available_cpus, check_texts
from imseek.encoders.runtime import Runtime
from imseek.encoders.space_compatibility import load_resolved
from imseek.errors import ImseekError, MediaError, UsageError
from imseek.indexer.ordered_map import OrderedMap
from imseek.input_file import read_input
from imseek.media.decode import DEFAULT_LIMITS, Limits, decode
from imseek.media.picture_objects import PillowImage, encode_picture, is_picture, is_pixels
from imseek.progress import ProgressCallback, Task
from imseek.tilde_expansion import expand_user
from imseek.types.arrays import Float32, Pixels
from imseek.types.encode_report import EncodedKind, EncodeReport, FileFormat, SkippedInput
from imseek.types.pictures import SkipReason, display_path, path_json

#: Pictures encoded at once, unless the encoder asks for more, and texts.
_BATCH: Final = 32
_TEXTS: Final = 256
#: Time limit for reading and decoding a picture, in seconds.
_TIMEOUT: Final = 60.0

#: A picture: the path of a file, its bytes, an image of Pillow, or pixels (h, w, 3) uint8 in sRGB.
PictureSource: TypeAlias = str | os.PathLike[str] | bytes | PillowImage | Pixels
#: Receives the position of a picture that cannot be encoded, and why.
OnError: TypeAlias = Callable[[int, MediaError], None]


def load_encoder(
    reference: str = "default", *, runtime: Runtime | None = None, notify: Callable[[str], None] | None = None
) -> Embedder:
    """Load the encoder that ``reference`` names (docs/encoders.md), to encode pictures and texts with it.

    ``auto`` takes the default encoder if it is available, else the built-in one. ``runtime`` sets device, precision and
    threads. ``notify`` receives a line before weights are downloaded, with their name, size and licence, and one where
    ``auto`` takes the built-in encoder. Weights are read on first use.

    Raises UnknownEncoderError, EncoderUnavailableError, MissingExtraError, LicenceError, UntrustedWeightsError.
    """
    resolution = registry.resolve(reference)
    if reference == registry.AUTO and resolution.note is not None and notify is not None:
        notify(resolution.note)
    return Embedder(load_resolved(resolution, ("image", "text"), runtime, notify))


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A picture as the encoder takes it, or the ``error`` that prevented it."""

    position: int
    element: npt.NDArray[Any] | None = None
    error: MediaError | None = None


class Embedder:
    """An encoder with everything around it: it reads and decodes pictures, and works in batches. Thread-safe.

    ``limits`` bound the size of a picture. Vectors are those that an index of the same encoder holds, except that these
    are rounded to float16 there.
    """

    def __init__(self, encoder: Encoder, limits: Limits = DEFAULT_LIMITS) -> None:
        self.encoder = encoder
        self._limits = limits

    def __repr__(self) -> str:
        return f"<imseek.Embedder {self.info.reference}, {self.dim} dimensions>"

    @property
    def info(self) -> EncoderInfo:
        """Facts about the encoder."""
        return self.encoder.info

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self.encoder.info.dim

    def fingerprint(self) -> str:
        """Return a hex digest of weights and preprocessing; vectors are comparable if it is equal."""
        return self.encoder.fingerprint()

    def texts(self, texts: Iterable[str]) -> Float32:
        """Encode n texts as (n, dim) float32 unit rows.

        Raises QueryError for an empty text, UsageError for anything but a list of str, and EncoderError where the
        encoder knows no words.
        """
        if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
            raise UsageError("texts are a list of str", hint='for one text: texts(["a red car"])')
        remaining = iter(texts)
        rows = [np.empty((0, self.dim), np.float32)]
        while some := list(islice(remaining, _TEXTS)):
            rows.append(self.encoder.encode_texts(some))
        return np.concatenate(rows)

    def images(self, pictures: Iterable[PictureSource], *, on_error: OnError | None = None) -> Float32:
        """Encode n pictures as (n, dim) float32 unit rows, in their order.

        A picture is the path of a file, its bytes, an image of Pillow, or pixels (h, w, 3) uint8. One that cannot be
        used raises MediaError, which names it by its position; with ``on_error``, that is called instead with the
        position and the error, and its row is NaN.

        Raises UsageError for anything else, and EncoderError where the encoder encodes no pictures.
        """
        return np.concatenate([np.empty((0, self.dim), np.float32), *self.image_blocks(pictures, on_error=on_error)])

    def image_blocks(self, pictures: Iterable[PictureSource], *, on_error: OnError | None = None) -> Iterator[Float32]:
        """Yield the rows of :meth:`images` in blocks, for more pictures than fit into memory; ``pictures`` may stream.

        Raises as :meth:`images`.
        """
        if (
            isinstance(pictures, str | bytes | os.PathLike)
            or is_picture(pictures)
            or not isinstance(pictures, Iterable)
        ):
            raise UsageError("pictures are a list", hint='for one picture: images(["a.jpg"])')
        return self._encode_blocks(pictures, on_error)

    def _encode_blocks(self, pictures: Iterable[PictureSource], on_error: OnError | None) -> Iterator[Float32]:
        batch, workers = max(_BATCH, self.encoder.info.batch_size), available_cpus()
        preparing: OrderedMap[tuple[int, PictureSource], _Prepared] = OrderedMap(
            lambda numbered: self._prepare(*numbered),
            workers=workers,
            lookahead=batch + 2 * workers,
            deadline=_TIMEOUT,
            late=lambda numbered: _Prepared(
                numbered[0],
                error=_named(*numbered, MediaError(SkipReason.TIMEOUT, "reading and decoding took too long")),
            ),
        )
        with closing(preparing(enumerate(pictures))) as prepared:
            while some := list(islice(prepared, batch)):
                yield self._encode(some, on_error)

    def _encode(self, some: Sequence[_Prepared], on_error: OnError | None) -> Float32:
        """Encode a batch; the rows of pictures that could not be used are NaN."""
        rows = np.full((len(some), self.dim), np.nan, np.float32)
        usable = []
        for row, one in enumerate(some):
            if one.error is None:
                usable.append(row)
            elif on_error is None:
                raise one.error
            else:
                on_error(one.position, one.error)
        if usable:
            elements = [one.element for one in some if one.element is not None]
            rows[usable] = self.encoder.encode_images(np.stack(elements))
        return rows

    def _prepare(self, position: int, picture: PictureSource) -> _Prepared:
        try:
            return _Prepared(position, self.encoder.prepare(self._pixels(picture)))
        except MediaError as error:
            return _Prepared(position, error=_named(position, picture, error))
        except OSError as error:
            reason = SkipReason.VANISHED if isinstance(error, FileNotFoundError) else SkipReason.UNREADABLE
            failure = MediaError(reason, error.strerror or str(error))
            return _Prepared(position, error=_named(position, picture, failure))
        except ImseekError:
            raise
        except Exception as error:  # an odd shape may be too much for an encoder's preprocessing
            failure = MediaError(SkipReason.ENCODER_FAILED, f"{type(error).__name__}: {error}")
            return _Prepared(position, error=_named(position, picture, failure))

    def _pixels(self, picture: PictureSource) -> Pixels:
        if is_pixels(picture):
            if not picture.size:
                raise MediaError(SkipReason.CORRUPT, "the array is empty")
            return picture
        if isinstance(picture, bytes):
            data = picture
        elif isinstance(picture, str | os.PathLike):
            data = read_input(picture, most=self._limits.max_bytes)
        elif is_picture(picture):
            data = encode_picture(picture)
        else:
            raise UsageError(
                f"a picture is a path, bytes, an image of Pillow or pixels (h, w, 3) uint8, not {_describe(picture)}"
            )
        draft = self.encoder.info.draft_size
        return decode(data, min_side=draft, limits=self._limits, measured=False).pixels


def encode_file(
    encoder: Embedder,
    inputs: Sequence[str],
    target: Path,
    *,
    kind: EncodedKind = "images",
    file_format: FileFormat | None = None,
    made: Path | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> EncodeReport:
    """Encode paths of pictures, or texts, and write the vectors to ``target``: (n, dim) float32 unit rows.

    A ``.npy`` file has a row for each input, of NaN for a picture that could not be used. A ``.parquet`` file has the
    columns ``path`` (or ``text``) and ``vector``, without such pictures, and says which encoder made them, so that
    ``imseek index`` can take it in. Where no picture could be used, there is no file. ``file_format`` is by default
    that of the ending of ``target``. ``made`` is a file to write instead, which the caller moves there.

    Raises UsageError for no input and for another ending, whatever :meth:`Embedder.texts` raises, OSError, and
    InterruptedError once ``stop`` is set.
    """
    output_format = check_request(inputs, target, kind, file_format)
    task, skipped = Task(progress, stop), list[SkippedInput]()

    def note(position: int, error: MediaError) -> None:
        message = f"{error} ({error.hint})" if error.hint else str(error)
        skipped.append(SkippedInput(position, os.fsencode(inputs[position]), error.reason, message))

    def blocks() -> Iterator[Float32]:
        done = 0
        if kind == "images":
            row_blocks = encoder.image_blocks(inputs, on_error=note)
        else:
            row_blocks = (encoder.texts(inputs[n : n + _TEXTS]) for n in range(0, len(inputs), _TEXTS))
        for rows in row_blocks:
            yield rows
            done += len(rows)
            task.step("encoding", done, len(inputs), skipped=len(skipped))

    write = _write_npy if output_format == "npy" else _write_parquet
    output = target if made is None else made
    write(output, encoder, inputs, kind, blocks())
    vectors = len(inputs) - len(skipped)
    if not vectors:
        output.unlink()
    return EncodeReport(
        kind=kind,
        target=os.fsencode(target) if vectors else None,
        format=output_format,
        vectors=vectors,
        dim=encoder.dim,
        encoder=encoder.info.reference,
        fingerprint=encoder.fingerprint(),
        skipped=tuple(skipped),
    )


def check_request(
    inputs: Sequence[str], target: Path, kind: EncodedKind, file_format: FileFormat | None = None
) -> FileFormat:
    """Check what :func:`encode_file` is to do, before an encoder is loaded; returns the format of the file.

    Raises UsageError, and QueryError for an empty text.
    """
    if not inputs:
        raise UsageError("nothing to encode", hint="name pictures, or texts with --texts")
    if kind == "texts":
        check_texts(inputs)
    if file_format is not None:
        return file_format
    ending = target.suffix.lower()
    if ending == ".npy":
        return "npy"
    if ending == ".parquet":
        return "parquet"
    raise UsageError(f"{target} is neither .npy nor .parquet", hint="the ending of the file's name says what to write")


def _write_npy(
    path: Path, encoder: Embedder, inputs: Sequence[str], kind: EncodedKind, blocks: Iterator[Float32]
) -> None:
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (len(inputs), encoder.dim))
    start = 0
    for block in blocks:
        rows[start : start + len(block)] = block
        start += len(block)
    rows.flush()


def _write_parquet(
    output: Path, encoder: Embedder, inputs: Sequence[str], kind: EncodedKind, blocks: Iterator[Float32]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Metadata that `imseek index` reads (docs/exports.md).
    claim = {"encoder": encoder.info.reference, "fingerprint": encoder.fingerprint(), "dim": str(encoder.dim)}
    vector = pa.list_(pa.float32(), encoder.dim)
    fields = [pa.field("path" if kind == "images" else "text", pa.string()), pa.field("vector", vector)]
    if kind == "images":
        fields.insert(1, pa.field("path_b64", pa.string()))
    schema = pa.schema(fields, {f"imseek.{name}": value for name, value in {"vector": "vector", **claim}.items()})
    start = 0
    with pq.ParquetWriter(output, schema, compression="zstd", use_dictionary=False) as writer:
        for block in blocks:
            finite_rows = np.flatnonzero(np.isfinite(block).all(axis=1))
            names = [inputs[start + int(row)] for row in finite_rows]
            rows = pa.FixedSizeListArray.from_arrays(pa.array(block[finite_rows].reshape(-1)), encoder.dim)
            if kind == "images":
                places = [path_json(os.fsencode(expand_user(path).absolute())) for path in names]
                columns = [pa.array([one.get(name) for one in places], pa.string()) for name in ("path", "path_b64")]
            else:
                columns = [pa.array(names, pa.string())]
            writer.write_table(pa.table([*columns, rows], schema=schema))
            start += len(block)


def _named(position: int, picture: object, error: MediaError) -> MediaError:
    """Return the error of a picture with its position, and its path if it has one."""
    suffix = f" ({display_path(os.fsencode(picture))})" if isinstance(picture, str | os.PathLike) else ""
    return MediaError(error.reason, f"picture {position}{suffix}: {error}", hint=error.hint)


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    return f"a {type(value).__name__}"
