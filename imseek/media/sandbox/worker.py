"""Start a worker, have it start and end decoders, and read their answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from imseek.errors import MediaError
from imseek.media import formats
from imseek.media.bounds import MAX_FRAMES, admit
from imseek.media.sandbox import messages
from imseek.media.sandbox.kinds import Kind
from imseek.media.sandbox.messages import (
    KILL,
    LENGTH,
    NOT_CONFINED,
    START,
    STATUS,
    AnswerError,
    Channel,
    Request,
)
from imseek.types.arrays import Pixels
from imseek.types.pictures import ImageFacts, SkipReason

#: Seconds for a worker to start: a busy machine may need long for 0.2 s of processor time.
START_SECONDS: Final = 60.0
#: Seconds per picture, by the clock: a little less than a run allows for a file.
PICTURE_SECONDS: Final = 55.0
#: Seconds for a process to end before it is killed.
END_SECONDS: Final = 5.0
#: A decoder is replaced after this many pictures, or pixels, so that one that was taken over meets few other pictures:
#: of full-size photographs, none. A new one costs some milliseconds.
DECODER_PICTURES: Final = 16
DECODER_PIXELS: Final = 5_000_000
#: A decoder is also replaced once it has used this share of its processor time; the rest is for its next picture.
DECODER_SHARE: Final = 0.1

_PROGRAM: Final = "import sys; sys.path += sys.argv[3:]; from imseek.media.sandbox.worker_main import main; main()"
_LIBRARIES: Final = ("numpy", "PIL", "defusedxml", "imseek")


class WorkerError(Exception):
    """A worker has ended, or does not start; no picture is to blame."""


class Worker:
    """A confined process that decodes one picture at a time, for one thread at a time.

    ``layers`` are the mechanisms that confine it (:mod:`imseek.media.sandbox.confinement`), ``refusals`` the formats of
    its kind that it cannot read, with reasons. Raises WorkerError where it does not start.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.last_used = time.monotonic()
        self.has_ended = False
        self._decoder: _Decoder | None = None
        self._statuses = 0  # statuses of released decoders, not yet received
        ours, theirs = socket.socketpair()
        self._control, self._socket = Channel(ours), ours
        with theirs:
            try:
                self._process = _start(kind, theirs)
            except OSError as error:
                ours.close()
                raise WorkerError(str(error)) from error
        try:
            greeting = self._greeting()
        except BaseException:
            self.kill()
            self.close()
            raise
        self.layers: tuple[str, ...] = tuple(greeting["layers"])
        self.refusals: dict[str, str] = greeting["refusals"]

    def read(self, request: Request, data: bytes) -> tuple[Pixels, ImageFacts]:
        """Decode a picture; arguments and results are those of :func:`imseek.media.pillow.read`.

        Raises MediaError, whatever happens to the decoder, and WorkerError where the worker has ended.
        """
        if (message := self.refusals.get(request.name)) is not None:
            raise MediaError(SkipReason.MISSING_CODEC, message)
        try:
            return self._read(request, data)
        except (EOFError, OSError) as error:  # includes TimeoutError
            self.has_ended = True
            raise WorkerError("it has ended") from error

    def is_running(self) -> bool:
        """Tell whether the process still seems to run."""
        return not self.has_ended and self._process.poll() is None

    def rest(self) -> None:
        """Mark the worker as idle, and end a decoder that is used up."""
        self.last_used = time.monotonic()
        if self._decoder is not None and self._decoder.is_spent():
            self._let_go()

    def close(self) -> None:
        """End the process. May be called twice."""
        self.has_ended = True
        self._release()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """Kill the process, even while another thread uses it; that thread must still close it."""
        self.has_ended = True
        self._process.kill()

    def forget(self) -> None:
        """Release the worker in a fork of its owner, without ending it."""
        self._release()
        self._process.returncode = 0  # it is not a child of this process, so there is nothing to wait for

    def _release(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
        self._control.close()

    def _greeting(self) -> dict[str, Any]:
        self._control.allow(START_SECONDS)
        try:
            (size,) = LENGTH.unpack(self._control.receive(LENGTH.size))
            greeting: dict[str, Any] = json.loads(self._control.receive(size))
        except (EOFError, OSError, ValueError) as error:
            raise WorkerError("it does not start") from error
        if "error" in greeting:
            raise WorkerError(f"it does not start: {greeting['error']}")
        return greeting

    def _read(self, request: Request, data: bytes) -> tuple[Pixels, ImageFacts]:
        decoder = self._decoder_for(request.max_pixels)
        try:
            return decoder.read(request, data)
        except EOFError as error:
            self._let_go()
            raise _failure(request.name, self.kind, self._status(), request.max_pixels) from error
        except TimeoutError as error:
            self._kill_decoder()
            message = f"decoding it took more than {PICTURE_SECONDS:.0f} seconds"
            raise MediaError(SkipReason.TIMEOUT, message) from error
        except AnswerError as error:
            self._kill_decoder()
            message = f"the {request.name} decoder returned an invalid answer: {error}"
            raise MediaError(SkipReason.CORRUPT, message) from error

    def _decoder_for(self, max_pixels: int) -> _Decoder:
        if self._decoder is not None and self._decoder.max_pixels != max_pixels:
            self._let_go()
        if self._statuses:
            self._status()
        if self._decoder is None:
            ours, theirs = socket.socketpair()
            with theirs:
                self._decoder = _Decoder(ours, max_pixels, DECODER_SHARE * self.kind.seconds)
                socket.send_fds(self._socket, [START.pack(1, max_pixels)], [theirs.fileno()])
        return self._decoder

    def _let_go(self) -> None:
        """Close the decoder's socket, which ends the decoder; its status follows."""
        assert self._decoder is not None
        self._decoder.close()
        self._decoder = None
        self._statuses += 1

    def _kill_decoder(self) -> None:
        self._let_go()
        self._control.send(KILL)
        self._status()

    def _status(self) -> int:
        """Return the wait status of the released decoder, killing it if it takes too long."""
        self._control.allow(END_SECONDS)
        try:
            (status,) = STATUS.unpack(self._control.receive(STATUS.size))
        except TimeoutError:
            self._control.allow(END_SECONDS)
            self._control.send(KILL)
            (status,) = STATUS.unpack(self._control.receive(STATUS.size))
        self._statuses -= 1
        return int(status)


class _Decoder:
    """A fork of a worker that decodes pictures of at most ``max_pixels``, for about ``seconds``."""

    def __init__(self, connection: socket.socket, max_pixels: int, seconds: float) -> None:
        self.max_pixels = max_pixels
        self._most_seconds = seconds
        self._channel = Channel(connection)
        self._pictures = 0
        self._pixels = 0
        self._seconds = 0.0

    def is_spent(self) -> bool:
        """Tell whether it must be replaced before the next picture."""
        return (
            self._pictures >= DECODER_PICTURES or self._pixels >= DECODER_PIXELS or self._seconds >= self._most_seconds
        )

    def read(self, request: Request, data: bytes) -> tuple[Pixels, ImageFacts]:
        """Decode a picture.

        Raises the decoder's MediaError, AnswerError, EOFError where it has ended, and TimeoutError.
        """
        self._pictures += 1
        start = time.monotonic()
        try:
            pixels, facts = self._read(request, data)
        finally:
            self._seconds += time.monotonic() - start
        self._pixels += facts.width * facts.height
        return pixels, facts

    def _read(self, request: Request, data: bytes) -> tuple[Pixels, ImageFacts]:
        self._channel.allow(PICTURE_SECONDS)
        messages.send_request(self._channel, request, data)
        kind, content = messages.receive_answer(self._channel)
        with ExitStack() as stack:
            if kind == messages.SIZE:
                remaining = self._channel.remaining()
                stack.enter_context(admit(messages.size_of(content)))
                self._channel.allow(remaining)  # waiting for admission does not count
                self._channel.send(messages.PROCEED)
                kind, content = messages.receive_answer(self._channel)
            if kind == messages.FACTS:
                facts = messages.facts_of(content, request, MAX_FRAMES)
                return messages.receive_pixels(self._channel, content, facts), facts
        if kind == messages.ERROR:
            raise messages.error_of(content)
        raise AnswerError("its kind")

    def close(self) -> None:
        self._channel.close()


def _start(kind: Kind, control: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the program is ours
        [sys.executable, "-I", "-S", "-c", _PROGRAM, kind.name, str(os.getpid()), *_folders(kind)],
        stdin=control.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=_environment(),
        start_new_session=True,  # keep an interrupt at the terminal from it: a picture would count as broken
    )


def _environment() -> dict[str, str]:
    """Pass nothing of this process's environment except where the interpreter may need to find libraries."""
    own = {
        "OPENBLAS_NUM_THREADS": "1",  # a process with threads cannot be forked safely
        # Use huge pages and keep freed memory between pictures: allocating memory is what makes new processes slow.
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold=1073741824",
    }
    return own | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}


def _folders(kind: Kind) -> list[str]:
    """List the folders from which a worker imports: isolated, it sees neither the environment nor ``site-packages``."""
    modules = (*(formats.EXTRA_PACKAGES[name] for name in kind.formats), *_LIBRARIES)
    folders = []
    for spec in map(find_spec, modules):
        if spec is not None and spec.origin is not None:
            is_package = spec.submodule_search_locations is not None
            folders.append(str(Path(spec.origin).parents[is_package]))
    return list(dict.fromkeys(folders))


def _failure(name: str, kind: Kind, status: int, max_pixels: int) -> MediaError:
    """Return the error for a picture whose decoder ended with the wait status ``status`` before answering."""
    code = os.waitstatus_to_exitcode(status)
    if code == NOT_CONFINED:
        return MediaError(SkipReason.MISSING_CODEC, f"the {name} decoder could not be confined here")
    if code == -signal.SIGXCPU:
        message = f"decoding it takes more than {kind.seconds} seconds of processor time"
        return MediaError(SkipReason.TIMEOUT, message)
    if code == -signal.SIGKILL:
        message = f"the {name} decoder was killed, by a time limit or because the system ran out of memory"
        return MediaError(SkipReason.TIMEOUT, message)
    if code == -signal.SIGABRT and name == "SVG":  # Rust's reaction to lack of memory
        message = f"drawing it needs more than {kind.memory_for(max_pixels) >> 20:,} MiB of memory"
        return MediaError(SkipReason.TOO_MANY_PIXELS, message)
    if code < 0:
        with suppress(ValueError):
            return MediaError(SkipReason.CORRUPT, f"the {name} decoder was killed by {signal.Signals(-code).name}")
    return MediaError(SkipReason.CORRUPT, f"the {name} decoder ended with status {code}")
