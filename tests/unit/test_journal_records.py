"""The lines of undo journals, read as if a stranger had written them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from acting import foreign
from hypothesis import given
from hypothesis import strategies as st

from imseek.data import layout
from imseek.duplicates.actions import journal as journals
from imseek.duplicates.actions import journal_records, journal_signature
from imseek.duplicates.actions.journal_records import Begin, CopyInode, End, Intent, Note, TrashLocation
from imseek.duplicates.actions.journal_signature import Signer
from imseek.errors import FormatVersionError, StorageError, UnsafePathError, UsageError

INTENT = foreign.intent(Path("/photos"), "album/a.png", Path("/photos/q/album/a.png"), Path("/photos/q"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with nothing of a collection but its identity."""
    from imseek.data.collection_records import Identity, write_identity

    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "home"))
    folder = tmp_path / "collection"
    (folder / "staging").mkdir(parents=True)
    write_identity(
        folder,
        Identity("01900000-0000-4000-8000-000000000000", "2026-01-01T00:00:00+00:00"),
        folder / "staging",
    )
    return folder


def changed(record: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**record, **members}


def test_what_is_written_is_read_again() -> None:
    found = journal_records.parse(INTENT)
    assert isinstance(found, Intent)
    assert (found.path, found.full, found.inner_to) == (
        b"album/a.png",
        b"/photos/album/a.png",
        b"album/a.png",
    )
    for record in (
        Begin("20260101-000000-abcdef", "2026", "0" * 64, "uuid", adopted=True),
        found,
        Note(3, "gone"),
        TrashLocation(3, b"/home/me/Trash/files/a.png"),
        CopyInode(3, 2**64 - 1),
        End(),
    ):
        line = journal_records.encode_line(journal_records.to_document(record))
        assert journal_records.parse(journal_records.decode_line(line)) == record


@pytest.mark.parametrize("member", ["path", "full", "keeper", "to", "to_base"])
@pytest.mark.parametrize(
    "path",
    [
        "/photos/../etc/passwd", "../a", "a/../../b", "./a", "a//b", "a/", "//", "/a/", "//a", "a\0b", "/a\0", "..",
        ".", "/photos/./a", "/..",
    ],
)  # fmt: skip
def test_no_path_of_an_intent_leads_out(member: str, path: str) -> None:
    with pytest.raises(ValueError, match=r"not a path below a folder|not an absolute path|does not lie below"):
        journal_records.parse(changed(INTENT, **{member: foreign.b64(path)}))
    ours = journal_records.parse(INTENT)
    assert isinstance(ours, Intent)
    values = {name: getattr(ours, name) for name in Intent.__slots__}
    with pytest.raises(UnsafePathError):
        Intent(**{**values, member: os.fsencode(path)})


def test_a_source_may_be_the_whole_disk() -> None:
    found = journal_records.parse(
        changed(INTENT, to=foreign.b64("/.imseek-quarantine/a.png"), to_base=foreign.b64("/"))
    )
    assert isinstance(found, Intent)
    assert found.inner_to == b".imseek-quarantine/a.png"


@pytest.mark.parametrize(
    "members",
    [
        {"full": foreign.b64("photos/a.png")},
        {"keeper": foreign.b64("a.png")},
        {"to": foreign.b64("/elsewhere/a.png")},
        {"to": foreign.b64("/photos/quarantine-of-another/a.png")},
        {"to": "", "to_base": ""},
        {"action": "trash"},
        {"to": foreign.b64("/photos/q")},
    ],
)
def test_a_place_in_quarantine_lies_below_its_folder(members: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"absolute path|does not lie below|has a place there"):
        journal_records.parse(changed(INTENT, **members))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"do": "delete"}, "do cannot be 'delete'"),
        ({"do": 1}, "do is not text"),
        ({"action": "delete"}, "action cannot be 'delete'"),
        ({"action": ["quarantine"]}, "action is not text"),
        ({"n": -1}, "n is out of range"),
        ({"n": "0"}, "n is (no|out of)"),
        ({"n": True}, "n is (no|out of)"),
        ({"n": 0.0}, "n is (no|out of)"),
        ({"n": 10**30}, "n is (no|out of)"),
        ({"image_id": -1}, "image_id is (no|out of)"),
        ({"image_id": 2**63}, "image_id is (no|out of)"),
        ({"source_id": None}, "source_id is (no|out of)"),
        ({"size": "1"}, "size is (no|out of)"),
        ({"mode": -1}, "mode is (no|out of)"),
        ({"mode": 0o10000}, "mode is (no|out of)"),
        ({"mtime_ns": 2**63}, "mtime_ns is (no|out of)"),
        ({"mtime_ns": float("nan")}, "mtime_ns is (no|out of)"),
        ({"inode": 2**64}, "inode is (no|out of)"),
        ({"device": [1]}, "device is (no|out of)"),
        ({"owner": [0]}, "owner must be"),
        ({"owner": [0, "0"]}, "owner is not a whole"),
        ({"owner": [0, -1]}, "owner is out of"),
        ({"owner": [2**32, 0]}, "owner is out of"),
        ({"owner": {"0": 0}}, "owner is not a list"),
        ({"attributes": []}, "attributes: not a JSON object"),
        ({"attributes": {"user.a": 1}}, "attribute user.a is not base64"),
        ({"attributes": {"user.a": "!"}}, "attribute user.a is not base64"),
        ({"keeper_id": "1"}, "keeper_id is (no|out of)"),
        ({"path": "!"}, "path is not base64"),
        ({"path": None}, "path is not text"),
        ({"content_hash": "0" * 63}, "content_hash cannot be"),
        ({"content_hash": "Z" * 64}, "content_hash cannot be"),
        ({"tag": 1}, "tag is not text"),
        ({"tags": "abc"}, "tags is not a list"),
        ({"tags": [1]}, "tags must be texts"),
        ({"columns": {"rating": [1]}}, "column rating holds"),
        ({"columns": {"rating": 2**63}}, "column rating is out of range"),
        ({"columns": 1}, "columns: not a JSON object"),
    ],
)
def test_every_member_has_its_type_and_range(members: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        journal_records.parse(changed(INTENT, **members))


@pytest.mark.parametrize("member", [name for name in INTENT if name != "shown"])
def test_no_member_may_be_missing(member: str) -> None:
    with pytest.raises(ValueError, match="is missing"):
        journal_records.parse({name: value for name, value in INTENT.items() if name != member})


@pytest.mark.parametrize(
    "record",
    [
        {"do": "note", "n": 0, "state": "deleted"},
        {"do": "note", "n": 0},
        {"do": "trashed", "n": 0, "to": foreign.b64("files/a.png")},
        {"do": "trashed", "n": 0, "to": foreign.b64("/trash/files/../../a.png")},
        {"do": "copied", "n": 0, "inode": -1},
        {"do": "begin", "format": 0, "id": "a", "created": "b", "plan": "c", "collection": "d"},
        {"do": "begin", "format": "1", "id": "a", "created": "b", "plan": "c", "collection": "d"},
        {"do": "begin", "format": 1, "id": "a", "created": "b", "plan": "c", "collection": "d", "adopted": 1},
        {},
    ],
)
def test_other_records_are_checked_as_strictly(record: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError,
        match=r"missing|not text|cannot be|out of range|not a whole number|absolute path|not a path below|neither true",
    ):
        journal_records.parse(record)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(set(INTENT) - {"shown", "do"})), JSON)
def test_a_lie_in_any_member_is_a_record_or_an_error_of_ours(member: str, value: Any) -> None:
    try:
        found = journal_records.parse(changed(INTENT, **{member: value}))
    except ValueError:
        return
    assert isinstance(found, Intent)
    assert journal_records.parse(journal_records.to_document(found)) == found


@given(st.binary(max_size=200))
def test_bytes_that_are_no_line_are_told(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut short"):
        journal_records.decode_line(data)


def test_lines_of_a_parser_that_can_be_exhausted_are_told() -> None:
    for data in (
        b"[" * 100_000,
        b'{"n":' * 100_000,
        b"1" * 100_000,
        b'{"sum":"x","n":' + b"9" * 100_000 + b"}",
    ):
        with pytest.raises(ValueError, match=r"cut short"):
            journal_records.decode_line(data)


def test_a_journal_of_a_later_imseek_says_so(root: Path) -> None:
    file = foreign.write(root, [foreign.begun(root, format=2)])
    with pytest.raises(FormatVersionError, match=file.name) as caught:
        journals.load_journals(root)
    assert caught.value.hint


# -- whose it is --------------------------------------------------------------------------------------------


def own(root: Path) -> journals.Journal:
    made = journals.begin(root, root / "staging", "0" * 64)
    found = journal_records.parse(INTENT)
    assert isinstance(found, Intent)
    made.record_intents([found])
    made.note({0: "done"})
    return made


def read(root: Path) -> journals.Journal:
    (found,) = journals.load_journals(root)
    return found


def test_the_key_lies_in_the_home_for_its_user_only(root: Path, tmp_path: Path) -> None:
    assert journal_signature.load_key() is None
    own(root)
    key = tmp_path / "home" / journal_signature.KEY_FILE
    assert (key.stat().st_mode & 0o7777, len(key.read_bytes())) == (0o600, 32)
    assert key.parent.stat().st_mode & 0o7777 == 0o700
    assert key.read_bytes() not in read(root).file.read_bytes()
    key.chmod(0o644)
    assert read(root).is_signed
    assert key.stat().st_mode & 0o7777 == 0o600


def test_what_this_user_wrote_is_known(root: Path) -> None:
    made = own(root)
    found = read(root)
    assert found.is_signed
    assert (found.intents, found.states, found.begin) == (made.intents, made.states, made.begin)
    assert found.info().notes == ()


def test_without_the_key_it_is_somebody_elses(root: Path, tmp_path: Path) -> None:
    own(root)
    (tmp_path / "home" / journal_signature.KEY_FILE).unlink()
    assert not read(root).is_signed
    assert "asks first" in read(root).info().notes[0]
    own(root)  # With a new key, which the old lines are not signed by.
    assert sorted(one.is_signed for one in journals.load_journals(root)) == [False, True]


@pytest.mark.parametrize(
    "lie",
    [
        "unsigned line",
        "other member",
        "of another journal",
        "of another collection",
        "signature of another line",
    ],
)
def test_one_line_of_somebody_else_makes_it_somebody_elses(root: Path, lie: str) -> None:
    made = own(root)
    lines = made.file.read_bytes().splitlines()
    signed = json.loads(lines[1])
    del signed["sum"]
    match lie:
        case "unsigned line":
            added = {"do": "note", "n": 0, "state": "done"}
        case "other member":
            added = {**signed, "full": foreign.b64("/home/me/.config/autostart/a.desktop")}
        case "of another journal":
            other = Signer(journal_signature.make_key(), "0190", "20260101-000000-000000")
            added = other.sign({"do": "note", "n": 0, "state": "done"})
        case "of another collection":
            other = Signer(journal_signature.make_key(), "0191", made.undo_id)
            added = other.sign({"do": "note", "n": 0, "state": "done"})
        case _:
            added = {"do": "note", "n": 0, "state": "done", "mac": signed["mac"]}
    made.file.write_bytes(made.file.read_bytes() + foreign.sealed(added))
    found = read(root)
    assert (found.is_signed, found.damaged) == (False, [])


def test_a_damaged_line_is_told_and_changes_nobodys_mind(root: Path) -> None:
    made = own(root)
    with made.file.open("ab") as file:
        file.write(foreign.sealed({**INTENT, "n": 1, "mode": -1}) + b"{}\n" + b"half a li")
    found = read(root)
    assert found.is_signed
    assert set(found.intents) == {0}
    (note,) = found.info().notes
    assert note == (
        f"2 lines of {made.file} could not be read (line 4: mode is out of range; "
        "line 5: it was cut short, or has changed)"
    )


def test_what_the_user_agreed_to_is_the_users_own(root: Path) -> None:
    file = foreign.write(root, [INTENT, {"do": "copied", "n": 0, "inode": 7}])
    with file.open("ab") as out:
        out.write(b"damaged\n")
    found = read(root)
    assert not found.is_signed
    found.adopt(root / "staging")
    again = read(root)
    assert again.is_signed
    assert again.begin.adopted
    assert (again.intents, again.states, again.copies) == (found.intents, found.states, {0: {7}})
    assert [one.data for one in again.damaged] == [b"damaged"], "nothing is lost that might tell of a file"


def another(n: int, **members: Any) -> Intent:
    found = journal_records.parse(changed(INTENT, n=n, **members))
    assert isinstance(found, Intent)
    return found


def test_what_is_written_is_known_at_once_and_when_it_is_read_again(root: Path) -> None:
    made = journals.begin(root, root / "staging", "0" * 64)
    made.record_intents([another(n) for n in range(4)])
    made.note({0: "done", 1: "left"})
    made.note({})
    made.note_trashed(2, b"/home/me/Trash/files/a.png")
    for inode in (7, 8, 7):
        made.note_copy(3, inode)
    assert (made.states, made.trashed, made.copies, made.ended) == (
        {0: "done", 1: "left", 2: "meant", 3: "meant"},
        {2: b"/home/me/Trash/files/a.png"},
        {3: {7, 8}},
        False,
    )
    made.end()
    assert made.ended
    again = read(root)
    for name in ("undo_id", "begin", "intents", "states", "trashed", "copies", "ended", "plan", "is_signed"):
        assert getattr(again, name) == getattr(made, name), name
    made.begin = Begin(made.undo_id, "2026", "1" * 64, "uuid")
    made.adopt(root / "staging")
    whole = read(root)
    for name in ("undo_id", "begin", "intents", "states", "trashed", "copies", "ended", "plan", "is_signed"):
        assert getattr(whole, name) == getattr(made, name), name


def test_what_is_to_be_done_is_durable_before_it_is_done(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of the trash need not be: it has its own."""
    made, synced, real = journals.begin(root, root / "staging", "0" * 64), list[int](), os.fsync

    def fsync(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    for write, durable in (
        (lambda: made.record_intents([another(0)]), True),
        (lambda: made.note_copy(0, 7), True),
        (lambda: made.note_trashed(0, b"/trash/a.png"), False),
        (lambda: made.note({0: "done"}), True),
        (lambda: made.note({0: "undone"}, sync=False), False),
        (made.end, True),
    ):
        synced.clear()
        write()
        assert (made.file.stat().st_ino in synced) == durable


def test_an_intent_takes_over_what_an_earlier_one_gave_to_the_same_keeper(root: Path) -> None:
    """So that undoing takes back what both of them gave."""
    made = journals.begin(root, root / "staging", "0" * 64)
    made.record_intents([another(0, keeper_id=5, tags=["a", "b"], columns={"x": 1, "y": 1}, tag="twice")])
    made.record_intents([another(0, keeper_id=5, tags=["b", "c"], columns={"y": 2}, mode=0o600)])
    for intent in (made.intents[0], read(root).intents[0]):
        assert (intent.tags, intent.columns, intent.tag) == (("a", "b", "c"), {"x": 1, "y": 2}, "twice")
        assert intent.mode == 0o600
    made.record_intents([another(0, keeper_id=6, tags=["d"])])
    assert (made.intents[0].tags, made.intents[0].columns) == (("d",), {})


@pytest.mark.parametrize(
    ("states", "ended", "expected"),
    [
        ({}, False, "unfinished"),
        ({}, True, "done"),
        ({0: "meant"}, True, "unfinished"),
        ({0: "done"}, False, "unfinished"),
        ({0: "done", 1: "left"}, True, "done"),
        ({0: "done", 1: "meant"}, True, "unfinished"),
        ({0: "done", 1: "returning"}, True, "partly"),
        ({0: "done", 1: "undone"}, True, "partly"),
        ({0: "meant", 1: "gone"}, False, "partly"),
        ({0: "returning"}, True, "partly"),
        ({0: "undone", 1: "left"}, True, "undone"),
        ({0: "undone", 1: "gone"}, False, "undone"),
    ],
)
def test_the_state_of_a_journal(root: Path, states: dict[int, Any], ended: bool, expected: str) -> None:
    made = journals.begin(root, root / "staging", "0" * 64)
    made.record_intents([another(n) for n in states])
    made.note(states)
    if ended:
        made.end()
    assert made.state == expected
    (info,) = journals.list_undo_infos(root)
    assert (info.undo_id, info.created, info.state) == (made.undo_id, made.begin.created, expected)


def test_what_is_told_of_a_journal(root: Path) -> None:
    """How many files of each action, but for those left alone; how many bytes are still away."""
    made = journals.begin(root, root / "staging", "0" * 64)
    lies = {"action": "tag", "to": "", "to_base": ""}
    made.record_intents([another(n, size=10**n) for n in range(4)])
    made.record_intents([another(n, size=10**n, **lies) for n in range(4, 6)])
    made.note({0: "done", 1: "undone", 2: "left", 3: "returning", 4: "gone", 5: "done"})
    info = made.info()
    assert (info.actions, info.bytes) == ({"quarantine": 3, "tag": 2}, 1 + 1000 + 100_000)


def test_of_many_damaged_lines_the_first_are_told(root: Path) -> None:
    file = foreign.write(root, [INTENT])
    for n, (shown, more) in enumerate(
        [("1 line of", False), ("2 lines of", False), ("3 lines of", False), ("4 lines of", True)], start=1
    ):
        with file.open("ab") as out:
            out.write(b"damaged\n")
        note = read(root).info().notes[0]
        assert note.startswith(f"{shown} {file} ")
        numbers = [f"line {4 + k}:" in note for k in range(1, n + 1)]
        assert numbers == [True] * min(n, 3) + [False] * (n - 3)
        assert ("…" in note) == more


def test_places_are_kept_for_what_is_away(root: Path) -> None:
    """Not for what was left alone or has come back; of a place that two files claim, for neither."""
    made = journals.begin(root, root / "staging", "0" * 64)
    places = {n: f"/photos/q/{n}.png" for n in range(7)}
    made.record_intents(
        [another(n, to=foreign.b64(to), full=foreign.b64(f"/photos/{n}.png")) for n, to in places.items()]
    )
    made.note({1: "done", 2: "left", 3: "returning", 4: "undone", 5: "gone"})
    expected = {f"/photos/q/{n}.png".encode(): f"/photos/{n}.png".encode() for n in (0, 1, 3, 5, 6)}
    assert journals.reserved_paths(root) == expected
    second = journals.begin(root, root / "staging", "1" * 64)
    second.record_intents(
        [
            another(0, to=foreign.b64(places[0]), full=foreign.b64("/photos/0.png")),
            another(1, to=foreign.b64(places[1]), full=foreign.b64("/photos/another.png")),
        ]
    )
    assert journals.reserved_paths(root) == {**expected, places[1].encode(): b""}


def test_copies_are_known_by_source_and_path(root: Path) -> None:
    """Those on record in journals of ours; a copy whose intent is damaged is nobody's."""
    for inodes in ((7, 8), (9,)):
        made = journals.begin(root, root / "staging", "0" * 64)
        made.record_intents([another(0), another(1, path=foreign.b64("b.png"), source_id=2)])
        for inode in inodes:
            made.note_copy(0, inode)
        made.note_copy(1, 70)
        made.note_copy(2, 700)
    foreign.write(root, [INTENT, {"do": "copied", "n": 0, "inode": 5}], "20250101-000000-abcdef")
    assert journals.copied_inodes(root) == {(1, b"album/a.png"): {7, 8, 9}, (2, b"b.png"): {70}}


def test_an_id_that_is_not_on_record_is_told_with_those_that_are(root: Path) -> None:
    with pytest.raises(UsageError, match=r"'x'.*none") as caught:
        journals.find(root, "x")
    assert caught.value.hint
    for n in range(7):
        foreign.write(root, [INTENT], f"20260101-00000{n}-abcdef")
    with pytest.raises(UsageError) as caught:
        journals.find(root, "x")
    said = str(caught.value)
    assert [f"20260101-00000{n}-abcdef" in said for n in range(7)] == [False] * 2 + [True] * 5
    assert journals.find(root, "20260101-000003-abcdef").undo_id == "20260101-000003-abcdef"


@pytest.mark.parametrize(
    ("latest", "following"),
    [
        ("20991231-235958-00000a", "20991231-235958-00000b"),
        ("20991231-235958-fffffe", "20991231-235958-ffffff"),
        ("20991231-235959-ffffff", "21000101-000000-000000"),
    ],
)
def test_a_journal_follows_the_latest_whatever_the_clock_says(root: Path, latest: str, following: str) -> None:
    foreign.write(root, [INTENT], "20260101-000000-abcdef")
    foreign.write(root, [INTENT], latest)
    made = journals.begin(root, root / "staging", "0" * 64)
    assert made.undo_id == following
    assert [one.undo_id for one in journals.load_journals(root)] == [
        following,
        latest,
        "20260101-000000-abcdef",
    ]


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where the clock on the wall is not UTC."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_east")
def test_a_journal_tells_when_it_was_begun(root: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    made = journals.begin(root, root / "staging", "5" * 64)
    assert before <= datetime.fromisoformat(made.begin.created) <= datetime.now(UTC)
    stamp = datetime.strptime(made.undo_id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    assert before <= stamp <= datetime.now(UTC)
    assert (made.plan, made.begin.collection) == ("5" * 64, "01900000-0000-4000-8000-000000000000")


def test_without_a_collection_s_identity_nobody_s_journal_is_ours(root: Path) -> None:
    own(root)
    (root / layout.COLLECTION).write_bytes(b"damaged")
    found = read(root)
    assert (found.is_signed, set(found.intents), found.damaged) == (False, {0}, [])


def test_other_files_beside_journals_are_none(root: Path) -> None:
    own(root)
    for name in ("notes.txt", "20260101-000000-abcdef.jsonl.old", "20260101-000000-abcdef"):
        (root / layout.UNDO / name).write_text("")
    assert read(root).is_signed


# -- the file -----------------------------------------------------------------------------------------------


def test_a_hole_without_end_is_not_read(root: Path) -> None:
    file = foreign.write(root, [INTENT])
    with file.open("r+b") as out:
        out.truncate(2**40)
    found = read(root)
    assert (found.is_whole, found.is_signed) == (False, False)
    assert found.info().notes == (f"{file} was not read to its end: it is too damaged",)


def test_of_a_million_damaged_lines_some_are_read(root: Path) -> None:
    file = foreign.write(root, [INTENT])
    with file.open("ab") as out:
        out.write(b"x\n" * 1_000_000)
    found = read(root)
    assert (found.is_whole, len(found.damaged)) == (False, 10_000)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "device"])
def test_only_a_regular_file_is_a_journal(root: Path, tmp_path: Path, kind: str) -> None:
    file = foreign.write(root, [INTENT])
    file.rename(tmp_path / "elsewhere")
    match kind:
        case "link":
            file.symlink_to(tmp_path / "elsewhere")
        case "pipe":
            os.mkfifo(file)
        case "device":
            file.symlink_to("/dev/zero")
        case _:
            file.mkdir()
    with pytest.raises(StorageError, match=file.name):
        journals.load_journals(root)


@pytest.mark.parametrize("kind", ["link", "file"])
def test_the_folder_of_journals_is_a_folder(root: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    undo = root / layout.UNDO
    if kind == "link":
        undo.symlink_to(tmp_path / "elsewhere")
    else:
        undo.write_text("")
    with pytest.raises(UnsafePathError, match="journals lie in a folder"):
        journals.load_journals(root)
    with pytest.raises(UnsafePathError):
        journals.begin(root, root / "staging", "0" * 64)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("undo_id", ["20269999-999999-ffffff", "99991231-235959-ffffff"])
def test_no_journal_follows_one_of_the_end_of_time(root: Path, undo_id: str) -> None:
    foreign.write(root, [INTENT], undo_id)
    with pytest.raises(StorageError, match="end of time"):
        journals.begin(root, root / "staging", "0" * 64)


@pytest.mark.parametrize("undo_id", ["../../secrets", "20260101-000000-ABCDEF", "", "20260101-000000-abcdef/../x"])
def test_only_a_name_of_ours_is_looked_for(root: Path, undo_id: str) -> None:
    foreign.write(root, [INTENT])
    with pytest.raises(UsageError, match="no run"):
        journals.find(root, undo_id)


def test_a_journal_that_is_a_link_is_named(root: Path, tmp_path: Path) -> None:
    foreign.write(root, [INTENT])
    file = root / layout.journal(journals.list_undo_infos(root)[0].undo_id)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePathError, match="is a link") as caught:
        journals.list_undo_infos(root)
    assert caught.value.hint == "move it out of that folder"
