"""The program of a child process that judges pairs for :mod:`imseek.duplicates.pixels.judge_processes`.

It reads pickled arguments of :func:`imseek.duplicates.pixels.pair_judge.judge_pairs` from standard input, and writes
the verdicts to standard output, until its input ends: with the process that started it, however that ends.
"""

from __future__ import annotations

import os
import pickle
import signal

from threadpoolctl import threadpool_limits

from imseek.duplicates.pixels.judge_processes import READY
from imseek.duplicates.pixels.pair_judge import judge_pairs


def main() -> None:
    """Judge what comes in, one batch after another."""
    # An interrupt at the terminal is for the process that started this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not do it between answers
    with os.fdopen(0, "rb") as questions, answers, threadpool_limits(limits=1, user_api="blas"):
        answers.write(READY)
        answers.flush()
        while True:
            try:
                arguments = pickle.load(questions)  # noqa: S301 - the process that started this one has written it
            except EOFError:
                return
            pickle.dump(judge_pairs(*arguments), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()


if __name__ == "__main__":
    main()
