"""The training loop. It prints nothing: it yields events."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np

from textgru.analysis.evaluate import evaluate
from textgru.core import WeightAverage, check_array, gradient_norm
from textgru.distributed.ranks import Ranks
from textgru.errors import InputError, TextgruError
from textgru.model.network import Network, State
from textgru.text.corpus import Corpus
from textgru.training.batches import Batches
from textgru.training.config import TrainingConfig
from textgru.training.events import CheckpointEvent, EndEvent, EvaluationEvent, Event, StepEvent
from textgru.training.gradient_sum import GradientSum
from textgru.training.moment import Moment
from textgru.training.optimizers import optimizer_of
from textgru.training.outer_step import OuterStep
from textgru.training.spikes import is_spike
from textgru.training.teaching import Teachers
from textgru.training.trainer_state import Facts, Progress, set_generator
from textgru.typed import read_fields

DEFAULT_EVALUATIONS = 20
FRUITLESS = 0.2  # of the training
LOOKED_AT = 2049  # tokens that tell whether weights have a finite loss
PLATEAU_EVALUATIONS = 2

# gradients (n,), loss -> loss: see Trainer
Reduce = Callable[[np.ndarray, float], float]


class Trainer:
    """Trains a network on a corpus. Iterate over `events()`. `save` is called for each evaluation that is the best, and
    may return false where it kept nothing; `checkpoint` when what going on needs is to be saved: `state()`.

    Batches are drawn from `rng`, the masks of dropout from the network's own generator.

    `reduce` is for trainers that share the work of a step, in several processes or threads. It is called in each step
    with the gradients (n,), which it replaces in place by their mean over all trainers, and with the loss, whose mean
    it returns; all of them then see the same loss and norm. `ranks` share the rows of every batch, and of evaluations;
    rank 0 decides, saves and makes checkpoints; with `config.sync_every` that happens where all are together, and the
    losses of single steps are those of this rank's rows. `teachers` read all its rows. `started` is when the minutes
    began to count, by time.perf_counter.
    Raises InputError for fewer rows than ranks.
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
        reduce: Reduce | None = None,
        ranks: Ranks | None = None,
        started: float | None = None,
        teachers: Teachers | None = None,
    ) -> None:
        self.network = network
        self.corpus = corpus
        self.config = config
        self._ranks = ranks = ranks or Ranks()
        if config.batch_size < ranks.size:
            raise InputError(f"batch_size: {config.batch_size} rows for {ranks.size} ranks; give each one or more")
        self._rows = ranks.share(config.batch_size)
        self.batches = Batches(corpus.train, config.batch_size, config.seq_length, rng, self._rows)
        self.max_steps = config.step_limit(self.batches.steps_per_epoch)
        self.optimizer = optimizer_of(network, config, ranks)
        self._average = WeightAverage(network.parameters, config.ema_decay) if config.ema_decay else None
        self._outer = OuterStep(network.parameters.values) if config.sync_every > 1 else None
        self._sums: GradientSum | None = None
        if ranks.size > 1 and self._outer is None:
            self._sums = GradientSum(ranks, network.parameters.gradients, config.reduce_precision)
        self.best: EvaluationEvent | None = None
        self._saved: EvaluationEvent | None = None  # the last one whose weights were saved
        self._hidden_of_all = network.initial_state(config.batch_size)  # at the last checkpoint
        self._hidden = self._own(self._hidden_of_all)
        self._made = Progress()
        self._rng = rng
        self._save = save
        self._checkpoint = checkpoint
        self._reduce, self._teachers = reduce, teachers
        self._started = perf_counter() if started is None else started
        self._last_evaluation = self._last_checkpoint = perf_counter()
        self._stop = False
        self.off_plan = False  # an evaluation that only the stop brought is under way

    @property
    def _tokens_per_step(self) -> int:
        return self.config.batch_size * self.config.seq_length

    @property
    def evaluations_made(self) -> int:
        """How many evaluations there were, over all sessions."""
        return self._made.evaluations_made

    def stop(self) -> None:
        """Ends the training after the step in progress, with a checkpoint, then an evaluation."""
        self._stop = True

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that `restore` needs: arrays, and facts that JSON can hold; over several ranks, on rank 0 and within a
        checkpoint."""
        dropout_rng = self.network.dropout_rng
        return self._arrays(self._hidden if self._ranks.size == 1 else self._hidden_of_all), {
            "progress": asdict(self._made),
            "optimizer_steps": self.optimizer.steps,
            "offset": self.batches.offset,
            "next_step": self.batches.next_step,
            "rng": self._rng.bit_generator.state,
            "dropout_rng": None if dropout_rng is self._rng else dropout_rng.bit_generator.state,
            "best": asdict(self.best) if self.best else None,
            "seconds": perf_counter() - self._started,
        }

    def _arrays(self, hidden: State) -> dict[str, np.ndarray]:
        arrays = {
            "parameters": self.network.parameters.values,
            "exp_avg": self.optimizer.exp_avg,
            "exp_avg_sq": self.optimizer.exp_avg_sq,
            "hidden": hidden[0],
        }
        for number, array in enumerate(hidden[1:], start=1):
            arrays[f"hidden_{number}"] = array
        if self._teachers is not None:
            arrays |= self._teachers.arrays()
        if self._average is not None:
            arrays["average"] = self._average.values
        if self._outer is not None:
            arrays |= {"outer": self._outer.values, "outer_momentum": self._outer.momentum}
        return arrays

    def _own(self, hidden: State) -> State:
        """The states of this rank's rows, as arrays of their own."""
        return tuple(np.ascontiguousarray(array[:, self._rows]) for array in hidden)

    def weights_in_use(self) -> contextlib.AbstractContextManager[None]:
        """Within it the network has the weights that are evaluated and saved: the averages, where there are any."""
        return contextlib.nullcontext() if self._average is None else self._average.in_use()

    def restore(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Goes on from what `state` returned: the same bits as without the interruption.

        Raises KeyError, TypeError or ValueError if it isn't that of such a training.
        """
        targets = self._arrays(self._hidden_of_all)
        for name, target in targets.items():
            check_array(name, arrays[name], target.dtype, target.shape)
            if not np.isfinite(arrays[name]).all():
                raise ValueError(f"{name} has numbers that are not finite")
        kept = read_fields(Facts, dict(facts))
        self.batches.go_on_at(kept.offset, kept.next_step)
        set_generator(self._rng, kept.rng, "rng")
        dropout_rng = self._rng
        if kept.dropout_rng is not None:
            dropout_rng = np.random.default_rng()
            set_generator(dropout_rng, kept.dropout_rng, "dropout_rng")
        self.network.dropout_rng = dropout_rng
        self._made, self.best = kept.progress, kept.best
        self._saved = kept.best
        self.optimizer.steps = kept.optimizer_steps
        self._started = perf_counter() - kept.seconds
        for name, target in targets.items():
            target[...] = arrays[name]
        self._hidden = self._own(self._hidden_of_all)

    def events(self) -> Iterator[Event]:
        """Trains. Raises TextgruError if loss or gradients stop being finite; the best weights are then saved still."""
        self._last_evaluation = self._last_checkpoint = perf_counter()
        ending = None
        while ending is None:
            event = self.train_step()
            yield event
            if not self._together:
                continue
            moment = self._ranks.told(self._moment(event))
            self.off_plan = moment.off_plan
            if moment.off_plan:
                yield self._save_checkpoint()
            if moment.evaluates:
                yield self._evaluate(moment)
            ending = moment.ending(without_progress=self._made.without_progress, patience=self.config.patience)
            if moment.saves_last(ending):
                yield self._save_checkpoint()
        assert self.best is not None
        made, seconds = self._made, perf_counter() - self._started
        yield EndEvent(ending, made.step, made.step * self._tokens_per_step, seconds, self.best, made.spikes)

    def train_step(self) -> StepEvent:
        """One step: forward, loss, backward, reduce, clip, update. Raises TextgruError if it isn't finite."""
        config, made, begin = self.config, self._made, perf_counter()
        epoch_starts, tokens, targets = next(self.batches)
        if epoch_starts:
            for array in self._hidden:
                array[...] = 0
            if self._teachers is not None:
                self._teachers.begin()
        if config.state_reset:
            anew = self._rng.random(config.batch_size)[self._rows] < config.state_reset
            for array in self._hidden:
                array[:, anew] = 0
        lr = config.lr_at(made.step, self._progress(made.step), made.halvings)
        place = (self._rows.start, config.batch_size)
        taught = None
        if self._teachers is not None:
            taught = self._teachers.probabilities(tokens), config.teacher_weight
        sums = self._sums
        loss, self._hidden = self.network.loss_and_grad(
            tokens, targets, self._hidden, place=place, taught=taught, ready=sums.ready if sums else None
        )
        whole = 1.0  # what the gradients are to be multiplied by, to be those of a mean
        if self._outer is not None:
            whole = config.batch_size / (self._rows.stop - self._rows.start)
            loss *= whole
        elif sums is not None:
            sums.finish()
            deciding = self._ranks.rank == 0
            loss, lr, stops = self._ranks.add([loss, lr * deciding, self._stop])
            self._stop = stops > 0
        if self._reduce is not None:
            loss = self._reduce(self.network.parameters.gradients, loss)
        norm = whole * gradient_norm(self.network.parameters)
        step = made.step + 1
        if not (isfinite(loss) and isfinite(norm)):
            raise self._diverged(step, "loss")
        if not is_spike(made, norm, config.grad_clip):
            self.optimizer.step(lr=lr, gradient_scale=whole * min(1.0, config.grad_clip / max(norm, 1e-12)))
            if self._average is not None:
                self._average.update(step)
        made.step = step
        made.loss_sum, made.loss_count = made.loss_sum + loss, made.loss_count + 1
        if self._outer is not None and self._together:
            self._come_together(self._outer)
        now = perf_counter()
        made.training_seconds += now - begin
        made.longest_step = max(made.longest_step, now - begin)
        seen = step * self._tokens_per_step
        return StepEvent(
            step, loss, lr, norm, seen, seen / made.training_seconds, self._progress(step), now - self._started,
            self._seconds_left(),
        )  # fmt: skip

    @property
    def _together(self) -> bool:
        """Whether all ranks have the same weights after this step; in between nothing is decided."""
        return self._made.step % self.config.sync_every == 0 or self._made.step >= self.max_steps

    def _come_together(self, outer: OuterStep) -> None:
        """Makes all that this rank trains with, and what decides over the steps that follow, the same on all ranks."""
        made, ranks, optimizer = self._made, self._ranks, self.optimizer
        others = [optimizer.exp_avg, optimizer.exp_avg_sq]
        if self._average is not None:
            others.append(self._average.values)
        outer.step(ranks, self.network.parameters.values, others)
        losses, norms, stops = ranks.add([made.loss_sum, made.usual_norm, self._stop])
        made.loss_sum, made.usual_norm, self._stop = losses / ranks.size, norms / ranks.size, stops > 0
        made.spikes, made.spikes_in_a_row, optimizer.steps = ranks.told(
            (made.spikes, made.spikes_in_a_row, optimizer.steps)
        )

    def _passed(self, every: int) -> bool:
        """Whether a step that is a multiple of `every` was made since the ranks last were together."""
        step = self._made.step
        return step // every > (step - 1) // self.config.sync_every * self.config.sync_every // every

    def _moment(self, event: StepEvent) -> Moment:
        """What all decisions after this step are made from."""
        config, made, progress, now = self.config, self._made, event.progress, perf_counter()
        if config.eval_every is not None:
            due = self._passed(config.eval_every)
        else:
            due = int(progress * DEFAULT_EVALUATIONS) > made.evaluations
            if config.max_minutes is not None:
                # Where time is short, measuring and saving take no more than a tenth of it, also on a slow disk.
                pause = made.evaluation_seconds + made.checkpoint_seconds
                due = due and now - self._last_evaluation >= 9 * pause
        if config.checkpoint_every is not None:
            checkpoint_due = self._passed(config.checkpoint_every)
        else:
            checkpoint_due = now - self._last_checkpoint >= 60 * config.checkpoint_minutes
        limit, needed = self._time_limit(), config.sync_every * made.longest_step + made.evaluation_seconds
        out_of_time = limit is not None and now - self._started + needed > limit
        return Moment(
            progress=progress, due=due, checkpoint_due=checkpoint_due, finished=progress >= 1 or out_of_time,
            stop=self._stop, fruitless=self._is_fruitless(progress),
        )  # fmt: skip

    def _is_fruitless(self, progress: float) -> bool:
        """Whether so much of the training has brought no lower validation loss that it may end, where nothing is said
        of how long to wait. A learning rate that falls later may still bring one."""
        config, best = self.config, self.best
        if best is None or config.eval_every is not None or config.schedule != "constant":
            return False
        limit = self._time_limit()
        at_best = max(best.step / self.max_steps, best.seconds / limit if limit is not None else 0.0)
        return round(progress - at_best, 9) >= FRUITLESS

    def _evaluate(self, moment: Moment) -> EvaluationEvent:
        """Measures the weights in use, and saves them if they are the best."""
        made, begin = self._made, perf_counter()
        made.evaluations = int(moment.progress * DEFAULT_EVALUATIONS)
        made.evaluations_made += 1
        with self.weights_in_use():
            event = self._measured(made.loss_sum / made.loss_count)
            self._wait_for_progress(event)
            if event.best:
                saved = self._ranks.decide(lambda: self._save(event))
                self._saved = event if saved is not False else self._saved
                self.best = event
        self._last_evaluation = perf_counter()
        made.evaluation_seconds = max(made.evaluation_seconds, self._last_evaluation - begin)
        made.loss_sum, made.loss_count = 0.0, 0
        return event

    def _wait_for_progress(self, event: EvaluationEvent) -> None:
        """Counts evaluations without a lower loss, and halves the learning rate of a plateau."""
        made = self._made
        made.without_progress, made.waited = (0, 0) if event.best else (made.without_progress + 1, made.waited + 1)
        if self.config.schedule == "plateau" and made.waited >= PLATEAU_EVALUATIONS:
            made.halvings, made.waited = made.halvings + 1, 0

    def _save_checkpoint(self) -> CheckpointEvent:
        begin = perf_counter()
        if self._checkpoint is not None:
            self._hidden_of_all = self._ranks.gather(self._hidden)
            self._ranks.decide(self._checkpoint)
        self._last_checkpoint = perf_counter()
        self._made.checkpoint_seconds = max(self._made.checkpoint_seconds, self._last_checkpoint - begin)
        return CheckpointEvent(self._made.step, self._last_checkpoint - self._started)

    def _measured(self, train_loss: float) -> EvaluationEvent:
        step, validation, best = self._made.step, self.corpus.validation, self.best
        val_loss = bits = None
        if len(validation) > 1:
            score = evaluate(self.network, validation, ranks=self._ranks)
            val_loss, bits = score.loss, score.bits_per_char(len(validation), self.corpus.validation_characters)
        if not (isfinite(train_loss) and isfinite(self.loss_now() if val_loss is None else val_loss)):
            raise self._diverged(step, "validation loss" if val_loss is not None else "loss")
        is_best = best is None or val_loss is None or best.val_loss is None or val_loss < best.val_loss
        epoch, seconds = step / self.batches.steps_per_epoch, perf_counter() - self._started
        return EvaluationEvent(step, epoch, step * self._tokens_per_step, train_loss, val_loss, bits, is_best, seconds)

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

    def _progress(self, step: int) -> float:
        """How much of the training is done, 0 to 1: by steps or by time, whichever is further."""
        done = step / self.max_steps
        limit = self._time_limit()
        if limit is not None:
            usable = max(limit - self._made.evaluation_seconds, 1e-9)
            done = max(done, (perf_counter() - self._started) / usable)
        return min(done, 1.0)

    def _seconds_left(self) -> float:
        made = self._made
        left = [(self.max_steps - made.step) * made.training_seconds / made.step]
        limit = self._time_limit()
        if limit is not None:
            left.append(limit - (perf_counter() - self._started))
        return max(0.0, min(left))
