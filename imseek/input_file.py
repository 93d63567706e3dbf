"""Open files that a user names but a stranger may have made: queries, classes, policies, lists, arrays.

Such a file may be a pipe without a writer, an endless device, a sparse terabyte, or an array with a false size.
"""

from __future__ import annotations

import errno
import math
import os
import select
import stat
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from imseek.tilde_expansion import expand_user

if TYPE_CHECKING:
    import numpy.typing as npt

#: Size limit in bytes for text files; enough for ten million file names.
MAX_TEXT: Final = 1 << 30
#: Without O_NONBLOCK, opening a pipe that has no writer would block for ever.
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK: Final = 1 << 20
_MISSING_PATH: Final = "check the spelling; if it is on a drive or a network share, mount that first"
#: Seconds to wait for a pipe's writer.
_PIPE_TIMEOUT: Final = 1


def missing_path_hint(path: str) -> str:
    """Suggest what to do about a path that does not exist: one beside it with a similar name, if there is one."""
    from difflib import get_close_matches

    missing = expand_user(path)
    try:
        matches = get_close_matches(missing.name, os.listdir(missing.parent), 1)
    except (OSError, ValueError):
        matches = []
    return f"did you mean {Path(path).with_name(matches[0])}?" if matches else _MISSING_PATH


def read_input(path: str | os.PathLike[str], *, most: int = MAX_TEXT) -> bytes:
    """Read a whole file or pipe, such as ``<(command)``, of at most ``most`` bytes.

    Raises OSError: EFBIG if it is larger, EINVAL for a device, EISDIR for a folder.
    """
    with open_stream(path) as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) and not stat.S_ISFIFO(info.st_mode):
            raise OSError(errno.EINVAL, "it is neither a file nor a pipe")
        if info.st_size > most:
            raise _too_large(most)
        data = bytearray()
        # read1 returns what the pipe has; waiting for a whole block might block for ever.
        while block := file.read1(_BLOCK):
            data += block
            if len(data) > most:
                raise _too_large(most)
    return bytes(data)


def open_stream(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a file, a pipe or a device for sequential reading. Raises OSError: EISDIR for a folder.

    A pipe that nobody opens for writing within a second reads as empty.
    """
    file = _open(path)
    try:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(mode):
            poll = select.poll()
            poll.register(file, select.POLLIN | select.POLLHUP)
            poll.poll(1000 * _PIPE_TIMEOUT)
        if not stat.S_ISREG(mode):
            os.set_blocking(file.fileno(), True)
    except BaseException:
        file.close()
        raise
    return file


def open_input(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file for reading and seeking. Raises OSError: EINVAL for a pipe or device, EISDIR for a folder."""
    file = _open(path)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file")
    return file


def _open(path: str | os.PathLike[str]) -> BufferedReader:
    # In the home of an unknown user, a file is missing: an OSError, as for other files.
    return os.fdopen(os.open(os.path.expanduser(path), _FLAGS), "rb")  # noqa: PTH111


def map_array(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Memory-map the numeric array of any shape in a ``.npy`` file.

    Raises OSError as :func:`open_input`, and ValueError if it is no such array or is truncated.
    """
    import numpy as np

    with open_input(path) as file:
        shape, is_fortran, dtype = _read_header(file)
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
        if dtype.kind not in "fiu" or not all(type(side) is int and 0 <= side < 1 << 48 for side in shape):
            raise ValueError(f"no array of numbers: {dtype} of shape {shape}")
        if math.prod(shape) * dtype.itemsize > size - offset:
            raise ValueError(f"it ends before the last number of an array of shape {shape}")
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(file, dtype, "r", offset, shape, "F" if is_fortran else "C")


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, Any]:
    """Read a ``.npy`` header: shape, whether Fortran-ordered, dtype. Raises ValueError."""
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
    except Exception as error:  # NumPy does not document what it raises for damaged data.
        raise ValueError(f"not an array of NumPy: {str(error)[:200]}") from error


def _too_large(most: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {most >> 20:,} MiB")
