"""Validate an untrusted FAISS file before FAISS loads it, since FAISS trusts the lengths and names in it.

FAISS allocates whatever a length says, up to a terabyte. Lists in a file of their own (``ilod``) are mapped, writable,
wherever the file says, even in an index that only provides the centres of another. Rows of scalar codes are not
counted. So only kinds known here are opened, every length must fit into the file, and the number of rows must be as
stated. Codes, ids and graph edges are not checked: FAISS has checked edges since 1.14, and ids are looked up.

Source of the layout: faiss/impl/index_read.cpp of FAISS 1.15.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import BinaryIO, Final, NamedTuple, TypeAlias

#: Nesting depth of indexes. imseek makes at most four levels: transform, ids, lists, and the graph of their centres.
_MAX_DEPTH: Final = 8
#: The largest dimension that FAISS accepts.
_MAX_DIM: Final = 1 << 20
#: Maximum number of transforms in a chain.
_MAX_STEPS: Final = 16

_BOOL: Final = 1
_INT: Final = 4
_FLOAT: Final = 4
_LONG: Final = 8
_DOUBLE: Final = 8

_INNER_PRODUCT: Final = 0
#: Maximum entries of the codebooks of additive codes: FAISS makes a table of all pairs of them.
_MAX_CODEBOOKS: Final = 1 << 14
#: Kinds of additive codes whose norm has centres, and those whose norm has tables too.
_NORM_CENTRES: Final = range(6, 10)
_NORM_TABLES: Final = range(8, 10)

#: Bits per number, by kind of scalar code.
_SCALAR_BITS: Final = (8, 4, 8, 4, 16, 8, 6, 16, 8)
#: The kind of id-to-row map that is a table.
_TABLE: Final = 2


def check_structure(file: BinaryIO) -> None:
    """Raise ValueError unless a file is an index of a known kind with possible lengths. Moves the position of
    ``file``."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    _Walk(file, size).index()


class _Shape(NamedTuple):
    dim: int
    rows: int


class _Walk:
    """A position in a file of ``size`` bytes, which every read moves."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._depth = 0

    def index(self) -> _Shape:
        """Read an index and all indexes within it."""
        kind = self.word()
        if kind not in _INDEXES:
            raise ValueError(f"an index of the kind {kind!r}, which imseek does not open")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_DEPTH} indexes within each other")
        shape = self.header()
        _INDEXES[kind](self, shape)
        self._depth -= 1
        return shape

    def header(self) -> _Shape:
        """Read dimension, rows, two unused numbers, whether it is trained, and the metric."""
        dim, rows = struct.unpack("<iq", self._read(_INT + _LONG))
        if not 0 < dim <= _MAX_DIM or not 0 <= rows < 1 << 48:
            raise ValueError(f"{rows:,} rows of {dim:,} numbers")
        self.skip(2 * _LONG + _BOOL)
        if (metric := self.number()) != _INNER_PRODUCT:
            raise ValueError(f"an index of the metric {metric}, not inner product")
        return _Shape(dim, rows)

    def word(self) -> str:
        """Read the four letters that name the kind of something."""
        return self._read(4).decode("latin-1")

    def byte(self) -> int:
        return self._read(1)[0]

    def number(self) -> int:
        """Read a 32-bit integer."""
        (value,) = struct.unpack("<i", self._read(_INT))
        return int(value)

    def count(self) -> int:
        """Read a 64-bit integer that cannot exceed the bytes of the file."""
        (value,) = struct.unpack("<Q", self._read(_LONG))
        if value > self._size:
            raise ValueError(f"{value:,} of something in a file of {self._size:,} bytes")
        return int(value)

    def vector(self, size: int) -> int:
        """Skip a vector of items of ``size`` bytes; return the number of items."""
        count = self.count()
        self.skip(count * size)
        return count

    def longs(self, most: int) -> tuple[int, ...]:
        """Read a vector of at most ``most`` 64-bit integers."""
        count = self.count()
        if count > most:
            raise ValueError(f"{count:,} numbers where {most:,} can be")
        return struct.unpack(f"<{count}Q", self._read(count * _LONG))

    def skip(self, size: int) -> None:
        position = self._file.tell()
        if size > self._size - position:
            raise ValueError(f"it ends {size - self._size + position:,} bytes early")
        self._file.seek(position + size)

    def _read(self, size: int) -> bytes:
        data = self._file.read(size) if size <= self._size - self._file.tell() else b""
        if len(data) < size:
            raise ValueError("it ends early")
        return data


def _check(name: str, actual: int, expected: int) -> None:
    if actual != expected:
        raise ValueError(f"{actual:,} {name}, where {expected:,} are stated")


# -- codecs: each skips the description of how rows are packed, and returns the bytes of one row ---------------------

_Codec: TypeAlias = Callable[[_Walk, _Shape], int]


def _floats(walk: _Walk, shape: _Shape) -> int:
    return _FLOAT * shape.dim


def _scalars(walk: _Walk, shape: _Shape) -> int:
    kind = walk.number()
    if not 0 <= kind < len(_SCALAR_BITS):
        raise ValueError(f"scalar codes of the kind {kind}, which imseek does not open")
    walk.skip(_INT + _FLOAT)
    _check("numbers of a row", walk.count(), shape.dim)
    walk.skip(_LONG)
    walk.vector(_FLOAT)
    return (shape.dim * _SCALAR_BITS[kind] + 7) // 8


def _products(walk: _Walk, shape: _Shape) -> int:
    _check("numbers of a row", walk.count(), shape.dim)
    parts, bits = walk.count(), walk.count()
    if not 0 < parts <= shape.dim or not 0 < bits <= 24:
        raise ValueError(f"codes of {parts:,} parts of {bits:,} bits")
    _check("numbers of centres", walk.vector(_FLOAT), shape.dim << bits)
    return (parts * bits + 7) // 8


def _additive(walk: _Walk, shape: _Shape, *, after: int) -> None:
    """Skip sums of codebook entries, then ``after`` bytes of settings."""
    _check("numbers of a row", walk.count(), shape.dim)
    parts = walk.count()
    bits = walk.longs(shape.dim)
    _check("codebooks", len(bits), parts)
    entries = sum(1 << min(size, 32) for size in bits)
    if entries > _MAX_CODEBOOKS:
        raise ValueError(f"codebooks of {entries:,} entries")
    walk.skip(_BOOL)
    _check("numbers of codebooks", walk.vector(_FLOAT), shape.dim * entries)
    norm = walk.number()
    walk.skip(2 * _FLOAT)
    if norm in _NORM_CENTRES:
        walk.vector(_FLOAT)
    if norm in _NORM_TABLES:
        walk.vector(_FLOAT)
    walk.skip(after)


def _residual(walk: _Walk, shape: _Shape) -> int:
    _additive(walk, shape, after=2 * _INT)
    return 0


def _local_search(walk: _Walk, shape: _Shape) -> int:
    _additive(walk, shape, after=5 * _LONG + 2 * _FLOAT + _LONG + _INT + _LONG + _BOOL)
    return 0


def _rabitq(walk: _Walk, shape: _Shape, *, has_bits: bool) -> int:
    _check("numbers of a row", walk.count(), shape.dim)
    size = walk.count()
    walk.skip(_INT + (_LONG if has_bits else 0))
    return size


# -- kinds of indexes ------------------------------------------------------------------------------------------------


def _flat(walk: _Walk, shape: _Shape) -> None:
    _check("numbers of rows", walk.vector(_FLOAT), shape.rows * shape.dim)


def _scalar(walk: _Walk, shape: _Shape) -> None:
    size = _scalars(walk, shape)
    _check("bytes of rows", walk.vector(1), shape.rows * size)


def _product(walk: _Walk, shape: _Shape) -> None:
    size = _products(walk, shape)
    _check("bytes of rows", walk.vector(1), shape.rows * size)
    walk.skip(_INT + _BOOL + _INT)


def _additive_rows(walk: _Walk, shape: _Shape, *, codec: _Codec) -> None:
    codec(walk, shape)
    size = walk.count()
    _check("bytes of rows", walk.vector(1), shape.rows * size)


def _product_blocks(walk: _Walk, shape: _Shape) -> None:
    _products(walk, shape)
    walk.skip(3 * _INT)
    rows, _ = walk.count(), walk.count()
    if rows < shape.rows:
        raise ValueError(f"blocks of {rows:,} rows, where {shape.rows:,} are stated")
    walk.vector(1)


def _rabitq_rows(walk: _Walk, shape: _Shape, *, has_bits: bool) -> None:
    size = _rabitq(walk, shape, has_bits=has_bits)
    _check("bytes of rows", walk.vector(1), shape.rows * size)
    walk.vector(_FLOAT)
    walk.skip(1)


def _rabitq_blocks(walk: _Walk, shape: _Shape) -> None:
    _rabitq(walk, shape, has_bits=True)
    walk.vector(_FLOAT)
    walk.skip(1 + _INT)
    rows, _, _ = walk.count(), walk.count(), walk.count()
    if rows < shape.rows:
        raise ValueError(f"blocks of {rows:,} rows, where {shape.rows:,} are stated")
    walk.vector(1)


def _with_ids(walk: _Walk, shape: _Shape) -> None:
    _check("rows", walk.index().rows, shape.rows)
    _check("ids", walk.vector(_LONG), shape.rows)


def _transformed(walk: _Walk, shape: _Shape) -> None:
    steps = walk.number()
    if not 0 <= steps <= _MAX_STEPS:
        raise ValueError(f"a chain of {steps:,} transforms")
    dim = shape.dim
    for _ in range(steps):
        before, after = _transform(walk)
        _check("numbers of a vector", before, dim)
        dim = after
    inner = walk.index()
    _check("rows", inner.rows, shape.rows)
    _check("numbers of a vector after its transforms", inner.dim, dim)


def _transform(walk: _Walk) -> tuple[int, int]:
    """Read a transform; return the dimensions before and after it."""
    kind = walk.word()
    if kind not in _TRANSFORMS:
        raise ValueError(f"a transform of the kind {kind!r}, which imseek does not open")
    numbers = _TRANSFORMS[kind](walk)
    before, after = walk.number(), walk.number()
    walk.skip(_BOOL)
    if numbers is not None:
        _check("numbers in a matrix", numbers, before * after)
    return before, after


def _refined(walk: _Walk, shape: _Shape) -> None:
    for _ in range(2):
        _check("rows", walk.index().rows, shape.rows)
    walk.skip(_FLOAT)


def _graph(walk: _Walk, shape: _Shape, *, more: int = 0) -> None:
    walk.skip(more)
    walk.vector(_DOUBLE)
    walk.vector(_INT)
    _check("levels", walk.vector(_INT), shape.rows)
    _check("offsets", walk.vector(_LONG), shape.rows + 1)
    walk.vector(_INT)
    walk.skip(5 * _INT)
    _check("rows", walk.index().rows, shape.rows)


def _inverted(
    walk: _Walk, shape: _Shape, *, codec: _Codec, before: int = 0, after: int = 0, any_size: bool = False
) -> None:
    """Check an inverted file: its centres, its codec, and its lists.

    ``before`` and ``after`` are bytes of settings on either side of the codec; with ``any_size``, FAISS checks the
    bytes of a row.
    """
    lists = walk.count()
    walk.skip(_LONG)
    _check("centres", walk.index().rows, lists)
    kind = walk.byte()
    walk.vector(_LONG)
    if kind == _TABLE:
        walk.vector(2 * _LONG)
    walk.skip(before)
    size = codec(walk, shape)
    walk.skip(after)
    _lists(walk, lists, None if any_size else size)


def _lists(walk: _Walk, lists: int, size: int | None) -> None:
    kind = walk.word()
    if kind == "il00":
        return
    if kind not in ("ilar", "ilbl"):
        raise ValueError(f"lists of the kind {kind!r}, which imseek does not open")
    _check("lists", walk.count(), lists)
    if kind == "ilbl":
        walk.skip(3 * _LONG)
        for _ in range(lists):
            walk.vector(_LONG)
            walk.vector(1)
        return
    code = walk.count()
    if size is not None:
        _check("bytes of a row", code, size)
    sizes = walk.word()
    if sizes not in ("full", "sprs"):
        raise ValueError(f"sizes of lists of the kind {sizes!r}")
    lengths = walk.longs(2 * lists)
    if sizes == "full":
        _check("sizes of lists", len(lengths), lists)
    walk.skip(sum(lengths if sizes == "full" else lengths[1::2]) * (code + _LONG))


_INDEXES: Final[Mapping[str, Callable[[_Walk, _Shape], None]]] = {
    **dict.fromkeys(("IxFI", "IxFl"), _flat),
    "IxSQ": _scalar,
    "IxPq": _product,
    "IPfs": _product_blocks,
    **dict.fromkeys(("IxMp", "IxM2"), _with_ids),
    "IxPT": _transformed,
    "IxRF": _refined,
    **dict.fromkeys(("IH00", "IHNf", "IHNp", "IHNs"), _graph),
    "IHNc": partial(_graph, more=2 * _BOOL + _INT),
    "IHc2": partial(_graph, more=2 * _BOOL + 2 * _INT),
    "IwFl": partial(_inverted, codec=_floats),
    "IwSq": partial(_inverted, codec=_scalars, after=_LONG + _BOOL),
    "IwPQ": partial(_inverted, codec=_products, before=_BOOL + _LONG),
    "IwPf": partial(_inverted, codec=_products, before=_BOOL + _LONG + _INT + _LONG + _INT + _LONG),
    "IxRq": partial(_additive_rows, codec=_residual),
    "IxLS": partial(_additive_rows, codec=_local_search),
    "IwRQ": partial(_inverted, codec=_residual, before=_LONG, after=_BOOL + _INT, any_size=True),
    "IwLS": partial(_inverted, codec=_local_search, before=_LONG, after=_BOOL + _INT, any_size=True),
    "Ixrq": partial(_rabitq_rows, has_bits=False),
    "Ixrr": partial(_rabitq_rows, has_bits=True),
    "Irfn": _rabitq_blocks,
    "Iwrn": partial(
        _inverted,
        codec=partial(_rabitq, has_bits=True),
        after=_BOOL + _LONG + _INT + 2 * _LONG + _INT + 1 + _BOOL,
        any_size=True,
    ),
    "Iwrq": partial(_inverted, codec=partial(_rabitq, has_bits=False), after=_LONG + _BOOL + 1, any_size=True),
    "Iwrr": partial(_inverted, codec=partial(_rabitq, has_bits=True), after=_LONG + _BOOL + 1, any_size=True),
}


def _linear(walk: _Walk) -> int:
    walk.skip(_BOOL)
    numbers = walk.vector(_FLOAT)
    walk.vector(_FLOAT)
    return numbers


def _principal(walk: _Walk, *, settings: int) -> int:
    walk.skip(settings)
    for _ in range(3):
        walk.vector(_FLOAT)
    return _linear(walk)


def _rotation_by_signs(walk: _Walk) -> None:
    walk.vector(_FLOAT)
    walk.skip(_BOOL)
    _transform(walk)
    _transform(walk)


def _learned_rotation(walk: _Walk) -> int:
    walk.skip(2 * _INT)
    return _linear(walk)


def _skip_vector(walk: _Walk, size: int) -> None:
    walk.vector(size)


#: Each skips a transform up to its dimensions, and returns the numbers of its matrix, if it has one.
_TRANSFORMS: Final[Mapping[str, Callable[[_Walk], int | None]]] = {
    **dict.fromkeys(("rrot", "LTra"), _linear),
    "PcAm": partial(_principal, settings=_FLOAT + _BOOL + _INT),
    "Pcam": partial(_principal, settings=2 * _FLOAT + _BOOL + _INT),
    "Viqm": _learned_rotation,
    "Viqt": _rotation_by_signs,
    "RmDT": partial(_skip_vector, size=_INT),
    "VNrm": lambda walk: walk.skip(_FLOAT),
    "VCnt": partial(_skip_vector, size=_FLOAT),
    "HRot": lambda walk: walk.skip(_INT),
}
