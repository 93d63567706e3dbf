"""``imseek index --skip-known`` and ``--skip-known-in``: what is said, what scripts get, how it ends."""

from __future__ import annotations

import os
import shutil

import pytest

from imseek import library
from imseek.types.indexing_runs import IndexReport
from imseek.ui.render.indexing_text import watch_line


@pytest.fixture
def card(indexed, tmp_path):
    """Two pictures of ``indexed`` again, in another folder."""
    folder = tmp_path / "card"
    folder.mkdir()
    for name in ("red.png", "lime.png"):
        shutil.copyfile(indexed / name, folder / name)
    return folder


def test_what_the_collection_has(cli, card) -> None:
    outcome = cli("index", card, "--skip-known")
    assert outcome.code == 0, outcome.err
    assert "2 pictures passed over, stored already: 2 in this collection" in outcome.out
    document = cli("index", card, "--skip-known", "--json").json("index")
    assert (document["known"], document["added"], document["skipped"]) == (2, 0, 0)
    assert {one["reason"] for one in document["known_pictures"]} == {"known_here"}
    assert sorted(one["path"] for one in document["known_pictures"]) == [
        str(card / "lime.png"),
        str(card / "red.png"),
    ]
    assert "2 are copies of indexed pictures" in cli("index", card).out


def test_what_another_one_has(cli, home, card, tmp_path) -> None:
    outcome = cli("index", card, "-c", "new", "--encoder", "fake", "--skip-known-in", "default")
    assert outcome.code == 0, "all that there is has been dealt with as asked"
    theirs = home / "collections" / "default"
    assert f"2 pictures passed over, stored already: 2 in {theirs}" in outcome.out
    document = cli("index", card, "-c", "new", "--skip-known-in", theirs, "--json").json("index")
    assert {one["collection"]["path"] for one in document["known_pictures"]} == {str(theirs)}
    assert document["known_pictures"][0]["image_id"] is not None
    assert document["failures"] == []
    assert cli("index", card, "-c", "new", "--skip-known-in", "default", "--strict").code == 0


def test_a_wrong_name_makes_no_collection(cli, indexed) -> None:
    outcome = cli("index", indexed, "-c", "new", "--encoder", "fake", "--skip-known-in", "nothing")
    assert outcome.code == 2
    assert "nothing" in outcome.err
    assert [c.name for c in library.list_collections(os.environ)] == ["default"]


def test_watch_tells_in_its_line() -> None:
    report = IndexReport(
        seen=2, unchanged=0, added=0, changed=0, moved=0, copied=0, removed=0, skipped=0, live=3,
        bytes_read=0, files_opened=2, seconds=0.1, generation=1, encoder="fake", known=2,
    )  # fmt: skip
    assert watch_line(report) == "2 known already; 3 images in the collection (0.1 s)"
