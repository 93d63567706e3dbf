"""Check the compressed buffers of an Arrow file before Arrow unpacks them: each states its own unpacked length.

A batch is described by a flatbuffer (format/Message.fbs of Apache Arrow; https://flatbuffers.dev/internals).
"""

from __future__ import annotations

import struct
from typing import Any, Final

import pyarrow as pa

from imseek.indexer.sources.archive_limits import check_unpacked

#: Message kinds, and the numbers of the description fields that are read.
_DICTIONARY, _BATCH = 2, 3
_HEADER_KIND, _HEADER = 1, 2
_DICTIONARY_DATA: Final = 1
_BUFFERS, _COMPRESSION = 2, 3


def check_buffers(stream: pa.NativeFile) -> None:
    """Read and check the messages of a stream. Bodies of a memory-mapped stream are not copied.

    Raises MediaError where one expands too far, and ValueError or Arrow's errors for an invalid message.
    """
    reader = pa.ipc.MessageReader.open_stream(stream)
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        if message.body is not None:
            check_unpacked(_unpacked_size(message.metadata.to_pybytes(), message.body), message.body.size)


def check_array(array: pa.Array) -> None:
    """Raise ArrowInvalid where an array from a file refers to bytes outside its buffers.

    Arrow trusts offsets and reads wherever they lead. Text that is not UTF-8 is accepted.
    """
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        _as_bytes(array).validate(full=True)


def _as_bytes(array: pa.Array) -> pa.Array:
    """Return the same array with bytes in place of text, without inspecting them."""
    kind, t = array.type, pa.types
    if t.is_string(kind):
        return array.view(pa.binary())
    if t.is_large_string(kind):
        return array.view(pa.large_binary())
    if t.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(array.indices, _as_bytes(array.dictionary))
    if t.is_struct(kind):
        children = [_as_bytes(array.field(n)) for n in range(kind.num_fields)]
        return pa.StructArray.from_arrays(children, [kind.field(n).name for n in range(kind.num_fields)])
    if t.is_list(kind):
        return pa.ListArray.from_arrays(array.offsets, _as_bytes(array.values))
    if t.is_large_list(kind):
        return pa.LargeListArray.from_arrays(array.offsets, _as_bytes(array.values))
    return array


def _unpacked_size(header: bytes, body: Any) -> int:
    """Return the stated unpacked size of a message's buffers; 0 where they are not compressed."""
    try:
        table = _FlatbufferTable(header, struct.unpack_from("<I", header)[0])
        kind = table.number(_HEADER_KIND, "<B")
        batch = table.table(_HEADER)
        if kind == _DICTIONARY and batch is not None:
            batch = batch.table(_DICTIONARY_DATA)
        if batch is None or kind not in (_DICTIONARY, _BATCH) or batch.table(_COMPRESSION) is None:
            return 0
        total = 0
        for offset, length in batch.pairs(_BUFFERS):
            if length >= 8:
                (size,) = struct.unpack("<q", body[offset : offset + 8].to_pybytes())
                total += length if size < 0 else size  # -1: not compressed
        return total
    except (struct.error, IndexError) as error:
        raise ValueError(f"a message that is none: {error}") from error


class _FlatbufferTable:
    """A table in a flatbuffer. Raises struct.error where something lies outside it."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        (back,) = struct.unpack_from("<i", data, at)
        self._fields = at - back
        if self._fields < 0:
            raise struct.error("a table before the beginning")

    def number(self, field: int, code: str) -> int:
        at = self._position(field)
        return 0 if at is None else int(struct.unpack_from(code, self._data, at)[0])

    def table(self, field: int) -> _FlatbufferTable | None:
        at = self._position(field)
        return None if at is None else _FlatbufferTable(self._data, at + struct.unpack_from("<I", self._data, at)[0])

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """Return a vector of structs of two 64-bit integers."""
        at = self._position(field)
        if at is None:
            return []
        at += struct.unpack_from("<I", self._data, at)[0]
        (count,) = struct.unpack_from("<I", self._data, at)
        if 16 * count > len(self._data):
            raise struct.error("a vector behind the end")
        return list(struct.iter_unpack("<qq", self._data[at + 4 : at + 4 + 16 * count]))

    def _position(self, field: int) -> int | None:
        (size,) = struct.unpack_from("<H", self._data, self._fields)
        if 4 + 2 * field >= size:
            return None
        (offset,) = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * field)
        return self._at + offset if offset else None
