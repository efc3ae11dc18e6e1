"""What bfloat16 training and 8-bit weights cost: validation losses beside float32's, on any texts, for some seeds.

    python -m benchmarks.precision [--steps N] [--seeds N] [--json FILE] FILES...

Each text is trained on for --steps steps (preset small, no dropout, the rate falling to a twentieth, the last weights),
in float32 and in bfloat16, once for each seed. The validation loss is always measured in float32, the text read as one
stream; and once more with 8-bit weights.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import textgru
from benchmarks.common import machine, print_table
from textgru.analysis.evaluate import evaluate
from textgru.training.run import TrainingRun

VALIDATION_TOKENS = 100_000


def train(file: str, folder: Path, precision: str, seed: int, steps: int) -> dict[str, Any]:
    """The validation losses of one training, in nats a token: its own weights, and those rounded to 8 bits."""
    last_weights = {"schedule": "cosine", "ema_decay": 0.0}  # averages would hide a part of the rounding
    training = {"max_steps": steps, "eval_every": steps, "precision": precision, "seed": seed, **last_weights}
    out = folder / f"{precision}-{seed}"
    with TrainingRun([file], out, preset="small", network={"dropout": 0.0}, training=training) as run:
        for _ in run.events():
            pass
        validation = run.corpus.validation[:VALIDATION_TOKENS].copy()
    network = textgru.load(out).network
    exact, rounded = (evaluate(network, validation, streams=1, precision=name).loss for name in ("fp32", "int8"))
    return {"precision": precision, "seed": seed, "loss": exact, "int8_loss": rounded}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILES")
    parser.add_argument("--steps", type=int, default=1000, help="steps of each training (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds for each text (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    arguments = parser.parse_args()
    table = [
        ["text", "fp32: mean", "spread of seeds", "bf16: mean", "spread of seeds", "bf16 - fp32", "int8 - fp32, worst"]
    ]
    report = []
    for file in arguments.files:
        with tempfile.TemporaryDirectory() as folder:
            runs = [
                train(file, Path(folder), precision, seed, arguments.steps)
                for seed in range(arguments.seeds)
                for precision in ("fp32", "bf16")
            ]
        losses = {name: [run["loss"] for run in runs if run["precision"] == name] for name in ("fp32", "bf16")}
        cells = [Path(file).name]
        for values in losses.values():
            cells += [f"{statistics.mean(values):.4f}", f"{statistics.stdev(values):.4f}" if len(values) > 1 else "-"]
        cells.append(f"{statistics.mean(losses['bf16']) - statistics.mean(losses['fp32']):+.4f}")
        cells.append(f"{max((run['int8_loss'] - run['loss'] for run in runs), key=abs):+.4f}")
        table.append(cells)
        report.append({"file": Path(file).name, "steps": arguments.steps, "runs": runs})
    print_table(table)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"machine": machine(), "texts": report}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
