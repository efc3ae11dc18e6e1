"""How to train: the settings, their ranges, and what follows from them for the schedule."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, pi
from typing import Annotated, Literal

from textgru.errors import InputError
from textgru.typed import Range, check_fields

# Where neither epochs nor steps are given: no more than so many epochs, because a network of the default size then
# knows a small text by heart; and without minutes, no more than so many tokens.
DEFAULT_EPOCHS = 20.0
MOST_EPOCHS = 60.0  # where there are minutes
DEFAULT_TOKENS = 20_000_000

MOST_STEPS = 10**15
ABOVE_ZERO = Range(0, above=True)


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. Raises InputError for values that can't be.

    The learning rate rises over `warmup` steps. Then, by `schedule`: "constant", it stays (the weights that are kept
    are averages, which do what decay does); "cosine", it falls along half a cosine to `min_lr` (default a twentieth of
    `learning_rate`); "plateau", it is halved, down to `min_lr`, whenever two evaluations in a row bring no lower
    validation loss. Training ends at the first of `epochs`, `max_steps` and `max_minutes` (wall clock, evaluation
    included) that is given; without epochs and steps after 20 epochs at the latest, or with minutes after 60, and with
    none of the three after 20 million tokens if that is sooner; and after `patience` evaluations in a row without a
    lower validation loss, where that is given. `eval_every` counts steps; by default there are twenty evaluations. The
    weights that are evaluated and saved are a moving average (textgru.core.WeightAverage), of about the last tenth of
    the steps, or of the last 1 / (1 - `ema_decay`) if those are fewer; with 0 they are the last ones. `precision` is
    that of the products of training steps: "fp32", "bf16" (textgru.core.parameters.Layer), or "auto", bf16 where the
    CPU multiplies bfloat16 itself; evaluations are always in float32. What going on later needs is saved at every
    evaluation, and every `checkpoint_every` steps, or where that is not given every `checkpoint_minutes`.
    `deterministic` gives the same bits for any number of threads, on a machine: all products are then our own.
    """

    batch_size: Annotated[int, Range(1, 1 << 20)] = 32
    seq_length: Annotated[int, Range(1, 1 << 20)] = 64
    learning_rate: Annotated[float, ABOVE_ZERO] = 4e-3
    min_lr: Annotated[float | None, Range(0)] = None
    schedule: Literal["cosine", "constant", "plateau"] = "constant"
    warmup: Annotated[int, Range(0, MOST_STEPS)] = 100
    weight_decay: Annotated[float, Range(0)] = 0.1
    grad_clip: Annotated[float, ABOVE_ZERO] = 1.0
    ema_decay: Annotated[float, Range(0, 1, below=True)] = 0.9999
    epochs: Annotated[float | None, Range(0, 1e9, above=True)] = None
    max_steps: Annotated[int | None, Range(1, MOST_STEPS)] = None
    max_minutes: Annotated[float | None, Range(0, 1e7, above=True)] = None
    patience: Annotated[int | None, Range(1, MOST_STEPS)] = None
    eval_every: Annotated[int | None, Range(1, MOST_STEPS)] = None
    checkpoint_every: Annotated[int | None, Range(1, MOST_STEPS)] = None
    checkpoint_minutes: Annotated[float, Range(0, 1e7, above=True)] = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    deterministic: bool = False
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.min_lr is not None and self.min_lr > self.learning_rate:
            raise InputError(f"min_lr: {self.min_lr} is above learning_rate, {self.learning_rate}")

    def step_limit(self, steps_per_epoch: int) -> int:
        """The steps after which training ends at the latest."""
        epochs = self.epochs
        if epochs is None and self.max_steps is None:
            epochs = DEFAULT_EPOCHS if self.max_minutes is None else MOST_EPOCHS
        limits = []
        if epochs is not None:
            limits.append(max(1, ceil(epochs * steps_per_epoch)))
        if self.max_steps is not None:
            limits.append(self.max_steps)
        if self.epochs is None and self.max_steps is None and self.max_minutes is None:
            limits.append(ceil(DEFAULT_TOKENS / (self.batch_size * self.seq_length)))
        return min(limits)

    def lr_at(self, step: int, progress: float, halvings: int = 0) -> float:
        """The learning rate of step 0, 1, ... when `progress` (0 to 1) of the training is done."""
        low = self.learning_rate / 20 if self.min_lr is None else self.min_lr
        rate = self.learning_rate
        if self.schedule == "cosine":
            rate = low + (rate - low) * 0.5 * (1 + cos(pi * min(progress, 1.0)))
        elif self.schedule == "plateau":
            rate = max(rate * 0.5**halvings, low)
        return rate * min(1.0, (step + 1) / (self.warmup + 1))
