"""What a base model brings: trainings on a little text from nothing, and from the weights of a model of another text.

    python -m benchmarks.base_model BASE TEXT [--kilobytes 50 200 1000] [--minutes 2] [--seeds 0 1 2] [--lr 0.001]

BASE is a run of a large text. The last 100 kB of TEXT are what all are measured on, in nats a character; each training
has as many kilobytes of what stands before them as the table says, and the same minutes. `nothing else` is
`textgru train` with neither more options nor weights, `--init-from` with both, and `base` the base model as it is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from math import log
from pathlib import Path
from statistics import mean

from benchmarks.common import print_table

HELD_OUT = 100_000  # characters


def textgru(*arguments: object) -> str:
    command = [sys.executable, "-m", "textgru", *map(str, arguments)]
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout


def loss(run: Path, text: Path) -> float:
    return float(json.loads(textgru("eval", run, text, "--json"))["bits_per_char"]) * log(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--kilobytes", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--lr", type=float, default=1e-3)
    options = parser.parse_args()
    text = options.text.read_text(encoding="utf-8")
    rows = [["kB of text", "nothing else", "--init-from", "base"]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own, held_out, run = folder / "own.txt", folder / "held_out.txt", folder / "run"
        held_out.write_text(text[-HELD_OUT:], encoding="utf-8")
        known = f"{loss(options.base, held_out):.3f}"
        for size in options.kilobytes:
            own.write_text(text[-HELD_OUT - 1000 * size : -HELD_OUT], encoding="utf-8")
            cells = []
            for start in ([], ["--init-from", options.base, "--lr", options.lr]):
                found = []
                for seed in options.seeds:
                    limits = ["--max-minutes", options.minutes, "--seed", seed, "--out", run, "--overwrite"]
                    textgru("train", own, *limits, *start)
                    found.append(loss(run, held_out))
                cells.append(f"{mean(found):.3f}")
            rows.append([f"{size}", *cells, known])
    print_table(rows)


if __name__ == "__main__":
    main()
