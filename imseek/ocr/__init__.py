"""Text in pictures: read it, store it as columns that filters and hits have, and look it up.

>>> imseek.ocr.recognise("photos.imseek").with_text      # doctest: +SKIP
412
>>> [line.text for line in imseek.ocr.read_picture(Path("scan.png").read_bytes())]      # doctest: +SKIP
['INVOICE 2024', 'Total: 119.00']

Recognised are Latin, Chinese and Japanese writing, and Greek and Cyrillic where the system has Tesseract; docs/text.md
says how well. Needs the extra ``ocr``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from imseek.ocr.results import OcrReport as OcrReport
from imseek.ocr.results import TextLine as TextLine
from imseek.ocr.results import UnreadPicture as UnreadPicture
from imseek.progress import ProgressCallback
from imseek.types.collection_arguments import AnyCollection, path_of


def lines_of(metadata: Mapping[str, Any]) -> tuple[TextLine, ...] | None:
    """Return the lines in an image's metadata; None where the picture was not read.

    Raises CorruptCollectionError where the columns hold something else.
    """
    from imseek.ocr import text_columns

    return text_columns.lines_of(metadata)


def check_installed() -> None:
    """Raise MissingExtraError where rapidocr is missing, or OpenCV, which it needs, cannot be loaded."""
    from imseek.ocr import pp_ocr

    pp_ocr.check_installed()


def recogniser_name() -> str:
    """Name who reads text in pictures, with versions, and the languages of an installed Tesseract.

    Raises MissingExtraError.
    """
    from imseek.ocr import pp_ocr

    return pp_ocr.recogniser_name()


def read_picture(data: bytes) -> tuple[TextLine, ...]:
    """Read the text in a picture, given as the bytes of its file: its lines, from the top. Thread-safe.

    Raises MediaError for anything but a picture that imseek reads, MissingExtraError.
    """
    from imseek.ocr import picture_text
    from imseek.ocr.pp_ocr import Recogniser

    return picture_text.read_picture(data, Recogniser())


def recognise(
    collection: AnyCollection,
    *,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> OcrReport:
    """Read the text in those pictures of a collection that were not read before, and store it.

    From then on the collection :func:`is_active`. Commits as it goes: after an interruption, by ``stop`` or otherwise,
    the next call continues. The report names pictures that could not be read; the next call tries them again. Raises
    MissingExtraError, UsageError where the collection has columns of these names from elsewhere,
    CollectionNotFoundError, LockedError, ReadOnlyError, StorageError, CorruptCollectionError.
    """
    from imseek.data.files.system_errors import translate_os_errors
    from imseek.data.writing.writer_wait import open_writer
    from imseek.ocr.collection_pass import read_texts

    check_installed()
    root = path_of(collection)
    with translate_os_errors(root), open_writer(root, "maintain --ocr") as writer:
        return read_texts(writer, writer.begin_task(progress, stop))


def is_active(collection: AnyCollection) -> bool:
    """Whether the text in a collection's pictures is read: then `imseek index` reads that of new pictures too.

    Raises CollectionNotFoundError, CorruptCollectionError.
    """
    from imseek.ocr import text_columns

    return text_columns.is_active(path_of(collection))


def forget(collection: AnyCollection) -> int:
    """Delete the text read in a collection's pictures, so that new pictures are not read either.

    Returns the generation. Raises LockedError, ReadOnlyError, StorageError.
    """
    from imseek.data.files.system_errors import translate_os_errors
    from imseek.ocr import text_store

    root = path_of(collection)
    with translate_os_errors(root):
        return text_store.forget(root)
