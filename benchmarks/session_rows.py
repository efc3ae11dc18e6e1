"""Many texts side by side: tokens a second by the number of rows, and how threads share them.

    python -m benchmarks.session_rows [--rounds N] [--rows 1 2 4 ...] [--only fp32]

Drawing is included. Of all rows together: how fast where threads share the units, where they share the rows, and what
the session chooses, with its useful GFLOP/s; in turn, medians. For comparison, what a product of the packed kernels
reaches that stays in the cache.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import numpy as np

from benchmarks.common import blas_gflops, print_machine, print_table, timed
from textgru.core import PackedNetwork, Session, get_num_threads
from textgru.core._stepping.sharing import set_fewest_rows_each
from textgru.model.config import NetworkConfig
from textgru.model.network import Network

# vocabulary, embedding, hidden, layers
CONFIGURATIONS = [(65, 64, 512, 1), (65, 128, 256, 2)]
ROWS = [1, 2, 4, 8, 12, 16, 32, 64]
TOKENS = 3000  # of all rows together, in one call
BY_UNITS, BY_ROWS = 2**20, 1


def drawing(packed: PackedNetwork, rows: int, fewest_each: int | None) -> Callable[[], None]:
    """Draws about TOKENS tokens; `fewest_each`: set_fewest_rows_each, or None for what the session chooses."""
    session = Session(packed, rows)
    tokens, u = np.zeros(rows, np.intp), np.random.default_rng(0).random((steps_of(rows), rows))

    def run() -> None:
        before = set_fewest_rows_each(fewest_each) if fewest_each else None
        session.generate(tokens, u, 0.8)
        if before:
            set_fewest_rows_each(before)

    return run


def steps_of(rows: int) -> int:
    """The tokens of each row in one call."""
    return max(8, TOKENS // rows)


def measure(network: Network, precision: str, all_rows: list[int], rounds: int) -> list[list[str]]:
    packed, config = network.pack(precision), network.config
    looked_up = config.parameter_shapes()[f"{config.cell}.weight_ih_l0"]
    work = 2e-9 * (config.multiplied_weights() - looked_up[0] * looked_up[1])
    table = []
    for rows in all_rows:
        sides = {
            "units": drawing(packed, rows, BY_UNITS),
            "rows": drawing(packed, rows, BY_ROWS),
            "chosen": drawing(packed, rows, None),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                side()
                seconds[name].append(timed(side))
        rates = {name: rows * steps_of(rows) / statistics.median(took) for name, took in seconds.items()}
        table.append([
            f"{config.num_layers} x {config.hidden_size}, {precision}", str(rows),
            *(f"{rate:,.0f}" for rate in rates.values()), f"{work * rates['chosen']:.0f}",
        ])  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--only", choices=["fp32", "bf16", "int8"])
    arguments = parser.parse_args()
    print_machine(blas_gflops())
    precisions = [arguments.only] if arguments.only else ["fp32", "bf16", "int8"]
    table = [["layers, precision", "rows", "sharing units", "sharing rows", f"chosen, {get_num_threads()} threads",
              "GFLOP/s"]]  # fmt: skip
    for vocab, embedding, hidden, layers in CONFIGURATIONS:
        network = Network(NetworkConfig(vocab, embedding, hidden, layers), seed=1)
        for precision in precisions:
            table += measure(network, precision, arguments.rows, arguments.rounds)
    print_table(table)


if __name__ == "__main__":
    main()
