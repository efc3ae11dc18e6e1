"""What a training tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepEvent:
    """After a training step: `loss` in nats a token, `seconds` since the start, `seconds_left` as far as known."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens_seen: int
    tokens_per_second: float
    progress: float
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class EvaluationEvent:
    """After an evaluation: `val_loss` in nats a token (None without held-out text); `best` if it is the lowest yet,
    and so its weights were saved. `train_loss` is the mean since the last evaluation."""

    step: int
    epoch: float
    tokens_seen: int
    train_loss: float
    val_loss: float | None
    bits_per_char: float | None
    best: bool
    seconds: float


@dataclass(frozen=True)
class EndEvent:
    """The last event. `reason`: "finished", "out of patience", or "stopped" (by `Trainer.stop`); `best` the evaluation
    that was kept; `spikes` the steps that were left out because of their gradient."""

    reason: str
    step: int
    tokens_seen: int
    seconds: float
    best: EvaluationEvent
    spikes: int = 0


@dataclass(frozen=True)
class CheckpointEvent:
    """After what going on needs was saved."""

    step: int
    seconds: float


@dataclass(frozen=True)
class SampleEvent:
    """After an evaluation: text that the weights as they are now write, from no prompt."""

    step: int
    text: str


Event = StepEvent | EvaluationEvent | CheckpointEvent | EndEvent
RunEvent = Event | SampleEvent
