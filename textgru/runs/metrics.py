"""What metrics.jsonl says of a training: read, and put together into curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np

from textgru.errors import InputError
from textgru.runs.layout import CONFIG, METRICS
from textgru.runs.records import EvaluationRecord, StepRecord
from textgru.runs.run import Run, check_folder
from textgru.typed import MismatchError, read_fields

SMOOTHED = 40  # a point of the smoothed loss is the mean over a fortieth of the training around it


@dataclass(frozen=True)
class Metrics:
    """The events of a training, in their order."""

    steps: list[StepRecord]
    evaluations: list[EvaluationRecord]


def read_metrics(run: str | Path) -> Metrics:
    """Reads the metrics.jsonl of a run, finished or not. A last line that is not whole is left out, and so are numbers
    that are not finite, which a training that went wrong may have had.

    Raises InputError if there is none, or it is damaged.
    """
    run = check_folder(run)
    path = run / METRICS
    try:
        if not path.is_file():
            if not (run / CONFIG).exists():
                raise InputError(f"{run}: is not a run directory (no {CONFIG} in it)")
            raise InputError(f"{run}: has no {METRICS} (a saved copy has none); name the run that was trained")
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    found = Metrics([], [])
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            kind = event["event"] if isinstance(event, dict) else None
            if not isinstance(kind, str):
                raise MismatchError("event: expected a string")
            if any(_is_infinite(event.get(name)) for name in ("loss", "train_loss")):
                continue
            if _is_infinite(event.get("val_loss")):
                event["val_loss"] = None
            if kind == "step":
                found.steps.append(read_fields(StepRecord, event))
            elif kind == "evaluation":
                found.evaluations.append(read_fields(EvaluationRecord, event))
        except (ValueError, KeyError, RecursionError) as error:
            if number == len(lines):  # no newline after it: it is being written, or its writer was killed
                break
            why = f": {error}" if isinstance(error, MismatchError) else ""
            raise InputError(f"{path}: damaged: line {number} is no event of a training{why}") from error
    return found


def _is_infinite(value: object) -> bool:
    return isinstance(value, float) and not isfinite(value)


def training_seconds(run: Run) -> float | None:
    """How long the training had taken when the saved weights were evaluated; None where nothing says it."""
    kept: float | None = run.scores.get("seconds", run.record.seconds)
    if kept is not None or not (run.path / METRICS).is_file():
        return kept
    try:
        evaluations = read_metrics(run.path).evaluations
    except InputError:
        return None
    return next((event.seconds for event in reversed(evaluations) if event.step == run.scores.get("step")), None)


@dataclass(frozen=True)
class Line:
    """The points of a curve."""

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Curves:
    """How a training went. Losses are in nats a token; `best` is the lowest validation loss, or None."""

    name: str
    training: Line
    smoothed: Line
    validation: Line
    learning_rate: Line
    best: float | None
    best_step: int | None

    @staticmethod
    def of(name: str, metrics: Metrics, x: str = "steps") -> Curves:
        """The curves of a run over its steps, tokens or minutes."""
        steps, evaluations = metrics.steps, metrics.evaluations
        validated = [event for event in evaluations if event.val_loss is not None]
        best = min(validated, key=lambda event: event.val_loss or 0.0, default=None)
        if steps:
            training = _line(steps, x, "loss")
            smoothed = Line(training.x, _moving_mean(training.y))
        else:  # too short a training for its steps to be noted
            training = smoothed = _line(evaluations, x, "train_loss")
        return Curves(
            name=name,
            training=training,
            smoothed=smoothed,
            validation=_line(validated, x, "val_loss"),
            learning_rate=_line(steps, x, "learning_rate"),
            best=best.val_loss if best else None,
            best_step=best.step if best else None,
        )


def read_curves(runs: Sequence[str | Path], x: str = "steps") -> list[Curves]:
    """The curves of some runs, the best first. Raises InputError if one can't be read, or hasn't begun."""
    found = []
    for run, name in zip(runs, run_names(runs), strict=True):
        curves = Curves.of(name, read_metrics(run), x)
        if not len(curves.training):
            raise InputError(f"{run}: nothing is noted yet in {METRICS}; wait for its first steps")
        found.append(curves)
    return sorted(found, key=lambda curves: float("inf") if curves.best is None else curves.best)


def loss_range(runs: Sequence[Curves]) -> tuple[float, float]:
    """The losses to show. The steep fall in the first twentieth of a training may begin above."""
    lines = [line for curves in runs for line in (curves.smoothed, curves.validation) if len(line)]
    later = [line.y[line.x >= line.x[-1] / 20] for line in lines]
    low, high = (float(function(np.concatenate(later))) for function in (np.min, np.max))
    margin = 0.04 * (high - low) or 0.1
    return low - margin, high + margin


def run_names(runs: Sequence[str | Path]) -> list[str]:
    """What to call each run: its folder's name, or its path where two have the same name."""
    names = [Path(run).name or Path(run).resolve().name or str(run) for run in runs]
    return [name if names.count(name) == 1 else str(run) for name, run in zip(names, runs, strict=True)]


def _line(events: Sequence[StepRecord | EvaluationRecord], x: str, y: str) -> Line:
    name, unit = {"steps": ("step", 1), "tokens": ("tokens_seen", 1), "minutes": ("seconds", 60)}[x]
    return Line(
        np.array([getattr(event, name) / unit for event in events]),
        np.array([float(getattr(event, y)) for event in events]),
    )


def _moving_mean(values: np.ndarray) -> np.ndarray:
    """The mean over the points around each point; over fewer at the ends."""
    window = np.ones(2 * (len(values) // (2 * SMOOTHED)) + 1)
    total: np.ndarray = np.convolve(values, window, "same")
    return total / np.convolve(np.ones(len(values)), window, "same")
