"""The whole corpus of hostile input files: every lie about every kind of file, with canaries around.

    python bench/hostile_inputs.py --json /tmp/inputs.json --markdown /tmp/inputs.md

tests/hostile/inputs has a sample. ``--verbose`` prints findings at once; the table has counts for each kind of file and
lie. A trial takes about a third of a second of CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import recorder
from hostile.findings import KINDS
from hostile.inputs.trial import Field, Trial, corpus


def main() -> None:
    options = _options()
    memory = Path("/dev/shm")
    begin, results = time.monotonic(), []
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as base,
        Field(Path(base)) as field,
        (options.json or Path("/dev/null")).open("w") as out,
    ):
        for kind, lies in corpus():
            selected = [one for one in lies if options.only in f"{kind.title}: {one.lie} [{one.variant}]"]
            for lie in selected:
                if lie.large is not options.large:
                    continue
                trial = field.run(kind, lie)
                results.append(_result(trial))
                print(json.dumps(results[-1]), file=out, flush=True)
                if options.verbose and (findings := trial.outcome.findings):
                    worst = next(one.what for one in findings if one.kind == trial.outcome.worst)
                    print(f"{trial}\n    {worst}", flush=True)
    print(f"{len(results)} trials in {time.monotonic() - begin:.0f} s")
    for (kind, worst), trials in Counter((one["kind"], one["worst"]) for one in results).items():
        recorder.add_row("counts", kind=kind, worst=worst, trials=trials)
    recorder.put(trials=len(results))
    text = table(results)
    if options.markdown:
        options.markdown.write_text(text)
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a part of the name of a lie")
    parser.add_argument("--large", action="store_true", help="the files of megabytes and gigabytes, and no others")
    parser.add_argument("--json", type=Path, help="a line for each trial")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


def _result(trial: Trial) -> dict[str, Any]:
    outcome = trial.outcome
    findings = sorted(outcome.findings, key=lambda one: KINDS.index(one.kind))
    return {
        "kind": trial.kind.title,
        "lie": trial.lie.lie,
        "variant": trial.lie.variant[:100],
        "code": outcome.code,
        "worst": outcome.worst,
        "findings": [[one.kind, one.what[:300]] for one in findings[:4]],
        "cpu": round(outcome.cpu, 3),
        "memory": outcome.memory >> 20,
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """Numbers of trials by kind of file, lie and outcome, as Markdown."""
    lines = ["| kind | lie | trials | came to |", "|---|---|---|---|"]
    for kind, lie in dict.fromkeys((one["kind"], one["lie"]) for one in results):
        mine = [one for one in results if (one["kind"], one["lie"]) == (kind, lie)]
        lines.append(f"| {kind} | {lie} | {len(mine)} | {_counts(mine)} |")
    lines.append(f"| all | | {len(results)} | {_counts(results)} |")
    return "\n".join(lines) + "\n"


def _counts(results: Sequence[dict[str, Any]]) -> str:
    counts = Counter(one["worst"] for one in results)
    return ", ".join(
        f"**{worst}** {counts[worst]}" if worst != "ok" else f"ok {counts[worst]}"
        for worst in (*KINDS, "ok")
        if counts[worst]
    )


if __name__ == "__main__":
    sys.exit(recorder.run(main))
