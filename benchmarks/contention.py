"""Training and drawing on one thread and on all, alone and beside programs that compute, each bound to a CPU.

    python -m benchmarks.contention [--seconds S]

Steps (of 64 and of 256 units) and tokens (of 512 units) a second. Threads that wait for one another at every step lose
milliseconds wherever one has lost its CPU; so fewer are used for a while where that happens.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from time import perf_counter, sleep

import numpy as np

from benchmarks.common import print_table
from benchmarks.train_speed import Training
from textgru.core import Session, get_num_threads, set_num_threads
from textgru.model.config import NetworkConfig
from textgru.model.network import Network

BUSY = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
DRAWN = 200  # tokens at a call


def training(hidden: int, batch: int, steps: int) -> tuple[int, Callable[[], object]]:
    tokens, targets = (np.random.default_rng(i).integers(0, 65, (steps, batch)) for i in range(2))
    return 1, Training(Network(NetworkConfig(65, 32, hidden, 1), seed=1), tokens, targets).step


def drawing(hidden: int) -> tuple[int, Callable[[], object]]:
    session = Session(Network(NetworkConfig(65, 32, hidden, 1), seed=1).pack(), 1)
    u = np.random.default_rng(0).random(DRAWN)
    return DRAWN, lambda: session.generate(0, u)


def rate(work: tuple[int, Callable[[], object]], threads: int, seconds: float) -> str:
    set_num_threads(threads)
    times, call = work
    call()
    begin, done = perf_counter(), 0
    while perf_counter() - begin < seconds:
        call()
        done += times
    return f"{done / (perf_counter() - begin):,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure (default: %(default)s)")
    seconds = parser.parse_args().seconds
    counts, cpus = sorted({1, get_num_threads()}), sorted(os.sched_getaffinity(0))
    kinds = {
        "steps, 64 units": training(64, 32, 32), "steps, 256 units": training(256, 64, 64),
        "tokens, 512 units": drawing(512),
    }  # fmt: skip
    heading = [f"{kind}, {count} thread{'s' * (count > 1)}" for kind in kinds for count in counts]
    table = [["busy programs", *heading]]
    for others in sorted({0, 1, len(cpus)}):
        with ExitStack() as stack:
            for cpu in cpus[:others]:
                busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", BUSY, str(cpu)]))
                stack.callback(busy.kill)
            sleep(0.5)
            table.append([str(others), *(rate(kind, count, seconds) for kind in kinds.values() for count in counts)])
    print_table(table)


if __name__ == "__main__":
    main()
