"""Pictures on the web. Each is downloaded once; changes are noticed only when everything is read again."""

from __future__ import annotations

import os
import threading
from typing import Final

from imseek.data.user_files.file_stat import FileStat
from imseek.indexer.sources.base import Content, FoundImage
from imseek.media.fetcher import Fetcher

#: The stat of anything on the web: always the same, and never too recent to trust.
WEB_STAT: Final = FileStat(0, 0, 0, 0, 2**62)
#: Useful number of download threads: most of them wait.
FETCH_THREADS: Final = 16


class WebReader:
    """Downloads pictures, creating the HTTP client for the first one."""

    def __init__(self, *, allow_private: bool = False, fetcher: Fetcher | None = None) -> None:
        self._allow_private = allow_private
        self._fetcher = fetcher
        self._lock = threading.Lock()

    def load(self, image: FoundImage, url: bytes | None = None) -> Content:
        """Download the picture at ``url`` (default: the path of ``image``). Raises MediaError, MissingExtraError."""
        address = os.fsdecode(image.path if url is None else url)
        data = self._client().fetch(address).data
        return Content(data, image.stat, image.caption, image.extra or {})

    def close(self) -> None:
        with self._lock:
            if self._fetcher is not None:
                self._fetcher.close()

    def _client(self) -> Fetcher:
        with self._lock:
            if self._fetcher is None:
                from imseek.media.http_fetcher import HttpFetcher

                self._fetcher = HttpFetcher(allow_private=self._allow_private)
            return self._fetcher
