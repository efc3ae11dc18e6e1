"""One process with two threads, and two of one thread that share a training over MPI, in turn.

    python -m benchmarks.several_ranks [--hidden-size H] [--steps N] [--rounds R]

Tokens a second of whole trainings (without evaluations), the median of the rounds. Needs `mpiexec`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.common import print_table

TEXT = Path(__file__).parents[1] / "corpora" / "ostrey.txt"


def speed(folder: Path, ranks: int, threads: int, hidden: int, steps: int) -> float:
    run = folder / "run"
    command = [sys.executable, "-m", "textgru", "train", str(TEXT), "--out", str(run), "--overwrite"]
    command += ["--hidden-size", str(hidden), "--max-steps", str(steps), "--eval-every", str(steps)]
    command += ["--threads", str(threads), "--checkpoint-every", str(steps)]
    if ranks > 1:
        mpiexec = shutil.which("mpiexec") or str(Path(sys.executable).parent / "mpiexec")
        command = [mpiexec, "-n", str(ranks), *command]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    last = [event for event in events if event["event"] == "step"][-1]
    return float(last["tokens_per_second"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden-size", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for hidden in options.hidden_size:
            one, two = [], []
            for _ in range(options.rounds):
                one.append(speed(Path(folder), 1, 2, hidden, options.steps))
                two.append(speed(Path(folder), 2, 1, hidden, options.steps))
            ratio = median(b / a for a, b in zip(one, two, strict=True))
            rows.append([f"{hidden}", f"{median(one):,.0f}", f"{median(two):,.0f}", f"{ratio:.2f}"])
    print_table([["hidden units", "1 rank, 2 threads", "2 ranks, 1 thread", "ratio"], *rows])


if __name__ == "__main__":
    main()
