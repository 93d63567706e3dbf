"""bench/recorder.py: what a script's run leaves in its file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parents[2] / "bench"

#: A script that measures nothing.
SCRIPT = """
import sys
sys.path.insert(0, {bench!r})
import numpy as np, recorder
def main():
    if "--raise" in sys.argv:
        raise ValueError("it broke")
    if "--nothing" not in sys.argv:
        recorder.put(median_ms=np.float32(1.5), interval=(np.float64(0.25), float("nan")), sound=np.bool_(True))
        recorder.add_row("rows", name="a", count=np.int64(3))
        recorder.add_row("rows", name="é", count=4)
    return 3 if "--fail" in sys.argv else None
sys.exit(recorder.run(main))
"""


def test_figures_are_written_as_plain_json(tmp_path: Path) -> None:
    record = json.loads(_run(tmp_path).read_text("utf-8"))
    assert record["figures"] == {
        "median_ms": 1.5,
        "interval": [0.25, None],
        "sound": True,
        "rows": [{"name": "a", "count": 3}, {"name": "é", "count": 4}],
    }
    assert (record["name"], record["exit_code"]) == ("measure", 0)
    assert record["date"].endswith("+00:00")
    assert record["seconds"] >= 0
    assert len(record["machine"]["load_before"]) == 3
    assert record["machine"]["versions"]["numpy"]
    assert record["machine"]["cores"] >= 1


def test_a_second_run_on_a_day_replaces_nothing(tmp_path: Path) -> None:
    first, second, third = (_run(tmp_path) for _ in range(3))
    assert [second.name, third.name] == [f"{first.stem}-2.json", f"{first.stem}-3.json"]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == sorted(
        [first.name, second.name, third.name]
    )


def test_the_command_does_not_name_the_home(tmp_path: Path) -> None:
    written = _run(tmp_path, str(tmp_path / "pictures of mine"), str(tmp_path) + "2", HOME=str(tmp_path))
    command = json.loads(written.read_text())["command"]
    assert command.endswith(f"measure.py '~/pictures of mine' {tmp_path}2")


def test_without_git_there_is_no_commit(tmp_path: Path) -> None:
    assert json.loads(_run(tmp_path, PATH=str(tmp_path)).read_text())["commit"] is None


def test_the_commit_is_that_of_the_checkout(tmp_path: Path) -> None:
    found = subprocess.run(["git", "-C", str(BENCH), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    commit = json.loads(_run(tmp_path).read_text())["commit"]
    assert (commit or "").removesuffix("+changes") == found.stdout.strip()


def test_a_script_that_fails_or_records_nothing(tmp_path: Path) -> None:
    assert json.loads(_run(tmp_path, "--fail", code=3).read_text())["exit_code"] == 3
    results = tmp_path / "results"
    before = list(results.iterdir())
    assert "it broke" in _execute(tmp_path, "--raise").stderr
    assert _execute(tmp_path, "--nothing").stdout == ""
    assert list(results.iterdir()) == before


def _run(folder: Path, *arguments: str, code: int = 0, **environment: str) -> Path:
    done = _execute(folder, *arguments, **environment)
    assert done.returncode == code, done.stderr
    return Path(done.stdout.splitlines()[-1])


def _execute(folder: Path, *arguments: str, **environment: Any) -> subprocess.CompletedProcess[str]:
    script = folder / "measure.py"
    script.write_text(SCRIPT.format(bench=str(BENCH)), "utf-8")
    env = {**os.environ, "IMSEEK_BENCH_RESULTS": str(folder / "results"), **environment}
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, env=env, check=False
    )
