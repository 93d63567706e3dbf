"""SVG, drawn by resvg in a process with limits: no file but its own, no network, no entities."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from imseek.errors import MediaError
from imseek.media import svg_child
from imseek.types import SkipReason

_MAX_BYTES: Final = 32 * 2**20
_SECONDS: Final = 60.0  # by the clock, where the machine is busy; of processor time the child has fewer


def render(data: bytes) -> bytes:
    """A PNG of the drawing in ``data``, its longer side 1024 pixels: vectors have no size of their own.

    References out of the file are not followed, and an embedded picture has to be a raster one. Text is drawn in
    the fonts of the machine. Thread-safe. MediaError where it is no sound SVG or asks for too much.
    """
    if len(data) > _MAX_BYTES:
        message = f"an SVG of {len(data):,} bytes; the limit is {_MAX_BYTES:,}"
        raise MediaError(SkipReason.TOO_MANY_BYTES, message)
    try:
        done = subprocess.run(  # noqa: S603 - the program is ours, and what it draws comes by its standard input
            [sys.executable, "-I", "-S", svg_child.__file__, *_folders()],
            input=data,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            cwd="/",
            start_new_session=True,  # an interrupt at the terminal is not for it: the file would count as broken
        )
    except subprocess.TimeoutExpired as error:
        raise MediaError(SkipReason.TIMEOUT, f"drawing it took more than {_SECONDS:.0f} seconds") from error
    if done.returncode == 0:
        return done.stdout
    raise _failure(done.returncode, done.stderr.decode("utf-8", "replace").strip())


def _failure(status: int, explanation: str) -> MediaError:
    if status == 2 and "EntitiesForbidden" in explanation:
        return MediaError(SkipReason.MISSING_CODEC, "this SVG declares entities, which are not expanded")
    # Without memory, Rust aborts and Python raises; libraries may fall over.
    if status == -signal.SIGABRT or "MemoryError" in explanation:
        message = f"drawing it needs more than {svg_child.MEMORY >> 20:,} MiB of memory"
        return MediaError(SkipReason.TOO_MANY_PIXELS, message)
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        message = f"drawing it takes more than {svg_child.SECONDS} seconds of processor time"
        return MediaError(SkipReason.TIMEOUT, message)
    if status < 0:
        return MediaError(SkipReason.CORRUPT, f"the SVG renderer died of {signal.Signals(-status).name}")
    last = explanation.splitlines()[-1] if explanation else f"exit status {status}"
    if "no element found" in last or "unclosed token" in last:
        return MediaError(SkipReason.TRUNCATED, f"SVG data end too early: {last}")
    return MediaError(SkipReason.CORRUPT, f"broken SVG data: {last}")


@cache
def _folders() -> tuple[str, ...]:
    """Where the child finds what it imports; it sees neither the environment nor ``site-packages`` by itself."""
    found = (find_spec(name) for name in ("defusedxml", "resvg_py"))
    return tuple({str(Path(spec.origin).parent.parent): None for spec in found if spec and spec.origin})
