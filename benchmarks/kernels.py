"""The rates of the single parts of a training and a sampling step, to see what limits each.

    python -m benchmarks.kernels [--rounds N]

The recurrence: GFLOP/s, all threads, in the shapes of the configurations. Elementwise parts: nanoseconds an
element on one thread, for every instruction set that this CPU has. Weights read by a sampling step: GB/s, which
bounds it where the weights are larger than a CPU's own cache.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.common import CONFIGURATIONS, blas_gflops, parse_arguments, print_machine, print_table, timed
from textgru.core import (
    GRU,
    AdamW,
    Linear,
    PackedNetwork,
    Session,
    flatten,
    get_num_threads,
    set_num_threads,
    simd,
    softmax_cross_entropy,
)


def median_seconds(function: Callable[[], object], rounds: int) -> float:
    """Of one call, after two that don't count."""
    timed(function)
    timed(function)
    return statistics.median(timed(function) for _ in range(rounds))


def recurrences(rounds: int) -> list[list[str]]:
    """Forward and backward of one GRU layer alone (input as wide as the state), useful GFLOP/s."""
    rows = [["recurrence: hidden, batch, steps", "fp32 forward", "fp32 backward", "bf16 forward", "bf16 backward"]]
    for _, _, hidden, _, batch, steps in CONFIGURATIONS:
        row = [f"{hidden}, {batch}, {steps}"]
        for precision in ("fp32", "bf16"):
            row += [f"{rate:.0f}" for rate in recurrence(hidden, batch, steps, precision, rounds)]
        rows.append(row)
    return rows


def recurrence(hidden: int, batch: int, steps: int, precision: str, rounds: int) -> tuple[float, float]:
    """Useful GFLOP/s of a forward and of a backward pass of one layer."""
    gru = GRU(hidden, hidden, precision=precision, seed=0)
    x = np.random.default_rng(0).standard_normal((steps, batch, hidden)).astype(np.float32)
    operations = 2 * 6 * hidden * hidden * steps * batch

    def forward() -> None:
        gru.forward(x, copy=False)

    def both() -> None:
        gru.forward(x, copy=False)
        gru.backward(x, copy=False)

    ahead, whole = median_seconds(forward, rounds), median_seconds(both, rounds)
    return operations / ahead / 1e9, 2 * operations / max(whole - ahead, 1e-9) / 1e9


def elementwise(rounds: int) -> list[list[str]]:
    """Nanoseconds an element on one thread, by instruction set."""
    names = simd.supported_instruction_sets()
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(65_536).astype(np.float32), np.empty(65_536, np.float32)
    logits, targets = rng.standard_normal((1000, 65)).astype(np.float32), rng.integers(0, 65, 1000)
    dlogits = np.empty_like(logits)
    optimizer = AdamW(flatten({"layer": Linear(256, 256, seed=0)}))
    parts: dict[str, tuple[Callable[[], object], int]] = {
        "exp": (lambda: simd.exp(x, y), x.size),
        "sigmoid": (lambda: simd.sigmoid(x, y), x.size),
        "tanh": (lambda: simd.tanh(x, y), x.size),
        "cross-entropy with gradient, 65 classes": (
            lambda: softmax_cross_entropy(logits, targets, dlogits=dlogits), logits.size,
        ),
        "AdamW": (optimizer.step, optimizer.parameters.values.size),
    }  # fmt: skip
    rows = [["nanoseconds an element, one thread", *names]]
    threads, chosen = get_num_threads(), simd.instruction_set()
    set_num_threads(1)
    for part, (function, elements) in parts.items():
        row = [part]
        for name in names:
            simd.set_instruction_set(name)
            row.append(f"{1e9 * median_seconds(function, 10 * rounds) / elements:.3f}")
        rows.append(row)
    set_num_threads(threads)
    simd.set_instruction_set(chosen)
    return rows


def sampling_steps(rounds: int) -> list[list[str]]:
    """One-token steps: microseconds, and the weights read a second, on one thread and on all."""
    all_threads = get_num_threads()
    rows = [["one-token step: V, E, H, L", "MB of weights", "1 thread", f"{all_threads} threads"]]
    for vocab, embedding, hidden, layers, _, _ in CONFIGURATIONS:
        rng = np.random.default_rng(0)
        gru, output = GRU(embedding, hidden, layers, seed=rng), Linear(hidden, vocab, seed=rng)
        session = Session(PackedNetwork(rng.standard_normal((vocab, embedding)).astype(np.float32), gru, output))
        read = 4 * (3 * hidden * hidden * (2 * layers - 1) + vocab * hidden)
        cells = []
        fifty_steps = partial(_take_steps, session, 50)
        for threads in (1, all_threads):
            set_num_threads(threads)
            seconds = median_seconds(fifty_steps, rounds) / 50
            cells.append(f"{1e6 * seconds:.1f} us, {read / seconds / 1e9:.0f} GB/s")
        rows.append([f"{vocab}, {embedding}, {hidden}, {layers}", f"{read / 1e6:.2f}", *cells])
    set_num_threads(all_threads)
    return rows


def _take_steps(session: Session, number: int) -> None:
    for _ in range(number):
        session.step(1)


def main() -> None:
    arguments = parse_arguments(__doc__, rounds=7, table=False)
    print_machine(blas_gflops())
    for table in (recurrences(arguments.rounds), elementwise(arguments.rounds), sampling_steps(arguments.rounds)):
        print()
        print_table(table)


if __name__ == "__main__":
    main()
