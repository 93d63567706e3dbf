"""A cold `imseek search`: wall time of the whole process, and the modules it imports.

python bench/cold.py COLLECTION "a red car" [--runs 9]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

SCRIPT = """
import sys
sys.argv = ["imseek", *{arguments!r}]
from imseek.ui.cli import main
code = main()
print("|".join(sorted({{name.partition(".")[0] for name in sys.modules if not name.startswith("_")}})), file=sys.stderr)
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collection")
    parser.add_argument("words")
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    arguments = ["search", options.words, "--collection", options.collection]
    seconds = []
    for _ in range(options.runs + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "imseek", *arguments], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    warm = seconds[1:]
    print(
        f"{len(warm)} runs: median {statistics.median(warm):.3f} s, min {min(warm):.3f}, max {max(warm):.3f}"
    )
    listing = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(arguments=arguments)], check=True, capture_output=True, text=True
    )
    names = listing.stderr.splitlines()[-1].split("|")
    ours = [name for name in names if name not in sys.stdlib_module_names]
    print(f"imported beyond the standard library ({len(ours)}): {', '.join(ours)}")


if __name__ == "__main__":
    main()
