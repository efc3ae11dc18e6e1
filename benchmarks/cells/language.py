"""Language models of each cell: parameters, time a step, loss by steps and by time."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import textgru
from textgru import corpora
from textgru.runs.metrics import read_metrics

STEPS = 1500
# Equal units; then as many units as give about the GRU's parameters.
SIDES: dict[str, tuple[Any, int]] = {
    "GRU, 256 units": ("gru", 256), "LSTM, 256 units": ("lstm", 256), "RNN, 256 units": ("rnn", 256),
    "LSTM, 216 units": ("lstm", 216), "RNN, 478 units": ("rnn", 478),
}  # fmt: skip


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    file = arguments.file or corpora.path("ostrey")
    steps = arguments.steps or (20 if arguments.quick else STEPS)
    found: dict[str, Any] = {"file": file.name, "steps": steps, "sides": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, (cell, units) in SIDES.items():
            run = Path(folder, name)
            model = textgru.train(
                file, run, cell=cell, hidden_size=16 if arguments.quick else units, num_layers=1, embedding_size=64,
                max_steps=steps, eval_every=max(1, steps // 15), seed=1, dropout=0.0, cache=False,
            )  # fmt: skip
            metrics = read_metrics(run)
            curve = [(one.step, one.seconds, one.val_loss) for one in metrics.evaluations if one.val_loss is not None]
            found["sides"][name] = {"parameters": model.network.config.parameter_count(), "curve": curve}
    return found


def _at(curve: list[Any], seconds: float) -> float:
    """The best loss until then."""
    return min((loss for _, when, loss in curve if when <= seconds), default=float("nan"))


def table(found: dict[str, Any]) -> list[list[str]]:
    sides = found["sides"]
    least = min(side["curve"][-1][1] for side in sides.values())
    rows = [["", "parameters", "ms a step", f"best loss in {found['steps']:,} steps", f"best loss in {least:.0f} s"]]
    for name, side in sides.items():
        curve = side["curve"]
        step, seconds, _ = curve[-1]
        best = min(loss for _, _, loss in curve)
        rows.append(
            [name, f"{side['parameters']:,}", f"{1000 * seconds / step:.2f}", f"{best:.3f}", f"{_at(curve, least):.3f}"]
        )
    return rows


def plot(found: dict[str, Any]) -> Any:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.4), sharey=True)
    for name, side in found["sides"].items():
        steps, seconds, losses = zip(*side["curve"], strict=True)
        style = {"G": "-", "L": "--", "R": ":"}[name[0]]
        axes[0].plot(steps, losses, style, label=name)
        axes[1].plot(seconds, losses, style)
    axes[0].set(xlabel="steps", ylabel="validation loss, nats a character")
    axes[1].set(xlabel="seconds")
    for axis in axes:
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    return figure
