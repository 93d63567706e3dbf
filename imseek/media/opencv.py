"""OpenCV, which two features need and may be installed without a library of the system that it needs in turn."""

from __future__ import annotations

from typing import Any

from imseek.errors import MissingExtraError


def load_opencv(extra: str) -> Any:
    """Import OpenCV. Raises MissingExtraError, with its ``extra``, where it is missing or cannot be loaded."""
    try:
        import cv2
    except ImportError as error:
        broken = None if isinstance(error, ModuleNotFoundError) else error
        raise MissingExtraError("OpenCV", extra, broken) from error
    return cv2
