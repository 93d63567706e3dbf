"""Find duplicate pictures, judge them, and plan, apply and undo actions on them.

>>> report = imseek.duplicates.find("photos.imseek")      # doctest: +SKIP
>>> for group in report.groups:
...     print(group.keeper.place, [other.place for other in group.others], group.reason)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imseek._lazy import lazy_names

if TYPE_CHECKING:
    from imseek.duplicates.actions.plans import LINK_ACTIONS, Plan
    from imseek.duplicates.candidates.candidate_limit import DEFAULT_LOOKS
    from imseek.duplicates.csv_rows import write_csv
    from imseek.duplicates.operations import (
        PERSON,
        TAG,
        apply,
        find,
        foreign_journal,
        forget,
        images_of,
        judge,
        judgements,
        load_plan,
        plan,
        rejudge,
        undo,
        undoable,
    )
    from imseek.duplicates.results import (
        KINDS,
        LEAST_CONFIDENCE,
        DuplicateGroup,
        DuplicateKind,
        DuplicateReport,
        KeepRule,
    )
    from imseek.types.duplicate_judgements import Judgement, Verdict

__all__ = [
    "DEFAULT_LOOKS", "KINDS", "LEAST_CONFIDENCE", "LINK_ACTIONS", "PERSON", "TAG", "DuplicateGroup", "DuplicateKind",
    "DuplicateReport", "Judgement", "KeepRule", "Plan", "Verdict", "apply", "find", "foreign_journal", "forget",
    "images_of", "judge", "judgements", "load_plan", "plan", "rejudge", "undo", "undoable", "write_csv",
]  # fmt: skip

# A child process that judges pairs needs next to nothing of this.
if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "imseek.duplicates.actions.plans": "LINK_ACTIONS Plan",
            "imseek.duplicates.candidates.candidate_limit": "DEFAULT_LOOKS",
            "imseek.duplicates.csv_rows": "write_csv",
            "imseek.duplicates.operations": (
                "PERSON TAG apply find foreign_journal forget images_of judge judgements load_plan plan rejudge undo "
                "undoable"
            ),
            "imseek.duplicates.results": "KINDS LEAST_CONFIDENCE DuplicateGroup DuplicateKind DuplicateReport KeepRule",
            "imseek.types.duplicate_judgements": "Judgement Verdict",
        },
    )


def __dir__() -> list[str]:
    return sorted(__all__)
