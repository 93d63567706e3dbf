"""Answers about runs of a collection, in a module of their own because reading runs imports SQLite."""

from __future__ import annotations

from dataclasses import dataclass

from imseek.jobs import Job


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """One run of a collection."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobList:
    """Runs of a collection."""

    jobs: tuple[Job, ...]
    """The newest first."""
