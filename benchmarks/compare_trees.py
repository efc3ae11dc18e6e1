"""Training and sampling speed of two installed versions of textgru, alternately in one run.

    python -m benchmarks.compare_trees BEFORE AFTER [--rounds N] [--only ROW] [--kinds KIND ...] [--json FILE]

BEFORE and AFTER are the Python interpreters of two environments, each with a textgru of its own. Each row of
benchmarks.train_speed (a training step in fp32 and in bf16) and of benchmarks.sample_speed (text drawn through
LanguageModel in fp32 and in int8) is timed in both in turn: medians, and the ratio of before to after, above 1 where
after is faster. The ratio is the median of those of the rounds: both sides of a round meet the same machine.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

KINDS = ("train fp32", "train bf16", "sample fp32", "sample int8")


def worker() -> None:
    """Reads "KIND PRECISION V E H L B T" from standard input, line by line, and prints the seconds that it takes, after
    a turn that doesn't count."""
    made: dict[str, Any] = {}
    for line in sys.stdin:
        if line not in made:
            made.clear()  # one at a time, so that both sides hold the same in their caches
            made[line] = side(*line.split())
            made[line]()
        made[line]()
        begin = perf_counter()
        made[line]()
        print(perf_counter() - begin, flush=True)


def side(kind: str, precision: str, *sizes: str) -> Any:
    """What is timed."""
    import numpy as np

    from textgru.core import AdamW, gradient_norm
    from textgru.language_model import LanguageModel
    from textgru.model.config import NetworkConfig
    from textgru.model.network import Network
    from textgru.text.char_tokenizer import CharTokenizer

    vocab, embedding, hidden, layers, batch, steps = map(int, sizes)
    config = NetworkConfig(vocab, embedding, hidden, layers)
    if kind == "sample":
        letters = "".join(chr(0x4E00 + i) for i in range(vocab - 1))
        tokenizer = CharTokenizer.learn(lambda: iter([letters]), vocab_size=None, eos=False, on_learning=None)
        model = LanguageModel(Network(config, seed=1), tokenizer, precision=precision)
        return lambda: model.generate(chr(0x4E00), length=2000, seed=1)
    network = Network(config, precision=precision, seed=1)
    optimizer = AdamW(network.parameters, 1e-3, (0.9, 0.99))
    rng = np.random.default_rng(0)
    tokens, targets = (rng.integers(0, vocab, (steps, batch)) for _ in range(2))
    state = network.initial_state(batch)

    def step() -> None:
        nonlocal state
        for _ in range(max(1, 20_000_000 // (hidden * hidden * layers * batch * steps // 100))):
            _, state = network.loss_and_grad(tokens, targets, state)
            optimizer.step(gradient_scale=min(1.0, 1.0 / gradient_norm(network.parameters)))

    return step


def seconds(process: subprocess.Popen[str], line: str) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line)
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit("one of the two ended early; its message is above")
    return float(answer)


def main() -> None:
    import argparse

    from benchmarks.common import CONFIGURATIONS, print_table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="a Python interpreter")
    parser.add_argument("after", nargs="?", default=sys.executable, help="another one (default: this one)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", type=int, action="append", metavar="N", help="only row N (from 1); may be repeated")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    arguments = parser.parse_args()
    # As a script: the directory of benchmarks is on its path, the one with textgru in it is not.
    command = [str(Path(__file__).resolve()), "--worker"]
    sides = [
        subprocess.Popen([python, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for python in (arguments.before, arguments.after)
    ]
    table = [["V, E, H, L, B, T", "what", "before, ms", "after, ms", "ratio", "quartiles"]]
    rows = []
    for number, sizes in enumerate(CONFIGURATIONS, start=1):
        if arguments.only and number not in arguments.only:
            continue
        for kind in arguments.kinds:
            line = f"{kind} {' '.join(map(str, sizes))}\n"
            took = [[seconds(process, line) for process in sides] for _ in range(arguments.rounds)]
            before, after = (statistics.median(side) for side in zip(*took, strict=True))
            ratios = sorted(b / a for b, a in took)
            ratio = statistics.median(ratios)
            quartiles = [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]]
            rows.append({"configuration": sizes, "kind": kind, "before": before, "after": after, "ratio": ratio})
            table.append([
                ", ".join(map(str, sizes)), kind, f"{1e3 * before:.2f}", f"{1e3 * after:.2f}", f"{ratio:.3f}",
                f"{quartiles[0]:.2f}-{quartiles[1]:.2f}",
            ])  # fmt: skip
            print(" ".join(table[-1]), file=sys.stderr, flush=True)
    for process in sides:
        process.communicate()
    print_table(table)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        worker()
    else:
        main()
