"""Open files that a user names and a stranger may have made: queries, classes, policies, lists, arrays.

Such a file may turn out to be a pipe that nobody writes to, a device that never ends, a terabyte of nothing, or an
array that says it is larger than it is.
"""

from __future__ import annotations

import errno
import math
import os
import select
import stat
from io import BufferedReader
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    import numpy.typing as npt

#: Bytes of a text that people write, or a program writes for them: ten million names of files.
MAX_TEXT: Final = 1 << 30
#: Without O_NONBLOCK, opening a pipe that nobody writes to would take for ever.
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK: Final = 1 << 20
#: Seconds in which somebody has to open a pipe to write to it.
_PATIENCE: Final = 1


def read_input(path: str | os.PathLike[str], *, most: int = MAX_TEXT) -> bytes:
    """All bytes of a file or a pipe, such as ``<(command)``, at most ``most``.

    Raises OSError: EFBIG for one that has more, EINVAL for a device, EISDIR for a folder.
    """
    with open_stream(path) as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) and not stat.S_ISFIFO(info.st_mode):
            raise OSError(errno.EINVAL, "it is neither a file nor a pipe")
        if info.st_size > most:
            raise _too_large(most)
        data = bytearray()
        # A pipe gives what it has: to wait for a whole block may take for ever.
        while block := file.read1(_BLOCK):
            data += block
            if len(data) > most:
                raise _too_large(most)
    return bytes(data)


def open_stream(path: str | os.PathLike[str]) -> BufferedReader:
    """A file, a pipe or a device, to read from its beginning to its end. Raises OSError: EISDIR for a folder.

    A pipe that nobody opens to write within a second is empty.
    """
    file = _open(path)
    try:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(mode):
            waiting = select.poll()
            waiting.register(file, select.POLLIN | select.POLLHUP)
            waiting.poll(1000 * _PATIENCE)
        if not stat.S_ISREG(mode):
            os.set_blocking(file.fileno(), True)
    except BaseException:
        file.close()
        raise
    return file


def open_input(path: str | os.PathLike[str]) -> BufferedReader:
    """A regular file, to read and to seek in. Raises OSError: EINVAL for a pipe or a device, EISDIR for a folder."""
    file = _open(path)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file")
    return file


def _open(path: str | os.PathLike[str]) -> BufferedReader:
    # Not `Path.expanduser`: that raises RuntimeError for a file whose name begins with a tilde.
    return os.fdopen(os.open(os.path.expanduser(path), _FLAGS), "rb")  # noqa: PTH111


def map_array(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """The array of numbers in a ``.npy`` file, of any shape, mapped into memory.

    Raises OSError as :func:`open_input`, and ValueError where it is none, or ends before its last number.
    """
    import numpy as np

    with open_input(path) as file:
        shape, is_fortran, dtype = _header(file)
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
        if dtype.kind not in "fiu" or not all(type(side) is int and 0 <= side < 1 << 48 for side in shape):
            raise ValueError(f"no array of numbers: {dtype} of shape {shape}")
        if math.prod(shape) * dtype.itemsize > size - offset:
            raise ValueError(f"it ends before the last number of an array of shape {shape}")
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(file, dtype, "r", offset, shape, "F" if is_fortran else "C")


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, Any]:
    """What the header of a ``.npy`` file says. Raises ValueError."""
    import numpy as np

    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"version {version} of the format")
        return readers[version](file)
    except OSError:
        raise
    except Exception as error:  # What damaged bytes make NumPy raise is not documented.
        raise ValueError(f"not an array of NumPy: {str(error)[:200]}") from error


def _too_large(most: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {most >> 20:,} MiB")
