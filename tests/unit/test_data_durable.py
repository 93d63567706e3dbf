"""The one module through which everything durable is written: order of fsyncs, atomic replacing, sealing."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.data.files import durable_files
from imseek.data.files.open_stream_writes import write_all
from imseek.errors import StorageError

#: A call as (what, path); the paths of fsyncs are those that the file descriptors stand for.
Calls = list[tuple[str, Path]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    made: Calls = []

    def spy(name: str, path_of: Callable[..., Path]) -> None:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            made.append((name, path_of(*args)))
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    spy("fsync", lambda fd: Path(f"/proc/self/fd/{fd}").readlink())
    spy("rename", lambda source, target: Path(target))
    spy("unlink", lambda path: Path(path))
    spy("mkdir", lambda path, *_: Path(path))
    return made


def test_files_replaced_together_share_the_fsync_of_their_folder(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "staging").mkdir()
    calls.clear()
    contents = {tmp_path / "a": b"1", tmp_path / "b": b"2"}
    durable_files.write_files(contents, staging=tmp_path / "staging")
    assert [call for call, _ in calls] == ["fsync", "fsync", "rename", "rename", "fsync"]
    assert {path: path.read_bytes() for path in contents} == contents


def test_a_file_is_synced_before_it_gets_its_name_and_the_folder_after(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "staging").mkdir()
    calls.clear()
    target = tmp_path / "current.json"
    durable_files.write_file(target, b"hello", staging=tmp_path / "staging")
    (_, staged), *others = calls
    assert calls[0][0] == "fsync"
    assert staged.parent == tmp_path / "staging"
    assert others == [("rename", target), ("fsync", tmp_path)]
    assert target.read_bytes() == b"hello"
    assert list((tmp_path / "staging").iterdir()) == []


def test_every_folder_of_a_publication_is_synced_after_the_last_rename_into_it(tmp_path: Path, calls: Calls) -> None:
    for name in "abc":
        durable_files.stage(tmp_path / name, lambda out: out.write(b"x"))
    calls.clear()
    durable_files.publish(
        [
            (tmp_path / "a", tmp_path / "one" / "a"),
            (tmp_path / "b", tmp_path / "two" / "b"),
            (tmp_path / "c", tmp_path / "one" / "c"),
        ]
    )
    last_rename = max(n for n, (what, _) in enumerate(calls) if what == "rename")
    assert [path for what, path in calls[last_rename + 1 :] if what == "fsync"] == [
        tmp_path,  # The new folders are themselves names that must survive.
        tmp_path / "one",
        tmp_path / "two",
    ]


def test_a_new_folder_tells_where_its_names_are(tmp_path: Path, calls: Calls) -> None:
    assert durable_files.make_folder(tmp_path / "a" / "b") == {tmp_path, tmp_path / "a"}
    assert calls == [("mkdir", tmp_path / "a"), ("mkdir", tmp_path / "a" / "b")]
    assert durable_files.make_folder(tmp_path / "a" / "b") == set()


def test_a_folder_that_another_process_makes_first_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = os.mkdir

    def make_twice(path: Any, mode: int = 0o777) -> None:
        make(path, mode)  # The other process, just before this one.
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", make_twice)
    durable_files.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_names_above_are_synced_up_to_the_file_system(
    tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    calls.clear()
    monkeypatch.setattr(Path, "is_mount", lambda self: self == tmp_path)
    durable_files.sync_above(tmp_path / "a" / "b" / "c")
    assert calls == [("fsync", tmp_path / "a" / "b"), ("fsync", tmp_path / "a"), ("fsync", tmp_path)]


def test_removals_are_synced(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "a").touch()
    assert durable_files.remove_files([tmp_path / "a", tmp_path / "gone"]) == 1
    assert [call for call in calls if call[0] == "fsync"] == [("fsync", tmp_path)]
    assert not (tmp_path / "a").exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "current.json"
    durable_files.write_file(target, b"old", staging=tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"current\.json.*No space"):
            durable_files.write_file(target, b"new", staging=tmp_path)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("stage", [durable_files.stage, durable_files.stage_unhashed])
def test_a_disk_that_fails_is_told_with_the_file_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Callable[..., object]
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="Input/output error") as error:
        stage(tmp_path / "file", lambda out: out.write(b"x"))
    assert str(tmp_path / "file") in str(error.value), "an fsync's own error names no file"


def test_what_is_hashed_is_what_is_written(tmp_path: Path) -> None:
    def write(out: Any) -> None:
        for part in (b"abc", bytearray(b"def"), memoryview(b"ghi")):
            assert out.write(part) == 3

    written = durable_files.stage(tmp_path / "file", write)
    assert (tmp_path / "file").read_bytes() == b"abcdefghi"
    assert written == durable_files.digest_of(tmp_path / "file")


DOCUMENTS = st.dictionaries(
    st.text(max_size=5).filter(lambda name: name != "sha256"),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


@given(DOCUMENTS)
def test_a_sealed_document_comes_back(document: dict[str, Any]) -> None:
    assert durable_files.strip_checksum(durable_files.add_checksum(document)) == document


@given(DOCUMENTS, st.data())
def test_every_changed_byte_of_a_sealed_document_is_noticed(document: dict[str, Any], data: st.DataObject) -> None:
    sealed = bytearray(durable_files.add_checksum(document))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError):  # noqa: PT011 - from the JSON parser, the UTF-8 decoder, or the checksum
        durable_files.strip_checksum(bytes(sealed))


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b"{}", b'{"format": 1}', b"[" * 100_000, b"\xff\xfe", b'{"sha256": 5}']
)
def test_what_was_never_sealed_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - as above
        durable_files.strip_checksum(data)


def test_the_digest_is_over_sorted_compact_json() -> None:
    """As docs/format.md has it, so that other programs can check it."""
    document = {"b": "ä", "a": [1, 2]}
    sealed = json.loads(durable_files.add_checksum(document))
    assert sealed.pop("sha256") == hashlib.sha256(b'{"a":[1,2],"b":"\\u00e4"}').hexdigest()
    assert sealed == document


def test_a_link_that_takes_the_place_of_a_new_folder_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may write to the folder of a collection that several people share."""
    outside = tmp_path / "outside"
    outside.mkdir(0o700)
    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "mkdir", lambda path, mode=0o777: path.symlink_to(outside))
    with pytest.raises(StorageError):
        durable_files.recreate_folder(tmp_path / "staging")
    assert outside.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o2770, 0o2775])
def test_a_new_folder_is_for_those_whom_its_parent_is_for(tmp_path: Path, mode: int) -> None:
    """Files that are made in it, and moved to the parent, are to have the group that those made there have."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(mode)
    durable_files.recreate_folder(tmp_path / "shared" / "staging")
    assert (tmp_path / "shared" / "staging").stat().st_mode & 0o7777 == mode


def test_a_file_that_was_staged_at_its_place_is_not_renamed(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "staged").write_bytes(b"2")
    moves = [(tmp_path / "a", tmp_path / "a"), (tmp_path / "staged", tmp_path / "new" / "b")]
    assert durable_files.move(moves) >= {tmp_path / "new"}
    assert [path for call, path in calls if call == "rename"] == [tmp_path / "new" / "b"]
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "new" / "b").read_bytes()) == (b"1", b"2")


def test_lines_are_not_added_to_a_file_with_another_name(tmp_path: Path) -> None:
    """Whoever has the other name would find them in a file of their own."""
    (tmp_path / "journal").write_bytes(b"1\n2")
    durable_files.append(tmp_path / "journal", b"3\n")
    assert (tmp_path / "journal").read_bytes() == b"1\n2\n3\n"
    os.link(tmp_path / "journal", tmp_path / "mine")
    with pytest.raises(StorageError, match="another name"):
        durable_files.append(tmp_path / "journal", b"4\n")
    assert (tmp_path / "mine").read_bytes() == b"1\n2\n3\n"


def test_what_cannot_be_unlinked_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for remove in (durable_files.remove_files, durable_files.discard_files):
        with pytest.raises(StorageError, match="folder"):
            remove([tmp_path / "folder"])
    assert durable_files.discard_files([tmp_path / "a", tmp_path / "gone"]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_folders_of_others_above_are_not_synced(tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs" / "mine").mkdir(parents=True)
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "theirs" and real(path, mode))
    calls.clear()
    durable_files.sync_above(tmp_path / "theirs" / "mine" / "file")
    synced = [path for call, path in calls if call == "fsync"]
    assert synced[:2] == [tmp_path / "theirs" / "mine", tmp_path]


def test_a_stream_that_takes_nothing_now_is_not_waited_for_for_ever() -> None:
    class Raw(io.RawIOBase):
        taken = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int | None:
            if len(self.taken) >= 6:
                return None
            self.taken += bytes(data[:3])
            return 3

    out = Raw()
    write_all(out, b"abcdef")
    assert out.taken == b"abcdef"
    with pytest.raises(BlockingIOError):
        write_all(out, b"g")
