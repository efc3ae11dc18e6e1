"""A training in its run directory, whether it begins or goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from textgru.analysis.temperature import calibrated_temperature
from textgru.core import get_num_threads, set_num_threads
from textgru.distributed.ranks import Ranks
from textgru.errors import InputError, TextgruError
from textgru.generation.sampling import Sampling
from textgru.generation.stream import stream as generated
from textgru.language_model import LanguageModel
from textgru.model.network import Network
from textgru.runs.layout import TOKENS
from textgru.runs.run import Run
from textgru.runs.writer import RunWriter
from textgru.text.corpus import Corpus
from textgru.text.tokenizer import Tokenizer
from textgru.training.defaults import Settings, tokens_to_read
from textgru.training.events import EndEvent, EvaluationEvent, RunEvent, SampleEvent, StepEvent
from textgru.training.following import lead
from textgru.training.plan import Plan
from textgru.training.random_streams import stream
from textgru.training.room import check_memory
from textgru.training.teaching import Teachers
from textgru.training.tensorboard_log import TensorBoardLog
from textgru.training.trainer import Trainer

if TYPE_CHECKING:
    from typing_extensions import Self

METRICS_STEPS = 10  # one training step in this many goes to metrics.jsonl
DIGITS = 3  # of the temperature, after the point
SAMPLE_LENGTH = 300  # tokens
SAMPLING = Sampling(temperature=0.8)


class RunningTraining:
    """A training and the run directory that it writes: what TrainingRun, which begins, and ResumedRun, which goes on,
    have in common. `events()` trains. Use as a context manager.

    `files`, `separate_documents`, `encoded_before`, `unknown`: what is known of the text (textgru.training.plan.Plan);
    `started`: when the minutes began to count, by time.perf_counter; `threads_before`: the number of threads to set
    again in the end; `ranks`: the processes that train together, of which this is rank 0, and which follow it
    (textgru.training.following); `teachers`: models whose predictions are learned. Raises InputError where there is too
    little text or memory.
    """

    def __init__(
        self,
        writer: RunWriter,
        settings: Settings,
        tokenizer: Tokenizer,
        corpus: Corpus,
        *,
        files: list[str],
        separate_documents: bool,
        sample_every: int | None,
        log: TensorBoardLog | None,
        started: float,
        threads_before: int,
        encoded_before: bool = False,
        unknown: float = 0.0,
        ranks: Ranks | None = None,
        teachers: Sequence[LanguageModel] = (),
    ) -> None:
        network, config = settings.network, settings.training
        check_memory(network, config)
        self.preset, self.config = settings.preset, config
        self.tokenizer, self.corpus, self.files = tokenizer, corpus, files
        self.separate_documents, self.encoded_before, self.unknown = separate_documents, encoded_before, unknown
        if teachers and (ranks or Ranks()).size > 1:
            raise InputError("teachers: not over several ranks; train on one machine")
        self.added_tokens = 0
        self.out = writer.out
        self._writer = writer
        self.ranks, self._settings = ranks or Ranks(), settings
        self._sample_every, self._log, self._threads_before = sample_every, log, threads_before
        self.network = Network(
            network,
            precision=config.precision,
            seed=stream(config.seed, "initial weights"),
            dropout_rng=stream(config.seed, "dropout"),
        )
        if config.deterministic:
            self.network.use_product_kernels("packed")
        self.trainer = Trainer(
            self.network, corpus, config, save=self._save, checkpoint=self._checkpoint,
            rng=stream(config.seed, "batches"), started=started, ranks=ranks,
            teachers=Teachers([model.network for model in teachers], config.batch_size) if teachers else None,
        )  # fmt: skip

    def plan(self) -> Plan:
        """What this training is going to do."""
        network, config = self.network.config, self.config
        return Plan(
            preset=self.preset,
            network=network,
            learning_rate=config.learning_rate,
            tokenizer=self.tokenizer.kind,
            vocab_size=self.tokenizer.vocab_size,
            characters=self.corpus.characters,
            train_tokens=len(self.corpus.train),
            validation_tokens=len(self.corpus.validation),
            parameters=network.parameter_count(),
            memory_bytes=network.training_bytes(config.batch_size, config.seq_length),
            steps_per_epoch=self.trainer.batches.steps_per_epoch,
            steps=self.trainer.max_steps,
            expected_epochs=tokens_to_read(config, network, len(self.corpus.train)) / len(self.corpus.train),
            max_minutes=config.max_minutes,
            precision=config.precision,
            threads=get_num_threads(),
            encoded_before=self.encoded_before,
            added_tokens=self.added_tokens,
            unknown=self.unknown,
        )

    def events(self) -> Iterator[RunEvent]:
        """Trains, saves the best weights, writes metrics.jsonl, and passes the trainer's events on."""
        if self.ranks.size > 1:
            lead(self.ranks, self._settings, self.corpus, self._writer.scratch / TOKENS, self.trainer)
        for event in self.trainer.events():
            self._record(event)
            if isinstance(event, EndEvent):
                self._calibrate()
                if event.reason != "stopped":
                    self._writer.finish()
                if not self._writer.published:
                    raise TextgruError(
                        f"{self.out}: the run in it stays: no evaluation of this training came near to guessing every "
                        "token alike; try a lower --learning-rate"
                    )
                self.ranks.told(None)
            if self._log is not None:
                self._log.add(event, self._writer.path if self._writer.published else None)
            yield event
            if isinstance(event, EvaluationEvent) and self._sample_due():
                sample = SampleEvent(event.step, self._sample(event.step))
                self._record(sample)
                yield sample

    def _calibrate(self) -> None:
        """Adds to the saved weights the temperature that suits them."""
        if self._writer.published and len(self.corpus.validation) > 1:
            saved = Run.read(self._writer.path)
            network = saved.load_network()
            found = calibrated_temperature(network, self.corpus.validation)
            self._writer.save_weights(network, {**saved.scores, "temperature": round(found, DIGITS)})

    def _record(self, event: RunEvent) -> None:
        """Writes an event to metrics.jsonl, if it is one of those that stand there."""
        if isinstance(event, EvaluationEvent):
            self._writer.append_metrics({"event": "evaluation", **asdict(event)})
        elif isinstance(event, EndEvent):
            self._writer.append_metrics({"event": "end", **asdict(event), "best": event.best.step})
        elif isinstance(event, SampleEvent):
            self._writer.append_metrics({"event": "sample", **asdict(event)})
        elif isinstance(event, StepEvent) and event.step % METRICS_STEPS == 0:
            self._writer.append_metrics({"event": "step", **asdict(event)})

    def _sample_due(self) -> bool:
        every = self._sample_every
        return every is not None and self.trainer.evaluations_made % every == 0

    def _sample(self, step: int) -> str:
        """What the weights that would be saved now write; from a seed of its own, so that training goes on the same."""
        rng = np.random.default_rng([self.config.seed, step])
        with self.trainer.weights_in_use():
            return "".join(generated(self.network.pack(), self.tokenizer, "", SAMPLE_LENGTH, SAMPLING, rng))

    @property
    def can_go_on(self) -> bool:
        """Whether there is a checkpoint that `resume` goes on from."""
        return self._writer.has_state

    @property
    def in_place(self) -> bool:
        """Whether the run directory is still the one that this training writes to."""
        return self._writer.in_place

    @property
    def published(self) -> bool:
        """Whether weights of this training are saved in the run directory."""
        return self._writer.published

    def stop(self) -> None:
        """Ends the training after the step in progress, with an evaluation."""
        self.trainer.stop()

    def close(self) -> None:
        """Removes everything, if no weights were saved; and lets the run go. Threads are again those from before."""
        self._writer.close()
        set_num_threads(self._threads_before)
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checkpoint(self) -> None:
        self._writer.write_state(*self.trainer.state())

    def _save(self, event: EvaluationEvent) -> bool:
        """Saves the weights; whether they were good enough for it."""
        if self.trainer.off_plan:
            self._writer.set_weights_aside()
        scores = asdict(event)
        del scores["best"], scores["seconds"]  # the same training gives the same file
        self._writer.save_weights(self.network, scores)
        return True
