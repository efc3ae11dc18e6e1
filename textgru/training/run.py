"""A training from its text files to its run directory: what `textgru train` and `textgru.train` both do."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite, log
from pathlib import Path
from time import perf_counter
from typing import Any

from textgru.core import get_num_threads
from textgru.distributed.ranks import Ranks
from textgru.errors import InputError, TextgruError, percent, shown
from textgru.language_model import LanguageModel
from textgru.paths import given_path, shown_path
from textgru.runs.layout import TOKENS
from textgru.runs.run import Run, network_settings
from textgru.text.cache import TokenCache
from textgru.text.files import check_files, find_files, spool
from textgru.text.prepare import OnProgress, encode_text
from textgru.text.tokenizer import KINDS, Tokenizer
from textgru.training import teaching
from textgru.training.defaults import check, resolve
from textgru.training.earlier_weights import MOST_UNKNOWN, extended, shape_of, take_weights, tokenizer_of
from textgru.training.events import EvaluationEvent
from textgru.training.places import new_run
from textgru.training.resumed import ResumedRun
from textgru.training.room import check_disk
from textgru.training.run_settings import RunSettings
from textgru.training.running import METRICS_STEPS, RunningTraining
from textgru.training.teaching import load_teachers
from textgru.training.tensorboard_log import TensorBoardLog

WORSE_THAN_GUESSING = 1.0  # nats: a run is replaced by none that is further from guessing every token alike


def _given(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in (settings or {}).items() if value is not None}


class TrainingRun(RunningTraining):
    """A training from its text files to its run directory. Everything is checked, and the text encoded, when it is
    made; `events()` trains. Use as a context manager: a run that never saved weights leaves nothing behind.

    `files`: text files, directories or patterns (textgru.text.files.find_files), or "-" for standard input; `out`: the
    run directory (default: runs/NAME); `network` and `training`: fields of NetworkConfig without vocab_size, and of
    TrainingConfig; what is not given or None follows from the preset, the text and the time
    (textgru.training.defaults.resolve); `settings`: the other fields of RunSettings; `on_progress`: called with what is
    being done, the bytes done, and the bytes in all, until the text is encoded; `ranks`: see RunningTraining.
    Raises InputError.
    """

    def __init__(
        self,
        files: Sequence[str | Path],
        out: str | Path | None = None,
        *,
        network: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        ranks: Ranks | None = None,
        **settings: Any,
    ) -> None:
        started, threads_before = perf_counter(), get_num_threads()
        wanted = RunSettings(out, **settings)
        tokenizer, preset = wanted.tokenizer, wanted.preset
        event_log = TensorBoardLog(METRICS_STEPS) if wanted.tensorboard else None
        network, training = _given(network), _given(training)
        first = Run.read(wanted.init_from) if wanted.init_from is not None else None
        if first is not None:
            network = shape_of(first, network, preset)
            tokenizer = tokenizer_of(first, tokenizer, wanted.vocab_size)
        teachers = load_teachers(wanted.teachers) if wanted.teachers else []
        if teachers:
            if first is not None:
                raise InputError("init_from: a training has teachers or earlier weights; leave one out")
            tokenizer = teaching.tokenizer_of(teachers, tokenizer, wanted.vocab_size)
        if tokenizer is None:
            tokenizer = "char"
        elif not isinstance(tokenizer, Tokenizer):
            tokenizer = str(given_path("tokenizer", tokenizer))
        check(network, training, preset)  # say what is wrong before the text is read
        found = find_files(files)
        check_files(found, wanted.encoding)
        with contextlib.ExitStack() as stack:
            self._new = writer = stack.enter_context(new_run(out, files, wanted.overwrite))
            paths = spool(found, writer.scratch)
            if first is not None:
                tokenizer = extended(first.tokenizer, paths, wanted.encoding)
            text = encode_text(
                paths, tokenizer, writer.scratch / TOKENS,
                vocab_size=wanted.vocab_size, encoding=wanted.encoding, val_fraction=wanted.val_fraction,
                separate_documents=wanted.separate_documents, cache=TokenCache.of_user() if wanted.cache else None,
                on_progress=on_progress,
            )  # fmt: skip
            of_this_text = isinstance(tokenizer, str) and tokenizer in KINDS
            unknown = 0.0 if of_this_text else text.corpus.share(text.tokenizer.unk_id)
            if unknown > MOST_UNKNOWN and not wanted.allow_unknown:
                raise InputError(
                    f"{', '.join(map(shown, found))}: {percent(unknown)} of its tokens are unknown to the "
                    "tokenizer; train with a tokenizer of its own, or say --allow-unknown"
                )
            super().__init__(
                writer,
                resolve(
                    network, training, preset=preset, train_tokens=len(text.corpus.train),
                    vocab_size=text.tokenizer.vocab_size,
                ),
                text.tokenizer,
                text.corpus,
                files=[shown_path(file) for file in found],
                separate_documents=wanted.separate_documents,
                sample_every=wanted.sample_every,
                log=event_log,
                started=started,
                threads_before=threads_before,
                encoded_before=text.encoded_before,
                unknown=unknown,
                ranks=ranks,
                teachers=teachers,
            )  # fmt: skip
            if first is not None:
                take_weights(self.network, first)
                self.added_tokens = self.tokenizer.vocab_size - first.network.vocab_size
            elif self.tokenizer.unk_id is not None:
                self.network.embedding.parameters["weight"][self.tokenizer.unk_id] = 0  # never seen: says nothing
            writer.write_settings(self._to_keep(first, teachers), self.tokenizer)
            stack.pop_all()

    @staticmethod
    def resume(out: str | Path, *, threads: int | None = None, ranks: Ranks | None = None) -> ResumedRun:
        """The unfinished training in the run directory `out`: see ResumedRun."""
        return ResumedRun(out, threads=threads, ranks=ranks)

    def _to_keep(self, first: Run | None, teachers: Sequence[LanguageModel]) -> dict[str, Any]:
        """What config.json says. `first`: the run whose weights this one starts from."""
        optional = {"preset": self.preset, "sample_every": self._sample_every, "tensorboard": self._log and True}
        kept: dict[str, Any] = {
            **{name: value for name, value in optional.items() if value is not None},
            "network": network_settings(self.network.config),
            "tokenizer": {"kind": self.tokenizer.kind},
            "training": {**asdict(self.config), "threads": get_num_threads()},
            "corpus": {
                "files": self.files,
                "separate_documents": self.separate_documents,
                "characters": self.corpus.characters,
                "train_tokens": len(self.corpus.train),
                "validation_tokens": len(self.corpus.validation),
                "sha256": self.corpus.sha256,
            },
        }
        if teachers:
            kept["teachers"] = teaching.records_of(teachers)
        if first is not None:
            kept["init_from"] = shown_path(first.path)
        return kept

    def _checkpoint(self) -> None:
        super()._checkpoint()
        if not self._new.published and not self._new.replaces:
            if not isfinite(self.trainer.loss_now()):
                raise TextgruError("the loss is no longer finite, nothing was saved; try a lower --learning-rate")
            self._new.save_weights(self.network, {})

    def _save(self, event: EvaluationEvent) -> bool:
        if self._new.replaces and not self._new.published:
            if not self._may_replace(event):
                return False
            state = self.trainer.state()[0].values()
            needed = sum(array.nbytes for array in state) + self.network.parameters.values.nbytes
            check_disk(self._new.path, needed, self.out)
        return super()._save(event)

    def _may_replace(self, event: EvaluationEvent) -> bool:
        """Whether these weights are good enough to take the place of another run: not far worse than guessing."""
        loss = event.train_loss if event.val_loss is None else event.val_loss
        return loss <= log(self.tokenizer.vocab_size) + WORSE_THAN_GUESSING
