"""``imseek maintain --index``: build approximate indexes, and set the policy for later builds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

import imseek
from imseek.errors import UsageError
from imseek.ui.cli.common_options import rare
from imseek.ui.cli.quantities import parse_size

if TYPE_CHECKING:
    from imseek.types.collection_info import IndexPolicy

IndexOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="KIND",
        help="Build the vector index: auto (chosen by size, memory and recall), none, or a FAISS factory string.",
    ),
]
MemoryOption: TypeAlias = Annotated[
    str | None,
    rare("--memory", metavar="SIZE", help="With --index: the memory that the index may use, such as 4GB."),
]
RecallOption: TypeAlias = Annotated[
    float | None,
    rare("--recall", metavar="R", help="With --index: the recall@10 that searches should reach."),
]
RenewOption: TypeAlias = Annotated[
    bool | None,
    rare("--renew/--no-renew", help="With --index: rebuild the index automatically when much has been added."),
]


def check(memory: str | None, recall: float | None) -> None:
    """Check options before minutes of other work. Raises UsageError."""
    if memory is not None:
        parse_size(memory)
    if recall is not None and not 0 < recall <= 1:
        raise UsageError(f"a recall must be between 0 and 1, not {recall}")


def new_policy(
    path: Path, kind: str | None, memory: str | None, recall: float | None, renew: bool | None
) -> IndexPolicy:
    """Return the policy of the collection with other settings; None keeps one."""
    with imseek.open(path) as collection:
        policy = collection.info().policy
    if kind is not None:
        policy = replace(policy, kind=kind)
    if memory is not None:
        policy = replace(policy, memory=parse_size(memory))
    if recall is not None:
        policy = replace(policy, recall=recall)
    if renew is not None:
        policy = replace(policy, renew=renew)
    return policy
