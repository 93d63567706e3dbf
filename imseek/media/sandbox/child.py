"""The program of a worker: it imports codecs, confines itself, and forks decoders on request.

The worker itself never sees a picture. A decoder is a fork of it, so that a new one costs milliseconds: one that a
picture ended is soon replaced, and one that a picture took over does not last. Its standard input is a socket, with
whose end it ends; :mod:`imseek.media.sandbox.messages` has what is said there.
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

# What our modules and Pillow import when a picture needs it: afterwards nothing can be imported. The rest comes with
# the decoding of a BMP of one pixel.
_LATE: Final = (
    "PIL.IptcImagePlugin",
    "defusedxml.ElementTree",
    "encodings.ascii",
    "encodings.latin_1",
    "encodings.utf_16",
    "encodings.utf_16_be",
    "encodings.utf_16_le",
)
_PIXEL: Final = (
    b"BM" + struct.pack("<IIIIiiHHIIiiII", 58, 0, 54, 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0) + bytes(4)
)
_LETTER: Final = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text y="9">a</text></svg>'


def main() -> None:
    """Run a worker: ``sys.argv`` has the name of its kind and the number of the process that it is for."""
    kind, parent = KINDS[sys.argv[1]], int(sys.argv[2])
    signal.signal(signal.SIGUSR1, lambda *_: _exit_without(parent))
    control = socket.socket(fileno=0)
    try:
        refusals = load(kind)
        base = confinement.address_space()
        layers = confinement.confine_worker(kind.readable)
        # The signal comes when the starting thread ends, which need not be the end of its process.
        confinement.end_with(parent, signal.SIGUSR1)
    except Exception as error:
        _greet(control, {"error": f"{type(error).__name__}: {error}"})
        raise
    gc.freeze()  # or each collection in a decoder would copy all pages
    _greet(control, {"layers": layers, "refusals": refusals})
    with suppress(OSError):  # nobody there any more
        _serve(control, kind, layers, base)


def _greet(control: socket.socket, content: Mapping[str, Any]) -> None:
    encoded = json.dumps(content).encode("ascii")
    control.sendall(LENGTH.pack(len(encoded)) + encoded)


def load(kind: Kind) -> dict[str, str]:
    """Import all that decoders of a kind need; return the formats of the kind that cannot be read, and why."""
    for module in _LATE:
        import_module(module)
    pillow.read(_PIXEL, "BMP", min_side=None, max_pixels=1)
    for name in formats.PILLOW:
        if formats.is_readable(name):
            pillow.plugin(name)
    refusals = {}
    for name in kind.formats:
        try:
            import_module(formats.PACKAGES[name])
            pillow.plugin(name)
        except MediaError as error:
            refusals[name] = str(error)
        except (ImportError, OSError) as error:
            refusals[name] = f"the codec of {name} images does not load: {error}"
    if kind is DRAWINGS and not refusals:
        svg.render(_LETTER)  # the renderer looks for fonts once
    return refusals


def _exit_without(parent: int) -> None:
    if os.getppid() != parent:
        os._exit(0)


def _serve(control: socket.socket, kind: Kind, layers: tuple[str, ...], base: int) -> None:
    while True:
        message, descriptors = _receive(control)
        if not message:
            return
        if message == KILL:  # too late
            continue
        _, max_pixels = START.unpack(message)
        memory = base + kind.memory_for(max_pixels)
        worker = os.getpid()
        ours, theirs = os.pipe()  # ends with the decoder
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
    """The next message and what came with it; empty behind the last."""
    message, descriptors, _, _ = socket.recv_fds(control, START.size, 1)
    while message and len(message) < START.size:
        more = control.recv(START.size - len(message))
        if not more:
            return b"", descriptors
        message += more
    return message, descriptors


def _wait(control: socket.socket, decoder: int, ended: int) -> int:
    """The wait status of a decoder, which is killed on request, or when nobody is left to request it."""
    ready, _, _ = select.select([ended, control.fileno()], [], [])
    if ended not in ready:
        _receive(control)  # KILL, or the end
    # In any case: one that was taken over may touch the pipe and stay. It does not change the status of one that ends.
    os.kill(decoder, signal.SIGKILL)
    return os.waitpid(decoder, 0)[1]


def _decode(channel: messages.Channel) -> None:
    """Answer requests until there are none left."""

    def admission(pixels: int) -> AbstractContextManager[None]:
        messages.ask_to_go_on(channel, pixels)
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
                admission=admission,
            )
        except MediaError as error:
            messages.send_error(channel, error)
        else:
            messages.send_picture(channel, pixels, facts)
