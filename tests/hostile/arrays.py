"""Lies in arrays: headers of ``.npy`` files that promise what is not there, values out of range, archives of arrays."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from hostile.forge import Forge
from hostile.lies import Lie, Tell, gather

Array: TypeAlias = npt.NDArray[Any]
Make: TypeAlias = Callable[[Array], bytes]


def array_lies(files: Mapping[str, str]) -> list[Lie]:
    """Lies about ``.npy`` files, a path for each kind."""
    lies = []
    for kind, name in files.items():
        triples = [(lie, label, _replacing(name, make)) for lie, label, make in _lies()]
        for one in gather(kind, triples, family="arrays"):
            lies.append(replace(one, verify=one.name not in _PLAUSIBLE))
    return lies


#: Lies about arrays that may be true, or that change nothing.
_PLAUSIBLE: Final = frozenset({"values", "something behind"})


def _replacing(name: str, make: Make) -> Tell:
    def tell(forge: Forge) -> None:
        sound = np.load(forge.mirror(name), allow_pickle=False)
        forge.replace(name, make(sound))

    return tell


class Payload:
    """What runs where somebody unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("import os; os.mkdir('unpickled')",))


def npy(array: Array) -> bytes:
    """An array as a ``.npy`` file, pickled where it holds objects."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def header(array: Array, version: int = 1, **members: object) -> bytes:
    """The bytes of an array behind a header that says something else of it."""
    fields: dict[str, object] = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    return raw_header(repr({**fields, **members}).encode(), version) + array.tobytes()


def raw_header(text: bytes, version: int = 1) -> bytes:
    """A header of any text, padded as NumPy does."""
    size = 2 if version == 1 else 4
    text += b" " * (-(10 + size + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(size, "little") + text


_HUGE: Final = 10**12


def _lies() -> Iterator[tuple[str, str, Make]]:
    yield "more rows than there are", "10^12", lambda a: header(a, shape=(_HUGE, *a.shape[1:]))
    yield "more rows than there are", "2^63", lambda a: header(a, shape=(2**63, *a.shape[1:]))
    yield "more rows than there are", "10^30", lambda a: header(a, shape=(10**30, *a.shape[1:]))
    yield "more rows than there are", "2^62 without width", lambda a: header(a, shape=(2**62, 0))
    yield "more rows than there are", "one", lambda a: header(a, shape=(len(a) + 1, *a.shape[1:]))
    yield "fewer rows", "one", lambda a: npy(a[:-1])
    yield "fewer rows", "none", lambda a: npy(a[:0])
    yield "negative shape", "rows", lambda a: header(a, shape=(-1, *a.shape[1:]))
    yield "negative shape", "both", lambda a: header(a, shape=(-len(a), -1))
    yield "other dimensions", "scalar", lambda a: npy(a.ravel()[0])
    yield "other dimensions", "three", lambda a: npy(a[..., np.newaxis, np.newaxis])
    yield "other dimensions", "flat", lambda a: npy(a.ravel())
    yield "other dimensions", "wider", lambda a: npy(np.zeros((len(a), 77), a.dtype))
    yield "other dimensions", "narrower", lambda a: npy(a.reshape(len(a), -1)[:, :1])
    yield "other dimensions", "32", lambda a: header(a, shape=(1,) * 40)
    yield "Fortran order", "said", lambda a: header(a, fortran_order=True)
    yield "Fortran order", "true", lambda a: npy(np.asfortranarray(a))
    yield "Fortran order", "number", lambda a: header(a, fortran_order=7)
    yield "big endian", "true", lambda a: npy(a.astype(a.dtype.newbyteorder(">")))
    yield "objects", "pickle", lambda a: npy(np.array([Payload()] * len(a), object))
    yield "objects", "said", lambda a: header(a, descr="|O")
    yield "objects", "bare pickle", lambda _: pickle.dumps(Payload())
    yield "structured", "fields", lambda a: npy(np.zeros(len(a), [("x", "<i8"), ("y", "<f8")]))
    yield "structured", "thousands", lambda a: header(a, 2, descr=[(f"f{n}", "<i8") for n in range(5000)])
    yield "structured", "nested", lambda a: header(a, descr=[("x", [("y", [("z", "<i8")])])])
    yield "structured", "shape", lambda a: header(a, descr=[("x", "<i8", (10**9,))])
    for dtype in ("<f8", "<f4", "<i1", "|b1", "<c16", "<U9", "|S9", "<M8[s]", "|V0", "<f2", "<u8"):
        yield "other type", dtype, _cast(dtype)
    yield "header", "code", lambda _: raw_header(b"__import__('os').mkdir('header')")
    yield "header", "deep", lambda _: raw_header(b"(" * 3000 + b")" * 3000)
    yield "header", "deeper", lambda _: raw_header(b"-" * 60000 + b"1")
    yield "header", "long", lambda a: raw_header(b"{'a': '" + b"x" * 100_000_000 + b"'}", 2) + a.tobytes()
    yield "header", "no dictionary", lambda _: raw_header(b"7")
    yield "header", "more members", lambda a: header(a, more=1)
    yield "header", "length beyond", lambda _: b"\x93NUMPY\2\0\xff\xff\xff\x7f{"
    yield "header", "version 9", lambda a: b"\x93NUMPY\x09\0" + npy(a)[8:]
    yield "header", "version 3", lambda a: header(a, 3)
    yield "header", "type of text", lambda a: header(a, descr="x" * 1000)
    yield "header", "shape of texts", lambda a: header(a, shape=("1", "2"))
    yield "header", "digits", lambda a: header(a).replace(b"'shape': (", b"'shape': (" + b"9" * 5000)
    yield "something behind", "zeros", lambda a: npy(a) + bytes(1000)
    yield "bytes missing", "one", lambda a: npy(a)[:-1]
    yield "bytes missing", "all", lambda a: header(a)[: -a.nbytes or None]
    yield "values", "negative", lambda a: npy(_fill(a, -1))
    yield "values out of range", "huge", lambda a: npy(_fill(a, np.inf))
    yield "values out of range", "NaN", lambda a: npy(_fill(a, np.nan))
    yield "values", "zero", lambda a: npy(np.zeros_like(a))
    yield "values out of range", "one NaN", lambda a: npy(_first(a, np.nan))
    yield "values out of range", "first huge", lambda a: npy(_first(a, np.inf))
    yield "values", "reversed", lambda a: npy(a[::-1].copy())
    yield "values", "all the same", lambda a: npy(np.repeat(a[:1], len(a), 0))
    yield "values", "subnormal", lambda a: npy(_fill(a, 6e-8))
    yield "not an array", "zip", lambda a: npz({"a.npy": npy(a)})
    yield "not an array", "empty zip", lambda _: b"PK\5\6" + bytes(18)


def _cast(dtype: str) -> Make:
    def make(array: Array) -> bytes:
        with np.errstate(all="ignore"):
            return npy(np.zeros(array.shape, np.dtype(dtype)))

    return make


def _fill(array: Array, value: float) -> Array:
    """The array with one value everywhere; of integers, infinity is the largest and NaN the least."""
    result = array.copy()
    result[...] = _value(array, value)
    return result


def _first(array: Array, value: float) -> Array:
    result = array.copy()
    result.ravel()[:1] = _value(array, value)
    return result


def _value(array: Array, value: float) -> Any:
    if array.dtype.kind == "f":
        return value
    if array.dtype.kind not in "iu":  # Records, texts, truth values: whatever is nothing there.
        return np.zeros(1, array.dtype)[0]
    limits = np.iinfo(array.dtype)
    if np.isnan(value):
        return limits.min
    return limits.max if np.isinf(value) or (value < 0 and limits.min == 0) else int(value)


# -- archives of arrays ----------------------------------------------------------------------------------------


def npz(members: Mapping[str, bytes]) -> bytes:
    """A ZIP file as ``numpy.savez`` makes it, of any members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return out.getvalue()


def archive_lies(files: Mapping[str, str], *, verify: bool) -> list[Lie]:
    """Lies about ``.npz`` files, a path for each kind."""
    return [
        one
        for kind, name in files.items()
        for one in gather(
            kind,
            ((lie, label, _repacking(name, make)) for lie, label, make in _archives()),
            verify=verify,
            family="archives of arrays",
        )
    ]


def _repacking(name: str, make: Callable[[dict[str, Array]], bytes]) -> Tell:
    def tell(forge: Forge) -> None:
        with np.load(forge.mirror(name), allow_pickle=False) as file:
            sound = {member: file[member] for member in file.files}
        forge.replace(name, make(sound))

    return tell


def _archives() -> Iterator[tuple[str, str, Callable[[dict[str, Array]], bytes]]]:
    def each(make: Make) -> Callable[[dict[str, Array]], bytes]:
        def pack(arrays: dict[str, Array]) -> bytes:
            return npz({f"{name}.npy": make(a) if a.ndim else npy(a) for name, a in arrays.items()})

        return pack

    names = {
        "more rows than there are",
        "objects",
        "other dimensions",
        "other type",
        "header",
        "values",
        "values out of range",
        "negative shape",
        "structured",
    }
    for lie, label, make in _lies():
        if lie in names and (lie, label) != ("header", "long"):
            yield lie, label, each(make)
    yield "members", "none", lambda _: npz({})
    yield "members", "others", lambda _: npz({"../../x.npy": npy(np.zeros(3))})
    yield "members", "twice", lambda a: npz({f"{n}.npy": npy(v) for n, v in a.items()}) * 2
    yield "members", "no arrays", lambda a: npz({f"{name}.npy": b"text" for name in a})
    yield "bomb", "zeros", _bomb


def _bomb(arrays: dict[str, Array]) -> bytes:
    """A gigabyte and more of zeros in a megabyte."""
    (name, array), *_ = arrays.items()
    return npz({f"{name}.npy": header(array[:0], shape=(1 << 30,)) + bytes(1 << 30)})
