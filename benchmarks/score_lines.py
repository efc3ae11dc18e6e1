"""How fast `textgru score --lines` is: lines a second from file to output, the start of the program included.

    python -m benchmarks.score_lines FILE [--lines N] [--run RUN] [--rounds N]

FILE is repeated to N lines. Without --run it is a new model of 256 units (its weights don't matter to its speed), with
a character tokenizer, for each precision.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.common import print_table, timed
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

EMBEDDING, HIDDEN, LAYERS = 64, 256, 1


def save_new_model(text: str, out: Path) -> None:
    """A run of a new model for this text."""
    tokenizer = Tokenizer.train("char", lambda: [text])
    network = Network(NetworkConfig(tokenizer.vocab_size, EMBEDDING, HIDDEN, LAYERS), seed=1)
    LanguageModel(network, tokenizer).save(out)


def score(run: Path, file: Path, precision: str, output: Path) -> None:
    command = [sys.executable, "-m", "textgru", "score", str(run), str(file), "--lines", "--precision", precision]
    with output.open("wb") as target:
        subprocess.run(command, stdout=target, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = arguments.file.read_text(encoding="utf-8").splitlines()
    lines = list(itertools.islice(itertools.cycle(found), arguments.lines))
    table = [["precision", "seconds", "lines a minute"]]
    with tempfile.TemporaryDirectory() as folder:
        file, output = Path(folder, "lines.txt"), Path(folder, "scores")
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        run = arguments.run
        if run is None:
            run = Path(folder, "run")
            save_new_model("\n".join(found) + "\n", run)
        for precision in ("fp32", "bf16", "int8"):
            seconds = [timed(partial(score, run, file, precision, output)) for _ in range(arguments.rounds)]
            if len(output.read_text(encoding="utf-8").splitlines()) != len(lines):
                raise SystemExit("score: as many lines of output as of input were expected")
            middle = statistics.median(seconds)
            table.append([precision, f"{middle:.2f}", f"{60 * len(lines) / middle:,.0f}"])
    print(f"{len(lines):,} lines, {sum(map(len, lines)) / len(lines):.1f} characters each without their ends")
    print_table(table)


if __name__ == "__main__":
    main()
