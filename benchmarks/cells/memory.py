"""How long a distance each cell learns to bridge."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cells.tasks import SYMBOLS, Batch, Quotes, adding, copy
from textgru import corpora
from textgru.core import GRU, LSTM, RNN, AdamW, Linear, clip_grad_norm, flatten, softmax_cross_entropy

CELLS: dict[str, Any] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
UNITS = {"RNN": 64, "LSTM": 64, "GRU": 64}
LENGTHS = {"adding": (10, 30, 100, 200), "copy": (5, 20, 50, 100), "quotes": (5, 20, 60, 120)}
STEPS, BATCH, TESTED = 1500, 32, 512
LEARNED = 0.9  # of 1: what counts as learned


def learn(
    cell: str, inputs: int, outputs: int, draw: Callable[[int, np.random.Generator], Batch], steps: int, seed: int
) -> float:
    """How well it does in the end, from 0, no better than without looking, to 1, perfect."""
    rng = np.random.default_rng(seed)
    recurrent, head = CELLS[cell](inputs, UNITS[cell], seed=rng), Linear(UNITS[cell], outputs, seed=rng)
    if cell == "LSTM":  # a forget gate that is open at first (Gers et al. 2000; Jozefowicz et al. 2015)
        recurrent.parameters["bias_ih_l0"][UNITS[cell] : 2 * UNITS[cell]] = 1
    parameters = flatten({"recurrent": recurrent, "head": head})
    optimizer = AdamW(parameters, lr=3e-3, weight_decay=0.0)
    for _ in range(steps):
        batch = draw(BATCH, rng)
        y, _ = recurrent.forward(batch.x)
        if batch.numbers is not None:
            error = head.forward(np.ascontiguousarray(y[-1]))[:, 0] - batch.numbers
            dy = np.zeros_like(y)
            dy[-1] = head.backward((2 * error / len(error)).astype(np.float32)[:, None])
        else:
            flat = y.reshape(-1, y.shape[2])
            logits = head.forward(flat)
            gradient = np.empty_like(logits)
            assert batch.classes is not None
            count = int((batch.classes >= 0).sum())
            softmax_cross_entropy(logits, batch.classes.ravel(), dlogits=gradient, scale=1 / count)
            dy = head.backward(gradient).reshape(y.shape)
        recurrent.backward(dy, input_gradient=False)
        clip_grad_norm(parameters, 1.0)
        optimizer.step()
    test = draw(TESTED, np.random.default_rng(10_000 + seed))
    y, _ = recurrent.forward(test.x, training=False)
    if test.numbers is not None:
        error = head.forward(np.ascontiguousarray(y[-1]), training=False)[:, 0] - test.numbers
        return max(0.0, 1 - float((error**2).mean() / test.numbers.var()))
    assert test.classes is not None
    asked = test.classes >= 0
    right = head.forward(np.ascontiguousarray(y[asked]), training=False).argmax(axis=1) == test.classes[asked]
    chance = 1 / (2 if outputs == 2 else SYMBOLS)
    return max(0.0, (float(right.mean()) - chance) / (1 - chance))


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    steps = arguments.steps or (20 if arguments.quick else STEPS)
    seeds = range(1 if arguments.quick else arguments.seeds)
    quotes = Quotes(corpora.path("ostrey").read_text(encoding="utf-8"))
    tasks: dict[str, Any] = {
        "adding": (2, 1, adding), "copy": (SYMBOLS + 2, SYMBOLS, copy), "quotes": (quotes.width, 2, quotes.batch),
    }  # fmt: skip
    found: dict[str, Any] = {"steps": steps, "seeds": len(seeds), "tasks": {}}
    for task, (inputs, outputs, draw) in tasks.items():
        lengths = LENGTHS[task][:1] if arguments.quick else LENGTHS[task]
        found["tasks"][task] = {
            cell: {
                str(length): [learn(cell, inputs, outputs, partial(draw, length), steps, seed) for seed in seeds]
                for length in lengths
            }
            for cell in CELLS
        }
    return found


def table(found: dict[str, Any]) -> list[list[str]]:
    rows = [["task", "cell", *(f"distance {i + 1}" for i in range(max(map(len, LENGTHS.values()))))]]
    for task, cells in found["tasks"].items():
        for cell, by_length in cells.items():
            cellwise = [f"{length}: {statistics.median(scores):.0%}" for length, scores in by_length.items()]
            rows.append([task, cell, *cellwise, *[""] * (len(rows[0]) - 2 - len(cellwise))])
    return rows


def plot(found: dict[str, Any]) -> Any:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3), sharey=True)
    for axis, (task, cells) in zip(axes, found["tasks"].items(), strict=True):
        for cell, by_length in cells.items():
            lengths = [int(length) for length in by_length]
            axis.plot(lengths, [statistics.median(scores) for scores in by_length.values()], "o-", label=cell)
        axis.set(title=task, xlabel="distance, steps", xscale="log", ylim=(-0.03, 1.03))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("learned, 0 to 1")
    axes[-1].legend()
    return figure
