"""The program of a worker: it imports codecs, confines itself, and forks decoders on request.

The worker itself never sees a picture. Decoders are forks of it, which start in milliseconds: one that a picture
crashed is soon replaced, and one that a picture took over is short-lived. The worker's standard input is a socket, and
the worker exits when it closes; :mod:`imseek.media.sandbox.messages` defines the protocol.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import import_module
from typing import Any, Final

from imseek.errors import MediaError
from imseek.media import formats, pillow, svg
from imseek.media.sandbox import confinement, messages
from imseek.media.sandbox.kinds import DRAWINGS, KINDS, Kind
from imseek.media.sandbox.messages import KILL, LENGTH, NOT_CONFINED, START, STATUS

# Modules that our code and Pillow import only when a picture needs them: after confinement nothing can be imported.
# Decoding a one-pixel BMP imports the rest.
_LATE_IMPORTS: Final = (
    "PIL.IptcImagePlugin",
    "defusedxml.ElementTree",
    "encodings.ascii",
    "encodings.latin_1",
    "encodings.utf_16",
    "encodings.utf_16_be",
    "encodings.utf_16_le",
)
_PIXEL: Final = b"BM" + struct.pack("<IIIIiiHHIIiiII", 58, 0, 54, 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0) + bytes(4)
_LETTER: Final = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text y="9">a</text></svg>'


def main() -> None:
    """Run a worker: ``sys.argv`` holds the name of its kind and the process id of its owner."""
    kind, parent = KINDS[sys.argv[1]], int(sys.argv[2])
    signal.signal(signal.SIGUSR1, lambda *_: _exit_if_orphaned(parent))
    control = socket.socket(fileno=0)
    try:
        refusals = load(kind)
        base = confinement.address_space()
        layers = confinement.confine_worker(kind.readable)
        # The signal is sent when the thread that started this process ends, perhaps before its process does.
        confinement.end_with_parent(parent, signal.SIGUSR1)
    except Exception as error:
        _greet(control, {"error": f"{type(error).__name__}: {error}"})
        raise
    gc.freeze()  # otherwise each garbage collection in a decoder would copy all pages
    _greet(control, {"layers": layers, "refusals": refusals})
    with suppress(OSError):  # the owner is gone
        _serve(control, kind, layers, base)


def _greet(control: socket.socket, content: Mapping[str, Any]) -> None:
    encoded = json.dumps(content).encode("ascii")
    control.sendall(LENGTH.pack(len(encoded)) + encoded)


def load(kind: Kind) -> dict[str, str]:
    """Import everything that decoders of a kind need; return the unreadable formats of the kind, with reasons."""
    for module in _LATE_IMPORTS:
        import_module(module)
    pillow.read(_PIXEL, "BMP", min_side=None, max_pixels=1)
    for name in formats.PILLOW_FORMATS:
        if formats.is_readable(name):
            pillow.plugin(name)
    refusals = {}
    for name in kind.formats:
        try:
            import_module(formats.EXTRA_PACKAGES[name])
            pillow.plugin(name)
        except MediaError as error:
            refusals[name] = str(error)
        except (ImportError, OSError) as error:
            refusals[name] = f"the codec of {name} images does not load: {error}"
    if kind is DRAWINGS and not refusals:
        svg.render(_LETTER)  # the renderer searches for fonts once
    return refusals


def _exit_if_orphaned(parent: int) -> None:
    if os.getppid() != parent:
        os._exit(0)


def _serve(control: socket.socket, kind: Kind, layers: tuple[str, ...], base: int) -> None:
    while True:
        message, descriptors = _receive(control)
        if not message:
            return
        if message == KILL:  # the decoder has already ended
            continue
        _, max_pixels = START.unpack(message)
        memory = base + kind.memory_for(max_pixels)
        worker = os.getpid()
        ours, theirs = os.pipe()  # closes when the decoder ends
        decoder = os.fork()
        if decoder == 0:
            try:
                os.close(ours)
                os.dup2(1, control.detach())
                channel = messages.Channel(socket.socket(fileno=descriptors[0]))
                _confine(layers, kind, worker, memory)
                _decode(channel)
            except BaseException:
                os._exit(1)
            os._exit(0)
        os.close(theirs)
        os.close(descriptors[0])
        status = _wait(control, decoder, ours)
        os.close(ours)
        control.sendall(STATUS.pack(status))


def _confine(layers: tuple[str, ...], kind: Kind, worker: int, memory: int) -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        confinement.confine_decoder(
            layers, worker=worker, memory=memory, seconds=kind.seconds, reading=bool(kind.readable)
        )
    except OSError:
        os._exit(NOT_CONFINED)


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    """Receive the next message and its descriptors; empty after the last."""
    message, descriptors, _, _ = socket.recv_fds(control, START.size, 1)
    while message and len(message) < START.size:
        more = control.recv(START.size - len(message))
        if not more:
            return b"", descriptors
        message += more
    return message, descriptors


def _wait(control: socket.socket, decoder: int, ended: int) -> int:
    """Return a decoder's wait status, killing it on request or when no owner is left to request it."""
    ready, _, _ = select.select([ended, control.fileno()], [], [])
    if ended not in ready:
        _receive(control)  # KILL, or end of file
    # Always kill: a decoder that was taken over may write to the pipe and stay. The signal does not change the status
    # of one that has ended.
    os.kill(decoder, signal.SIGKILL)
    return os.waitpid(decoder, 0)[1]


def _decode(channel: messages.Channel) -> None:
    """Answer requests until there are none left."""

    def admission(pixels: int) -> AbstractContextManager[None]:
        messages.request_to_proceed(channel, pixels)
        return nullcontext()

    while True:
        try:
            request, data = messages.receive_request(channel)
        except EOFError:
            return
        try:
            pixels, facts = pillow.read(
                data,
                request.name,
                min_side=request.min_side,
                max_pixels=request.max_pixels,
                measured=request.measured,
                preview=request.preview,
                admission=admission,
            )
        except MediaError as error:
            messages.send_error(channel, error)
        else:
            messages.send_picture(channel, pixels, facts)
