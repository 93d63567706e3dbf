"""``imseek index --executor ray``: on a cluster that it starts itself, and what it says of flags that make no sense."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imseek import library


def test_from_nothing_on_one_machine(cli, home, pictures) -> None:
    """The cluster of the run is gone with it, and so is what was staged. A dry run needs no Ray."""
    import ray

    outcome = cli("index", pictures, "--encoder", "fake", "--executor", "ray", "--workers", "1", "--json")
    assert outcome.code == 0
    report = outcome.json("index")
    assert (report["added"], report["live"], report["skipped"]) == (3, 3, 0)
    assert not ray.is_initialized()
    assert not (home / "collections" / "default" / "staging").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "ray", None)
        planned = cli("index", "--executor", "ray", "--dry-run")
    assert planned.code == 0
    assert planned.out.startswith("would index: ")


@pytest.mark.parametrize(
    ("flags", "message", "hint"),
    [
        (["--workers", "2"], "--workers: only for Ray workers", "--executor ray"),
        (
            ["--worker-cpus", "2", "--staging", "x"],
            "--worker-cpus, --staging: only for Ray workers",
            "--executor ray",
        ),
        (["--executor", "dask"], "no executor is called 'dask'", "local, ray"),
        (["--executor", "ray", "--address", "ray://h:1"], "ray://h:1 is a Ray client", "--address auto"),
        (["--executor", "ray", "--workers", "0"], "number of workers", ""),
    ],
)
def test_flags_that_make_no_sense(cli, pictures, flags: list[str], message: str, hint: str) -> None:
    outcome = cli("index", pictures, "--encoder", "fake", *flags)
    assert outcome.code == 2
    assert message in outcome.err
    assert hint in outcome.err
    assert library.list_collections(os.environ) == ()


def test_nobody_at_the_address(cli, pictures: Path) -> None:
    outcome = cli("index", pictures, "--encoder", "fake", "--executor", "ray", "--address", "127.0.0.1:1")
    assert outcome.code == 1
    assert "no Ray cluster at 127.0.0.1:1" in outcome.err
    assert "ray start --head" in outcome.err
