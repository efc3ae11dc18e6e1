"""Training from a program: train, resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from textgru.language_model import LanguageModel, load
from textgru.text.prepare import OnProgress
from textgru.training.events import RunEvent
from textgru.training.resumed import ResumedRun
from textgru.training.run import TrainingRun
from textgru.training.running import RunningTraining


def train(
    files: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    tokenizer: str | Path | None = None,
    vocab_size: int | None = None,
    encoding: str = "utf-8",
    preset: str | None = None,
    embedding_size: int | None = None,
    hidden_size: int | None = None,
    num_layers: int | None = None,
    dropout: float | None = None,
    input_dropout: float | None = None,
    variational_dropout: bool | None = None,
    tie_weights: bool | None = None,
    val_fraction: float | None = None,
    init_from: str | Path | None = None,
    sample_every: int | None = None,
    overwrite: bool = False,
    separate_documents: bool = False,
    cache: bool = True,
    tensorboard: bool = False,
    allow_unknown: bool = False,
    on_progress: OnProgress | None = None,
    on_event: Callable[[RunEvent], None] | None = None,
    **training: Any,
) -> LanguageModel:
    """Trains a model on text files and returns it as it was at its best; the run stays in the directory `out`.

        model = textgru.train("tales.txt", "runs/tales", max_minutes=2)

    The arguments are those of `textgru train`; `training` are the fields of textgru.training.config.TrainingConfig
    (batch_size, learning_rate, max_minutes, ...). `tensorboard` writes events for TensorBoard, which has to be
    installed, to RUN/tensorboard/. `on_progress` is called while the text is encoded (what is being done, bytes done,
    bytes in all), `on_event` with every event (textgru.training.events).

    Raises InputError (a ValueError) for input that can't be used, TextgruError for a failure at run time.
    """
    network = {
        "embedding_size": embedding_size,
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "dropout": dropout,
        "input_dropout": input_dropout,
        "variational_dropout": variational_dropout,
        "tie_weights": tie_weights,
    }
    with TrainingRun(
        [files] if isinstance(files, (str, Path)) else files,
        out,
        preset=preset,
        network=network,
        training=training,
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        encoding=encoding,
        val_fraction=val_fraction,
        init_from=init_from,
        sample_every=sample_every,
        overwrite=overwrite,
        separate_documents=separate_documents,
        cache=cache,
        tensorboard=tensorboard,
        allow_unknown=allow_unknown,
        on_progress=on_progress,
    ) as run:
        return _trained(run, on_event)


def resume(run: str | Path, *, on_event: Callable[[RunEvent], None] | None = None) -> LanguageModel:
    """Goes on with the unfinished training in a run directory, to its end, and returns the model as it was at its best.

    Raises InputError (a ValueError) if there is none. `on_event`: as in train.
    """
    with ResumedRun(run) as training:
        return _trained(training, on_event)


def _trained(run: RunningTraining, on_event: Callable[[RunEvent], None] | None) -> LanguageModel:
    for event in run.events():
        if on_event is not None:
            on_event(event)
    return load(run.out)
