"""Readers ask without pause while a writer indexes, moves, removes, merges and purges.

    python bench/readers.py [--minutes 10] [--readers 4] [--pictures 3000] [--seed 1]

Every answer is compared with an exact scan of its generation. Times of answers say how busy the machine is
(there are more processes than cores); the waits for locks are those that strace sees in the readers. Exit code 1 where
an answer was wrong, a reader failed, waited longer than 100 ms for a lock or kept what it no longer used, or the
write-ahead log grew without bound. Needs strace.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import recorder

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from durability import readers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        figures = readers.run(home, options.minutes * 60, options.readers, options.pictures, options.seed)
    faults = figures.faults()
    comparison = figures.comparison
    times, waits = np.array(figures.times) * 1000, np.array([0.0, *figures.waits]) * 1000
    p50, p99, longest = np.percentile(times, [50, 99, 100])
    print(f"writer: {figures.generations} generations; turns: {dict(figures.done)}")
    print(f"readers: {dict(figures.answers)}")
    print(
        f"compared: {comparison.compared:,} answers of {len(comparison.generations)} generations, {len(faults)} faults"
    )
    print(f"an answer: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {longest:.0f} ms")
    print(
        f"waits for a lock: {len(figures.waits)}, p99 {np.percentile(waits, 99):.1f} ms, longest {waits.max():.1f} ms"
    )
    print(f"write-ahead log: {figures.wal_bytes / 1e6:.2f} MB at the most")
    resident = [memory.resident / 1e6 for memory in figures.memory]
    print(
        f"a reader: {min(resident):.0f} to {max(resident):.0f} MB, "
        f"{max(memory.descriptors for memory in figures.memory)} descriptors and "
        f"{max(memory.mapped for memory in figures.memory)} mapped files at the most"
    )
    print("\n".join(faults[:10]) or "no fault")
    recorder.put(
        seed=options.seed,
        generations=figures.generations,
        turns=dict(figures.done),
        answers=dict(figures.answers),
        compared=comparison.compared,
        faults=len(faults),
        answer_ms={"p50": p50, "p99": p99, "longest": longest},
        lock_waits=len(figures.waits),
        lock_wait_p99_ms=np.percentile(waits, 99),
        lock_wait_longest_ms=waits.max(),
        log_most_mb=figures.wal_bytes / 1e6,
        reader_most_mb=max(resident),
        reader_most_descriptors=max(memory.descriptors for memory in figures.memory),
    )
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(recorder.run(main))
