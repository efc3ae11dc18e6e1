"""From text files to a run directory: what `textgru train` and `textgru.train` both do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from textgru.checkpoint import RunWriter, network_settings
from textgru.core import get_num_threads
from textgru.corpus import Corpus, check_files, read_blocks, spool_standard_input
from textgru.errors import InputError
from textgru.network import Network, NetworkConfig
from textgru.tokenizer import KINDS, Tokenizer
from textgru.trainer import EndEvent, EvaluationEvent, Event, StepEvent, Trainer, TrainingConfig

METRICS_STEPS = 10  # a training step in so many goes to metrics.jsonl
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Plan:
    """What a training is going to do. `steps` is None where only the clock ends it; `memory_bytes` is an estimate."""

    tokenizer: str
    vocab_size: int
    characters: int
    train_tokens: int
    validation_tokens: int
    parameters: int
    memory_bytes: int
    steps_per_epoch: int
    steps: int | None
    max_minutes: float | None
    threads: int


def default_out(files: Sequence[str | Path]) -> Path:
    """runs/NAME after the first file, or runs/NAME-2 and so on: the first that does not exist."""
    name = "stdin" if str(files[0]) == STANDARD_INPUT else Path(files[0]).stem or "text"
    out, number = Path("runs", name), 1
    while out.exists():
        number += 1
        out = Path("runs", f"{name}-{number}")
    return out


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
        if val_fraction is not None and not 0 <= val_fraction < 1:
            raise InputError(f"val_fraction: expected a number from 0 to below 1, got {val_fraction}")
        network = dict(network or {})
        if network.get("tie_weights") and network.get("embedding_size") is None:
            network["embedding_size"] = network.get("hidden_size", NetworkConfig.hidden_size)
        network = {name: value for name, value in network.items() if value is not None}
        NetworkConfig(vocab_size=1, **network)  # say what is wrong with it before the text is read
        named = [file for file in files if str(file) != STANDARD_INPUT]
        if files and not named:
            check_files(["/dev/null"], encoding)
        else:
            check_files(named, encoding)
        self.out = Path(out) if out is not None else default_out(files)
        with contextlib.ExitStack() as stack:
            self._writer = stack.enter_context(RunWriter(self.out, overwrite=overwrite))
            paths = self._paths(files)
            blocks = lambda: read_blocks(paths, encoding)  # noqa: E731
            if str(tokenizer) in KINDS:
                self.tokenizer = Tokenizer.train(str(tokenizer), blocks, vocab_size=vocab_size)
            elif vocab_size is not None:
                raise InputError("vocab_size: only the bpe tokenizer has one to set")
            elif Path(tokenizer).suffix == ".json" or Path(tokenizer).exists():
                self.tokenizer = Tokenizer.load(tokenizer)
            else:
                Tokenizer.train(str(tokenizer), blocks)  # raises
            self.corpus = Corpus.encode(
                self.tokenizer, paths, self._writer.scratch / "tokens.bin", encoding=encoding, val_fraction=val_fraction
            )
            rng = np.random.default_rng(self.config.seed)
            network_config = NetworkConfig(vocab_size=self.tokenizer.vocab_size, **network)
            # Checked on a plan first: too little text is found before the network is made.
            self.network = Network(network_config, seed=rng)
            if self.tokenizer.unk_id is not None:
                self.network.embedding.parameters["weight"][self.tokenizer.unk_id] = 0  # never seen: says nothing
            self.trainer = Trainer(self.network, self.corpus, self.config, save=self._save, rng=rng, started=started)
            self.plan = Plan(
                tokenizer=self.tokenizer.kind,
                vocab_size=self.tokenizer.vocab_size,
                characters=self.corpus.characters,
                train_tokens=len(self.corpus.train),
                validation_tokens=len(self.corpus.validation),
                parameters=network_config.parameter_count(),
                memory_bytes=network_config.training_bytes(self.config.batch_size, self.config.seq_length),
                steps_per_epoch=self.trainer.batches.steps_per_epoch,
                steps=self.trainer.max_steps,
                max_minutes=self.config.max_minutes,
                threads=get_num_threads(),
            )
            settings = {
                "network": network_settings(network_config),
                "tokenizer": {"kind": self.tokenizer.kind},
                "training": {**asdict(self.config), "threads": get_num_threads()},
                "corpus": {
                    "files": [str(file) for file in files],
                    "characters": self.corpus.characters,
                    "train_tokens": len(self.corpus.train),
                    "validation_tokens": len(self.corpus.validation),
                },
            }
            self._writer.write_settings(settings, self.tokenizer)
            stack.pop_all()

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
