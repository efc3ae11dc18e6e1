"""How a training looks on the screen: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Callable, Sequence
from datetime import timedelta
from math import inf, log
from pathlib import Path
from time import perf_counter
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from textgru.cli.streams import lead_nowhere
from textgru.core.threads import has_openmp
from textgru.errors import percent
from textgru.model.config import NetworkConfig
from textgru.training.events import EndEvent, EvaluationEvent, RunEvent, SampleEvent, StepEvent
from textgru.training.plan import Plan

SMOOTHING = 0.95  # of the loss on the live line
SHORT = 1.0  # seconds; of what takes less nothing is said
MANY_WORSE = 5  # evaluations in a row without a lower loss, at the end


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def described(network: NetworkConfig) -> str:
    """The network in a few words."""
    words = f"{network.cell.upper()}, {network.num_layers} x {network.hidden_size} units"
    words += f", embedding {network.embedding_size}"
    if network.tie_weights:
        words += ", tied weights"
    if network.dropout:
        words += f", dropout {network.dropout:g}"
    if network.input_dropout:
        words += f", input dropout {network.input_dropout:g}"
    if network.weight_dropout:
        words += f", weight dropout {network.weight_dropout:g}"
    return words + (", one mask a sequence" if network.variational_dropout else "")


def megabytes(size: int) -> str:
    """Bytes in millions."""
    return f"{size / 1e6:,.0f}" if size >= 1e7 else f"{size / 1e6:.2g}"


def as_argument(path: Path) -> str:
    """A path as it can be typed after a command."""
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))


class PlainDisplay:
    """Lines on standard output: the plan, every evaluation, the end."""

    stopped = False

    def __init__(self) -> None:
        self.closed = False  # standard output, while it was written to
        self.on_closed: Callable[[], None] = lambda: None  # what to do then
        self._last_step: StepEvent | None = None
        self._guess = inf  # nats, of guessing every token alike
        self._learning_rate = 0.0
        self._worse = 0  # evaluations since the best
        self._doing, self._since, self._told = "", 0.0, False

    def line(self, text: str) -> None:
        """Writes a line; when nobody reads any more (`| head`, a terminal that is gone), calls `on_closed` once."""
        if self.closed:
            return
        try:
            self.write(text)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self.closed = True
            lead_nowhere()
            self.on_closed()

    def write(self, text: str) -> None:
        click.echo(text)

    def note(self, text: str) -> None:
        """A remark beside the course of things."""
        self.line(text)

    def progress(self, what: str, done: int, total: int) -> None:
        """`done` of the `total` bytes of the text are read, while it is encoded."""
        if what != self._doing:
            self._doing, self._since, self._told = what, perf_counter(), False
        elif self._told or perf_counter() - self._since > SHORT:
            self.long_progress(what, done, total)
            self._told = True

    def long_progress(self, what: str, done: int, total: int) -> None:
        if not self._told:
            self.line(f"{what:10} {megabytes(total)} MB ...")

    def plan(self, plan: Plan, files: Sequence[str]) -> None:
        names = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        before = " (encoded before)" if plan.encoded_before else ""
        self.line(f"text       {names}: {plan.characters:,} characters{before}")
        self.line(
            f"tokens     {plan.train_tokens:,} to train on, the last {plan.validation_tokens:,} held out "
            f"({plan.tokenizer}, {plan.vocab_size:,} distinct)"
        )
        if plan.added_tokens:
            several = "s" if plan.added_tokens > 1 else ""
            self.line(f"new        {plan.added_tokens:,} character{several} that the earlier model lacks")
        if plan.unknown:
            self.line(f"unknown    {percent(plan.unknown)} of the tokens: the tokenizer is of another text")
        self.line(
            f"network    {f'{plan.preset}: ' if plan.preset else ''}{described(plan.network)}; "
            f"{plan.parameters:,} parameters, about {plan.memory_bytes / 1e6:,.0f} MB to train"
        )
        self._guess, self._learning_rate = log(plan.vocab_size), plan.learning_rate
        epochs = plan.steps / plan.steps_per_epoch
        limits = [f"{plan.steps:,} steps ({epochs:.3g} epochs)"]
        if plan.max_minutes is not None:
            expected = f", about {plan.expected_epochs:.2g} epochs" if plan.expected_epochs < 0.95 * epochs else ""
            limits.append(f"{plan.max_minutes:g} minutes{expected}, whichever is sooner")
        threads = f"{plan.threads} thread{'s' if plan.threads > 1 else ''}"
        if not has_openmp():
            threads += " (this build has no OpenMP)"
        self.line(
            f"training   {' or '.join(limits)}, {threads}, {plan.precision}, learning rate {plan.learning_rate:.3g}"
        )

    def event(self, event: RunEvent) -> None:
        if isinstance(event, StepEvent):
            self._last_step = event
        elif isinstance(event, SampleEvent):
            self.sample(event)
        elif isinstance(event, EvaluationEvent):
            self._worse = 0 if event.best else self._worse + 1
            self.evaluation(event)
        elif isinstance(event, EndEvent):
            self.stopped = event.reason == "stopped"
            self._end = event

    def evaluation(self, event: EvaluationEvent) -> None:
        step = self._last_step
        parts = [f"step {event.step:>6,}", f"epoch {event.epoch:6.2f}", f"loss {event.train_loss:.4f}"]
        if event.val_loss is not None and event.bits_per_char is not None:
            parts.append(f"validation {event.val_loss:.4f} nats, {event.bits_per_char:.3f} bits/char")
        if step is not None:
            parts.append(f"{step.tokens_per_second:,.0f} tokens/s")
            parts.append(f"{clock(step.seconds_left)} left")
        self.line("  ".join(parts) + ("" if event.best else "  (not the best)"))

    def sample(self, event: SampleEvent) -> None:
        for line in event.text.strip("\n").split("\n"):
            self.line(f"  | {line}")

    def end(self, out: Path) -> None:
        """What came out of it."""
        end, best = self._end, self._end.best
        self.line(f"{end.reason} after {end.step:,} steps, {end.tokens_seen:,} tokens, {clock(end.seconds)}")
        if end.spikes:
            self.line(f"left out   {end.spikes:,} steps whose gradient was far larger than usual; see --learning-rate")
        if best.val_loss is not None and best.bits_per_char is not None:
            self.line(
                f"best       validation loss {best.val_loss:.4f} nats a token ({best.val_loss / log(2):.3f} bits), "
                f"{best.bits_per_char:.3f} bits a character, at step {best.step:,}"
            )
        loss = best.train_loss if best.val_loss is None else best.val_loss
        if loss > self._guess:
            self.line(
                f"beware     this is worse than guessing every token alike ({self._guess:.4f} nats): train longer, or "
                f"with a --learning-rate below {self._learning_rate:g}"
            )
        if end.reason == "finished" and self._worse >= MANY_WORSE:
            sooner = f"with --patience {MANY_WORSE} it would have ended sooner"
            self.line(f"no better  in the last {self._worse} evaluations; {sooner}")
        if end.reason == "out of patience":
            self.line(f"early      no lower validation loss since step {best.step:,}; --patience 20 would have gone on")
        self.line(f"saved in   {out}; write with: textgru sample {as_argument(out)}")
        if self.stopped:
            self.line(f"go on with: textgru train --resume {as_argument(out)}")

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


class LiveDisplay(PlainDisplay):
    """The same lines above a line that moves: progress, loss, speed, time left."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._progress = Progress(
            BarColumn(24), TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.fields[status]}"), console=console
        )
        self._task: TaskID | None = None
        self._reading: TaskID | None = None
        self._loss: float | None = None

    def write(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def long_progress(self, what: str, done: int, total: int) -> None:
        if self._reading is None:
            self._reading = self._progress.add_task(what, total=1.0, status="")
        status = f"{what}  {megabytes(done)} of {megabytes(total)} MB"
        self._progress.update(self._reading, completed=done / max(total, 1), status=status)

    def plan(self, plan: Plan, files: Sequence[str]) -> None:
        if self._reading is not None:
            self._progress.remove_task(self._reading)
        super().plan(plan, files)
        self._task = self._progress.add_task("training", total=1.0, status="")

    def event(self, event: RunEvent) -> None:
        super().event(event)
        if isinstance(event, StepEvent) and self._task is not None:
            self._loss = event.loss if self._loss is None else SMOOTHING * self._loss + (1 - SMOOTHING) * event.loss
            status = (
                f"step {event.step:,}  loss {self._loss:.3f}  {event.tokens_per_second:,.0f} tokens/s  "
                f"{clock(event.seconds_left)} left"
            )
            self._progress.update(self._task, completed=event.progress, status=status)

    def end(self, out: Path) -> None:
        self._progress.stop()
        super().end(out)

    def __enter__(self) -> LiveDisplay:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()


def training_display(*, plain: bool = False) -> PlainDisplay:
    """Live where standard output is a terminal, unless `plain`."""
    console = Console()
    if plain:
        return PlainDisplay()
    return LiveDisplay(console) if console.is_terminal and not console.is_dumb_terminal else PlainDisplay()
