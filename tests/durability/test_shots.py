"""Kills at random moments. The long form, over every command that writes, is bench/crash.py."""

from __future__ import annotations

import os
import signal
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from session_seed import session_seed

from durability import shots
from durability.forks import Server, forked
from durability.shots import compared, difference, strangers
from durability.stage import Stage, prepare
from durability.witness import Witness


@pytest.mark.parametrize(
    ("name", "command"), [("index again", False), ("index again", True), ("merge", False), ("purge", False)]
)
def test_killed_at_random_moments(servers: list[Server], fast_folder: Path, name: str, command: bool) -> None:
    template = fast_folder / "template"
    servers[0]("prepare", name=name, home=template)
    _, expected = servers[0]("expect", name=name, home=fast_folder / "expected", template=template)
    kills = 0
    for n in count():
        if n >= 2 and kills:
            break
        assert n < 20, "the shots came too late"
        order = {"home": fast_folder / f"{n}", "template": template, "expected": expected, "command": command}
        _, result = servers[0](
            "trial", name=name, seed=f"{session_seed()} {n}", seconds=1.0 if command else 0.15, **order
        )
        assert result["failure"] is None
        assert not any(result[what] for what in ("lost", "doubled", "orphans"))
        kills += len(result["kills"])


def test_an_acknowledgement_before_the_commit_is_caught(fast_folder: Path) -> None:
    """A victim that promises too early, and dies between its promise and the commit."""
    template = fast_folder / "template"
    may = Witness.may

    def promise(witness: Witness, generation: int, facts: list[Any]) -> None:
        may(witness, generation, facts)
        if facts:
            witness.did(generation)
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> dict[str, Any]:
        prepare("index", str(template))
        expected = shots.expect("index", str(fast_folder / "expected"), str(template))
        Witness.may = promise  # type: ignore[method-assign]
        return shots.trial("index", str(fast_folder / "trial"), str(template), expected, "0", 60.0, command=False)

    _, result = forked(work)
    assert "an acknowledged generation is lost" in result["failure"]


def test_what_is_lost_or_doubled_is_counted() -> None:
    one, other = [1, "AB", "a.png"], [2, "CD", "b.png"]
    assert compared([one, other], [one]) == Counter(lost=1)
    assert compared([one], [one, one]) == Counter(doubled=1)
    assert not compared([one, other], [other, one]).total()
    image = [3, "ab", ["tag"], 0.5]
    expected = {"images": {"a.png": [image]}, "judgements": [], "first_new_id": 9}
    assert difference(expected, {**expected, "images": {}}) == Counter(lost=1)
    assert difference(expected, {**expected, "images": {"a.png": [image, image]}}) == Counter(doubled=1)
    for change in ({"images": {"a.png": [[3, "ab", [], 0.5]]}}, {"judgements": [["AA", "BB", "same"]]}):
        with pytest.raises(AssertionError):
            difference(expected, {**expected, **change})


def test_strangers_are_found(fast_folder: Path) -> None:
    stage = Stage(fast_folder / "home")
    forked(lambda: prepare("index again", str(fast_folder / "home")))
    assert strangers(stage.root) == []
    (stage.root / "metadata/000099.parquet").touch()
    (stage.root / "catalog.sqlite.new").touch()
    assert sorted(strangers(stage.root)) == ["catalog.sqlite.new", "metadata/000099.parquet"]
