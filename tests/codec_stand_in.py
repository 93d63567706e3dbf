"""A stand-in for the HEIC codec that runs the program in its picture: what an exploit of the real one would do.

It is imported by workers as the real one is, and its pictures are decoded where that decodes its own.
"""

from __future__ import annotations

import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imseek.media import formats
from imseek.media.sandbox import pool

_MODULE = """
import ctypes, encodings.idna, mmap, os, select, signal, socket, sys, threading, time
from PIL import Image

def libheif_info():
    return {{"libheif": {version!r}, "decoders": {{"libde265": "libde265 HEVC decoder, version 1.1.3"}}}}

runs = []

def HeifImageFile(file):
    scope = dict(globals(), picture=Image.new("RGB", (16, 16), "red"))
    exec(file.read().partition(b"program:")[2].decode(), scope)
    return scope["picture"]

{setup}
"""


def program(text: str) -> bytes:
    """A HEIC whose decoding runs ``text``, which may set ``picture``, and whose errors come back as messages."""
    content = b"program:" + text.encode()
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + struct.pack(">I4s", 8 + len(content), b"mdat") + content


@contextmanager
def codec_stand_in(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, setup: str = "", version: str = "1.23.6"
) -> Iterator[None]:
    """Workers have the stand-in. ``setup`` runs when they import it, before they are confined."""
    with package_stand_in(monkeypatch, folder, "pillow_heif", _MODULE.format(version=version, setup=setup)):
        yield


@contextmanager
def package_stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, content: str) -> Iterator[None]:
    """Workers have a module of this ``content`` in the place of the package ``name``."""
    folder.mkdir(exist_ok=True)
    # A folder of its own: of two modules of one name and size in one second, the first one's bytecode would run.
    folder = Path(tempfile.mkdtemp(dir=folder))
    (folder / f"{name}.py").write_text(content)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.delitem(sys.modules, name, raising=False)
        formats.is_readable.cache_clear()
        pool.close()
        try:
            yield
        finally:
            pool.close()
    formats.is_readable.cache_clear()
