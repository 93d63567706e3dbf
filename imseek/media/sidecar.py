"""What lies beside a picture: a caption in a text file, facts in a JSON object."""

from __future__ import annotations

import json as json_
from collections.abc import Mapping
from dataclasses import dataclass, field

#: A larger file beside a picture is no sidecar.
MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sidecar:
    caption: str | None = None
    extra: Mapping[str, str | int | float | bool] = field(default_factory=dict)


def read_sidecar(txt: bytes | None, json: bytes | None) -> Sidecar:
    caption = None if txt is None else " ".join(txt.decode("utf-8-sig", "replace").split())[:2000] or None
    try:
        found = json_.loads(json) if json else {}
    except ValueError:
        found = {}
    extra = {k: v for k, v in found.items() if isinstance(v, str | int | float | bool)}
    told = extra.pop("caption", None)
    return Sidecar(caption or (told if isinstance(told, str) else None), extra)
