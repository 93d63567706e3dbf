"""Logs of a server."""

from __future__ import annotations

import logging
import sys


def log_to_stderr() -> None:
    """Send logs to standard error: access lines as bare JSON, others with a prefix."""
    for name, form in (("imseek.access", "%(message)s"), ("imseek.http", "imseek: %(message)s")):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        if not logger.handlers:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter(form))
            logger.addHandler(handler)
