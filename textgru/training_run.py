"""From text files to a run directory: what `textgru train` and `textgru.train` both do."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from textgru.checkpoint import CONFIG, Run, RunWriter, network_settings
from textgru.core import get_num_threads
from textgru.core.products import choose_precision, set_product_kernels
from textgru.corpus import Corpus
from textgru.errors import InputError
from textgru.network import Network, NetworkConfig
from textgru.tensorboard_log import TensorBoardLog
from textgru.text_files import STANDARD_INPUT, check_files, find_files, read_blocks, spool_standard_input
from textgru.tokenizer import KINDS, Blocks, Tokenizer
from textgru.trainer import EndEvent, EvaluationEvent, Event, StepEvent, Trainer, TrainingConfig

TOKENS = "tokens.bin"
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
    first = str(files[0]) if files else ""
    packed = first.removesuffix(".gz").removesuffix(".zst")
    name = "stdin" if first == STANDARD_INPUT else re.sub(r"[*?\[\]]", "", Path(packed).stem) or "text"
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


def _shape_of(run: Run, wanted: dict[str, Any]) -> dict[str, Any]:
    """The network's settings of a run; of those wanted, only dropout may differ."""
    shape = asdict(run.network)
    del shape["vocab_size"]
    for name, value in wanted.items():
        if name != "dropout" and value != shape[name]:
            raise InputError(f"{name}: {value} doesn't fit the weights of {run.path}, {shape[name]}; leave it out")
    return {**shape, **{name: value for name, value in wanted.items() if name == "dropout"}}


def _tokenizer_of(run: Run, wanted: str | Path | Tokenizer | None, vocab_size: int | None) -> Tokenizer:
    """The tokenizer of a run; raises InputError where another one is wanted."""
    if wanted is not None or vocab_size is not None:
        raise InputError(f"tokenizer: the weights of {run.path} need its own ({run.tokenizer.kind}); leave it out")
    return run.tokenizer


class TrainingRun:
    """A training from its text files to its run directory. Everything is checked, and the text encoded, when it is
    made; `events()` trains. Use as a context manager: a run that never saved weights leaves nothing behind.

    `files`: text files, directories or patterns (textgru.text_files.find_files), or "-" for standard input; `out`: the
    run directory (default: runs/NAME); `tokenizer`: "char" (default), "byte", "bpe" or the path of a tokenizer.json;
    `val_fraction`: the part of the text, from its end, that is held out (default a tenth, at most 200,000 tokens);
    `network`: fields of NetworkConfig without vocab_size; `embedding_size` follows the hidden size where weights are
    tied; `init_from`: a run whose weights, tokenizer and shape this training starts from; `tensorboard`: writes events
    for TensorBoard too, to RUN/tensorboard/. Raises InputError.
    `TrainingRun.resume` goes on with a training.
    """

    def __init__(
        self,
        files: Sequence[str | Path],
        out: str | Path | None = None,
        *,
        config: TrainingConfig | None = None,
        network: dict[str, Any] | None = None,
        tokenizer: str | Path | Tokenizer | None = None,
        vocab_size: int | None = None,
        encoding: str = "utf-8",
        val_fraction: float | None = None,
        init_from: str | Path | None = None,
        overwrite: bool = False,
        tensorboard: bool = False,
    ) -> None:
        started = perf_counter()
        self._log = TensorBoardLog(METRICS_STEPS) if tensorboard else None
        config = config or TrainingConfig()
        config = replace(config, precision=choose_precision(config.precision))
        if val_fraction is not None and not 0 <= val_fraction < 1:
            raise InputError(f"val_fraction: expected a number from 0 to below 1, got {val_fraction}")
        network = {name: value for name, value in (network or {}).items() if value is not None}
        first = Run.read(init_from) if init_from is not None else None
        if first is not None:
            network = _shape_of(first, network)
            tokenizer = _tokenizer_of(first, tokenizer, vocab_size)
        tokenizer = tokenizer or "char"
        if network.get("tie_weights"):
            network.setdefault("embedding_size", network.get("hidden_size", NetworkConfig.hidden_size))
        NetworkConfig(vocab_size=1, **network)  # say what is wrong with it before the text is read
        out = Path(out) if out is not None else default_out(files)
        files = find_files(files)
        check_files(files, encoding)
        with contextlib.ExitStack() as stack:
            self._writer = stack.enter_context(RunWriter(out, overwrite=overwrite))
            paths = self._paths(files)
            if not isinstance(tokenizer, Tokenizer):
                tokenizer = _tokenizer(str(tokenizer), partial(read_blocks, paths, encoding), vocab_size)
            corpus = Corpus.encode(
                tokenizer, paths, self._writer.scratch / TOKENS, encoding=encoding, val_fraction=val_fraction
            )
            self.files = [str(file) for file in files]
            self._assemble(
                config, NetworkConfig(vocab_size=tokenizer.vocab_size, **network), tokenizer, corpus, started
            )
            if first is not None:
                self.network.parameters.values[...] = first.load_network().parameters.values
            elif tokenizer.unk_id is not None:
                self.network.embedding.parameters["weight"][tokenizer.unk_id] = 0  # never seen: says nothing
            settings = self._settings()
            if first is not None:
                settings["init_from"] = str(init_from)
            if tensorboard:
                settings["tensorboard"] = True
            self._writer.write_settings(settings, tokenizer)
            stack.pop_all()

    @classmethod
    def resume(cls, out: str | Path) -> TrainingRun:
        """The unfinished training in the run directory `out`, as it was at its last checkpoint.

        It goes on to the same bits as if it had never stopped, on the same kind of CPU. Raises InputError if there is
        none, or it can't be read.
        """
        started = perf_counter()
        run = Run.read(out)
        self = cls.__new__(cls)
        self._log = TensorBoardLog(METRICS_STEPS, goes_on=True) if run.config.get("tensorboard") is True else None
        with contextlib.ExitStack() as stack:
            self._writer = stack.enter_context(RunWriter.go_on(run.path))
            try:
                training, corpus = dict(run.config["training"]), run.config["corpus"]
                training.pop("threads")
                config, held_out = TrainingConfig(**training), int(corpus["validation_tokens"])
                characters, self.files = int(corpus["characters"]), [str(file) for file in corpus["files"]]
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{run.path / CONFIG}: damaged: {error}") from error
            encoded = Corpus.open(
                run.tokenizer, self._writer.scratch / TOKENS, held_out=held_out, characters=characters
            )
            self._assemble(config, run.network, run.tokenizer, encoded, started)
            arrays, facts = self._writer.read_state()
            try:
                self.trainer.restore(arrays, facts)
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{self._writer.scratch}: damaged: {error}") from error
            stack.pop_all()
        return self

    def _assemble(
        self, config: TrainingConfig, network: NetworkConfig, tokenizer: Tokenizer, corpus: Corpus, started: float
    ) -> None:
        self.config, self.tokenizer, self.corpus, self.out = config, tokenizer, corpus, self._writer.out
        _check_memory(network.training_bytes(config.batch_size, config.seq_length))
        if config.deterministic:
            set_product_kernels("packed")
        rng = np.random.default_rng(config.seed)
        self.network = Network(network, precision=config.precision, seed=rng)
        self.trainer = Trainer(
            self.network, corpus, config, save=self._save, checkpoint=self._checkpoint, rng=rng, started=started
        )

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
                if event.reason != "stopped":
                    self._writer.finish()
            elif isinstance(event, StepEvent) and event.step % METRICS_STEPS == 0:
                self._writer.append_metrics({"event": "step", **asdict(event)})
            if self._log is not None:
                self._log.add(event, self._writer.path if self._writer.published else None)
            yield event

    def stop(self) -> None:
        """Ends the training after the step in progress, with an evaluation."""
        self.trainer.stop()

    def close(self) -> None:
        """Removes everything, if no weights were saved; and lets the run go."""
        self._writer.close()
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> TrainingRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _settings(self) -> dict[str, Any]:
        """What config.json says."""
        return {
            "network": network_settings(self.network.config),
            "tokenizer": {"kind": self.tokenizer.kind},
            "training": {**asdict(self.config), "threads": get_num_threads()},
            "corpus": {
                "files": self.files,
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

    def _checkpoint(self) -> None:
        self._writer.write_state(*self.trainer.state())
        if not self._writer.published:
            self._writer.save_weights(self.network, {})

    def _save(self, event: EvaluationEvent) -> None:
        if self.trainer.off_plan:
            self._writer.set_weights_aside()
        scores = asdict(event)
        del scores["best"]
        self._writer.save_weights(self.network, scores)
