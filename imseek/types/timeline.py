"""Images in the order in which they were taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
#: Stands for no day.
NO_DAY: Final = int(np.iinfo(np.int64).min)


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Images by the day on which they were taken, the newest first; those without a date come last.

    ``image_ids`` (n,) are theirs, ``ratios`` (n,) float32 their widths divided by their heights (1 if unknown), and
    ``days`` (n,) int64 the days since 1970, the lowest number for none.
    """

    image_ids: Int64
    ratios: npt.NDArray[np.float32]
    days: Int64 = field(repr=False)

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def dated(self) -> int:
        """The number of images with a date."""
        return int(np.count_nonzero(self.days != NO_DAY))

    def count_days(self) -> tuple[tuple[date | None, int], ...]:
        """Return each day with its number of images, in the order of the images; None for no date."""
        if not len(self.days):
            return ()
        starts = np.flatnonzero(np.diff(self.days, prepend=self.days[0] - 1))
        counts = np.diff(starts, append=len(self.days))
        days = self.days[starts].astype("datetime64[D]").tolist()
        return tuple((day, n) for day, n in zip(days, counts.tolist(), strict=True))

    def among(self, image_ids: Int64) -> Timeline:
        """Return the part with these images."""
        mine = np.isin(self.image_ids, image_ids)
        return Timeline(self.image_ids[mine], self.ratios[mine], self.days[mine])
