"""The cache folder: made once, made again when damaged, whole or absent after a kill, safe for two at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imseek.encoders.cache import build_once, cache_dir
from imseek.errors import EncoderUnavailableError
from imseek.home import write_atomically


class Maker:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "weights").write_bytes(b"w" * 1000)
        (folder / "names").write_bytes(b"n" * 10)


def test_the_folder_is_the_platforms_unless_the_environment_names_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "elsewhere"))
    assert cache_dir() == tmp_path / "elsewhere"
    monkeypatch.delenv("IMSEEK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir().name == "imseek"
    assert not cache_dir().exists()


def test_makes_once_and_leaves_nothing_else(tmp_path: Path) -> None:
    maker = Maker()
    for _ in range(3):
        assert build_once(tmp_path / "a" / "tower", maker) == tmp_path / "a" / "tower"
    assert maker.calls == 1
    assert (tmp_path / "a" / "tower" / "weights").read_bytes() == b"w" * 1000
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["tower", "tower.lock"]


def test_another_user_may_read_it(tmp_path: Path) -> None:
    folder = build_once(tmp_path / "tower", Maker())
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def truncate(folder: Path) -> None:
    os.truncate(folder / "weights", 999)


def flip_a_bit(folder: Path) -> None:
    (folder / "weights").write_bytes(b"w" * 500 + b"v" + b"w" * 499)


def remove(folder: Path) -> None:
    (folder / "names").unlink()


def remove_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def damage_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"weights": [1')


def empty_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{}")


def empty_the_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip_a_bit,
        remove,
        remove_the_manifest,
        damage_the_manifest,
        empty_the_manifest,
        empty_the_folder,
    ],
    ids=lambda damage: damage.__name__,
)
def test_makes_damaged_files_again(tmp_path: Path, damage: object) -> None:
    maker = Maker()
    folder = build_once(tmp_path / "tower", maker)
    damage(folder)  # type: ignore[operator]
    build_once(folder, maker)
    assert maker.calls == 2
    assert (folder / "weights").read_bytes() == b"w" * 1000
    build_once(folder, maker)
    assert maker.calls == 2


def test_a_copy_with_other_times_is_whole(tmp_path: Path) -> None:
    maker = Maker()
    folder = build_once(tmp_path / "tower", maker)
    os.utime(folder / "weights", (1, 1))
    build_once(folder, maker)
    assert maker.calls == 1


def test_a_failure_leaves_nothing_and_is_passed_on(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "weights").write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build_once(tmp_path / "tower", fail)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == []


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    dead = tmp_path / "tower.abc.tmp"
    dead.mkdir()
    (dead / "weights").write_bytes(b"half")
    build_once(tmp_path / "tower", Maker())
    assert not dead.exists()


def test_a_folder_that_cannot_be_made_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EncoderUnavailableError, match="cannot fill") as caught:
        build_once(tmp_path / "file" / "tower", Maker())
    assert "IMSEEK_CACHE" in (caught.value.hint or "")


def test_two_processes_at_once_make_it_once(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from imseek.encoders.cache import build_once

def make(folder):
    with open(sys.argv[2], "a") as log:
        log.write("made\\n")
    time.sleep(0.5)
    (folder / "weights").write_bytes(b"w" * 1000)

print((build_once(Path(sys.argv[1]), make) / "weights").stat().st_size)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "tower"), str(tmp_path / "log")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=60)[0] for process in processes] == ["1000\n"] * 3
    assert (tmp_path / "log").read_text() == "made\n"


def test_atomic_write_replaces_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    for data in (b"one", b"two"):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IMSEEK_CACHE", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])  # a container's, with no line in /etc/passwd
    with pytest.raises(EncoderUnavailableError, match="no home") as caught:
        cache_dir()
    assert "IMSEEK_CACHE" in (caught.value.hint or "")
