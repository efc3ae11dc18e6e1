"""From text files to a run directory: what `textgru train` and `textgru.train` both do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from textgru.checkpoint import RunWriter, network_settings
from textgru.core import get_num_threads
from textgru.core.products import choose_precision
from textgru.corpus import STANDARD_INPUT, Corpus, check_files, read_blocks, spool_standard_input
from textgru.errors import InputError
from textgru.network import Network, NetworkConfig
from textgru.tokenizer import KINDS, Blocks, Tokenizer
from textgru.trainer import EndEvent, EvaluationEvent, Event, StepEvent, Trainer, TrainingConfig

METRICS_STEPS = 10  # a training step in so many goes to metrics.jsonl


@dataclass(frozen=True)
class Plan:
    """What a training is going to do. `steps` is the most there will be; `memory_bytes` is an estimate."""

    tokenizer: str
    vocab_size: int
    characters: int
    train_tokens: int
    validation_tokens: int
    parameters: int
    memory_bytes: int
    steps_per_epoch: int
    steps: int
    max_minutes: float | None
    precision: str
    threads: int


def default_out(files: Sequence[str | Path]) -> Path:
    """runs/NAME after the first file, or runs/NAME-2 and so on: the first that does not exist."""
    name = "stdin" if str(files[0]) == STANDARD_INPUT else Path(files[0]).stem or "text"
    out, number = Path("runs", name), 1
    while out.exists():
        number += 1
        out = Path("runs", f"{name}-{number}")
    return out


def _check_memory(needed: int) -> None:
    """Raises InputError if training needs more bytes than this machine has, where that can be told."""
    try:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return
    if needed > available:
        raise InputError(
            f"this training needs about {needed / 1e9:,.0f} GB of memory, the machine has {available / 1e9:,.0f} GB; "
            "try a smaller --hidden-size, --batch-size or --seq-length"
        )


def _tokenizer(kind: str, blocks: Blocks, vocab_size: int | None) -> Tokenizer:
    """A new tokenizer of this kind, or the one in the file of this name."""
    if kind in KINDS or not (kind.endswith(".json") or Path(kind).exists()):
        return Tokenizer.train(kind, blocks, vocab_size=vocab_size)
    if vocab_size is not None:
        raise InputError("vocab_size: only a new bpe tokenizer has one to set")
    return Tokenizer.load(kind)


class TrainingRun:
    """A training from its text files to its run directory. Everything is checked, and the text encoded, when it is
    made; `events()` trains. Use as a context manager: a run that never saved weights leaves nothing behind.

    `files`: paths of text files, or "-" for standard input; `out`: the run directory (default: runs/NAME);
    `tokenizer`: "char", "byte", "bpe" or the path of a tokenizer.json; `val_fraction`: the part of the text, from its
    end, that is held out (default a tenth, at most 200,000 tokens); `network`: fields of NetworkConfig without
    vocab_size; `embedding_size` follows the hidden size where weights are tied. Raises InputError.
    """

    def __init__(
        self,
        files: Sequence[str | Path],
        out: str | Path | None = None,
        *,
        config: TrainingConfig | None = None,
        network: dict[str, Any] | None = None,
        tokenizer: str | Path = "char",
        vocab_size: int | None = None,
        encoding: str = "utf-8",
        val_fraction: float | None = None,
        overwrite: bool = False,
    ) -> None:
        started = perf_counter()
        self.config = config or TrainingConfig()
        self.config = replace(self.config, precision=choose_precision(self.config.precision))
        if val_fraction is not None and not 0 <= val_fraction < 1:
            raise InputError(f"val_fraction: expected a number from 0 to below 1, got {val_fraction}")
        network = {name: value for name, value in (network or {}).items() if value is not None}
        if network.get("tie_weights"):
            network.setdefault("embedding_size", network.get("hidden_size", NetworkConfig.hidden_size))
        NetworkConfig(vocab_size=1, **network)  # say what is wrong with it before the text is read
        check_files(files, encoding)
        self.out = Path(out) if out is not None else default_out(files)
        with contextlib.ExitStack() as stack:
            self._writer = stack.enter_context(RunWriter(self.out, overwrite=overwrite))
            paths = self._paths(files)
            self.tokenizer = _tokenizer(str(tokenizer), partial(read_blocks, paths, encoding), vocab_size)
            self.corpus = Corpus.encode(
                self.tokenizer, paths, self._writer.scratch / "tokens.bin", encoding=encoding, val_fraction=val_fraction
            )
            rng = np.random.default_rng(self.config.seed)
            network_config = NetworkConfig(vocab_size=self.tokenizer.vocab_size, **network)
            _check_memory(network_config.training_bytes(self.config.batch_size, self.config.seq_length))
            self.network = Network(network_config, precision=self.config.precision, seed=rng)
            if self.tokenizer.unk_id is not None:
                self.network.embedding.parameters["weight"][self.tokenizer.unk_id] = 0  # never seen: says nothing
            self.trainer = Trainer(self.network, self.corpus, self.config, save=self._save, rng=rng, started=started)
            self._writer.write_settings(self._settings(files), self.tokenizer)
            stack.pop_all()

    def plan(self) -> Plan:
        """What this training is going to do."""
        network, config = self.network.config, self.config
        return Plan(
            tokenizer=self.tokenizer.kind,
            vocab_size=self.tokenizer.vocab_size,
            characters=self.corpus.characters,
            train_tokens=len(self.corpus.train),
            validation_tokens=len(self.corpus.validation),
            parameters=network.parameter_count(),
            memory_bytes=network.training_bytes(config.batch_size, config.seq_length),
            steps_per_epoch=self.trainer.batches.steps_per_epoch,
            steps=self.trainer.max_steps,
            max_minutes=config.max_minutes,
            precision=config.precision,
            threads=get_num_threads(),
        )

    def events(self) -> Iterator[Event]:
        """Trains, saves the best weights, writes metrics.jsonl, and passes the trainer's events on."""
        for event in self.trainer.events():
            if isinstance(event, EvaluationEvent):
                self._writer.append_metrics({"event": "evaluation", **asdict(event)})
            elif isinstance(event, EndEvent):
                ended = {"event": "end", **asdict(event)}
                ended["best"] = event.best.step
                self._writer.append_metrics(ended)
            elif isinstance(event, StepEvent) and event.step % METRICS_STEPS == 0:
                self._writer.append_metrics({"event": "step", **asdict(event)})
            yield event

    def stop(self) -> None:
        """Ends the training after the step in progress, with an evaluation."""
        self.trainer.stop()

    def close(self) -> None:
        """Removes what was needed only while training; everything, if no weights were saved."""
        self._writer.close()

    def __enter__(self) -> TrainingRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _settings(self, files: Sequence[str | Path]) -> dict[str, Any]:
        """What config.json says."""
        return {
            "network": network_settings(self.network.config),
            "tokenizer": {"kind": self.tokenizer.kind},
            "training": {**asdict(self.config), "threads": get_num_threads()},
            "corpus": {
                "files": [str(file) for file in files],
                "characters": self.corpus.characters,
                "train_tokens": len(self.corpus.train),
                "validation_tokens": len(self.corpus.validation),
            },
        }

    def _paths(self, files: Sequence[str | Path]) -> list[Path]:
        paths = []
        for file in files:
            path = Path(file)
            if str(file) == STANDARD_INPUT:
                path = self._writer.scratch / "standard-input"
                if not path.exists():
                    spool_standard_input(path)
            paths.append(path)
        return paths

    def _save(self, event: EvaluationEvent) -> None:
        scores = asdict(event)
        del scores["best"]
        self._writer.save_weights(self.network, scores)
