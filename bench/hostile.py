"""The whole corpus of hostile collections: every lie × commands, with canaries around (tests/hostile has a sample).

    python bench/hostile.py --seed 1 --json /tmp/hostile.json --markdown /tmp/hostile.md

Each lie is tried in ``--variants`` of its variants, with ``--reads`` of the commands that read, ``--writes`` of those
that write, and with verify and repair; 0 takes all. The same code reads all kinds of a family. ``--verbose`` prints
findings at once; the table has the worst one for each lie. A trial takes about a tenth of a second of CPU.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import recorder
from hostile.commands import COMMANDS, Command
from hostile.corpus import PARTS
from hostile.findings import KINDS, Finding
from hostile.lies import Lie
from hostile.trial import Ground, Trial

#: Columns of the table: kinds of commands.
COLUMNS = {"read": "reading", "write": "writing", "care": "verify, repair"}


def main() -> None:
    options = _options()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # names of lies are no UTF-8
    chance = random.Random(options.seed)
    memory = Path("/dev/shm")
    begin, results = time.monotonic(), []
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as base,
        Ground(Path(base)) as ground,
        (options.json or Path("/dev/null")).open("w") as out,
    ):
        corpus = ground.corpus()
        lies = [lie for part in options.corpus or corpus for lie in corpus[part]]
        lies = [lie for lie in lies if options.only in str(lie) and (options.slow or not lie.slow)]
        if options.families:
            chance.shuffle(lies)
            lies = list({(lie.family or lie.kind, lie.name): lie for lie in lies}.values())
        lies = lies[options.part :: options.parts]
        print(f"seed {options.seed}: {len(lies)} lies, {sum(len(one.variants) for one in lies)} variants")
        plan = ((lie, *met) for lie in lies for met in _trials(lie, options, chance))
        for lie, variant, command, call in itertools.islice(plan, options.after, None):
            trial = ground.run(lie, variant, command, call, trusted=not options.untrusted)
            result = _result(trial, call)
            results.append(result)
            print(json.dumps(result), file=out, flush=True)
            if options.verbose and (findings := trial.outcome.findings):
                worst = next(one.what for one in findings if one.kind == trial.outcome.worst)
                print(f"{trial}\n    {worst}", flush=True)
    print(f"{len(results)} trials in {time.monotonic() - begin:.0f} s")
    for (kind, worst), trials in Counter((one["of"], one["worst"]) for one in results).items():
        recorder.add_row("counts", of=COLUMNS[kind], worst=worst, trials=trials)
    recorder.put(
        seed=options.seed,
        lies=len(lies),
        trials=len(results),
        verify_missed=sum(one["missed"] for one in results),
        verify_wanted=sum(one["verify"] for one in results if one["command"] == "verify"),
    )
    text = table(results)
    if options.markdown:
        options.markdown.write_text(text)
    print(text.split("\n## ")[0])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", type=int, default=1)
    parser.add_argument("--reads", type=int, default=3)
    parser.add_argument("--writes", type=int, default=4)
    parser.add_argument("--corpus", nargs="*", choices=PARTS, help="parts of the corpus (all)")
    parser.add_argument("--only", default="", help="a part of the name of a lie")
    parser.add_argument("--families", action="store_true", help="each lie about one of the kinds of a family")
    parser.add_argument("--untrusted", action="store_true", help="collections that were never seen before")
    parser.add_argument("--whole", action="store_true", help="all calls of a command, and not one of them")
    parser.add_argument("--slow", action="store_true", help="documents of 200 MB too")
    parser.add_argument("--part", type=int, default=0, help="with --parts N: which part of the corpus")
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument(
        "--after", type=int, default=0, help="skip the first N trials, to continue a run that was cut off"
    )
    parser.add_argument("--json", type=Path, help="a line for each trial")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


def _trials(lie: Lie, options: argparse.Namespace, chance: random.Random) -> Iterator[tuple[str, Command, int | None]]:
    for kind, most in (("read", options.reads), ("write", options.writes), ("care", 0)):
        commands = [command for command in COMMANDS if command.kind == kind]
        for command in chance.sample(commands, most) if most else commands:
            labels = sorted(lie.variants)
            for label in chance.sample(labels, min(options.variants or len(labels), len(labels))):
                whole = options.whole or callable(command.calls) or kind == "care"
                yield label, command, None if whole else chance.randrange(len(command.calls))


def _result(trial: Trial, call: int | None) -> dict[str, Any]:
    outcome = trial.outcome
    return {
        "family": trial.lie.family or trial.lie.kind,
        "kind": trial.lie.kind,
        "lie": trial.lie.name,
        "variant": trial.variant[:100],
        "command": trial.command.name,
        "call": call,
        "of": trial.command.kind,
        "code": outcome.code,
        "worst": outcome.worst,
        "findings": [[one.kind, one.what[:300]] for one in sorted(outcome.findings, key=_rank)[:4]],
        "missed": trial.missed,
        "verify": trial.lie.verify,
        "cpu": round(outcome.cpu, 3),
    }


def _rank(finding: Finding) -> int:
    return KINDS.index(finding.kind)


def table(results: Sequence[dict[str, Any]]) -> str:
    """Counts, and the worst for each lie and kind of command, as Markdown."""
    counts = {kind: Counter(one["worst"] for one in results if one["of"] == kind) for kind in COLUMNS}
    lines = ["| worst of a trial |" + "".join(f" {name} |" for name in COLUMNS.values()), "|---" * 4 + "|"]
    for worst in (*KINDS, "ok"):
        row = [counts[kind][worst] for kind in COLUMNS]
        if any(row):
            lines.append(f"| {worst} |" + "".join(f" {n} |" for n in row))
    lines.append("| all |" + "".join(f" {sum(counts[kind].values())} |" for kind in COLUMNS))
    missed = sum(one["missed"] for one in results)
    of_verify = sum(one["verify"] for one in results if one["command"] == "verify")
    lines.append(f"\nverify said that all is well in {missed} of {of_verify} trials in which it should not have.\n")
    for family in dict.fromkeys(one["family"] for one in results):
        mine = [one for one in results if one["family"] == family]
        lines += [f"## {family}\n", "| lie | reading | writing | verify, repair | verify |", "|---" * 5 + "|"]
        for lie in dict.fromkeys(one["lie"] for one in mine):
            these = [one for one in mine if one["lie"] == lie]
            cells = [_cell([one for one in these if one["of"] == kind]) for kind in COLUMNS]
            verified = [one for one in these if one["command"] == "verify"]
            silent = sum(one["code"] == 0 for one in verified)
            mark = "" if these[0]["verify"] else " (may)"
            cell = f"silent {silent} of {len(verified)}{mark}" if silent else "sees it"
            lines.append(f"| {lie} | {' | '.join(cells)} | {cell} |")
        lines.append("")
    return "\n".join(lines)


def _cell(trials: Sequence[dict[str, Any]]) -> str:
    bad = [one for one in trials if one["worst"] != "ok"]
    if not bad:
        return "ok" if trials else ""
    worst = min((one["worst"] for one in bad), key=KINDS.index)
    return f"**{worst}** {len(bad)} of {len(trials)}"


if __name__ == "__main__":
    sys.exit(recorder.run(main))
