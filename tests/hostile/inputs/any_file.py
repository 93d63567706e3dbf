"""Lies that can be told about a file of any kind: it is a pipe, a device, a link, a folder, endless, empty, no text."""

from __future__ import annotations

import os

from hostile.inputs.place import Input, Kind, Make, Place, told

_SPARSE = 1 << 40


def any_file_lies(kind: Kind) -> tuple[Input, ...]:
    """Lies about a file of a kind, told under its usual name."""
    name = kind.name

    def sound(place: Place) -> bytes:
        return (place.folder / told(place, kind, kind.sound)).read_bytes()

    def sparse(place: Place) -> str:
        told(place, kind, kind.sound)
        os.truncate(place.folder / name, _SPARSE)
        return name

    def folder(place: Place) -> str:
        (place.folder / name).mkdir(parents=True)
        return name

    def under(what: Make) -> Make:
        """With the folder above it."""

        def make(place: Place) -> bytes | str:
            (place.folder / name).parent.mkdir(parents=True, exist_ok=True)
            return what(place)

        return make

    return (
        Input("a pipe", "alone", under(lambda place: place.pipe(name))),
        Input("a link", "to a secret", lambda place: place.link(name, place.secret), looks=True),
        Input("a link", "to /dev/zero", lambda place: place.link(name, "/dev/zero"), looks=True),
        Input("a link", "to itself", lambda place: place.link(name, place.folder / name)),
        Input("a link", "to a terminal", lambda place: place.link(name, "/dev/tty"), looks=True),
        Input("a folder", "empty", folder),
        Input("endless", "a hole of 1 TiB behind it", sparse),
        Input("endless", "nothing but a hole", lambda place: _hole(place, name)),
        Input("empty", "no bytes", lambda _: b""),
        Input("no text", "zeros", lambda _: bytes(1 << 20)),
        Input("no text", "not UTF-8", lambda place: b"\xff\xfe\xfd" + sound(place)),
        Input("no text", "UTF-16", lambda place: sound(place).decode("latin-1").encode("utf-16")),
        Input("no text", "surrogates", lambda place: b"\xed\xa0\x80" + sound(place)),
        Input("no text", "NUL in it", lambda place: sound(place)[:-3] + b"\0" + sound(place)[-3:]),
        Input("cut", "in the middle", lambda place: sound(place)[: len(sound(place)) // 2]),
        Input("cut", "the last byte", lambda place: sound(place)[:-1]),
        Input("one long line", "64 MiB", lambda _: b"x" * (1 << 26), large=True),
        Input("many lines", "8 million", lambda _: b"a\n" * (1 << 23), large=True),
    )


def _hole(place: Place, name: str) -> str:
    place.write(name, b"")
    os.truncate(place.folder / name, _SPARSE)
    return name
