"""Training from a program: train, resume, learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from textgru.language_model import LanguageModel, load
from textgru.model.config import NetworkConfig
from textgru.text.prepare import OnProgress
from textgru.text.tokenizer import Tokenizer
from textgru.training.config import TrainingConfig
from textgru.training.events import RunEvent
from textgru.training.learning import LearnSettings
from textgru.training.learning_run import learn_run
from textgru.training.resumed import ResumedRun
from textgru.training.run import TrainingRun
from textgru.training.run_settings import RunSettings
from textgru.training.running import RunningTraining


def train(
    files: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    init_from: str | Path | None = None,
    teachers: Sequence[str | Path] | None = None,
    tokenizer: str | Path | Tokenizer | None = None,
    vocab_size: int | None = None,
    encoding: str = "utf-8",
    val_fraction: float | None = None,
    separate_documents: bool = False,
    allow_unknown: bool = False,
    cache: bool = True,
    preset: str | None = None,
    sample_every: int | None = None,
    tensorboard: bool = False,
    embedding_size: int | None = None,
    hidden_size: int | None = None,
    num_layers: int | None = None,
    dropout: float | None = None,
    input_dropout: float | None = None,
    variational_dropout: bool | None = None,
    weight_dropout: float | None = None,
    tie_weights: bool | None = None,
    cell: Literal["gru", "lstm", "rnn"] | None = None,
    max_minutes: float | None = None,
    epochs: float | None = None,
    max_steps: int | None = None,
    patience: int | None = None,
    optimizer: Literal["muon", "adamw"] | None = None,
    learning_rate: float | None = None,
    min_lr: float | None = None,
    schedule: Literal["cosine", "constant", "plateau"] | None = None,
    warmup: int | None = None,
    batch_size: int | None = None,
    seq_length: int | None = None,
    weight_decay: float | None = None,
    grad_clip: float | None = None,
    state_reset: float | None = None,
    teacher_weight: float | None = None,
    ema_decay: float | None = None,
    eval_every: int | None = None,
    checkpoint_every: int | None = None,
    checkpoint_minutes: float | None = None,
    precision: Literal["auto", "fp32", "bf16"] | None = None,
    deterministic: bool | None = None,
    reduce_precision: Literal["fp32", "bf16"] | None = None,
    sync_every: int | None = None,
    seed: int | None = None,
    on_progress: OnProgress | None = None,
    on_event: Callable[[RunEvent], None] | None = None,
) -> LanguageModel:
    """Trains a model on text files and returns it as it was at its best; the run stays in the directory `out`.

        model = textgru.train("tales.txt", "runs/tales", max_minutes=2)

    The arguments are those of `textgru train`, and fields of RunSettings, NetworkConfig and TrainingConfig, which say
    more; what is None follows from the others, the text and the time. `on_progress` is called while the text is encoded
    (what is being done, bytes done, bytes in all), `on_event` with every event (textgru.training.events).

    Raises InputError (a ValueError) for input that can't be used, TextgruError for a failure at run time.
    """
    given = locals()  # all arguments by name: this has to stay the first line
    with TrainingRun(
        [files] if isinstance(files, (str, Path)) else files,
        network=_fields(NetworkConfig, given, but="vocab_size"),  # that is the tokenizer's
        training=_fields(TrainingConfig, given),
        on_progress=on_progress,
        **_fields(RunSettings, given),
    ) as run:
        return _trained(run, on_event)


def resume(run: str | Path, *, on_event: Callable[[RunEvent], None] | None = None) -> LanguageModel:
    """Goes on with the unfinished training in a run directory, to its end, and returns the model as it was at its best.

    Raises InputError (a ValueError) if there is none. `on_event`: as in train.
    """
    with ResumedRun(run) as training:
        return _trained(training, on_event)


def learn(
    run: str | Path,
    files: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    keep: str | Path | Sequence[str | Path] = (),
    epochs: float = LearnSettings.epochs,
    learning_rate: float = LearnSettings.learning_rate,
    forget: float = LearnSettings.forget,
    rehearsal: int = LearnSettings.rehearsal,
    batch_size: int = LearnSettings.batch_size,
    seq_length: int = LearnSettings.seq_length,
    seed: int = LearnSettings.seed,
    encoding: str = "utf-8",
    allow_unknown: bool = False,
    overwrite: bool = False,
) -> LanguageModel:
    """Teaches the model of a run another text without forgetting what it knew, saves it as the run `out`, and returns
    it. The arguments are those of `textgru learn`; textgru.training.learning.LearnSettings says more.

    Raises InputError (a ValueError) for input that can't be used, TextgruError where nothing could be learned.
    """
    settings = LearnSettings(epochs, learning_rate, forget, rehearsal, batch_size, seq_length, seed)
    several, kept = ([names] if isinstance(names, (str, Path)) else names for names in (files, keep))
    model, _ = learn_run(
        run, several, out, settings, keep=kept, encoding=encoding, allow_unknown=allow_unknown, overwrite=overwrite
    )
    return model


def _fields(kind: Any, given: Mapping[str, Any], but: str = "") -> dict[str, Any]:
    """Those of the given arguments that are fields of a dataclass."""
    return {field.name: given[field.name] for field in fields(kind) if field.name != but}


def _trained(run: RunningTraining, on_event: Callable[[RunEvent], None] | None) -> LanguageModel:
    for event in run.events():
        if on_event is not None:
            on_event(event)
    return load(run.out)
