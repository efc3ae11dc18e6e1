"""From text files to a run directory: what `textgru train` and `textgru.train` both do."""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, log
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np

from textgru.core import get_num_threads, memory_bytes, set_num_threads
from textgru.errors import InputError, StorageError, TextgruError, percent, shown
from textgru.generation.generate import stream
from textgru.generation.sampling import Sampling
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.paths import given_path, shown_path
from textgru.runs.layout import CONFIG, STATE, TOKENS, is_abandoned
from textgru.runs.run import Run, network_settings
from textgru.runs.writer import NewRun, RunWriter, UnfinishedRun
from textgru.text.cache import TokenCache
from textgru.text.corpus import Corpus
from textgru.text.files import STANDARD_INPUT, check_files, find_files, spool
from textgru.text.prepare import OnProgress, encode_text
from textgru.text.tokenizer import KINDS, Tokenizer
from textgru.training.config import MOST_STEPS, TrainingConfig
from textgru.training.defaults import Settings, check, resolve
from textgru.training.events import EndEvent, EvaluationEvent, Event, StepEvent
from textgru.training.tensorboard_log import TensorBoardLog
from textgru.training.trainer import Trainer
from textgru.typed import MismatchError, Range, check_fields, read_fields

MOST_UNKNOWN = 0.1  # of a text's tokens may be unknown, unless more are allowed
WORSE_THAN_GUESSING = 1.0  # nats: a run is replaced by none that is further from guessing every token alike
SLACK = 1 << 16  # bytes of the smaller files
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
    unknown: float = 0.0  # the part of the tokens, 0 to 1, that a tokenizer of another text doesn't know


@dataclass(frozen=True)
class _Threads:
    """How many threads a run was trained on, in its settings."""

    threads: Annotated[int | None, Range(1, 1024)] = None


@dataclass(frozen=True)
class _Wanted:
    """Arguments of a training that no other settings have."""

    val_fraction: Annotated[float | None, Range(0, 1, below=True)]
    sample_every: Annotated[int | None, Range(1, MOST_STEPS)]
    separate_documents: bool
    overwrite: bool
    cache: bool
    tensorboard: bool
    allow_unknown: bool

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class SampleEvent:
    """After an evaluation: text that the weights as they are now write, from no prompt."""

    step: int
    text: str


RunEvent = Event | SampleEvent


def default_out(files: Sequence[str | Path]) -> Path:
    """runs/NAME after the first file, or runs/NAME-2 and so on: the first that is free."""
    return next(_free_outs(files))


def _free_outs(files: Sequence[str | Path]) -> Iterator[Path]:
    first = str(files[0]) if files else ""
    packed = first.removesuffix(".gz").removesuffix(".zst")
    name = "stdin" if first == STANDARD_INPUT else re.sub(r"[*?\[\]]", "", Path(packed).stem) or "text"
    for number in itertools.count(1):
        out = Path("runs", name if number == 1 else f"{name}-{number}")
        if not out.exists() or is_abandoned(out):
            yield out


def _new_run(out: str | Path | None, files: Sequence[str | Path], overwrite: bool) -> NewRun:
    """In `out`; or where none was given, in the first default place that no other training has."""
    if out is not None:
        return NewRun(given_path("out", out), overwrite=overwrite)
    for place in _free_outs(files):
        try:
            return NewRun(place)
        except InputError:
            if not place.exists():
                raise
    raise AssertionError  # there is no end to the numbers


def _check_memory(network: NetworkConfig, training: TrainingConfig) -> None:
    """Raises InputError if training needs more bytes than this machine has, where that can be told."""
    needed, available = network.training_bytes(training.batch_size, training.seq_length), memory_bytes()
    if available is not None and needed > available:
        raise InputError(
            f"this training needs about {needed / 1e9:,.0f} GB of memory, the machine has {available / 1e9:,.0f} GB; "
            "try a smaller --hidden-size, --num-layers, --batch-size or --seq-length"
        )


def _given(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in (settings or {}).items() if value is not None}


NOT_OF_THE_WEIGHTS = ("dropout", "input_dropout", "variational_dropout")  # settings of a network


def _shape_of(run: Run, wanted: dict[str, Any], preset: str | None) -> dict[str, Any]:
    """The network's settings of a run; of those wanted, only how it is trained may differ."""
    if preset is not None:
        raise InputError(f"preset: the network has the shape of {run.path}, whose weights it takes; leave it out")
    shape = asdict(run.network)
    del shape["vocab_size"]
    for name, value in wanted.items():
        if name not in NOT_OF_THE_WEIGHTS and value != shape[name]:
            raise InputError(f"{name}: {value} doesn't fit the weights of {run.path}, {shape[name]}; leave it out")
    return {**shape, **wanted}


def _tokenizer_of(run: Run, wanted: str | Path | Tokenizer | None, vocab_size: int | None) -> Tokenizer:
    """The tokenizer of a run; raises InputError where another one is wanted."""
    if wanted is not None or vocab_size is not None:
        raise InputError(f"tokenizer: the weights of {run.path} need its own ({run.tokenizer.kind}); leave it out")
    return run.tokenizer


class TrainingRun:
    """A training from its text files to its run directory. Everything is checked, and the text encoded, when it is
    made; `events()` trains. Use as a context manager: a run that never saved weights leaves nothing behind.

    `files`: text files, directories or patterns (textgru.text.files.find_files), or "-" for standard input; `out`: the
    run directory (default: runs/NAME); `tokenizer`: "char" (default), "byte", "bpe" or the path of a tokenizer.json;
    `val_fraction`: the part of the text, from its end, that is held out (default a tenth, at most 200,000 tokens);
    `network` and `training`: fields of NetworkConfig without vocab_size, and of TrainingConfig; what is not given
    follows from `preset` (a name in PRESETS), the text and the time: textgru.training.defaults.resolve;
    `init_from`: a run whose weights, tokenizer and shape this training starts from; `sample_every`: a sample of
    generated text follows one evaluation in so many; `separate_documents`: a token that ends a document follows every
    file; `cache`: whether the encoded text is kept for other trainings, and taken from what was kept
    (textgru.text.cache); `tensorboard`: writes events for TensorBoard too, to RUN/tensorboard/; `allow_unknown`:
    goes on where more than a tenth of the text is unknown to a tokenizer of another; `on_progress`: called
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
        allow_unknown: bool = False,
        on_progress: OnProgress | None = None,
    ) -> None:
        started = perf_counter()
        self._threads_before = get_num_threads()
        wanted = _Wanted(val_fraction, sample_every, separate_documents, overwrite, cache, tensorboard, allow_unknown)
        self._log = TensorBoardLog(METRICS_STEPS) if tensorboard else None
        self._sample_every, val_fraction = wanted.sample_every, wanted.val_fraction
        network, training = _given(network), _given(training)
        first = Run.read(init_from) if init_from is not None else None
        if first is not None:
            network = _shape_of(first, network, preset)
            tokenizer = _tokenizer_of(first, tokenizer, vocab_size)
        if tokenizer is None:
            tokenizer = "char"
        elif not isinstance(tokenizer, Tokenizer):
            tokenizer = str(given_path("tokenizer", tokenizer))
        check(network, training, preset)  # say what is wrong before the text is read
        found = find_files(files)
        check_files(found, encoding)
        with contextlib.ExitStack() as stack:
            writer = stack.enter_context(_new_run(out, files, overwrite))
            self._writer: RunWriter = writer
            files = found
            paths = spool(files, writer.scratch)
            text = encode_text(
                paths, tokenizer if isinstance(tokenizer, Tokenizer) else str(tokenizer), self._writer.scratch / TOKENS,
                vocab_size=vocab_size, encoding=encoding, val_fraction=val_fraction,
                separate_documents=separate_documents, cache=TokenCache.of_user() if cache else None,
                on_progress=on_progress,
            )  # fmt: skip
            of_this_text = isinstance(tokenizer, str) and tokenizer in KINDS
            tokenizer, corpus, self.encoded_before = text.tokenizer, text.corpus, text.encoded_before
            self.unknown = 0.0 if of_this_text else corpus.share(tokenizer.unk_id)
            if self.unknown > MOST_UNKNOWN and not allow_unknown:
                raise InputError(
                    f"{', '.join(map(shown, files))}: {percent(self.unknown)} of its tokens are unknown to the "
                    "tokenizer; train with a tokenizer of its own, or say --allow-unknown"
                )
            self.files, self.separate_documents = [shown_path(file) for file in files], separate_documents
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
                to_keep["init_from"] = shown_path(first.path)
            writer.write_settings(to_keep, tokenizer)
            stack.pop_all()

    @classmethod
    def resume(cls, out: str | Path, *, threads: int | None = None) -> TrainingRun:
        """The unfinished training in the run directory `out`, as it was at its last checkpoint.

        It goes on to the same bits as if it had never stopped, on the same kind of CPU, and on as many threads as
        before, or on `threads`. Nothing is changed until `events` begins. Raises InputError if there is none, or it
        can't be read.
        """
        started = perf_counter()
        run = Run.read(out)
        self = cls.__new__(cls)
        self._threads_before = get_num_threads()
        self._log = TensorBoardLog(METRICS_STEPS, goes_on=True) if run.record.tensorboard else None
        with contextlib.ExitStack() as stack:
            writer = stack.enter_context(UnfinishedRun(run.path))
            self._writer, run = writer, Run.read(out)
            corpus, settings = run.record.corpus, dict(run.record.training or {})
            if corpus is None or run.record.training is None:
                raise InputError(f"{run.path / CONFIG}: damaged: it doesn't say what was being trained")
            settings.setdefault("ema_decay", 0.0)  # of a run from before there were averages
            try:
                threads = threads or read_fields(_Threads, settings, "training").threads
                settings.pop("threads", None)
                config = read_fields(TrainingConfig, settings, "training", unknown=False)
                if config.precision == "auto":
                    raise MismatchError("training.precision: expected fp32 or bf16, as it was trained")
            except MismatchError as error:
                raise InputError(f"{run.path / CONFIG}: damaged: {error}") from error
            set_num_threads(threads or self._threads_before)
            stack.callback(set_num_threads, self._threads_before)
            self._sample_every = run.record.sample_every
            self.files, self.separate_documents = corpus.files, corpus.separate_documents
            self.encoded_before, self.unknown = False, 0.0
            encoded = Corpus.open(
                run.tokenizer, writer.scratch / TOKENS, held_out=corpus.validation_tokens, characters=corpus.characters,
                tokens=corpus.train_tokens + corpus.validation_tokens, sha256=corpus.sha256,
            )  # fmt: skip
            self._assemble(Settings(run.record.preset, run.network, config), run.tokenizer, encoded, started)
            arrays, facts = writer.read_state()
            try:
                self.trainer.restore(arrays, facts)
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{writer.scratch / STATE}: damaged: {error}") from error
            stack.pop_all()
        return self

    def _assemble(self, settings: Settings, tokenizer: Tokenizer, corpus: Corpus, started: float) -> None:
        network, config = settings.network, settings.training
        self.preset = settings.preset
        self.config, self.tokenizer, self.corpus, self.out = config, tokenizer, corpus, self._writer.out
        _check_memory(network, config)
        rng = np.random.default_rng(config.seed)
        self.network = Network(network, precision=config.precision, seed=rng)
        if config.deterministic:
            self.network.use_product_kernels("packed")
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
            unknown=self.unknown,
        )

    def events(self) -> Iterator[RunEvent]:
        """Trains, saves the best weights, writes metrics.jsonl, and passes the trainer's events on."""
        if isinstance(self._writer, UnfinishedRun):
            self._writer.begin()
        for event in self.trainer.events():
            if isinstance(event, EvaluationEvent):
                self._writer.append_metrics({"event": "evaluation", **asdict(event)})
            elif isinstance(event, EndEvent):
                ended = {"event": "end", **asdict(event)}
                ended["best"] = event.best.step
                self._writer.append_metrics(ended)
                if event.reason != "stopped":
                    self._writer.finish()
                if not self._writer.published:
                    raise TextgruError(
                        f"{self.out}: the run in it stays: no evaluation of this training came near to guessing every "
                        "token alike; try a lower --learning-rate"
                    )
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
            return "".join(stream(self.network.pack(), self.tokenizer, "", SAMPLE_LENGTH, SAMPLING, rng))

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
                "sha256": self.corpus.sha256,
            },
        }

    def _checkpoint(self) -> None:
        self._writer.write_state(*self.trainer.state())
        if isinstance(self._writer, NewRun) and not self._writer.published and not self._writer.replaces:
            if not isfinite(self.trainer.loss_now()):
                raise TextgruError("the loss is no longer finite, nothing was saved; try a lower --learning-rate")
            self._writer.save_weights(self.network, {})

    def _save(self, event: EvaluationEvent) -> bool:
        """Saves the weights; whether they were good enough for it."""
        if isinstance(self._writer, NewRun) and self._writer.replaces and not self._writer.published:
            if not self._may_replace(event):
                return False
            self._check_room()
        if self.trainer.off_plan:
            self._writer.set_weights_aside()
        scores = asdict(event)
        del scores["best"], scores["seconds"]  # the same training gives the same file
        self._writer.save_weights(self.network, scores)
        return True

    def _may_replace(self, event: EvaluationEvent) -> bool:
        """Whether these weights are good enough to take the place of another run: not far worse than guessing."""
        loss = event.train_loss if event.val_loss is None else event.val_loss
        return loss <= log(self.tokenizer.vocab_size) + WORSE_THAN_GUESSING

    def _check_room(self) -> None:
        """Raises StorageError unless weights and a checkpoint fit on the disk beside the run that they replace."""
        needed = sum(array.nbytes for array in self.trainer.state()[0].values()) + self.network.parameters.values.nbytes
        try:
            free = shutil.disk_usage(self._writer.path).free
        except OSError:
            return
        if free < needed + SLACK:
            raise StorageError(
                f"{self.out}: the run in it stays: no room for another, which takes {needed / 1e6:,.1f} MB more; "
                f"{free / 1e6:,.1f} MB are free"
            )
