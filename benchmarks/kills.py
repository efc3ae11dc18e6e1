"""A training that is killed again and again, and resumed each time, beside one that is left alone.

    python -m benchmarks.kills [--kills N] [--seed N] [--steps N] FILE

The process is killed with SIGKILL at random moments, also while it starts, reads the text or saves. In the end the
weights of both have to be the same, byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import textgru


def command(*arguments: str) -> list[str]:
    """A call of textgru train."""
    return [sys.executable, "-m", "textgru", "train", *arguments]


def seconds_of(*arguments: str) -> float:
    """How long a call of textgru train took."""
    begin = perf_counter()
    subprocess.run(command(*arguments), check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--kills", type=int, default=20, help="how often (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=1500, help="steps of the training (default: %(default)s)")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    options = [arguments.file, "--max-steps", str(arguments.steps), "--dropout", "0.2", "--checkpoint-every", "7"]
    with tempfile.TemporaryDirectory() as folder:
        whole, run = Path(folder, "whole"), Path(folder, "run")
        start = seconds_of(*options, "--out", str(whole), "--dry-run")
        training = seconds_of(*options, "--out", str(whole)) - start
        unfinished = run / "training" / "state.safetensors"

        def go_on() -> tuple[str, ...]:
            return ("--resume", str(run)) if unfinished.exists() else (*options, "--out", str(run), "--overwrite")

        for number in range(1, arguments.kills + 1):
            seconds = rng.uniform(0, 2 * start + 1.5 * training / arguments.kills)
            with subprocess.Popen(command(*go_on()), stdout=subprocess.PIPE, text=True) as process:
                try:
                    process.wait(timeout=seconds)
                    print(f"kill {number}: too late, after {seconds:.2f} s it had ended; take more --steps")
                    break
                except subprocess.TimeoutExpired:
                    process.kill()
                    lines = process.stdout.read().splitlines() if process.stdout else []
            steps = [line for line in lines if line.startswith("step ")]
            where = steps[-1].split("  epoch")[0] if steps else "before an evaluation" if lines else "while starting"
            print(f"kill {number}: after {seconds:.2f} s, {where}", flush=True)
        else:
            seconds_of(*go_on())
        digests = [
            hashlib.sha256(textgru.load(path).network.parameters.values.tobytes()).hexdigest() for path in (whole, run)
        ]
        files = [(path / "model.safetensors").read_bytes() for path in (whole, run)]
        print(f"weights  {digests[0]}  left alone\n         {digests[1]}  killed")
        if digests[0] != digests[1]:
            raise SystemExit("the weights differ")
        if files[0] != files[1]:
            raise SystemExit("the weights are the same, their files differ")
        print("the same, and so are the files")


if __name__ == "__main__":
    main()
