"""What is said of GRUs, measured on GRU, LSTM and plain RNN.

    python -m benchmarks.cells language [FILE] [--steps N]     loss by steps and by time, at equal units and parameters
    python -m benchmarks.cells memory [--steps N] [--seeds N]  how long a distance each cell learns to bridge
    python -m benchmarks.cells gradients                       how much of the gradient comes through, and by which gate

Each prints a table; --json FILE keeps the figures, --plot FILE.svg draws them (matplotlib). --quick is for trying it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.cells import gradients, language, memory
from benchmarks.common import print_table

PARTS: dict[str, Any] = {"language": language, "memory": memory, "gradients": gradients}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("file", nargs="?", type=Path, help="language: a text (default: the included one)")
    parser.add_argument("--steps", type=int, help="of each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a few steps, one seed: only to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    arguments = parser.parse_args()
    part = PARTS[arguments.part]
    found = part.measure(arguments)
    print_table(part.table(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    if arguments.plot:
        import matplotlib

        matplotlib.use("Agg")
        matplotlib.rcParams["svg.hashsalt"] = "textgru"
        figure = part.plot(found)
        figure.savefig(arguments.plot, bbox_inches="tight", facecolor="white", metadata={"Date": None})


if __name__ == "__main__":
    main()
