"""Lies in vectors that another tool has made, in vectors as queries, and in tables that imseek has exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from hostile.arrays import _lies, npy
from hostile.inputs.place import Input, Kind, Make, Place, fixed
from hostile.inputs.tables import parquet

DIM = 16
_VECTORS = ("index FOLDER --encoder fake:16 -c VECTORS", "export OUT/all.jsonl -c VECTORS")


def _rows(count: int = 4) -> Any:
    rows = np.random.default_rng(0).standard_normal((count, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _array_lies() -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Their bytes are made for a trial: some are long."""
    for lie, label, make in _lies():
        yield lie, label, lambda make=make: make(_rows())  # type: ignore[misc]


def _beside(place: Place, rows: int = 4, **columns: Any) -> None:
    table = pa.table({"image_path": [f"{n}.png" for n in range(rows)], "caption": ["x"] * rows, **columns})
    (place.folder / "metadata").mkdir(exist_ok=True)
    place.write("metadata/metadata_0.parquet", parquet(table))


def _folder(data: Callable[[], bytes]) -> Make:
    def make(place: Place) -> str:
        _beside(place)
        return place.write("img_emb/img_emb_0.npy", data())

    return make


def _metadata(**columns: Any) -> Make:
    def make(place: Place) -> str:
        rows = max((len(column) for column in columns.values()), default=4)
        _beside(place, rows, **columns)
        return place.write("img_emb/img_emb_0.npy", npy(_rows(rows)))

    return make


def _paths(place: Place) -> list[str]:
    steps = "../" * 12
    return [str(place.secret), f"{steps}{place.secret}", "/dev/zero", "/etc/shadow"]


def _named(place: Place) -> str:
    return _metadata(image_path=_paths(place))(place)  # type: ignore[return-value]


def _encoded(place: Place) -> str:
    import base64

    coded = [base64.b64encode(path.encode()).decode() for path in _paths(place)]
    return _metadata(image_path=["a.png"] * 4, path_b64=coded)(place)  # type: ignore[return-value]


def _called(place: Place) -> str:
    url = f"http://127.0.0.1:{place.port}/a.png"
    return _metadata(image_path=[""] * 4, url=[url] * 4)(place)  # type: ignore[return-value]


def _clip_retrieval() -> Kind:
    lies = [Input(f"array: {lie}", label, _folder(data)) for lie, label, data in _array_lies()]
    lies += [
        Input("metadata name", "a secret", _named),
        Input("metadata name", "a secret in base64", _encoded),
        Input("metadata name", "a server of this machine", _called),
        Input(
            "metadata",
            "fewer rows",
            lambda p: (_beside(p, 3), p.write("img_emb/img_emb_0.npy", npy(_rows())))[1],
        ),
        Input("metadata", "huge numbers", _metadata(width=[2**62] * 4, height=[-1] * 4)),
        Input("array", "a million rows of zeros", _metadata(image_path=["0.png"] * 10)),
    ]
    return Kind(
        "vectors: clip-retrieval", "img_emb/img_emb_0.npy", _folder(lambda: npy(_rows())), _VECTORS, tuple(lies)
    )


def _exported(place: Place, *, schema: dict[str, str] | None = None, **columns: Any) -> bytes:
    """As `imseek export` writes it, with changes."""
    del place
    rows = _rows()
    table = {
        "image_id": [0, 1, 2, 3],
        "path": [f"{n}.png" for n in range(4)],
        "caption": ["x"] * 4,
        "width": [8] * 4,
        "height": [8] * 4,
        "vector": pa.array(rows.tolist(), pa.list_(pa.float32(), DIM)),
        **columns,
    }
    said = {"imseek.vector": "vector", "imseek.encoder": "fake:16", **(schema or {})}
    return parquet(
        pa.table({name: one for name, one in table.items() if one is not None}).replace_schema_metadata(said)
    )


def _vectors(values: list[Any], kind: Any = None) -> Make:
    return lambda place: _exported(place, vector=pa.array(values, kind or pa.list_(pa.float32())))


def _exported_kind() -> Kind:
    def encoder(said: str) -> Make:
        return lambda place: _exported(place, schema={"imseek.encoder": said.replace("FOLDER", str(place.folder))})

    def names(place: Place) -> bytes:
        return _exported(place, path=_paths(place))

    row = [1.0] * DIM
    lies = (
        *(
            Input("says that it was encoded by", said[:30], encoder(said))
            for said in (
                "local-dir:FOLDER",
                "openclip:ViT-B-32@FOLDER/model.bin",
                "hf-hub:stranger/model",
                "timm:resnet18@FOLDER/x.pth",
                "align:FOLDER",
                "fake:100000000",
                "fake:-1",
                "auto",
                "",
                "\x1b[2J",
                "x" * 100_000,
                "ViT-B-32/openai",
            )
        ),
        Input("says of itself", "another column", lambda p: _exported(p, schema={"imseek.vector": "caption"})),
        Input("says of itself", "a fingerprint", lambda p: _exported(p, schema={"imseek.fingerprint": "0" * 64})),
        Input("paths", "a secret", names),
        Input("vectors", "of other lengths", _vectors([row, row[:3], [], row])),
        Input(
            "vectors",
            "NaN and infinity",
            _vectors([[float("nan")] * DIM, [float("inf")] * DIM, [0.0] * DIM, [1e38] * DIM]),
        ),
        Input("vectors", "nothing", _vectors([None, None, None, None])),
        Input("vectors", "nothing in them", _vectors([[None] * DIM, row, row, row])),
        Input("vectors", "a million wide", _vectors([[1.0] * 10**6] * 4)),
        Input("vectors", "integers", _vectors([[1] * DIM] * 4, pa.list_(pa.int64()))),
        Input(
            "facts",
            "out of range",
            lambda p: _exported(
                p,
                width=[2**62] * 4,
                height=[-(2**62)] * 4,
                frames=[0] * 4,
                phash=[-1] * 4,
                bytes=[2**63 - 1] * 4,
                orientation=[99] * 4,
            ),
        ),
        Input(
            "facts",
            "of other types",
            lambda p: _exported(
                p, width=["x"] * 4, height=[[1]] * 4, caption=[b"\xff"] * 4, taken_at=["9999-99-99"] * 4
            ),
        ),
        Input(
            "facts",
            "zones and places",
            lambda p: _exported(
                p,
                taken_at=["2020-01-01T00:00:00"] * 4,
                taken_at_zone=[10**9] * 4,
                latitude=[float("nan")] * 4,
                longitude=[1e308] * 4,
            ),
        ),
    )
    calls = ("index FILE -c VECTORS", "index FILE -c NEW", "export OUT/all.jsonl -c VECTORS")
    return Kind("vectors: exported Parquet", "images.parquet", _exported, calls, lies)


def _query_vector() -> Kind:
    one = np.ones(DIM, np.float32)
    lies = tuple(Input(f"array: {lie}", label, lambda _, make=make: make(one)) for lie, label, make in _lies())  # type: ignore[misc]
    return Kind("vector as a query", "query.npy", fixed(npy(one)), ("search --vector FILE -c COLLECTION",), lies)


def _given_vectors() -> Kind:
    lies = tuple(Input(f"array: {lie}", label, lambda _, data=data: data()) for lie, label, data in _array_lies())  # type: ignore[misc]
    return Kind(
        "vectors to measure by",
        "given.npy",
        lambda _: npy(_rows()),
        ("evaluate ann --query-file FILE -c COLLECTION",),
        lies,
    )


def vector_kinds() -> list[Kind]:
    """Folders of clip-retrieval, tables that imseek has exported, vectors as queries."""
    return [_clip_retrieval(), _exported_kind(), _query_vector(), _given_vectors()]
