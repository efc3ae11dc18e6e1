"""How to train: the settings, their ranges, and what follows from them for the schedule."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, pi
from typing import Annotated, Literal

from textgru.errors import InputError
from textgru.typed import Help, Range, check_fields

# Where neither epochs nor steps are given: no more epochs than these, because a network of the default size then
# knows a small text by heart; and without minutes, no more tokens than these.
DEFAULT_EPOCHS = 20.0
MOST_EPOCHS = 60.0  # where there are minutes
DEFAULT_TOKENS = 20_000_000

MOST_STEPS = 10**15
ABOVE_ZERO = Range(0, above=True)


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. Raises InputError for values that can't be.

    `optimizer` "muon" makes the updates of the recurrent layers' matrices orthogonal (textgru.core.Muon), and the rest
    is AdamW's; "adamw" is AdamW for all.

    The learning rate rises over `warmup` steps. Then, by `schedule`: "constant", it stays (the weights that are kept
    are averages, which do what decay does); "cosine", it falls along half a cosine to `min_lr` (default a twentieth of
    `learning_rate`); "plateau", it is halved, down to `min_lr`, whenever two evaluations in a row bring no lower
    validation loss. Training ends at the first of `epochs`, `max_steps` and `max_minutes` (wall clock, evaluation
    included) that is given; without epochs and steps after 20 epochs at the latest, or with minutes after 60, and with
    none of the three after 20 million tokens if that is sooner. It ends early after `patience` evaluations in a row
    without a lower validation loss; or, with neither `patience` nor `eval_every` and a constant learning rate, once a
    fifth of the training has brought none. `eval_every` counts steps; by default there are twenty evaluations. The
    weights that are evaluated and saved are a moving average (textgru.core.WeightAverage), of about the last tenth of
    the steps, or of the last 1 / (1 - `ema_decay`) if those are fewer; with 0 they are the last ones. `precision` is
    that of the products of training steps: "fp32", "bf16" (textgru.core.parameters.Layer), or "auto", bf16 where the
    CPU multiplies bfloat16 itself; evaluations are always in float32. What going on later needs is saved at every
    evaluation, and every `checkpoint_every` steps, or where that is not given every `checkpoint_minutes`.
    `reduce_precision` is that of the gradients that processes send one another.
    `sync_every` above 1 is for processes with a slow network in between, which then make so many steps each by itself,
    on its own rows (textgru.training.outer_step). `deterministic` gives the same bits for any number of threads, on a
    machine: all products are then our own.
    """

    max_minutes: Annotated[
        float | None, Range(0, 1e7, above=True), Help("End after this many minutes.", "How long")
    ] = None
    epochs: Annotated[
        float | None, Range(0, 1e9, above=True), Help("End after this many passes over the text.", "How long")
    ] = None
    max_steps: Annotated[int | None, Range(1, MOST_STEPS), Help("End after this many steps.", "How long")] = None
    patience: Annotated[
        int | None,
        Range(1, MOST_STEPS),
        Help(
            "End after this many evaluations without a lower validation loss.",
            "How long",
            default="a fifth of the training",
        ),
    ] = None
    optimizer: Annotated[
        Literal["muon", "adamw"],
        Help(
            "Muon for the recurrent layers' matrices, or AdamW for all.",
            "Learning",
            default="muon up to 256 units, adamw above",
        ),
    ] = "adamw"
    learning_rate: Annotated[
        float,
        ABOVE_ZERO,
        Help("Highest learning rate.", "Learning", default="0.004, less above 256 units", spelled=("--lr",)),
    ] = 4e-3
    min_lr: Annotated[
        float | None,
        Range(0),
        Help("Last learning rate of cosine and plateau.", "Learning", default="a twentieth of the highest"),
    ] = None
    schedule: Annotated[
        Literal["cosine", "constant", "plateau"],
        Help("How the learning rate falls; plateau: halved when the validation loss stays.", "Learning"),
    ] = "constant"
    warmup: Annotated[int, Range(0, MOST_STEPS), Help("Steps over which the learning rate rises.", "Learning")] = 100
    batch_size: Annotated[int, Range(1, 1 << 20), Help("Sequences a step.", "Learning")] = 32
    seq_length: Annotated[int, Range(1, 1 << 20), Help("Tokens a sequence.", "Learning")] = 64
    weight_decay: Annotated[float, Range(0), Help("AdamW's decay of matrices.", "Learning")] = 0.1
    grad_clip: Annotated[float, ABOVE_ZERO, Help("Most norm of the gradient.", "Learning")] = 1.0
    state_reset: Annotated[
        float,
        Range(0, 1),
        Help("Part of the sequences that begin with an empty state, as a text to be written does.", "Learning"),
    ] = 0.02
    teacher_weight: Annotated[
        float,
        Range(0, 1),
        Help("How much of what is learned are the teachers' predictions, where there are teachers.", "Learning"),
    ] = 0.5
    ema_decay: Annotated[
        float,
        Range(0, 1, below=True),
        Help(
            "Evaluate and save a moving average of the weights, of the last tenth of the steps at most; 0: the last "
            "ones.",
            "Learning",
        ),
    ] = 0.9999
    eval_every: Annotated[
        int | None, Range(1, MOST_STEPS), Help("Steps between evaluations.", "While it runs", default="20 in all")
    ] = None
    checkpoint_every: Annotated[
        int | None,
        Range(1, MOST_STEPS),
        Help("Steps, or minutes (5m), between checkpoints.", "While it runs", default="1m", metavar="N|Nm"),
    ] = None
    checkpoint_minutes: Annotated[float, Range(0, 1e7, above=True)] = 1.0
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Help("Of a training step's products; auto is bf16 where the CPU multiplies it itself.", "Machine"),
    ] = "auto"
    deterministic: Annotated[bool, Help("The same bits for any number of threads.", "Machine")] = False
    reduce_precision: Annotated[
        Literal["fp32", "bf16"],
        Help("Over mpiexec: of the gradients that are sent; bf16 is half the bytes.", "Machine"),
    ] = "fp32"
    sync_every: Annotated[
        int,
        Range(1, MOST_STEPS),
        Help("Over mpiexec: steps that each process makes by itself before all come together.", "Machine"),
    ] = 1
    seed: Annotated[
        int,
        Range(0, 2**63 - 1),
        Help("Same seed, same threads, same steps: same model.", "Machine", spelled=("-s",)),
    ] = 0

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
