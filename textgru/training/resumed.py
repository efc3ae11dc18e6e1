"""A training that goes on from its last checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated

from textgru.core import get_num_threads, set_num_threads
from textgru.distributed.ranks import Ranks
from textgru.errors import InputError
from textgru.runs.layout import CONFIG, STATE, TOKENS
from textgru.runs.run import Run
from textgru.runs.writer import UnfinishedRun
from textgru.text.corpus import Corpus
from textgru.training.config import TrainingConfig
from textgru.training.defaults import Settings
from textgru.training.events import RunEvent
from textgru.training.running import METRICS_STEPS, RunningTraining
from textgru.training.teaching import same_teachers
from textgru.training.tensorboard_log import TensorBoardLog
from textgru.typed import MismatchError, Range, read_fields


@dataclass(frozen=True)
class _Threads:
    """How many threads a run was trained on, in its settings."""

    threads: Annotated[int | None, Range(1, 1024)] = None


class ResumedRun(RunningTraining):
    """The unfinished training in the run directory `out`, as it was at its last checkpoint.

    It goes on to the same bits as if it had never stopped, on the same kind of CPU, and on as many threads as before,
    or on `threads`. Nothing is changed until `events` begins. Raises InputError if there is none, or it can't be read.
    """

    def __init__(self, out: str | Path, *, threads: int | None = None, ranks: Ranks | None = None) -> None:
        started, threads_before = perf_counter(), get_num_threads()
        with contextlib.ExitStack() as stack:
            writer = stack.enter_context(UnfinishedRun(Run.read(out).path))
            run = Run.read(out)  # again: the writer may have finished what a kill left
            corpus = run.record.corpus
            if corpus is None or run.record.training is None:
                raise InputError(f"{run.path / CONFIG}: damaged: it doesn't say what was being trained")
            config, trained_on = _training_of(run)
            set_num_threads(threads or trained_on or threads_before)
            stack.callback(set_num_threads, threads_before)
            encoded = Corpus.open(
                run.tokenizer, writer.scratch / TOKENS, held_out=corpus.validation_tokens, characters=corpus.characters,
                tokens=corpus.train_tokens + corpus.validation_tokens, sha256=corpus.sha256,
            )  # fmt: skip
            super().__init__(
                writer,
                Settings(run.record.preset, run.network, config),
                run.tokenizer,
                encoded,
                files=corpus.files,
                separate_documents=corpus.separate_documents,
                sample_every=run.record.sample_every,
                log=TensorBoardLog(METRICS_STEPS, goes_on=True) if run.record.tensorboard else None,
                started=started,
                threads_before=threads_before,
                ranks=ranks,
                teachers=same_teachers(run.record.teachers or []),
            )
            self._unfinished = writer
            arrays, facts = writer.read_state()
            try:
                self.trainer.restore(arrays, facts)
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{writer.scratch / STATE}: damaged: {error}") from error
            stack.pop_all()

    def events(self) -> Iterator[RunEvent]:
        self._unfinished.begin()
        yield from super().events()


def _training_of(run: Run) -> tuple[TrainingConfig, int | None]:
    """How a run was trained, and on how many threads. Raises InputError."""
    settings = dict(run.record.training or {})
    settings.setdefault("ema_decay", 0.0)  # of a run from before there were averages
    settings.setdefault("state_reset", 0.0)
    settings.setdefault("optimizer", "adamw")
    try:
        threads = read_fields(_Threads, settings, "training").threads
        settings.pop("threads", None)
        config = read_fields(TrainingConfig, settings, "training", unknown=False)
        if config.precision == "auto":
            raise MismatchError("training.precision: expected fp32 or bf16, as it was trained")
    except MismatchError as error:
        raise InputError(f"{run.path / CONFIG}: damaged: {error}") from error
    return config, threads
