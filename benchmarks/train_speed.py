"""Training speed of textgru and PyTorch: the same model, batch and data, alternately in one run.

    python -m benchmarks.train_speed [--cell gru|lstm|rnn] [--rounds N] [--only ROW] [--json FILE] [--waits LEAST MOST]

A step is forward, loss, backward, clipping, AdamW, with the state carried on. First it is checked that both compute the
same loss and gradients from the same weights, in float32. PyTorch runs with the thread count that is best for it. The
ratios are those of textgru in float32 and in bfloat16 to PyTorch in float32.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common import (
    alternate,
    blas_gflops,
    chosen,
    import_torch,
    parse_arguments,
    print_machine,
    print_table,
    rates,
    timed,
    waits,
    write_json,
    written,
)
from textgru.core import AdamW, get_num_threads, gradient_norm
from textgru.model.config import NetworkConfig
from textgru.model.network import Network

LARGEST_DIFFERENCE = 1e-4  # of gradients, relative to the largest element of each


class Training:
    """textgru's side of benchmarks.torch_model.Training."""

    def __init__(self, network: Network, tokens: np.ndarray, targets: np.ndarray) -> None:
        self.network, self.tokens, self.targets = network, tokens, targets
        self.optimizer = AdamW(network.parameters, 1e-3, (0.9, 0.99))
        self.state = network.initial_state(tokens.shape[1])
        self.loss = float("nan")

    def pass_over(self) -> None:
        self.loss, self.state = self.network.loss_and_grad(self.tokens, self.targets, self.state)

    def gradients(self) -> dict[str, np.ndarray]:
        self.pass_over()
        return self.network.parameters.views(self.network.parameters.gradients)

    def step(self) -> None:
        self.pass_over()
        norm = gradient_norm(self.network.parameters)
        self.optimizer.step(gradient_scale=min(1.0, 1.0 / norm))


def useful_operations(configuration: tuple[int, ...], cell: Any = "gru") -> int:
    """Floating-point operations of a step that a plain implementation can't avoid: every product once forward and twice
    backward, a multiply-add being two; the embedding is a look-up."""
    vocab, embedding, hidden, layers, batch, steps = configuration
    return 6 * NetworkConfig(vocab, embedding, hidden, layers, cell=cell).multiplied_weights() * batch * steps


def check_agreement(ours: Training, theirs: Any) -> None:
    """Raises SystemExit unless both sides compute the same from the same weights."""
    gradients, wanted = ours.gradients(), theirs.gradients()
    for name, array in wanted.items():
        difference = np.abs(gradients[name] - array).max() / np.abs(array).max()
        if not difference < LARGEST_DIFFERENCE:
            raise SystemExit(f"gradients of {name} differ by {difference:.2g}: the comparison would be worth nothing")
    if not abs(ours.loss - theirs.loss) < 1e-4:
        raise SystemExit(f"losses differ: {ours.loss} and {theirs.loss}")


def best_threads(torch: Any, training: Any) -> int:
    """The thread count from 1 to all at which a PyTorch step is fastest."""
    seconds = {}
    for threads in sorted({1, get_num_threads(), os.cpu_count() or 1}):
        torch.set_num_threads(threads)
        training.step()
        seconds[threads] = min(timed(training.step) for _ in range(2))
    return min(seconds, key=lambda threads: seconds[threads])


def measure(
    configuration: tuple[int, ...], cell: Any, torch: Any, rounds: int, wanted_waits: Sequence[float]
) -> dict[str, Any]:
    vocab, embedding, hidden, layers, batch, steps = configuration
    rng = np.random.default_rng(0)
    tokens, targets = (rng.integers(0, vocab, (steps, batch)) for _ in range(2))
    config = NetworkConfig(vocab, embedding, hidden, layers, cell=cell)
    ours = Training(Network(config, seed=1), tokens, targets)
    ours_bf16 = Training(Network(config, precision="bf16", seed=1), tokens, targets)
    sides = {"textgru": ours.step, "textgru_bf16": ours_bf16.step}
    row: dict[str, Any] = {"configuration": list(configuration), "cell": cell, "threads": get_num_threads()}
    if torch is not None:
        from benchmarks.torch_model import Training as TorchTraining

        theirs = TorchTraining(Network(config, seed=1), tokens, targets)
        check_agreement(ours, theirs)
        half = TorchTraining(Network(config, seed=1), tokens, targets, bf16=True)
        row["pytorch_threads"] = best_threads(torch, theirs)
        torch.set_num_threads(row["pytorch_threads"])
        sides |= {"pytorch": theirs.step, "pytorch_bf16": half.step}
    seconds = alternate(sides, rounds, wanted_waits)
    row["wait_ns"] = waits(seconds.pop("wait"))
    ranges = {name: rates(taken, batch * steps) for name, taken in seconds.items()}
    row["ranges"] = ranges
    row |= {name: rate["median"] for name, rate in ranges.items()}
    for name in ("textgru", "textgru_bf16"):
        row[f"{name}_ratio"] = row[name] / row["pytorch"] if torch is not None else None
        row[f"{name}_gflops"] = useful_operations(configuration, cell) * row[name] / (batch * steps) / 1e9
    return row


def main() -> None:
    arguments = parse_arguments(__doc__, rounds=15, cells=True)
    torch = import_torch()
    before = blas_gflops()
    rows = [
        measure(configuration, arguments.cell, torch, arguments.rounds, arguments.waits)
        for configuration in chosen(arguments.only)
    ]
    gflops = max(before, blas_gflops())
    print_machine(gflops)
    heading = ["V, E, H, L, B, T", "fp32, tokens/s", "bf16, tokens/s", "PyTorch fp32", "PyTorch bf16 autocast",
               "fp32 ratio", "bf16 ratio", "fp32 GFLOP/s", "bf16 GFLOP/s", "wait, ns"]  # fmt: skip
    table = [heading]
    for row in rows:
        ranges = row["ranges"]
        sides = ("textgru", "textgru_bf16", "pytorch", "pytorch_bf16")
        ratios = [row["textgru_ratio"], row["textgru_bf16_ratio"]]
        table.append([
            ", ".join(map(str, row["configuration"])), *(written(ranges.get(side)) for side in sides),
            *(f"{ratio:.2f}" if ratio else "-" for ratio in ratios),
            *(f"{row[f'{side}_gflops']:.0f}" for side in sides[:2]), written(row["wait_ns"]),
        ])  # fmt: skip
    print_table(table)
    write_json(arguments.json, gflops, rows)


if __name__ == "__main__":
    main()
