"""Peak memory of training against the size of the text: it should not grow with it beyond the encoded ids.

    python -m benchmarks.memory [--megabytes 200]

Trains a few steps on a made-up text of 1 MB and one of the given size, each in a process of its own, and prints the
peak resident memory of both.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WORDS = "ferry river rope bread tin tar wool light tam nell quay mill bell hill goat clock lamp salt tide fog".split()


def write_text(path: Path, megabytes: int) -> None:
    """Lines of words in an order that does not repeat soon."""
    line = 0
    with path.open("w", encoding="utf-8") as file:
        written = 0
        while written < megabytes * 1_000_000:
            words = [WORDS[(line * line + 7 * i * line + i) % len(WORDS)] for i in range(9)]
            written += file.write(" ".join(words) + f" {line}\n")
            line += 1


def train(text: Path, out: Path) -> None:
    """Trains twenty steps and prints the peak resident memory of this process, in MB."""
    import textgru

    textgru.train(text, out, max_steps=20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--train", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train(*arguments.train)
        return
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in (1, arguments.megabytes):
            text = Path(folder, f"{megabytes}.txt")
            write_text(text, megabytes)
            command = [sys.executable, "-m", "benchmarks.memory", "--train", str(text), str(Path(folder, "run"))]
            peaks[megabytes] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            text.unlink()
            print(f"{megabytes:5} MB of text: {peaks[megabytes]:6.0f} MiB resident at the peak")
            shutil.rmtree(Path(folder, "run"))
    print(f"difference: {peaks[arguments.megabytes] - peaks[1]:.0f} MiB")


if __name__ == "__main__":
    main()
