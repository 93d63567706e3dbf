"""Decides what each picture of a run is: unchanged, moved, copied, changed or new."""

from __future__ import annotations

from collections.abc import Iterator, Set

from imseek.data.catalog.catalog_writer import Catalog, KnownPlace
from imseek.data.catalog.changeset import FailedFile, Placement, ScannedContainer, SidecarValues
from imseek.data.catalog.place_paths import locate
from imseek.data.user_files.file_stat import UNKNOWN_STAT
from imseek.indexer.containers import ContainerResult
from imseek.indexer.decode_stage import TRANSIENT, FailedPicture, LoadedPicture, Result
from imseek.indexer.encode_stage import EncodeStage
from imseek.indexer.missing_images import MissingImage, MissingImages
from imseek.indexer.run_tally import RunTally
from imseek.indexer.scan import RETRIED_REASONS, EditedSidecars, ScanResult
from imseek.indexer.stored_contents import KnownContent, StoredContents
from imseek.types.indexing_runs import KnownPicture


class Intake:
    """Receives the results of an executor, and passes on what to store, move, skip or report as failed."""

    def __init__(self, contents: StoredContents, storing: EncodeStage, tally: RunTally) -> None:
        self._contents = contents
        self._storing = storing
        self._tally = tally
        self._missing = MissingImages()
        self._deferred: list[LoadedPicture] = []

    def begin(self, catalog: Catalog, scan: ScanResult, whole_sources: Set[int]) -> None:
        """Take over what the scan found: images that are missing or still to be read, and failures.

        Images without a place are removed only if their last source is in ``whole_sources``, which are scanned
        completely.
        """
        self._missing.unread.update(c.known_place.image_id for c in scan.candidates if c.known_place is not None)
        changes = self._tally.changes
        for opening in scan.openings:
            source_id, path = opening.target.source.source_id, opening.container.path
            self._missing.unread.update(catalog.ids_within(source_id, path))
            if opening.before != UNKNOWN_STAT:
                changes.containers.append(ScannedContainer(source_id, path, UNKNOWN_STAT))
        self._missing.update(scan.lost)
        for image_id, content_hash, stored, last_source in catalog.missing_images():
            expires = last_source in whole_sources
            self._missing.add(content_hash, MissingImage(image_id, stored, expires))
        changes.cleared += scan.cleared
        for failed in scan.skipped:
            self._tally.fail(failed)

    def take(self, result: Result) -> None:
        """Decide on one result."""
        if isinstance(result, ContainerResult):
            self._end(result)
        elif isinstance(result, FailedFile):
            self._tally.fail(result)
        elif isinstance(result, EditedSidecars):
            self._take_edited(result)
        elif isinstance(result, FailedPicture):
            self._take_failed(result)
        else:
            self._take_loaded(result)

    def settle_deferred(self) -> Iterator[None]:
        """Decide on the pictures that had to wait for others, one at each step."""
        for loaded in self._deferred:
            self._settle(loaded)
            yield

    def remove_missing(self) -> None:
        """Remove the images whose content was not found anywhere."""
        lost = self._missing.gone()
        self._tally.changes.gone += [image.image_id for image in lost]
        self._tally.count("removed", sum(not image.replaced for image in lost))

    def _end(self, result: ContainerResult) -> None:
        """Finish a container: images that it no longer holds may turn up elsewhere."""
        self._missing.update(result.lost)
        for lost in result.lost.values():
            self._missing.unread.difference_update(image.image_id for image in lost)
        self._missing.unread.difference_update(result.settled)
        self._tally.changes.cleared += result.cleared
        self._tally.containers.end(result)
        if not self._deferred:  # no picture of a container recorded as read may still be waiting
            self._tally.changes.containers += self._tally.containers.take_read()

    def _take_edited(self, edited: EditedSidecars) -> None:
        content = edited.source.load_sidecars(edited.image)
        values = self._storing.columns_beside(edited.source_id, content.beside)
        self._tally.annotate(edited.known_place.image_id, SidecarValues(values, content.sidecar_stat))

    def _annotate(self, loaded: LoadedPicture, image_id: int) -> None:
        """Store the columns from the files beside a stored image, which may have changed."""
        values = self._storing.sidecar_row(loaded)
        self._tally.changes.sidecars[image_id] = SidecarValues(values, loaded.sidecar_stat)

    def _take_failed(self, failed: FailedPicture) -> None:
        candidate, old = failed.candidate, failed.candidate.known_place
        if old is not None:
            self._missing.unread.discard(old.image_id)
            if failed.reason not in TRANSIENT and not old.quarantined:
                # Not searched until the file is readable again; if its content turns up elsewhere, it has moved.
                self._tally.changes.suspended.append(old.image_id)
                self._missing.add(old.content_hash, MissingImage(old.image_id, old.stored, expires=False))
        before = candidate.failure
        is_repeated = before is not None and before.reason == failed.reason in RETRIED_REASONS
        self._tally.fail(candidate.failed(failed.stat, failed.reason, failed.message), recorded=is_repeated)

    def _take_loaded(self, loaded: LoadedPicture) -> None:
        candidate, old = loaded.candidate, loaded.candidate.known_place
        self._tally.count("files_opened")
        self._tally.count("bytes_read", loaded.size)
        if candidate.failure is not None:
            self._tally.changes.cleared.append((candidate.source_id, candidate.path))
        if old is not None:
            self._missing.unread.discard(old.image_id)
            if old.content_hash == loaded.content_hash:
                if old.stored:
                    self._tally.keep(_placement(loaded, old.image_id))
                    self._annotate(loaded, old.image_id)
                else:
                    self._storing.add(loaded, old.image_id)
                return
            self._displace(old)
        unread = self._missing.unread
        if (
            unread
            and loaded.content_hash not in self._missing
            and not unread.isdisjoint(self._contents.find_all(loaded.content_hash, loaded.absent_at))
        ):
            # The image with this content lies in a file that may also have changed (two files that swapped names):
            # whether this is a move or a copy is known only after reading that file.
            self._deferred.append(loaded)
        else:
            self._settle(loaded)

    def _settle(self, loaded: LoadedPicture) -> None:
        """Decide what a content new to its place is: a move, known content to skip, a copy, or a new image."""
        missing_image = self._missing.claim(loaded.content_hash)
        if missing_image is None and (known_content := self._find_known(loaded)) is not None:
            self._skip(loaded, known_content)
        elif missing_image is None or not missing_image.stored:
            self._storing.add(loaded, None if missing_image is None else missing_image.image_id)
        else:
            self._tally.move(_placement(loaded, missing_image.image_id))
            self._annotate(loaded, missing_image.image_id)

    def _find_known(self, loaded: LoadedPicture) -> KnownContent | None:
        """Return where the content of a picture to skip is stored, or None; this run may have stored it meanwhile."""
        if loaded.known_content is not None or not self._contents.skips_own:
            return loaded.known_content
        if self._storing.holds(loaded.content_hash):
            return self._contents.known_here(None)
        image_id = self._contents.find(loaded.content_hash, loaded.absent_at)
        return None if image_id is None else self._contents.known_here(image_id)

    def _skip(self, loaded: LoadedPicture, known_content: KnownContent) -> None:
        candidate, old = loaded.candidate, loaded.candidate.known_place
        if old is not None:
            self._missing.mark_vanished(old.content_hash, old.image_id)
        location = locate(candidate.target.root, candidate.path)
        picture = KnownPicture(candidate.source_id, location, loaded.content_hash.hex(), *known_content)
        self._tally.skip(picture, candidate.path)

    def _displace(self, old: KnownPlace) -> None:
        """Mark the image that was here as missing.

        If its content does not turn up elsewhere, it is removed at the end of the run. A quarantined image is exempt:
        it waits to be restored, and no other file is taken for it.
        """
        if not old.quarantined:
            self._missing.add(old.content_hash, MissingImage(old.image_id, old.stored, replaced=True))


def _placement(loaded: LoadedPicture, image_id: int) -> Placement:
    candidate, old = loaded.candidate, loaded.candidate.known_place
    replaces = None if old is None else old.image_id
    return Placement(image_id, candidate.source_id, candidate.path, loaded.stat, replaces)
