"""Commands that write spare themselves pandas, which pyarrow imports where it can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import pyarrow
from imseek import __main__
sys.argv = ["imseek", *sys.argv[1:]]
code = __main__.main()
assert "pandas" not in sys.modules, "imported by the command"
import pandas
assert pandas.DataFrame({"a": [1]}).shape == (1, 1), "others import it as they like"
sys.exit(code)
"""


def test_a_command_that_writes_imports_no_pandas(photos: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    index = ["index", str(photos), "-c", str(tmp_path / "collection"), "--encoder", "fake"]
    done = subprocess.run([*command, *index], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "8 added" in done.stdout
