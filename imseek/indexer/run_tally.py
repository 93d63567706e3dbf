"""Count what a run does: the changes of its next commit, and the report of those that are committed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from imseek.data.catalog.catalog_writer import KnownPlace
from imseek.data.catalog.changeset import Changeset, FailedFile, NewImage, Placement, SidecarValues
from imseek.indexer.containers import ContainerLog
from imseek.indexer.scan import RETRIED_REASONS
from imseek.types.indexing_runs import Failure, IndexReport, KnownPicture, SpaceRun

#: Counts that finish a picture.
_DONE = ("unchanged", "added", "changed", "moved", "copied", "skipped", "known")


class RunTally:
    """Collects ``changes``, which count in ``report`` only after they are committed.

    ``containers`` are those that the run has read; ``done`` is the number of pictures in completed commits.
    """

    def __init__(self, generation: int, encoder: str) -> None:
        self.report = IndexReport(
            seen=0, unchanged=0, added=0, changed=0, moved=0, copied=0, removed=0, skipped=0, live=0,
            bytes_read=0, files_opened=0, seconds=0.0, generation=generation, encoder=encoder,
        )  # fmt: skip
        self.done = 0
        self.containers = ContainerLog()
        self.changes = Changeset()
        self._counts: Counter[str] = Counter()
        self._failures: list[Failure] = []
        self._known_pictures: list[KnownPicture] = []

    def add(self, *, seen: int, unchanged: int, skipped: int) -> None:
        """Count pictures that need not be read, at once: there is nothing to commit."""
        report = self.report
        self.report = replace(
            report,
            seen=report.seen + seen,
            unchanged=report.unchanged + unchanged,
            skipped=report.skipped + skipped,
        )

    def count(self, name: str, number: int = 1) -> None:
        """Add to a count of the report, with the next commit."""
        self._counts[name] += number

    def store(self, new: NewImage, old: KnownPlace | None, *, copied: bool) -> None:
        """Store an image where ``old`` was before, if anything; ``copied`` if its content existed already."""
        self.changes.new.append(new)
        changed = old is not None and not old.quarantined and old.content_hash != new.content_hash
        self.count("changed" if changed else "copied" if copied else "added")

    def keep(self, place: Placement) -> None:
        """Record that the image at a place is unchanged."""
        self.changes.checked.append(place)
        self.count("unchanged")

    def annotate(self, image_id: int, values: SidecarValues) -> None:
        """Record what the changed files beside an unchanged image say."""
        self.changes.sidecars[image_id] = values
        self.count("sidecars")

    def move(self, place: Placement) -> None:
        """Move an image to the place where it was found."""
        self.changes.moved.append(place)
        self.count("moved")

    def skip(self, picture: KnownPicture, path: bytes) -> None:
        """Skip a known picture at a place. Nothing is recorded, so that a run without ``skip_known`` indexes it."""
        self.containers.open_again(picture.source_id, path)
        self._known_pictures.append(picture)
        self.count("known")

    def fail(self, failed: FailedFile, *, recorded: bool = False) -> None:
        """Report a failure, and record it unless it already is: recording it again would cause a needless commit."""
        if failed.reason in RETRIED_REASONS:
            self.containers.open_again(failed.source_id, failed.path)
        if not recorded:
            self.changes.failed.append(failed)
        self._failures.append(Failure(failed.source_id, failed.full, failed.reason, failed.message))
        self.count("skipped")

    def count_commit(self, generation: int, spaces: tuple[SpaceRun, ...]) -> None:
        """Add the committed changes to the report, as ``generation``, and start the next changeset."""
        report = self.report
        self.report = replace(
            report,
            generation=generation,
            precision=spaces[0].precision,
            spaces=spaces,
            failures=(*report.failures, *self._failures),
            known_pictures=(*report.known_pictures, *self._known_pictures),
            **{name: getattr(report, name) + number for name, number in self._counts.items()},
        )
        self.done += sum(self._counts[name] for name in _DONE)
        self.changes, self._counts, self._failures, self._known_pictures = Changeset(), Counter(), [], []
