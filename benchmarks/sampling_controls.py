"""What each sampling control costs: tokens a second with it, as a share of plain sampling's, alternately in one run.

    python -m benchmarks.sampling_controls [--rounds N] [--rows N]

A GRU of 512 units with 65 and with 8,192 tokens, in fp32 and in int8, its scores spread as a trained model's; drawing
included. "all" is all of them at once but for Mirostat.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import numpy as np

from benchmarks.common import blas_gflops, print_machine, print_table, timed
from textgru.core import GRU, Linear, PackedNetwork, Sampler, Session

ALL: dict[str, Any] = {
    "top_k": 100, "top_p": 0.95, "min_p": 0.02, "typical_p": 0.97, "top_n_sigma": 2.0, "repetition_penalty": 1.1,
    "presence_penalty": 0.1, "frequency_penalty": 0.1, "dry_multiplier": 0.5, "dynatemp_range": 0.3,
    "logit_bias": {1: 1.0},
}  # fmt: skip
CONTROLS: dict[str, dict[str, Any] | None] = {
    "plain": None,
    "greedy": {"temperature": 0.0},
    "top-k 40": {"top_k": 40},
    "top-p 0.9": {"top_p": 0.9},
    "min-p 0.05": {"min_p": 0.05},
    "typical-p 0.9": {"typical_p": 0.9},
    "top-n-sigma 1": {"top_n_sigma": 1.0},
    "repetition": {"repetition_penalty": 1.1},
    "presence, frequency": {"presence_penalty": 0.1, "frequency_penalty": 0.1},
    "DRY": {"dry_multiplier": 0.8},
    "dynamic temperature": {"dynatemp_range": 0.5},
    "Mirostat 2": {"mirostat_tau": 4.0},
    "logit bias": {"logit_bias": {1: 1.0, 2: -1.0}},
    "banned": {"banned": [3, 5]},
    "all": ALL,
}


def measure(vocab: int, precision: str, rows: int, rounds: int) -> dict[str, float]:
    """Seconds a token and row."""
    recurrent, output = GRU(64, 512, seed=1), Linear(512, vocab, seed=2)
    for array in output.parameters.values():
        array *= 20
    embedding = np.random.default_rng(0).standard_normal((vocab, 64)).astype(np.float32)
    packed = PackedNetwork(embedding, recurrent, output, precision=precision)
    length = 2000 if vocab < 1000 and rows == 1 else 300
    u, start = np.random.default_rng(1).random((length, rows)), np.zeros(rows, np.intp)
    sides = {}
    for name, controls in CONTROLS.items():
        session, sampler = Session(packed, rows), None if controls is None else Sampler(vocab, rows, **controls)
        sides[name] = lambda s=session, sampler=sampler: s.generate(start, u, 0.8, sampler=sampler)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            seconds[name].append(timed(side))
    return {name: statistics.median(taken) / length / rows for name, taken in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--rows", type=int, default=1, help="texts side by side (default: %(default)s)")
    arguments = parser.parse_args()
    print_machine(blas_gflops())
    kinds = [(vocab, precision) for vocab in (65, 8192) for precision in ("fp32", "int8")]
    measured = [measure(*kind, arguments.rows, arguments.rounds) for kind in kinds]
    table = [["control", *(f"V = {vocab:,}, {precision}" for vocab, precision in kinds)]]
    table.append(["plain, tokens/s", *(f"{1 / seconds['plain']:,.0f}" for seconds in measured)])
    for name in CONTROLS:
        if name != "plain":
            table.append([name, *(f"{seconds['plain'] / seconds[name]:.0%}" for seconds in measured)])
    print_table(table)


if __name__ == "__main__":
    main()
