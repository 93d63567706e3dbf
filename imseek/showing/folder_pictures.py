"""Pictures of search results, from the folders of their collections."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imseek.errors import MediaError
from imseek.showing.pictures import OTHER_COLLECTION
from imseek.types.pictures import SkipReason

if TYPE_CHECKING:
    from imseek.types.search_results import ReadPicture, SearchResult


@dataclass(frozen=True, slots=True)
class FolderPictures:
    """Loads pictures from collections in these folders, by UUID, even if the searched collection has been closed
    since."""

    paths: Mapping[str, Path]

    @contextmanager
    def opened(self) -> Iterator[ReadPicture]:
        """Yield a thread-safe function that takes UUID, id and side, and returns the picture as indexed."""
        from imseek.analysis.originals import Originals
        from imseek.data.reader import Reader

        lock, originals = threading.Lock(), dict[str, Originals]()
        with ExitStack() as stack:

            def read(uuid: str, image_id: int, side: int) -> bytes:
                with lock:
                    if uuid not in self.paths:
                        raise MediaError(SkipReason.VANISHED, OTHER_COLLECTION)
                    if uuid not in originals:
                        reader = stack.enter_context(closing(Reader(self.paths[uuid])))
                        originals[uuid] = stack.enter_context(Originals(reader))
                return originals[uuid].load(image_id).data

            yield read

    def html(self, result: SearchResult) -> str:
        """Render a grid for notebooks. Never raises."""
        from imseek.showing.grid import render_result

        return render_result(result, self.opened)
