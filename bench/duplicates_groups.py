"""Group a million pairs: seconds of one core, number of questions, and peak memory.

Shapes that pairs can have, from the usual to the worst: far apart, whole groups, one large group, everything around one
picture, chains. The callback answers at once, so that what is measured is the grouping. Each runs in a process of its
own; the memory is that of the process, its pairs and its modules.

    python bench/duplicates_groups.py [--pairs 1000000] [SHAPE…]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import combinations

import recorder

from imseek.duplicates.grouping.groups import Reach, group_pairs
from imseek.duplicates.results import DuplicatePair

Confirm = Callable[[int, int], DuplicatePair | None]
REACH = {"same": Reach(distance=16, cosine=0.9)}


def near_pair(a: int, b: int) -> DuplicatePair:
    return DuplicatePair(min(a, b), max(a, b), "same", 0.9, cosine=0.99, distance=2)


def reject(a: int, b: int) -> None:
    del a, b


def scattered(count: int) -> Iterator[DuplicatePair]:
    chance = random.Random(1)
    for a, b in {tuple(sorted(chance.sample(range(7 * count // 10), 2))) for _ in range(count)}:
        yield DuplicatePair(a, b, "same", chance.choice([0.9, 0.99]), 0.9 + chance.random() / 10, 4)


def elevens(count: int) -> Iterator[DuplicatePair]:
    for n in range(count // 55):
        for a, b in combinations(range(11 * n, 11 * n + 11), 2):
            yield near_pair(a, b)


def complete(count: int) -> Iterator[DuplicatePair]:
    for a, b in combinations(range(round((2 * count) ** 0.5)), 2):
        yield near_pair(a, b)


def star(count: int) -> Iterator[DuplicatePair]:
    for n in range(1, count // 10):
        yield near_pair(0, n)


def path(count: int) -> Iterator[DuplicatePair]:
    for n in range(count // 10):
        yield near_pair(n, n + 1)


def few_near(a: int, b: int) -> DuplicatePair | None:
    return near_pair(a, b) if abs(b - a) < 4 else None


def neighbours(count: int) -> Iterator[DuplicatePair]:
    chance = random.Random(2)
    images = count // 10
    for n in range(images):
        for _ in range(10):
            yield near_pair(n, (n + chance.randrange(1, 1000)) % images)


SHAPES: dict[str, tuple[Callable[[int], Iterator[DuplicatePair]], Confirm]] = {
    "scattered": (scattered, reject),
    "groups of eleven": (elevens, reject),
    "one whole group": (complete, reject),
    "star of a tenth": (star, near_pair),
    "path of a tenth, all near": (path, near_pair),
    "path of a tenth, few near": (path, few_near),
    "ten neighbours each, all near": (neighbours, near_pair),
    "ten neighbours each, no others": (neighbours, reject),
}


def measure(name: str, count: int) -> None:
    """Run in a process of its own: print a JSON object."""
    make, confirm = SHAPES[name]
    pairs = [pair for pair in make(count) if pair.a != pair.b]
    start = time.process_time()
    grouping = group_pairs(pairs, {}, confirm, reach=REACH)
    seconds = time.process_time() - start
    largest = max(len(group.members) for group in grouping.groups)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = {
        "pairs": len(pairs),
        "cpu_s": seconds,
        "groups": len(grouping.groups),
        "largest": largest,
        "split": len(grouping.splits),
        "asked": grouping.questions,
        "peak_mib": memory,
    }
    print(json.dumps(row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=", ".join(SHAPES))
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--child", choices=SHAPES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(options.child, options.pairs)
        return
    print(
        f"{'':32}{'pairs':>10}{'CPU':>10}{'groups':>9}{'largest':>9}{'split':>9}{'asked':>9}{'peak':>11}",
        flush=True,
    )
    for name in options.shapes or SHAPES:
        command = [sys.executable, __file__, "--child", name, "--pairs", str(options.pairs)]
        row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        print(
            f"{name:32}{row['pairs']:>10,}{row['cpu_s']:>8.1f} s{row['groups']:>9,}{row['largest']:>9,}"
            f"{row['split']:>9,}{row['asked']:>9,}{row['peak_mib']:>7.0f} MiB",
            flush=True,
        )
        recorder.add_row("shapes", shape=name, **row)


if __name__ == "__main__":
    sys.exit(recorder.run(main))
