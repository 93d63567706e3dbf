"""Stopping a run: the first signal asks, the second one does not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imseek.ui.cli.progress import StopSignals, progress_bar

pytestmark = pytest.mark.slow

RUN_UNTIL_ASKED = """
import sys
from imseek.ui.cli.progress import StopSignals
with StopSignals() as signals:
    print("ready", flush=True)
    signals.event.wait()
    if sys.argv[1] == "stubborn":
        print("asked", flush=True)
        while True:
            sys.stdin.read()
sys.exit(signals.exit_code)
"""


def start(manner: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", RUN_UNTIL_ASKED, manner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_first_signal_asks_and_says_so(number: int, code: int) -> None:
    child = start("obedient")
    child.send_signal(number)
    _, err = child.communicate(timeout=20)
    assert child.returncode == code
    assert "press Ctrl-C again to stop immediately" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_the_process(number: int) -> None:
    child = start("stubborn")
    child.send_signal(number)
    assert child.stdout is not None
    assert child.stdout.readline() == "asked\n"
    child.send_signal(number)
    child.communicate(timeout=20)
    assert child.returncode == -number


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_no_progress_where_stderr_is_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr(sys, "stderr", log)
        with progress_bar() as progress:
            assert progress is None
    assert (tmp_path / "log").read_text() == ""
