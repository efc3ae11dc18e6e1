"""The training loop. It prints nothing: it yields events."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from time import perf_counter
from typing import Annotated, Any

import numpy as np

from textgru.analysis.evaluate import evaluate
from textgru.core import AdamW, WeightAverage, check_array, gradient_norm
from textgru.errors import TextgruError
from textgru.model.network import Network
from textgru.text.corpus import Corpus
from textgru.training.batches import Batches
from textgru.training.config import TrainingConfig
from textgru.training.events import CheckpointEvent, EndEvent, EvaluationEvent, Event, StepEvent
from textgru.typed import Range, read_fields

DEFAULT_EVALUATIONS = 20
LOOKED_AT = 2049  # tokens that tell whether weights have a finite loss
PLATEAU_EVALUATIONS = 2

# A gradient so many times larger than usual is not followed, from this step on, but no more often than so in a row.
SPIKE = 20.0
SPIKES_FROM = 50
MOST_SPIKES_IN_A_ROW = 3

Count = Annotated[int, Range(0, 2**62)]
Number = Annotated[float, Range(-1e300, 1e300)]
Seconds = Annotated[float, Range(0, 1e11)]


@dataclass
class _Progress:
    """Where a training is, besides its arrays. Seconds are sums over all sessions."""

    step: Count = 0
    loss_sum: Number = 0.0  # since the last evaluation
    loss_count: Count = 0
    evaluations: Count = 0  # that were planned by default up to here
    evaluations_made: Count = 0
    training_seconds: Seconds = 0.0
    evaluation_seconds: Seconds = 0.0
    longest_step: Seconds = 0.0
    without_progress: Count = 0  # evaluations since the best one
    waited: Count = 0  # evaluations since the best one or the last halving of the learning rate
    halvings: Count = 0
    usual_norm: Number = 0.0  # of the gradient, a moving mean
    spikes: Count = 0
    spikes_in_a_row: Count = 0


@dataclass(frozen=True)
class _Facts:
    """What a checkpoint says besides its arrays. `rng` is the state of NumPy's PCG64."""

    progress: _Progress
    optimizer_steps: Count
    offset: Count
    next_step: Count
    rng: dict[str, Any]
    best: EvaluationEvent | None
    seconds: Seconds


def set_generator(rng: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Sets a generator's state. Raises ValueError if it isn't one of its kind."""
    try:
        rng.bit_generator.state = state
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"rng: not the state of a random generator ({error})") from error


class Trainer:
    """Trains a network on a corpus. Iterate over `events()`. `save` is called for each evaluation that is the best, and
    may return false where it kept nothing; `checkpoint` when what going on needs is to be saved: `state()`.

    `started` is when the minutes began to count, by time.perf_counter.
    """

    def __init__(
        self,
        network: Network,
        corpus: Corpus,
        config: TrainingConfig,
        *,
        save: Callable[[EvaluationEvent], bool | None],
        rng: np.random.Generator,
        checkpoint: Callable[[], None] | None = None,
        started: float | None = None,
    ) -> None:
        self.network = network
        self.corpus = corpus
        self.config = config
        self.batches = Batches(corpus.train, config.batch_size, config.seq_length, rng)
        self.max_steps = config.step_limit(self.batches.steps_per_epoch)
        self.optimizer = AdamW(network.parameters, config.learning_rate, (0.9, 0.99), 1e-8, config.weight_decay)
        self._average = WeightAverage(network.parameters, config.ema_decay) if config.ema_decay else None
        self.best: EvaluationEvent | None = None
        self._saved: EvaluationEvent | None = None  # the last one whose weights were saved
        self._hidden = network.initial_state(config.batch_size)
        self._progress_made = _Progress()
        self._rng = rng
        self._save = save
        self._checkpoint = checkpoint
        self._started = perf_counter() if started is None else started
        self._stop = False
        self.off_plan = False  # an evaluation that only the stop brought is under way

    @property
    def evaluations_made(self) -> int:
        """How many evaluations there were, over all sessions."""
        return self._progress_made.evaluations_made

    def stop(self) -> None:
        """Ends the training after the step in progress, with a checkpoint, then an evaluation."""
        self._stop = True

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that `restore` needs: arrays, and facts that JSON can hold."""
        arrays = {
            "parameters": self.network.parameters.values,
            "exp_avg": self.optimizer.exp_avg,
            "exp_avg_sq": self.optimizer.exp_avg_sq,
            "hidden": self._hidden[0],
        }
        for number, array in enumerate(self._hidden[1:], start=1):
            arrays[f"hidden_{number}"] = array
        if self._average is not None:
            arrays["average"] = self._average.values
        return arrays, {
            "progress": asdict(self._progress_made),
            "optimizer_steps": self.optimizer.steps,
            "offset": self.batches.offset,
            "next_step": self.batches.next_step,
            "rng": self._rng.bit_generator.state,
            "best": asdict(self.best) if self.best else None,
            "seconds": perf_counter() - self._started,
        }

    def weights_in_use(self) -> contextlib.AbstractContextManager[None]:
        """Within it the network has the weights that are evaluated and saved: the averages, where there are any."""
        return contextlib.nullcontext() if self._average is None else self._average.in_use()

    def restore(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Goes on from what `state` returned: the same bits as without the interruption.

        Raises KeyError, TypeError or ValueError if it isn't that of such a training.
        """
        targets = self.state()[0]
        for name, target in targets.items():
            check_array(name, arrays[name], target.dtype, target.shape)
            if not np.isfinite(arrays[name]).all():
                raise ValueError(f"{name} has numbers that are not finite")
        kept = read_fields(_Facts, dict(facts))
        self.batches.go_on_at(kept.offset, kept.next_step)
        set_generator(self._rng, kept.rng)
        self._progress_made, self.best = kept.progress, kept.best
        self._saved = kept.best
        self.optimizer.steps = kept.optimizer_steps
        self._started = perf_counter() - kept.seconds
        for name, target in targets.items():
            target[...] = arrays[name]

    def events(self) -> Iterator[Event]:
        """Trains. Raises TextgruError if loss or gradients stop being finite; the best weights are then saved still."""
        config, network, made = self.config, self.network, self._progress_made
        tokens_per_step = config.batch_size * config.seq_length
        last_evaluation = last_checkpoint = perf_counter()
        for epoch_starts, tokens, targets in self.batches:
            begin = perf_counter()
            if epoch_starts:
                for array in self._hidden:
                    array[...] = 0
            lr = config.lr_at(made.step, self._progress(made.step, made.evaluation_seconds), made.halvings)
            loss, self._hidden = network.loss_and_grad(tokens, targets, self._hidden)
            norm = gradient_norm(network.parameters)
            step = made.step + 1
            if not (isfinite(loss) and isfinite(norm)):
                raise self._diverged(step, "loss")
            if not self._is_spike(norm):
                self.optimizer.step(lr=lr, gradient_scale=min(1.0, config.grad_clip / max(norm, 1e-12)))
                if self._average is not None:
                    self._average.update(step)
            now = perf_counter()
            made.step = step
            made.loss_sum, made.loss_count = made.loss_sum + loss, made.loss_count + 1
            made.training_seconds += now - begin
            made.longest_step = max(made.longest_step, now - begin)
            progress = self._progress(step, made.evaluation_seconds)
            yield StepEvent(
                step, loss, lr, norm, step * tokens_per_step, step * tokens_per_step / made.training_seconds, progress,
                now - self._started, self._seconds_left(step, made.training_seconds),
            )  # fmt: skip
            stop = self._stop  # once: it may be set at any moment
            finished = progress >= 1 or self._out_of_time(made.longest_step + made.evaluation_seconds)
            due = self._due(step, progress, made.evaluations)
            if config.max_minutes is not None and config.eval_every is None:
                # Where time is short, measuring takes no more than a tenth of it.
                due = due and perf_counter() - last_evaluation >= 9 * made.evaluation_seconds
            if stop and not (due or finished):
                yield self._save_checkpoint()
                self.off_plan = True
            if due or finished or stop:
                begin = perf_counter()
                made.evaluations = int(progress * DEFAULT_EVALUATIONS)
                made.evaluations_made += 1
                with self.weights_in_use():
                    event = self._evaluate(step, step / self.batches.steps_per_epoch, made.loss_sum / made.loss_count)
                    made.evaluation_seconds = max(made.evaluation_seconds, perf_counter() - begin)
                    self._wait_for_progress(event)
                    if event.best:
                        self._saved = event if self._save(event) is not False else self._saved
                        self.best = event
                last_evaluation = perf_counter()
                made.loss_sum, made.loss_count = 0.0, 0
                yield event
            impatient = config.patience is not None and made.without_progress >= config.patience
            if finished or impatient or stop:
                reason = "finished" if finished else "out of patience" if impatient and due else "stopped"
                if due and reason == "stopped":
                    yield self._save_checkpoint()
                assert self.best is not None
                seconds = perf_counter() - self._started
                yield EndEvent(reason, step, step * tokens_per_step, seconds, self.best, made.spikes)
                return
            if due or self._checkpoint_due(step, last_checkpoint):
                yield self._save_checkpoint()
                last_checkpoint = perf_counter()

    def _is_spike(self, norm: float) -> bool:
        """Whether this gradient is so much larger than usual that its step is better left out. No more than a few in a
        row: then large is the new usual."""
        made = self._progress_made
        spike = (
            made.step >= SPIKES_FROM
            and norm > SPIKE * made.usual_norm
            and norm > self.config.grad_clip
            and made.spikes_in_a_row < MOST_SPIKES_IN_A_ROW
        )
        if spike:
            made.spikes, made.spikes_in_a_row = made.spikes + 1, made.spikes_in_a_row + 1
            return True
        new_usual = made.spikes_in_a_row == MOST_SPIKES_IN_A_ROW
        made.usual_norm += (norm - made.usual_norm) * (1.0 if new_usual else max(0.02, 1 / (made.step + 1)))
        made.spikes_in_a_row = 0
        return False

    def _wait_for_progress(self, event: EvaluationEvent) -> None:
        """Counts evaluations without a lower loss, and halves the learning rate of a plateau."""
        made = self._progress_made
        made.without_progress, made.waited = (0, 0) if event.best else (made.without_progress + 1, made.waited + 1)
        if self.config.schedule == "plateau" and made.waited >= PLATEAU_EVALUATIONS:
            made.halvings, made.waited = made.halvings + 1, 0

    def _checkpoint_due(self, step: int, last: float) -> bool:
        if self.config.checkpoint_every is not None:
            return step % self.config.checkpoint_every == 0
        return perf_counter() - last >= 60 * self.config.checkpoint_minutes

    def _save_checkpoint(self) -> CheckpointEvent:
        if self._checkpoint is not None:
            self._checkpoint()
        return CheckpointEvent(self._progress_made.step, perf_counter() - self._started)

    def _due(self, step: int, progress: float, evaluations: int) -> bool:
        if self.config.eval_every is not None:
            return step % self.config.eval_every == 0
        return int(progress * DEFAULT_EVALUATIONS) > evaluations

    def _evaluate(self, step: int, epoch: float, train_loss: float) -> EvaluationEvent:
        validation, best = self.corpus.validation, self.best
        val_loss = bits = None
        if len(validation) > 1:
            score = evaluate(self.network, validation)
            val_loss, bits = score.loss, score.bits_per_char(len(validation), self.corpus.validation_characters)
        if not (isfinite(train_loss) and isfinite(self.loss_now() if val_loss is None else val_loss)):
            raise self._diverged(step, "validation loss" if val_loss is not None else "loss")
        is_best = best is None or val_loss is None or best.val_loss is None or val_loss < best.val_loss
        tokens_seen = step * self.config.batch_size * self.config.seq_length
        seconds = perf_counter() - self._started
        return EvaluationEvent(step, epoch, tokens_seen, train_loss, val_loss, bits, is_best, seconds)

    def loss_now(self) -> float:
        """The loss of the weights as they are, on the beginning of the training text: a quick look."""
        tokens = self.corpus.train[:LOOKED_AT, None].astype(np.intp)
        losses, _ = self.network.losses(tokens[:-1], tokens[1:], self.network.initial_state(1))
        return float(losses.mean())

    def _diverged(self, step: int, what: str) -> TextgruError:
        kept = f"; the weights of step {self._saved.step} are kept" if self._saved else ""
        return TextgruError(f"step {step}: the {what} is no longer finite{kept}; try a lower --learning-rate")

    def _time_limit(self) -> float | None:
        return None if self.config.max_minutes is None else self.config.max_minutes * 60

    def _progress(self, step: int, evaluation_seconds: float) -> float:
        """How much of the training is done, 0 to 1: by steps or by time, whichever is further."""
        done = step / self.max_steps
        limit = self._time_limit()
        if limit is not None:
            usable = max(limit - evaluation_seconds, 1e-9)
            done = max(done, (perf_counter() - self._started) / usable)
        return min(done, 1.0)

    def _out_of_time(self, needed: float) -> bool:
        limit = self._time_limit()
        return limit is not None and perf_counter() - self._started + needed > limit

    def _seconds_left(self, step: int, training_seconds: float) -> float:
        left = [(self.max_steps - step) * training_seconds / step]
        limit = self._time_limit()
        if limit is not None:
            left.append(limit - (perf_counter() - self._started))
        return max(0.0, min(left))
