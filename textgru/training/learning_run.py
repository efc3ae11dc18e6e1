"""A run that learns more: `textgru learn` and `textgru.learn`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textgru.errors import InputError, TextgruError, percent, shown
from textgru.generation.starts import first_tokens
from textgru.language_model import LanguageModel, load
from textgru.model.ensemble import session_of
from textgru.paths import given_path, shown_path
from textgru.runs.run import network_settings
from textgru.runs.writer import NewRun
from textgru.text.corpus import Corpus
from textgru.text.files import check_files, find_files, spool
from textgru.training.earlier_weights import MOST_UNKNOWN
from textgru.training.learning import Learned, LearnSettings, learn
from textgru.training.random_streams import stream

ROWS = 64  # texts that are written side by side to be rehearsed


def learn_run(
    run: str | Path,
    files: Sequence[str | Path],
    out: str | Path,
    settings: LearnSettings,
    *,
    keep: Sequence[str | Path] = (),
    encoding: str = "utf-8",
    allow_unknown: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[LanguageModel, Learned]:
    """The model of a run after it has learned the text in the files, saved as the run `out`; and how that went.
    `keep`: files with what it must not forget, in place of what it writes itself. Raises InputError, and TextgruError
    where nothing could be learned without forgetting too much; then nothing is saved."""
    target = given_path("out", out)
    if not isinstance(overwrite, bool):
        raise InputError(f"overwrite: expected true or false, got {overwrite!r}")
    model = load(run)
    tokens = _encoded(model, files, encoding, allow_unknown)
    known = (
        _encoded(model, keep, encoding, allow_unknown) if keep else written(model, settings.rehearsal, settings.seed)
    )
    with NewRun(target, overwrite=overwrite) as writer:  # what is wrong with it is said first
        found = learn(model.network, tokens, known, settings, on_progress=on_progress)
        if not found.steps:
            raise TextgruError(
                f"nothing was learned: the first steps already forget more than {settings.forget:g} nats a token; give "
                "a larger --forget or a lower --learning-rate"
            )
        assert model.run is not None
        config = {name: value for name, value in model.run.config.items() if name not in ("format_version", "weights")}
        config["network"] = network_settings(model.network.config)
        earlier = model.run.record.learned or []
        config["learned"] = [*earlier, *(shown_path(file) for file in find_files(files))]
        writer.write_settings(config, model.tokenizer)
        model.network.parameters.values[...] = found.network.parameters.values
        writer.save_weights(model.network, {})
    return load(target), found


def written(model: LanguageModel, count: int, seed: int) -> np.ndarray:
    """At least `count` tokens (n,) intp that the model writes, in texts side by side, as likely as it finds them."""
    steps = -(-count // ROWS)
    first = first_tokens(model.tokenizer, "", from_eos=model.reads_documents)
    session = session_of(model.packed(), ROWS)
    session.read(np.repeat(first[:-1, None], ROWS, axis=1))
    never = -1 if model.tokenizer.unk_id is None else model.tokenizer.unk_id
    u = stream(seed, "rehearsal").random((steps, ROWS))
    drawn = session.generate(np.full(ROWS, first[-1], np.intp), u, 1.0, never)
    return np.ascontiguousarray(drawn.T).reshape(-1)


def _encoded(
    model: LanguageModel, files: Sequence[str | Path], encoding: str, allow_unknown: bool
) -> np.ndarray[Any, Any]:
    """The text of the files in the model's tokens. Raises InputError for one with too many that it doesn't know."""
    found = find_files(list(files))
    check_files(found, encoding)
    with tempfile.TemporaryDirectory(prefix="textgru-") as folder:
        corpus = Corpus.encode(
            model.tokenizer, spool(found, Path(folder)), Path(folder) / "tokens.bin", encoding=encoding, val_fraction=0,
            separate_documents=model.reads_documents and model.tokenizer.eos_id is not None,
        )  # fmt: skip
        unknown = corpus.share(model.tokenizer.unk_id)
        if unknown > MOST_UNKNOWN and not allow_unknown:
            raise InputError(
                f"{', '.join(map(shown, found))}: {percent(unknown)} of its tokens are unknown to the model; train one "
                "on it, or say --allow-unknown"
            )
        return np.array(corpus.train)
