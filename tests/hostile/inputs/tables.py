"""Lies in tables of images, and in the texts and tables that lie beside images."""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from hostile.findings import MARK
from hostile.inputs.place import Input, Kind, Make, Place, fixed

Rows = Sequence[Mapping[str, Any]]

_INDEX = ("index FILE -c COLLECTION", "export OUT/all.jsonl -c COLLECTION")


def as_csv(rows: Rows) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode("utf-8", "surrogateescape")


def as_json_lines(rows: Rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_parquet(rows: Rows) -> bytes:
    return parquet(pa.Table.from_pylist(list(rows)))


def as_arrow(rows: Rows) -> bytes:
    return arrow(pa.Table.from_pylist(list(rows)))


def as_feather(rows: Rows) -> bytes:
    out = io.BytesIO()
    pyarrow.feather.write_feather(pa.Table.from_pylist(list(rows)), out, compression="zstd")
    return out.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **{"compression": "zstd", **options})
    return out.getvalue()


def arrow(table: pa.Table, compression: str | None = "zstd") -> bytes:
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(out, table.schema, options=options) as writer:
        writer.write_table(table)
    return out.getvalue()


#: How rows are written, by the ending of the file.
WRITERS: Mapping[str, Callable[[Rows], bytes]] = {
    "csv": as_csv,
    "jsonl": as_json_lines,
    "parquet": as_parquet,
    "arrow": as_arrow,
    "feather": as_feather,
}


def _sound(place: Place) -> Rows:
    del place
    return [{"image": f"{n}.png", "caption": f"number {n}", "width": n} for n in range(4)]


def _named(place: Place) -> Iterator[tuple[str, str, list[str]]]:
    """What rows may name instead of pictures."""
    arena = place.arena
    yield "absolute", "a secret", [str(place.secret), "/etc/shadow", "/proc/self/environ", "/dev/zero"]
    steps = "../" * 12
    yield (
        "steps back",
        "a secret",
        [f"{steps}{place.secret}", f"x/{steps}etc/shadow", "../../home/.ssh/id_rsa"],
    )
    yield "file URI", "a secret", [place.secret.as_uri(), "file:///dev/zero", "FILE:///etc/shadow"]
    yield "devices", "by name", ["/dev/zero", "/dev/stdin", "/dev/tty", "/proc/kcore", "/proc/self/mem"]
    yield (
        "URLs",
        "of this machine",
        [
            f"http://127.0.0.1:{place.port}/a.png",
            f"http://localhost:{place.port}/b.png",
            f"http://[::1]:{place.port}/c.png",
            f"http://0x7f.1:{place.port}/d.png",
            f"http://169.254.169.254:{place.port}/e.png",
            f"ftp://127.0.0.1:{place.port}/f.png",
            f"gopher://127.0.0.1:{place.port}/_g.png",
        ],
    )
    yield (
        "names",
        "odd",
        ["", " ", ".", "..", "/", "\n", "a\nb", "x" * 5000, "x" * 300, "~/.ssh/id_rsa", "$HOME/x"],
    )
    yield "names", "a folder of the user", [str(arena.home), f"{arena.home}/.ssh", "/proc/self/fd/0"]


def _naming(variant: tuple[str, str], writer: Callable[[Rows], bytes]) -> Make:
    def make(place: Place) -> bytes:
        names = next(names for lie, label, names in _named(place) if (lie, label) == variant)
        return writer([*_sound(place), *({"image": n, "caption": "", "width": 0} for n in names)])

    return make


def _beside(what: Callable[[Place], object], writer: Callable[[Rows], bytes]) -> Make:
    """A row that names ``lie.png``, which lies beside the table."""

    def make(place: Place) -> bytes:
        what(place)
        return writer([*_sound(place), {"image": "lie.png", "caption": "", "width": 0}])

    return make


_VARIANTS = (
    ("absolute", "a secret"),
    ("steps back", "a secret"),
    ("file URI", "a secret"),
    ("devices", "by name"),
    ("URLs", "of this machine"),
    ("names", "odd"),
    ("names", "a folder of the user"),
)


def _common(writer: Callable[[Rows], bytes]) -> tuple[Input, ...]:
    """Lies that a table of any make can tell."""
    return (
        *(
            Input(f"rows name: {lie}", label, _naming((lie, label), writer), looks=lie == "URLs")
            for lie, label in _VARIANTS
        ),
        Input(
            "rows name: a file beside it",
            "a link to a secret",
            _beside(lambda p: p.link("lie.png", p.secret), writer),
        ),
        Input("rows name: a file beside it", "a pipe", _beside(lambda p: p.pipe("lie.png"), writer)),
        Input(
            "rows name: a file beside it",
            "a device",
            _beside(lambda p: p.link("lie.png", "/dev/zero"), writer),
        ),
        Input("rows name: a text beside it", "a link to a secret", _beside(_with_text, writer)),
        Input("rows name: a text beside it", "an object that is a link", _beside(_with_object, writer)),
    )


def _with_text(place: Place) -> None:
    place.write("lie.png", (place.folder / "0.png").read_bytes())
    place.link("lie.txt", place.secret)


def _with_object(place: Place) -> None:
    place.write("lie.png", (place.folder / "0.png").read_bytes())
    keys = place.arena.home / "keys.json"
    keys.write_text(json.dumps({"caption": MARK, "key": MARK}))
    place.link("lie.json", keys)


def _csv_lies() -> Iterator[Input]:
    rows = "".join(f"{n}.png,text {n}\n" for n in range(4))
    yield Input("columns", "a million", lambda _: ",".join(["image", *map(str, range(10**6))]).encode() + b"\n0.png\n")
    yield Input("columns", "all of one name", lambda _: b"image,image,image\n0.png,1.png,2.png\n")
    yield Input("columns", "names of a megabyte", lambda _: b"image," + b"x" * 10**6 + b"\n0.png,1\n")
    yield Input("quotes", "never closed", lambda _: f'image,caption\n"0.png,{rows * 5_000}'.encode())
    yield Input("quotes", "closed late", lambda _: f'image,caption\n0.png,"{"a" * 200_000}"\n{rows}'.encode())
    yield Input("numbers", "huge", lambda _: b"image,n,m\n0.png," + b"9" * 100_000 + b",1e999999\n")
    yield Input("captions", "a megabyte", lambda _: b"image,caption\n0.png," + b"x " * 60_000 + b"\n")
    yield Input("captions", "terminal codes", lambda _: b"image,caption\n0.png,\x1b]0;owned\x07\x1b[2J\n")
    yield Input("captions", "not UTF-8", lambda _: b"image,caption\n0.png,\xff\xfe\x80\n\xff.png,x\n")


def _json_lies() -> Iterator[Input]:
    def line(text: str) -> Make:
        return lambda _: f'{{"image": "0.png"}}\n{text}\n{{"image": "1.png"}}\n'.encode()

    yield Input("depth", "lists", line('{"image": ' + "[" * 100_000 + "]" * 100_000 + "}"))
    yield Input("depth", "objects", line('{"a":' * 50_000 + "1" + "}" * 50_000))

    def wide(place: Place) -> bytes:
        return line(json.dumps({"image": "2.png", **{str(n): n for n in range(10**6)}}))(place)

    yield Input("columns", "a million", wide)
    yield Input("columns", "names of a megabyte", line(json.dumps({"image": "2.png", "x" * 10**6: 1})))
    yield Input("numbers", "digits", line('{"image": "2.png", "n": ' + "9" * 100_000 + "}"))
    yield Input("numbers", "huge", line('{"image": "2.png", "n": 1e999, "m": -1e999, "k": 18446744073709551616}'))
    yield Input("numbers", "NaN", line('{"image": "2.png", "n": NaN, "m": Infinity}'))
    yield Input("members", "twice", line('{"image": "2.png", "image": "/etc/shadow"}'))
    yield Input(
        "members",
        "other types",
        line('{"image": {"bytes": null, "path": "/etc/shadow"}, "caption": {"a": []}}'),
    )
    yield Input("members", "surrogates", line('{"image": "\\ud800.png", "caption": "\\udfff"}'))
    yield Input("members", "NUL", line('{"image": "a\\u0000b.png", "caption": "\\u0000"}'))
    yield Input("lines", "a line of 60 MiB", lambda _: b'{"image": "' + b"x" * (60 << 20) + b'"}\n', large=True)


def _pa_rows(n: int) -> dict[str, Any]:
    return {"image": [f"{i % 4}.png" for i in range(n)], "caption": ["x"] * n}


def _columnar(write: Callable[[pa.Table], bytes]) -> Iterator[Input]:
    """Lies of tables in columns."""

    def of(make: Callable[[], pa.Table]) -> Make:
        return lambda _: write(make())

    deep: Any = pa.string()
    for _ in range(60):
        deep = pa.list_(deep)
    nested: Any = pa.string()
    for n in range(60):
        nested = pa.struct([(f"f{n}", nested)])
    yield Input(
        "columns",
        "ten thousand",
        of(lambda: pa.table({"image": ["0.png"], **{f"c{n}": [n] for n in range(10_000)}})),
    )
    yield Input(
        "columns",
        "all of one name",
        of(lambda: pa.Table.from_arrays([pa.array(["0.png"])] * 3, ["image"] * 3)),
    )
    yield Input(
        "columns",
        "lists, sixty deep",
        of(lambda: pa.table({"image": ["0.png"], "x": pa.array([None], deep)})),
    )
    yield Input(
        "columns",
        "structs, sixty deep",
        of(lambda: pa.table({"image": ["0.png"], "x": pa.array([None], nested)})),
    )
    yield Input("columns", "an image that is a number", of(lambda: pa.table({"image": [1, 2]})))
    yield Input("columns", "maps, unions, extensions", of(_odd_types))
    yield Input("values", "times out of range", of(_odd_times))
    yield Input(
        "values",
        "not UTF-8",
        of(lambda: pa.table({"image": _bad_text([b"\xff.png", b"0.png"]), "caption": _bad_text([b"\xff", b"\xfe"])})),
    )
    yield Input("values", "one of 100 MB for each of a thousand rows", of(_same_bytes), large=True)
    yield Input("values", "one caption of 100 MB for each of a thousand rows", of(_same_text), large=True)
    yield Input("rows", "twenty million of one name", of(lambda: _many_rows(20_000_000)), large=True)
    yield Input(
        "packing",
        "a picture of 1 GiB of zeros",
        of(lambda: pa.table({"image": pa.array([bytes(1 << 30)], pa.large_binary())})),
        large=True,
    )
    yield Input(
        "packing",
        "a caption of 1 GiB",
        of(lambda: pa.table({"image": ["0.png"], "caption": pa.array(["x" * (1 << 30)], pa.large_string())})),
        large=True,
    )
    yield Input(
        "what it says of itself",
        "features that are none",
        of(lambda: _with_features('{"info": {"features": [1, {}]}}')),
    )
    yield Input("what it says of itself", "features, deep", of(lambda: _with_features("[" * 100_000)))
    yield Input(
        "what it says of itself",
        "labels",
        of(
            lambda: _with_features(
                json.dumps({"info": {"features": {"n": {"_type": "ClassLabel", "names": [[[]], {}, None]}}}})
            )
        ),
    )


def _odd_types() -> pa.Table:
    return pa.table(
        {
            "image": ["0.png"],
            "m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
            "d": pa.array([1], pa.int64()).dictionary_encode(),
            "e": pa.array([None], pa.duration("ns")),
        }
    )


def _odd_times() -> pa.Table:
    top = 2**63 - 1
    return pa.table(
        {
            "image": ["0.png", "1.png"],
            "a": pa.array([top, -top], pa.timestamp("us")),
            "b": pa.array([top, -top], pa.timestamp("ns", "Moon/Crater")),
            "c": pa.array([2**31 - 1, -(2**31)], pa.date32()),
            "d": pa.array([top, -top], pa.duration("us")),
        }
    )


def _bad_text(values: Iterable[bytes]) -> pa.Array:
    binary = pa.array(list(values), pa.binary())
    return pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())


def _same(value: Any, kind: Any) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([value], kind))


def _same_bytes() -> pa.Table:
    return pa.table({"image": _same(bytes(100_000_000), pa.binary())})


def _same_text() -> pa.Table:
    return pa.table({"image": [f"{n % 4}.png" for n in range(1000)], "caption": _same("x" * 100_000_000, pa.string())})


def _many_rows(count: int) -> pa.Table:
    index = pa.array([0]).take(pa.array([0] * 1000)).cast(pa.int32())
    chunk = pa.DictionaryArray.from_arrays(pa.concat_arrays([index] * (count // 10_000)), pa.array(["none.png"]))
    return pa.table({"image": pa.chunked_array([chunk] * 10)})


def _with_features(text: str) -> pa.Table:
    return pa.table({"image": ["0.png"], "n": [0]}).replace_schema_metadata({"huggingface": text})


def _parquet_lies() -> Iterator[Input]:
    yield from _columnar(parquet)
    sound = as_parquet(_sound_rows())
    for label, at in (("length of the footer", -8), ("before the footer", -12)):
        for value in (0, 1, 2**31 - 1, 2**32 - 1):
            lie = sound[:at] + struct.pack("<I", value) + (sound[at + 4 :] if at + 4 else b"")
            yield Input("footer", f"{label} {value}", fixed(lie))
    for n in range(40):
        at = len(sound) - 9 - n * 7
        lie = sound[:at] + b"\xff\xff\xff\xff\x7f" + sound[at + 5 :]
        yield Input("footer", f"a huge number at -{n * 7}", fixed(lie))
    for n in range(8):
        at = 4 + n * 9
        lie = sound[:at] + b"\xff\xff\xff\xff\x0f" + sound[at + 5 :]
        yield Input("pages", f"a huge number at {n * 9}", fixed(lie))


def _sound_rows() -> Rows:
    return [{"image": f"{n}.png", "caption": f"number {n}", "width": n} for n in range(4)]


def _arrow_lies() -> Iterator[Input]:
    yield from _columnar(arrow)
    for compression in (None, "zstd", "lz4"):
        sound = arrow(pa.table(_pa_rows(400)), compression)
        for n in range(0, len(sound) - 16, max(8, len(sound) // 160 * 8)):
            lie = sound[:n] + struct.pack("<q", 2**40) + sound[n + 8 :]
            yield Input("lengths", f"2^40 at {n}, {compression}", fixed(lie))
    yield Input("a stream", "without an end", lambda _: _stream()[:-20])
    yield Input(
        "a stream",
        "a length of 2 GB",
        lambda _: b"\xff\xff\xff\xff" + struct.pack("<i", 2**31 - 1) + b"x" * 100,
    )
    yield Input("a stream", "a negative length", lambda _: b"\xff\xff\xff\xff" + struct.pack("<i", -5) + b"x" * 100)


def _stream() -> bytes:
    out = io.BytesIO()
    table = pa.table(_pa_rows(40))
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


_OWN: Mapping[str, Callable[[], Iterator[Input]]] = {
    "csv": _csv_lies,
    "jsonl": _json_lies,
    "parquet": _parquet_lies,
    "arrow": _arrow_lies,
    "feather": lambda: iter(()),
}


def _metadata(ending: str) -> Kind:
    """A table of metadata in a folder of images."""
    writer = WRITERS[ending]

    def rows(place: Place, *names: str) -> bytes:
        del place
        given = [*(f"{n}.png" for n in range(4)), *names]
        return writer([{"file_name": name, "caption": f"says {name}"} for name in given])

    lies = (
        Input("rows name", "a secret", lambda p: rows(p, str(p.secret), "../" * 9 + "etc/shadow", "/dev/zero")),
        Input("rows name", "odd names", lambda p: rows(p, "", ".", "..", "a\nb", "x" * 5000)),
        Input(
            "many names",
            "a column for each",
            lambda _: writer([{f"{n}_file_name": "0.png" for n in range(2000)}]),
        ),
    )
    return Kind(f"metadata.{ending}", f"metadata.{ending}", rows, ("index FOLDER -c COLLECTION", _INDEX[1]), lies)


def _texts() -> Kind:
    """A text beside an image."""

    def deep(place: Place) -> str:
        place.write("0.txt", b"sound")
        return place.write("0.json", b'{"a":' * 30_000 + b"1" + b"}" * 30_000)

    def wide(place: Place) -> str:
        place.write("0.txt", b"sound")
        return place.write("0.json", json.dumps({"x" * 3000 + str(n): n for n in range(200)}).encode())

    lies = (
        Input("an object", "deep", deep),
        Input("an object", "wide", wide),
        Input(
            "an object",
            "huge numbers",
            lambda p: p.write("0.json", b'{"n": 1e999, "m": ' + b"9" * 9000 + b"}"),
        ),
        Input("an object", "a link to a secret", lambda p: p.link("0.json", p.secret)),
        Input("another name", "a link to a secret", lambda p: p.link("0.png.txt", p.secret)),
    )
    return Kind(
        "text beside a picture",
        "0.txt",
        lambda _: b"a caption",
        ("index FOLDER -c COLLECTION", _INDEX[1]),
        lies,
    )


def table_kinds() -> list[Kind]:
    """Tables of images, metadata of folders, texts beside images."""
    found = []
    for ending, writer in WRITERS.items():
        sound: Make = lambda place, writer=writer: writer(_sound(place))  # type: ignore[misc]  # noqa: E731
        lies = (*_common(writer), *_OWN[ending]())
        found.append(Kind(f"table: {ending}", f"images.{ending}", sound, _INDEX, lies))
    return [*found, _metadata("csv"), _metadata("jsonl"), _metadata("parquet"), _texts()]
