"""From text files to a run directory: what `textgru train` and `textgru.train` both do."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from textgru.checkpoint import CONFIG, Run, RunWriter, network_settings
from textgru.core import get_num_threads
from textgru.core.products import set_product_kernels
from textgru.corpus import Corpus
from textgru.encoded_text import OnProgress, encode_text
from textgru.errors import InputError
from textgru.generate import stream
from textgru.network import Network, NetworkConfig
from textgru.presets import Settings, check, resolve
from textgru.sampling import Sampling
from textgru.tensorboard_log import TensorBoardLog
from textgru.text_files import STANDARD_INPUT, check_files, find_files, spool
from textgru.token_cache import TokenCache
from textgru.tokenizer import Tokenizer
from textgru.trainer import EndEvent, EvaluationEvent, Event, StepEvent, Trainer, TrainingConfig

TOKENS = "tokens.bin"
METRICS_STEPS = 10  # a training step in so many goes to metrics.jsonl
SAMPLE_LENGTH = 300  # tokens
SAMPLING = Sampling(temperature=0.8)


@dataclass(frozen=True)
class Plan:
    """What a training is going to do. `steps` is the most there will be; `memory_bytes` is an estimate."""

    preset: str | None
    network: NetworkConfig
    learning_rate: float
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
    encoded_before: bool = False  # the ids were taken from the cache


@dataclass(frozen=True)
class SampleEvent:
    """After an evaluation: text that the weights as they are now write, from no prompt."""

    step: int
    text: str


RunEvent = Event | SampleEvent


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


def _given(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in (settings or {}).items() if value is not None}


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
    `network` and `training`: fields of NetworkConfig without vocab_size, and of TrainingConfig; what is not given
    follows from `preset` (a name in textgru.presets.PRESETS), the text and the time: textgru.presets.resolve;
    `init_from`: a run whose weights, tokenizer and shape this training starts from; `sample_every`: a sample of
    generated text follows one evaluation in so many; `separate_documents`: a token that ends a document follows every
    file; `cache`: whether the encoded text is kept for other trainings, and taken from what was kept
    (textgru.token_cache); `tensorboard`: writes events for TensorBoard too, to RUN/tensorboard/; `on_progress`: called
    with what is being done, the bytes done, and the bytes in all, until the text is encoded. Raises InputError.
    `TrainingRun.resume` goes on with a training.
    """

    def __init__(
        self,
        files: Sequence[str | Path],
        out: str | Path | None = None,
        *,
        preset: str | None = None,
        network: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        tokenizer: str | Path | Tokenizer | None = None,
        vocab_size: int | None = None,
        encoding: str = "utf-8",
        val_fraction: float | None = None,
        init_from: str | Path | None = None,
        sample_every: int | None = None,
        overwrite: bool = False,
        separate_documents: bool = False,
        cache: bool = True,
        tensorboard: bool = False,
        on_progress: OnProgress | None = None,
    ) -> None:
        started = perf_counter()
        self._log = TensorBoardLog(METRICS_STEPS) if tensorboard else None
        if val_fraction is not None and not 0 <= val_fraction < 1:
            raise InputError(f"val_fraction: expected a number from 0 to below 1, got {val_fraction}")
        if sample_every is not None and (isinstance(sample_every, bool) or not sample_every >= 1):
            raise InputError(f"sample_every: expected an integer from 1 up, got {sample_every!r}")
        self._sample_every = sample_every
        network, training = _given(network), _given(training)
        first = Run.read(init_from) if init_from is not None else None
        if first is not None:
            network = _shape_of(first, network)
            tokenizer = _tokenizer_of(first, tokenizer, vocab_size)
        tokenizer = tokenizer or "char"
        check(network, training, preset)  # say what is wrong before the text is read
        named, files = files, find_files(files)
        check_files(files, encoding)
        out = Path(out) if out is not None else default_out(named)
        with contextlib.ExitStack() as stack:
            self._writer = stack.enter_context(RunWriter(out, overwrite=overwrite))
            paths = spool(files, self._writer.scratch)
            text = encode_text(
                paths, tokenizer if isinstance(tokenizer, Tokenizer) else str(tokenizer), self._writer.scratch / TOKENS,
                vocab_size=vocab_size, encoding=encoding, val_fraction=val_fraction,
                separate_documents=separate_documents, cache=TokenCache.of_user() if cache else None,
                on_progress=on_progress,
            )  # fmt: skip
            tokenizer, corpus, self.encoded_before = text.tokenizer, text.corpus, text.encoded_before
            self.files, self.separate_documents = [str(file) for file in files], separate_documents
            settings = resolve(
                network, training, preset=preset, train_tokens=len(corpus.train), vocab_size=tokenizer.vocab_size
            )
            self._assemble(settings, tokenizer, corpus, started)
            if first is not None:
                self.network.parameters.values[...] = first.load_network().parameters.values
            elif tokenizer.unk_id is not None:
                self.network.embedding.parameters["weight"][tokenizer.unk_id] = 0  # never seen: says nothing
            to_keep = self._settings()
            if first is not None:
                to_keep["init_from"] = str(init_from)
            self._writer.write_settings(to_keep, tokenizer)
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
                training.setdefault("ema_decay", 0.0)  # of a run from before there were averages
                config, held_out = TrainingConfig(**training), int(corpus["validation_tokens"])
                self._sample_every = run.config.get("sample_every")
                characters, self.files = int(corpus["characters"]), [str(file) for file in corpus["files"]]
                self.separate_documents, self.encoded_before = bool(corpus.get("separate_documents")), False
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{run.path / CONFIG}: damaged: {error}") from error
            encoded = Corpus.open(
                run.tokenizer, self._writer.scratch / TOKENS, held_out=held_out, characters=characters
            )
            self._assemble(Settings(run.config.get("preset"), run.network, config), run.tokenizer, encoded, started)
            arrays, facts = self._writer.read_state()
            try:
                self.trainer.restore(arrays, facts)
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{self._writer.scratch}: damaged: {error}") from error
            stack.pop_all()
        return self

    def _assemble(self, settings: Settings, tokenizer: Tokenizer, corpus: Corpus, started: float) -> None:
        network, config = settings.network, settings.training
        self.preset = settings.preset
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
            max_minutes=config.max_minutes,
            precision=config.precision,
            threads=get_num_threads(),
            encoded_before=self.encoded_before,
        )

    def events(self) -> Iterator[RunEvent]:
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
            if isinstance(event, EvaluationEvent) and self._sample_due():
                sample = SampleEvent(event.step, self._sample(event.step))
                self._writer.append_metrics({"event": "sample", **asdict(sample)})
                yield sample

    def _sample_due(self) -> bool:
        every = self._sample_every
        return every is not None and self.trainer.evaluations_made % every == 0

    def _sample(self, step: int) -> str:
        """What the weights that would be saved now write; from a seed of its own, so that training goes on the same."""
        rng = np.random.default_rng([self.config.seed, step])
        with self.trainer.weights_in_use():
            return "".join(stream(self.network, self.tokenizer, "", SAMPLE_LENGTH, SAMPLING, rng))

    @property
    def can_go_on(self) -> bool:
        """Whether there is a checkpoint that `resume` goes on from."""
        return self._writer.has_state

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
        optional = {"preset": self.preset, "sample_every": self._sample_every, "tensorboard": self._log and True}
        return {
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
            },
        }

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
